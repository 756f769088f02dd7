"""Jobs of the panels that go on, or were cut off, because Slicer was killed or the server could not be reached."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from slicer.i18n import tr as _

from MeWMLib.core.errors import InputError, MeWMError, UnknownJobError
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.known import KnownJob, KnownJobs

#: By this a note on a job says that panels have begun it.
APP = "slicer"


@dataclass
class LeftJob:
    """A job that nobody follows.

    Attributes:
        known: what the store of jobs knows.
        job: as it was given, with paths of this computer.
        about: what the panels noted: name of the CT ("ct"), its `Origin` ("origin"), whether the whole plan was to be
            made ("whole"), and of several protocols which they are ("named") and the number of this one ("number").
        used: it was taken up before.
    """

    known: KnownJob
    job: Job
    about: dict
    used: bool = False

    @property
    def place(self):
        """Address of its server, or "" for this computer."""
        return self.known.row.place


def find(folders):
    """The jobs that nobody follows, newest first; for a thread. What dead runs have left of others is removed.

    Args:
        folders: the `SessionFolders`.
    """
    found, needed = [], []
    with KnownJobs() as jobs:
        for known in jobs.all():
            try:
                job = known.job()
            except MeWMError:
                continue
            needed += paths_of(job)
            about = known.about()
            if about.get("app") == APP and not known.alive:
                found.append(LeftJob(known, job, about))
    folders.sweep(needed)
    return found[::-1]


def require_free(left):
    """Raise `InputError` where another program follows the job by now, or it is over."""
    with KnownJobs() as jobs:
        known = next((one for one in jobs.all() if one.row.id == left.known.row.id), None)
    if known is None:
        raise InputError(
            what=_("The job is over"),
            given=left.about.get("ct", ""),
            remedy=_("Start it again, or see where it went on"),
        )
    if known.alive:
        raise InputError(
            what=_("This job is followed by another program"),
            given=_("process {number}").format(number=known.row.pid),
            remedy=_("Wait until it is done, or end that program first"),
        )


def paths_of(job):
    """The files that a job reads, and where it writes."""
    texts = [value for value in (*job.inputs.values(), job.out) if isinstance(value, str)]
    return [Path(text) for text in texts if Path(text).is_absolute()]


def drop(left, client, folders):
    """End a job on its server, forget it and remove its files; for a thread.

    Args:
        left: the job.
        client: of its server; None for a job of this computer.
        folders: the `SessionFolders`.

    Raises:
        ServerError: the server cannot be reached; then the job is kept.
    """
    if client is not None and left.known.row.far_id:
        with contextlib.suppress(UnknownJobError):
            client.remove(left.known.row.far_id)
    with KnownJobs() as jobs:
        jobs.forget(left.known.row.id)
    find(folders)
