"""What leaves this computer for a server, and where the results go that come back.

Files of the user are never sent as they are. They are read here, as the worker would read them, and written again with
plain names and without any header of theirs; a DICOM folder becomes one NRRD file. The results get the names back that
the user's files have here: the server never learns them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from MeWMLib.core import io
from MeWMLib.core.errors import BundleError, InputError, ServerError, UnreadableFileError
from MeWMLib.core.locks import writing
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan_folder import PLAN, PlanFolder, read_document
from MeWMLib.core.regions import read_segments, write_region, write_segments
from MeWMLib.core.sealed import FILES, read_sealed, write_sealed
from MeWMLib.core.volume import Volume
from MeWMLib.jobs.inputs import inputs_used, read_ct, read_fed, read_labels
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.table import SAMPLE_PREFIX, Input, kind_of
from MeWMLib.jobs.wire import FileEntry, is_plain_name


@dataclass(frozen=True)
class Packed:
    """A job as it is sent.

    Attributes:
        job: without a path of this computer.
        files: entry and local path of each file, in the order of sending.
    """

    job: Job
    files: tuple[tuple[FileEntry, Path], ...]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(entry.bytes for entry, _path in self.files)


def pack(job: Job, folder: Path) -> Packed:
    """Read the files of a job and write them again into `folder`, ready to be sent.

    Args:
        job: as for the local runner, with paths.
        folder: empty; the caller removes it.

    Raises:
        MeWMError: a file cannot be used (see `core.io`), an input that is unknown or not for a server, a bundle that is
            a folder.
    """
    kind, inputs = kind_of(job.kind), job.inputs
    kind.check(inputs, job.out)
    private = sorted(set(kind.staying("private")) & set(inputs))
    if private:
        raise InputError(what="An input cannot be sent to a server", given=", ".join(private))
    if job.bundle is not None and not is_plain_name(job.bundle):
        raise BundleError(
            what="A server computes with its own models, not with a folder of this computer",
            given=Path(job.bundle).name,
            remedy="Name a model that the server has (Test connection in Setup lists them)",
        )
    sent: dict[str, Any] = {}
    names: list[str] = []
    scans: dict[str, Volume | None] = {}
    for entry in kind.inputs:
        given = inputs.get(entry.name)
        if given in (None, "", {}) or entry.stays:
            continue
        if entry.type == "ct":
            drawn = any(inputs.get(other.name) for other in kind.inputs if other.on == entry.name)
            ct = scans[entry.name] = _read(job, entry, needed=drawn)
            if ct is not None and not given.startswith(SAMPLE_PREFIX):
                io.write_volume(Volume(ct.array, ct.geometry, ct.phase, ct.simulated), folder / entry.file)
        elif entry.type == "labels" and (grid := scans.get(entry.on)) is not None:
            io.write_labels(read_labels(job, entry.name, grid.geometry), folder / entry.file)
        elif entry.type == "region" and (grid := scans.get(entry.on)) is not None:
            painted = read_fed(job, grid.geometry)
            assert painted is not None  # a file was given
            write_region(painted, grid.geometry, folder / entry.file)
        elif entry.type == "segments" and (grid := scans.get(entry.on)) is not None:
            write_segments(read_segments(Path(given), grid.geometry), grid.geometry, folder / entry.file)
        elif entry.type == "clinical":
            given = Clinical.from_json(given).to_json()
        if entry.file and (folder / entry.file).exists():
            given = entry.file
            names.append(entry.file)
        sent[entry.name] = given
    files = tuple((FileEntry.of(folder / name), folder / name) for name in names)
    return Packed(replace(job, inputs=sent, out=sent_name(job)), files)


def sent_name(job: Job) -> str | None:
    """What a server calls the output of a job; None if it writes none.

    Raises:
        InputError: a kind of file that is not written.
    """
    output = kind_of(job.kind).output
    return output.name_for(job.out) if output is not None and job.out else None


def _read(job: Job, entry: Input, needed: bool) -> Volume | None:
    """A CT; that of a sample only if its grid is `needed`, since a server draws samples itself."""
    given = job.inputs[entry.name]
    if not given.startswith(SAMPLE_PREFIX):
        return read_ct(job, entry)
    if not needed:
        return None
    from MeWMLib.cohorts.samples import load_sample, load_treated

    name = given.removeprefix(SAMPLE_PREFIX)
    return load_treated(name).ct if entry.name == "post" else load_sample(name).ct


class Target:
    """The folder or file of one job on this computer.

    Raises:
        InputError: no folder was given, or a kind of file that is not written.
        OutputError: a file or folder is in the way.
    """

    def __init__(self, job: Job) -> None:
        kind = kind_of(job.kind)
        kind.check(job.inputs, job.out)
        #: What the server calls the output; None if nothing is written.
        self.name = sent_name(job)
        is_folder = kind.output is not None and kind.output.is_folder
        self.folder = PlanFolder(job.out).require_writable() if self.name and job.out and is_folder else None
        self.file = Path(job.out) if self.name and job.out and not is_folder else None
        #: Files that lie beside it, by what the server calls them.
        self.beside = kind.output.beside_of(self.file) if self.file is not None and kind.output is not None else {}
        case, labels = str(job.inputs.get("case") or ""), job.inputs.get("labels")
        self._case = "" if case.startswith(SAMPLE_PREFIX) else Path(case).name
        self._labels = Path(labels).name if labels else ""
        self._sent_labels = kind.files.get("labels", "")
        #: The server saw files that were written again: names and checksums are those of the files here.
        used = inputs_used(job)
        self._used = {key: {"name": one.name, "sha256": one.sha256} for key, one in used.items()}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other run from the output; at the end the folders that were made and stay empty are removed.

        Raises:
            OutputError: another run writes there.
        """
        out = self.folder.path if self.folder is not None else self.file
        if out is None:
            yield
            return
        with writing(out, None if self.folder is not None else self.beside.values()):
            try:
                yield
            finally:
                if self.folder is not None:
                    self.folder.leave()

    def named(self, data: dict[str, Any]) -> dict[str, Any]:
        """The result's data with the names that the files have here."""
        given = {"case": self._case, "file": self.file.name if self.file is not None else None}
        renamed: dict[str, Any] = {key: name for key, name in given.items() if name and key in data}
        labels = data.get("labels")
        if self._labels and isinstance(labels, dict) and isinstance(labels.get("note"), str):
            renamed["labels"] = {**labels, "note": labels["note"].replace(self._sent_labels, self._labels)}
        inputs = data.get("inputs")
        if isinstance(inputs, dict):
            renamed["inputs"] = {
                key: {**one, **self._used[key]} if key in self._used and isinstance(one, dict) else one
                for key, one in inputs.items()
            }
        return {**data, **renamed}

    @contextmanager
    def receive(self, name: str) -> Iterator[Path | None]:
        """Where a file from the server is to be written; None for a file that nobody wants. It is whole or absent.

        Raises:
            ServerError: it is called plan.json and is not a plan.
        """
        if self.folder is not None:
            with self.folder.receive(name) as path:
                yield path
                if name == PLAN:
                    try:
                        document = read_document(path)
                    except UnreadableFileError as error:
                        raise ServerError(
                            what="The server sent a plan that cannot be read", given=error.given[:120]
                        ) from error
                    write_sealed(self.named(document.to_json()), path)
        elif self.file is not None and name == self.name:
            with io.atomic_path(self.file) as path:
                yield path
                if path.name.endswith(".json"):
                    self._told_here(path)
        elif name in self.beside:
            with io.atomic_path(self.beside[name]) as path:
                yield path
        else:
            yield None

    def _told_here(self, path: Path) -> None:
        """Give a result and the files beside it the names that they have here.

        Raises:
            ServerError: it cannot be read.
        """
        try:
            data = read_sealed(path, "The result", "Run the job again")
        except UnreadableFileError as error:
            raise ServerError(what="The server sent a result that cannot be read", given=error.given[:120]) from error
        if isinstance(data, dict) and isinstance(data.get(FILES), dict):
            data.pop("sha256", None)
            sums = {self.beside[name].name if name in self.beside else name: one for name, one in data[FILES].items()}
            write_sealed({**self.named(data), FILES: sums}, path)
