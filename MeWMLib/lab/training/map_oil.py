"""Iodine of Lipiodol and the tissue around it, measured apart on one CT.

A deposit is found where a voxel stands out of the tissue around it by more than noise does. Its iodine is then summed
over an aperture around it, all voxels alike: what the scanner's point spread and kernel put under a threshold counts,
brighter and darker noise cancel, and the dark rim of an edge-enhancing kernel is paid back.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.coarse_maps import SEEN_HU, FloatArray
from MeWMLib.lab.evaluation.look_lipiodol import DENSE_HU, LIPIODOL_HU
from MeWMLib.lab.evaluation.look_noise import robust_deviation
from MeWMLib.lab.evaluation.pair_measures import HU_PER_MG_ML

#: A deposit stands out of the tissue around it by so many deviations of the noise, and has `LIPIODOL_HU` at least.
DEVIATIONS = 4.0
#: Its aperture reaches so far, and one voxel at least: point spread and the dark rim of the kernel.
APERTURE_MM = 2.0
#: Tissue is averaged over this; where hardly any is so near, over the wider one.
TISSUE_MM, WIDE_MM = 5.0, 15.0
#: Share of the average that has to be tissue.
ENOUGH = 0.05

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Separated:
    """A CT as iodine and tissue.

    Attributes:
        iodine: (K, J, I) mg/ml of Lipiodol, 0 outside of all apertures; noise makes single voxels negative.
        tissue: (K, J, I) where there is none.
        noise_hu: deviation of the voxels of the tissue around their local mean.
    """

    iodine: FloatArray
    tissue: Mask
    noise_hu: float


def separated(hu: NDArray[Any], inside: Mask, tumour: Mask, spacing: tuple[float, float, float]) -> Separated:
    """Measure iodine inside of a region.

    Args:
        hu: (K, J, I) HU.
        inside: (K, J, I) where Lipiodol may be. Bone, bowel and vessels that were dense before are no part of it.
        tumour: (K, J, I); elsewhere only what no vessel reaches (`DENSE_HU`) is a deposit.
        spacing: mm (k, j, i).
    """
    image = np.asarray(hu, np.float32)
    known = inside & (image > SEEN_HU[0])
    iodine, noise = np.zeros(image.shape, np.float32), 0.0
    box = _box(known, spacing)
    if box is None:
        return Separated(iodine, np.ones(image.shape, bool), noise)
    part, seen = image[box], known[box]
    lowest = np.where(tumour[box], np.float32(LIPIODOL_HU), np.float32(DENSE_HU))
    oil = seen & (part >= lowest)
    around = np.zeros(seen.shape, bool)
    for _ in range(2):
        around = _aperture(oil, spacing)
        tissue = local_tissue(part, seen & ~around, spacing)
        rest = part - tissue
        bare = seen & ~around
        noise = robust_deviation(rest[bare]) if bare.any() else 0.0
        oil = seen & (part >= lowest) & (rest >= DEVIATIONS * noise)
    around = _aperture(oil, spacing)
    iodine[box] = np.where(around & seen, part - local_tissue(part, seen & ~around, spacing), 0) / HU_PER_MG_ML
    free = np.ones(image.shape, bool)
    free[box] = ~around
    return Separated(iodine, free, float(noise))


def local_tissue(hu: FloatArray, where: Mask, spacing: tuple[float, float, float]) -> FloatArray:
    """HU of the tissue (K, J, I) around each voxel, of the voxels in `where`; their median where none are near."""
    found = np.full(hu.shape, float(np.median(hu[where])) if where.any() else 0.0, np.float32)
    for width in (WIDE_MM, TISSUE_MM):
        sigma = [width / s for s in spacing]
        weight = ndimage.gaussian_filter(where.astype(np.float32), sigma, mode="constant", truncate=2.5)
        mean = ndimage.gaussian_filter(np.where(where, hu, 0), sigma, mode="constant", truncate=2.5)
        enough = weight > ENOUGH
        found[enough] = mean[enough] / weight[enough]
    return found


def _aperture(oil: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Deposits and what is beside them."""
    if not oil.any():
        return oil
    near = ndimage.distance_transform_edt(~oil, sampling=spacing) <= APERTURE_MM
    return np.asarray(near | ndimage.binary_dilation(oil))


def _box(mask: Mask, spacing: tuple[float, float, float]) -> tuple[slice, ...] | None:
    """The bounding box of a mask with room for the apertures."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return None
    more = [int(np.ceil(APERTURE_MM / s)) + 1 for s in spacing]
    return tuple(slice(max(s.start - m, 0), s.stop + m) for s, m in zip(found[0], more, strict=True))
