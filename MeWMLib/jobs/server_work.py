"""The work of a server: slots take jobs from the queue, run them, and take up what a killed server or worker left.

A job is a row of the store and a folder with everything that is its own (`server_files`). While it is at work the part
with what was sent and what is written lies in the folder of a slot, which is all that the slot's worker can reach.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from MeWMLib.core.errors import CancelledError, MeWMError, WorkerError, output_error
from MeWMLib.core.living import born
from MeWMLib.jobs.fair_queue import FairQueue
from MeWMLib.jobs.job import Event, error_event
from MeWMLib.jobs.runner import worker_command
from MeWMLib.jobs.server_files import WORK, JobFolder
from MeWMLib.jobs.server_leftovers import claim, left_behind, sweep_slots
from MeWMLib.jobs.server_limits import Limits
from MeWMLib.jobs.server_news import News
from MeWMLib.jobs.server_notes import Notes
from MeWMLib.jobs.server_slots import Elsewhere, Slot, WorkerLimits, died
from MeWMLib.jobs.store import (
    CANCELLED,
    DONE,
    FAILED,
    MARK,
    QUEUED,
    REMOVING,
    RUNNING,
    UPLOADING,
    Row,
    Store,
    marked,
    removed,
)
from MeWMLib.jobs.table import KINDS

#: Times that a job is begun whose worker dies.
MOST_ATTEMPTS = 3
#: A server that is killed is seldom the job's fault, unless it happens again and again.
_MOST_STOPS = 10
CANCELLING = "cancelling"
#: A slot that has failed tries again after so long, and twice as long each time (seconds).
_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 10.0


class Workshop:
    """The slots of a server and what they do; its methods may be called from any thread.

    Args:
        data: folder of the server, which the caller has locked.
        limits: see `Limits`.
        command: command of the worker.
        notes: takes what is worth counting and logging.
        environment: of the worker of a slot, see `Slot`.
        elsewhere: makes workers on other computers, see `Slot`.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(
        self,
        data: Path,
        limits: Limits,
        command: Sequence[str] | None = None,
        notes: Notes | None = None,
        environment: Callable[[int], dict[str, str]] = lambda number: {},
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.limits, self.notes = limits, notes or Notes()
        self.store = Store(data)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closed, self._stopped = False, threading.Event()
        self.news = News()
        #: When something of an upload came last; monotonic, so that no jump of the clock removes one.
        self._heard: dict[str, float] = {}
        self._accepting = [threading.Lock() for _ in range(16)]
        self._ticked = time.monotonic()
        self._costs: dict[str, float] = {}
        self._queue = FairQueue(self._cost)
        wanted = list(command) if command is not None else worker_command()
        most = WorkerLimits(limits.worker_memory_bytes, limits.job_s, grace_s=limits.grace_s)
        try:
            claim(data)
            self._recover()
            self.slots = [
                Slot(n, data, wanted, most, partial(environment, n), elsewhere) for n in range(limits.max_jobs)
            ]
        except BaseException as error:
            self.store.close()
            if isinstance(error, OSError):
                raise output_error(error, data) from error
            raise
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"mewm-slot-{slot.number}", daemon=True)
            for slot in self.slots
        ]
        for thread in self._threads:
            thread.start()

    def folder(self, row: Row) -> JobFolder:
        """The folder of a job, with its part for the worker where that is now, whatever the row says."""
        home = JobFolder(self.store.jobs / row.folder)
        there = (slot.folder / row.folder for slot in self.slots)
        return home if home.work.exists() else JobFolder(home.path, next((one for one in there if one.exists()), None))

    def close(self) -> None:
        """Stop: what is at work goes on at the next start, from what is finished."""
        with self._lock:
            self._closed = True
            self._stopped.set()
            self._changed.notify_all()
        for slot in self.slots:
            slot.close()
        for thread in self._threads:
            thread.join(30.0)
        self.store.close()

    def _recover(self) -> None:
        """Take up what a former server left: its workers are ended, its jobs go on, strange leftovers are removed."""
        notes, jobs = self.notes, self.store.jobs
        for work in left_behind(self.store.root):
            home = JobFolder(jobs / work.name, work)
            if (home.path / MARK).is_file() and not (home.path / WORK).exists():
                home.take_back()
        sweep_slots(self.store.root)
        for row in marked(path for path in jobs.glob("*") if path.is_dir() and not path.is_symlink()):
            if self.store.get(row.id) is not None:
                continue
            if row.state in (UPLOADING, REMOVING):
                notes.log("info", f"Removing the leftover of an unknown job: {row.folder[:8]}")
                removed(jobs / row.folder)
            else:
                # the file of the store was lost or cut, and the job was not
                self.store.adopt(row)
        if self.store.damaged or self.store.rebuilt:
            found = f"{self.store.rebuilt} jobs were found by their folders"
            notes.log("warning", f"The store of jobs was damaged or lost; {found}")
        for row in self.store.find():
            home = JobFolder(jobs / row.folder)
            if not (home.path / MARK).is_file():
                # the folder is gone, so is the job
                self.store.forget(row.id)
                continue
            if row.slot >= 0 or row.pid:
                row = self.store.change(row.id, slot=-1, pid=0, pid_at=0.0) or row
            home.mend_events()
            if row.state == RUNNING:
                if (final := home.final()) is not None:
                    # the server was killed when all was said and only the store did not know it
                    self._end(row, final)
                    continue
                if home.stops() < _MOST_STOPS:
                    home.note_stop()
                self._take_up(row)

    def _take_up(self, row: Row) -> None:
        """Put a job back into the queue whose worker or server was killed; too often is the end."""
        folder = JobFolder(self.store.jobs / row.folder)
        if row.outcome == CANCELLING:
            self._end(row, error_event(CancelledError(what="The job was stopped")))
            return
        if self._attempts(row) >= MOST_ATTEMPTS:
            error = WorkerError(
                what=f"The job was begun {MOST_ATTEMPTS} times, and each time its worker or the server was killed",
                remedy="Use fewer --replicas or --beams, or ask who runs the server to look at its log",
            )
            self._end(row, error_event(error))
            return
        folder.say(Event("log", message="The job was interrupted on the server; it goes on from what is finished"))
        self.store.change(row.id, state=QUEUED, slot=-1, pid=0, pid_at=0.0)
        self.news.tell(row.id)

    def _attempts(self, row: Row) -> int:
        """Times that a worker has died with a job, or may have."""
        return row.attempts - JobFolder(self.store.jobs / row.folder).stops()

    def _cost(self, row: Row) -> float:
        """Seconds that a job is expected to take: the mean of those of its kind, weighted to the newest."""
        return self._costs.get(row.kind, 60.0)

    def _work(self, slot: Slot) -> None:
        """Do job after job until the server is stopped.

        What goes wrong here is the server's own, such as a full disk: a slot that ended would leave the queue standing.
        """
        pause, settle = _PAUSE_S, None
        while True:
            try:
                if settle is not None:
                    settle()
                settle = None
                row = self._taken(slot)
                if row is None:
                    return
                settle = self._run(row, slot)
                settle()
                pause, settle = _PAUSE_S, None
            except Exception as error:
                self.notes.log("error", f"A slot failed with {type(error).__name__}: {error}")
                if self._stopped.wait(pause):
                    return
                pause = min(2.0 * pause, _LONGEST_PAUSE_S)

    def _taken(self, slot: Slot) -> Row | None:
        """Wait for a job and give it to a slot; None once the server is stopped."""
        with self._lock:
            while not self._closed:
                row = self._next()
                if row is None:
                    self._changed.wait(5.0)
                    continue
                try:
                    return self._given(row, slot)
                except FileNotFoundError:
                    self.notes.log("error", f"The folder of a job is gone: {row.folder[:8]}")
                    self._end(row, error_event(WorkerError(what="The server has lost the files of the job")))
        return None

    def _next(self) -> Row | None:
        waiting = self.store.find(states=(QUEUED,))
        if not waiting:
            return None
        at_work: dict[str, int] = {}
        for row in self.store.find(states=(RUNNING,)):
            at_work[row.owner] = at_work.get(row.owner, 0) + 1
        held = [owner for owner, number in at_work.items() if number >= self.limits.max_running_per_user]
        return self._queue.next(waiting, held)

    def _given(self, row: Row, slot: Slot) -> Row:
        """Give a job to a slot: the part of the worker is moved there."""
        slot.begin()
        row = replace(row, state=RUNNING, slot=slot.number, attempts=row.attempts + 1, started=time.time())
        JobFolder(self.store.jobs / row.folder).give(slot.folder / row.folder)
        try:
            self.store.change(row.id, state=RUNNING, slot=row.slot, attempts=row.attempts, started=row.started)
        except MeWMError:
            self.folder(row).take_back()
            raise
        return row

    def _run(self, row: Row, slot: Slot) -> Callable[[], None]:
        """Do a job; returns what is left to do, which may be tried again where it fails."""
        folder, begun = self.folder(row), time.monotonic()
        stage = _Stages(self.notes, row.kind)

        def on_event(event: Event) -> None:
            # the end is told when the worker is gone and its files are whole
            if event.kind not in ("result", "error"):
                stage.see(event.stage)
                folder.say(event)
                self.news.tell(row.id)

        def on_pid(pid: int) -> None:
            # for who looks into the store; what counts at the next start is what the worker's own process has told
            with contextlib.suppress(MeWMError):
                self.store.change(row.id, pid=pid, pid_at=born(pid))

        error: MeWMError | None = None
        try:
            self.notes.observe("mewm_job_wait_seconds", max(0.0, row.started - row.queued), kind=row.kind)
            final = Event("result", data=slot.run(folder.job(), on_event, on_pid))
            stage.see("")
        except MeWMError as failed:
            error, final = failed, error_event(failed)
        except OSError as failed:
            # what is said is kept on a disk that may be full
            error = output_error(failed, Path("the data folder of the server"))
            final = error_event(error)
        except Exception as failed:
            error = WorkerError(what="The server failed with an unexpected error", given=type(failed).__name__)
            final = error_event(error)
        return partial(self._over, row, slot, final, error, time.monotonic() - begun)

    def _over(self, row: Row, slot: Slot, final: Event, error: MeWMError | None, seconds: float) -> None:
        """A worker is done with a job: it has ended, or is to be begun again. Harmless when it was half done before."""
        with self._lock:
            folder = JobFolder(self.store.jobs / row.folder, slot.folder / row.folder)
            told = folder.plain(final)
            home = folder.take_back()
            slot.tidy()
            now = self.store.get(row.id)
            if now is None or now.state == REMOVING:
                # `remove` waits for the folder
                self.store.change(row.id, slot=-1, pid=0, pid_at=0.0)
            elif now.state != RUNNING:
                pass
            elif self._closed and error is not None:
                home.note_stop()
                self._take_up(now)
            elif error is not None and died(error) and self._attempts(row) < MOST_ATTEMPTS:
                self.notes.count("mewm_worker_deaths_total")
                self._take_up(now)
            else:
                if error is None:
                    former = self._costs.get(row.kind, seconds)
                    self._costs[row.kind] = max(0.01, 0.8 * former + 0.2 * seconds)
                self._end(now, told, seconds)
            self._changed.notify_all()

    def _end(self, row: Row, final: Event, seconds: float = 0.0) -> None:
        """A job has ended; `final` says how."""
        outcome = str(final.data.get("type", "")) if final.kind == "error" else ""
        state = DONE if not outcome else CANCELLED if outcome == CancelledError.__name__ else FAILED
        folder = JobFolder(self.store.jobs / row.folder)
        with contextlib.suppress(OSError):  # a full disk must not keep the job at work for ever
            if folder.final() is None:
                folder.say(final)
        self.store.change(row.id, state=state, ended=time.time(), outcome=outcome, slot=-1, pid=0, pid_at=0.0)
        self.news.tell(row.id)
        self.notes.count("mewm_jobs_ended_total", kind=row.kind, state=state)
        self.notes.observe("mewm_job_seconds", seconds, kind=row.kind)
        self.notes.audit(
            state, row.owner, kind=row.kind, job=row.folder[:8], seconds=round(seconds, 1), outcome=outcome
        )


class _Stages:
    """How long each stage of a job takes, for the measures of the server."""

    def __init__(self, notes: Notes, kind: str) -> None:
        self._notes, self._kind = notes, kind
        self._stage, self._begun = "", time.monotonic()
        #: A stage is a label of a measure: what a job invents must not make thousands.
        self._known = {*(KINDS[kind].stages if kind in KINDS else ()), "read", "load", "segment", "propose", "write"}

    def see(self, stage: str) -> None:
        """The stage now; "" at the end."""
        if stage == self._stage:
            return
        now = time.monotonic()
        if self._stage in self._known:
            self._notes.observe("mewm_stage_seconds", now - self._begun, kind=self._kind, stage=self._stage)
        self._stage, self._begun = stage, now
