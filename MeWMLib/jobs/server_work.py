"""The work of a server: slots take jobs from the queue, run them, and take up what a killed server or worker left.

A job is a row of the store and a folder with everything that is its own: `job.json`, `in`, `out`, `events.jsonl`. While
it is at work the folder lies in that of a slot, which is all that the slot's worker can reach.
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
from MeWMLib.jobs.fair_queue import FairQueue
from MeWMLib.jobs.job import Event, error_event
from MeWMLib.jobs.runner import worker_command
from MeWMLib.jobs.server_files import JobFolder
from MeWMLib.jobs.server_limits import Limits
from MeWMLib.jobs.server_notes import Notes
from MeWMLib.jobs.server_slots import Slot, WorkerLimits, died, end_leftover, started_at
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
from MeWMLib.jobs.table import kind_of

#: Times that a job is begun whose worker dies.
MOST_ATTEMPTS = 3
#: A server that is killed is seldom the job's fault, unless it happens again and again.
_MOST_STOPS = 10
CANCELLING = "cancelling"


class Workshop:
    """The slots of a server and what they do; its methods may be called from any thread.

    Args:
        data: folder of the server, which the caller has locked.
        limits: see `Limits`.
        command: command of the worker.
        notes: takes what is worth counting and logging.
        environment: of the worker of a slot, see `Slot`.

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
    ) -> None:
        self.limits, self.notes = limits, notes or Notes()
        self.store = Store(data)
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._closed = False
        #: When something of an upload came last; monotonic, so that no jump of the clock removes one.
        self._heard: dict[str, float] = {}
        self._accepting = [threading.Lock() for _ in range(16)]
        self._ticked = time.monotonic()
        self._costs: dict[str, float] = {}
        self._queue = FairQueue(self._cost)
        wanted = list(command) if command is not None else worker_command()
        most = WorkerLimits(limits.worker_memory_bytes, limits.job_s, grace_s=limits.grace_s)
        try:
            self.slots = [Slot(n, data, wanted, most, partial(environment, n)) for n in range(limits.max_jobs)]
        except OSError as error:
            raise output_error(error, data) from error
        self._recover()
        for slot in self.slots:
            slot.tidy()
        self._threads = [
            threading.Thread(target=self._work, args=(slot,), name=f"mewm-slot-{slot.number}", daemon=True)
            for slot in self.slots
        ]
        for thread in self._threads:
            thread.start()

    def folder(self, row: Row) -> JobFolder:
        """Where the folder of a job is now."""
        home = self.store.jobs / row.folder
        return JobFolder(home if row.slot < 0 else self.slots[row.slot].folder / row.folder)

    def close(self) -> None:
        """Stop: what is at work goes on at the next start, from what is finished."""
        with self._lock:
            self._closed = True
            self._changed.notify_all()
        for slot in self.slots:
            slot.close()
        for thread in self._threads:
            thread.join(30.0)
        self.store.close()

    def _recover(self) -> None:
        """Take up what a former server left: its workers are ended, its jobs go on, strange leftovers are removed."""
        notes = self.notes
        for home in self.store.root.glob("slots/*"):
            for row in marked(path for path in home.glob("*") if path.is_dir()):
                if row.pid:
                    end_leftover(row.pid, row.pid_at)
                (home / row.folder).rename(self.store.jobs / row.folder)
        for row in marked(path for path in self.store.jobs.glob("*") if path.is_dir()):
            if self.store.get(row.id) is not None:
                continue
            if row.state in (UPLOADING, REMOVING):
                notes.log("info", f"Removing the leftover of an unknown job: {row.folder[:8]}")
                removed(self.store.jobs / row.folder)
            else:
                # the file of the store was lost or cut, and the job was not
                self.store.adopt(row)
        if self.store.damaged or self.store.rebuilt:
            found = f"{self.store.rebuilt} jobs were found by their folders"
            notes.log("warning", f"The store of jobs was damaged or lost; {found}")
        for row in self.store.find():
            home = self.store.jobs / row.folder
            if not (home / MARK).is_file():
                # the folder is gone, so is the job
                self.store.forget(row.id)
                continue
            row = self.store.change(row.id, slot=-1, pid=0, pid_at=0.0) or row
            JobFolder(home).mend_events()
            if row.state == RUNNING:
                if JobFolder(home).stops() < _MOST_STOPS:
                    JobFolder(home).note_stop()
                self._take_up(row)

    def _take_up(self, row: Row) -> None:
        """Put a job back into the queue whose worker or server was killed; too often is the end."""
        folder = JobFolder(self.store.jobs / row.folder)
        if row.outcome == CANCELLING:
            self._end(row, error_event(CancelledError(what="The job was stopped")), CANCELLED)
            return
        if self._attempts(row) >= MOST_ATTEMPTS:
            error = WorkerError(
                what=f"The job was begun {MOST_ATTEMPTS} times, and each time its worker or the server was killed",
                remedy="Use fewer --replicas or --beams, or ask who runs the server to look at its log",
            )
            self._end(row, error_event(error), FAILED)
            return
        folder.say(Event("log", message="The job was interrupted on the server; it goes on from what is finished"))
        self.store.change(row.id, state=QUEUED)

    def _attempts(self, row: Row) -> int:
        """Times that a worker has died with a job, or may have."""
        return row.attempts - JobFolder(self.store.jobs / row.folder).stops()

    def _cost(self, row: Row) -> float:
        """Seconds that a job is expected to take: the mean of those of its kind, weighted to the newest."""
        return self._costs.get(row.kind, 60.0)

    def _work(self, slot: Slot) -> None:
        while True:
            with self._lock:
                row = None
                while row is None and not self._closed:
                    row = self._next()
                    if row is None:
                        self._changed.wait(5.0)
                if row is None or self._closed:
                    return
                try:
                    row = self._given(row, slot)
                except (OSError, MeWMError) as error:
                    self._failed_start(row, error)
                    continue
            try:
                self._run(row, slot)
            except Exception as error:  # a slot that dies would leave the queue standing
                self.notes.log("error", f"A slot failed with {type(error).__name__}: {error}")
                time.sleep(1.0)
                with contextlib.suppress(Exception), self._lock:
                    left = self.store.get(row.id)
                    if left is not None and left.state == RUNNING:
                        self._take_up(self.store.change(row.id, slot=-1) or left)

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
        """Give a job to a slot: its folder is moved there."""
        home, there = self.store.jobs / row.folder, slot.folder / row.folder
        slot.begin()
        self.store.change(row.id, state=RUNNING, slot=slot.number, attempts=row.attempts + 1, started=time.time())
        try:
            home.rename(there)
        except OSError:
            self.store.change(row.id, state=QUEUED, slot=-1, attempts=row.attempts)
            raise
        return self.store.get(row.id) or row

    def _failed_start(self, row: Row, error: Exception) -> None:
        self.notes.log("error", f"A job could not be begun ({type(error).__name__})")
        ours = error if isinstance(error, MeWMError) else output_error(OSError(str(error)), self.store.jobs)
        with contextlib.suppress(OSError, MeWMError):
            self._end(replace(row, slot=-1), error_event(ours), FAILED)

    def _run(self, row: Row, slot: Slot) -> None:
        folder, begun = self.folder(row), time.monotonic()
        self.notes.observe("mewm_job_wait_seconds", max(0.0, row.started - row.queued), kind=row.kind)
        stage = _Stages(self.notes, row.kind)

        def on_event(event: Event) -> None:
            # the end is told when the worker is gone and its files are whole
            if event.kind not in ("result", "error"):
                stage.see(event.stage)
                folder.say(event)

        def on_pid(pid: int) -> None:
            self.store.change(row.id, folder.path, pid=pid, pid_at=started_at(pid))

        error: MeWMError | None = None
        try:
            final = Event("result", data=slot.run(folder.job(), folder.path, on_event, on_pid))
        except MeWMError as failed:
            error, final = failed, error_event(failed)
        except OSError as failed:
            # what is said is kept on a disk that may be full
            error = output_error(failed, Path("the data folder of the server"))
            final = error_event(error)
        except Exception as failed:
            error = WorkerError(what="The server failed with an unexpected error", given=type(failed).__name__)
            final = error_event(error)
        stage.see("")
        with self._lock:
            if (folder.path).is_dir():
                folder.path.rename(self.store.jobs / row.folder)
            slot.tidy()
            row = self.store.change(row.id, slot=-1, pid=0, pid_at=0.0) or row
            if row.state == REMOVING:
                pass
            elif self._closed and error is not None:
                JobFolder(self.store.jobs / row.folder).note_stop()
                self._take_up(row)
            elif error is not None and died(error) and self._attempts(row) < MOST_ATTEMPTS:
                self.notes.count("mewm_worker_deaths_total")
                self._take_up(row)
            else:
                seconds = time.monotonic() - begun
                if error is None:
                    former = self._costs.get(row.kind, seconds)
                    self._costs[row.kind] = max(0.01, 0.8 * former + 0.2 * seconds)
                state = DONE if error is None else CANCELLED if isinstance(error, CancelledError) else FAILED
                self._end(row, JobFolder(self.store.jobs / row.folder).plain(final, folder.path), state, seconds)
            self._changed.notify_all()

    def _end(self, row: Row, final: Event, state: str, seconds: float = 0.0) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the job at work for ever
            JobFolder(self.store.jobs / row.folder).say(final)
        outcome = str(final.data.get("type", "")) if state != DONE else ""
        self.store.change(row.id, state=state, ended=time.time(), outcome=outcome, slot=-1)
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
        self._known = {*kind_of(kind).stages, "read", "load", "segment", "propose", "write"}

    def see(self, stage: str) -> None:
        """The stage now; "" at the end."""
        if stage == self._stage:
            return
        now = time.monotonic()
        if self._stage in self._known:
            self._notes.observe("mewm_stage_seconds", now - self._begun, kind=self._kind, stage=self._stage)
        self._stage, self._begun = stage, now
