"""The jobs of the user of this computer, in the same kind of store as those of a server.

A job is kept as long as it is at work. One whose command line or Slicer was killed stays, with its job file, so that
`mewm jobs` can list it and take it up: here from the journal of its search, on a server where it goes on by itself.
A job that is not taken up within a week is removed.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import InputError, MeWMError
from MeWMLib.core.folders import data_folder
from MeWMLib.core.living import born, lives
from MeWMLib.core.private_files import private
from MeWMLib.core.records import dump_json, read_json
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.store import RUNNING, Row, Store, removed

#: What nobody takes up is kept for so long (seconds).
KEPT_S = 7 * 86400.0
_JOB, _ABOUT = "job.json", "about.json"
#: What is written for a server before it is sent.
SEND = "send"


@dataclass(frozen=True)
class KnownJob:
    """One job of this user.

    Attributes:
        row: what the store knows.
        folder: its folder, for its job file and for what is sent of it.
    """

    row: Row
    folder: Path

    @property
    def alive(self) -> bool:
        """True while the process lives that started it."""
        return lives(self.row.pid, self.row.pid_at)

    @property
    def state(self) -> str:
        """For people: "at work", "on the server" or "interrupted"."""
        if self.alive:
            return "at work"
        return "on the server" if self.row.far_id else "interrupted"

    def job(self) -> Job:
        """The job as it was given.

        Raises:
            InputError: its file cannot be read.
        """
        return Job.load(self.folder / _JOB)

    def about(self) -> dict[str, Any]:
        """What the program that began it wrote down for itself; nothing where that cannot be read."""
        with contextlib.suppress(MeWMError):
            found = read_json(self.folder / _ABOUT)
            if isinstance(found, dict):
                return found
        return {}


class KnownJobs:
    """The store of this user's jobs.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self) -> None:
        self._store = Store(data_folder() / "jobs")

    def __enter__(self) -> KnownJobs:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()

    def all(self) -> list[KnownJob]:
        """All jobs; what was kept too long is removed before."""
        found = []
        for row in self._store.find():
            one = KnownJob(row, self._store.jobs / row.folder)
            # one from the future is of a clock that was set back since
            if not one.alive and time.time() - row.created >= KEPT_S:
                self.forget(row.id)
            else:
                found.append(one)
        return found

    def find(self, begin: str) -> KnownJob:
        """The job whose id begins so.

        Raises:
            InputError: there is none, or there are several.
        """
        found = [one for one in self.all() if begin and one.row.id.startswith(begin)]
        if len(found) != 1:
            raise InputError(
                what="No job has this id" if not found else "Several jobs have an id that begins so",
                given=begin[:80],
                remedy="See `mewm jobs list`",
            )
        return found[0]

    def begin(self, job: Job, place: str = "", about: Mapping[str, Any] | None = None) -> KnownJob:
        """Keep a job that begins now.

        Args:
            job: with paths of this computer.
            place: address of the server that it goes to; "" for this computer.
            about: what the program that begins it needs to take it up; it stays on this computer.
        """
        self.all()
        pid = os.getpid()
        row = Row.new(kind=job.kind, state=RUNNING, place=place, pid=pid, pid_at=born(pid))
        row = self._store.add(row)
        one = KnownJob(row, self._store.jobs / row.folder)
        with private(one.folder / _JOB, "w") as stream:
            stream.write(job.to_json())
        if about is not None:
            with private(one.folder / _ABOUT, "w") as stream:
                stream.write(dump_json(dict(about)))
        return one

    def change(self, job_id: str, **news: Any) -> None:
        """Note where a job is, or that nobody here follows it any more (`pid=0`)."""
        self._store.change(job_id, **news)

    def take(self, one: KnownJob) -> None:
        """Follow a job that was left."""
        pid = os.getpid()
        self._store.change(one.row.id, pid=pid, pid_at=born(pid))

    def forget(self, job_id: str) -> None:
        """Remove a job with its folder; what cannot be removed now is tried again when the jobs are listed."""
        row = self._store.get(job_id)
        if row is None:
            return
        with contextlib.suppress(MeWMError):
            if removed(self._store.jobs / row.folder):
                self._store.forget(job_id)


class Record:
    """The record of one job at work; where the store cannot be used there is none, and the job runs all the same.

    Args:
        job: the job.
        place: see `KnownJobs.begin`.
        known: a job that was left, which is taken up.
        about: see `KnownJobs.begin`.
    """

    def __init__(
        self, job: Job, place: str = "", known: KnownJob | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        self._known = known
        with contextlib.suppress(MeWMError, OSError), KnownJobs() as jobs:
            if known is not None:
                jobs.take(known)
            else:
                self._known = jobs.begin(job, place, about)

    @property
    def folder(self) -> Path | None:
        """A folder for what belongs to the job; None where there is none."""
        return self._known.folder if self._known is not None and self._known.folder.is_dir() else None

    @property
    def id(self) -> str:
        """By which `mewm jobs` knows it; "" where there is no record."""
        return self._known.row.id if self._known is not None else ""

    def sent(self, far_id: str) -> None:
        """The job has an id on a server."""
        self._change(far_id=far_id)

    def leave(self) -> None:
        """Nobody here follows it any more, and it may be taken up."""
        self._change(pid=0)

    def end(self) -> None:
        """The job is over."""
        if self._known is not None:
            with contextlib.suppress(MeWMError, OSError), KnownJobs() as jobs:
                jobs.forget(self._known.row.id)

    def _change(self, **news: Any) -> None:
        if self._known is not None:
            with contextlib.suppress(MeWMError, OSError), KnownJobs() as jobs:
                jobs.change(self._known.row.id, **news)
