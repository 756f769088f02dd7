"""The folders of tasks in Slicer's temporary folder: one for each run of Slicer, so that no run touches another's."""

import contextlib
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import psutil

_PREFIX = "session-"


class SessionFolders:
    """Makes the folders of one run.

    Args:
        temporary: called for Slicer's temporary folder.
    """

    def __init__(self, temporary):
        self._temporary = temporary
        self._count = itertools.count(1)
        self._own = None
        #: Of a former run, whose job was taken up.
        self._adopted = []

    @property
    def root(self):
        """The folder that holds those of all runs."""
        return Path(self._temporary()) / "mewm"

    def new(self):
        """A new folder, which nobody else may read."""
        if self._own is None:
            self.root.mkdir(parents=True, exist_ok=True)
            process = psutil.Process()
            prefix = f"{_PREFIX}{process.pid}-{process.create_time():.0f}-"
            self._own = Path(tempfile.mkdtemp(prefix=prefix, dir=self.root))
        folder = self._own / f"task-{next(self._count)}"
        folder.mkdir(mode=0o700)
        return folder

    def adopt(self, paths):
        """Keep the folders of a former run that hold these paths as long as the own one."""
        self._adopted += [folder for folder in self._former() if _holds(folder, paths)]

    def discard(self):
        """Remove the own folder with all files of former tasks, and what was adopted."""
        for folder in filter(None, (self._own, *self._adopted)):
            shutil.rmtree(folder, ignore_errors=True)
        self._own, self._adopted = None, []

    def sweep(self, needed):
        """Remove the folders of runs that are over, but not those that hold a path that is still needed."""
        for folder in self._former():
            if folder not in self._adopted and not _holds(folder, needed):
                shutil.rmtree(folder, ignore_errors=True)

    def _former(self):
        """Folders of runs that are over."""
        return [folder for folder in self.root.glob(f"{_PREFIX}*") if folder != self._own and not _lives(folder.name)]


def _holds(folder, paths):
    return any(Path(path).is_relative_to(folder) for path in paths)


def _lives(name):
    """True while the process lives that has made a folder of this name."""
    with contextlib.suppress(psutil.Error, ValueError):
        number, begun = (int(part) for part in name.removeprefix(_PREFIX).split("-")[:2])
        return number == os.getpid() or abs(psutil.Process(number).create_time() - begun) < 2.0
    return False
