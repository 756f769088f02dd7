"""Iodine of Lipiodol and the tissue around it, measured apart on one CT.

A deposit is found where a voxel stands out of its tissue by more than noise does, and followed as far as a mean of
some voxels still stands out. Its iodine is then summed over an aperture around it, all voxels alike: what the scanner's
point spread and kernel put under a threshold counts, brighter and darker noise cancel, and the dark rim of an
edge-enhancing kernel is paid back. Tumour is compared with tumour and liver with liver, since oil crowds at the rim
between them.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.coarse_maps import SEEN_HU, FloatArray
from MeWMLib.lab.evaluation.look_noise import robust_deviation
from MeWMLib.lab.evaluation.pair_measures import HU_PER_MG_ML
from MeWMLib.perception.deposits import DENSE_HU, LIPIODOL_HU

#: A deposit stands out of its tissue by so many deviations of the noise, and has `LIPIODOL_HU` at least.
DEVIATIONS = 4.0
#: It is followed in a mean of this width (mm; slices, and in plane) while that stands out by so many of its deviations,
#: and so many HU, and is no darker than the liver.
FOLLOW_MM, FOLLOW_DEVIATIONS, FOLLOW_HU = (1.2, 1.0), 3.0, 20.0
#: Its aperture reaches so far, and one voxel at least: point spread and the dark rim of the kernel.
APERTURE_MM = 2.0
#: Tissue is averaged over this; where hardly any is so near, over the wider one. At the outline of the tumour it passes
#: from tumour to liver over `BORDER_MM`.
TISSUE_MM, WIDE_MM, BORDER_MM = 5.0, 15.0, 1.0
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


def separated(
    hu: NDArray[Any], inside: Mask, tumour: Mask, near: Mask, spacing: tuple[float, float, float]
) -> Separated:
    """Measure iodine inside of a region.

    Args:
        hu: (K, J, I) HU.
        inside: (K, J, I) where Lipiodol may be. Bone, bowel and vessels that were dense before are no part of it.
        tumour: (K, J, I) its outline.
        near: (K, J, I) tumour and its surroundings; elsewhere only what no vessel reaches (`DENSE_HU`) is a deposit.
        spacing: mm (k, j, i).
    """
    image = np.asarray(hu, np.float32)
    seen = inside & (image > SEEN_HU[0])
    iodine, free = np.zeros(image.shape, np.float32), np.ones(image.shape, bool)
    box = _box(seen, spacing)
    if box is None:
        return Separated(iodine, free, 0.0)
    part = _Part(image[box], seen[box], tumour[box], near[box], spacing)
    oil = part.dense
    for _ in range(2):
        oil, noise = part.deposits(oil)
    around = _aperture(oil, spacing)
    rise = part.hu - part.tissue(part.seen & ~around)
    iodine[box] = np.where(around & part.seen, rise, 0) / HU_PER_MG_ML
    free[box] = ~around
    return Separated(iodine, free, noise)


class _Part:
    """The box of a scan that is measured."""

    def __init__(self, hu: FloatArray, seen: Mask, tumour: Mask, near: Mask, spacing: tuple[float, float, float]):
        self.hu, self.seen, self.tumour, self.near, self.spacing = hu, seen, tumour, near, spacing
        self.dense = seen & (hu >= np.where(near, np.float32(LIPIODOL_HU), np.float32(DENSE_HU)))
        along, across = FOLLOW_MM
        self.mean = np.asarray(
            ndimage.gaussian_filter(hu, [along / spacing[0], *(across / s for s in spacing[1:])], truncate=2.5)
        )
        share = ndimage.gaussian_filter(tumour.astype(np.float32), [BORDER_MM / s for s in spacing], truncate=2.5)
        self.share = np.asarray(share, np.float32)
        liver = hu[seen & ~near]
        #: Living tumour beside dead one stands out as well, but not of the liver.
        self.perfused = float(np.median(liver)) if len(liver) else -np.inf

    def tissue(self, bare: Mask) -> FloatArray:
        """HU of tissue (K, J, I) from the voxels that hold no oil."""
        own, other = (local_tissue(self.hu, bare & part, self.spacing) for part in (self.tumour, ~self.tumour))
        if not (bare & self.tumour).any():
            own = other
        elif not (bare & ~self.tumour).any():
            other = own
        return np.asarray(self.share * own + (1 - self.share) * other, np.float32)

    def deposits(self, oil: Mask) -> tuple[Mask, float]:
        """Deposits, judged by the tissue beside those that were found so far, and the noise there."""
        bare = self.seen & ~_aperture(oil, self.spacing)
        tissue = self.tissue(bare)
        if not bare.any():
            return oil, 0.0
        noise = robust_deviation((self.hu - tissue)[bare])
        sure = self.dense & (self.hu - tissue >= DEVIATIONS * noise)
        rise = self.mean - tissue
        least = max(FOLLOW_HU, FOLLOW_DEVIATIONS * robust_deviation(rise[bare]))
        follow = self.seen & self.near & (rise >= least) & (self.mean >= self.perfused)
        pieces, count = ndimage.label(follow | sure, np.ones((3, 3, 3)))
        kept = np.zeros(count + 1, bool)
        kept[pieces[sure]] = True
        return np.asarray(kept[pieces]), float(noise)


def local_tissue(hu: FloatArray, where: Mask, spacing: tuple[float, float, float]) -> FloatArray:
    """HU of the tissue (K, J, I) around each voxel, of the voxels in `where`; their median where none are near."""
    middle = float(np.median(hu[where])) if where.any() else 0.0
    # so smooth a mean needs no finer voxels than these
    block = [max(1, round(TISSUE_MM / 3 / s)) for s in spacing]
    edge = [b * s for b, s in zip(block, spacing, strict=True)]
    share, total = (_blocks(one, block) for one in (where.astype(np.float32), np.where(where, hu - middle, 0)))
    found = np.zeros(share.shape, np.float32)
    for width in (WIDE_MM, TISSUE_MM):
        sigma = [width / e for e in edge]
        weight = ndimage.gaussian_filter(share, sigma, mode="constant", truncate=2.5)
        mean = ndimage.gaussian_filter(total, sigma, mode="constant", truncate=2.5)
        enough = weight > ENOUGH
        found[enough] = mean[enough] / weight[enough]
    back = ndimage.zoom(found, block, order=1, mode="nearest", grid_mode=True)
    return np.asarray(back[tuple(slice(n) for n in hu.shape)] + np.float32(middle), np.float32)


def _blocks(values: FloatArray, block: list[int]) -> FloatArray:
    """Means over blocks of voxels; those that reach beyond the array count 0 there."""
    padded = np.pad(values, [(0, -n % b) for n, b in zip(values.shape, block, strict=True)])
    split = [v for n, b in zip(padded.shape, block, strict=True) for v in (n // b, b)]
    return np.asarray(padded.reshape(split).mean((1, 3, 5)), np.float32)


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
