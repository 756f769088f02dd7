"""The predicted survival curves of a plan as Slicer nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.core.plan import Candidate
from MeWMLib.scene.plots import BEST, OTHER, Column, add_chart, add_series, add_table
from MeWMLib.scene.survival_curves import last_month

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
