"""Tables and plots as Slicer nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from MeWMLib.scene.core_app import slicer, vtk

Colour = tuple[float, float, float]
#: Colours of lines: the best protocol or highest risk, between, others or lowest risk, and what is only a background.
BEST, MIDDLE, OTHER, FAINT = (0.76, 0.31, 0.04), (0.54, 0.56, 0.24), (0.18, 0.44, 0.62), (0.55, 0.65, 0.75)


@dataclass(frozen=True)
class Column:
    """One column of a table: its title, its values, their type (int, float or str) and what they mean."""

    title: str
    values: Iterable[Any]
    kind: type = float
    description: str = ""


def add_table(scene: Any, name: str, columns: Sequence[Column]) -> Any:
    """Add a `vtkMRMLTableNode` that users cannot edit."""
    arrays = {int: vtk.vtkIntArray, float: vtk.vtkDoubleArray, str: vtk.vtkStringArray}
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    for one in columns:
        array = arrays[one.kind]()
        array.SetName(one.title)
        for value in one.values:
            array.InsertNextValue(one.kind(value))
        node.AddColumn(array)
        if one.description:
            node.SetColumnDescription(one.title, one.description)
    node.SetLocked(True)
    node.SetUseFirstColumnAsRowHeader(False)
    node.GetTable().Modified()
    return node


def add_chart(
    scene: Any,
    name: str,
    title: str,
    axes: tuple[str, str],
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
) -> Any:
    """Add a `vtkMRMLPlotChartNode`; an axis without a range fits its data."""
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", name)
    chart.SetTitle(title)
    chart.SetXAxisTitle(axes[0])
    chart.SetYAxisTitle(axes[1])
    if x_range is not None:
        chart.SetXAxisRangeAuto(False)
        chart.SetXAxisRange(*x_range)
    if y_range is not None:
        chart.SetYAxisRangeAuto(False)
        chart.SetYAxisRange(*y_range)
    return chart


def add_series(
    chart: Any, table: Any, name: str, columns: tuple[str, str], colour: Colour, width: int = 1, marker: str = "None"
) -> Any:
    """Add a series of two columns of a table to a chart.

    Args:
        chart: from `add_chart`.
        table: from `add_table`.
        name: in the legend.
        columns: titles of the columns of x and y.
        colour: RGB, 0 to 1.
        width: of the line between the points; 0 for none.
        marker: of a point: "None", "Circle" or "Cross".
    """
    kinds = slicer.vtkMRMLPlotSeriesNode
    node = chart.GetScene().AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    node.SetAndObserveTableNodeID(table.GetID())
    node.SetXColumnName(columns[0])
    node.SetYColumnName(columns[1])
    node.SetPlotType(kinds.PlotTypeScatter)
    node.SetMarkerStyle(getattr(kinds, f"MarkerStyle{marker}"))
    if width:
        node.SetLineWidth(width)
    else:
        node.SetLineStyle(kinds.LineStyleNone)
    node.SetColor(*colour)
    chart.AddAndObservePlotSeriesNodeID(node.GetID())
    return node
