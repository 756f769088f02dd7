"""One dialog for every failure: what failed, what was found, what to do, and a button that does it."""

import logging
import re
from html import escape

import qt
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import MeWMError, WorkerError

#: The worker also speaks to users of the command line; here its options become the names of widgets, in English as the
#: sentences around them.
_WIDGETS = (
    (r"--device cpu", "Device: cpu (Setup)"),
    (r"--device", "Device (Setup)"),
    (r"--replicas", "Replicas"),
    (r"--beams", "Beams"),
    (r"--bundle", "Model (Setup)"),
    (r"--sample synthetic", "the synthetic sample"),
    (r"go on with --accept-labels", "press Go on with these labels"),
    (r"go on with --allow-forbidden", "press Go on although it is contraindicated"),
    (r" with --post or --post-series", " in the panel Patient"),
    (r"if it is registered already, say --no-register; to", "to"),
    (r"go on all the same, --accept-registration", "go on all the same, press Go on with this registration"),
    (r" \(--post-labels\)", ""),
    (r": give labels with --post-labels", ""),
    (r"--labels", "Segmentation"),
    (r"--token-file", "Token file (Setup)"),
    (r"`mewm jobs attach [0-9a-f]+` fetches what it has", "press Take it up, above Plan for this CT"),
    (r"`mewm jobs cancel [0-9a-f]+` ends it", "Cancel it, above Plan for this CT, ends it"),
    (r"`mewm doctor`", "Check in Setup"),
    (r"`mewm bundle list`", "Model in Setup"),
    (r"`mewm bundle import FILE\.zip`", "Import model... in Setup"),
    (r"--out\b", "another folder"),
)
#: Nobody reads more than this in a dialog; the whole text is in Slicer's log.
_MOST = 600


def shortened(text):
    """The beginning of a long text."""
    if len(text) <= _MOST:
        return text
    return _("{text} ... (the rest is in Slicer's error log)").format(text=text[:_MOST].rstrip())


def in_words_of_panels(text):
    """Replace options of the command line by the names of widgets."""
    for flag, words in _WIDGETS:
        text = re.sub(flag, words, text)
    return text


def as_mewm_error(error):
    """Any error as one of ours: the one place in the panels where foreign errors are translated."""
    if isinstance(error, MeWMError):
        return error
    return WorkerError(
        what=_("Something unexpected went wrong in the module"),
        given=f"{type(error).__name__}: {error}",
        remedy=_("This is a bug in MeWM: please report it with the text of Slicer's error log"),
    )


class Messages:
    """Shows errors, one dialog at a time.

    Args:
        fixes: type name of an error to (text of a button, what it does), or to a function that gives both when they
            depend on the settings.
    """

    def __init__(self, fixes=None):
        self.fixes = fixes or {}
        self.box = None
        #: The last error as it was shown, and as it was raised.
        self.last = self.cause = None

    def show(self, error):
        """Show an error; returns at once."""
        ours = self.last = as_mewm_error(error)
        self.cause = error
        # Slicer's log keeps errors apart, and its status bar counts them
        logging.error("MeWM: %s", ours, exc_info=error if ours is not error else None)
        self.close()
        box = self.box = qt.QMessageBox(slicer.util.mainWindow())
        box.setIcon(qt.QMessageBox.Warning)
        box.setWindowTitle("MeWM")
        box.setText(f"<b>{escape(in_words_of_panels(ours.what))}</b>")
        lines = [
            line.format(text=escape(shortened(in_words_of_panels(text))).replace("\n", "<br>"))
            for line, text in ((_("Found: {text}"), ours.given), (_("What to do: {text}"), ours.remedy))
            if text
        ]
        box.setInformativeText("<br><br>".join(lines))
        fix = next((self.fixes[c.__name__] for c in type(ours).__mro__ if c.__name__ in self.fixes), None)
        fix = fix() if callable(fix) else fix
        if fix is not None:
            button = box.addButton(fix[0], qt.QMessageBox.ActionRole)
            button.clicked.connect(lambda *_args: fix[1]())
        box.addButton(qt.QMessageBox.Close)
        # no nested event loop: a dialog that nobody closes must not hold up a job
        box.setModal(True)
        box.show()

    def close(self):
        """Take the dialog away."""
        if self.box is not None:
            self.box.hide()
            self.box.deleteLater()
            self.box = None
