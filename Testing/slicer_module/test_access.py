"""The panels without a mouse, with a screen reader, and in a dark style."""

from __future__ import annotations

import re
from collections import Counter
from typing import Any
from xml.etree import ElementTree

import pytest

#: Colours may be written out here alone, where each has one for dark styles too.
INK = "ink.py"
_BUTTONS = ("QPushButton", "QCheckBox", "QRadioButton", "QToolButton")


def _ui_files(repository: Any) -> list[Any]:
    return sorted((repository / "MeWM" / "Resources" / "UI").glob("*.ui"))


def _text(widget: ElementTree.Element) -> str:
    return widget.findtext("property[@name='text']/string") or ""


def _mnemonic(text: str) -> str:
    found = re.findall(r"&([^&\s])", text.replace("&&", ""))
    assert len(found) == 1, f"{text!r} has {len(found)} keys"
    return found[0].lower()


def test_every_label_names_the_widget_that_it_belongs_to(repository):
    """A label with a text is the label of something, unless it says a sentence; one that shows a state has no text."""
    labels = 0
    for file in _ui_files(repository):
        root = ElementTree.parse(file).getroot()
        names = {widget.get("name") for widget in root.iter("widget")}
        for label in (w for w in root.iter("widget") if w.get("class") == "QLabel" and _text(w)):
            if _text(label).endswith("."):
                continue
            buddy = label.findtext("property[@name='buddy']/cstring")
            labels += 1
            # its buttons are made by `treated.TreatedSection`
            assert buddy in names or label.get("name") == "segmentsLabel", f"{file.name}: {label.get('name')}"
    assert labels > 30


def test_every_button_has_a_key_that_no_other_in_its_panel_has(user):
    """Also those that code makes or renames; Qt underlines the letter after the ampersand."""
    front, found = user.front, 0
    for panel in front.panels:
        keys = Counter()
        for button in _inputs(panel.widget):
            if button.className() in _BUTTONS:
                keys[_mnemonic(button.text)] += 1
                found += 1
        assert all(count == 1 for count in keys.values()), f"{panel.ui_name}: {keys}"
    assert found > 45


def _inputs(top: Any) -> list[Any]:
    """The widgets that take input; parts of a composed widget are Qt's own affair."""
    from PySide6 import QtWidgets

    composed = (QtWidgets.QAbstractSpinBox, QtWidgets.QComboBox, QtWidgets.QAbstractScrollArea)
    kinds = (QtWidgets.QAbstractButton, *composed, QtWidgets.QLineEdit)
    found = []
    for widget in top.findChildren(QtWidgets.QWidget):
        chain, parent = [], widget.parentWidget()
        while parent is not None and parent is not top:
            chain.append(parent)
            parent = parent.parentWidget()
        inside = any(p.className().startswith(("ctkSlider", "qMRMLNode")) or isinstance(p, composed[:2]) for p in chain)
        in_table = widget.name.startswith("qt_") or widget.className() in ("QAbstractButton", "QHeaderView")
        own = isinstance(widget, kinds) or widget.className() in ("ctkSliderWidget", "qMRMLNodeComboBox")
        if own and not inside and not in_table and widget.className() not in ("QListView", "QComboBoxListView"):
            found.append(widget)
    return found


def test_a_screen_reader_hears_a_name_for_everything(user):
    from PySide6.QtGui import QAccessible

    heard = {}
    for panel in user.front.panels:
        for widget in _inputs(panel.widget):
            name = widget.accessibleName or QAccessible.queryAccessibleInterface(widget).text(QAccessible.Name)
            assert name and "&" not in name, f"{panel.ui_name}: {widget.name} ({widget.className()})"
            heard[widget.name] = name
    assert heard["ctSelector"] == "CT before treatment" and heard["planButton"] == "Plan for this CT"
    assert heard["fadeSlider"] == "Fade" and heard["clinical_ecog"] == "ECOG performance status"
    assert len(heard) > 100


def test_keys_fade_flicker_step_through_the_ranks_and_go_to_the_lesion(user):
    import slicer
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    front, window = user.front, slicer.util.mainWindow()
    user.load_sample()
    user.simulate("Cisplatin + Lipiodol", "Epirubicin + PVA")
    window.show()
    window.activateWindow()
    user.look()

    def press(letter: str) -> None:
        QTest.keyClick(window, getattr(Qt, f"Key_{letter}"), Qt.ControlModifier | Qt.ShiftModifier)
        user.look()

    went: list[Any] = []

    def fade() -> float:
        return float(front.parameters.view.fade)

    press("M")
    assert fade() == pytest.approx(0.6)
    for _ in range(12):
        press("B")
    assert fade() == 0.0, "it ends at the scan"
    press("N")
    assert front.shown_rank == 2
    press("N")
    assert front.shown_rank == 2, "there is no third"
    press("P")
    assert front.shown_rank == 1
    press("K")
    assert user.widget("outcome", "flickerBox").checked
    press("K")
    assert not user.widget("outcome", "flickerBox").checked
    front.views.to_lesion = went.append
    press("L")
    assert len(went) == 1
    # another module is shown: the keys are its own
    slicer.util.selectModule("Data")
    press("M")
    press("L")
    assert fade() == 0.0 and len(went) == 1
    slicer.util.selectModule("MeWM")
    press("M")
    assert fade() == pytest.approx(0.1)
    for key in front.keys.meanings:
        assert key in user.widget("outcome", "keysLabel").text
    window.hide()


def _luminance(colour: Any) -> float:
    parts = [colour.redF(), colour.greenF(), colour.blueF()]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: Any, other: Any) -> float:
    """WCAG 2.2, contrast ratio."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.fixture(params=["light", "dark"])
def style(request, host):
    """Slicer's light and dark style, as far as their palettes go."""
    from PySide6.QtGui import QColor, QPalette

    app = host.start()
    former, palette = app.palette(), QPalette()
    back, words = ((250, 250, 250), (0, 0, 0)) if request.param == "light" else ((42, 42, 42), (240, 240, 240))
    for role in (QPalette.Window, QPalette.Base, QPalette.Button, QPalette.AlternateBase):
        palette.setColor(role, QColor(*back))
    for role in (QPalette.WindowText, QPalette.Text, QPalette.ButtonText):
        palette.setColor(role, QColor(*words))
    app.setPalette(palette)
    yield request.param
    app.setPalette(former)


def test_coloured_words_are_legible_in_both_styles(style, user):
    import slicer
    from MeWMPanels import ink
    from PySide6.QtGui import QColor, QPalette

    assert ink.is_dark() == (style == "dark")
    for kind in (ink.BAD, ink.WARNING, ink.GOOD, ink.QUIET):
        for role in (QPalette.Base, QPalette.Window):
            assert _contrast(QColor(ink.ink(kind)), slicer.app.palette().color(role)) >= 4.5, (kind, style)
    user.front.refresh()
    assert ink.ink(ink.WARNING) in user.front._banner.styleSheet
    # on the screen too: the darkest and the lightest pixel of the banner are that far apart
    image = user.front._banner.grab().toImage()
    colours = [image.pixelColor(x, y) for x in range(0, image.width(), 2) for y in range(image.height())]
    assert max(_contrast(colour, slicer.app.palette().color(QPalette.Window)) for colour in colours) >= 4.5


def test_no_colour_is_written_out_anywhere_else(repository):
    colour = re.compile(
        r"#[0-9a-fA-F]{3}(?:[0-9a-fA-F]{3})?\b|QColor\(|background(?:-color)?:|Qt\.(?:red|black|white)\b"
    )
    folder = repository / "MeWM"
    for file in [*folder.rglob("*.py"), *_ui_files(repository)]:
        if file.name != INK:
            text = "\n".join(line.split("#: ")[0] for line in file.read_text(encoding="utf-8").splitlines())
            assert not colour.search(text), f"{file.name}: {colour.search(text)}"
