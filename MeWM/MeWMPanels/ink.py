"""Colours of words, legible on the background that the user's style has."""

import qt
import slicer

BAD, WARNING, GOOD, QUIET = "bad", "warning", "good", "quiet"
#: On a light and on a dark background, each with a contrast of at least 4.5 to 1 (WCAG 2, level AA).
_INKS = {
    BAD: ("#a3201a", "#ff9a91"),
    WARNING: ("#7a4f00", "#ffcf66"),
    GOOD: ("#17612c", "#7fd99a"),
    QUIET: ("#595959", "#b4b4b4"),
}
_HALF = 128


def is_dark():
    """True if the user's style writes light words on a dark background."""
    return slicer.app.palette().color(qt.QPalette.Base).lightness() < _HALF


def ink(kind):
    """The colour of a kind of words, as HTML names it."""
    return _INKS[kind][is_dark()]


def inked(kind, html):
    """HTML in the colour of a kind."""
    return f'<span style="color:{ink(kind)}">{html}</span>'


def restyle(label, style):
    """Give a label a style sheet that goes with the user's style, which may have changed: then alone, since to set one
    lays all panels out anew."""
    if label.styleSheet != style:
        label.setStyleSheet(style)
