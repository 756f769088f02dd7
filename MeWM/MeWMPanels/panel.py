"""What all panels share: a .ui file, its link to the parameter node, tables and lists."""

import qt
import slicer

_BUTTONS = ("QPushButton", "QCheckBox", "ctkCollapsibleButton")
_INPUTS = (
    *_BUTTONS, "QComboBox", "QSpinBox", "QDoubleSpinBox", "QLineEdit", "QListWidget", "QTableWidget", "QTextBrowser",
    "QPlainTextEdit", "QProgressBar", "ctkSliderWidget", "qMRMLNodeComboBox",
)  # fmt: skip


class Panel:
    """One section of the module. A panel has `setup`, called once to link signals, and `refresh`, to show the state.

    Args:
        front: gives `parameters`, `tasks`, `desk`, `guard` and `resource`.
    """

    ui_name = ""

    def __init__(self, front):
        self.front = front
        self.widget = slicer.util.loadUI(front.resource(f"UI/{self.ui_name}.ui"))
        self.ui = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        name_for_readers(self.widget)
        self._link, self._tips = None, {}
        self.setup()

    @property
    def parameters(self):
        """The typed parameter node."""
        return self.front.parameters

    def connect_parameters(self, parameters):
        """Bind the widgets to another parameter node, or to none."""
        if self._link is not None:
            former, tag, observed = self._link
            former.disconnectGui(tag)
            for one in observed:
                former.RemoveObserver(one)
            self._link = None
        if parameters is not None:
            self._link = (parameters, *_connected(parameters, self.widget))

    def on_click(self, **functions):
        """Link buttons, by their names, to what they do; an error becomes the one dialog."""
        for name, function in functions.items():
            button = getattr(self.ui, name)
            button.clicked.connect(lambda *_args, function=function: self.front.guard(function))

    def on_choice(self, **functions):
        """Link combo boxes, by their names, to functions that are called with the data of the chosen entry."""
        for name, function in functions.items():
            box = getattr(self.ui, name)
            box.currentIndexChanged.connect(
                lambda *_args, box=box, function=function: function(box.itemData(box.currentIndex))
            )

    def enable_each(self, **reasons):
        """`enable` for several buttons, by their names."""
        for name, reason in reasons.items():
            self.enable(getattr(self.ui, name), reason)

    def enable(self, button, reason):
        """Enable a button where the reason is "", or disable it and give the reason in its tool tip."""
        tip = self._tips.setdefault(button.name, button.toolTip)
        button.setEnabled(not reason)
        button.setToolTip(reason or tip)


def _connected(parameters, widget):
    """Bind a widget to a parameter node: the tag for `disconnectGui`, and those of what it observes.

    In Slicer 5.10 `disconnectGui` leaves the observer of `connectGui` on the node for ever, and with it the widget.
    """
    observed, observe = [], parameters.AddObserver

    def recording(*arguments):
        observed.append(observe(*arguments))
        return observed[-1]

    parameters.AddObserver = recording
    try:
        tag = parameters.connectGui(widget)
    finally:
        del parameters.AddObserver
    return tag, observed


def name_for_readers(top):
    """Give each widget that takes input a name for screen readers: its own text, that of its label, or its tool tip."""
    children = slicer.util.findChildren(top)
    labels = {}
    for label in children:
        if label.className() == "QLabel" and label.buddy() is not None:
            labels[label.buddy().name] = label.text
    for child in children:
        if child.className() in _INPUTS and not child.accessibleName:
            name = child.text if child.className() in _BUTTONS else labels.get(child.name, "")
            child.setAccessibleName(name.replace("&", "") or child.toolTip)


def show_text(label, text):
    """Show a text in a label, or hide the label where there is none."""
    label.setText(text)
    label.setVisible(bool(text))


def chosen_file(parent, title, pattern=""):
    """Let the user choose a file; returns its path, or ""."""
    path = qt.QFileDialog.getOpenFileName(parent, title, "", pattern)
    # PySide answers with the chosen filter too, PythonQt with the path alone
    return path if isinstance(path, str) else path[0]


def fill_combo(combo, pairs, current):
    """Fill a combo box with pairs of data and text, without telling anyone."""
    combo.blockSignals(True)
    combo.clear()
    for data, text in pairs:
        combo.addItem(text, data)
    combo.setCurrentIndex(next((n for n, (data, _text) in enumerate(pairs) if data == current), -1))
    combo.blockSignals(False)


def fill_table(table, titles, rows, tips=(), widest=-1, title_tips=(), most=8):
    """Fill a table with texts, numbers on the right; hidden where it is empty. The selected row stays selected.

    Args:
        table: a QTableWidget.
        titles: of the columns.
        rows: texts.
        tips: a tool tip for each row.
        widest: the column that takes the room that is left.
        title_tips: a tool tip for each title.
        most: how many rows are seen without scrolling.
    """
    row_before = table.currentRow()
    table.blockSignals(True)
    table.setColumnCount(len(titles))
    table.setHorizontalHeaderLabels(list(titles))
    for column, tip in enumerate(title_tips):
        table.horizontalHeaderItem(column).setToolTip(tip)
    table.setRowCount(len(rows))
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            tip, shown = tips[r] if tips else "", table.item(r, c)
            if shown is not None and (shown.text(), shown.toolTip()) == (text, tip):
                continue  # a search fills its table again and again, and most of it stays
            item = qt.QTableWidgetItem(text)
            if text[:1] in "+-0123456789\N{MINUS SIGN}" and text:
                item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            item.setToolTip(tip)
            table.setItem(r, c, item)
    header = table.horizontalHeader()
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(widest % len(titles), qt.QHeaderView.Stretch)
    if 0 <= row_before < len(rows):
        table.setCurrentCell(row_before, 0)
    table.blockSignals(False)
    table.setVisible(bool(rows))
    if rows:
        # 32 pixels: the header and the frame
        table.setFixedHeight(32 + table.rowHeight(0) * min(most, len(rows)))
