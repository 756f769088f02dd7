"""The cases of an app: opened from files that a page sends, or from a sample; read by the one reader of MeWM."""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from MeWMLib.app.case import CHOOSING, OPEN, RECORD, SENDING, Case, Record, Sent, new_record
from MeWMLib.cohorts.samples import TREATED, load_sample
from MeWMLib.core import io
from MeWMLib.core.dicom.series import offered
from MeWMLib.core.errors import InputError, MeWMError, UnreadableFileError, UploadTooLargeError
from MeWMLib.core.volume import LIVER, LabelMap
from MeWMLib.jobs.inputs import read_ct
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.store import remove_tree
from MeWMLib.jobs.table import kind_of
from MeWMLib.perception import phase

#: Files of one case; a study of a liver has a few thousand slices at most.
MOST_FILES = 20_000
_LONGEST_NAME = 120


class Cases:
    """All cases of an app.

    Args:
        folder: in which each has a folder of its own.
        most_bytes: of the files of one case together.
    """

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self._folder, self._most = folder, most_bytes
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cases: dict[str, Case] = {}
        for path in sorted(folder.iterdir()):
            # a record that cannot be read stays where it is: it is the user's
            with contextlib.suppress(MeWMError):
                if (path / RECORD).is_file():
                    case = Case.load(path)
                    if case.record.state == SENDING:
                        # the page that sent it is gone with the app that it sent it to
                        remove_tree(path)
                    else:
                        self._cases[case.record.id] = case

    def all(self) -> list[Case]:
        """Cases of patients, the newest last."""
        found = [case for case in list(self._cases.values()) if not case.record.after_of]
        return sorted(found, key=lambda case: case.record.created)

    def get(self, case_id: str) -> Case:
        """The case of an id.

        Raises:
            InputError: there is none.
        """
        case = self._cases.get(case_id)
        if case is None:
            raise InputError(
                what="There is no such case in this app",
                given=repr(case_id)[:80],
                remedy="Open the CT again: cases go when the app ends, unless it was started with --data",
            )
        return case

    def announce(self, files: list[Sent], after_of: str = "") -> Case:
        """Make room for files that a page will send.

        Args:
            files: their names at the user's and sizes.
            after_of: id of the case whose CT after treatment this is.

        Raises:
            InputError: none, or too many.
            UploadTooLargeError: too large together.
        """
        if not files:
            raise InputError(
                what="No file was given", remedy="Drop a DICOM folder, or one file (.nii, .nii.gz, .nrrd, .mha)"
            )
        if len(files) > MOST_FILES:
            raise InputError(
                what="Too many files for one case",
                given=f"{len(files)}, at most {MOST_FILES}",
                remedy="Give the folder of the one study with the CT of the liver",
            )
        total = sum(one.bytes for one in files)
        if total > self._most or min(one.bytes for one in files) < 0:
            raise UploadTooLargeError(
                what="The files are too large together",
                given=f"{total / 1024**2:.0f} MB, at most {self._most / 1024**2:.0f} MB",
                remedy="Give the folder of the one series",
            )
        if after_of:
            self.get(after_of)
        name = _name_of(files)
        kept = tuple(Sent(one.name[-_LONGEST_NAME:], one.bytes) for one in files)
        return self._add(new_record(secrets.token_hex(8), name, files=kept, after_of=after_of))

    def open_sample(self, name: str) -> Case:
        """Open a sample, with its own outline.

        Raises:
            SampleError: there is none of this name, or it could not be fetched.
        """
        sample = load_sample(name)
        case = self._add(new_record(secrets.token_hex(8), f"Sample {name}", sample=name))
        case.open(sample.ct)
        case.set_labels(sample.labels, "expert")
        return case

    def _add(self, record: Record) -> Case:
        folder = self._folder / record.id
        folder.mkdir(mode=0o700)
        case = self._cases[record.id] = Case(folder, record)
        case.sent.mkdir(mode=0o700)
        case.change()
        return case

    def read(self, case: Case, series: str = "") -> Record:
        """Read what was sent; where there are several series and none was named, they become `Record.choices`.

        Raises:
            MeWMError: it cannot be used; see `core.io.read_volume`. The names in it are those of the user.
        """
        with case.reading:
            record = case.record
            if record.state == OPEN:
                return record
            for number, one in enumerate(record.files):
                path = case.sent_file(number)
                if not path.is_file() or path.stat().st_size != one.bytes:
                    raise InputError(what="A file is not there as a whole", given=one.name, remedy="Open the CT again")
            try:
                return self._read(case, series)
            except MeWMError as error:
                raise told(error, case) from error

    def _read(self, case: Case, series: str) -> Record:
        path = _what_to_read(case)
        if path.is_dir() and not series:
            listed, best = offered(path, lambda stack: phase.guess_phase(io.read_dicom_stack(stack)[0]))
            if len(listed) > 1:
                choices = tuple(
                    {
                        "key": one.key,
                        "title": one.first.description[:80] or f"Series {one.key}",
                        "slices": len(one.stack.slices),
                        "date": _shown_date(one.first.date),
                        "step_mm": round(one.step_mm, 2),
                        "phase": one.looks.phase if one.looks is not None else "unknown",
                        "trouble": one.trouble or one.stack.fault or one.stack.doubt,
                        "best": one.key == best,
                    }
                    for one in listed
                )
                return case.change(state=CHOOSING, choices=choices)
        inputs = {"case": str(path), **({"series": series} if series else {})}
        ct = read_ct(Job("segment", inputs, "labels.nrrd"), kind_of("segment").input("case"))
        return case.open(ct, series=series)

    def read_labels(self, case: Case, path: Path, name: str) -> Record:
        """Take the user's own labels, on the grid of the CT.

        Raises:
            MeWMError: see `core.io.read_labels`.
        """
        grid = case.grid.geometry
        notes: list[str] = []
        try:
            found = io.read_labels(path, grid, tumour_alone=True, notes=notes)
        except MeWMError as error:
            raise told(error, case, {path.name: name}) from error
        if not (found.array == LIVER).any():
            notes.append("The file holds tumour alone: the liver is found when a treatment is simulated.")
        return case.set_labels(LabelMap(found.array, grid), "file", " ".join(notes))

    def after(self, case: Case) -> Case | None:
        """The CT after treatment that was opened last for a case."""
        found = [one for one in list(self._cases.values()) if one.record.after_of == case.record.id]
        return max(found, key=lambda one: one.record.created, default=None)

    def treated_sample(self, case: Case) -> bool:
        """True for a sample that has a CT after treatment of its own."""
        return case.record.sample in TREATED

    def remove(self, case: Case) -> None:
        """Forget a case and remove its folder, with the CT after treatment."""
        for one in [case, *(c for c in list(self._cases.values()) if c.record.after_of == case.record.id)]:
            self._cases.pop(one.record.id, None)
            remove_tree(one.folder)


def _shown_date(date: str) -> str:
    """Such as 1998-03-20: two studies of a patient may look alike."""
    return f"{date[:4]}-{date[4:6]}-{date[6:8]}" if len(date) == 8 and date.isdigit() else ""


def _what_to_read(case: Case) -> Path:
    """The folder of what was sent, or the one image file in it.

    Raises:
        InputError: image files of which nobody knows which one is meant.
    """
    images = [n for n in range(len(case.record.files)) if case.sent_file(n).suffix]
    if not images:
        return case.sent
    if len(case.record.files) > 1:
        listed = ", ".join(case.record.files[n].name for n in images[:5])
        raise InputError(
            what="Several files were given, and one of them is an image by itself",
            given=listed,
            remedy="Give one NIfTI, NRRD or MetaImage file, or a folder of DICOM files",
        )
    return case.sent_file(images[0])


def _name_of(files: list[Sent]) -> str:
    """What a case is called: its file, or the folder that its files lie in."""
    first = files[0].name.replace("\\", "/").strip("/")
    name = first.split("/")[0] if "/" in first or len(files) > 1 else first
    return name[-_LONGEST_NAME:] or "CT"


def told(error: MeWMError, case: Case, more: dict[str, str] | None = None) -> MeWMError:
    """An error with the names that the user's files have, in place of those that they have here."""
    names = {case.sent_file(n).name: one.name for n, one in enumerate(case.record.files)}
    names |= more or {}

    def plain(text: str) -> str:
        for folder in (case.sent, case.folder):
            text = text.replace(f"{folder}/", "").replace(f"{folder}\\", "").replace(str(folder), case.record.name)
        for number, (here, theirs) in enumerate(names.items()):
            if number < MOST_FILES and here in text:
                text = text.replace(here, theirs)
        return text

    try:
        return type(error)(what=plain(error.what), given=plain(error.given), remedy=error.remedy)
    except TypeError:  # a class with arguments of its own
        return UnreadableFileError(what=plain(error.what), given=plain(error.given), remedy=error.remedy)
