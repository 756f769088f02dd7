"""Panels are shown anew one in a turn of Qt's loop, so that no turn is long."""


class Turns:
    """Refreshes panels one after the other.

    Args:
        poller: the `background.Poller` whose turns the panels share.
        begin: called before each panel; False where there is nothing to show.
        end: called when none waits any more.
    """

    def __init__(self, poller, begin, end):
        self._poller, self._begin, self._end = poller, begin, end
        #: The next one first.
        self._waiting = []
        poller.share(self._next)

    def add(self, panels):
        """Refresh some panels soon. What waits already keeps its place, so that none waits for ever."""
        self._waiting += [panel for panel in panels if panel not in self._waiting]
        self._poller.wake()

    @property
    def settled(self):
        """True if none waits."""
        return not self._waiting

    def clear(self):
        """None has to wait any more."""
        self._waiting = []

    def _next(self):
        if not self._waiting:
            return False
        if not self._begin():
            self.clear()
            return False
        self._waiting.pop(0).refresh()
        if not self._waiting:
            self._end()
        return True
