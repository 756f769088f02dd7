"""Survival curves as Slicer nodes: predicted ones of a plan, and Kaplan-Meier curves of groups of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from MeWMLib.core.plan import Candidate
from MeWMLib.scene.plots import BEST, MIDDLE, OTHER, Column, add_chart, add_series, add_table
from MeWMLib.scene.survival_curves import CurvePanel, last_month

SURVIVAL_TABLE = "MeWM predicted survival"
SURVIVAL_CHART = "MeWM survival curves"
MONTHS = "months"
#: More curves than this cannot be told apart.
MAX_CURVES = 8


def survival_nodes(scene: Any, candidates: Sequence[Candidate]) -> list[Any]:
    """Add the survival curves of the best candidates to a scene.

    Returns:
        The new nodes, table first and chart last; none if no candidate has a curve. Candidates whose months differ
        from those of the first one are left out: a Slicer plot has one column of x values.
    """
    shown = [c for c in candidates if c.risk.months][:MAX_CURVES]
    shown = [c for c in shown if c.risk.months == shown[0].risk.months]
    if not shown:
        return []
    curves = [Column(f"rank {c.rank}", c.risk.survival) for c in shown]
    table = add_table(scene, SURVIVAL_TABLE, [Column(MONTHS, shown[0].risk.months), *curves])
    title = "Predicted survival (simulated, research use only)"
    axes, span = ("months after treatment", "predicted survival"), (0.0, last_month(shown))
    chart = add_chart(scene, SURVIVAL_CHART, title, axes, span, (0.0, 1.0))
    series = []
    for candidate in shown:
        width, colour = (3, BEST) if candidate is shown[0] else (1, OTHER)
        name = f"rank {candidate.rank}: {candidate.protocol.text}"
        series.append(add_series(chart, table, name, (MONTHS, f"rank {candidate.rank}"), colour, width))
    return [table, *series, chart]


def kaplan_meier_nodes(scene: Any, panel: CurvePanel) -> list[Any]:
    """Add Kaplan-Meier curves of risk groups to a scene.

    A Slicer plot draws straight lines, so each step is two rows of the table. Every curve has a table of its own, since
    each group has its own times; its band is two thin lines.

    Returns:
        The new nodes, tables first and the chart last.
    """
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
