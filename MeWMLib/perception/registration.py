"""Register the scan after treatment to the one before it.

The best of all shifts, then a rigid or affine map, then a free-form deformation (cubic B-splines, Rueckert et al., IEEE
TMI 1999), the latter two by Mattes' mutual information, as SimpleITK has them. Lipiodol must not drive the
registration: HU are clamped to -200..250 and no sample is drawn in or near the tumour, so that the deformation there
only continues that of its surroundings.

`mewm assess` and the judging of simulations on real pairs (`lab/evaluation`) use it.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from scipy.signal import fftconvolve

from MeWMLib.core.errors import GeometryMismatchError, InputError, OutputError
from MeWMLib.core.io import atomic_path, to_sitk
from MeWMLib.core.itk_state import one_itk_thread
from MeWMLib.core.volume import LIVER, LabelMap, Volume
from MeWMLib.perception.findings import dice
from MeWMLib.perception.preprocess import AIR_HU

#: Range that the registration sees: fat to enhanced vessels; Lipiodol and bone look alike at its upper end.
CLAMP_HU = (-200.0, 250.0)
BODY_HU = -300.0
BONE_HU = 250.0
#: Step in which shifts are compared.
SHIFT_MM = 6.0
KINDS = ("rigid", "affine", "deformable")

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Registration:
    """How to register.

    Attributes:
        kind: "rigid", "affine" or "deformable"; each begins with the one before it.
        spacing_mm: voxel size at which the metric is computed.
        shrink: pyramid, coarse to fine, of the affine part.
        mesh_mm: distance of the B-splines' control points on the first level; halved on each further one.
        levels: of the deformable part.
        iterations: on each level.
        sampling: share of voxels that the metric draws.
        samples: that the deformable part draws at most; more take time and do not improve Dice (docs/REGISTRATION.md).
        avoid_mm: no samples within this distance of the tumour.
        near_mm: samples of the deformable part are within this distance of the liver; bowel and a filled stomach, which
            look different every day, would drive it.
    """

    kind: str = "deformable"
    spacing_mm: float = 3.0
    shrink: tuple[int, ...] = (4, 2, 1)
    mesh_mm: float = 80.0
    levels: int = 2
    iterations: int = 15
    sampling: float = 0.3
    samples: int = 15_000
    avoid_mm: float = 6.0
    near_mm: float = 20.0


@dataclass(frozen=True, eq=False)
class Registered:
    """A scan brought onto the grid of another.

    Attributes:
        ct: the moving scan on the fixed grid; `covered` says where it has voxels.
        covered: (K, J, I).
        transform: a point of the fixed scan to the same point of the moving one, ITK's LPS mm.
        quality: see `agreement`, with "_before" and "_after", and the Jacobian of the deformation.
    """

    ct: Volume
    covered: Mask
    transform: sitk.Transform
    quality: dict[str, float]

    @property
    def _grid(self) -> sitk.Image:
        """An empty image on the fixed grid."""
        return to_sitk(LabelMap(np.zeros(self.ct.geometry.shape, np.uint8), self.ct.geometry))

    def labels(self, moving: LabelMap) -> LabelMap:
        """Bring labels of the moving scan onto the fixed grid by nearest neighbour."""
        found = sitk.Resample(to_sitk(moving), self._grid, self.transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
        return LabelMap(sitk.GetArrayFromImage(found), self.ct.geometry)

    def write_deformation(self, path: Path, spacing_mm: float = 4.0) -> None:
        """Write the map as a displacement field, an ITK transform file that 3D Slicer loads as a transform node.

        Slicer shows the moving scan in the place of the fixed one under this node.

        Args:
            path: `.h5` or `.tfm`.
            spacing_mm: of the field, which is smooth.

        Raises:
            OutputError: the file cannot be written.
        """
        grid = self._grid
        size, spacing = _coarser(grid, spacing_mm)
        field = sitk.TransformToDisplacementField(
            self.transform, sitk.sitkVectorFloat64, size, grid.GetOrigin(), spacing, grid.GetDirection()
        )
        with atomic_path(path) as temporary:
            try:
                sitk.WriteTransform(sitk.DisplacementFieldTransform(field), str(temporary))
            except RuntimeError as error:
                raise OutputError(
                    what="The deformation cannot be written",
                    given=f"{path}: {str(error).splitlines()[-1].strip()[:200]}",
                    remedy="Give a name that ends in .h5 or .tfm",
                ) from error


def register(fixed: Volume, labels: LabelMap, moving: Volume, settings: Registration) -> Registered:
    """Bring `moving` onto the grid of `fixed`; deterministic.

    Args:
        fixed: before treatment.
        labels: on its grid.
        moving: after treatment.
        settings: see `Registration`.

    Raises:
        GeometryMismatchError: the two scans do not overlap, so that there is nothing to register.
        InputError: an unknown kind.
    """
    target, mask, near, inside = _prepared(fixed, labels, settings)
    source = sitk.Cast(sitk.Clamp(to_sitk(moving), sitk.sitkFloat32, *CLAMP_HU), sitk.sitkFloat32)
    grid = to_sitk(Volume(fixed.array.astype(np.float32), fixed.geometry))
    if settings.kind not in KINDS:
        raise InputError(what="Unknown kind of registration", given=settings.kind, remedy="Use " + ", ".join(KINDS))
    try:
        with one_itk_thread:  # the map must not depend on the order in which threads add up
            whole = _rigid(target, mask, source, settings)
            if settings.kind != "rigid":
                whole = _affine(target, mask, source, settings, whole)
            if settings.kind == "deformable":
                whole = _deformable(target, near, source, whole, settings)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        # ITK has one exception for everything; on images of the right type it means that no sample is in both
        raise GeometryMismatchError(
            what="The scan after treatment could not be registered",
            given=f"{fixed.geometry.describe()} and {moving.geometry.describe()} ({reason})",
            remedy="Give two scans of the same part of the body",
        ) from error
    before = _moved(moving, grid, sitk.Transform(3, sitk.sitkIdentity))
    after = _moved(moving, grid, whole)
    quality = {f"{k}_before": v for k, v in agreement(fixed, labels, *before).items()}
    quality |= {f"{k}_after": v for k, v in agreement(fixed, labels, *after).items()}
    quality |= jacobian(whole, target, inside)
    return Registered(Volume(after[0], fixed.geometry, moving.phase), after[1], whole, quality)


def body(hu: NDArray[np.generic]) -> Mask:
    """The largest part that is not air, with its holes (lungs, bowel) filled slice by slice."""
    components, count = ndimage.label(np.asarray(hu) > BODY_HU)
    if not count:
        return np.zeros(hu.shape, bool)
    largest = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(s) for s in largest])


def agreement(fixed: Volume, labels: LabelMap, moved: FloatArray, covered: Mask) -> dict[str, float]:
    """How well two scans on one grid agree, tumour left out where HU are compared.

    `body_dice`; `bone_dice` (`BONE_HU` and more); `abdomen_correlation` and `liver_correlation` of clamped HU;
    `liver_mae_hu`. The liver is that of the scan before.
    """
    a, b = (np.clip(np.asarray(x, np.float32), *CLAMP_HU) for x in (fixed.array, moved))
    inside = body(fixed.array) & covered
    apart = inside & ~labels.tumour
    liver = (labels.array == LIVER) & covered
    return {
        "body_dice": dice(inside, body(moved) & covered),
        "bone_dice": dice((fixed.array >= BONE_HU) & apart, (moved >= BONE_HU) & apart),
        "abdomen_correlation": _correlation(a[apart], b[apart]),
        "liver_correlation": _correlation(a[liver], b[liver]),
        "liver_mae_hu": float(np.abs(a - b)[liver].mean()) if liver.any() else float("nan"),
    }


def jacobian(transform: sitk.Transform, grid: sitk.Image, mask: sitk.Image) -> dict[str, float]:
    """Determinant of the Jacobian in the mask: 1 keeps a volume, 0 or less folds."""
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    values = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    inside = values[sitk.GetArrayFromImage(mask) > 0]
    low, high = np.percentile(inside, [0.5, 99.5])
    return {
        "jacobian_low": float(low),
        "jacobian_high": float(high),
        "jacobian_folded_share": float((inside <= 0).mean()),
    }


def _prepared(fixed: Volume, labels: LabelMap, settings: Registration) -> list[sitk.Image]:
    """The fixed image, clamped and coarser; on its grid: where the linear part draws its samples, where the deformable
    part does, and the body, in which the deformation is checked: in the tumour too, where no sample fixes it."""
    distance = ndimage.distance_transform_edt(~labels.tumour, sampling=fixed.geometry.spacing)
    trunk = body(fixed.array)
    where = trunk & (distance > settings.avoid_mm)
    clamped = Volume(np.clip(fixed.array, *CLAMP_HU).astype(np.float32), fixed.geometry)
    image = to_sitk(clamped)
    liver = ndimage.distance_transform_edt(~labels.liver, sampling=fixed.geometry.spacing) <= settings.near_mm
    size, spacing = _coarser(image, settings.spacing_mm)
    grid = (size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), spacing, image.GetDirection())
    smooth = sitk.SmoothingRecursiveGaussian(image, [0.5 * s for s in spacing])
    coarse = sitk.Resample(smooth, *grid, CLAMP_HU[0], sitk.sitkFloat32)
    masks = [to_sitk(LabelMap(m.astype(np.uint8), fixed.geometry)) for m in (where, where & liver, trunk)]
    nearest = (size, sitk.Transform(), sitk.sitkNearestNeighbor, *grid[3:], 0, sitk.sitkUInt8)
    return [coarse, *(sitk.Resample(mask, *nearest) for mask in masks)]


def _coarser(image: sitk.Image, spacing_mm: float) -> tuple[list[int], list[float]]:
    """Size and spacing of a grid over an image with voxels of about `spacing_mm`."""
    size = [max(8, round(n * s / spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return size, [n * s / m for n, s, m in zip(image.GetSize(), image.GetSpacing(), size, strict=True)]


def _method(mask: sitk.Image, sampling: float, shrink: Sequence[int]) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling, 1)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel([s / 2 if s > 1 else 0 for s in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    return method


def best_shift(target: sitk.Image, mask: sitk.Image, source: sitk.Image) -> NDArray[np.float64]:
    """Shift (mm, LPS, fixed to moving) of the highest correlation over all shifts of whole voxels.

    Two scans of one patient need not share a frame or cover the same slices, and gradient descent from a distant start
    may end anywhere. All shifts are compared at once by masked normalised correlation in the Fourier domain (Padfield,
    IEEE TIP 2012), at `SHIFT_MM`; at least half of the largest possible overlap is required.
    """
    fixed, origin = _on_axes(target, sitk.sitkLinear, CLAMP_HU[0])
    inside, _ = _on_axes(mask, sitk.sitkNearestNeighbor, 0)
    moving, start = _on_axes(source, sitk.sitkLinear, CLAMP_HU[0])
    a, b = inside.astype(np.float64), np.ones(moving.shape)
    f, g = (fixed - CLAMP_HU[0]) * a, moving - CLAMP_HU[0]

    def correlate(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(fftconvolve(x, y[::-1, ::-1, ::-1]))

    count = np.maximum(correlate(a, b), 1e-3)
    sum_f, sum_g = correlate(f, b), correlate(a, g)
    spread_f = correlate(f * f, b) - sum_f**2 / count
    spread_g = correlate(a, g * g) - sum_g**2 / count
    both = np.sqrt(np.maximum(spread_f, 1.0) * np.maximum(spread_g, 1.0))
    score = (correlate(f, g) - sum_f * sum_g / count) / both
    score[count < 0.5 * count.max()] = -np.inf
    offset = np.array(np.unravel_index(int(score.argmax()), score.shape)) - (np.array(g.shape) - 1)  # (k, j, i)
    return np.asarray(start - origin - SHIFT_MM * offset[::-1])


def _on_axes(image: sitk.Image, order: int, fill: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Voxels of `SHIFT_MM` along the LPS axes that cover the image, and the position of the first."""
    corners = np.array(
        [
            image.TransformIndexToPhysicalPoint(
                [n * (size - 1) for n, size in zip(corner, image.GetSize(), strict=True)]
            )
            for corner in np.ndindex(2, 2, 2)
        ]
    )
    low, high = corners.min(0), corners.max(0)
    size = [int(n) for n in np.ceil((high - low) / SHIFT_MM) + 1]
    axes = (size, sitk.Transform(), order, low.tolist(), [SHIFT_MM] * 3, np.eye(3).ravel().tolist())
    found = sitk.Resample(image, *axes, float(fill), sitk.sitkFloat32)
    return sitk.GetArrayFromImage(found).astype(np.float64), low


def _linear(
    target: sitk.Image, mask: sitk.Image, source: sitk.Image, begin: sitk.Transform, settings: Registration
) -> sitk.Transform:
    method = _method(mask, settings.sampling, settings.shrink)
    method.SetInitialTransform(begin, inPlace=False)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, 6 * settings.iterations)
    method.SetOptimizerScalesFromPhysicalShift()
    found = method.Execute(target, source)
    # the optimiser wraps what it was given
    single: sitk.Transform = found.GetNthTransform(0) if found.GetName() == "CompositeTransform" else found
    return single


def _rigid(target: sitk.Image, mask: sitk.Image, source: sitk.Image, settings: Registration) -> sitk.Transform:
    """Rigid map about the middle of the fixed image, begun from the best shift."""
    begin = sitk.Euler3DTransform()
    begin.SetCenter(target.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in target.GetSize()]))
    begin.SetTranslation(best_shift(target, mask, source).tolist())
    return _linear(target, mask, source, begin, settings)


def _affine(
    target: sitk.Image, mask: sitk.Image, source: sitk.Image, settings: Registration, rigid: sitk.Transform
) -> sitk.Transform:
    """Affine map begun from the rigid one."""
    turned = sitk.Euler3DTransform(rigid)
    begin = sitk.AffineTransform(3)
    begin.SetMatrix(turned.GetMatrix())
    begin.SetCenter(turned.GetCenter())
    begin.SetTranslation(turned.GetTranslation())
    return _linear(target, mask, source, begin, settings)


def _deformable(
    target: sitk.Image, mask: sitk.Image, source: sitk.Image, affine: sitk.Transform, settings: Registration
) -> sitk.Transform:
    """B-spline deformation behind the affine map, control points halved from level to level."""
    lengths = [n * s for n, s in zip(target.GetSize(), target.GetSpacing(), strict=True)]
    mesh = [max(1, round(length / settings.mesh_mm)) for length in lengths]
    inside = max(1, int(np.count_nonzero(sitk.GetArrayViewFromImage(mask))))
    scales = [2**n for n in range(settings.levels)]
    method = _method(mask, min(settings.sampling, settings.samples / inside), scales[::-1])
    method.SetMovingInitialTransform(affine)
    method.SetInitialTransformAsBSpline(sitk.BSplineTransformInitializer(target, mesh, order=3), True, scales)
    # a quasi-Newton optimiser left the liver worse than the affine map, or squeezed it to half its volume
    method.SetOptimizerAsGradientDescentLineSearch(5.0, settings.iterations, 1e-4, 5)
    bend = method.Execute(target, source)
    # SimpleITK applies the last of a composite first: a point is bent, then mapped.
    return sitk.CompositeTransform([affine, bend])


def _moved(moving: Volume, grid: sitk.Image, transform: sitk.Transform) -> tuple[FloatArray, Mask]:
    image = to_sitk(Volume(moving.array.astype(np.float32), moving.geometry))
    there = to_sitk(LabelMap(np.ones(moving.geometry.shape, np.uint8), moving.geometry))
    hu = sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, AIR_HU, sitk.sitkFloat32))
    covered = sitk.Resample(there, grid, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return hu, sitk.GetArrayFromImage(covered) > 0


def _correlation(a: FloatArray, b: FloatArray) -> float:
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
