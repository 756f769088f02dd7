"""Whether a process still lives, and is not another one that has its number now."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import psutil

#: How far two answers of one process may lie apart (seconds).
_APART_S = 0.005 if sys.platform.startswith("linux") else 1.0


def born(pid: int) -> float:
    """When a process was started (seconds); 0 for one that is gone.

    On Linux it counts from the start of the computer, so that it stays the same when somebody sets the clock: psutil
    adds a start of the computer that the kernel works out from the clock of the moment.
    """
    if sys.platform.startswith("linux"):
        try:
            told = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            return 0.0
        # the name in brackets may hold brackets and spaces itself
        fields = told.rpartition(b")")[2].split()
        return 0.0 if fields[0] == b"Z" else int(fields[19]) / os.sysconf("SC_CLK_TCK")
    with contextlib.suppress(psutil.Error, ValueError):
        return float(psutil.Process(pid).create_time())
    return 0.0


def lives(pid: int, at: float) -> bool:
    """True while the process lives that had this number and was `born` then."""
    return pid > 0 and at > 0.0 and abs(born(pid) - at) <= _APART_S
