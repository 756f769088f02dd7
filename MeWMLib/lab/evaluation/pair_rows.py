"""What is held against the real scan after treatment and needs no model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.pair_measures import Truth, fed_half

#: Deviations (mm) of the Gaussians of `copy_smoothed`; the wider one also comes before a shift.
SMOOTHED_MM = (1.5, 3.0)

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Shift:
    """What other pairs changed by, HU.

    Attributes:
        median: over all that is judged.
        fed, unfed: means in the half that was fed and in the other one.
    """

    median: float
    fed: float
    unfed: float

    @classmethod
    def of(cls, truth: Truth, fed: Mask) -> Shift:
        """Of one pair; `fed` (K, J, I) as `fed_half` gives it. A half that is not there counts as unchanged."""
        change, there = truth.change, fed[truth.inside]
        halves = [float(change[part].mean()) if part.any() else 0.0 for part in (there, ~there)]
        return cls(float(np.median(change)), *halves)

    @classmethod
    def mean(cls, shifts: Sequence[Shift]) -> Shift | None:
        """Over pairs; None without any."""
        if not shifts:
            return None
        return cls(*(float(np.mean([getattr(s, name) for s in shifts])) for name in ("median", "fed", "unfed")))


def baselines(before: Volume, labels: LabelMap, side: str, shift: Shift | None) -> Iterator[tuple[str, FloatArray]]:
    """Rows that no model is needed for: name and the scan (K, J, I) that is predicted.

    `copy_pre`; `copy_smoothed_1.5mm` and `copy_smoothed_3mm` (Gaussian); with a shift `constant_shift`,
    `smoothed_shift` (3 mm, and the median change of other pairs) and `territory_shift` (3 mm, and the mean changes of
    other pairs in the fed half and in the other).

    Args:
        before, labels: on one grid.
        side: that the artery fed.
        shift: of the other pairs, or None.
    """
    hu = before.array.astype(np.float32)
    yield "copy_pre", hu
    smooth = hu
    for mm in SMOOTHED_MM:
        smooth = np.asarray(ndimage.gaussian_filter(hu, [mm / s for s in before.geometry.spacing]), np.float32)
        yield f"copy_smoothed_{mm:g}mm", smooth
    if shift is not None:
        yield "constant_shift", hu + np.float32(shift.median)
        yield "smoothed_shift", smooth + np.float32(shift.median)
        fed = fed_half(labels, side)
        yield "territory_shift", smooth + np.where(fed, shift.fed, shift.unfed).astype(np.float32)
