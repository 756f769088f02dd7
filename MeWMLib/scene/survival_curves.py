"""Kaplan-Meier curves of groups of patients, as pictures and Slicer nodes take them; no matplotlib here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


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
