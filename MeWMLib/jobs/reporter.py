"""What the worker tells while it works: stage, fraction, time left, memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil

from MeWMLib.jobs.job import Event

Emit = Callable[[Event], None]
HEARTBEAT_S = 2.0
#: Before this share of a stage is done its speed is not yet known.
_ETA_FROM = 0.03


class Reporter:
    """Turns the work's progress into events and keeps the time and memory that each stage took.

    Args:
        emit: takes the events; it is called from two threads, one at a time.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._lock = threading.Lock()
        self._process = psutil.Process()
        self._stage, self._fraction, self._message = "", 0.0, ""
        self._stage_from = time.monotonic()
        self._from = self._stage_from
        self.seconds: dict[str, float] = {}
        self.peak_memory_mb = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Repeat the state every two seconds, so that a long step looks alive, and watch the memory."""
        over = threading.Event()

        def watch() -> None:
            while not over.wait(HEARTBEAT_S):
                if self._stage:
                    self._say_progress()

        thread = threading.Thread(target=watch, name="mewm-heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    @contextmanager
    def stage(self, name: str, message: str = "") -> Iterator[None]:
        """Everything inside belongs to this stage."""
        self._stage, self._fraction, self._message = name, 0.0, message
        self._stage_from = time.monotonic()
        self._say_progress()
        try:
            yield
        finally:
            seconds = time.monotonic() - self._stage_from
            self.seconds[name] = round(self.seconds.get(name, 0.0) + seconds, 3)
        self.progress(1.0)

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Say how much of the stage is done."""
        self._fraction = min(1.0, max(self._fraction, float(fraction)))
        if message is not None:
            self._message = message
        self._say_progress()

    def partial(self, message: str, data: dict[str, Any]) -> None:
        """Give a result that may still improve."""
        self._say(Event("partial", self._stage, message=message, data=data))

    def log(self, message: str, **data: Any) -> None:
        """Say something that a person should read."""
        self._say(Event("log", self._stage, message=message, data=data))

    def timings(self) -> dict[str, Any]:
        """Seconds by stage and in all, and the highest memory seen."""
        self._memory()
        return {
            "stages_s": dict(self.seconds),
            "total_s": round(time.monotonic() - self._from, 3),
            "peak_memory_mb": round(self.peak_memory_mb, 1),
        }

    def _memory(self) -> float:
        memory = self._process.memory_info().rss / 1024**2
        self.peak_memory_mb = max(self.peak_memory_mb, memory)
        return round(memory, 1)

    def _say_progress(self) -> None:
        elapsed, fraction = time.monotonic() - self._stage_from, self._fraction
        eta = round(elapsed * (1.0 / fraction - 1.0), 1) if fraction >= _ETA_FROM else None
        self._say(Event("progress", self._stage, fraction, eta, self._memory(), self._message))

    def _say(self, event: Event) -> None:
        with self._lock:
            self._emit(event)
