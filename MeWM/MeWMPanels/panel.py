"""What all panels share: a .ui file, its link to the parameter node, tables and lists."""

import qt
import slicer

#: Height of a table's header in pixels, with some room.
_HEADER = 28


class Panel:
    """One section of the module.

    Args:
        front: gives `parameters`, `tasks`, `desk`, `guard` and `resource`.
    """

    ui_name = ""

    def __init__(self, front):
        self.front = front
        self.widget = slicer.util.loadUI(front.resource(f"UI/{self.ui_name}.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._link = None
        self.setup()

    @property
    def parameters(self):
        """The typed parameter node."""
        return self.front.parameters

    def setup(self):
        """Link signals; called once."""

    def refresh(self):
        """Show the state of parameter node, scene and desk."""

    def connect_parameters(self, parameters):
        """Bind the widgets to another parameter node, or to none."""
        if self._link is not None:
            former, tag = self._link
            former.disconnectGui(tag)
            self._link = None
        if parameters is not None:
            self._link = (parameters, parameters.connectGui(self.widget))

    def enable(self, button, reason):
        """Enable a button, or say in its tool tip why it is disabled.

        Args:
            button: the button.
            reason: "" to enable it.
        """
        if not hasattr(self, "_tips"):
            self._tips = {}
        tip = self._tips.setdefault(button.name, button.toolTip)
        button.setEnabled(not reason)
        button.setToolTip(reason or tip)


def keep_narrow(*boxes):
    """Let combo boxes be narrower than their longest text: Slicer's panel is."""
    for box in boxes:
        box.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        box.setMinimumContentsLength(14)


def fill_combo(combo, pairs, current):
    """Fill a combo box with pairs of data and text, without telling anyone."""
    combo.blockSignals(True)
    combo.clear()
    for data, text in pairs:
        combo.addItem(text, data)
    index = [data for data, _text in pairs].index(current) if current in [data for data, _text in pairs] else -1
    combo.setCurrentIndex(index)
    combo.blockSignals(False)


def fill_table(table, titles, rows, tips=(), widest=-1, title_tips=()):
    """Fill a table with texts; numbers stand on the right. The selected row stays selected.

    Args:
        table: a QTableWidget.
        titles: of the columns.
        rows: texts.
        tips: a tool tip for each row.
        widest: the column that takes the room that is left.
        title_tips: a tool tip for each title.
    """
    row_before = table.currentRow()
    table.blockSignals(True)
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    for column, tip in enumerate(title_tips):
        table.horizontalHeaderItem(column).setToolTip(tip)
    table.verticalHeader().setVisible(False)
    table.setRowCount(len(rows))
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            item = qt.QTableWidgetItem(text)
            if text[:1] in "+-0123456789\N{MINUS SIGN}" and text:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            if tips:
                item.setToolTip(tips[r])
            table.setItem(r, c, item)
    header = table.horizontalHeader()
    for column in range(len(titles)):
        stretched = column == widest % len(titles)
        header.setSectionResizeMode(column, qt.QHeaderView.Stretch if stretched else qt.QHeaderView.ResizeToContents)
    if 0 <= row_before < len(rows):
        table.setCurrentCell(row_before, 0)
    table.blockSignals(False)


def fit_height(table, most=8):
    """Make a table as high as its rows, up to `most` of them."""
    rows = min(most, max(1, table.rowCount))
    row_height = table.rowHeight(0) if table.rowCount else 24
    table.setFixedHeight(_HEADER + row_height * rows + 4)
