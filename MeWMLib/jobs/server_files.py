"""The folder of one job on a server: what was sent, what is written, what was said.

What the server itself writes lies in the folder; what the worker may change lies in `work` in it, which is moved to a
slot while the job is at work. A worker that was taken over can put links where files were: the server writes nothing
below `work` while a worker lives, and follows no link there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from MeWMLib.core.errors import InputError, OutputError, UnknownJobError
from MeWMLib.core.private_files import private
from MeWMLib.core.records import dump_json, from_plain, parse_json, to_plain
from MeWMLib.core.sealed import sha256_of
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.nrrd_grammar import rewrite
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.wire import FileEntry, is_plain_name

_PART = ".part"
_EVENTS, _JOB, _FILES, _STOPS = "events.jsonl", "job.json", "files.json", "stops"
#: The part of the worker.
WORK = "work"
_IN, _OUT = "in", "out"
#: More than an event takes (bytes).
_LONGEST_EVENT = 64 * 1024**2
#: Flags that the systems without links to fear do not know.
_NO_LINK, _FOLDER = getattr(os, "O_NOFOLLOW", 0), getattr(os, "O_DIRECTORY", 0)
_NO_WAIT = getattr(os, "O_NONBLOCK", 0)


class JobFolder:
    """What lies in the folder of a job.

    Args:
        path: the folder.
        work: where its part for the worker is while that has it.
    """

    def __init__(self, path: Path, work: Path | None = None) -> None:
        self.path = path
        self.work = work or path / WORK
        self.inputs, self.outputs = self.work / _IN, self.work / _OUT

    def make(self, job: Job, entries: Sequence[FileEntry]) -> None:
        """Keep what a job is and which files will come."""
        for folder in (self.work, self.inputs, self.outputs):
            folder.mkdir(mode=0o700)
        with private(self.path / _JOB, "w") as stream:
            stream.write(job.to_json())
        with private(self.path / _FILES, "w") as stream:
            stream.write(dump_json({"files": to_plain(tuple(entries))}))

    def entries(self) -> list[FileEntry]:
        """The files that were announced.

        Raises:
            UnknownJobError: the job was removed meanwhile.
        """
        try:
            content = (self.path / _FILES).read_bytes()
        except FileNotFoundError as error:
            raise unknown_job() from error
        told = parse_json(content, require={"files": list})["files"]
        return [from_plain(FileEntry, one, "a file of the upload") for one in told]

    def job(self) -> Job:
        """The job with paths in this folder."""
        job = Job.load(self.path / _JOB)
        kind, out = kind_of(job.kind), None
        paths = {key: str(self.inputs / file) for key, file in kind.files.items() if job.inputs.get(key) == file}
        if job.out is not None and kind.output is not None:
            out = str(self.outputs if kind.output.is_folder else self.outputs / job.out)
        return replace(job, inputs={**job.inputs, **paths}, out=out)

    def give(self, there: Path) -> JobFolder:
        """Give the part of the worker to a slot, where it is called `there`."""
        self.work.rename(there)
        return JobFolder(self.path, there)

    def take_back(self) -> JobFolder:
        """Take the part of the worker back from its slot. What is no folder any more is left there, and is lost."""
        home = JobFolder(self.path)
        if home.work != self.work and self.work.is_dir() and not self.work.is_symlink():
            self.work.rename(home.work)
        return home

    # what is sent

    def entry(self, name: str) -> FileEntry:
        """The file of a name that was announced.

        Raises:
            InputError: there is none.
        """
        for one in self.entries():
            if one.name == name:
                return one
        raise InputError(what="The job has no such file", given=repr(name)[:80])

    def part(self, name: str) -> Path:
        """Where a file goes that is being sent."""
        return self.inputs / f"{name}{_PART}"

    def offsets(self) -> dict[str, int]:
        """How much of each file is here."""
        return {one.name: self._there(one) for one in self.entries()}

    def _there(self, entry: FileEntry) -> int:
        with contextlib.suppress(FileNotFoundError):
            return self.part(entry.name).stat().st_size
        return entry.bytes if (self.inputs / entry.name).exists() else 0

    def accept(self, most_voxels: int) -> None:
        """Check what was sent and write it anew; harmless for a file that was accepted before.

        Raises:
            InputError: a file is not whole, damaged, or not of the grammar of `nrrd_grammar`.
            UploadTooLargeError: it declares more than `most_voxels` bytes.
        """
        for entry in self.entries():
            part, target = self.part(entry.name), self.inputs / entry.name
            if target.exists() and not part.exists():
                continue
            there = self._there(entry)
            if there != entry.bytes:
                raise InputError(
                    what="A file is not there as a whole", given=f"{entry.name}: {there} of {entry.bytes} bytes"
                )
            if entry.bytes == 0 or sha256_of(part) != entry.sha256:
                part.unlink(missing_ok=True)
                raise InputError(
                    what="A file was damaged on its way to the server", given=entry.name, remedy="Start the job again"
                )
            fresh = self.inputs / f".{entry.name}.new"
            private(fresh, "wb").close()
            rewrite(part, fresh, most_voxels, entry.name)
            fresh.replace(target)
            part.unlink()

    # what is said

    def say(self, event: Event) -> None:
        """Keep an event, without the server's own paths."""
        with private(self.path / _EVENTS, "ab") as stream:
            stream.write(self._text(event).encode() + b"\n")

    def plain(self, event: Event) -> Event:
        """An event without the paths of the folder of its job."""
        return Event.from_json(self._text(event))

    def _text(self, event: Event) -> str:
        text = event.to_json()
        for folder in (self.work, self.path):
            for ending in ("/", "\\"):
                text = text.replace(json.dumps(f"{folder}{ending}")[1:-1], "")
        return text

    @property
    def events(self) -> Path:
        """The file of the events, one JSON object a line."""
        return self.path / _EVENTS

    def final(self) -> Event | None:
        """The event that tells how the job has ended, if it was said."""
        with contextlib.suppress(OSError, InputError, ValueError), self.events.open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - _LONGEST_EVENT))
            last = Event.from_json(stream.read().rstrip(b"\n").rpartition(b"\n")[2].decode())
            return last if last.kind in ("result", "error") else None
        return None

    def mend_events(self) -> None:
        """Take away half a line that a killed server left."""
        with contextlib.suppress(FileNotFoundError), self.events.open("r+b") as stream:
            content = stream.read()
            stream.truncate(content.rfind(b"\n") + 1)

    def note_stop(self) -> None:
        """Remember that the server was stopped while the job was at work: that is no fault of the job."""
        with private(self.path / _STOPS, "ab") as stream:
            stream.write(b"x")

    def stops(self) -> int:
        """How often that was."""
        with contextlib.suppress(OSError):
            return (self.path / _STOPS).stat().st_size
        return 0

    def bytes(self) -> int:
        """Size of everything in it."""
        total = 0
        for top in {self.path, self.work if self.work.parent != self.path else self.path}:
            for base, _folders, names in os.walk(top):
                for name in names:
                    with contextlib.suppress(OSError):
                        total += (Path(base) / name).lstat().st_size
        return total

    # what the worker has written

    @contextlib.contextmanager
    def output(self) -> Iterator[int | Path]:
        """The folder of results: a handle, to which no link has led, where the system has such handles.

        Raises:
            OSError: there is none.
        """
        if os.open not in os.supports_dir_fd:
            yield self.outputs
            return
        handles = [os.open(self.work.parent, os.O_RDONLY | _FOLDER)]
        try:
            for name in (self.work.name, _OUT):
                handles.append(os.open(name, os.O_RDONLY | _FOLDER | _NO_LINK, dir_fd=handles[-1]))
            yield handles[-1]
        finally:
            for handle in handles:
                os.close(handle)

    @classmethod
    def results(cls, there: int | Path) -> list[FileEntry]:
        """The files of an `output` with checksums: plain names alone, and no links."""
        found = []
        for name in sorted(filter(is_plain_name, os.listdir(there))):  # noqa: PTH208 - a handle
            # replaced just now, or no file at all
            with contextlib.suppress(OSError), cls._opened(name, there) as stream:
                found.append(FileEntry.read(name, stream))
        return found

    def open_result(self, name: str) -> BinaryIO:
        """A file of the output; a newer one in its place does not change what is read.

        Raises:
            InputError: not a plain name, or there is no such file.
        """
        if is_plain_name(name):
            with contextlib.suppress(OSError), self.output() as there:
                return self._opened(name, there)
        raise InputError(what="The job has no such file", given=repr(name)[:80])

    @staticmethod
    def _opened(name: str, there: int | Path) -> BinaryIO:
        if isinstance(there, Path):
            return (there / name).open("rb")
        # a pipe must not make anybody wait for its other end
        handle = os.open(name, os.O_RDONLY | _NO_LINK | _NO_WAIT, dir_fd=there)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise FileNotFoundError(name)
        return os.fdopen(handle, "rb")


def unknown_job() -> UnknownJobError:
    """A job that is not there, or somebody else's."""
    return UnknownJobError(
        what="The server does not know this job",
        remedy="It was removed, or kept for as long as the server keeps results; start the job again",
    )


def require_space(folder: Path, wanted: int) -> None:
    """Refuse what the disk cannot hold.

    Raises:
        OutputError: it is too full.
    """
    free = shutil.disk_usage(folder).free
    if free < wanted:
        raise OutputError(
            what="The disk of the server is too full for this job",
            given=f"{free / 1024**2:.0f} MB are free, {wanted / 1024**2:.0f} MB are needed",
            remedy="Try again later, or tell who runs the server",
        )
