"""The layout of a cohort on disk (docs/COHORTS.md): a manifest, a table, and a folder for each patient.

The layout does not say where patients come from: `lab/synthetic/write.py` fills it with drawn ones,
`cohorts/dicom_import.py` with real ones, of whom less is known.
"""

from __future__ import annotations

import contextlib
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import CohortError, InputError, UnreadableFileError, output_error
from MeWMLib.core.io import atomic_path, read_labels, read_volume, write_csv, write_json, write_labels, write_volume
from MeWMLib.core.records import read_json
from MeWMLib.core.tables import read_csv
from MeWMLib.core.volume import LabelMap, Volume

FORMAT = "mewm-cohort/1"
MANIFEST, TABLE, PATIENT = "cohort.json", "patients.csv", "patient.json"
PRE, PRE_LABELS, POST, POST_LABELS = "pre.nrrd", "pre_labels.seg.nrrd", "post.nrrd", "post_labels.seg.nrrd"
#: Forms in which an image may lie in a folder that MeWM did not write; the first is the one that it writes.
SCAN_FORMS = (".nrrd", ".nii.gz", ".nii", ".mha", ".mhd")
LABEL_FORMS = (".seg.nrrd", *SCAN_FORMS)
#: Which half of the tumour the treated artery fed, along the axis from front to back.
SIDES = ("whole", "front", "back")


@dataclass(frozen=True)
class PatientRow:
    """One row of the table. What is not known is None, an empty cell in the file.

    Attributes:
        id: opaque; also the name of the patient's folder.
        protocol: what was given, as `Protocol.text`; "" if it is not known.
        months, event: survival, and whether death was seen.
        phase: contrast phase of the scan before, and of the one after unless `phase_after` says another.
        seed: of a synthetic patient, from which everything follows.
        tumour_type, perfusion: traits of a synthetic tumour.
        true_log_risk: of the given protocol by the synthetic world's law.
        diameter_before_mm, diameter_after_mm: longest axial diameter of the target tumour.
        viable_before_mm, viable_after_mm: the same of its viable part.
        phase_after: contrast phase of the scan after treatment.
        interval_days: from the scan before to the scan after.
        has_after: False where there is no scan after treatment.
        registered: whether a place in the scan after is the same place of the patient in the scan before.
        weeks: from treatment to the scan after.
        side: of `SIDES`, what the treated artery fed.
        person: whose session this is, where a person has several; the id where it is left out.
        judging: True for a patient by whom results are judged, who is never trained on.
    """

    id: str
    protocol: str
    months: float | None
    event: bool | None
    phase: str = "unknown"
    seed: int | None = None
    tumour_type: str | None = None
    perfusion: float | None = None
    true_log_risk: float | None = None
    diameter_before_mm: float | None = None
    diameter_after_mm: float | None = None
    viable_before_mm: float | None = None
    viable_after_mm: float | None = None
    phase_after: str | None = None
    interval_days: float | None = None
    has_after: bool | None = None
    registered: bool | None = None
    weeks: float | None = None
    side: str | None = None
    person: str | None = None
    judging: bool | None = None

    @property
    def whose(self) -> str:
        """The person, who is on one side of every split."""
        return self.person or self.id

    def cells(self) -> dict[str, str]:
        """Text of each column."""
        return {name: _cell(value) for name, value in asdict(self).items()}

    @classmethod
    def of_cells(cls, cells: Mapping[str, str]) -> PatientRow:
        """Read a row; columns that are not known here are ignored.

        Raises:
            ValueError, KeyError: a cell cannot be read, or a column that every cohort has is missing.
        """
        name = cells["id"]
        if not name or Path(name).name != name or name.startswith("."):
            message = f"{name!r} is not the name of a folder"
            raise ValueError(message)
        values: dict[str, Any] = {"protocol": cells["protocol"], "months": None, "event": None}
        for column in fields(cls):
            cell = cells[column.name] if column.name in values else cells.get(column.name)
            if cell:
                try:
                    values[column.name] = _READERS[str(column.type).removesuffix(" | None")](cell)
                except ValueError as error:
                    message = f"{column.name}: {error}"
                    raise ValueError(message) from error
        if values.get("side", SIDES[0]) not in SIDES:
            message = f"side: {values['side']!r} is not one of {', '.join(SIDES)}"
            raise ValueError(message)
        return cls(**values)


def _flag(cell: str) -> bool:
    if cell not in ("0", "1"):
        message = f"{cell!r} is not 0 or 1"
        raise ValueError(message)
    return cell == "1"


def _finite(cell: str) -> float:
    value = float(cell)
    if not math.isfinite(value):
        message = f"{cell!r} is not a finite number"
        raise ValueError(message)
    return value


#: Type of a column to what reads its cells.
_READERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": _finite, "bool": _flag}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, eq=False)
class CohortCase:
    """Images of one patient; None where a real patient lacks them (a synthetic one has all)."""

    before: Volume
    before_labels: LabelMap | None
    after: Volume | None
    after_labels: LabelMap | None


@dataclass(frozen=True, eq=False)
class Cohort:
    """A whole cohort on disk.

    Attributes:
        folder: where it is.
        manifest: what `cohort.json` says.
        rows: the table.
    """

    folder: Path
    manifest: Mapping[str, Any]
    rows: tuple[PatientRow, ...]

    @classmethod
    def read(cls, folder: Path) -> Cohort:
        """Read manifest and table; images are read by `case`.

        Raises:
            CohortError: not a cohort, another format, or not finished.
            UnreadableFileError: a broken table.
        """
        manifest = read_manifest(folder)
        if not manifest.get("complete"):
            raise CohortError(
                what="The cohort is not finished", given=str(folder), remedy="Run the command that writes it once more"
            )
        return cls(Path(folder), manifest, read_table(folder))

    @property
    def synthetic(self) -> bool:
        """True if its patients were drawn."""
        return bool(self.manifest.get("synthetic"))

    def row(self, patient: str) -> PatientRow:
        """Row of a patient.

        Raises:
            CohortError: the cohort holds no such patient.
        """
        if row := next((row for row in self.rows if row.id == patient), None):
            return row
        raise CohortError(
            what="The cohort holds no such patient",
            given=f"{patient} in {self.folder}",
            remedy=f"The column id of {TABLE} names its {len(self.rows)} patients",
        )

    def case(self, patient: str) -> CohortCase:
        """Read the images of a patient. Real patients may lack labels, and the scan after if their row says so.

        Raises:
            CohortError: the cohort holds no such patient.
            InputError: an image cannot be read (see `core.io`).
        """
        before = read_volume(self.file(patient, PRE) or self.folder / patient / PRE)
        path = self.file(patient, POST)
        after = None if path is None else read_volume(path)
        return CohortCase(
            before,
            self._labels(patient, PRE_LABELS, before),
            after,
            None if after is None else self._labels(patient, POST_LABELS, after),
        )

    def file(self, patient: str, name: str) -> Path | None:
        """Where an image of a patient is: in the form that MeWM writes, or as NIfTI or MetaImage of the same name.

        None where a real patient lacks it; a synthetic one has all, so that the path is that of a file to be read.

        Args:
            patient: of the table.
            name: `PRE`, `PRE_LABELS`, `POST` or `POST_LABELS`.

        Raises:
            CohortError: the cohort holds no such patient, the file is there in two forms, or the table says that there
                is a scan after treatment and there is none.
        """
        row, folder = self.row(patient), self.folder / patient
        if name in (POST, POST_LABELS) and row.has_after is False:
            return None
        found = image_of(folder, name)
        if found is None and name == POST and row.has_after:
            raise CohortError(
                what="The table says that there is a scan after treatment, and there is none",
                given=str(folder / POST),
                remedy=f"Add the file, or write 0 into the column has_after of {TABLE}",
            )
        return found or (folder / name if self.synthetic else None)

    def _labels(self, patient: str, name: str, ct: Volume) -> LabelMap | None:
        path = self.file(patient, name)
        return None if path is None else read_labels(path, ct.geometry, tumour_alone=True)


def image_of(folder: Path, name: str) -> Path | None:
    """An image in a patient's folder, in whichever form it lies there; None where it does not.

    Args:
        folder: of the patient.
        name: `PRE`, `PRE_LABELS`, `POST`, `POST_LABELS`, or another such name of a scan or of labels.

    Raises:
        CohortError: the image is there in two forms.
    """
    forms = LABEL_FORMS if name.endswith(LABEL_FORMS[0]) else SCAN_FORMS
    stem = name.removesuffix(forms[0])
    found = [path for form in forms if (path := folder / f"{stem}{form}").is_file()]
    if len(found) > 1:
        raise CohortError(
            what="An image of a patient is there twice, so that it is not clear which one counts",
            given=f"{', '.join(path.name for path in found)} of {folder.name}",
            remedy="Keep one of them",
        )
    return found[0] if found else None


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `cohort.json`.

    Raises:
        CohortError: there is none, or it is of another format.
    """
    path = Path(folder) / MANIFEST
    remedy = "Give the folder that `mewm cohort synthesize` or `mewm cohort import` wrote"
    manifest: dict[str, Any] = read_json(path, "The cohort", CohortError, remedy, require={"format": str})
    if manifest["format"] != FORMAT:
        raise CohortError(
            what="The cohort is of another format", given=f"{path}: {manifest['format']}", remedy=f"Give {FORMAT}"
        )
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write `cohort.json`; the format is added.

    Raises:
        OutputError: it cannot be written.
    """
    write_json({"format": FORMAT, **manifest}, Path(folder) / MANIFEST)


def read_table(folder: Path) -> tuple[PatientRow, ...]:
    """Read `patients.csv`.

    Raises:
        UnreadableFileError: missing or broken.
    """
    path = Path(folder) / TABLE
    try:
        table = read_csv(path, "The table of the cohort")
        rows = tuple(PatientRow.of_cells(dict(zip(row.places, row.cells, strict=True))) for row in table.rows())
        if len({row.id for row in rows}) < len(rows):
            raise ValueError("a patient is in it twice")  # noqa: EM101, TRY301
        return rows
    except (InputError, ValueError, KeyError) as error:
        raise UnreadableFileError(
            what="The table of the cohort cannot be read",
            given=f"{path} ({type(error).__name__}: {error})",
            remedy="Write the cohort again",
        ) from error


def write_table(folder: Path, rows: Iterable[PatientRow]) -> None:
    """Write `patients.csv`.

    Raises:
        OutputError: it cannot be written.
    """
    write_csv([f.name for f in fields(PatientRow)], (row.cells() for row in rows), Path(folder) / TABLE)


def write_patient(
    folder: Path,
    row: PatientRow,
    case: CohortCase,
    more: Mapping[str, Any] | None = None,
    volumes: Mapping[str, Volume | LabelMap] | None = None,
    files: Mapping[str, bytes] | None = None,
    replace: bool = False,
) -> None:
    """Write the folder of one patient: whole or not at all.

    Args:
        folder: of the cohort.
        row: kept in `patient.json` as well, so that the table can be made from the folders.
        case: the images.
        more: further content of `patient.json`.
        volumes, files: further content of the folder, by file name.
        replace: a patient who is there already is replaced.

    Raises:
        OutputError: it cannot be written.
    """
    final, part = Path(folder) / row.id, Path(folder) / f".part-{row.id}"
    images = {PRE: case.before, PRE_LABELS: case.before_labels, POST: case.after, POST_LABELS: case.after_labels}
    try:
        shutil.rmtree(part, ignore_errors=True)
        for name, image in {**images, **(volumes or {})}.items():
            if isinstance(image, Volume):
                write_volume(image, part / name)
            elif image is not None:
                write_labels(image, part / name)
        for name, content in (files or {}).items():
            with atomic_path(part / name) as temporary:
                temporary.write_bytes(content)
        write_json({"row": row.cells(), **(more or {})}, part / PATIENT)
        if replace and final.exists():
            shutil.rmtree(final)
        part.rename(final)
    except OSError as error:
        raise output_error(error, final) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_patient(folder: Path, patient: str) -> dict[str, Any] | None:
    """What `patient.json` says of a patient whose folder was written to its end; None if it was not."""
    with contextlib.suppress(CohortError):
        stored: dict[str, Any] = read_json(Path(folder) / patient / PATIENT, error=CohortError, require={"row": dict})
        return stored
    return None


def finished_row(folder: Path, patient: str) -> PatientRow | None:
    """Row of a patient whose folder was written to its end; None if it was not."""
    stored = read_patient(folder, patient)
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return PatientRow.of_cells(stored["row"]) if stored else None
    return None


def finished_rows(folder: Path) -> list[PatientRow]:
    """Rows of all patients whose folders were written to their ends, by id."""
    names = sorted(p.name for p in Path(folder).iterdir() if p.is_dir() and not p.name.startswith("."))
    return [row for name in names if (row := finished_row(folder, name)) is not None and row.id == name]
