"""`python -m slicer_host`: the module MeWM in a window, where no Slicer is installed.

Below the panels' window stands a picture of the axial slice through the lesion, drawn by Slicer's own slice logic.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
TITLE = "MeWM in the stand-in host: Slicer MRML and rendering, stand-in Qt"
REFRESH_MS = 400


class Picture:
    """Shows what the view "Red" would show; drawn on the CPU, so it needs no OpenGL."""

    def __init__(self, app: Any, label: Any, size: int = 420) -> None:
        from MeWMLib.scene.views import SliceView

        self._view, self._label, self._size = SliceView(app.core, size, "MeWM host"), label, size
        self._shown: Any = None

    def draw(self) -> None:
        """Draw again, if layers, opacity or place have changed."""
        import slicer
        from PySide6 import QtGui

        from MeWMLib.scene.comparison import slice_nodes
        from MeWMLib.scene.views import AXIAL, Framing

        node, composite = slice_nodes(slicer.mrmlScene, "Red")
        layers = [slicer.mrmlScene.GetNodeByID(i or "") for i in _layer_ids(composite)]
        centre = tuple(node.GetSliceToRAS().GetElement(row, 3) for row in range(3))
        state = (*_layer_ids(composite), composite.GetForegroundOpacity(), centre, node.GetFieldOfView()[0])
        times = tuple(layer.GetMTime() for layer in layers if layer is not None)
        if (state, times) == self._shown or layers[0] is None:
            return
        self._shown = (state, times)
        framing = Framing(AXIAL, centre, max(node.GetFieldOfView()[0], 60.0))
        pixels = self._view.render(framing, layers[0], layers[1], composite.GetForegroundOpacity())
        height, width, _ = pixels.shape
        image = QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format_RGB888)
        self._label.setPixmap(QtGui.QPixmap.fromImage(image.copy()))


def _layer_ids(composite: Any) -> tuple[str | None, str | None]:
    return composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID()


def main() -> int:
    """Open the window."""
    argparse.ArgumentParser(prog="python -m slicer_host", description=__doc__).parse_args()
    if str(REPOSITORY) not in sys.path:
        sys.path.insert(0, str(REPOSITORY))
    import slicer_host

    app = slicer_host.start()
    from PySide6 import QtCore, QtWidgets

    loaded = slicer_host.load_module(REPOSITORY / "MeWM" / "MeWM.py")
    import slicer

    scroll = QtWidgets.QScrollArea()
    scroll.setWidgetResizable(True)
    scroll.setMinimumWidth(560)
    scroll.setWidget(loaded.parent)
    label = QtWidgets.QLabel("Load the sample to see a slice.")
    label.setAlignment(QtCore.Qt.AlignCenter)
    label.setMinimumWidth(440)
    row = QtWidgets.QSplitter()
    row.addWidget(scroll)
    row.addWidget(label)
    window = slicer.util.mainWindow()
    window.setWindowTitle(TITLE)
    window.setCentralWidget(row)
    window.resize(1120, 900)
    window.show()
    picture = Picture(app, label)
    timer = QtCore.QTimer()
    timer.timeout.connect(picture.draw)
    timer.start(REFRESH_MS)
    code = app.exec()
    timer.stop()
    loaded.close()
    return code


if __name__ == "__main__":
    sys.exit(main())
