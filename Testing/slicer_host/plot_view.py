"""A picture of a plot chart node, drawn by VTK as Slicer's plot view draws it; the view itself is a Qt widget.

`qMRMLPlotView::updateFromMRML` of 3D Slicer turns each series of the chart into a `vtkPlotLine` of a `vtkChartXY`; so
does this, for the properties that MeWM sets.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def plot_picture(chart_node: Any, width: int = 620, height: int = 420) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of a chart node; needs OpenGL, which may be Mesa's."""
    import slicer
    import vtk
    from vtk.util import numpy_support

    view = vtk.vtkContextView()
    view.GetRenderWindow().SetOffScreenRendering(1)
    view.GetRenderWindow().SetSize(width, height)
    view.GetRenderWindow().SetMultiSamples(4)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    chart = vtk.vtkChartXY()
    view.GetScene().AddItem(chart)
    chart.SetTitle(chart_node.GetTitle() or "")
    chart.SetShowLegend(chart_node.GetLegendVisibility())
    chart.GetAxis(vtk.vtkAxis.BOTTOM).SetTitle(chart_node.GetXAxisTitle() or "")
    chart.GetAxis(vtk.vtkAxis.LEFT).SetTitle(chart_node.GetYAxisTitle() or "")
    for n in range(chart_node.GetNumberOfPlotSeriesNodes()):
        series = chart_node.GetNthPlotSeriesNode(n)
        table = series.GetTableNode().GetTable()
        line = chart.AddPlot(vtk.vtkChart.LINE)
        line.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
        line.SetLabel(series.GetName())
        line.SetColorF(*series.GetColor())
        line.SetWidth(series.GetLineWidth())
        line.GetPen().SetLineType(
            vtk.vtkPen.NO_PEN
            if series.GetLineStyle() == slicer.vtkMRMLPlotSeriesNode.LineStyleNone
            else vtk.vtkPen.SOLID_LINE
        )
        if series.GetMarkerStyle() != slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone:
            line.SetMarkerStyle(vtk.vtkPlotPoints.CIRCLE)
            line.SetMarkerSize(series.GetMarkerSize())
    for axis, auto, bounds in (
        (vtk.vtkAxis.LEFT, chart_node.GetYAxisRangeAuto(), chart_node.GetYAxisRange()),
        (vtk.vtkAxis.BOTTOM, chart_node.GetXAxisRangeAuto(), chart_node.GetXAxisRange()),
    ):
        if not auto:
            chart.GetAxis(axis).SetBehavior(vtk.vtkAxis.FIXED)
            chart.GetAxis(axis).SetRange(*bounds)
    view.Render()
    picture = vtk.vtkWindowToImageFilter()
    picture.SetInput(view.GetRenderWindow())
    picture.ReadFrontBufferOff()
    picture.Update()
    image = picture.GetOutput()
    columns, rows, _ = image.GetDimensions()
    pixels = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars()).reshape(rows, columns, -1)
    return np.ascontiguousarray(pixels[::-1, :, :3])
