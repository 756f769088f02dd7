"""Wakes whoever waits for news of a job, in place of polling."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class News:
    """Who waits for news of which job; `tell` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    def tell(self, job_id: str) -> None:
        """Something of a job has changed."""
        with self._lock:
            waiting = list(self._waiting.get(job_id, ()))
        for loop, event in waiting:
            with contextlib.suppress(RuntimeError):  # that loop is over
                loop.call_soon_threadsafe(event.set)

    @contextlib.contextmanager
    def of(self, job_id: str) -> Iterator[asyncio.Event]:
        """What is set whenever there is something new of a job."""
        one = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._waiting.setdefault(job_id, []).append(one)
        try:
            yield one[1]
        finally:
            with self._lock:
                left = self._waiting[job_id]
                left.remove(one)
                if not left:
                    del self._waiting[job_id]
