"""Studies out of a PACS, and exports into it: whole, or said what is missing; a second try completes the first."""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.dicom.headers import is_dicom
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.errors import MeWMError, OutputError, PacsError, PacsRefusedError, UnreadableFileError, output_error
from MeWMLib.core.io import atomic_path
from MeWMLib.exchange.address import PacsAddress
from MeWMLib.exchange.fingerprint import fingerprint
from MeWMLib.exchange.pacs import FAILED, SENT, THERE, Instance, Outgoing, Pacs, Status
from MeWMLib.exchange.verify import verify_export

#: Names of failures that one error lists.
_LISTED = 5
_AGAIN = "Run the same command again: it goes on with what is missing"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Pushed:
    """What became of every object of an export."""

    statuses: tuple[Status, ...]
    study: str
    new_study: bool

    def count(self, state: str) -> int:
        """How many objects have a state."""
        return sum(one.state == state for one in self.statuses)

    @property
    def text(self) -> str:
        """In one line."""
        there = f", {self.count(THERE)} were there already" if self.count(THERE) else ""
        new = "; the PACS had no study of this UID before" if self.new_study else ""
        return f"{self.count(SENT)} objects were sent{there}{new}"


def pull(pacs: Pacs, address: PacsAddress, target: Path, only: str = "", progress: Progress = lambda *_: None) -> int:
    """Fetch a study or a series into a folder.

    What has arrived is kept beside the folder until all of it has, so that a second call goes on.

    Args:
        pacs: the client.
        address: names the study.
        target: a new or empty folder.
        only: a modality, such as "CT"; "" fetches all.
        progress: called with how many objects are there, of how many, and a text.

    Returns:
        The number of objects.

    Raises:
        PacsError: the study is not there, or not all of it came.
        OutputError: the folder is not empty or cannot be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise OutputError(what="The folder is not empty", given=str(target), remedy="Give another one with --out")
    wanted = [one for one in pacs.instances(address.study, address.series) if not only or one.modality == only]
    if not wanted:
        raise PacsError(
            what=f"The PACS holds no {only or 'object'} of this {'series' if address.series else 'study'}",
            given=address.series or address.study,
            remedy="Check the UID",
        )
    part = target.with_name(f".{target.name}.part")
    with _writing(target):
        part.mkdir(parents=True, exist_ok=True)
        missing = [one for one in wanted if not _file(part, one.sop).is_file()]
        done = len(wanted) - len(missing)
        progress(done, len(wanted), "")
        names = {one.sop for one in missing}
        for data in pacs.fetch(address.study, missing):
            sop = str(data.get("SOPInstanceUID", ""))
            if sop not in names or str(data.get("StudyInstanceUID", "")) != address.study:
                raise PacsError(
                    what="The PACS sends another object than the one that was asked for",
                    given=sop[:64],
                    remedy="Ask who runs it",
                )
            _save(data, _file(part, sop))
            done += 1
            progress(done, len(wanted), sop)
        lost = [one for one in wanted if not _file(part, one.sop).is_file()]
        if lost:
            raise PacsError(
                what=f"{len(lost)} of {len(wanted)} objects did not come",
                given=", ".join(one.sop for one in lost[:_LISTED]),
                remedy=_AGAIN,
            )
        _drop_others(part, wanted)
        if target.is_dir():
            target.rmdir()
        part.replace(target)
    return len(wanted)


def _file(folder: Path, sop: str) -> Path:
    return folder / f"{sop}.dcm"


def _drop_others(part: Path, wanted: list[Instance]) -> None:
    """Delete what an earlier, other request left."""
    keep = {_file(part, one.sop).name for one in wanted}
    for path in part.iterdir():
        if path.name not in keep:
            path.unlink()


def _save(data: Any, path: Path) -> None:
    data.preamble = b"\0" * 128
    with warnings.catch_warnings(), atomic_path(path) as temporary:
        warnings.simplefilter("ignore")
        data.save_as(temporary, enforce_file_format=True)


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise output_error(error, target) from error


def push(pacs: Pacs, folder: Path, progress: Progress = lambda *_: None) -> Pushed:
    """Send an export to a PACS.

    The export is verified first. Objects that the PACS has already are left out if they are the same; at the end the
    PACS is asked again for every one.

    Args:
        pacs: the client.
        folder: of `mewm export`.
        progress: called with how many objects are done, of how many, and a text.

    Raises:
        UnreadableFileError: the export is not as it was written.
        PacsRefusedError: objects were refused; the error says how many, which and why.
        PacsUnreachableError: the connection was lost; the error says how many had arrived.
        PacsError: the PACS holds another object under the UID of one of these, or lost one.
    """
    verified = verify_export(folder)
    files = [one for one in outgoing(folder) if one.study == verified.study]
    held = {one.sop: one for one in pacs.instances(verified.study)}
    statuses: list[Status] = []

    def note(status: Status) -> None:
        statuses.append(status)
        progress(len(statuses), len(files), f"{status.file}: {status.state}")

    there = [one for one in files if one.sop in held]
    _require_same(pacs, verified.study, there, held)
    for one in there:
        note(Status(one.sop, one.path.name, THERE))
    try:
        pacs.store([one for one in files if one.sop not in held], note)
    except MeWMError as error:
        arrived = sum(one.state != FAILED for one in statuses)
        left = len(files) - arrived
        raise type(error)(
            error.what, given=f"{error.given}; {arrived} of {len(files)} objects are there, {left} are not",
            remedy=_AGAIN,
        ) from error  # fmt: skip
    failed = [one for one in statuses if one.state == FAILED]
    if failed:
        why = "; ".join(dict.fromkeys(one.reason for one in failed))
        raise PacsRefusedError(
            what=f"The PACS has refused {len(failed)} of {len(files)} objects: {why}",
            given=", ".join(one.file for one in failed[:_LISTED]) + (" ..." if len(failed) > _LISTED else ""),
            remedy=f"The others are there. {_AGAIN}",
        )
    now = {one.sop for one in pacs.instances(verified.study)}
    lost = [one.path.name for one in files if one.sop not in now]
    if lost:
        raise PacsError(
            what=f"The PACS says that it has stored {len(files)} objects, and {len(lost)} of them are not found there",
            given=", ".join(lost[:_LISTED]),
            remedy=_AGAIN,
        )
    return Pushed(tuple(statuses), verified.study, not held)


def _require_same(pacs: Pacs, study: str, files: list[Outgoing], held: dict[str, Instance]) -> None:
    """Raise if the PACS holds something else under the UID of a file: it would keep that and report success."""
    pydicom = package("pydicom")
    mine = {one.sop: one for one in files}
    for data in pacs.fetch(study, [held[one.sop] for one in files]):
        one = mine.get(str(data.SOPInstanceUID))
        if one is not None and fingerprint(data) != fingerprint(pydicom.dcmread(one.path)):
            raise PacsError(
                what="The PACS already holds another object under the UID of this one, and would keep that",
                given=one.path.name,
                remedy="Export the plan again: every export has new UIDs",
            )


def outgoing(folder: Path) -> list[Outgoing]:
    """The DICOM files of a folder, in the order of their names.

    Raises:
        UnreadableFileError: a file cannot be read.
    """
    pydicom = package("pydicom")
    found = []
    tags = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                continue
        try:
            data = pydicom.dcmread(path, specific_tags=tags, stop_before_pixels=True)
            found.append(
                Outgoing(
                    path, str(data.StudyInstanceUID), str(data.SeriesInstanceUID), str(data.SOPInstanceUID),
                    str(data.SOPClassUID), str(data.file_meta.TransferSyntaxUID), path.stat().st_size,
                )
            )  # fmt: skip
        except Exception as error:  # pydicom raises whatever a broken value makes it raise
            raise UnreadableFileError(
                what="A DICOM file cannot be read", given=str(path), remedy="Export the plan again"
            ) from error
    return found
