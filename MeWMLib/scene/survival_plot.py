"""Predicted survival curves as Slicer nodes: a table with a column a protocol, and a plot of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.plan_folder import ShownCandidate

SURVIVAL_TABLE = "MeWM predicted survival"
SURVIVAL_CHART = "MeWM survival curves"
MONTHS = "months"
#: More curves than this cannot be told apart.
MAX_CURVES = 8
_BEST, _OTHER = (0.76, 0.31, 0.04), (0.18, 0.44, 0.62)


def survival_nodes(scene: Any, candidates: Sequence[ShownCandidate]) -> list[Any]:
    """Add the survival curves of the best candidates to a scene.

    Returns:
        The new nodes, table first and chart last; none if no candidate has a curve. Candidates whose months differ
        from those of the first one are left out: a Slicer plot has one column of x values.
    """
    shown = [c for c in candidates if c.months][:MAX_CURVES]
    shown = [c for c in shown if c.months == shown[0].months]
    if not shown:
        return []
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", SURVIVAL_TABLE)
    for name, values in [(MONTHS, shown[0].months), *((f"rank {c.rank}", c.survival) for c in shown)]:
        column = vtk.vtkDoubleArray()
        column.SetName(name)
        for value in values:
            column.InsertNextValue(value)
        table.AddColumn(column)
    table.SetLocked(True)
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", SURVIVAL_CHART)
    chart.SetTitle("Predicted survival (simulated, research use only)")
    chart.SetXAxisTitle("months after treatment")
    chart.SetYAxisTitle("predicted survival")
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
    nodes = [table]
    for candidate in shown:
        series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"rank {candidate.rank}: {candidate.protocol}")
        series.SetAndObserveTableNodeID(table.GetID())
        series.SetXColumnName(MONTHS)
        series.SetYColumnName(f"rank {candidate.rank}")
        series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
        series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
        series.SetLineWidth(3 if candidate is shown[0] else 1)
        series.SetColor(*(_BEST if candidate is shown[0] else _OTHER))
        chart.AddAndObservePlotSeriesNodeID(series.GetID())
        nodes.append(series)
    return [*nodes, chart]
