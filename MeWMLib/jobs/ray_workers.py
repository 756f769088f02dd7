"""The workers of a server on other computers, by Ray: `mewm serve --engine ray://HOST:10001`.

A slot then has an actor in place of a process of its own. The actor is a slot on its computer: a confined warm worker,
a folder that is sent the job's files and whose results are sent back whenever the job has something to show. What the
search has noted comes back with them, so that a job whose computer is lost goes on from there on another one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import (
    DependencyError,
    InputError,
    MeWMError,
    WorkerKilledError,
    error_from_json,
    install_command,
)
from MeWMLib.core.io import atomic_path
from MeWMLib.core.living import born, lives
from MeWMLib.jobs.job import Event, Job, error_event
from MeWMLib.jobs.runner import GRACE_S, Runner, stopped_error
from MeWMLib.jobs.server_leftovers import TEMPORARY
from MeWMLib.jobs.server_slots import Slot, WorkerLimits
from MeWMLib.jobs.store import remove_tree

_PREFIX = "mewm-node-"
#: An actor that has nothing to say answers after so long (seconds).
_BREATH_S = 0.5
_FILE, _EVENT = "file", "event"
#: One piece of news: a file with its path below the slot's folder, or an event.
_News = tuple[str, str, bytes]


class Cluster:
    """A cluster of Ray that this process has joined.

    Args:
        address: "ray" for one on this computer alone, or "ray://HOST:PORT".

    Raises:
        DependencyError: Ray is not installed.
        InputError: not an address, or the cluster cannot be reached.
    """

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise DependencyError(
                what="Ray is not installed", remedy=f"Install it with: {install_command('ray')}"
            ) from error
        if address != "ray" and not address.startswith("ray://"):
            raise InputError(what="Unknown engine", given=address[:80], remedy="Use local, ray or ray://HOST:PORT")
        self.ray, self._joined = ray, not ray.is_initialized()
        if not self._joined:
            return
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        where: dict[str, Any] = {"include_dashboard": False} if address == "ray" else {"address": address}
        try:
            ray.init(**where, **quiet)
        except Exception as error:  # Ray raises what its network layers raise
            raise InputError(
                what="The cluster of Ray cannot be reached", given=f"{address} ({type(error).__name__})"
            ) from error

    def worker(self, command: Sequence[str], limits: WorkerLimits, folder: Path) -> RayWorker:
        """What takes the place of the process of a slot.

        Args:
            command: of the worker, on its computer.
            limits: see `WorkerLimits`.
            folder: of the slot, on this computer.
        """
        return RayWorker(self.ray, command, limits, folder)

    def close(self) -> None:
        """Leave the cluster."""
        if self._joined:
            self.ray.shutdown()


class RayWorker:
    """A worker on some computer of a cluster, as `warm.WarmWorker` is one on this: it stays between jobs.

    Args:
        ray: the package.
        command, limits, folder: as those of `Cluster.worker`.
    """

    #: The process is none of this computer.
    pid: int | None = None

    def __init__(self, ray: Any, command: Sequence[str], limits: WorkerLimits, folder: Path) -> None:
        self.ray, self.folder = ray, folder
        self._command, self._limits = list(command), limits
        self._actor: Any = None
        self._lock = threading.Lock()

    def runner(self, grace_s: float = GRACE_S, folder: Path | None = None) -> RayRunner:
        """The runner of one job; `folder`, where a process of this computer would find its order, is not needed."""
        return RayRunner(self, grace_s)

    def actor(self) -> Any:
        """The actor; Ray makes it where there is room."""
        with self._lock:
            if self._actor is None:
                cards = float(self.ray.cluster_resources().get("GPU", 0.0) > 0.0)
                kind = self.ray.remote(RemoteSlot).options(num_cpus=1, num_gpus=cards, max_concurrency=4)
                self._actor = kind.remote(self._command, self._limits)
            return self._actor

    def close(self) -> None:
        """End the actor. The next job makes another."""
        with self._lock:
            actor, self._actor = self._actor, None
        if actor is not None:
            with contextlib.suppress(Exception):  # it may be gone with its computer
                # it ends its worker and removes its folder; what is killed leaves both to the next one there
                self.ray.get(actor.close.remote(), timeout=5.0)
            with contextlib.suppress(Exception):
                self.ray.kill(actor)


class RayRunner(Runner):
    """One job on the actor of a `RayWorker`."""

    def __init__(self, worker: RayWorker, grace_s: float = GRACE_S) -> None:
        super().__init__(grace_s)
        self._worker = worker
        self._final: dict[str, Any] | None = None
        self._error: BaseException | None = None
        self._killed = False
        self._thread = threading.Thread(target=self._work, name="mewm-ray", daemon=True)
        self._job: Job | None = None

    def _begin(self, job: Job | None) -> None:
        assert job is not None
        self._job = job
        self._thread.start()

    def cancel(self) -> None:
        if self._cancelled_at is None:
            self._cancelled_at = time.monotonic()
            with contextlib.suppress(Exception):
                self._worker.actor().cancel.remote()

    def _wait(self, until: float | None) -> dict[str, Any] | None:
        while self._thread.is_alive():
            left = 0.5 if until is None else min(0.5, until - time.monotonic())
            if left <= 0.0:
                return None
            self._thread.join(left)
            if self._overdue():
                self.kill()
        if self._callback_error is not None:
            raise self._callback_error
        if self._final is not None:
            return self._final
        if self._error is not None and not (self._killed and self._cancelled_at is not None):
            raise self._error
        raise stopped_error()

    def kill(self) -> None:
        self._killed = True
        self._worker.close()

    def close(self) -> None:
        if self._thread.is_alive():
            self.kill()
            if self._thread is not threading.current_thread():
                self._thread.join(10.0)

    def _work(self) -> None:
        ray, folder = self._worker.ray, self._worker.folder
        assert self._job is not None
        try:
            actor = self._worker.actor()
            ray.get(actor.begin.remote(self._job.to_json(), str(folder), _files_of(folder, {})))
            while self._final is None and self._error is None and self._callback_error is None:
                for kind, name, content in ray.get(actor.news.remote()):
                    if kind == _FILE:
                        with atomic_path(_below(folder, name)) as path:
                            path.write_bytes(content)
                    else:
                        self._hear(Event.from_json(content.decode()))
            if self._callback_error is not None:
                self.kill()
        except ray.exceptions.RayError as error:
            self._worker.close()
            self._error = WorkerKilledError(
                what="The worker ended without a result: it was lost with its process or its computer",
                given=f"{type(error).__name__} of Ray",
                remedy="Look at the cluster (`ray status`); the job is begun again",
            )
        except BaseException as error:
            self._worker.close()
            self._error = error

    def _hear(self, event: Event) -> None:
        if event.kind == "result":
            self._final = event.data
        elif event.kind == "error":
            self._error = error_from_json(event.data)
        self._tell(event)


class RemoteSlot:
    """A slot on a computer of the cluster; lives in a process of Ray.

    Args:
        command: of the worker; a Python that is not here is this process's own.
        limits: see `WorkerLimits`.
    """

    def __init__(self, command: Sequence[str], limits: WorkerLimits) -> None:
        import sys

        sweep()
        root = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-{born(os.getpid()):.2f}-"))
        here = [*command] if Path(command[0]).exists() else [sys.executable, *command[1:]]
        self._root, self._slot = root, Slot(0, root, here, limits, dict)
        self._news: queue.SimpleQueue[_News] = queue.SimpleQueue()
        self._sent: dict[str, tuple[int, int]] = {}

    def begin(self, job_json: str, folder: str, files: list[_News]) -> None:
        """Begin with a job.

        Args:
            job_json: the job, with paths in the folder of the server's slot.
            folder: that folder.
            files: what lies in it.
        """
        self._slot.tidy()
        self._slot.begin()
        for _kind, name, content in files:
            path = _below(self._slot.folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self._sent = {}
        _files_of(self._slot.folder, self._sent)
        job, here = Job.from_json(job_json), str(self._slot.folder)
        inputs = {key: one.replace(folder, here) if isinstance(one, str) else one for key, one in job.inputs.items()}
        out = job.out.replace(folder, here) if job.out else None
        if out:
            (Path(out) if Path(out).suffix == "" else Path(out).parent).mkdir(parents=True, exist_ok=True)
        moved = dataclasses.replace(job, inputs=inputs, out=out)
        threading.Thread(target=self._work, args=(moved, folder), daemon=True).start()

    def _work(self, job: Job, folder: str) -> None:
        def say(event: Event) -> None:
            text = event.to_json().replace(str(self._slot.folder), folder)
            self._news.put((_EVENT, "", text.encode()))

        def on_event(event: Event) -> None:
            if event.kind == "partial":
                self._send_files()
            if event.kind not in ("result", "error"):
                say(event)

        try:
            final = Event("result", data=self._slot.run(job, on_event))
        except MeWMError as error:
            final = error_event(error)
        except Exception as error:
            final = error_event(MeWMError(what="The worker's computer failed", given=type(error).__name__))
        self._send_files()
        say(final)

    def _send_files(self) -> None:
        for one in _files_of(self._slot.folder, self._sent):
            self._news.put(one)

    def news(self) -> list[_News]:
        """What has happened since the last call; waits a moment for something."""
        found: list[_News] = []
        with contextlib.suppress(queue.Empty):
            found.append(self._news.get(timeout=_BREATH_S))
            while len(found) < 1000:
                found.append(self._news.get_nowait())
        return found

    def cancel(self) -> None:
        """Ask the job to stop and to keep what it has."""
        self._slot.cancel()

    def close(self) -> None:
        """End the worker and leave nothing here."""
        self._slot.close()
        remove_tree(self._root)


def sweep() -> None:
    """Remove the folders of actors that were killed on this computer."""
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        pid, _, rest = path.name.removeprefix(_PREFIX).partition("-")
        with contextlib.suppress(ValueError):
            if not lives(int(pid), float(rest.partition("-")[0])):
                remove_tree(path)


def _files_of(folder: Path, known: dict[str, tuple[int, int]]) -> list[_News]:
    """The files of the jobs in a slot's folder that are not `known` as they are; then they are. No link is followed."""
    found: list[_News] = []
    for base, folders, names in os.walk(folder):
        if Path(base) == folder:
            folders[:] = [one for one in folders if one != TEMPORARY]
        for name in names:
            path = Path(base) / name
            with contextlib.suppress(OSError):
                stat = path.lstat()
                where, state = path.relative_to(folder).as_posix(), (stat.st_mtime_ns, stat.st_size)
                if not path.is_symlink() and path.is_file() and known.get(where) != state:
                    found.append((_FILE, where, path.read_bytes()))
                    known[where] = state
    return found


def _below(folder: Path, name: str) -> Path:
    """The path of a file in a folder.

    Raises:
        InputError: it leads out of it.
    """
    path = folder / name
    if (
        ".." in Path(name).parts
        or Path(name).is_absolute()
        or not path.parent.resolve().is_relative_to(folder.resolve())
    ):
        raise InputError(what="A worker has sent a file with an impossible name", given=name[:80])
    return path
