"""How a search went, in words and numbers: what the rules pruned, the tree as a table and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.core.outcome_words import AVERAGE_PATIENT
from MeWMLib.core.plan import Plan, SearchStep, way_to_best
from MeWMLib.core.protocol import Protocol
from MeWMLib.scene.plots import BEST, FAINT, OTHER, Colour, Column, add_chart, add_series, add_table

TABLE_NAME = "MeWM search tree"
CHART_NAME = "MeWM search tree, plot"
_AGENTS = "agents"
#: Protocols that are named for each rule in the report.
EXAMPLES = 3


def pruned(plan: Plan) -> list[tuple[str, int, str]]:
    """Rule, how many protocols it forbade, and some of them; most often first."""
    by_rule: dict[str, list[str]] = {}
    for entry in plan.pruned:
        for rule in entry.rules:
            by_rule.setdefault(rule, []).append(entry.protocol.text)
    ordered = sorted(by_rule.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(rule, len(found), "; ".join(sorted(found, key=len)[:EXAMPLES])) for rule, found in ordered]


def search_table(scene: Any, tree: Sequence[SearchStep]) -> Any:
    """Add the search tree to a scene as a table, one row an expansion.

    Returns:
        The new `vtkMRMLTableNode`.
    """
    risk = "mean log hazard ratio over the replicas (with weights set: the utility)"
    columns = [
        Column("step", [s.step for s in tree], int, "of the search; 0 is the policy's first choice"),
        Column("from", [s.parent.text for s in tree], str, "protocol that was extended; empty for the start"),
        Column("protocol", [s.child.text for s in tree], str, "the protocol that was simulated"),
        Column("log risk", [s.risk for s in tree], float, risk),
        Column("kept", [s.kept for s in tree], int, "1 if the search went on from it"),
    ]
    return add_table(scene, TABLE_NAME, columns)


def search_chart(scene: Any, tree: Sequence[SearchStep], best: Protocol | None) -> list[Any]:
    """Add the search tree as a plot: number of agents against log risk, a line from a protocol to what it became.

    Args:
        scene: a `vtkMRMLScene`.
        tree: every expansion, at least one.
        best: the best protocol; the way to it is drawn in the colour of the best.

    Returns:
        The new nodes: a table and a series for each kind of line, and the chart last.
    """
    title = "Search: log risk by number of agents (simulated, research use only)"
    most = max(len(s.child.actions) for s in tree)
    axes = ("agents in the protocol", f"log hazard ratio against {AVERAGE_PATIENT}")
    chart = add_chart(scene, CHART_NAME, title, axes, (0.5, most + 0.5))
    way = way_to_best(tree, best)
    kinds: list[tuple[str, list[SearchStep], int, Colour]] = [
        ("simulated", [s for s in tree if not s.kept], 1, FAINT),
        ("the search went on from here", [s for s in tree if s.kept], 2, OTHER),
        ("way to the best", [s for s in tree if s in way], 4, BEST),
    ]
    risks = {s.child.text: s.risk for s in tree}
    nodes: list[Any] = []
    for name, steps, width, colour in kinds:
        if steps:
            x, y = _lines(steps, risks)
            table = add_table(scene, f"{TABLE_NAME}: {name}", [Column(_AGENTS, x), Column(name, y)])
            series = add_series(chart, table, name, (_AGENTS, name), colour, width, "Circle")
            series.SetMarkerSize(4 + width)
            nodes += [table, series]
    return [*nodes, chart]


def _lines(steps: Sequence[SearchStep], risks: dict[str, float]) -> tuple[list[float], list[float]]:
    """The ends of the lines of some expansions, with an empty row between two of them."""
    points: list[tuple[float, float]] = []
    for one in steps:
        end = float(len(one.child.actions)), one.risk
        # a line has two points; one from nowhere begins where it ends
        parent = one.parent.text
        start = (float(len(one.parent.actions)), risks[parent]) if parent in risks else end
        points += [start, end, (float("nan"), float("nan"))]
    return [x for x, _ in points[:-1]], [y for _, y in points[:-1]]
