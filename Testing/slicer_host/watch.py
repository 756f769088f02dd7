"""How long the event loop stands still: what a user feels as a frozen window."""

from __future__ import annotations

import time
from typing import Any

from PySide6.QtCore import QAbstractEventDispatcher, QTimer

#: How often the loop is asked to tick, in ms.
INTERVAL_MS = 2


class EventLoopWatch:
    """Records the time between two turns of Qt's event loop while the block runs.

    The loop looks for what the user did once in each turn. It says so by `awake` and `aboutToBlock`; a timer alone does
    not do, since the dispatcher of GLib serves timers of a loop that is busy after everything else, in a later turn.

    Args:
        interval_ms: of a timer that keeps the loop turning.

    Attributes:
        gaps: seconds from one turn to the next.
        busy: seconds of them that this thread computed; the rest it slept, or other processes had the processor.
    """

    def __init__(self, interval_ms: int = INTERVAL_MS) -> None:
        self.gaps: list[float] = []
        self.busy: list[float] = []
        self._last = self._last_busy = 0.0
        self._timer = QTimer()
        self._timer.setInterval(interval_ms)
        self._timer.timeout.connect(self._tick)
        self._dispatcher = QAbstractEventDispatcher.instance()

    def __enter__(self) -> EventLoopWatch:
        self._last, self._last_busy = time.monotonic(), time.thread_time()
        self._timer.start()
        self._dispatcher.awake.connect(self._tick)
        self._dispatcher.aboutToBlock.connect(self._tick)
        return self

    def __exit__(self, *_: Any) -> None:
        # what blocked the loop up to the very end counts too
        self._tick()
        self._timer.stop()
        self._dispatcher.awake.disconnect(self._tick)
        self._dispatcher.aboutToBlock.disconnect(self._tick)

    def _tick(self) -> None:
        now, busy = time.monotonic(), time.thread_time()
        self.gaps.append(now - self._last)
        self.busy.append(busy - self._last_busy)
        self._last, self._last_busy = now, busy

    @property
    def longest_ms(self) -> float:
        """The longest time without a turn."""
        return 1000.0 * max(self.gaps)

    def in_words(self, what: str) -> str:
        """One line for a test to print."""
        ordered = sorted(self.gaps)
        percentile = 1000.0 * ordered[int(0.99 * (len(ordered) - 1))]
        return (
            f"{what}: event loop, {len(ordered)} turns, longest gap {self.longest_ms:.0f} ms, "
            f"99th percentile {percentile:.0f} ms; longest computed at one go {1000 * max(self.busy):.0f} ms"
        )
