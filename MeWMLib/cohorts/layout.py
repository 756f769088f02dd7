"""The layout of a cohort on disk (docs/COHORTS.md): a manifest, a table, and a folder for each patient.

The layout says nothing of where patients come from; `cohorts/synthetic/write.py` fills it with drawn ones.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import CohortError, UnreadableFileError, output_error
from MeWMLib.core.io import atomic_path, read_labels, read_volume, write_json, write_labels, write_volume
from MeWMLib.core.volume import LabelMap, Volume

FORMAT = "mewm-cohort/1"
MANIFEST, TABLE, PATIENT = "cohort.json", "patients.csv", "patient.json"
PRE, PRE_LABELS, POST, POST_LABELS = "pre.nrrd", "pre_labels.seg.nrrd", "post.nrrd", "post_labels.seg.nrrd"


@dataclass(frozen=True)
class PatientRow:
    """One row of the table. What is not known is None and stands as an empty cell.

    Attributes:
        id: opaque; also the name of the patient's folder.
        protocol: what was given, as `Protocol.text`.
        months, event: survival, and whether death was seen.
        phase: contrast phase of both scans.
        seed: of a synthetic patient, from which everything follows.
        tumour_type, perfusion: traits of a synthetic tumour.
        true_log_risk: of the given protocol by the synthetic world's law.
        diameter_before_mm, diameter_after_mm: longest axial diameter of the target tumour.
        viable_before_mm, viable_after_mm: the same of its living part.
    """

    id: str
    protocol: str
    months: float
    event: bool
    phase: str = "unknown"
    seed: int | None = None
    tumour_type: str | None = None
    perfusion: float | None = None
    true_log_risk: float | None = None
    diameter_before_mm: float | None = None
    diameter_after_mm: float | None = None
    viable_before_mm: float | None = None
    viable_after_mm: float | None = None

    def cells(self) -> dict[str, str]:
        """Text of each column."""
        return {name: _cell(value) for name, value in asdict(self).items()}

    @classmethod
    def of_cells(cls, cells: Mapping[str, str]) -> PatientRow:
        """Read a row; columns that are not known here are left out.

        Raises:
            ValueError, KeyError: a cell cannot be read, or a column that every cohort has is missing.
        """
        name = cells["id"]
        if not name or Path(name).name != name or name.startswith("."):
            message = f"{name!r} is no name of a folder"
            raise ValueError(message)
        if cells["event"] not in ("0", "1"):
            message = f"event is {cells['event']!r}, not 0 or 1"
            raise ValueError(message)
        seed = cells.get("seed")
        numbers = {n: float(cells[n]) for n in _NUMBERS if cells.get(n)}
        return cls(
            id=name,
            protocol=cells["protocol"],
            months=float(cells["months"]),
            event=cells["event"] == "1",
            seed=int(seed) if seed else None,
            phase=cells.get("phase") or "unknown",
            tumour_type=cells.get("tumour_type") or None,
            **numbers,
        )


_NUMBERS = {
    *("perfusion", "true_log_risk", "diameter_before_mm", "diameter_after_mm"),
    *("viable_before_mm", "viable_after_mm"),
}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, eq=False)
class CohortCase:
    """Images of one patient."""

    before: Volume
    before_labels: LabelMap
    after: Volume
    after_labels: LabelMap


@dataclass(frozen=True, eq=False)
class Cohort:
    """A whole cohort on disk.

    Attributes:
        folder: where it lies.
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
            CohortError: no cohort, another format, or not finished.
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
        for row in self.rows:
            if row.id == patient:
                return row
        raise CohortError(
            what="The cohort holds no such patient",
            given=f"{patient} in {self.folder}",
            remedy=f"The column id of {TABLE} names its {len(self.rows)} patients",
        )

    def case(self, patient: str) -> CohortCase:
        """Read the images of a patient.

        Raises:
            CohortError: the cohort holds no such patient.
            InputError: an image cannot be read (see `core.io`).
        """
        folder = self.folder / self.row(patient).id
        before, after = read_volume(folder / PRE), read_volume(folder / POST)
        return CohortCase(
            before,
            read_labels(folder / PRE_LABELS, before.geometry),
            after,
            read_labels(folder / POST_LABELS, after.geometry),
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `cohort.json`.

    Raises:
        CohortError: there is none, or it is of another format.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CohortError(
            what="The folder holds no cohort",
            given=f"{path} ({error})",
            remedy="Give the folder that `mewm cohort synthesize` wrote",
        ) from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        given = manifest.get("format") if isinstance(manifest, dict) else type(manifest).__name__
        raise CohortError(what="The cohort is of another format", given=f"{path}: {given}", remedy=f"Give {FORMAT}")
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
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(PatientRow.of_cells(cells) for cells in csv.DictReader(file))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnreadableFileError(
            what="The table of the cohort cannot be read",
            given=f"{path} ({type(error).__name__}: {error})",
            remedy="Write the cohort anew",
        ) from error


def write_table(folder: Path, rows: Iterable[PatientRow]) -> None:
    """Write `patients.csv`.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_path(Path(folder) / TABLE) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(PatientRow)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(row.cells() for row in rows)


def write_patient(folder: Path, row: PatientRow, case: CohortCase, more: Mapping[str, Any] | None = None) -> None:
    """Write the folder of one patient: whole or not at all.

    Args:
        folder: of the cohort.
        row: kept in `patient.json` as well, so that the table can be made from the folders.
        case: the images.
        more: what else `patient.json` shall hold.

    Raises:
        OutputError: it cannot be written.
    """
    final, part = Path(folder) / row.id, Path(folder) / f".part-{row.id}"
    try:
        shutil.rmtree(part, ignore_errors=True)
        write_volume(case.before, part / PRE)
        write_labels(case.before_labels, part / PRE_LABELS)
        write_volume(case.after, part / POST)
        write_labels(case.after_labels, part / POST_LABELS)
        write_json({"row": row.cells(), **(more or {})}, part / PATIENT)
        part.rename(final)
    except OSError as error:
        raise output_error(error, final) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def finished_row(folder: Path, patient: str) -> PatientRow | None:
    """Row of a patient whose folder was written to its end; None if it was not."""
    try:
        stored = json.loads((Path(folder) / patient / PATIENT).read_text(encoding="utf-8"))
        return PatientRow.of_cells(stored["row"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
