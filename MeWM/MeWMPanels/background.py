"""Something slow on a thread, its end on Qt's thread. Only numpy and files there: MRML and Qt are not thread-safe.

What Qt's thread has to do itself is done in turns of Qt's loop, one piece in each, so that no turn is long: ends of
threads and news of jobs, nodes of results, panels. A kind that has much to do does not keep the others waiting.
"""

import queue
import threading
import time

import qt

POLL_MS = 60
#: Slicer holds Python's lock while Qt waits for events; threads run in these moments (seconds).
_YIELD_S = 0.003
#: What was posted, and is short, may share a turn for so long (seconds).
_TURN_S = 0.004


class Poller:
    """Calls functions from a timer and hands what threads put into a queue to Qt's thread."""

    def __init__(self):
        self._queue = queue.SimpleQueue()
        self._waiting = 0
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self.poll)
        self._steps = []
        self._turn = qt.QTimer()
        self._turn.setInterval(0)
        self._turn.timeout.connect(self._next_turn)
        #: Each does a piece of its kind, if there is one, and tells whether; the first is asked first.
        self._kinds = [self._posted, self._next_step]

    def post(self, function, *arguments):
        """Called on any thread: let Qt's thread call `function`."""
        self._queue.put((function, arguments))

    def poll(self):
        """Look whether something was posted, and let it have its turns."""
        time.sleep(_YIELD_S)
        if not self._queue.empty():
            self._turn.start()
        elif self._waiting <= 0:
            self._timer.stop()

    def share(self, piece):
        """Let another kind of work have its turns; `wake` tells that there is some.

        Args:
            piece: does one piece and returns True, or returns False where there is none.
        """
        self._kinds.append(piece)

    def wake(self):
        """There is something to do."""
        self._turn.start()

    def _next_turn(self):
        for kind in tuple(self._kinds):
            # the next turn begins with another kind
            self._kinds.append(self._kinds.pop(0))
            if kind():
                return
        self._turn.stop()

    def _posted(self):
        if self._queue.empty():
            return False
        until = time.monotonic() + _TURN_S
        while not self._queue.empty() and time.monotonic() < until:
            function, arguments = self._queue.get()
            function(*arguments)
        return True

    def run(self, work, then, failed):
        """Call `work()` on a thread; then `then(result)` or `failed(error)` on Qt's thread."""
        self._expect()

        def target():
            try:
                result = work()
            except Exception as error:
                self.post(self._finish, failed, error)
            else:
                self.post(self._finish, then, result)

        threading.Thread(target=target, name="mewm-background", daemon=True).start()

    def later(self, function):
        """Call a function on Qt's thread, in the next turn."""
        self._expect()
        self.post(self._finish, function)

    def _expect(self):
        """Something is under way: poll until `_finish` was called as often."""
        self._waiting += 1
        self._timer.start()

    def _finish(self, function, *values):
        self._waiting -= 1
        function(*values)

    def slices(self, steps, alive, then, failed):
        """Run a generator on Qt's thread, one step in each turn of the event loop.

        Args:
            steps: the generator.
            alive: asked before each step; once it is False the generator is closed.
            then: called with what the generator returns.
            failed: called with an error.
        """
        self._steps.append((steps, alive, then, failed))
        self._turn.start()

    def _next_step(self):
        if not self._steps:
            return False
        steps, alive, then, failed = self._steps[0]
        try:
            if alive():
                next(steps)
                return True
            steps.close()
            self._steps.pop(0)
        except StopIteration as end:
            self._steps.pop(0)
            then(end.value)
        except Exception as error:
            self._steps.pop(0)
            failed(error)
        return True

    def drop_slices(self):
        """Close all generators now; each takes back what it has done."""
        while self._steps:
            self._steps.pop(0)[0].close()

    def stop(self):
        """Forget everything."""
        self._timer.stop()
        self._turn.stop()
        self.drop_slices()
        self._waiting = 0
