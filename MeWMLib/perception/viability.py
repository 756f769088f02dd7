"""Viable, necrotic and Lipiodol-filled tissue of a CT, against the scan's own liver and by its contrast phase.

One limit in HU for all scans does not hold: livers of one phase differ by 40 HU between patients, and noise of 8 to 35
HU brings single voxels of any tissue under any limit. So the density is averaged over some mm first, and a tissue
counts as dead where it is darker than that scan's liver by more than the liver itself varies. What the phase does not
show is said to be unknown.

- Necrotic is what is darker than the liver and nearer to the density of tissue without contrast agent than to it:
  viable HCC may be somewhat darker ("washout" in the portal and delayed phase, and veins without contrast agent are
  darker than an arterial liver).
- Arterial: perfused tumour is fed by the artery, so that what is brighter than the liver enhances.
- Without contrast agent, or where the phase is not known, only Lipiodol is told.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import LIVER, PHASES, Geometry, LabelMap, Volume, require_same_geometry

#: Lipiodol: no tissue, and hardly an artery, is as dense; at 200 HU partial volume and vessels count too (two to three
#: times the volume on real scans).
OIL_HU = 300.0
#: Averaged density from here to `OIL_HU`: thin oil or a vessel; no tissue enhances so much.
DENSE_HU = 200.0
#: Width (sigma) over which the density is averaged.
SMOOTHING_MM = 2.0
#: Tissue without contrast agent that reaches it, HU, and how far from there to the liver is still "near".
UNENHANCED_HU, NEAR_UNENHANCED = 35.0, 0.4
#: Averaged density of fat and air, which are no tissue of a tumour: the outline is off there.
FAT_HU = 0.0
#: So many deviations of the liver's own averaged density are not "darker" or "brighter" yet; at least so many HU.
DEVIATIONS, LEAST_MARGIN_HU = 2.5, 12.0
#: The liver is measured so far from its border and from tumour; at least so much of it.
BORDER_MM, LEAST_LIVER_ML = 6.0, 20.0
#: Beside oil, in the next voxel at least, every density between oil and tissue is passed.
BESIDE_OIL_MM = 2.0
#: Phases that tell whether tissue is perfused.
TELLING = ("arterial", "portal", "delayed")

#: Slices that are looked at together, at least.
_SLAB = 16

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


@dataclass(frozen=True)
class LiverReference:
    """The liver of one scan, without tumour, as its tumours are compared with it.

    Attributes:
        phase: one of `core.volume.PHASES`.
        median_hu: of the averaged density.
        deviation_hu: of the averaged density, robust (1.4826 times the median deviation).
        liver_ml: that was measured.
    """

    phase: str
    median_hu: float
    deviation_hu: float
    liver_ml: float

    @property
    def tells(self) -> bool:
        """True if the phase tells perfused from dead tissue."""
        return self.phase in TELLING

    @property
    def margin_hu(self) -> float:
        """What is darker or brighter than the liver by less counts as equal."""
        return max(DEVIATIONS * self.deviation_hu, LEAST_MARGIN_HU)

    @property
    def dead_below_hu(self) -> float:
        """Averaged density below which tissue counts as not perfused; see the module's text."""
        near = UNENHANCED_HU + NEAR_UNENHANCED * (self.median_hu - UNENHANCED_HU)
        return min(self.median_hu - self.margin_hu, near)

    @property
    def bright_from_hu(self) -> float:
        """Averaged density from which tissue enhances more than the liver."""
        return self.median_hu + self.margin_hu


#: Stands for the liver of a scan that shows too little of it.
NO_LIVER = LiverReference("unknown", float("nan"), float("nan"), 0.0)


@dataclass(frozen=True, eq=False)
class Tissue:
    """What a region consists of; the masks (K, J, I) do not overlap and together are the region.

    Attributes:
        lipiodol: `OIL_HU` and more in the scan as it is.
        necrotic: not perfused, as far as the phase tells.
        viable: as dense as perfused tissue.
        unknown: beside oil; too dense for tissue and too thin for oil; fat and air; all but oil where the phase tells
            nothing.
        bright: the part of `viable` that is brighter than the liver.
        reference: what it was compared with.
    """

    lipiodol: Mask
    necrotic: Mask
    viable: Mask
    unknown: Mask
    bright: Mask
    reference: LiverReference | None

    @property
    def tells(self) -> bool:
        """True if viable and necrotic tissue were told apart."""
        return self.reference is not None and self.reference.tells


def smoothed(hu: NDArray[np.generic], inside: Mask, geometry: Geometry) -> FloatArray:
    """Density (K, J, I) averaged over `SMOOTHING_MM` among voxels of `inside`; elsewhere it has no meaning.

    Only `inside` takes part (normalised convolution), so that fat, lung or oil beside it do not leak in.
    """
    widths = [SMOOTHING_MM / spacing for spacing in geometry.spacing]
    weight = ndimage.gaussian_filter(inside.astype(np.float32), widths, mode="constant")
    total = ndimage.gaussian_filter(np.where(inside, hu, 0).astype(np.float32), widths, mode="constant")
    return np.asarray(total / np.maximum(weight, 1e-6), np.float32)


def liver_reference(ct: Volume, labels: LabelMap, phase: str | None = None) -> LiverReference | None:
    """Measure the liver of a scan without its tumours; None where there is too little of it.

    Args:
        ct, labels: on one grid.
        phase: where it is known better than the scan's own field says.

    Raises:
        GeometryMismatchError: the labels are not on the grid of the CT.
        InputError: an unknown phase.
    """
    require_same_geometry(ct.geometry, labels.geometry, "The labels are not on the grid of the CT")
    phase = ct.phase if phase is None else phase
    if phase not in PHASES:
        raise InputError(what="Unknown contrast phase", given=phase, remedy="Use one of " + ", ".join(PHASES))
    box = _box(labels.liver, ct.geometry)
    if box is None:
        return None
    hu, part = ct.array[box], labels.array[box]
    liver = part == LIVER
    inner = _deeper(liver, BORDER_MM, ct.geometry) & (hu < OIL_HU)
    volume = float(inner.sum()) * ct.geometry.voxel_ml
    if volume < LEAST_LIVER_ML:
        return None
    values = _smoothed_at(inner, hu, liver & (hu < OIL_HU), ct.geometry)
    median = float(np.median(values))
    deviation = 1.4826 * float(np.median(np.abs(values - median)))
    return LiverReference(phase, median, deviation, volume)


def _slabs(count: int, reach: int) -> Iterator[tuple[slice, slice]]:
    """Slabs of slices, and each with what is within reach of it: whole volumes of floats would take much memory."""
    size = max(_SLAB, 4 * reach)
    for start in range(0, count, size):
        stop = min(start + size, count)
        yield slice(start, stop), slice(max(start - reach, 0), min(stop + reach, count))


def _deeper(mask: Mask, depth_mm: float, geometry: Geometry) -> Mask:
    """Voxels of a mask that are farther than `depth_mm` from every voxel outside of it."""
    spacing = geometry.spacing
    deep = np.zeros(mask.shape, bool)
    for slab, around in _slabs(len(mask), int(depth_mm / spacing[0]) + 1):
        near = mask[around]
        if near.all():
            deep[slab] = True
            continue
        # the nearest voxels alone: with them the distances take four times the memory
        nearest = ndimage.distance_transform_edt(
            near, sampling=spacing, return_distances=False, return_indices=True
        )  # fmt: skip
        _, j, i = np.ogrid[: len(near), : mask.shape[1], : mask.shape[2]]
        for k in range(slab.start, slab.stop):
            n = k - around.start
            away = [(nearest[axis, n] - at) * spacing[axis] for axis, at in enumerate((n, j[0], i[0]))]
            deep[k] = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2) > depth_mm
    return deep


def _smoothed_at(where: Mask, hu: NDArray[np.generic], inside: Mask, geometry: Geometry) -> FloatArray:
    """Values of `smoothed` (N,) in the voxels of `where`."""
    found = [np.zeros(0, np.float32)]
    # what `gaussian_filter` reaches, by its own default of 4 deviations
    for slab, around in _slabs(len(hu), int(4 * SMOOTHING_MM / geometry.spacing[0] + 0.5)):
        if where[slab].any():
            first = slab.start - around.start
            mean = smoothed(hu[around], inside[around], geometry)[first : first + slab.stop - slab.start]
            found.append(mean[where[slab]])
    return np.concatenate(found)


def tissue_of(ct: Volume, region: Mask, reference: LiverReference | None) -> Tissue:
    """Divide a region, such as the tumour, into viable, necrotic and Lipiodol-filled tissue.

    Args:
        ct: the scan; HU as it is, the averaging is done here.
        region: (K, J, I).
        reference: the liver of the same scan; without one, or where its phase tells nothing, all but oil is unknown.

    Raises:
        InputError: the region is not of the scan's shape.
    """
    if region.shape != ct.array.shape:
        raise InputError(what="The region is not on the grid of the CT", given=f"{region.shape} and {ct.array.shape}")
    masks = {name: np.zeros(region.shape, bool) for name in ("lipiodol", "necrotic", "viable", "unknown", "bright")}
    box = _box(region, ct.geometry)
    if box is None:
        return Tissue(**masks, reference=reference)
    hu, inside = ct.array[box], region[box]
    oil = inside & (hu >= OIL_HU)
    masks["lipiodol"][box] = oil
    if reference is None or not reference.tells:
        masks["unknown"][box] = inside & ~oil
        return Tissue(**masks, reference=reference)
    beside = oil
    if oil.any():
        near = ndimage.distance_transform_edt(~oil, sampling=ct.geometry.spacing) <= BESIDE_OIL_MM
        beside = near | ndimage.binary_dilation(oil)
    tissue = inside & ~beside
    mean = smoothed(np.clip(hu, -200, OIL_HU), tissue, ct.geometry)
    neither = tissue & ((mean >= max(DENSE_HU, reference.bright_from_hu)) | (mean < FAT_HU))
    dead = tissue & ~neither & (mean < reference.dead_below_hu)
    alive = tissue & ~neither & ~dead
    masks["necrotic"][box], masks["viable"][box] = dead, alive
    masks["unknown"][box] = neither | (inside & beside & ~oil)
    masks["bright"][box] = alive & (mean >= reference.bright_from_hu)
    return Tissue(**masks, reference=reference)


def _box(mask: Mask, geometry: Geometry) -> tuple[slice, slice, slice] | None:
    """The bounding box of a mask and what the averaging reaches around it; None for an empty mask."""
    found = ndimage.find_objects(mask.view(np.uint8))
    if not found:
        return None
    reach = [int(np.ceil(4 * SMOOTHING_MM / spacing)) for spacing in geometry.spacing]
    k, j, i = (slice(max(s.start - n, 0), s.stop + n) for s, n in zip(found[0], reach, strict=True))
    return k, j, i
