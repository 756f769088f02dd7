"""What is asked of the jobs of a server: take one, say where it stands, stop it, give its files, remove it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from MeWMLib.core.errors import CancelledError, MeWMError
from MeWMLib.jobs.job import Job, error_event
from MeWMLib.jobs.server_files import JobFolder, require_space, unknown_job
from MeWMLib.jobs.server_work import CANCELLING, Workshop
from MeWMLib.jobs.store import ENDED, QUEUED, REMOVING, RUNNING, UPLOADING, Row, removed
from MeWMLib.jobs.wire import FileEntry, busy_error


class ServerJobs(Workshop):
    """All jobs of a server; its methods may be called from any thread. Arguments as those of `Workshop`."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        #: Place, and seconds of work before it, of each job that waits; what is at work; the store's version then.
        self._places: dict[str, tuple[int, float]] = {}
        self._busy: list[Row] = []
        self._seen = -1
        super().__init__(*arguments, **more)

    @property
    def running(self) -> int:
        """Jobs that are at work."""
        return self.store.count(states=(RUNNING,))

    @property
    def queued(self) -> int:
        """Jobs that wait."""
        return self.store.count(states=(QUEUED,))

    def create(self, owner: str, job: Job, entries: Sequence[FileEntry], key: str = "", priority: int = 0) -> Row:
        """Make room for a job before its files come. The same key of the same user gives the same job again.

        Raises:
            ServerBusyError: too many wait, or the user has too many.
            OutputError: it cannot be written, or the disk is too full.
        """
        limits, size = self.limits, sum(entry.bytes for entry in entries)
        with self._lock:
            if key and (known := self.store.find(owner=owner, key=key)):
                return known[0]
            self._require_room(owner)
            on_way = self.store.find(states=(UPLOADING,))
            if sum(row.owner == owner for row in on_way) >= limits.max_uploads_per_user:
                raise busy_error(limits.max_uploads_per_user, limits.max_uploads_per_user, " of one user on their way")
            # what was promised to others has its place, whether it is there already or not
            require_space(self.store.root, size + sum(row.size for row in on_way) + limits.spare_bytes)
            row = self.store.add(Row.new(owner=owner, key=key, kind=job.kind, priority=priority, size=size))
            JobFolder(self.store.jobs / row.folder).make(job, entries)
        return row

    def heard(self, row: Row) -> None:
        """Something of an upload has come."""
        self._heard[row.id] = time.monotonic()

    def _require_room(self, owner: str) -> None:
        limits = self.limits
        waiting, running = self.queued, self.running
        if self._closed or (waiting >= limits.max_queued and running + waiting >= limits.max_jobs + limits.max_queued):
            raise busy_error(running, limits.max_jobs, f"; {waiting} of at most {limits.max_queued} wait")
        mine = self.store.count(states=(QUEUED, RUNNING), owner=owner)
        if mine >= limits.max_per_user:
            raise busy_error(mine, limits.max_per_user, " of this user")

    def submit(self, row: Row) -> Row:
        """Put a job into the queue whose files are all there; what is queued already stays where it is.

        Raises:
            InputError: a file is missing, damaged, or not of the grammar of `nrrd_grammar`.
            ServerBusyError: too many wait by now.
        """
        with self._accepting[hash(row.id) % len(self._accepting)]:
            row = self.store.get(row.id) or row
            if row.state != UPLOADING:
                return row
            JobFolder(self.store.jobs / row.folder).accept(self.limits.max_voxel_bytes)
            return self._enqueue(row)

    def _enqueue(self, row: Row) -> Row:
        with self._lock:
            self._require_room(row.owner)
            row = self.store.change(row.id, state=QUEUED, queued=time.time()) or row
            self._changed.notify_all()
        self.notes.count("mewm_jobs_submitted_total", kind=row.kind)
        self.notes.audit("submitted", row.owner, kind=row.kind, job=row.folder[:8], bytes=row.size)
        return row

    def get(self, job_id: str, owner: str) -> Row:
        """A job of a user by its id; the jobs of others are as unknown as those that never were.

        Raises:
            UnknownJobError: there is none.
        """
        row = self.store.get(job_id)
        if row is None or row.owner != owner or row.state == REMOVING:
            raise unknown_job()
        return row

    def listed(self, owner: str) -> list[Row]:
        """The jobs of a user."""
        return [row for row in self.store.find(owner=owner) if row.state != REMOVING]

    def place_of(self, row: Row) -> tuple[int, float]:
        """Place in the queue from 1 on and seconds to wait, as far as they can be told; (0, 0) once it is at work."""
        with self._lock:
            if self._seen != self.store.version:
                # once for all who wait, and not again before something has changed
                self._places, before = {}, 0.0
                for number, one in enumerate(self._queue.order(self.store.find(states=(QUEUED,))), 1):
                    self._places[one.id] = (number, before)
                    before += self._cost(one)
                self._busy, self._seen = self.store.find(states=(RUNNING,)), self.store.version
            if row.id not in self._places:
                return 0, 0.0
            number, before = self._places[row.id]
            now = time.time()
            left = sum(max(0.0, self._cost(one) - max(0.0, now - one.started)) for one in self._busy)
            return number, (before + left) / len(self.slots)

    def cancel(self, row: Row) -> None:
        """Take a job out of the queue, or ask its worker to stop and to keep what it has."""
        with self._lock:
            row = self.store.get(row.id) or row
            self.notes.audit("cancelled", row.owner, kind=row.kind, job=row.folder[:8])
            if row.state == RUNNING and row.slot >= 0:
                self.slots[row.slot].cancel()
                # it counts also if the server is killed before the worker has stopped
                self.store.change(row.id, outcome=CANCELLING)
            elif row.state in (QUEUED, UPLOADING):
                self._end(row, error_event(CancelledError(what="The job was stopped before it was begun")))

    def remove(self, row: Row) -> bool:
        """End a job with its whole process tree and remove its data; True once nothing of them is left.

        What cannot be removed now is tried again by `sweep`.
        """
        with self._lock:
            row = self.store.get(row.id) or row
            if row.state == RUNNING and row.slot >= 0:
                self.slots[row.slot].kill(CancelledError(what="The job was removed"))
                # the thread of the slot has the folder until the worker is gone
                self.store.change(row.id, state=REMOVING)
                self._changed.wait_for(lambda: (self.store.get(row.id) or replace(row, slot=-1)).slot < 0, 15.0)
                row = self.store.get(row.id) or row
        return self._removed(row)

    def _removed(self, row: Row) -> bool:
        self.store.change(row.id, state=REMOVING)
        self.news.tell(row.id)
        try:
            gone = row.slot < 0 and removed(self.store.jobs / row.folder)
        except MeWMError:
            gone = False
        if gone:
            self.store.forget(row.id)
        else:
            self.notes.count("mewm_removals_failed_total")
        self.notes.audit("removed" if gone else "removal failed", row.owner, kind=row.kind, job=row.folder[:8])
        return gone

    def files(self, row: Row) -> list[FileEntry]:
        """What the worker has written so far, with checksums."""
        with contextlib.ExitStack() as stack:
            try:
                # the handle stays the same when the folder moves at the end of the job
                with self._lock:
                    there = stack.enter_context(self.folder(row).output())
                return JobFolder.results(there)
            except OSError:
                return []

    def open_file(self, row: Row, name: str) -> BinaryIO:
        """A file that the worker has written; a newer one in its place does not change what is read.

        Raises:
            InputError: not a plain name, or there is no such file.
        """
        with self._lock:
            return self.folder(row).open_result(name)

    def sweep(self) -> None:
        """Let time pass: remove what was kept long enough or is too much, and try again what could not be removed."""
        now = time.monotonic()
        passed, self._ticked = now - self._ticked, now
        self.store.age(passed)
        for slot in self.slots:
            slot.rest()
        limits = self.limits
        with self._lock:
            for row in self.store.find(states=(REMOVING,)):
                if row.slot < 0:
                    self._removed(row)
            sent = self.store.find(states=(UPLOADING,))
            self._heard = {row.id: self._heard.get(row.id, now) for row in sent}
            for row in sent:
                if now - self._heard[row.id] > limits.upload_quiet_s:
                    self._removed(row)
            ended = self.store.find(states=ENDED)
            for row in ended:
                if row.kept_s > limits.retention_s:
                    self._removed(row)
            left = [row for row in ended if row.kept_s <= limits.retention_s]
            sizes = {row.id: JobFolder(self.store.jobs / row.folder).bytes() for row in left}
            total = sum(sizes.values())
            for row in sorted(left, key=lambda one: -one.kept_s):
                if total <= limits.keep_bytes:
                    break
                total -= sizes[row.id]
                self._removed(row)
