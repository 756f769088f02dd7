"""The steps of a registration, each from one map to the next: shift, rigid, affine, deformable, outlines.

All of them see the scan before, coarser and clamped, and a mask on its grid that says where they draw their samples.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.io import image_of, to_sitk
from MeWMLib.core.volume import LIVER, Geometry, LabelMap, Volume
from MeWMLib.perception.preprocess import AIR_HU
from MeWMLib.perception.registration_quality import BONE_HU, CLAMP_HU, body, within

#: Step in which shifts are compared.
SHIFT_MM = 6.0
#: How far over the tumour's outline it is painted over: oil and oedema lie beside it as well.
PAINT_MM = 3.0
#: Distance to the outline of the liver: where samples are drawn, and where the map of distances ends.
OUTLINE_MM, FURTHEST_MM = 12.0, 25.0
#: A deformation by outlines is whole within the first distance of the liver and gone at the second: no sample holds it
#: there.
WHOLE_MM, GONE_MM = 15.0, 60.0

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Registration:
    """How to register.

    Attributes:
        kind: "staged" keeps each stage only where it helps; "rigid", "affine" and "deformable" are done one after the
            other up to the one that is named, whatever they do to the agreement.
        spacing_mm: voxel size at which the metric is computed.
        shrink: pyramid, coarse to fine, of the linear parts.
        mesh_mm: distance of the B-splines' control points on the first level; halved on each further one.
        levels: of the deformable part.
        iterations: on each level.
        sampling: share of voxels that the metric draws.
        samples: that the deformable parts draw at most; more take time and do not improve Dice (docs/REGISTRATION.md).
        avoid_mm: no samples within this distance of a tumour that is not painted over.
        near_mm: samples of the liver's own parts are within this distance of it; bowel and a filled stomach, which
            look different every day, would drive them.
        outline_mesh_mm: distance of the control points of the part that matches outlines.
    """

    kind: str = "staged"
    spacing_mm: float = 3.0
    shrink: tuple[int, ...] = (4, 2, 1)
    mesh_mm: float = 80.0
    levels: int = 2
    iterations: int = 15
    sampling: float = 0.3
    samples: int = 15_000
    avoid_mm: float = 6.0
    near_mm: float = 20.0
    outline_mesh_mm: float = 40.0


@dataclass(frozen=True, eq=False)
class Prepared:
    """What the steps work on.

    Attributes:
        target: the scan before, clamped and coarser; the tumour painted over in `plain`.
        source: the scan after, clamped; `plain_source` with the tumour painted over.
        wide: samples of the whole body.
        near: samples around the liver.
        trunk: the body, in which a deformation is checked: in the tumour too, where no sample fixes it.
    """

    target: sitk.Image
    plain: sitk.Image
    source: sitk.Image
    plain_source: sitk.Image
    wide: sitk.Image
    near: sitk.Image
    trunk: sitk.Image


def prepare(
    fixed: Volume, labels: LabelMap, moving: Volume, moving_labels: LabelMap | None, settings: Registration
) -> Prepared:
    """Clamp, paint and thin out the scans, and lay the masks."""
    spacing = fixed.geometry.spacing
    trunk = body(fixed.array)
    apart = trunk & ~within(labels.tumour, settings.avoid_mm, spacing)
    # without an outline of the tumour after treatment only distance keeps oil out
    around = trunk if moving_labels is not None else apart
    near = around & within(labels.liver, settings.near_mm, spacing) if labels.liver.any() else around
    image = image_of(clamped(fixed), fixed.geometry)
    size, voxel = coarser(image, settings.spacing_mm)
    place = (image.GetOrigin(), voxel, image.GetDirection())
    masks = [
        sitk.Resample(
            image_of(mask.astype(np.uint8), fixed.geometry), size, sitk.Transform(), sitk.sitkNearestNeighbor, *place,
            0, sitk.sitkUInt8,
        )
        for mask in (apart, near, trunk)
    ]  # fmt: skip

    def thin(array: FloatArray) -> sitk.Image:
        smooth = sitk.SmoothingRecursiveGaussian(image_of(array, fixed.geometry), [0.5 * s for s in voxel])
        return sitk.Resample(smooth, size, sitk.Transform(), sitk.sitkLinear, *place, CLAMP_HU[0], sitk.sitkFloat32)

    source = plain_source = image_of(clamped(moving), moving.geometry)
    if moving_labels is not None:
        plain_source = image_of(painted_over(moving, moving_labels), moving.geometry)
    return Prepared(
        target=thin(clamped(fixed)),
        plain=thin(painted_over(fixed, labels)),
        source=source,
        plain_source=plain_source,
        wide=masks[0],
        near=masks[1],
        trunk=masks[2],
    )  # fmt: skip


def clamped(ct: Volume) -> FloatArray:
    """HU that the registration sees."""
    return np.asarray(np.clip(ct.array, *CLAMP_HU), np.float32)


def painted_over(ct: Volume, labels: LabelMap) -> FloatArray:
    """Clamped HU with tumour and Lipiodol in the liver painted over at the density of the liver.

    What treatment changes is gone; the border of the liver behind the tumour stays, and can be matched.
    """
    hu = clamped(ct)
    oil = labels.liver & (ct.array >= BONE_HU)
    sick = labels.tumour | oil
    if not sick.any():
        return hu
    close = within(sick, PAINT_MM, ct.geometry.spacing)
    healthy = (labels.array == LIVER) & ~close
    hu[labels.liver & close] = float(np.median(hu[healthy])) if healthy.any() else 100.0
    return hu


def coarser(image: sitk.Image, spacing_mm: float) -> tuple[list[int], list[float]]:
    """Size and spacing of a grid over an image with voxels of about `spacing_mm`."""
    size = [max(8, round(n * s / spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)]
    return size, [n * s / m for n, s, m in zip(image.GetSize(), image.GetSpacing(), size, strict=True)]


def shift(ready: Prepared) -> sitk.Transform:
    """The best of all shifts, as a rigid map about the middle of the scan before.

    Raises:
        RuntimeError: there is no voxel to compare.
    """
    if not sitk.GetArrayViewFromImage(ready.wide).any():
        raise RuntimeError("there is no voxel to sample")  # noqa: EM101, as ITK says it of the other steps
    found = still(ready)
    found.SetTranslation(best_shift(ready.target, ready.wide, ready.source).tolist())
    return found


def still(ready: Prepared) -> sitk.Euler3DTransform:
    """The rigid map that moves nothing, about the middle of the scan before."""
    found = sitk.Euler3DTransform()
    size = ready.target.GetSize()
    found.SetCenter(ready.target.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in size]))
    return found


def rigid(ready: Prepared, begin: sitk.Transform, settings: Registration, near: bool = False) -> sitk.Transform:
    """Rigid map of the body, or of the liver and what is around it (breathing moves it against the spine)."""
    return _linear(ready, sitk.Euler3DTransform(begin), settings, near)


def affine(ready: Prepared, begin: sitk.Transform, settings: Registration, near: bool = False) -> sitk.Transform:
    """Affine map begun from a rigid one."""
    turned = sitk.Euler3DTransform(begin)
    found = sitk.AffineTransform(3)
    found.SetMatrix(turned.GetMatrix())
    found.SetCenter(turned.GetCenter())
    found.SetTranslation(turned.GetTranslation())
    return _linear(ready, found, settings, near)


def deformable(ready: Prepared, linear: sitk.Transform, settings: Registration) -> sitk.Transform:
    """B-spline deformation behind a linear map by mutual information, control points halved from level to level."""
    scales = [2**n for n in range(settings.levels)]
    method = _method(ready.near, _share(ready.near, settings), scales[::-1])
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMovingInitialTransform(linear)
    bend = _bend(method, ready.plain, ready.plain_source, settings.mesh_mm, scales, settings.iterations)
    # SimpleITK applies the last of a composite first: a point is bent, then mapped
    return sitk.CompositeTransform([linear, as_field(bend, ready.plain)])


def outlines(
    ready: Prepared, begin: sitk.Transform, labels: LabelMap, moving_labels: LabelMap, settings: Registration
) -> sitk.Transform:
    """B-spline deformation that brings the outlines of both livers together, behind what was found before.

    The squared difference of the distances to either outline, within `OUTLINE_MM` of it. It is what holds the border
    behind the tumour, where the images hold nothing that treatment did not change.
    """
    (target, drawn), (source, known) = _distances(labels), _distances(moving_labels)
    place = (ready.plain, sitk.Transform())
    coarse = sitk.Resample(target, *place, sitk.sitkLinear, FURTHEST_MM)
    mask = sitk.Resample(drawn, *place, sitk.sitkNearestNeighbor, 0) & (sitk.Abs(coarse) < OUTLINE_MM)
    method = _method(mask, 0.5 * _share(mask, settings), [1])
    method.SetMetricMovingMask(known)
    method.SetMetricAsMeanSquares()
    method.SetMovingInitialTransform(as_field(begin, coarse))
    bend = as_field(_bend(method, coarse, source, settings.outline_mesh_mm, [1], settings.iterations), coarse)
    field = sitk.GetArrayFromImage(bend.GetDisplacementField())
    outside = ndimage.distance_transform_edt(
        sitk.GetArrayFromImage(sitk.Resample(to_sitk(labels), *place, sitk.sitkNearestNeighbor)) < LIVER,
        sampling=coarse.GetSpacing()[::-1],
    )
    share = np.clip((GONE_MM - outside) / (GONE_MM - WHOLE_MM), 0, 1)[..., None]
    image = sitk.GetImageFromArray(field * share, isVector=True)
    image.CopyInformation(coarse)
    local = sitk.DisplacementFieldTransform(image)
    return sitk.CompositeTransform([*_parts(begin), local])


def _distances(labels: LabelMap) -> tuple[sitk.Image, sitk.Image]:
    """Distance (mm) to the outline of the liver, negative inside; and where that is sure.

    Where the end of the scan is nearer than the outline, there may be liver beyond it that nobody outlined.
    """
    spacing, liver = labels.geometry.spacing, labels.liver
    box = tuple(
        slice(max(0, s.start - reach), s.stop + reach)
        for s, reach in zip(
            ndimage.find_objects(liver.astype(np.uint8))[0], (int(FURTHEST_MM / v) + 2 for v in spacing), strict=True
        )
    )
    part = liver[box]
    distance = np.full(liver.shape, FURTHEST_MM, np.float32)
    signed = ndimage.distance_transform_edt(~part, sampling=spacing)
    signed -= ndimage.distance_transform_edt(part, sampling=spacing)
    distance[box] = np.clip(signed, -FURTHEST_MM, FURTHEST_MM)
    ends = [(np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5) * v for n, v in zip(liver.shape, spacing, strict=True)]
    to_end = np.minimum(np.minimum(ends[0][:, None, None], ends[1][:, None]), ends[2])
    sure = (np.abs(distance) <= to_end) | (np.abs(distance) >= FURTHEST_MM)
    return image_of(distance, labels.geometry), image_of(sure.astype(np.uint8), labels.geometry)


def as_field(transform: sitk.Transform, grid: sitk.Image) -> sitk.DisplacementFieldTransform:
    """A map as displacements on a grid: quick to apply, and with the derivative that ITK's B-splines lack."""
    return sitk.DisplacementFieldTransform(
        sitk.TransformToDisplacementField(
            transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
        )
    )


def moved(moving: Volume, grid: sitk.Image, transform: sitk.Transform) -> tuple[FloatArray, Mask]:
    """The scan after on the grid, and where it has voxels."""
    image = image_of(moving.array.astype(np.float32), moving.geometry)
    there = image_of(np.ones(moving.geometry.shape, np.uint8), moving.geometry)
    hu = sitk.GetArrayFromImage(sitk.Resample(image, grid, transform, sitk.sitkLinear, AIR_HU, sitk.sitkFloat32))
    covered = sitk.Resample(there, grid, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return hu, sitk.GetArrayFromImage(covered) > 0


def moved_labels(moving: LabelMap, grid: sitk.Image, geometry: Geometry, transform: sitk.Transform) -> LabelMap:
    """Labels of the scan after on the grid, by nearest neighbour."""
    found = sitk.Resample(to_sitk(moving), grid, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return LabelMap(sitk.GetArrayFromImage(found), geometry)


def best_shift(target: sitk.Image, mask: sitk.Image, source: sitk.Image) -> NDArray[np.float64]:
    """Shift (mm, LPS, fixed to moving) of the highest correlation over all shifts of whole voxels.

    Two scans of one patient need not share a frame or cover the same slices, and gradient descent from a distant start
    may end anywhere. All shifts are compared at once by masked normalised correlation in the Fourier domain (Padfield,
    IEEE TIP 2012), at `SHIFT_MM`; at least half of the largest possible overlap is required.
    """
    # not at the top: it brings scipy.stats along, half a second of every worker that registers nothing
    from scipy.signal import fftconvolve

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


def _method(mask: sitk.Image, sampling: float, shrink: Sequence[int]) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(sampling, 1)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel(list(shrink))
    method.SetSmoothingSigmasPerLevel([s / 2 if s > 1 else 0 for s in shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    return method


def _share(mask: sitk.Image, settings: Registration) -> float:
    inside = max(1, int(np.count_nonzero(sitk.GetArrayViewFromImage(mask))))
    return min(settings.sampling, settings.samples / inside)


def _linear(ready: Prepared, begin: sitk.Transform, settings: Registration, near: bool) -> sitk.Transform:
    """A linear map by mutual information; that of the liver begins near, and needs no coarsest level."""
    shrink = settings.shrink[1:] or settings.shrink if near else settings.shrink
    method = _method(ready.near if near else ready.wide, settings.sampling, shrink)
    method.SetMetricAsMattesMutualInformation(48)
    method.SetInitialTransform(begin, inPlace=False)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, 6 * settings.iterations)
    method.SetOptimizerScalesFromPhysicalShift()
    images = (ready.plain, ready.plain_source) if near else (ready.target, ready.source)
    found = method.Execute(*images)
    # the optimiser wraps what it was given
    return _parts(found)[0]


def _bend(
    method: sitk.ImageRegistrationMethod,
    target: sitk.Image,
    source: sitk.Image,
    mesh_mm: float,
    scales: Sequence[int],
    iterations: int,
) -> sitk.Transform:
    lengths = [n * s for n, s in zip(target.GetSize(), target.GetSpacing(), strict=True)]
    mesh = [max(1, round(length / mesh_mm)) for length in lengths]
    method.SetInitialTransformAsBSpline(sitk.BSplineTransformInitializer(target, mesh, order=3), True, list(scales))
    # a quasi-Newton optimiser left the liver worse than the affine map, or squeezed it to half its volume
    method.SetOptimizerAsGradientDescentLineSearch(5.0, iterations, 1e-4, 5)
    found: sitk.Transform = method.Execute(target, source)
    return found


def _parts(transform: Any) -> list[sitk.Transform]:
    """The maps that a composite is made of; any other is one itself."""
    if not _is_composite(transform):
        return [transform]
    return [transform.GetNthTransform(n) for n in range(transform.GetNumberOfTransforms())]


def _is_composite(transform: sitk.Transform) -> bool:
    return bool(transform.GetName() == "CompositeTransform")
