"""How well two scans on one grid agree, whether a deformation is sound, and whether that is good enough to go on."""

# mypy: allow-untyped-calls
from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import RegistrationError
from MeWMLib.core.volume import LIVER, LabelMap, Volume
from MeWMLib.perception.findings import dice

#: Range in which scans are compared: fat to enhanced vessels; Lipiodol and bone look alike at its upper end.
CLAMP_HU = (-200.0, 250.0)
BODY_HU = -300.0
BONE_HU = 250.0
#: Around the liver, where its border shows whether it fits: inside alone a liver that is too large fits best.
NEAR_MM = 12.0
#: What a stage is judged by, as a misfit that is 0 where two scans are one: name, words, and the misfit of a value.
_MISFITS: tuple[tuple[str, str, Callable[[float], float]], ...] = (
    ("liver_dice", "liver Dice", lambda dice: 1.0 - dice),
    ("liver_mae_hu", "error in the liver (HU)", lambda error: error / 100.0),
    ("near_correlation", "correlation in and around the liver", lambda correlation: 1.0 - correlation),
)
#: A stage must lower the misfits by so much on average, and may raise none by more; a misfit below the last is noise.
LEAST_GAIN, MOST_LOSS, LEAST_MISFIT = 0.02, 0.2, 0.01
#: What must agree in two registered scans: below the first limit the registration failed, from the second on it is
#: fair, from the third on good. Measured on real scans: docs/REGISTRATION.md.
LIMITS: dict[str, tuple[float, float, float]] = {
    "liver_dice": (0.8, 0.87, 0.92),
    "liver_covered": (0.7, 0.9, 0.97),
    "near_correlation": (0.35, 0.45, 0.55),
    "abdomen_correlation": (0.35, 0.4, 0.5),
    "jacobian_low": (0.5, 0.6, 0.7),
}
_TOLD = {
    "liver_dice": "liver Dice",
    "liver_covered": "share of the liver that is shown",
    "near_correlation": "correlation in and around the liver",
    "abdomen_correlation": "correlation of the abdomen",
    "jacobian_low": "smallest change of volume (Jacobian)",
    "liver_mae_hu": "error in the liver (HU)",
}
#: A deformation that folds more of the body than this is not kept.
MOST_FOLDED = 0.002

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


def body(hu: NDArray[np.generic]) -> Mask:
    """The largest part that is not air, with its holes (lungs, bowel) filled slice by slice."""
    components, count = ndimage.label(np.asarray(hu) > BODY_HU)
    if not count:
        return np.zeros(hu.shape, bool)
    largest = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(s) for s in largest])


def within(mask: Mask, reach_mm: float, spacing: tuple[float, float, float]) -> Mask:
    """Voxels (K, J, I) of a mask and within some mm of it; only its box and that margin are looked at."""
    found = np.zeros(mask.shape, bool)
    if not mask.any():
        return found
    margins = [int(reach_mm / step) + 1 for step in spacing]
    # faster than find_objects where most is empty
    sides = [np.flatnonzero(mask.any(axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    box = tuple(slice(max(0, int(s[0]) - n), int(s[-1]) + 1 + n) for s, n in zip(sides, margins, strict=True))
    found[box] = ndimage.distance_transform_edt(~mask[box], sampling=spacing) <= reach_mm
    return found


def agreement(
    fixed: Volume, labels: LabelMap, moved: FloatArray, covered: Mask, moved_labels: LabelMap | None = None
) -> dict[str, float]:
    """How well two scans on one grid agree, tumour left out where HU are compared.

    `body_dice`; `bone_dice` (`BONE_HU` and more); `abdomen_correlation`, `liver_correlation` and `near_correlation`
    (of the liver and `NEAR_MM` around it) of clamped HU; `liver_mae_hu`; `liver_covered`, the share of the liver that
    the moved scan shows; `liver_dice` where labels of the moved scan are given. The liver is that of the scan before,
    the tumour that of both.

    Args:
        fixed, labels: the scan before, on one grid.
        moved: (K, J, I) the scan after, brought onto that grid.
        covered: where it has voxels.
        moved_labels: of the scan after, brought onto that grid.
    """
    a, b = (np.clip(np.asarray(x, np.float32), *CLAMP_HU) for x in (fixed.array, moved))
    inside = body(fixed.array) & covered
    tumour = labels.tumour if moved_labels is None else labels.tumour | moved_labels.tumour
    apart = inside & ~tumour
    liver = (labels.array == LIVER) & covered & ~tumour
    near = apart & within(labels.liver, NEAR_MM, fixed.geometry.spacing)
    found = {
        "body_dice": dice(inside, body(moved) & covered),
        "bone_dice": dice((fixed.array >= BONE_HU) & apart, (moved >= BONE_HU) & apart),
        "abdomen_correlation": _correlation(a[apart], b[apart]),
        "liver_correlation": _correlation(a[liver], b[liver]),
        "near_correlation": _correlation(a[near], b[near]),
        "liver_mae_hu": float(np.abs(a - b)[liver].mean()) if liver.any() else float("nan"),
        "liver_covered": float(covered[labels.liver].mean()) if labels.liver.any() else 0.0,
    }
    if moved_labels is not None:
        found["liver_dice"] = dice(labels.liver & covered, moved_labels.liver & covered)
    return found


def helps(before: Mapping[str, float], after: Mapping[str, float]) -> tuple[bool, str]:
    """Whether a stage improved the agreement, and the measures by which that was decided.

    Dice of the livers (where known), error in the liver, and correlation in and around it are taken as misfits; the
    mean of their relative changes decides, so that no gain is bought with a large loss in another unit.
    """
    changes, told = [], []
    for name, words, misfit in _MISFITS:
        if name not in before or name not in after:
            continue
        first, second = (_misfit(misfit(values[name])) for values in (before, after))
        changes.append(math.log(second / first))
        told.append(f"{words} {_number(before[name])} to {_number(after[name])}")
    gained = float(np.mean(changes)) < math.log(1 - LEAST_GAIN)
    return gained and max(changes) <= math.log(1 + MOST_LOSS), ", ".join(told)


def _misfit(value: float) -> float:
    """Within what can be compared; a measure that is not there is as bad as can be."""
    return 10.0 if math.isnan(value) else max(value, LEAST_MISFIT)


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1f}" if abs(value) >= 2 else f"{value:.3f}"


def jacobian(transform: sitk.Transform, grid: sitk.Image, mask: sitk.Image) -> dict[str, float]:
    """Determinant of the Jacobian in the mask: 1 keeps a volume, 0 or less folds."""
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, grid.GetSize(), grid.GetOrigin(), grid.GetSpacing(), grid.GetDirection()
    )
    values = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    inside = values[sitk.GetArrayFromImage(mask) > 0]
    low, high = np.percentile(inside, [0.5, 99.5]) if inside.size else (np.nan, np.nan)
    return {
        "jacobian_low": float(low),
        "jacobian_high": float(high),
        "jacobian_folded_share": float((inside <= 0).mean()) if inside.size else float("nan"),
    }


def _correlation(a: FloatArray, b: FloatArray) -> float:
    if a.size > 1 and np.array_equal(a, b):
        return 1.0  # also where nothing varies
    if a.size < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


@dataclass(frozen=True)
class Verdict:
    """Whether two scans agree well enough to be compared.

    Attributes:
        word: "good", "fair", "poor", or "failed", which stops a job unless the user accepts it.
        text: what was measured, in one sentence.
        missed: what is below its limit, each with value and limit; empty unless it failed.
    """

    word: str
    text: str
    missed: tuple[str, ...] = field(default=())


def judge(quality: Mapping[str, float]) -> Verdict:
    """Judge the agreement of two registered scans.

    Args:
        quality: of `Registered`.
    """
    values = {name: quality.get(f"{name}_after", quality.get(name, math.nan)) for name in (*LIMITS, "liver_mae_hu")}
    known = {name: value for name, value in values.items() if f"{name}_after" in quality or name in quality}
    text = ", ".join(f"{_TOLD[name]} {_number(value)}" for name, value in known.items())
    missed = tuple(
        f"{_TOLD[name]} {_number(values[name])} (at least {LIMITS[name][0]:g})"
        for name in LIMITS
        if name in known and not values[name] >= LIMITS[name][0]  # NaN is below every limit
    )
    if missed:
        return Verdict("failed", text, missed)
    marks = [sum(values[name] >= limit for limit in LIMITS[name]) for name in LIMITS if name in known]
    return Verdict(("poor", "fair", "good")[min(marks) - 1], text)


def require_fit(verdict: Verdict, accepted: bool) -> None:
    """Stop where two scans do not fit.

    Raises:
        RegistrationError: the registration failed, and the user has not accepted it.
    """
    if verdict.word == "failed" and not accepted:
        raise RegistrationError(
            what="The scan after treatment does not fit the one before well enough to be compared",
            given="; ".join(verdict.missed),
            remedy="Give another series of the same patient and part of the body with --post or --post-series; "
            "if it is registered already, say --no-register; to go on all the same, --accept-registration",
        )
