"""Panels are shown anew one in a turn of Qt's loop, so that no turn is long."""

import qt


class Turns:
    """Refreshes panels one after the other.

    Args:
        begin: called before each panel; False where there is nothing to show.
        end: called when none waits any more.
    """

    def __init__(self, begin, end):
        self._begin, self._end = begin, end
        #: The next one first.
        self._waiting = []
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(0)
        self._timer.timeout.connect(self._next)

    def add(self, panels):
        """Refresh some panels soon. What waits already keeps its place, so that none waits for ever."""
        self._waiting += [panel for panel in panels if panel not in self._waiting]
        self._timer.start()

    @property
    def settled(self):
        """True if none waits."""
        return not self._waiting

    def clear(self):
        """None has to wait any more."""
        self._waiting = []

    def stop(self):
        """The panels are going away."""
        self._timer.stop()
        self.clear()

    def _next(self):
        if not self._waiting:
            return
        if not self._begin():
            self.clear()
            return
        panel = self._waiting.pop(0)
        try:
            panel.refresh()
            if not self._waiting:
                self._end()
        finally:
            if self._waiting:
                self._timer.start()
