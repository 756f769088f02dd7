"""Files that only their owner reads: those that hold something of a patient, and secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def private(path: Path, mode: str) -> Any:
    """Open a file to be written that only its owner reads, whatever the process's umask is.

    Args:
        path: the file; one that is there already gets the permission too.
        mode: "w", "a", "wb" or "ab".
    """

    def opener(name: str, flags: int) -> int:
        handle = os.open(name, flags, 0o600)
        if hasattr(os, "fchmod"):
            os.fchmod(handle, 0o600)
        return handle

    return open(path, mode, opener=opener, encoding=None if "b" in mode else "utf-8")  # noqa: PTH123


def others_can_read(path: Path) -> bool:
    """True if the permissions of a file let anybody but its owner in; False where there are no such permissions."""
    return os.name == "posix" and bool(path.stat().st_mode & 0o077)
