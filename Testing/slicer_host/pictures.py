"""Pictures of panels with the views beside them, drawn by Slicer's own slice logic, each labelled as what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtGui


def caption(pixels: Any, title: str) -> QtGui.QImage:
    """A picture (H, W, 3) with its title."""
    height, width, _ = pixels.shape
    image = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format_RGB888).copy()
    painter = QtGui.QPainter(image)
    painter.setPen(QtGui.QColor(255, 221, 87))
    painter.drawText(QtCore.QRect(8, 6, width, 20), 0, title)
    painter.end()
    return image


def beside(panel: QtGui.QPixmap, pictures: list[QtGui.QImage], note: str, file: Path) -> None:
    """Save panel and views in one picture, with a note on what it was made with."""
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
    painter.drawText(QtCore.QRect(6, 4, width, 20), 0, f"Slicer MRML and rendering, stand-in Qt; {note}")
    painter.end()
    whole.save(str(file))


def views(comparison: Any, labels: Any, size: int = 300) -> list[tuple[str, Any]]:
    """Titles and pictures of the axial slice through the target: before, simulated over it, and the difference.

    Args:
        comparison: from `MeWMPanels.results`. Outlines are those that the module shows: before, and over the simulated
            CT those of its rank too.
        labels: liver and tumour before treatment.
        size: pixels of each picture.
    """
    import slicer

    from MeWMLib.scene.target import find_target
    from MeWMLib.scene.views import SliceView

    framing = find_target(labels).lesion_framing()
    before, after = comparison.labels, comparison.node("labels", comparison.shown_rank)
    difference = comparison.node("difference")
    most = difference.GetDisplayNode().GetWindow() / 2
    layers = (
        ("before: lesions blue, liver salmon", comparison.ct, None, 0.0, [before]),
        ("SIMULATED, fade 0.5: lesions orange", comparison.ct, comparison.node("simulated"), 0.5, [before, after]),
        (f"difference: -{most:.0f} HU blue, +{most:.0f} HU orange", comparison.ct, difference, 0.8, []),
    )
    made = []
    with SliceView(slicer.app.core, size, "MeWM pictures") as view:
        for title, background, foreground, opacity, outlines in layers:
            made.append((title, view.render(framing, background, foreground, opacity, outlines)))
    return made
