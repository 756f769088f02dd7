"""The ranked protocols as Slicer nodes: a table, and a plot of the risk with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.plan_folder import ShownCandidate

TABLE_NAME = "MeWM ranked protocols"
CHART_NAME = "MeWM risk by rank"
_RISK = "log risk"
_LOW, _HIGH = "log risk, lowest replica", "log risk, highest replica"
_TITLES = {
    "rank": "1 is the best",
    "protocol": "agents with doses",
    _RISK: "mean log hazard ratio against the average patient; lower is better",
    _LOW: "range of the replicas, no confidence interval",
    _HIGH: "range of the replicas, no confidence interval",
    "median survival (months)": "empty if the curve stays above one half",
    "viable volume change (%)": "of the treated region",
    "lipiodol (ml)": "tumour at lipiodol density after treatment",
    "warnings": "clinical rules that the protocol touches, with their sources",
}


def warnings_text(candidate: ShownCandidate) -> str:
    """All warnings of a protocol in one line."""
    return "; ".join(f"{w.severity}: {w.reason} ({w.source})" for w in candidate.warnings)


def protocol_table(scene: Any, candidates: Sequence[ShownCandidate]) -> Any:
    """Add the table of ranked protocols to a scene; one row a protocol.

    Returns:
        The new `vtkMRMLTableNode`.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", TABLE_NAME)
    # one replica is a point estimate: a range of it would say nothing
    spread = any(len(candidate.replicas) > 1 for candidate in candidates)
    kinds = [vtk.vtkIntArray, vtk.vtkStringArray, *[vtk.vtkDoubleArray] * 3, vtk.vtkStringArray]
    kinds += [vtk.vtkDoubleArray, vtk.vtkDoubleArray, vtk.vtkStringArray]
    shown = []
    for number, (kind, (name, description)) in enumerate(zip(kinds, _TITLES.items(), strict=True)):
        if name in (_LOW, _HIGH) and not spread:
            continue
        column = kind()
        column.SetName(name)
        node.AddColumn(column)
        node.SetColumnDescription(name, description)
        shown.append(number)
    table = node.GetTable()
    for row, candidate in enumerate(candidates):
        node.AddEmptyRow()
        median = candidate.median_survival_months
        values = (
            candidate.rank,
            candidate.protocol,
            candidate.risk,
            *candidate.interval,
            "" if median is None else f"{median:g}",
            candidate.change["viable_change_percent"],
            candidate.change["lipiodol_ml_after"],
            warnings_text(candidate),
        )
        for column, number in enumerate(shown):
            table.SetValue(row, column, vtk.vtkVariant(values[number]))
    node.SetLocked(True)
    node.SetUseFirstColumnAsRowHeader(False)
    table.Modified()
    return node


def risk_chart(scene: Any, table_node: Any) -> list[Any]:
    """Add a plot of the columns of risk against rank.

    Returns:
        The new nodes: a plot series for each column of risk that the table has, and the chart that holds them.
    """
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", CHART_NAME)
    chart.SetTitle("Risk of the ranked protocols (simulated, research use only)")
    chart.SetXAxisTitle("rank")
    chart.SetYAxisTitle("log hazard ratio against the average patient")
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(0.5, table_node.GetNumberOfRows() + 0.5)
    nodes = []
    series_type = slicer.vtkMRMLPlotSeriesNode
    # no line between ranks: there is nothing between two protocols
    for column, marker, colour in (
        (_RISK, series_type.MarkerStyleCircle, (0.05, 0.35, 0.65)),
        (_LOW, series_type.MarkerStyleCross, (0.55, 0.65, 0.75)),
        (_HIGH, series_type.MarkerStyleCross, (0.55, 0.65, 0.75)),
    ):
        if table_node.GetTable().GetColumnByName(column) is None:
            continue
        node = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"MeWM {column}")
        node.SetAndObserveTableNodeID(table_node.GetID())
        node.SetXColumnName("rank")
        node.SetYColumnName(column)
        node.SetPlotType(series_type.PlotTypeScatter)
        node.SetMarkerStyle(marker)
        node.SetLineStyle(series_type.LineStyleNone)
        node.SetColor(*colour)
        chart.AddAndObservePlotSeriesNodeID(node.GetID())
        nodes.append(node)
    return [*nodes, chart]
