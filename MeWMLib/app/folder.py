"""The folder of one running app, which only its owner reads. It goes when the app ends, unless the user keeps it.

What an app that was killed has left is removed when the next one starts: its lock has ended with its process.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from MeWMLib.core.errors import OutputError, output_error
from MeWMLib.core.folders import data_folder
from MeWMLib.core.locks import FileLock
from MeWMLib.core.private_files import private
from MeWMLib.jobs.store import remove_tree

LOCK, MARK = "app.lock", ".mewm-app"
_NAME = re.compile(r"[0-9a-f]{16}")
#: Another app that starts at the same moment is waited for so long (seconds).
_WAIT_S = 10.0


@contextlib.contextmanager
def app_folder(kept: Path | None = None) -> Iterator[Path]:
    """A folder for the data of an app, locked as long as it is used.

    Args:
        kept: the folder that the user wants to keep; None makes one that is removed at the end.

    Raises:
        OutputError: another app uses the folder, or it cannot be written.
    """
    if kept is not None:
        with _locked(_made(kept)):
            yield kept
        return
    root = _made(data_folder() / "app")
    with _one_at_a_time(root):
        sweep(root)
        folder = _made(root / secrets.token_hex(8))
        private(folder / MARK, "w").close()
        held = _acquired(folder)
    try:
        yield folder
    finally:
        held.release()
        remove_tree(folder)


def sweep(root: Path) -> None:
    """Remove the folders of apps that live no more; what has no mark of ours stays."""
    for folder in root.iterdir():
        if not _NAME.fullmatch(folder.name) or folder.is_symlink() or not (folder / MARK).is_file():
            continue
        lock = FileLock(folder / LOCK)
        if lock.acquire():
            lock.release()
            remove_tree(folder)


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise output_error(error, folder) from error
    return folder


def _acquired(folder: Path) -> FileLock:
    lock = FileLock(folder / LOCK)
    if not lock.acquire():
        raise OutputError(
            what="Another `mewm app` uses this folder", given=str(folder), remedy="End that one, or give another --data"
        )
    return lock


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = _acquired(folder)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _one_at_a_time(root: Path) -> Iterator[None]:
    """Between the making of a folder and its lock nobody else may sweep."""
    lock, until = FileLock(root / "starting.lock"), time.monotonic() + _WAIT_S
    while not lock.acquire():
        if time.monotonic() > until:
            raise OutputError(what="Another `mewm app` is starting", given=str(root), remedy="Try again in a moment")
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.release()
