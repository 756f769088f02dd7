"""The few widgets of CTK that MeWM's panels use."""

from __future__ import annotations

import types
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from slicer_host.pythonqt import custom_widget, declare

_HEADER = 26


@custom_widget
class ctkCollapsibleButton(QtWidgets.QAbstractButton):  # noqa: N801 - CTK's own name
    """A headline with a triangle; a click folds what lies below."""

    contentsCollapsed = QtCore.Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._collapsed = False
        self.setContentsMargins(6, _HEADER + 2, 2, 6)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Maximum)
        self.clicked.connect(lambda *_: self.setCollapsed(not self._collapsed))

    def setCollapsed(self, value: bool) -> None:
        value, before = bool(value), self._collapsed
        self._collapsed = value
        self._apply()
        if value != before:
            self.contentsCollapsed.emit(value)

    collapsed = declare(bool, lambda self: self._collapsed, lambda self, value: self.setCollapsed(value))

    def _apply(self) -> None:
        for child in self.children():
            if isinstance(child, QtWidgets.QWidget):
                child.setVisible(not self._collapsed)
        self.updateGeometry()

    def showEvent(self, event: Any) -> None:
        self._apply()
        super().showEvent(event)

    def sizeHint(self) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        if self._collapsed or layout is None:
            return QtCore.QSize(100, _HEADER)
        return layout.totalSizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        layout = QtWidgets.QWidget.layout(self)
        if self._collapsed or layout is None:
            return QtCore.QSize(100, _HEADER)
        return layout.totalMinimumSize()

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() <= _HEADER

    def paintEvent(self, event: Any) -> None:
        painter = QtWidgets.QStylePainter(self)
        painter.fillRect(0, 0, self.width, _HEADER - 2, QtGui.QColor(214, 220, 226))
        font = QtGui.QFont(self.font)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QtGui.QColor(25, 35, 45))
        triangle = (
            "\N{BLACK RIGHT-POINTING SMALL TRIANGLE}" if self._collapsed else "\N{BLACK DOWN-POINTING SMALL TRIANGLE}"
        )
        painter.drawText(8, 17, f"{triangle} {self.text}")


@custom_widget
class ctkSliderWidget(QtWidgets.QWidget):  # noqa: N801
    """A slider beside a spin box."""

    valueChanged = QtCore.Signal(float)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._spin = QtWidgets.QDoubleSpinBox()
        self._slider.setRange(0, 1000)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider)
        row.addWidget(self._spin)
        self._slider.valueChanged.connect(self._slid)
        self._spin.valueChanged.connect(self._spun)

    def _slid(self, position: int) -> None:
        self._spin.setValue(self._spin.minimum + position / 1000 * (self._spin.maximum - self._spin.minimum))

    def _spun(self, value: float) -> None:
        span = (self._spin.maximum - self._spin.minimum) or 1.0
        self._slider.blockSignals(True)
        self._slider.setValue(round(1000 * (value - self._spin.minimum) / span))
        self._slider.blockSignals(False)
        self.valueChanged.emit(value)

    def setValue(self, value: float) -> None:
        self._spin.setValue(value)

    def setRange(self, low: float, high: float) -> None:
        self._spin.setRange(low, high)

    def setMinimum(self, value: float) -> None:
        self._spin.setMinimum(value)

    def setMaximum(self, value: float) -> None:
        self._spin.setMaximum(value)

    value = declare(float, lambda self: self._spin.value, lambda self, value: self._spin.setValue(value))
    minimum = declare(float, lambda self: self._spin.minimum, lambda self, value: self._spin.setMinimum(value))
    maximum = declare(float, lambda self: self._spin.maximum, lambda self, value: self._spin.setMaximum(value))
    singleStep = declare(float, lambda self: self._spin.singleStep, lambda self, v: self._spin.setSingleStep(v))
    decimals = declare(int, lambda self: self._spin.decimals, lambda self, value: self._spin.setDecimals(value))
    suffix = declare(str, lambda self: self._spin.suffix, lambda self, value: self._spin.setSuffix(value))


def make_ctk() -> types.ModuleType:
    """The module `ctk`; what is not in it raises AttributeError, as it should."""
    ctk = types.ModuleType("ctk")
    for cls in (ctkCollapsibleButton, ctkSliderWidget):
        setattr(ctk, cls.__name__, cls)
    return ctk
