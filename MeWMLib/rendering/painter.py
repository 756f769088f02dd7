"""From coarse maps of an outcome to the change of HU on the patient's own voxels.

Nothing changes where the weight is 0: tissue changes smoothly, and Lipiodol lies as grains that are drawn from the map
of iodine. The noise of the scan stays in its voxels and is stronger where grains are dense. A region is painted whole,
so that there are no seams.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.errors import GeometryError, NoTumourError
from MeWMLib.core.volume import Geometry, Provenance, Volume, in_dtype
from MeWMLib.rendering.expected_iodine import IodineField, TreatedLattice
from MeWMLib.rendering.grains import FloatArray, GrainConstants, Grains, spread_grains
from MeWMLib.rendering.iodine import KVP, rise_hu
from MeWMLib.rendering.scan_estimate import Box, ScanEstimate
from MeWMLib.rendering.scanner import HU_RANGE, sharpened, streaks
from MeWMLib.rendering.upsampling import between, upsampled

#: The weight falls to 0 at this distance from treated tumour (mm).
RIM_MM = 6.0
#: Grains that reach beyond the rim fade over this weight, so that nothing ends at a step.
FADE = 0.15
#: How grains are drawn from maps of cubes, which hold the places of deposits already: fitted so that painted scans of
#: the synthetic world look as its own do.
PAINTED = GrainConstants(piece_mm=2.3, grain_spread=0.38, haze=0.27, haze_mm=2.0)
#: Grains are drawn in two sizes, that of small ones and that of the haze; others take the nearest end of these (mm).
GRAIN_RADII_MM = (0.36, 0.70)
#: The rim of an expected scan changes in full while the weight is above this.
EVEN = 1 / 6
#: Share of the mean iodine that an expected scan shows: least sum of the three errors of docs/JUDGE.md on HCC_004 and
#: HCC_007.
EXPECTED_OIL = 0.75
#: Deviation of the mean that takes noise away (mm).
DENOISED_MM = 3.0


def treated_weight(
    treated_mask: NDArray[np.bool_], geometry: Geometry, untreated_mask: NDArray[np.bool_] | None = None
) -> tuple[Box, FloatArray]:
    """How far each voxel takes part in a change: 1 in treated tumour, falling to 0 at `RIM_MM` from it.

    Args:
        treated_mask: (K, J, I) all tumour that is treated, lesions of any number and size.
        geometry: of the masks.
        untreated_mask: (K, J, I) tumour that is not treated: its weight is 0, however near it lies.

    Returns:
        The part of the grid around the treated tumour, and the weights in it, float32.

    Raises:
        NoTumourError: nothing is treated.
        GeometryError: a mask of another shape than the grid.
    """
    for mask in (treated_mask, untreated_mask):
        if mask is not None and mask.shape != geometry.shape:
            raise GeometryError(
                what="A mask of tumour does not fit the grid of the scan",
                given=f"{mask.shape} and {geometry.shape} voxels",
                remedy="Give masks on the grid of the scan",
            )
    found = ndimage.find_objects(np.asarray(treated_mask).view(np.uint8))
    if not found or found[0] is None:
        raise NoTumourError(
            what="No tumour is treated", given=geometry.describe(), remedy="Give a target that holds tumour"
        )
    margin = [int(np.ceil(RIM_MM / s)) for s in geometry.spacing]
    k, j, i = (
        slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(found[0], margin, geometry.shape, strict=True)
    )
    box = (k, j, i)
    distance = ndimage.distance_transform_edt(~treated_mask[box], sampling=geometry.spacing)
    distance /= -RIM_MM
    distance += 1
    weight = np.maximum(distance, 0, dtype=np.float32, casting="same_kind")
    if untreated_mask is not None:
        weight[untreated_mask[box]] = 0
    return box, weight


def treated_lattice(before: Volume, box: Box, weight: FloatArray, cubes: Geometry) -> TreatedLattice:
    """What `paint` derives from a weight alone: the same for all outcomes of a session."""
    return TreatedLattice.of(weight, _grid_of(before, box, weight), cubes)


def paint(
    before: Volume,
    box: Box,
    weight: FloatArray,
    maps: OutcomeMaps,
    seed: int,
    estimate: ScanEstimate | None = None,
    constants: GrainConstants = PAINTED,
    lattice: TreatedLattice | None = None,
) -> FloatArray:
    """One outcome as the scanner of `before` would show it: change of HU in the box, with grains of Lipiodol.

    The iodine of the map is kept, but for what its cubes hold beyond the weight (`IodineField`). The same seed gives
    the same change.

    Args:
        before: the scan before treatment; its grid may be oblique or left-handed.
        box, weight: of `treated_weight`.
        maps: what the session leaves; they cover all that has weight.
        seed: chance of grains and noise.
        estimate: of the scanner; by default `ScanEstimate.of`.
        constants: of the grains.
        lattice: of the weight (`treated_lattice`), where several outcomes are painted.

    Returns:
        (K, J, I) HU after less before, 0 wherever the weight is.

    Raises:
        GeometryError: the weight does not fit the box, or the maps do not cover it.
    """
    target = _part(before, box, weight, maps)
    estimate = ScanEstimate.of(before, box) if estimate is None else estimate
    change = upsampled(maps.change, maps.geometry, target)
    change *= weight
    field = IodineField.of(maps, TreatedLattice.of(weight, target, maps.geometry) if lattice is None else lattice)
    grains = field.grains(constants, np.random.default_rng([1, seed]))
    if len(grains.mg):
        change += _lipiodol(_as_voxels(grains, maps.geometry, target), target, weight, field.total_mg, estimate, seed)
    return change


def _lipiodol(
    grains: Grains, target: Geometry, weight: FloatArray, total_mg: float, estimate: ScanEstimate, seed: int
) -> FloatArray:
    """HU that grains add, with the noise that they add beside them."""
    k, j, i = (np.arange(n) * s for n, s in zip(target.shape, target.spacing, strict=True))
    rise = spread_grains(grains, (k, j, i), estimate.spread_mm)
    fade = np.minimum(weight * np.float32(1 / FADE), np.float32(1))
    # what fades is given to what is left
    drawn = _total(rise, fade) * target.voxel_ml
    if drawn <= 0:
        return np.zeros_like(rise)
    rise *= np.float32(rise_hu(total_mg / drawn, estimate.kvp))
    # a view whose axes run across slices, along columns and along rows
    axes = estimate.axes
    turned = rise.transpose(axes)
    spacing = (target.spacing[axes[0]], target.spacing[axes[1]], target.spacing[axes[2]])
    dense = sharpened(turned, estimate.edge, (estimate.edge_mm / spacing[1], estimate.edge_mm / spacing[2]))
    found = streaks(turned, estimate.noise_hu, spacing[2])
    del rise, turned  # of whole regions they are large
    if found is not None:
        where, gain = found
        # what comes on top of the noise that is there already: deviations add as squares
        more = np.maximum(gain, 0, out=gain)
        more *= 2 + more
        np.sqrt(more, out=more)
        more *= estimate.noise((more.shape[0], more.shape[1], more.shape[2]), spacing, seed)
        dense[where] += more
    dense *= fade.transpose(axes)
    return np.asarray(dense.transpose(np.argsort(axes)))


def expected_change(
    before: Volume, box: Box, weight: FloatArray, maps: OutcomeMaps, estimate: ScanEstimate | None = None
) -> FloatArray:
    """The mean of what `paint` draws: Lipiodol as its smooth mean, no grain and no noise.

    Args and errors are those of `paint`. It has the lowest expected squared error, and looks like no scan.
    """
    target = _part(before, box, weight, maps)
    kvp = KVP if estimate is None else estimate.kvp
    change = upsampled(maps.change, maps.geometry, target)
    field = IodineField.of(maps, TreatedLattice.of(weight, target, maps.geometry))
    if field.total_mg > 0:
        iodine = field.on(target)
        # voxels of some mm sample the rim coarsely
        iodine *= np.float32(field.total_mg / (_total(iodine, weight) * target.voxel_ml))
        change += rise_hu(iodine, kvp)
    change *= weight
    return change


def expected_image(
    before: Volume,
    box: Box,
    weight: FloatArray,
    maps: OutcomeMaps,
    width_mm: float = DENOISED_MM,
    oil_share: float = EXPECTED_OIL,
    estimate: ScanEstimate | None = None,
) -> FloatArray:
    """The expected scan (K, J, I) in the box, HU: `expected_change` on a scan before whose noise is taken away.

    Noise is not repeated in the scan after, and borders lie a little elsewhere, as people breathe: to keep both would
    add their variance to the error. So a Gaussian mean replaces the scan, gas and bone included, over most of the rim
    too (`EVEN`). Lipiodol lies in grains, most voxels near them hold none, and the mean over them is no good guess of
    any: its full mean has the least squared error over some mm, a part of it the least absolute error of a voxel.

    Args:
        before, box, weight, maps, estimate: as in `paint`.
        width_mm: deviation of the Gaussian; 0 keeps the scan as it is.
        oil_share: share of the mean iodine that is drawn.
    """
    even = np.minimum(weight * np.float32(1 / EVEN), np.float32(1))
    change = expected_change(before, box, even, replace(maps, iodine=maps.iodine * np.float32(oil_share)), estimate)
    hu = before.array[box].astype(np.float32)
    if width_mm > 0:
        sigma = [width_mm / s for s in before.geometry.spacing]
        more = [int(np.ceil(3 * s)) for s in sigma]
        wide = tuple(
            slice(max(0, s.start - m), min(n, s.stop + m))
            for s, m, n in zip(box, more, before.geometry.shape, strict=True)
        )
        inner = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(box, wide, strict=True))
        mean = ndimage.gaussian_filter(before.array[wide].astype(np.float32), sigma, truncate=3)[inner]
        mean -= hu
        mean *= even
        change += mean
    change += hu
    return change


def with_change(before: Volume, box: Box, change: FloatArray, provenance: Provenance) -> Volume:
    """The simulated scan: geometry and type of `before`, and its bits wherever the change is 0.

    Nothing is moved beyond what a scanner shows (`HU_RANGE`); metal that lies beyond it already stays.

    Args:
        before: the scan before treatment.
        box: where the change is.
        change: (K, J, I) HU, of `paint` or `expected_change`.
        provenance: marks the result as simulated.
    """
    out = before.array.copy()
    part, touched = out[box], change != 0
    was = part[touched].astype(np.float32)
    low, high = (np.float32(end) for end in HU_RANGE)
    after = np.clip(was + change[touched], np.minimum(was, low), np.maximum(was, high))
    part[touched] = in_dtype(after, out.dtype)
    return before.with_array(out, provenance)


def _grid_of(before: Volume, box: Box, weight: FloatArray) -> Geometry:
    """The grid of the box; raises unless the weight fits it."""
    shape = (box[0].stop - box[0].start, box[1].stop - box[1].start, box[2].stop - box[2].start)
    if weight.shape != shape:
        raise GeometryError(
            what="The weight does not fit its part of the scan",
            given=f"{weight.shape} and {shape} voxels",
            remedy="Give box and weight of treated_weight on this scan",
        )
    return before.geometry.crop((box[0].start, box[1].start, box[2].start), shape)


def _part(before: Volume, box: Box, weight: FloatArray, maps: OutcomeMaps) -> Geometry:
    """The grid of the box; raises unless weight and maps fit it."""
    target = _grid_of(before, box, weight)
    # what is treated is looked at where its box alone does not tell
    cubes = maps.geometry
    if not _covered(target.corners, target, cubes) and not _covered(_row_ends(weight), target, cubes):
        raise GeometryError(
            what="The maps do not cover what is treated",
            given=f"{maps.geometry.describe()}; {target.describe()}",
            remedy="Predict the maps of the region of this tumour (region_of)",
        )
    return target


def _total(values: FloatArray, weight: FloatArray) -> float:
    """Sum of weighted values, slice by slice: that of all at once in float32 would be less exact."""
    return float(sum(np.vdot(a, b) for a, b in zip(values, weight, strict=True)))


def _row_ends(weight: FloatArray) -> NDArray[np.intp]:
    """First and last voxel (N, 3) with weight in every row; the outermost voxels are among them."""
    there = weight > 0
    rows = np.argwhere(there.any(2))
    part = there[rows[:, 0], rows[:, 1]]
    first, last = part.argmax(1), part.shape[1] - 1 - part[:, ::-1].argmax(1)
    return np.concatenate([np.column_stack([rows, end]) for end in (first, last)])


def _covered(voxels: NDArray[np.intp], target: Geometry, cubes: Geometry) -> bool:
    """True if voxels (N, 3) all lie in cubes."""
    at = cubes.to_kji(target.to_ras(voxels))
    return bool((at >= -0.5 - 1e-6).all() and (at <= np.array(cubes.shape) - 0.5 + 1e-6).all())


def _as_voxels(grains: Grains, cubes: Geometry, target: Geometry) -> Grains:
    """Grains whose places (mm along the axes of the cubes) become places along those of the target."""
    matrix, offset = between(cubes, target)
    place = (grains.place / cubes.spacing) @ matrix.T + offset
    return Grains(place * target.spacing, grains.mg, _two_sizes(grains.radius_mm))


def _two_sizes(radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Radii (mm) of small grains within one class of `spread_grains`, which takes a while for each; haze as it is."""
    return np.where(radius < 2 * GRAIN_RADII_MM[1], radius.clip(*GRAIN_RADII_MM), radius)
