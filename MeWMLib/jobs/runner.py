"""Run a job in a child process: the front (command line, Slicer) never imports torch and survives the worker's crash.

No process is left behind: the worker has a process group of its own, its whole tree is ended with psutil, and it ends
itself when its standard input closes because this process died.
"""

from __future__ import annotations

import contextlib
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import CancelledError, InputError, MeWMError, WorkerError, error_from_json, output_error
from MeWMLib.core.private_files import private
from MeWMLib.jobs.job import CANCEL_LINE, Event, Job
from MeWMLib.jobs.known import KnownJob, Record
from MeWMLib.jobs.processes import child_environment, end_tree, exit_error, own_group

OnEvent = Callable[[Event], None]
#: A worker that was asked to stop may save the best so far; after this many seconds it is ended.
GRACE_S = 45.0
#: A worker that has given its result has nothing left to do.
EXIT_GRACE_S = 10.0
STDERR_LINES = 200
LOG_CHARACTERS = 2000


def worker_command(python: str | None = None) -> list[str]:
    """The command of the worker; Slicer gives its own `PythonSlicer` as `python`."""
    return [python or sys.executable, "-m", "MeWMLib.jobs.worker"]


class Runner(contextlib.AbstractContextManager["Runner"]):
    """One job, run in a child process or on a server. A context manager: on leaving, nothing of the job is left.

    `start` returns at once; events come on a thread of the runner, in order. `wait` returns the result or raises the
    worker's error.

    Args:
        grace_s: seconds between `cancel` and the end of the job by force.
    """

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._on_event: OnEvent = lambda event: None
        self._callback_error: BaseException | None = None
        self._cancelled_at: float | None = None
        self._started = False
        self._known: KnownJob | None = None
        self._about: Mapping[str, Any] | None = None
        self._lock = threading.Lock()

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the worker; None before `start`, and where it runs on another computer."""
        return None

    def take_up(self, known: KnownJob) -> None:
        """Say before `start` that the job is one that was left: what is finished of it is not done again."""
        self._known = known

    def describe(self, about: Mapping[str, Any]) -> None:
        """Say before `start` what this program needs to take the job up after it was killed; see `KnownJob.about`."""
        self._about = about

    def start(self, job: Job | None, on_event: OnEvent | None = None) -> None:
        """Start the job; returns at once. `on_event` is called on a thread of the runner.

        Raises:
            WorkerError: it cannot be started, or the runner was used before.
        """
        if self._started:
            raise WorkerError(what="This runner has started a job before", remedy="Use a new one for each job")
        self._started, self._on_event = True, on_event or self._on_event
        self._begin(job)

    def _begin(self, job: Job | None) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """Ask the worker to stop and keep what is finished; `wait` ends it if it does not. May be called twice."""
        raise NotImplementedError

    def wait(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait for the end and return the result's data; None if `timeout` seconds pass before.

        Raises:
            MeWMError: what the worker, the server or the connection reported, in its own type.
            CancelledError: it was cancelled and had to be ended.
            WorkerError: it ended without a result.
        """
        if not self._started:
            raise WorkerError(what="The runner has not been started")
        return self._wait(None if timeout is None else time.monotonic() + timeout)

    def _wait(self, until: float | None) -> dict[str, Any] | None:
        raise NotImplementedError

    def kill(self) -> None:
        """End the job now, whatever it has."""
        raise NotImplementedError

    def close(self) -> None:
        """End what is left and free what was held. Harmless when all is over."""
        raise NotImplementedError

    def _tell(self, event: Event) -> None:
        try:
            self._on_event(event)
        except BaseException as error:  # it must reach the caller of wait(), not die with this thread
            self._callback_error = self._callback_error or error

    def _overdue(self) -> bool:
        """True if the job was cancelled and has not stopped in time."""
        return self._cancelled_at is not None and time.monotonic() - self._cancelled_at > self._grace_s


def stopped_error() -> CancelledError:
    """A job that was cancelled and had to be ended."""
    return CancelledError(
        what="The job was stopped", remedy="What was finished until then is kept where it was written"
    )


def started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start a worker.

    Raises:
        WorkerError: it cannot be started.
    """
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=child_environment(), **own_group())
    except OSError as error:
        raise WorkerError(what=f"The worker cannot be started ({error.strerror})", given=command[0]) from error


class LocalRunner(Runner):
    """One job in one child process.

    Args:
        command: what to start; the path of the job file is appended. By default this interpreter's worker.
        grace_s: seconds between `cancel` and the end of the process tree.
        folder: where the job file goes, which stays there; without one it is removed with the job, and the job is one
            of `known`.
    """

    def __init__(
        self, command: Sequence[str] | None = None, grace_s: float = GRACE_S, folder: Path | None = None
    ) -> None:
        super().__init__(grace_s)
        self._given = folder
        self._command = list(command) if command is not None else worker_command()
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._threads: list[threading.Thread] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._record: Record | None = None
        #: The result or the error, and when it came.
        self._final: Event | None = None
        self._final_at = 0.0
        self._closed = False

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def _begin(self, job: Job | None) -> None:
        """Start the worker; without a job its command is complete as it is."""
        command = list(self._command)
        if job is not None:
            command.append(str(self._written(job)))
        try:
            self._process = started(command)
        except WorkerError:
            self._clean()
            raise
        for target in (self._read_events, self._read_stderr):
            self._threads.append(threading.Thread(target=target, name=f"mewm{target.__name__}", daemon=True))
            self._threads[-1].start()

    def _written(self, job: Job) -> Path:
        """The job file: goal and clinical data stand in it, so nobody else may read it."""
        folder = self._given
        if folder is None:
            self._record = Record(job, known=self._known, about=self._about)
            folder = self._record.folder
        if folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="mewm-job-", ignore_cleanup_errors=True)
            folder = Path(self._folder.name)
        file = folder / "work.json"
        try:
            with private(file, "w") as stream:
                stream.write(job.to_json())
        except OSError as error:
            self._clean()
            raise output_error(error, file) from error
        return file

    def _clean(self) -> None:
        if self._record is not None:
            self._record.end()
        if self._folder is not None:
            self._folder.cleanup()

    def cancel(self) -> None:
        with self._lock:
            if self._process is None or self._process.stdin is None or self._cancelled_at is not None:
                return
            self._cancelled_at = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(CANCEL_LINE.encode())
                self._process.stdin.flush()

    def _over(self) -> bool:
        """True once the job has ended, one way or another."""
        assert self._process is not None
        return self._process.poll() is not None

    def _pause(self, seconds: float) -> None:
        """Wait for the end of the job, so long at most."""
        assert self._process is not None
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)

    def _wait(self, until: float | None) -> dict[str, Any] | None:
        assert self._process is not None
        while not self._over():
            now = time.monotonic()
            lingering = self._final is not None and now - self._final_at > EXIT_GRACE_S
            if self._overdue() or lingering or self._callback_error is not None:
                self.kill()
            elif until is not None and now >= until:
                return None
            self._pause(0.05 if until is None else max(0.0, min(0.05, until - now)))
        self.close()
        if self._callback_error is not None:
            raise self._callback_error
        if self._final is not None:
            if self._final.kind == "error":
                raise error_from_json(self._final.data)
            return self._final.data
        if self._cancelled_at is not None:
            raise stopped_error()
        raise exit_error(self._process.returncode, "\n".join(self._stderr))

    def kill(self) -> None:
        if self._process is not None and not self._closed:
            end_tree(self._process)

    def close(self) -> None:
        if self._process is None or self._closed:
            return
        self.kill()
        # from here on the process id may belong to somebody else
        self._closed = True
        for thread in self._threads:
            # the calling thread may be the reader itself, when a callback closes the runner
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)
        # closes its streams; what could not be written to its input any more is of no interest
        with contextlib.suppress(OSError, ValueError), self._process:
            pass
        self._clean()

    def _read_events(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for raw in self._process.stdout:
            self._take(raw)

    def _take(self, raw: bytes) -> None:
        """One line of the worker."""
        line = raw.decode("utf-8", "replace").strip()
        if not line:
            return
        try:
            event = Event.from_json(line)
        except InputError:
            # a library that prints behind the worker's back: worth a look, never a crash
            event = Event("log", stage="worker", message=line[:LOG_CHARACTERS])
        if event.kind in ("result", "error"):
            self._final_at, self._final = time.monotonic(), event
        self._tell(event)

    def _read_stderr(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        for raw in self._process.stderr:
            self._stderr.append(raw.decode("utf-8", "replace").rstrip()[:LOG_CHARACTERS])


def run(
    job: Job | None,
    on_event: OnEvent | None = None,
    cancelled: Callable[[], bool] | None = None,
    *,
    command: Sequence[str] | None = None,
    grace_s: float = GRACE_S,
    make: Callable[[], Runner] | None = None,
) -> dict[str, Any]:
    """Run a job to its end and return the result's data. Events are delivered on the calling thread.

    Args:
        job: what to do; None for a `command` that needs no job file.
        on_event: called for every event.
        cancelled: polled about ten times a second.
        command, grace_s: as `LocalRunner`.
        make: makes the runner, instead of a `LocalRunner`.

    Raises:
        MeWMError: as `LocalRunner.wait`.
    """
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()

    def deliver() -> None:
        while not events.empty():
            event = events.get()
            if on_event is not None:
                on_event(event)

    with make() if make is not None else LocalRunner(command, grace_s) as runner:
        runner.start(job, events.put)
        try:
            while True:
                result = runner.wait(0.1)
                deliver()
                if result is not None:
                    return result
                if cancelled is not None and cancelled():
                    runner.cancel()
        except MeWMError:
            deliver()
            raise
