"""Something slow on a thread, its end on Qt's thread. Only numpy and files there: MRML and Qt are not thread-safe."""

import queue
import threading
import time

import qt

POLL_MS = 60
#: Slicer holds Python's lock while Qt waits for events; threads run in these moments (seconds).
_YIELD_S = 0.003


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
        self._turn.timeout.connect(self._next_step)

    def post(self, function, *arguments):
        """Called on any thread: let Qt's thread call `function`."""
        self._queue.put((function, arguments))

    def poll(self):
        """Call what was posted."""
        time.sleep(_YIELD_S)
        while not self._queue.empty():
            function, arguments = self._queue.get()
            function(*arguments)
        if self._waiting <= 0 and self._queue.empty():
            self._timer.stop()

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
            self._turn.stop()
            return
        steps, alive, then, failed = self._steps[0]
        try:
            if alive():
                next(steps)
                return
            steps.close()
            self._steps.pop(0)
        except StopIteration as end:
            self._steps.pop(0)
            then(end.value)
        except Exception as error:
            self._steps.pop(0)
            failed(error)

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
