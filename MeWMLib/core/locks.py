"""Locks that end with the process that holds them: of a folder, and of what a run writes.

A lock is a file that the operating system locks (`flock`; `msvcrt` on Windows), so that a killed process leaves none.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from MeWMLib.core.errors import OutputError, output_error

#: In a folder that a run writes to, and before the name of a file that one writes.
LOCK = ".mewm-lock"
#: What `core.io.atomic_path` leaves when its process is killed.
_HALF = re.compile(r"\.{1,2}[0-9a-f]{8}\.(.+)")

if sys.platform == "win32":  # pragma: no cover
    import msvcrt

    def _try(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class FileLock:
    """The lock of one file, which is made where it is absent and removed by `release`.

    Args:
        path: of the lock's own file; its folder exists.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self) -> bool:
        """Take the lock; False if somebody else holds it.

        Raises:
            OutputError: the file cannot be made.
        """
        try:
            while True:
                # Python's handles are not inherited, so no child keeps the lock of a process that was killed
                handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
                if not _try(handle):
                    os.close(handle)
                    return False
                # who held it before may have removed the file between our opening and our locking
                with contextlib.suppress(FileNotFoundError):
                    if os.path.samestat(os.fstat(handle), os.stat(self.path)):  # noqa: PTH116
                        self._handle = handle
                        return True
                os.close(handle)
        except OSError as error:
            raise output_error(error, self.path) from error

    def release(self) -> None:
        """Give the lock back; harmless without one."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        if sys.platform == "win32":  # pragma: no cover - an open file cannot be removed there
            os.close(handle)
        with contextlib.suppress(OSError):
            self.path.unlink(missing_ok=True)
        if sys.platform != "win32":
            os.close(handle)


@contextlib.contextmanager
def writing(out: Path, beside: Iterable[Path] | None = None) -> Iterator[None]:
    """Keep every other run from an output, and clear away the half-written files of one that was killed.

    Args:
        out: folder or file that is written; missing folders are made, and removed again if they stay empty.
        beside: of a file, the further files that go with it; None for a folder.

    Raises:
        OutputError: another run writes there, or the folder cannot be made.
    """
    is_folder = beside is None
    folder = out if is_folder else out.parent
    names = None if beside is None else {out.name, *(path.name for path in beside)}
    made: list[Path] = []
    above = folder
    while not above.exists():
        made.append(above)
        above = above.parent
    lock: FileLock | None = None
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, out) from error
        lock = FileLock(folder / (LOCK if is_folder else f"{LOCK}-{out.name}"))
        if not lock.acquire():
            lock = None
            raise OutputError(
                what="Another run is writing to the same " + ("folder" if is_folder else "file"),
                given=str(out),
                remedy="Wait until it is done, or give another --out",
            )
        _clear(folder, names)
        yield
    finally:
        if lock is not None:
            lock.release()
        for one in made:
            with contextlib.suppress(OSError):
                one.rmdir()


def _clear(folder: Path, names: set[str] | None) -> None:
    """Remove what was half written: of these files, or of all in the folder."""
    with contextlib.suppress(OSError):
        for path in list(folder.iterdir()):
            half = _HALF.fullmatch(path.name)
            if half is not None and (names is None or half[1] in names):
                with contextlib.suppress(OSError):
                    path.unlink()
