"""Pictures of every panel, and of the views beside them; facts are asserted on the pixels of the views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

PANELS = ("patient", "segmentation", "actions", "simulation", "exploration", "outcome", "setup")


def _caption(pixels: Any, title: str) -> Any:
    """A picture with its title and what it was made with, as a QImage."""
    from PySide6 import QtCore, QtGui

    height, width, _ = pixels.shape
    image = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format_RGB888).copy()
    painter = QtGui.QPainter(image)
    painter.setPen(QtGui.QColor(255, 221, 87))
    painter.drawText(QtCore.QRect(8, 6, width, 20), 0, title)
    painter.end()
    return image


def _beside(panel: Any, pictures: list[Any], file: Any) -> None:
    """Save panel and views in one picture, labelled as what they are."""
    from PySide6 import QtCore, QtGui

    width = panel.width() + max(p.width() for p in pictures) + 12
    height = max(panel.height(), sum(p.height() + 8 for p in pictures)) + 26
    whole = QtGui.QPixmap(width, height)
    whole.fill(QtGui.QColor(255, 255, 255))
    painter = QtGui.QPainter(whole)
    painter.drawPixmap(0, 26, panel)
    y = 26
    for picture in pictures:
        painter.drawImage(panel.width() + 12, y, picture)
        y += picture.height() + 8
    painter.setPen(QtGui.QColor(90, 90, 90))
    painter.drawText(QtCore.QRect(6, 4, width, 20), 0, "Slicer MRML and rendering, stand-in Qt; a test world")
    painter.end()
    whole.save(str(file))


def _guideline(user: Any) -> None:
    """Put what the real policy says of a patient into the place of the test world's suggestion."""
    import json

    from MeWMLib.core.patient import Clinical, Findings, Lesion
    from MeWMLib.policy.guideline import propose

    lesion = Lesion(1, 60.0, 62.0, (0.0, 0.0, 0.0), 128.0, 20.0, 0.0, 0.1, 50.0)
    space = propose(Findings(1500.0, 100.0, (lesion,)), Clinical(child_pugh_class="B"), drugs=3, embolics=3)
    user.front.parameters.proposal = json.dumps(
        {"policy": space.policy, "drugs": space.drugs, "embolics": space.embolics, "reasons": space.reasons,
         "sources": space.sources}
    )  # fmt: skip
    user.front.actions.refresh()


@pytest.fixture
def shown(user, monkeypatch, sample, folders_of_scene):
    """A case of a size that can be looked at, with a comparison of two protocols open."""
    from MeWMLib.core.protocol import Protocol
    from MeWMLib.core.volume import LabelMap, Volume

    ct, labels, geometry = folders_of_scene.small_patient(folders_of_scene.AXIAL)
    sample.ct, sample.labels = Volume(ct, geometry, "portal"), LabelMap(labels, geometry)
    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: user.front.parameters.findings)
    user.wait_idle()
    _guideline(user)
    user.front.actions.add("cTACE", Protocol.parse("Epirubicin 50 mg (emulsion) + Lipiodol 10 ml (emulsion)"))
    user.front.actions.add("Two platinums", Protocol.parse("Cisplatin 100 mg + Oxaliplatin 100 mg + Lipiodol 10 ml"))
    user.front.actions.add("Beads", Protocol.parse("Cisplatin 60 mg + PVA"))
    user.look()
    user.click("simulation", "simulateButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    return user


def _views(user: Any) -> list[tuple[str, Any]]:
    import slicer

    from MeWMLib.scene.target import find_target
    from MeWMLib.scene.views import SliceView

    comparison = user.front.comparison
    framing = find_target(user.sample_labels).lesion_framing()
    layers = (
        ("before", comparison.ct, None, 0.0, [comparison.labels]),
        ("SIMULATED over before, fade 0.5", comparison.ct, comparison.node("simulated"), 0.5, [comparison.labels]),
        ("difference (HU)", comparison.ct, comparison.node("difference"), 0.8, []),
    )
    made = []
    with SliceView(slicer.app.core, 300, "MeWM test") as view:
        for title, background, foreground, opacity, outlines in layers:
            made.append((title, view.render(framing, background, foreground, opacity, outlines)))
    return made


def test_pictures_of_all_panels(shown, sample):
    out = shown.out
    out.mkdir(parents=True, exist_ok=True)
    shown.sample_labels = sample.labels
    shown.widget("actions", "protocolList").setCurrentRow(1)
    shown.look()
    assert "Not allowed" in shown.widget("actions", "ruleLabel").text
    pictures = [_caption(pixels, title) for title, pixels in _views(shown)]
    for name in PANELS:
        fold = shown.front.folds[name]
        for other in shown.front.folds.values():
            other.collapsed = other is not fold
        shown.look()
        grabbed = fold.grab()
        assert grabbed.height() > 60
        if name == "outcome":
            _beside(grabbed, pictures, out / "panel-outcome.png")
        else:
            grabbed.save(str(out / f"panel-{name}.png"))


def test_the_overlay_sits_on_the_lesion(shown, sample, folders_of_scene):
    """What the simulated CT changes in the picture lies inside the outline of the lesion, in the picture too."""
    import slicer

    from MeWMLib.scene.target import find_target
    from MeWMLib.scene.views import AXIAL, SliceView

    target = find_target(sample.labels)
    framing = target.liver_framing(AXIAL)
    comparison = shown.front.comparison
    size = 400
    with SliceView(slicer.app.core, size, "MeWM test") as view:
        before = view.render(framing, comparison.ct).astype(int)
        after = view.render(framing, comparison.node("simulated")).astype(int)
    rows, columns = np.nonzero(np.abs(after - before).max(axis=-1) > 8)
    assert len(rows) > 30, "the simulated CT differs in the picture"
    k = round(float(sample.labels.geometry.to_kji(target.centre)[0]))
    inside = np.argwhere(sample.labels.tumour[k])
    ras = sample.labels.geometry.to_ras(np.column_stack([np.full(len(inside), k), inside]))
    expected = np.array([folders_of_scene.pixel_of(framing, point, size) for point in ras])
    pixel = size / framing.width_mm * max(sample.labels.geometry.spacing[1:])
    found = np.column_stack([rows, columns])
    assert np.abs(found.min(axis=0) - expected.min(axis=0)).max() <= pixel + 2
    assert np.abs(found.max(axis=0) - expected.max(axis=0)).max() <= pixel + 2
    slicer.app.processEvents()


def test_the_plot_view_shows_the_survival_curves(shown):
    """Click on the button, then draw the chart that the plot view was given, with VTK as Slicer does."""
    import slicer
    from slicer_host.plot_view import plot_picture

    from MeWMLib.scene.gl import gl_available

    if not gl_available():
        pytest.skip("no OpenGL driver")
    shown.click("outcome", "curvesButton")
    chart = slicer.mrmlScene.GetNthNodeByClass(0, "vtkMRMLPlotViewNode").GetPlotChartNode()
    pixels = plot_picture(chart)
    shown.out.mkdir(parents=True, exist_ok=True)
    _caption(pixels, "").save(str(shown.out / "plot-survival.png"))
    for number in range(chart.GetNumberOfPlotSeriesNodes()):
        colour = np.array(chart.GetNthPlotSeriesNode(number).GetColor()) * 255
        assert (np.abs(pixels - colour).max(axis=-1) < 24).sum() > 60, "each curve is drawn in its colour"
    _caption(plot_picture(shown.front.comparison.node("risk chart")), "").save(str(shown.out / "plot-risk.png"))
    assert not shown.widget("exploration", "treeButton").enabled, "nothing was searched yet"


def test_the_plot_view_shows_the_search(user):
    import slicer
    from slicer_host.plot_view import plot_picture

    from MeWMLib.scene.gl import gl_available

    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: user.front.parameters.findings)
    user.wait_idle()
    user.click("exploration", "exploreButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    user.click("exploration", "treeButton")
    chart = slicer.mrmlScene.GetNthNodeByClass(0, "vtkMRMLPlotViewNode").GetPlotChartNode()
    assert chart.GetID() == user.front.comparison.node("search chart").GetID()
    names = [chart.GetNthPlotSeriesNode(n).GetName() for n in range(chart.GetNumberOfPlotSeriesNodes())]
    assert "way to the best" in names
    if gl_available():
        user.out.mkdir(parents=True, exist_ok=True)
        _caption(plot_picture(chart), "").save(str(user.out / "plot-search.png"))
