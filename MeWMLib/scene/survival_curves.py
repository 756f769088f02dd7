"""Survival curves as pictures and Slicer nodes take them; no matplotlib here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.plan import Candidate

#: Predicted survival at which a curve is over, for a picture.
HARDLY = 0.03


@dataclass(frozen=True, eq=False)
class StepCurve:
    """Kaplan-Meier curve of one group.

    Attributes:
        label: of the group.
        months, survival, low, high: (M,) the curve and its band, all steps to the right.
        patients: how many.
        last_seen: (N,) months at which each patient died or was last seen, for the numbers at risk; may be empty.
    """

    label: str
    months: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    patients: int
    last_seen: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def at_risk(self, month: float) -> int:
        """How many patients are known to live at a month."""
        return int((self.last_seen >= month).sum())


@dataclass(frozen=True)
class CurvePanel:
    """One panel of Kaplan-Meier curves, lowest risk first, and the line under its title."""

    title: str
    note: str
    curves: tuple[StepCurve, ...]


def last_month(candidates: Sequence[Candidate]) -> float:
    """Where the axis ends: when hardly anyone is predicted to live under any protocol, else at the last month."""
    curves = [(c.risk.months, c.risk.survival) for c in candidates]
    return max(next((t for t, p in zip(*curve, strict=True) if p < HARDLY), curve[0][-1]) for curve in curves)
