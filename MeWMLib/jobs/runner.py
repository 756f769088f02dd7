"""Run a job in a child process: the front (command line, Slicer) never imports torch and survives the worker's crash.

Whatever happens, no process is left behind: the worker has a process group of its own, its whole tree is ended with
psutil, and it ends itself when its standard input closes because this process died.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Protocol as TypingProtocol

import psutil

from MeWMLib.core.errors import (
    CancelledError,
    InputError,
    MeWMError,
    WorkerError,
    WorkerKilledError,
    error_from_json,
)
from MeWMLib.jobs.job import CANCEL_LINE, Event, Job

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


def child_environment() -> dict[str, str]:
    """The environment of a Python child of ours: UTF-8, and MeWMLib found where this process found it.

    The latter counts for a source tree that is not installed, as inside Slicer.
    """
    home = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(p for p in (home, os.environ.get("PYTHONPATH", "")) if p)
    return {**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "PYTHONUTF8": "1", "PYTHONUNBUFFERED": "1"}


def own_group() -> dict[str, Any]:
    """Arguments of `Popen` that give a child its own group: Ctrl-C in a terminal reaches us only, and we decide."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


class Runner(TypingProtocol):
    """What runs one job, here or on a server; see `LocalRunner` for what each method does."""

    @property
    def pid(self) -> int | None: ...

    def __enter__(self) -> Runner: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def start(self, job: Job, on_event: OnEvent | None = None) -> None: ...

    def cancel(self) -> None: ...

    def wait(self, timeout: float | None = None) -> dict[str, Any] | None: ...

    def kill(self) -> None: ...


class LocalRunner:
    """One job in one child process.

    `start` returns at once; events come on a thread of the runner, in order. `wait` returns the result or raises the
    worker's error. A context manager: on leaving, nothing of the worker is left.

    Args:
        command: what to start; the path of the job file is appended. By default this interpreter's worker.
        grace_s: seconds between `cancel` and the end of the process tree.
    """

    def __init__(self, command: Sequence[str] | None = None, grace_s: float = GRACE_S) -> None:
        self._command = list(command) if command is not None else worker_command()
        self._grace_s = grace_s
        self._process: subprocess.Popen[bytes] | None = None
        self._on_event: OnEvent = lambda event: None
        self._stderr: deque[str] = deque(maxlen=STDERR_LINES)
        self._threads: list[threading.Thread] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._result: dict[str, Any] | None = None
        self._error: MeWMError | None = None
        self._callback_error: BaseException | None = None
        self._cancelled_at: float | None = None
        self._said_last_at: float | None = None
        self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> LocalRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Process id of the worker, None before `start`."""
        return self._process.pid if self._process else None

    @property
    def stderr_tail(self) -> str:
        """The last lines that the worker wrote to its standard error."""
        return "\n".join(self._stderr)

    def start(self, job: Job, on_event: OnEvent | None = None) -> None:
        """Start the worker. `on_event` is called on a thread of the runner.

        Raises:
            WorkerError: the interpreter cannot be started, or the runner was used before.
        """
        if self._process is not None:
            raise WorkerError(what="This runner has started a job before", remedy="Use a new one for each job")
        self._on_event = on_event or self._on_event
        self._folder = tempfile.TemporaryDirectory(prefix="mewm-job-", ignore_cleanup_errors=True)
        file = Path(self._folder.name) / "job.json"
        file.write_text(job.to_json(), encoding="utf-8")
        try:
            self._process = subprocess.Popen(
                [*self._command, str(file)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=child_environment(),
                **own_group(),
            )
        except OSError as error:
            self._folder.cleanup()
            raise WorkerError(
                what=f"The worker cannot be started ({error.strerror})", given=self._command[0]
            ) from error
        for target in (self._read_events, self._read_stderr):
            thread = threading.Thread(target=target, name=f"mewm{target.__name__}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def cancel(self) -> None:
        """Ask the worker to stop and keep what is finished; `wait` ends it if it does not. May be called twice."""
        with self._lock:
            if self._process is None or self._process.stdin is None or self._cancelled_at is not None:
                return
            self._cancelled_at = time.monotonic()
            with contextlib.suppress(OSError, ValueError):
                self._process.stdin.write(CANCEL_LINE.encode())
                self._process.stdin.flush()

    def wait(self, timeout: float | None = None) -> dict[str, Any] | None:
        """Wait for the end and return the result's data; None if `timeout` seconds pass before.

        Raises:
            MeWMError: what the worker reported, in its own type.
            CancelledError: it was cancelled and had to be ended.
            WorkerError: it ended without a result.
        """
        if self._process is None:
            raise WorkerError(what="The runner has not been started")
        until = None if timeout is None else time.monotonic() + timeout
        while self._process.poll() is None:
            now = time.monotonic()
            overdue = self._cancelled_at is not None and now - self._cancelled_at > self._grace_s
            lingering = self._said_last_at is not None and now - self._said_last_at > EXIT_GRACE_S
            if overdue or lingering or self._callback_error is not None:
                self.kill()
            elif until is not None and now >= until:
                return None
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.05 if until is None else max(0.0, min(0.05, until - now)))
        self.close()
        if self._callback_error is not None:
            raise self._callback_error
        if self._error is not None:
            raise self._error
        if self._result is not None:
            return self._result
        if self._cancelled_at is not None:
            raise CancelledError(
                what="The job was stopped", remedy="What was finished until then is kept where it was written"
            )
        raise exit_error(self._process.returncode, self.stderr_tail)

    def kill(self) -> None:
        """End the whole process tree now."""
        if self._process is not None and not self._closed:
            end_tree(self._process)

    def close(self) -> None:
        """End what is left of the worker and free its pipes. Harmless when all is over."""
        if self._process is None or self._closed:
            return
        self.kill()
        # from here on the process id may belong to somebody else
        self._closed = True
        for thread in self._threads:
            # the calling thread may be the reader itself, when a callback closes the runner
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError, ValueError):
                    stream.close()
        if self._folder is not None:
            self._folder.cleanup()

    def _read_events(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").strip()
            if not line:
                continue
            try:
                event = Event.from_json(line)
            except InputError:
                # a library that prints behind the worker's back: worth a look, never a crash
                event = Event("log", stage="worker", message=line[:LOG_CHARACTERS])
            if event.kind == "result":
                self._result, self._said_last_at = event.data, time.monotonic()
            elif event.kind == "error":
                self._error, self._said_last_at = error_from_json(event.data), time.monotonic()
            try:
                self._on_event(event)
            except BaseException as error:  # it must reach the caller of wait(), not die with this thread
                self._callback_error = self._callback_error or error

    def _read_stderr(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        for raw in self._process.stderr:
            self._stderr.append(raw.decode("utf-8", "replace").rstrip()[:LOG_CHARACTERS])


def run(
    job: Job,
    on_event: OnEvent | None = None,
    cancelled: Callable[[], bool] | None = None,
    *,
    command: Sequence[str] | None = None,
    grace_s: float = GRACE_S,
    make: Callable[[], Runner] | None = None,
) -> dict[str, Any]:
    """Run a job to its end and return the result's data. Events are delivered on the calling thread.

    Args:
        job: what to do.
        on_event: called for every event.
        cancelled: polled about ten times a second.
        command, grace_s: as `LocalRunner`.
        make: gives the runner, in place of a `LocalRunner`.

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


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a child with all its descendants, also those whose own parent is gone but who share its process group."""
    victims: list[psutil.Process] = []
    # once poll() has reaped the child, its number may belong to somebody else
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(process.pid)
            victims = [*root.children(recursive=True), root]
    for victim in victims:
        with contextlib.suppress(psutil.Error):
            victim.kill()
    if sys.platform != "win32":
        # the group outlives its leader as long as a member lives; when none is left there is nothing to do
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    if victims:
        psutil.wait_procs(victims, timeout=5.0)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5.0)


#: What to do when memory ran out; the same words wherever it is noticed.
MEMORY_REMEDY = "Use --device cpu, fewer --replicas or --beams, or close other programs"


def exit_error(code: int, stderr: str) -> WorkerError:
    """Say why a worker ended without a result.

    Returns:
        a `WorkerKilledError` where it was killed and nobody here did it: most often the system, out of memory.
    """
    kind, remedy = WorkerError, "Run it again; if it happens again, report it with the lines above"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        how = f"it was ended by {name}"
        if name == "SIGKILL":
            how += ", most likely because the memory ran out"
            kind, remedy = WorkerKilledError, MEMORY_REMEDY
        elif name in ("SIGSEGV", "SIGILL", "SIGABRT", "SIGBUS"):
            how += ", a crash inside a native library"
            remedy = "Run `mewm doctor`; try --device cpu"
    else:
        how = f"exit code {code}"
    if "MemoryError" in stderr or "out of memory" in stderr.lower():
        how += ", out of memory"
        kind, remedy = WorkerKilledError, MEMORY_REMEDY
    tail = "\n".join(stderr.splitlines()[-20:])
    return kind(
        what=f"The worker ended without a result: {how}",
        given="its last words were\n" + tail if tail else "it wrote nothing",
        remedy=remedy,
    )
