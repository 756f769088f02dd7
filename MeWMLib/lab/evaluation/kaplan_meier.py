"""Kaplan-Meier curves of groups of patients, as numbers and as Slicer nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

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


def kaplan_meier_nodes(scene: Any, panel: CurvePanel) -> list[Any]:
    """Add Kaplan-Meier curves of risk groups to a scene.

    A Slicer plot draws straight lines, so each step is two rows of the table. Every curve has a table of its own, since
    each group has its own times; its band is two thin lines.

    Returns:
        The new nodes, tables first and the chart last.
    """
    # here, since charts are also drawn where Slicer's core is not installed
    from MeWMLib.scene.plots import BEST, MIDDLE, OTHER, Column, add_chart, add_series, add_table
    from MeWMLib.scene.survival_plot import MONTHS

    title = f"{panel.title}: {panel.note}"
    chart = add_chart(scene, f"MeWM Kaplan-Meier {panel.title}", title, ("months", "survival"), y_range=(0.0, 1.0))
    tables, lines = [], []
    last = len(panel.curves) - 1
    for n, curve in enumerate(panel.curves):
        colour = OTHER if n == 0 else BEST if n == last else MIDDLE
        steps = {name: np.repeat(getattr(curve, name), 2)[:-1] for name in ("survival", "low", "high")}
        columns = [Column(MONTHS, np.repeat(curve.months, 2)[1:]), *(Column(k, v) for k, v in steps.items())]
        table = add_table(scene, f"{panel.title} {curve.label}", columns)
        tables.append(table)
        for name in steps:
            what, width = ("", 3) if name == "survival" else (f", {name} end of the band", 1)
            label = f"{curve.label} (n = {curve.patients}){what}"
            lines.append(add_series(chart, table, label, (MONTHS, name), colour, width))
    return [*tables, *lines, chart]
