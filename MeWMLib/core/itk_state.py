"""Settings that SimpleITK keeps for the whole process: set for as long as a block runs, and then put back.

Blocks may overlap in several threads. The first one in notes what was set before, and the last one out sets that again;
if each noted it for itself, one could put back what another had set.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any

import SimpleITK as sitk


class _Held:
    """A setting that is held at a value while any block is inside."""

    def __init__(self, get: Callable[[], Any], put: Callable[[Any], None], value: Any) -> None:
        self._get, self._put, self._value = get, put, value
        self._lock, self._inside, self._before = threading.Lock(), 0, None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = self._get()
                self._put(self._value)
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._put(self._before)


_PROCESS = sitk.ProcessObject
#: ITK prints its warnings to standard error, past every handler.
quiet_itk = _Held(_PROCESS.GetGlobalWarningDisplay, _PROCESS.SetGlobalWarningDisplay, False)
#: Threads add up in another order each time; setting it on one method alone does not make that repeat bit for bit.
one_itk_thread = _Held(_PROCESS.GetGlobalDefaultNumberOfThreads, _PROCESS.SetGlobalDefaultNumberOfThreads, 1)
