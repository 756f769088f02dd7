"""The widgets of the clinical data, one for each field of the table in `core.clinical`."""

import qt
from slicer.i18n import tr as _

from MeWMLib.core.clinical import field_table
from MeWMPanels.clinical_words import words

#: Qt property by which a widget is bound to a parameter.
_PARAMETER = "SlicerParameterName"


def add_clinical_widgets(form):
    """Add a row for each clinical field to a form layout.

    Returns:
        the widgets by the name of the field; whoever keeps them keeps their connections.
    """
    widgets, told = {}, words()
    for name, info in field_table().items():
        widget = widgets[name] = _widget(info)
        widget.setObjectName(f"clinical_{name}")
        widget.setProperty(_PARAMETER, f"clinical.{name}")
        title, tip = told[name]
        widget.setToolTip(tip)
        widget.setAccessibleName(title)
        form.addRow(title, widget)
    return widgets


def _widget(info):
    if info.kind == "list":
        edit = qt.QLineEdit()
        edit.setPlaceholderText(_("not known; write none, or one | another"))
        return edit
    if info.kind not in ("number", "whole"):
        return qt.QComboBox()
    box = qt.QDoubleSpinBox()
    # the lowest value, which stands for no value at all
    box.setSpecialValueText(_("not known"))
    counted = info.kind == "whole" or 80 <= info.high <= 2000
    box.setDecimals(0 if counted else 2 if info.high < 5 else 1)
    box.setSingleStep(1.0 if counted else 0.1)
    if info.unit:
        box.setSuffix(f" {info.unit}")
    return box
