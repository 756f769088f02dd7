"""The folder of one job on a server: what was sent, what is written, what was said."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from MeWMLib.core.errors import InputError, OutputError
from MeWMLib.core.private_files import private
from MeWMLib.core.records import dump_json, from_plain, parse_json, to_plain
from MeWMLib.jobs.job import Event, Job
from MeWMLib.jobs.nrrd_grammar import rewrite
from MeWMLib.jobs.table import kind_of
from MeWMLib.jobs.wire import FileEntry, is_plain_name, sha256_of

_PART = ".part"
_EVENTS, _JOB, _FILES, _STOPS = "events.jsonl", "job.json", "files.json", "stops"


class JobFolder:
    """What lies in the folder of a job.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inputs, self.outputs = path / "in", path / "out"

    def make(self, job: Job, entries: Sequence[FileEntry]) -> None:
        """Keep what a job is and which files will come."""
        for folder in (self.inputs, self.outputs):
            folder.mkdir(mode=0o700)
        with private(self.path / _JOB, "w") as stream:
            stream.write(job.to_json())
        with private(self.path / _FILES, "w") as stream:
            stream.write(dump_json({"files": to_plain(tuple(entries))}))

    def entries(self) -> list[FileEntry]:
        """The files that were announced."""
        told = parse_json((self.path / _FILES).read_bytes(), require={"files": list})["files"]
        return [from_plain(FileEntry, one, "a file of the upload") for one in told]

    def job(self) -> Job:
        """The job with paths in this folder."""
        job = Job.load(self.path / _JOB)
        kind, out = kind_of(job.kind), None
        paths = {key: str(self.inputs / file) for key, file in kind.files.items() if job.inputs.get(key) == file}
        if job.out is not None and kind.output is not None:
            out = str(self.outputs if kind.output.is_folder else self.outputs / job.out)
        return replace(job, inputs={**job.inputs, **paths}, out=out)

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
        line = self.plain(event, self.path).to_json()
        with private(self.path / _EVENTS, "ab") as stream:
            stream.write(line.encode() + b"\n")

    @staticmethod
    def plain(event: Event, folder: Path) -> Event:
        """An event without the path of the folder of its job."""
        text = event.to_json()
        for ending in ("/", "\\"):
            text = text.replace(json.dumps(f"{folder}{ending}")[1:-1], "")
        return Event.from_json(text)

    @property
    def events(self) -> Path:
        """The file of the events, one JSON object a line."""
        return self.path / _EVENTS

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
        for base, _folders, names in os.walk(self.path):
            for name in names:
                with contextlib.suppress(OSError):
                    total += (Path(base) / name).lstat().st_size
        return total


def result_files(folder: Path) -> list[Path]:
    """The files of a folder of results: plain names alone, and no links."""
    with contextlib.suppress(FileNotFoundError):
        return sorted(p for p in folder.iterdir() if is_plain_name(p.name) and p.is_file() and not p.is_symlink())
    return []


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
