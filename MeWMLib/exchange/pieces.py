"""Pieces of work that are done by a few threads while the next are prepared: checksums and writing let others run."""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any

#: Threads; more do not help, since there is one disk.
_THREADS = 4


def give_back_memory() -> None:
    """Hand what is free back to the system, where the C library keeps it: other threads do not use what it keeps."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)


class Pieces:
    """Does pieces of work, of which few wait at any time, so that what they hold takes little memory.

    Leaving the block waits for all of them; the first error of a piece is raised, and what waits is dropped.
    """

    def __init__(self) -> None:
        self._count = max(1, min(_THREADS, os.cpu_count() or 1))
        self._pool = ThreadPoolExecutor(self._count)
        self._waiting: deque[Future[Any]] = deque()

    def __enter__(self) -> Pieces:
        return self

    def give(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Have a piece done, after waiting for an earlier one if many wait."""
        while len(self._waiting) > self._count:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work, *arguments))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        try:
            while self._waiting and kind is None:
                self._waiting.popleft().result()
        finally:
            self._pool.shutdown(cancel_futures=True)
