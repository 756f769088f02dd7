"""The jobs of a server: each has a folder of its own and a local runner; what is over is removed after a while."""

from __future__ import annotations

import json
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from MeWMLib.core.errors import InputError, MeWMError, UnknownJobError, WorkerError, output_error
from MeWMLib.jobs.job import Event, Job, error_event
from MeWMLib.jobs.processes import find_devices
from MeWMLib.jobs.runner import GRACE_S, LocalRunner, worker_command
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.wire import FileEntry, busy_error, is_plain_name

#: The header of a NRRD file ends before this (bytes).
_NRRD_HEADER = 1 << 16


@dataclass(frozen=True)
class Limits:
    """What a server allows.

    Attributes:
        max_jobs: jobs at a time.
        max_upload_bytes: size of all files of a job together.
        retention_s: seconds after its end that a job's data are kept.
        unheard_s: a job is ended when nobody has asked for its events for this many seconds: its client is gone.
        grace_s: seconds between a cancel and the end of the worker.
    """

    max_jobs: int = 1
    max_upload_bytes: int = 4 * 1024**3
    retention_s: float = 3600.0
    unheard_s: float = 600.0
    grace_s: float = GRACE_S

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value <= 0:
                raise InputError(what=f"{name} must be above 0", given=str(value))


@dataclass
class ServerJob:
    """One job on the server.

    Attributes:
        id: cannot be guessed.
        folder: holds `in` and `out`, nothing else.
        lines: events as JSON; the last one is a result or an error once `ended_at` is set.
    """

    id: str
    folder: Path
    lines: list[str] = field(default_factory=list)
    runner: LocalRunner | None = None
    ended_at: float | None = None
    heard_at: float = field(default_factory=time.monotonic)
    removed: bool = False

    @property
    def inputs(self) -> Path:
        """Folder of the uploaded files."""
        return self.folder / "in"

    @property
    def outputs(self) -> Path:
        """Where the worker writes."""
        return self.folder / "out"

    def say(self, event: Event) -> None:
        """Keep an event, without the server's own paths."""
        text = event.to_json()
        for ending in ("/", "\\"):
            text = text.replace(json.dumps(f"{self.folder}{ending}")[1:-1], "")
        self.lines.append(text)

    def heard(self) -> None:
        """The client is still there."""
        self.heard_at = time.monotonic()


class JobStore:
    """All jobs of a server; its methods may be called from any thread.

    Args:
        data: folder for the jobs' folders; what an earlier server left in it is removed.
        limits: see `Limits`.
        command: command of the worker.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, data: Path, limits: Limits, command: Sequence[str] | None = None) -> None:
        self.limits = limits
        self._command = list(command) if command is not None else worker_command()
        self._root = data / "jobs"
        self._jobs: dict[str, ServerJob] = {}
        self._lock = threading.RLock()
        self._closed = False
        try:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise output_error(error, self._root) from error

    @property
    def running(self) -> int:
        """Jobs that are under way, those that are still being sent included."""
        with self._lock:
            return sum(job.ended_at is None for job in self._jobs.values())

    def reserve(self) -> ServerJob:
        """Make room for a job before its files come.

        Raises:
            ServerBusyError: there are as many as the server takes.
            OutputError: the folder cannot be made.
        """
        with self._lock:
            running = self.running
            if self._closed or running >= self.limits.max_jobs:
                raise busy_error(running, self.limits.max_jobs)
            job_id = secrets.token_urlsafe(24)
            record = ServerJob(job_id, self._root / secrets.token_hex(16))
            try:
                for folder in (record.folder, record.inputs, record.outputs):
                    folder.mkdir(mode=0o700)
            except OSError as error:
                raise output_error(error, record.folder) from error
            self._jobs[job_id] = record
            return record

    def start(self, record: ServerJob, job: Job) -> None:
        """Start a job whose files are there.

        Args:
            record: from `reserve`.
            job: as it came over the line; names in it become paths in the record's folder.

        Raises:
            WorkerError: the worker cannot be started.
        """
        kind, out = kind_of(job.kind), None
        paths = {key: str(record.inputs / file) for key, file in kind.files.items() if job.inputs.get(key) == file}
        if job.out is not None and kind.output is not None:
            out = str(record.outputs if kind.output.is_folder else record.outputs / job.out)
        whole = replace(job, inputs={**job.inputs, **paths}, out=out)
        runner = record.runner = LocalRunner(self._command, self.limits.grace_s)

        def on_event(event: Event) -> None:
            # the end is told when the worker is gone and its files are whole
            if event.kind not in ("result", "error"):
                record.say(event)

        runner.start(whole, on_event)
        threading.Thread(target=self._wait, args=(record, runner), name="mewm-server-job", daemon=True).start()

    def _wait(self, record: ServerJob, runner: LocalRunner) -> None:
        try:
            with runner:
                final = Event("result", data=runner.wait() or {})
        except MeWMError as error:
            final = error_event(error)
        except Exception as error:
            final = error_event(
                WorkerError(what="The server failed with an unexpected error", given=type(error).__name__)
            )
        record.say(final)
        record.ended_at = time.monotonic()

    def get(self, job_id: str) -> ServerJob:
        """A job by its id.

        Raises:
            UnknownJobError: there is none.
        """
        with self._lock:
            record = self._jobs.get(job_id)
        if record is None or record.removed:
            raise UnknownJobError(
                what="The server does not know this job",
                remedy="It was removed, or the server was restarted; start the job again",
            )
        record.heard()
        return record

    def cancel(self, job_id: str) -> None:
        """Ask the worker to stop and to keep what it has."""
        runner = self.get(job_id).runner
        if runner is not None:
            runner.cancel()

    def remove(self, job_id: str) -> None:
        """End a job with its whole process tree and remove its data."""
        self._remove(self.get(job_id))

    def _remove(self, record: ServerJob) -> None:
        record.removed = True
        if record.runner is not None:
            record.runner.cancel()
            record.runner.kill()
        with self._lock:
            self._jobs.pop(record.id, None)
        shutil.rmtree(record.folder, ignore_errors=True)

    def files(self, job_id: str) -> list[FileEntry]:
        """What the worker has written so far, with checksums."""
        paths = sorted(self.get(job_id).outputs.iterdir())
        return [FileEntry.of(path) for path in paths if _is_result(path)]

    def file(self, job_id: str, name: str) -> Path:
        """The path of a file that the worker has written.

        Raises:
            InputError: not a plain name, or there is no such file.
        """
        path = self.get(job_id).outputs / name
        if not is_plain_name(name) or not _is_result(path):
            raise InputError(what="The job has no such file", given=repr(name)[:80])
        return path

    def sweep(self, now: float | None = None) -> None:
        """Remove jobs that ended long enough ago, and end those that nobody listens to."""
        now = time.monotonic() if now is None else now
        with self._lock:
            records = list(self._jobs.values())
        for record in records:
            limits, ended_at = self.limits, record.ended_at
            since, most = (record.heard_at, limits.unheard_s) if ended_at is None else (ended_at, limits.retention_s)
            if now - since > most:
                self._remove(record)

    def close(self) -> None:
        """End every job and remove all data."""
        self._closed = True
        # a time without an end: all are over
        self.sweep(float("inf"))
        shutil.rmtree(self._root, ignore_errors=True)


def _is_result(path: Path) -> bool:
    return is_plain_name(path.name) and path.is_file() and not path.is_symlink()


def require_whole_nrrd(path: Path) -> None:
    """Refuse everything but a NRRD file that holds its own voxels.

    The header of a NRRD may name another file for the voxels: on a server that could be another user's.

    Raises:
        InputError: see above.
    """
    with path.open("rb") as stream:
        begin = stream.read(_NRRD_HEADER)
    head, blank, _ = begin.replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = head.lower().split(b"\n")
    detached = any(line.replace(b" ", b"").startswith(b"datafile") for line in lines)
    if not begin.startswith(b"NRRD000") or not blank or detached:
        raise InputError(what="An uploaded file is not a NRRD file with its own voxels", given=path.name)


def probe_device(python: str, report: Callable[[str], None]) -> None:
    """Find out on a thread what the worker computes on."""

    def probe() -> None:
        try:
            report(find_devices(python))
        except MeWMError:
            report("not known: torch did not respond on the server")

    threading.Thread(target=probe, name="mewm-device", daemon=True).start()
