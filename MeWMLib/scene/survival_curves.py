"""Kaplan-Meier curves of groups of patients, as pictures and Slicer nodes take them; no matplotlib here."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class StepCurve:
    """Kaplan-Meier curve of one group: months, survival and its band (M,), all steps to the right; patients."""

    label: str
    months: NDArray[np.float64]
    survival: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    patients: int


@dataclass(frozen=True)
class CurvePanel:
    """One panel of Kaplan-Meier curves, lowest risk first, and the line under its title."""

    title: str
    note: str
    curves: tuple[StepCurve, ...]
