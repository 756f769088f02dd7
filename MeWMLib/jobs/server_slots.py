"""Where the jobs of a server are at work: each slot has a folder and one warm worker, which is confined to it.

In that folder the worker may do what it likes, so the server writes nothing there: orders and rules lie beside it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import psutil

from MeWMLib.core import bundles
from MeWMLib.core.errors import (
    CancelledError,
    MeWMError,
    OutOfMemoryError,
    WorkerError,
    WorkerKilledError,
)
from MeWMLib.core.folders import cache_folder
from MeWMLib.core.private_files import private
from MeWMLib.core.records import parse_json
from MeWMLib.jobs import confine
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.runner import GRACE_S, Runner
from MeWMLib.jobs.server_leftovers import ORDERS, RULES, SLOTS, TEMPORARY, TOLD
from MeWMLib.jobs.store import emptied
from MeWMLib.jobs.warm import WarmWorker

#: Folders of a system with programs and their libraries; what a worker reads.
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/etc", "/proc", "/sys", "/nix", "/snap")
#: Devices, graphics cards among them, and the memory that threads of OpenMP share.
_DEVICES = ("/dev",)
_WATCH_S = 0.2
#: A worker that waits for a job is ended after so long (seconds).
UNUSED_S = 900.0
#: A worker may map so much more than it may use (bytes), where there is no graphics card.
_MAPPED = 16 * 1024**3


@dataclass(frozen=True)
class WorkerLimits:
    """What one worker may take.

    Attributes:
        memory_bytes: of all its processes together.
        job_s: seconds of one job.
        file_bytes: of the largest file that it writes.
        grace_s: seconds between a cancel and the end of the worker.
    """

    memory_bytes: int
    job_s: float
    file_bytes: int = 16 * 1024**3
    grace_s: float = GRACE_S


class Worker(Protocol):
    """A worker that stays between jobs: `warm.WarmWorker`, or one on another computer."""

    @property
    def pid(self) -> int | None:
        """Process id of one that waits on this computer."""

    def runner(self, grace_s: float, folder: Path | None) -> Runner:
        """The runner of one job."""

    def close(self) -> None:
        """End it."""


Elsewhere = Callable[[Sequence[str], WorkerLimits, Path], Worker]


class Slot:
    """One place of work.

    Args:
        number: of the slot.
        root: data folder of the server.
        command: of the worker.
        limits: see `WorkerLimits`.
        environment: what the worker's environment has in addition, such as the graphics card that it may use.
        elsewhere: makes what takes the place of a process on this computer.
    """

    def __init__(
        self,
        number: int,
        root: Path,
        command: Sequence[str],
        limits: WorkerLimits,
        environment: Callable[[], dict[str, str]],
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.number, self.limits = number, limits
        self.folder = root / SLOTS / str(number)
        self._told, self._orders = (self.folder.with_name(f"{number}{ending}") for ending in (TOLD, ORDERS))
        for folder in (self.folder, self._orders, self.folder / TEMPORARY):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._root = root
        self._inner, self._environment = list(command), environment
        self._warm: Worker = elsewhere(command, limits, self.folder) if elsewhere else WarmWorker(self.command)
        #: The command that confines, and the one that it was made of.
        self._made: list[str] = []
        self._made_of: list[str] = []
        self._runner: Runner | None = None
        self._lock = threading.Lock()
        #: What ends the job that was given to this slot, and whether it is to stop: also before its worker is there.
        self._why: MeWMError | None = None
        self._cancelled = self._closed = False
        self._used_at = time.monotonic()

    def begin(self) -> None:
        """The next job is on its way here: what ends or stops it counts from now on."""
        with self._lock:
            self._why, self._cancelled = None, False

    @property
    def pid(self) -> int | None:
        """Process id of the worker that is at work, or waits."""
        runner = self._runner
        return (runner.pid if runner is not None else None) or self._warm.pid

    @property
    def confined(self) -> dict[str, str]:
        """What the worker is confined by, see `confine`; empty before the first one was started."""
        with contextlib.suppress(OSError, MeWMError):
            told: dict[str, str] = parse_json(self._told.read_bytes(), require={"confined": dict})["confined"]
            return told
        return {}

    def memory_bytes(self) -> int:
        """Memory of the worker and its children now."""
        return _memory(self.pid)

    def run(
        self, job: Job, on_event: Callable[[Event], None], on_pid: Callable[[int], None] = lambda pid: None
    ) -> dict[str, Any]:
        """Do a job; returns the data of its result.

        Args:
            job: with paths in the folder of the slot.
            on_event: takes its events.
            on_pid: told the process id of the worker, where that is on this computer.

        Raises:
            MeWMError: what the worker reported, that it died (`WorkerKilledError`, `WorkerError`), or took too much.
        """
        runner = self._warm.runner(self.limits.grace_s, self._orders)
        over = threading.Event()
        watch = threading.Thread(target=self._watch, args=(runner, over), name="mewm-watch", daemon=True)
        try:
            with runner:
                runner.start(job, on_event)
                with self._lock:
                    self._runner = runner
                    if self._cancelled:
                        runner.cancel()
                    if self._why is not None or self._closed:
                        runner.kill()
                watch.start()
                if runner.pid is not None:
                    on_pid(runner.pid)
                return runner.wait() or {}
        except MeWMError as error:
            raise self._why or error from error
        finally:
            over.set()
            with self._lock:
                self._runner, self._used_at = None, time.monotonic()

    def cancel(self) -> None:
        """Ask the job to stop and to keep what it has."""
        with self._lock:
            self._cancelled = True
            if self._runner is not None:
                self._runner.cancel()

    def kill(self, why: MeWMError | None = None) -> None:
        """End the job with its whole process tree; `why` is then its error."""
        with self._lock:
            self._why = self._why or why
            if self._runner is not None:
                self._runner.kill()

    def tidy(self) -> None:
        """Remove what a job left here, temporary files among it."""
        emptied(self.folder, lambda path: path.name == TEMPORARY and path.is_dir() and not path.is_symlink())
        emptied(self.folder / TEMPORARY)
        emptied(self._orders)

    def rest(self) -> None:
        """End a worker that no job has needed for a while: its memory, and what it knows of patients, are free."""
        with self._lock:
            unused = self._runner is None and time.monotonic() - self._used_at > UNUSED_S
        if unused:
            self._warm.close()

    def close(self) -> None:
        """End the worker."""
        self._closed = True
        self.kill(CancelledError(what="The server was stopped"))
        self._warm.close()

    def _watch(self, runner: Runner, over: threading.Event) -> None:
        begun, most = time.monotonic(), self.limits.memory_bytes
        while not over.wait(_WATCH_S):
            used = _memory(runner.pid)
            if used > most:
                self.kill(
                    OutOfMemoryError(
                        what="The job needed more memory than this server allows",
                        given=f"{used / 1024**3:.1f} GB, at most {most / 1024**3:.1f} GB",
                        remedy="Crop the CT around the liver, or use fewer --replicas or --beams",
                    )
                )
            elif time.monotonic() - begun > self.limits.job_s:
                self.kill(
                    WorkerError(
                        what="The job took longer than this server allows",
                        given=f"more than {self.limits.job_s / 60:.0f} minutes",
                        remedy="Use fewer --replicas or --beams, or ask for a larger --job-minutes there",
                    )
                )

    def command(self) -> list[str]:
        """The command that confines itself and becomes the worker."""
        if sys.platform == "win32":
            # nothing to confine with, and a process cannot become another one there
            return list(self._inner)
        if self._made_of != self._inner:
            # the same for every job
            self._made, self._made_of = self._confining(), list(self._inner)
        return self._made

    def _confining(self) -> list[str]:
        rules = self.folder.with_name(f"{self.number}{RULES}")
        card = any(Path(one).exists() for one in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd"))
        text = json.dumps(
            {
                "memory": None if card else 4 * self.limits.memory_bytes + _MAPPED,
                "largest": self.limits.file_bytes,
                "read": [*_readable(self._inner, self._root), str(self._orders)],
                "write": [str(self.folder), *_DEVICES],
                "told": str(self._told),
                "environment": {"TMPDIR": str(self.folder / TEMPORARY), **self._environment()},
            }
        )
        with private(rules, "w") as stream:
            stream.write(text)
        return [sys.executable, "-I", "-S", confine.__file__, str(rules), *self._inner]


def _memory(pid: int | None) -> int:
    total = 0
    for one in _tree(pid) if pid is not None else ():
        with contextlib.suppress(psutil.Error):
            total += psutil.Process(one).memory_info().rss
    return total


def _tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found, tasks = [pid], Path(f"/proc/{pid}/task")
    try:
        # psutil would look at every process of the computer, five times a second
        for task in tasks.iterdir():
            for child in (task / "children").read_bytes().split():
                found += _tree(int(child))
    except OSError:
        with contextlib.suppress(psutil.Error):
            found = [pid, *(one.pid for one in psutil.Process(pid).children(recursive=True))]
    return found


def _readable(command: Sequence[str], root: Path) -> list[str]:
    """What a worker reads: the system, the interpreter with its packages, the models, the samples; never the data."""
    samples = cache_folder() / "samples"
    with contextlib.suppress(OSError):
        samples.mkdir(parents=True, exist_ok=True)
    package = Path(__file__).resolve().parents[1]
    named = [Path(word) for word in command if Path(word).is_absolute()]
    named += [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable), package, samples]
    # in a source tree the package finds its models beside itself
    named += [one for one in (package.parent / "Resources",) if one.is_dir()]
    named += [Path(one) for one in [*sys.path, *os.environ.get("PYTHONPATH", "").split(os.pathsep)] if one]
    named += [*bundles.search_path(), *map(Path, _SYSTEM)]
    found: dict[str, None] = {}
    for path in named:
        for one in {path.absolute(), path.resolve()}:
            if one.exists() and one != Path(one.anchor):
                found |= dict.fromkeys(_without(one, root.resolve()))
    return list(found)


def _without(path: Path, root: Path) -> list[str]:
    """A path, or where the data folder lies in it, what lies beside that."""
    if path == root or path.is_relative_to(root):
        return []
    if not root.is_relative_to(path):
        return [str(path)]
    found: list[str] = []
    for one in path.iterdir():
        found += _without(one, root)
    return found


def died(error: MeWMError) -> bool:
    """True if a worker ended without saying why: the job may be begun again from its journal."""
    return isinstance(error, WorkerKilledError) or (
        isinstance(error, WorkerError) and error.what.startswith("The worker ended")
    )
