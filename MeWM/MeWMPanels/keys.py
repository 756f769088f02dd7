"""Keys for looking at a comparison, while the module is shown. Slicer uses none of them itself."""

import qt
import slicer
from slicer.i18n import tr as _

FADE_STEP = 0.1


class Keys:
    """Fade, flicker, ranks and lesion by keys.

    Args:
        front: the panels together.
    """

    def __init__(self, front):
        self._front = front
        #: What each key does, in words for the tool tip of its widget.
        self.meanings = {
            "Ctrl+Shift+B": (_("Fade towards the scan before treatment"), lambda: self._fade(-FADE_STEP)),
            "Ctrl+Shift+M": (_("Fade towards the simulated CT"), lambda: self._fade(FADE_STEP)),
            "Ctrl+Shift+K": (_("Flicker on or off"), self._flicker),
            "Ctrl+Shift+P": (_("Previous rank"), lambda: self._step(-1)),
            "Ctrl+Shift+N": (_("Next rank"), lambda: self._step(1)),
            "Ctrl+Shift+L": (_("Go to the lesion"), front.go_to_lesion),
        }
        self._shortcuts = [self._shortcut(key, do) for key, (_what, do) in self.meanings.items()]

    def _shortcut(self, key, do):
        shortcut = qt.QShortcut(qt.QKeySequence(key), slicer.util.mainWindow())
        # also where a view has its own window
        shortcut.setContext(qt.Qt.ApplicationShortcut)
        shortcut.activated.connect(lambda: self._press(do))
        return shortcut

    def _press(self, do):
        front = self._front
        if front.shown and front.parameters is not None:
            front.guard(do)

    def _fade(self, change):
        view = self._front.parameters.view
        view.fade = min(1.0, max(0.0, round(view.fade + change, 2)))

    def _flicker(self):
        box = self._front.outcome.ui.flickerBox
        box.setChecked(not box.checked)

    def _step(self, step):
        """Show the next rank that has a simulated CT, or the one before."""
        front = self._front
        ranks = front.comparison.kept if front.comparison is not None else ()
        if not ranks:
            return
        place = ranks.index(front.shown_rank) if front.shown_rank in ranks else 0
        front.show_rank(ranks[min(len(ranks) - 1, max(0, place + step))])

    @property
    def help(self):
        """All keys, one line each."""
        return "\n".join(f"{key}: {what}" for key, (what, _do) in self.meanings.items())

    def listen(self, on):
        """Take the keys while the module is shown; other modules may use them otherwise."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(on)

    def close(self):
        """The module is unloaded."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.deleteLater()
        self._shortcuts = []
