"""Survival curves as Slicer nodes: predicted ones of a plan, and Kaplan-Meier curves of groups of patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.plan_folder import ShownCandidate, last_month
from MeWMLib.scene.survival_curves import CurvePanel

SURVIVAL_TABLE = "MeWM predicted survival"
SURVIVAL_CHART = "MeWM survival curves"
MONTHS = "months"
#: More curves than this cannot be told apart.
MAX_CURVES = 8
_BEST, _OTHER = (0.76, 0.31, 0.04), (0.18, 0.44, 0.62)
_MIDDLE = (0.54, 0.56, 0.24)


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
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(0.0, last_month(shown))
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


def kaplan_meier_nodes(scene: Any, panel: CurvePanel) -> list[Any]:
    """Add Kaplan-Meier curves of risk groups to a scene.

    A Slicer plot draws straight lines, so each step is two rows of the table. Every curve has a table of its own, since
    each group has its own times; its band is two thin lines.

    Returns:
        The new nodes, tables first and the chart last.
    """
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", f"MeWM Kaplan-Meier {panel.title}")
    chart.SetTitle(f"{panel.title}: {panel.note}")
    chart.SetXAxisTitle("months")
    chart.SetYAxisTitle("survival")
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 1.0)
    tables, lines = [], []
    colours = (_OTHER, _MIDDLE, _BEST)
    for n, curve in enumerate(panel.curves):
        colour = colours[0 if n == 0 else 2 if n == len(panel.curves) - 1 else 1]
        table = scene.AddNewNodeByClass("vtkMRMLTableNode", f"{panel.title} {curve.label}")
        months = np.repeat(curve.months, 2)[1:]
        columns = {MONTHS: months}
        for name in ("survival", "low", "high"):
            columns[name] = np.repeat(getattr(curve, name), 2)[:-1]
        for name, values in columns.items():
            column = vtk.vtkDoubleArray()
            column.SetName(name)
            for value in values:
                column.InsertNextValue(float(value))
            table.AddColumn(column)
        table.SetLocked(True)
        tables.append(table)
        for name in ("survival", "low", "high"):
            what = "" if name == "survival" else f", {name} end of the band"
            series = scene.AddNewNodeByClass("vtkMRMLPlotSeriesNode", f"{curve.label} (n = {curve.patients}){what}")
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName(MONTHS)
            series.SetYColumnName(name)
            series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
            series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
            series.SetLineWidth(3 if name == "survival" else 1)
            series.SetColor(*colour)
            chart.AddAndObservePlotSeriesNodeID(series.GetID())
            lines.append(series)
    return [*tables, *lines, chart]
