"""How near a predicted CT is to the real one after treatment: every figure on one grid, in one outline.

The grid is that of the scan before at 1.5 x 1.5 x 2.5 mm, the outline that of the tumour before treatment, dilated.
Only the volumes of Lipiodol are taken on the voxels of the scanner, since resampling takes grains under a threshold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation.metrics import correlation
from MeWMLib.perception.deposits import DENSE_HU, LIPIODOL_HU, local_mean
from MeWMLib.perception.preprocess import box_geometry, resample
from MeWMLib.rendering.iodine import LIPIODOL_MG_ML, hu_per_mg_ml

#: Voxels (k, j, i) of the grid, and how far around the outline before treatment is judged.
SPACING_MM = (2.5, 1.5, 1.5)
DILATION_MM = 5.0
#: Deviation of the Gaussian of the smoothed figures, and edge of the maps of Lipiodol.
SMOOTH_MM, MAP_MM = 8.0, 6.0
#: Anything darker counts as this: lung and bowel gas that the registration did not bring together say nothing of a
#: treatment, and an error of 800 HU there would outweigh all that does.
FLOOR_HU = -200.0
#: HU that one mg of iodine in a ml adds at 120 kVp.
HU_PER_MG_ML = hu_per_mg_ml()
#: Errors that are also given as a ratio to copying the scan before.
RATIOS = ("mae_hu", "rmse_hu", "mae_8mm_hu")

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


def fixed_grid(geometry: Geometry) -> Geometry:
    """The grid of the figures: that of the scan before if its voxels are so already, else one that covers it."""
    same = np.abs(np.array(geometry.spacing) / SPACING_MM - 1).max() < 1e-3
    return geometry if same else box_geometry(geometry, SPACING_MM)


def judged_region(labels: LabelMap) -> Mask:
    """The outline of the tumour (K, J, I), dilated by `DILATION_MM`."""
    return np.asarray(ndimage.distance_transform_edt(~labels.tumour, sampling=labels.geometry.spacing) <= DILATION_MM)


@dataclass(frozen=True, eq=False)
class Truth:
    """The real scans of a pair on the fixed grid.

    Attributes:
        before, after: (K, J, I) HU; the scan after is registered.
        inside: (K, J, I) what is judged: the dilated outline, where the registered scan has voxels.
        geometry: the fixed grid.

    Raises:
        GeometryMismatchError: nothing is judged.
    """

    before: FloatArray
    after: FloatArray
    inside: Mask
    geometry: Geometry

    def __post_init__(self) -> None:
        if not self.inside.any():
            raise GeometryMismatchError(
                what="The registered scan after treatment does not cover the tumour",
                given="0 % of the outline before treatment",
                remedy="Give a scan of the whole liver",
            )

    def smooth(self, image: NDArray[Any]) -> FloatArray:
        """Gaussian mean of `SMOOTH_MM` over what is judged, (N,): nothing outside of it counts."""
        smooth = local_mean(seen(image), self.inside, [SMOOTH_MM / s for s in self.geometry.spacing])
        return np.asarray(smooth[self.inside])

    @cached_property
    def _smooth(self) -> tuple[FloatArray, FloatArray]:
        """Of the scans before and after."""
        return self.smooth(self.before), self.smooth(self.after)

    @cached_property
    def change(self) -> FloatArray:
        """(N,) HU after minus before, in what is judged."""
        return np.asarray(seen(self.after[self.inside]) - seen(self.before[self.inside]))

    def figures(self, predicted: NDArray[Any]) -> dict[str, float]:
        """How near a prediction (K, J, I) is; HU under `FLOOR_HU` count as that.

        `mae_hu`, `rmse_hu`; `mae_8mm_hu` after a Gaussian of 8 mm; `change_r_8mm`, Pearson of predicted and real change
        after that Gaussian; `lipiodol_map_r`, Spearman of the shares of voxels at 200 HU and more in cubes of 6 mm. A
        correlation is NaN where one side does not vary.
        """
        error = seen(predicted[self.inside]).astype(np.float64) - seen(self.after[self.inside])
        smooth, (before, after) = self.smooth(predicted), self._smooth
        moved = (predicted - self.before)[self.inside]
        return {
            "mae_hu": float(np.abs(error).mean()),
            "rmse_hu": float(np.sqrt((error**2).mean())),
            "mae_8mm_hu": float(np.abs(smooth - after).mean()),
            # what rounding and the floor leave of no change, or of the same change everywhere, is none
            "change_r_8mm": correlation(smooth - before, after - before) if moved.std() > 1e-3 else float("nan"),
            "lipiodol_map_r": self.lipiodol_map_r([predicted]),
        }

    def lipiodol_map_r(self, predicted: Sequence[NDArray[Any]]) -> float:
        """Spearman correlation of the real shares of Lipiodol in cubes with the mean ones of predictions (K, J, I)."""
        mean, real = np.mean([self.lipiodol_map(one) for one in predicted], axis=0), self.lipiodol_map(self.after)
        varies = mean.std() > 0 and real.std() > 0
        return float(stats.spearmanr(mean, real).statistic) if varies else float("nan")

    def lipiodol_map(self, image: NDArray[Any]) -> NDArray[np.float64]:
        """Share of voxels at `LIPIODOL_HU` and more in each cube of `MAP_MM` that is half or more inside, (M,)."""
        where = np.argwhere(self.inside)
        cubes = np.floor(where * np.array(self.geometry.spacing) / MAP_MM).astype(int)
        _, which, count = np.unique(cubes, axis=0, return_inverse=True, return_counts=True)
        dense = np.bincount(which.ravel(), image[self.inside] >= LIPIODOL_HU, len(count))
        whole = count * self.geometry.voxel_ml * 1000 >= 0.5 * MAP_MM**3
        return np.asarray((dense / count)[whole])


def seen(hu: NDArray[Any]) -> FloatArray:
    """HU as they are judged: not under `FLOOR_HU`."""
    return np.asarray(np.maximum(np.asarray(hu, np.float32), np.float32(FLOOR_HU)))


def lipiodol_figures(image: Volume, inside: Mask) -> dict[str, float]:
    """Lipiodol in a mask on the voxels of a scan.

    `lipiodol_200_ml`, `lipiodol_300_ml`: volume of the voxels at so many HU and more. `lipiodol_iodine_ml`: ml of
    Lipiodol that hold the iodine seen there: the sum of (HU - tissue) x ml over the voxels at 200 HU and more, by
    `HU_PER_MG_ML` and `LIPIODOL_MG_ML`; tissue is the median of the other voxels of the mask.
    """
    hu, ml = image.array[inside].astype(np.float64), image.geometry.voxel_ml
    oil = hu >= LIPIODOL_HU
    tissue = float(np.median(hu[~oil])) if (~oil).any() else 0.0
    return {
        "lipiodol_200_ml": float(oil.sum()) * ml,
        "lipiodol_300_ml": float((hu >= DENSE_HU).sum()) * ml,
        "lipiodol_iodine_ml": float((hu[oil] - tissue).sum()) * ml / HU_PER_MG_ML / LIPIODOL_MG_ML,
    }


def on_grid(volume: Volume, grid: Geometry) -> FloatArray:
    """A scan on another grid, linearly."""
    if volume.geometry.same_as(grid):
        return volume.array.astype(np.float32)
    return resample(volume.array.astype(np.float32), volume.geometry, grid)


def fed_half(labels: LabelMap, side: str) -> Mask:
    """Where the artery fed (K, J, I): the half-space in front of or behind the centroid of the tumour, or all of it."""
    shape = labels.geometry.shape
    if side == "whole":
        return np.ones(shape, bool)
    middle = labels.geometry.to_ras(np.argwhere(labels.tumour).mean(0))[1]
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    anterior = labels.geometry.to_ras(index)[..., 1] > middle
    return np.asarray(anterior if side == "front" else ~anterior)


def with_ratios(rows: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Rows of one pair with errors as ratios to the row `copy_pre` too: `mae_ratio`, `rmse_ratio`, `mae_8mm_ratio`."""
    base = rows["copy_pre"]
    return {
        row: {
            **figures,
            **{m.replace("_hu", "_ratio"): figures[m] / base[m] for m in RATIOS if m in figures and base[m] > 0},
        }
        for row, figures in rows.items()
    }
