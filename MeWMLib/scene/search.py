"""How a search went, in words and numbers: what each action moved, what the rules pruned, the tree as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.plan_folder import PlanFolder, ShownStep, way_to

TABLE_NAME = "MeWM search tree"
CHART_NAME = "MeWM search tree, plot"
_AGENTS = "agents"
#: Name of a drawn column, whether it holds what the search went on from, width and colour of its line.
_DRAWN = (
    ("simulated", False, 1, (0.55, 0.65, 0.75)),
    ("the search went on from here", True, 2, (0.18, 0.44, 0.62)),
)
_BEST, _BEST_COLOUR = "way to the best", (0.76, 0.31, 0.04)
_COLUMNS = {
    "step": "of the search; 0 is the policy's first choice",
    "from": "protocol that was extended; empty for the start",
    "protocol": "the protocol that was simulated",
    "log risk": "mean log hazard ratio over the replicas (with weights set: the utility)",
    "kept": "1 if the search went on from it",
}
#: Protocols that are named for each rule in the report.
EXAMPLES = 3


def moved(plan: PlanFolder) -> list[tuple[str, float | None, float | None]]:
    """Action, log-risk without it and what it moved, for the best protocol; none in plans of older versions."""
    candidates = plan.data["candidates"]
    entries = candidates[0].get("contributions", []) if candidates else []
    return [(str(e["action"]), _number(e["risk_without"]), _number(e["risk_change"])) for e in entries]


def pruned(plan: PlanFolder) -> list[tuple[str, int, str]]:
    """Rule, how many protocols it forbade, and some of them; most often first."""
    by_rule: dict[str, list[str]] = {}
    for entry in plan.data.get("pruned", []):
        for rule in entry["rules"]:
            by_rule.setdefault(str(rule), []).append(str(entry["protocol"]))
    ordered = sorted(by_rule.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(rule, len(found), "; ".join(sorted(found, key=len)[:EXAMPLES])) for rule, found in ordered]


def search_table(scene: Any, tree: Sequence[ShownStep]) -> Any:
    """Add the search tree to a scene as a table, one row an expansion.

    Returns:
        The new `vtkMRMLTableNode`.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", TABLE_NAME)
    kinds = (vtk.vtkIntArray, vtk.vtkStringArray, vtk.vtkStringArray, vtk.vtkDoubleArray, vtk.vtkIntArray)
    for kind, (name, description) in zip(kinds, _COLUMNS.items(), strict=True):
        column = kind()
        column.SetName(name)
        node.AddColumn(column)
        node.SetColumnDescription(name, description)
    table = node.GetTable()
    for row, one in enumerate(tree):
        node.AddEmptyRow()
        for column, value in enumerate((one.step, one.parent, one.child, one.risk, int(one.kept))):
            table.SetValue(row, column, vtk.vtkVariant(value))
    node.SetLocked(True)
    node.SetUseFirstColumnAsRowHeader(False)
    table.Modified()
    return node


def search_chart(scene: Any, tree: Sequence[ShownStep], best: str | None) -> list[Any]:
    """Add the search tree as a plot: number of agents against log risk, a line from a protocol to what it became.

    Args:
        scene: a `vtkMRMLScene`.
        tree: every expansion, at least one.
        best: the best protocol; the way to it is drawn in the colour of the best.

    Returns:
        The new nodes: a table and a series for each kind of line, and the chart last.
    """
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", CHART_NAME)
    chart.SetTitle("Search: log risk by number of agents (simulated, research use only)")
    chart.SetXAxisTitle("agents in the protocol")
    chart.SetYAxisTitle("log hazard ratio against the average patient")
    most = max(_agents(one.child) for one in tree)
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(0.5, most + 0.5)
    way = way_to(tree, best)
    on_way = [one for one in tree if (one.step, one.child) in way]
    kinds = [(name, [o for o in tree if o.kept == kept], width, colour) for name, kept, width, colour in _DRAWN]
    nodes = []
    for name, steps, width, colour in [*kinds, (_BEST, on_way, 4, _BEST_COLOUR)]:
        if steps:
            nodes += _series(scene, chart, name, steps, {o.child: o.risk for o in tree}, width, colour)
    return [*nodes, chart]


def _series(
    scene: Any, chart: Any, name: str, steps: Sequence[ShownStep], risks: dict[str, float], width: int,
    colour: tuple[float, float, float],
) -> list[Any]:  # fmt: skip
    """A table of the ends of lines, with an empty row between two of them, and the series that draws it."""
    rows: list[tuple[float, float]] = []
    for one in steps:
        end = float(_agents(one.child)), one.risk
        # a line has two points; one from nowhere begins where it ends
        start = (float(_agents(one.parent)), risks[one.parent]) if one.parent in risks else end
        rows += [start, end, (float("nan"), float("nan"))]
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{TABLE_NAME}: {name}")
    for number, title in enumerate((_AGENTS, name)):
        column = vtk.vtkDoubleArray()
        column.SetName(title)
        for row in rows[:-1]:
            column.InsertNextValue(row[number])
        table.AddColumn(column)
    table.SetLocked(True)
    kinds = slicer.vtkMRMLPlotSeriesNode
    node = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(_AGENTS)
    node.SetYColumnName(name)
    node.SetPlotType(kinds.PlotTypeScatter)
    node.SetMarkerStyle(kinds.MarkerStyleCircle)
    node.SetMarkerSize(4 + width)
    node.SetLineWidth(width)
    node.SetColor(*colour)
    chart.AddAndObservePlotSeriesNodeID(node.GetID())
    return [table, node]


def _agents(protocol: str) -> int:
    return len(protocol.split(" + ")) if protocol else 0


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
