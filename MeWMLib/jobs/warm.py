"""A worker process that stays between jobs, with its networks loaded and its patients measured.

`WarmWorker` owns the process, `WarmWorker.runner` gives the runner of one job. The process is ended by `close`, by a
job that had to be ended or left the process in doubt, and by whatever ends this process (`jobs.worker`).
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from MeWMLib.core.errors import CancelledError, InputError, WorkerError, error_from_json
from MeWMLib.jobs.job import STAY, Event, Job, job_line
from MeWMLib.jobs.processes import child_environment, end_tree, stand_back
from MeWMLib.jobs.runner import GRACE_S, LOG_CHARACTERS, STDERR_LINES, LocalRunner, started


class _Process:
    """One worker that stays, and the threads that read what it says."""

    def __init__(self, command: Sequence[str], take: Callable[[bytes], None]) -> None:
        self.command, self.environment = tuple(command), child_environment()
        self.popen = started([*command, STAY])
        # the window that waits for it goes on smoothly while it computes on every core
        stand_back(self.popen)
        self.errors: deque[str] = deque(maxlen=STDERR_LINES)
        #: Takes the lines; the runner of the job that is at work.
        self.take = take
        self.round = 0
        self._threads = [threading.Thread(target=read, daemon=True) for read in (self._events, self._errors)]
        for thread in self._threads:
            thread.start()

    def _events(self) -> None:
        assert self.popen.stdout is not None
        for raw in self.popen.stdout:
            self.take(raw)

    def _errors(self) -> None:
        assert self.popen.stderr is not None
        for raw in self.popen.stderr:
            self.errors.append(raw.decode("utf-8", "replace").rstrip()[:LOG_CHARACTERS])

    def fits(self, command: Sequence[str]) -> bool:
        """True if it lives and a new one would be the same."""
        same = self.command == tuple(command) and self.environment == child_environment()
        return same and self.popen.poll() is None

    def order(self, file: Path) -> None:
        """Begin with a job."""
        assert self.popen.stdin is not None
        self.popen.stdin.write(job_line(file).encode())
        self.popen.stdin.flush()

    def end(self) -> None:
        """End it with all its descendants."""
        end_tree(self.popen)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout=5.0)
        with contextlib.suppress(OSError, ValueError), self.popen:
            pass


class WarmWorker:
    """A worker for one job after the other.

    Args:
        command: called for what starts a worker; where it gives another command than before, or the environment has
            changed, the former worker is ended and a new one is started.
    """

    def __init__(self, command: Callable[[], Sequence[str]]) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._idle: _Process | None = None
        #: Counts `close`: a process that was taken before it must not come back.
        self._round = 0

    def runner(self, grace_s: float = GRACE_S, folder: Path | None = None) -> WarmRunner:
        """The runner of one job, see `LocalRunner`. A second one at the same time has a process of its own."""
        return WarmRunner(self, grace_s, folder)

    @property
    def pid(self) -> int | None:
        """Process id of a worker that waits for a job, or None."""
        idle = self._idle
        return idle.popen.pid if idle is not None and idle.popen.poll() is None else None

    @property
    def memory_mb(self) -> float:
        """Memory of a worker that waits for a job; 0 where there is none."""
        pid = self.pid
        try:
            return psutil.Process(pid).memory_info().rss / 1024**2 if pid is not None else 0.0
        except psutil.Error:
            return 0.0

    def close(self) -> None:
        """End the worker that waits, if there is one. The next job starts another."""
        with self._lock:
            idle, self._idle = self._idle, None
            self._round += 1
        if idle is not None:
            idle.end()

    def take(self, lines: Callable[[bytes], None]) -> _Process:
        """A process for a job: the one that waits, or a new one.

        Args:
            lines: takes what it says.

        Raises:
            WorkerError: it cannot be started.
        """
        command = list(self._command())
        with self._lock:
            idle, self._idle = self._idle, None
            number = self._round
        if idle is not None and not idle.fits(command):
            idle.end()
            idle = None
        if idle is not None:
            idle.errors.clear()
            idle.take = lines
        process = idle or _Process(command, lines)
        process.round = number
        return process

    def give_back(self, process: _Process | None) -> None:
        """A job is over, and its process can do the next one."""
        assert process is not None
        process.take = lambda raw: None
        with self._lock:
            if process.round == self._round:
                process, self._idle = self._idle, process
        if process is not None:
            process.end()


class WarmRunner(LocalRunner):
    """One job in the process of a `WarmWorker`."""

    def __init__(self, worker: WarmWorker, grace_s: float = GRACE_S, folder: Path | None = None) -> None:
        super().__init__((), grace_s, folder)
        self._worker = worker
        self._staying: _Process | None = None
        self._ended = threading.Event()

    def _begin(self, job: Job | None) -> None:
        if job is None:
            raise WorkerError(what="A worker that stays needs a job")
        file = self._written(job)
        try:
            self._staying = self._ordered(file)
        except WorkerError:
            self._clean()
            raise
        self._process, self._stderr = self._staying.popen, self._staying.errors

    def _ordered(self, file: Path) -> _Process:
        """A process that has begun with the job; one that has died just now is replaced once."""
        for _ in range(2):
            process = self._worker.take(self._take)
            try:
                process.order(file)
            except OSError:
                process.end()
            else:
                return process
        raise WorkerError(what="The worker ended as soon as it was started", given="\n".join(process.errors))

    def _take(self, raw: bytes) -> None:
        super()._take(raw)
        if self._final is not None or self._callback_error is not None:
            self._ended.set()

    def _over(self) -> bool:
        return self._final is not None or super()._over()

    def _pause(self, seconds: float) -> None:
        self._ended.wait(seconds)

    def close(self) -> None:
        process = self._staying
        if process is None or self._closed:
            return
        self._closed = True
        if self._callback_error is None and _can_go_on(self._final) and process.popen.poll() is None:
            self._worker.give_back(process)
        else:
            process.end()
        self._clean()


def _can_go_on(final: Event | None) -> bool:
    """True if a job has left its process as it should: after a result, and after what a user can put right."""
    if final is None or final.kind == "result":
        return final is not None
    return isinstance(error_from_json(final.data), (InputError, CancelledError))
