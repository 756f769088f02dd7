"""One real patient scanned before and after TACE: is the simulated CT nearer to the real one than no change is?

The scan after treatment is registered to the one before: an affine map and then a free-form deformation (cubic
B-splines, Rueckert et al., IEEE TMI 1999), both by Mattes' mutual information, as SimpleITK has them. Lipiodol must not
drive the registration: HU are clamped to -200..250 and no sample is drawn in the tumour or near it, so that there the
deformation is only carried on from what surrounds it.

One patient is an example, no evidence: every figure has n = 1 and no interval.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.bundles import Bundle
from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.io import to_sitk, write_json
from MeWMLib.core.plan import PlanSettings, replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Volume
from MeWMLib.dynamics.autoencoder import WINDOW_HU, Autoencoder
from MeWMLib.evaluation.metrics import Rows, bootstrap_mean
from MeWMLib.evaluation.montage import Tile, write_tiles
from MeWMLib.patch import TreatedPatch
from MeWMLib.perception.findings import LIPIODOL_HU, dice
from MeWMLib.perception.preprocess import AIR_HU, resample
from MeWMLib.world import WorldModel

#: Range that the registration sees: fat to enhanced vessels; Lipiodol and bone look alike at its end.
CLAMP_HU = (-200.0, 250.0)
#: Voxels of the codec's second figure: Lipiodol that no tissue reaches.
DENSE_HU = 250.0
BODY_HU = -300.0
BONE_HU = 250.0

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Registration:
    """How to register.

    Attributes:
        spacing_mm: voxel size at which the metric is computed.
        shrink: pyramid, coarse to fine, of the affine part.
        mesh_mm: distance of the B-splines' control points on the first level; halved on each further one.
        levels: of the deformable part; 0 leaves it out.
        iterations: on each level.
        sampling: share of voxels that the metric draws.
        avoid_mm: no samples within this distance of the tumour.
        near_mm: samples of the deformable part lie within this distance of the liver; bowel and a filled stomach, which
            look different every day, would drive it.
    """

    spacing_mm: float = 3.0
    shrink: tuple[int, ...] = (4, 2, 1)
    mesh_mm: float = 80.0
    levels: int = 2
    iterations: int = 15
    sampling: float = 0.3
    avoid_mm: float = 6.0
    near_mm: float = 20.0


@dataclass(frozen=True, eq=False)
class Registered:
    """A scan brought onto the grid of another.

    Attributes:
        ct: the moving scan on the fixed grid; `covered` says where it has voxels.
        covered: (K, J, I).
        quality: see `agreement`, with "_before" and "_after", and the Jacobian of the deformation.
    """

    ct: Volume
    covered: Mask
    quality: dict[str, float]


def evaluate_real_pair(
    bundle: Bundle,
    pre_ct: Volume,
    pre_labels: LabelMap,
    post_ct: Volume,
    protocol: Protocol,
    out: Path,
    replicas: int = 3,
    seed: int = 0,
    registration: Registration | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> Rows:
    """Simulate the protocol that was given and compare with the real scan after it.

    Rows: `mewm` (mean of the replicas), `copy_pre`, `codec` (the real scan through the bundle's autoencoder, what no
    simulation by it can beat).

    Metrics on the treated patch: `tumour_mae_hu` in the dilated tumour (inside the window);
    `lipiodol_volume_error` in ml within the outline before treatment; `lipiodol_ml` itself, and of the real scan in the
    row `real_post`; for the codec `tumour_psnr_db` and `lipiodol_psnr_db` (voxels of `DENSE_HU` and more), against the
    window's width of 775 HU.

    Args:
        bundle: never trained on this post-treatment scan, if this is to be a test.
        pre_ct, pre_labels: before, on one grid.
        post_ct: after, on any grid near the same place.
        protocol: what the patient was given.
        out: folder for `real_pair.png` and `registration.json`.
        replicas, seed: of the simulation.
        registration: settings.
        on_step: told the stage and its share.

    Raises:
        NoTumourError: the labels hold no tumour.
        GeometryMismatchError: the scans do not overlap, or the registered scan does not cover the tumour.
    """
    say = on_step or (lambda stage, share: None)
    say("registration", 0.0)
    moved = register(pre_ct, pre_labels, post_ct, registration or Registration())
    world = WorldModel.load(bundle)
    patient = world.patient("real pair", pre_ct, pre_labels)
    patch = TreatedPatch.of(patient)
    reached = resample(moved.covered.astype(np.uint8), pre_ct.geometry, patch.geometry, "nearest", 0) > 0
    tumour = patch.labels == TUMOUR
    share = float(reached[tumour].mean())
    if share < 0.5:
        raise GeometryMismatchError(
            what="The registered scan after treatment does not cover the tumour",
            given=f"{100 * share:.0f} % of the tumour in the patch",
            remedy="Give a scan of the whole liver",
        )
    say("simulation", 0.4)
    outcomes = world.simulate(patient, protocol, replica_seeds(seed, replicas), PlanSettings(replicas=replicas))
    images = [resample(o.ct.array, o.ct.geometry, patch.geometry).astype(np.float32) for o in outcomes]
    simulated = np.mean(images, axis=0)
    truth = resample(moved.ct.array, pre_ct.geometry, patch.geometry).astype(np.float32)
    say("measures", 0.8)
    inside, counted = (patch.weight > 0) & reached, tumour & reached
    ml = patch.geometry.voxel_ml
    real_oil = float((truth[counted] >= LIPIODOL_HU).sum()) * ml
    values: dict[str, dict[str, float]] = {"real_post": {"lipiodol_ml": real_oil}}
    for row, image, drawn in (("mewm", simulated, images), ("copy_pre", patch.hu, [patch.hu])):
        oil = float(np.mean([(i[counted] >= LIPIODOL_HU).sum() for i in drawn])) * ml
        values[row] = {
            "tumour_mae_hu": mean_error(image, truth, inside),
            "lipiodol_volume_error": abs(oil - real_oil),
            "lipiodol_ml": oil,
        }
    values["codec"] = codec_figures(Autoencoder.from_part(*bundle.part("autoencoder")), patch.hu, truth, counted)
    quality = {**moved.quality, "tumour_covered": share}
    write_json({k: round(v, 4) if np.isfinite(v) else None for k, v in quality.items()}, out / "registration.json")
    write_picture(out / "real_pair.png", patch, simulated, truth, protocol)
    say("done", 1.0)
    return {row: {m: bootstrap_mean([v], seed) for m, v in figures.items()} for row, figures in values.items()}


def mean_error(image: FloatArray, truth: FloatArray, inside: Mask) -> float:
    """Mean absolute error (HU, both clipped to the window) in `inside`."""
    return float(np.abs(np.clip(image, *WINDOW_HU) - np.clip(truth, *WINDOW_HU))[inside].mean())


def psnr(image: FloatArray, truth: FloatArray, inside: Mask) -> float:
    """Peak signal to noise ratio (dB) in `inside`, against the window's width; NaN if nothing is inside."""
    if not inside.any():
        return float("nan")
    squared = (np.clip(image, *WINDOW_HU).astype(np.float64) - np.clip(truth, *WINDOW_HU))[inside] ** 2
    width = WINDOW_HU[1] - WINDOW_HU[0]
    return float(10 * np.log10(width**2 / max(float(squared.mean()), 1e-12)))


def codec_figures(codec: Autoencoder, before: FloatArray, after: FloatArray, tumour: Mask) -> dict[str, float]:
    """How well the codec holds the scan after treatment in the tumour.

    `tumour_psnr_db` and `lipiodol_psnr_db`: encoded and decoded by itself. `tumour_residual_psnr_db`: as the dynamics
    model uses the codec, x_pre + Dec(z_post - z_pre). `tumour_mae_hu` is of that too.
    """
    with torch.inference_mode():
        pre, post = (torch.from_numpy(np.ascontiguousarray(a, np.float32))[None, None] for a in (before, after))
        latent = codec.encode(post)
        alone = codec.decode(latent)[0, 0].numpy()
        residual = codec.decode_change(pre, latent - codec.encode(pre))[0, 0].numpy()
    return {
        "tumour_psnr_db": psnr(alone, after, tumour),
        "lipiodol_psnr_db": psnr(alone, after, tumour & (after >= DENSE_HU)),
        "tumour_residual_psnr_db": psnr(residual, after, tumour),
        "tumour_mae_hu": mean_error(residual, after, tumour),
    }


def register(fixed: Volume, labels: LabelMap, moving: Volume, settings: Registration) -> Registered:
    """Bring `moving` onto the grid of `fixed`; deterministic.

    Args:
        fixed: before treatment.
        labels: on its grid.
        moving: after treatment.
        settings: see `Registration`.

    Raises:
        GeometryMismatchError: the two scans do not overlap, so that there is nothing to register.
    """
    target, mask, near = _prepared(fixed, labels, settings)
    source = sitk.Cast(sitk.Clamp(to_sitk(moving), sitk.sitkFloat32, *CLAMP_HU), sitk.sitkFloat32)
    grid = to_sitk(Volume(fixed.array.astype(np.float32), fixed.geometry))
    try:
        affine = _affine(target, mask, source, settings)
        whole = _deformable(target, near, source, affine, settings) if settings.levels else affine
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        # ITK has one exception for all; on images of the right type this one means that no sample lies in both
        raise GeometryMismatchError(
            what="The scan after treatment could not be registered",
            given=f"{fixed.geometry.describe()} and {moving.geometry.describe()} ({reason})",
            remedy="Give two scans of the same part of the body",
        ) from error
    before = _moved(moving, grid, sitk.Transform(3, sitk.sitkIdentity))
    after = _moved(moving, grid, whole)
    quality = {f"{k}_before": v for k, v in agreement(fixed, labels, *before).items()}
    quality |= {f"{k}_after": v for k, v in agreement(fixed, labels, *after).items()}
    quality |= jacobian(whole, target, mask)
    return Registered(Volume(after[0], fixed.geometry, moving.phase), after[1], quality)


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
    values = sitk.GetArrayViewFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    inside = values[sitk.GetArrayViewFromImage(mask) > 0]
    low, high = np.percentile(inside, [0.5, 99.5])
    return {
        "jacobian_low": float(low),
        "jacobian_high": float(high),
        "jacobian_folded_share": float((inside <= 0).mean()),
    }


def write_picture(
    path: Path, patch: TreatedPatch, simulated: FloatArray, truth: FloatArray, protocol: Protocol
) -> None:
    """PNG: before, simulated, real after (registered), simulated minus real; the slice with most tumour."""
    tumour = patch.labels == TUMOUR
    k = int(tumour.sum((1, 2)).argmax())
    outline = tumour[k]
    tiles = [
        Tile(patch.hu[k], "before", outline),
        Tile(simulated[k], f"simulated: {protocol.text}", outline, simulated=True),
        Tile(truth[k], "real scan after, registered", outline),
        Tile((simulated - truth)[k], "simulated minus real (HU)", outline, simulated=True, difference=True),
    ]
    write_tiles(path, [tiles])


def _prepared(fixed: Volume, labels: LabelMap, settings: Registration) -> tuple[sitk.Image, sitk.Image, sitk.Image]:
    """The fixed image, clamped and coarser; where the affine part draws its samples; where the deformable part does."""
    distance = ndimage.distance_transform_edt(~labels.tumour, sampling=fixed.geometry.spacing)
    where = body(fixed.array) & (distance > settings.avoid_mm)
    clamped = Volume(np.clip(fixed.array, *CLAMP_HU).astype(np.float32), fixed.geometry)
    image = to_sitk(clamped)
    liver = ndimage.distance_transform_edt(~labels.liver, sampling=fixed.geometry.spacing) <= settings.near_mm
    size = [
        max(8, round(n * s / settings.spacing_mm)) for n, s in zip(image.GetSize(), image.GetSpacing(), strict=True)
    ]
    spacing = [n * s / m for n, s, m in zip(image.GetSize(), image.GetSpacing(), size, strict=True)]
    grid = (size, sitk.Transform(), sitk.sitkLinear, image.GetOrigin(), spacing, image.GetDirection())
    smooth = sitk.SmoothingRecursiveGaussian(image, [0.5 * s for s in spacing])
    coarse = sitk.Resample(smooth, *grid, CLAMP_HU[0], sitk.sitkFloat32)
    masks = [to_sitk(LabelMap(m.astype(np.uint8), fixed.geometry)) for m in (where, where & liver)]
    nearest = (size, sitk.Transform(), sitk.sitkNearestNeighbor, *grid[3:], 0, sitk.sitkUInt8)
    return coarse, *(sitk.Resample(m, *nearest) for m in masks)


def _method(mask: sitk.Image, settings: Registration) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(settings.sampling, 1)
    method.SetMetricFixedMask(mask)
    method.SetInterpolator(sitk.sitkLinear)
    # Sums over threads come in another order each time; the map must not depend on that.
    method.SetGlobalDefaultNumberOfThreads(1)
    return method


def _affine(target: sitk.Image, mask: sitk.Image, source: sitk.Image, settings: Registration) -> sitk.Transform:
    """Affine map, begun from the place that the files give or from the images' middles, whichever fits better."""
    begins = [
        sitk.AffineTransform(3),
        sitk.AffineTransform(
            sitk.CenteredTransformInitializer(
                target, source, sitk.AffineTransform(3), sitk.CenteredTransformInitializerFilter.GEOMETRY
            )
        ),
    ]
    centre = target.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in target.GetSize()])
    begins[0].SetCenter(centre)
    scores = []
    for begin in begins:
        judge = _method(mask, settings)
        judge.SetInitialTransform(begin)
        try:
            scores.append(judge.MetricEvaluate(target, source))
        except RuntimeError:
            scores.append(np.inf)  # no overlap from this beginning
    method = _method(mask, settings)
    method.SetInitialTransform(begins[int(np.argmin(scores))], inPlace=False)
    method.SetShrinkFactorsPerLevel(list(settings.shrink))
    method.SetSmoothingSigmasPerLevel([s / 2 if s > 1 else 0 for s in settings.shrink])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 0.01, 6 * settings.iterations)
    method.SetOptimizerScalesFromPhysicalShift()
    return method.Execute(target, source)


def _deformable(
    target: sitk.Image, mask: sitk.Image, source: sitk.Image, affine: sitk.Transform, settings: Registration
) -> sitk.Transform:
    """B-spline deformation behind the affine map, control points halved from level to level."""
    lengths = [n * s for n, s in zip(target.GetSize(), target.GetSpacing(), strict=True)]
    mesh = [max(1, round(length / settings.mesh_mm)) for length in lengths]
    method = _method(mask, settings)
    method.SetMovingInitialTransform(affine)
    scales = [2**n for n in range(settings.levels)]
    method.SetInitialTransformAsBSpline(sitk.BSplineTransformInitializer(target, mesh, order=3), True, scales)
    method.SetShrinkFactorsPerLevel(scales[::-1])
    method.SetSmoothingSigmasPerLevel([s / 2 if s > 1 else 0 for s in scales[::-1]])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    # a quasi-Newton optimiser left the liver worse than the affine map did, or squeezed it to half its volume
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
