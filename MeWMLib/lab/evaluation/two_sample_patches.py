"""Patches of treated tissue as numbers that a small classifier can tell real from simulated by.

A patch is a cube of 32 voxels of 1 mm, as the treated patch of the product has them: real scans differ in voxel size,
and a classifier would tell the scanner instead. Only voxels inside the tumour's outline count, since the outlines of
real, drawn and simulated tumours were drawn by different hands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.look import contrast_look
from MeWMLib.perception.deposits import DENSE_HU, LIPIODOL_HU, autocorrelation, local_mean
from MeWMLib.perception.preprocess import isotropic_geometry, resample

SIZE = 32
#: Patches of a scan, the least share of a patch that is tumour, and the least share of that tumour that holds Lipiodol:
#: tissue that was certainly treated. What no Lipiodol reached looks as before treatment, real and simulated alike.
COUNT, LEAST, TREATED = 60, 0.3, 0.01
#: Patches whose middles lie in one cube of this edge (mm) see much the same: intervals draw such cubes, not patches.
BLOCK_MM = 32
#: Deviations (voxels) of the Gaussians between which a band lies.
SCALES = (0.0, 0.7, 1.4, 2.8, 5.6)
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
LAGS = ((0, 1), (0, 2), (1, 1), (1, 2), (1, 4), (2, 1), (2, 2), (2, 4))
#: HU are compressed above and below the liver: 50 HU about it are linear, grains of 500 and 3,000 HU are not far apart.
KNEE_HU = 50.0


@dataclass(frozen=True, eq=False)
class Patches:
    """Patches of one scan.

    Attributes:
        features: (N, F).
        blocks: (N,) number of the cube in which the middle of the patch lies.
        middles: (N, 3) mm (z, y, x) from the tumour's centroid, along superior, posterior and left.
    """

    features: NDArray[np.float64]
    blocks: NDArray[np.intp]
    middles: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.features)

    def part(self, chosen: NDArray[np.bool_]) -> Patches:
        """Some of them."""
        return Patches(self.features[chosen], self.blocks[chosen], self.middles[chosen])


def patches_of(ct: Volume, labels: LabelMap, seed: int, count: int = COUNT) -> Patches:
    """Patches of a scan, their middles drawn from its tumour; none where the tumour is too small for one.

    Args:
        ct, labels: on one grid, native where noise is to be judged.
        seed: of the middles.
        count: how many.
    """
    grid = isotropic_geometry(ct.geometry)
    hu = resample(ct.array.astype(np.float32), ct.geometry, grid)
    known = resample(labels.array, labels.geometry, grid, "nearest", 0)
    tumour = known == 2
    liver_hu = contrast_look(ct.array, labels.tumour, labels.liver, ct.geometry.spacing)["liver_hu"]
    half = SIZE // 2
    oil = tumour & (hu >= LIPIODOL_HU)
    share, treated = (ndimage.uniform_filter(m.astype(np.float32), SIZE, mode="constant") for m in (tumour, oil))
    inside = np.zeros(tumour.shape, bool)
    inside[tuple(slice(half, n - half + 1) for n in tumour.shape)] = True
    where = np.argwhere(tumour & (share >= LEAST) & (treated >= TREATED * share) & inside)
    if not len(where):
        return Patches(np.zeros((0, len(NAMES))), np.zeros(0, np.intp), np.zeros((0, 3)))
    chosen = where[np.random.default_rng(seed).integers(0, len(where), count)]
    cubes = np.unique(chosen // BLOCK_MM, axis=0, return_inverse=True)[1].ravel()
    maps = _maps(hu, tumour, 0.0 if np.isnan(liver_hu) else liver_hu)
    rows = []
    for middle in chosen:
        box = tuple(slice(int(m) - half, int(m) + half) for m in middle)
        rows.append(_features(hu[box], tumour[box], [one[box] for one in maps]))
    return Patches(np.array(rows), cubes, chosen - np.argwhere(tumour).mean(0))


def _maps(hu: NDArray[np.float32], tumour: NDArray[np.bool_], liver_hu: float) -> list[NDArray[np.float32]]:
    """Compressed HU above the liver's, then bands of it from fine to coarse, all of the tumour alone."""
    compressed = np.arcsinh((np.maximum(hu, -200) - liver_hu) / KNEE_HU).astype(np.float32)
    smooth = [compressed, *(local_mean(compressed, tumour, [s] * 3) for s in SCALES[1:])]
    return [compressed, *(fine - coarse for fine, coarse in zip(smooth, smooth[1:], strict=False))]


_BANDS = range(len(SCALES) - 1)
NAMES = (
    *(f"hu_{p}" for p in PERCENTILES),
    *("share_200", "share_300", "share_600", "oil_50", "oil_90", "oil_99", "blobs", "largest"),
    *(f"band_{n}_{what}" for n in _BANDS for what in ("deviation", "skew", "tail", "tissue", "oil")),
    *(f"acf_{axis}_{lag}" for axis, lag in LAGS),
)


def _features(hu: NDArray[Any], mask: NDArray[np.bool_], maps: list[NDArray[np.float32]]) -> list[float]:
    """`NAMES` of one patch; a figure that there is nothing to measure on is 0."""
    values = maps[0][mask]
    found = [float(v) for v in np.percentile(values, PERCENTILES)]
    oil = hu[mask]
    found += [float(np.sqrt((oil >= level).mean())) for level in (LIPIODOL_HU, DENSE_HU, 2 * DENSE_HU)]
    # how dense Lipiodol is where there is some, whatever its amount
    levels = np.arcsinh(oil[oil >= LIPIODOL_HU] / LIPIODOL_HU)
    found += [float(v) for v in np.percentile(levels, (50, 90, 99))] if len(levels) > 20 else [0.0] * 3
    dense = mask & (hu >= DENSE_HU)
    sizes = np.bincount(cc3d.connected_components(dense, connectivity=26).ravel())[1:] if dense.any() else np.zeros(1)
    found += [float(np.log1p(np.count_nonzero(sizes))), float(np.log1p(sizes.max()))]
    tissue = oil < LIPIODOL_HU
    for band in maps[1:]:
        rest = band[mask].astype(np.float64)
        deviation = float(rest.std()) or 1.0
        low, high = np.percentile(rest, (0.5, 99.5))
        found += [float(np.log(deviation)), float((rest**3).mean() / deviation**3), float((high - low) / deviation)]
        found += [_log_deviation(rest[part]) for part in (tissue, ~tissue)]
    acf = [autocorrelation(maps[0], mask, axis, lag) for axis, lag in LAGS]
    return found + [0.0 if np.isnan(v) else v for v in acf]


def _log_deviation(values: NDArray[np.float64]) -> float:
    """Logarithm of the deviation; 0 of less than 20 values."""
    return float(np.log(values.std() + 1e-3)) if len(values) >= 20 else 0.0
