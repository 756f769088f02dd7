"""Import a folder of DICOM files into a cohort: `mewm cohort import DIR --layout tcia|folder`.

Nothing is ever written into the folder that is read. A patient is written whole or not at all, so that an import that
was killed goes on where it stopped; a patient whose files and settings did not change is not read again.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import MeWMLib
from MeWMLib.cohorts import clinical_table, hcc_tace
from MeWMLib.cohorts.clinical_table import ClinicalRecord, ClinicalTable
from MeWMLib.cohorts.dicom_patient import GRIDS, NoScanError, import_patient, reason_of
from MeWMLib.cohorts.identity import PUBLIC_KEY, Identity, is_judged, load_key
from MeWMLib.cohorts.layout import (
    MANIFEST,
    Cohort,
    finished_rows,
    read_manifest,
    read_patient,
    write_manifest,
    write_patient,
    write_table,
)
from MeWMLib.cohorts.quality_page import THUMBNAIL, thumbnail, write_quality_page
from MeWMLib.core.dicom.records import BadFile, DicomObject
from MeWMLib.core.dicom.scan import Scan, scan
from MeWMLib.core.dicom.stacks import LeftOut
from MeWMLib.core.errors import CohortError, InputError, MeWMError, OutputError
from MeWMLib.core.records import from_plain

#: Layouts of folders to what reads their clinical tables.
_TABLES = {"tcia": hcc_tace.read_table, "folder": clinical_table.read_table}
LAYOUTS = tuple(_TABLES)
#: Increased when the import itself changes, so that patients of an older one are read again.
VERSION = 3
NOTICE = "Real patients. Research use only; keep this folder under the rules that apply to their images."
IDS = {
    "tcia": "ids of the public collection",
    "folder": "p + 16 hex digits of HMAC-SHA256 over folder name and PatientID; the key is kept outside of the cohort",
}


@dataclass(frozen=True)
class ImportSettings:
    """How to import.

    Attributes:
        layout: "tcia" is a public, de-identified collection, where PatientID names the patient; "folder" has a folder
            for each patient, and ids are made.
        grid: "cohort" (0.8 x 0.8 x 3.0 mm) or "native" (the scanner's).
        all_phases: keep every phase of both dates.
        clinical: table as CSV; of HCC-TACE-Seg in the layout tcia, else as `clinical_table.read_table` has it.
        key_file: key of the ids.

    Raises:
        InputError: an unknown layout or grid.
    """

    layout: str = "folder"
    grid: str = "cohort"
    all_phases: bool = False
    clinical: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        for name, value, known in (("layout", self.layout, LAYOUTS), ("grid", self.grid, GRIDS)):
            if value not in known:
                raise InputError(what=f"There is no such {name}", given=value, remedy="Use " + " or ".join(known))


#: Told the patient, what was left out, and where that is, for the user's own eyes.
LeaveOut = Callable[[str, LeftOut, str], None]


@dataclass(frozen=True)
class _Group:
    """Files of one patient."""

    id: str
    folder: str
    files: list[DicomObject]


def import_cohort(
    root: Path,
    out: Path,
    settings: ImportSettings,
    on_step: Callable[[str, int, int], None] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Cohort:
    """Import a folder.

    Args:
        root: read only.
        out: new, empty, or of an earlier import with the same layout; patients of other folders stay in it.
        settings: how.
        on_step: called with the stage ("headers", "patients"), how many are done, and how many there are (0: unknown).
        on_line: called with one sentence on each thing that was left out, for the user's own eyes (it may hold paths).

    Raises:
        CohortError: `out` holds something else, or no patient at all could be imported.
        InputError: the folder or the clinical table cannot be read.
        OutputError: the cohort cannot be written.
        DependencyError: the packages of the extra `import` are missing.
    """
    step, say = on_step or (lambda stage, done, total: None), on_line or (lambda text: None)
    root, out = Path(root), Path(out)
    before = _earlier(out, settings)
    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise CohortError(
            what="The cohort would lie inside the folder that is read", given=str(out), remedy="Give another --out"
        )
    public = settings.layout == "tcia"
    identity = Identity(PUBLIC_KEY if public else load_key(settings.key_file), public)
    table = _TABLES[settings.layout](settings.clinical) if settings.clinical else None
    found = scan(root, lambda n: step("headers", n, 0))
    left_out: list[dict[str, str]] = []

    def leave_out(patient: str, line: LeftOut, where: str = "") -> None:
        left_out.append({"patient": patient, **asdict(line)})
        say(f"{where or patient or 'import'}: {line.what}: {line.reason}")

    for bad in found.bad:
        leave_out(*_bad_line(bad, identity, root))
    groups = _patients(found.objects, identity, root, leave_out)
    records = _records(groups, table, public)
    notes = _table_notes(groups, table, public, say)
    manifest = {**_manifest(settings, len(found.documents), len(found.other)), "clinical_notes": notes}
    write_manifest(out, {**manifest, "complete": False})
    for n, group in enumerate(groups):
        step("patients", n, len(groups))
        record = records.get(group.id)
        mark = _fingerprint(group, record, settings, identity)
        stored = read_patient(out, group.id)
        kept = _kept(stored, mark)
        if kept is None:
            kept = _import_one(group, record, settings, mark, out, found)
        for line in kept:
            leave_out(group.id, line, group.id if public else f"{group.id} ({group.folder or '.'})")
    step("patients", len(groups), len(groups))
    rows = finished_rows(out)
    if not rows:
        raise CohortError(
            what="No patient could be imported",
            given=f"{len(found.objects)} DICOM images, {len(left_out)} reasons",
            remedy="See the lines above; a patient needs an axial CT of the liver before treatment",
        )
    mine = {group.id for group in groups}
    older = [one for one in before.get("left_out", []) if one.get("patient") and one["patient"] not in mine]
    write_table(out, rows)
    write_quality_page(out, rows, [*older, *left_out], notes)
    write_manifest(out, {**manifest, "patients": len(rows), "left_out": [*older, *left_out], "complete": True})
    return Cohort.read(out)


@dataclass(frozen=True)
class _Stored:
    """What an import left in `patient.json`."""

    source: str
    left_out: tuple[LeftOut, ...]


def _kept(stored: dict[str, Any] | None, mark: str) -> list[LeftOut] | None:
    """What was left out of a patient who need not be read again; None of one who must."""
    try:
        found = from_plain(_Stored, (stored or {}).get("import"), strict=False)
    except MeWMError:
        return None
    return list(found.left_out) if found.source == mark else None


def _key(group: _Group, public: bool) -> str:
    """What the clinical table calls a patient."""
    return group.id if public else group.folder


def _records(groups: Sequence[_Group], table: ClinicalTable | None, public: bool) -> dict[str, ClinicalRecord]:
    """What the table says of each patient, by id; one who is not in it has a note that says so."""
    if table is None:
        return {}
    absent = ClinicalRecord(notes=("the clinical table has no row of this patient: survival is not known",))
    return {group.id: table.get(_key(group, public), absent) for group in groups}


def _table_notes(
    groups: Sequence[_Group], table: ClinicalTable | None, public: bool, say: Callable[[str], None]
) -> list[str]:
    """What has to be said once of the table. Its names of patients are for the user's own eyes only."""
    if table is None:
        return []
    notes = list(table.notes)
    for note in notes:
        say(f"clinical table: {note}")
    here = {_key(group, public) for group in groups}
    if absent := [name for name in table if name not in here]:
        say(f"clinical table: patients without images: {', '.join(absent[:20])}{', ...' * (len(absent) > 20)}")
        notes.append(f"rows of {len(absent)} of its {len(table)} patients belong to no images that were found")
    if missing := sum(_key(group, public) not in table for group in groups):
        notes.append(f"{missing} of {len(groups)} patients with images have no row in it")
        say(f"clinical table: {notes[-1]}")
    return notes


def _import_one(
    group: _Group, record: ClinicalRecord | None, settings: ImportSettings, mark: str, out: Path, around: Scan
) -> list[LeftOut]:
    """Read and write one patient; returns what was left out."""
    try:
        found = import_patient(group.id, group.files, record, settings.grid, settings.all_phases, around)
    except NoScanError as error:
        return [*error.lines, LeftOut("the patient", error.what)]
    except OutputError:
        raise
    except Exception as error:  # a patient that breaks the reader does not end the import
        return [LeftOut("the patient", reason_of(error))]
    row = replace(found.row, judging=True) if is_judged(group.folder) else found.row
    found.more["import"] = {"source": mark, **found.more["import"]}
    files = {THUMBNAIL: thumbnail(found.case, found.centres)}
    write_patient(out, row, found.case, found.more, found.volumes, files, replace=True)
    return found.left_out


def _earlier(out: Path, settings: ImportSettings) -> dict[str, Any]:
    """Manifest of an earlier import into the same folder; empty if there is none.

    Raises:
        CohortError: the folder holds something else.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return {}
    if not (out / MANIFEST).is_file():
        raise CohortError(
            what="The folder holds something other than a cohort", given=str(out), remedy="Give a new folder with --out"
        )
    before = read_manifest(out)
    if before.get("synthetic") or before.get("layout") != settings.layout:
        raise CohortError(
            what="The folder holds another cohort",
            given=f"{out}, {'synthetic' if before.get('synthetic') else before.get('layout')}",
            remedy="Give a new folder with --out",
        )
    return before


def _bad_line(bad: BadFile, identity: Identity, root: Path) -> tuple[str, LeftOut, str]:
    where = str(bad.path.relative_to(root)).encode("utf-8", "backslashreplace").decode()
    if identity.public:
        return "", LeftOut(where, bad.reason), where
    return identity.patient(_folder(bad.path, root), ""), LeftOut("a file", bad.reason), where


def _folder(path: Path, root: Path) -> str:
    """The patient's folder: the sub-folder of `root` that a file lies in, "" for one that lies in none."""
    parts = path.relative_to(root).parts
    return parts[0] if len(parts) > 1 or path.is_dir() else ""


def _patients(files: Sequence[DicomObject], identity: Identity, root: Path, leave_out: LeaveOut) -> list[_Group]:
    """Files by patient; what has to be said about them goes to `leave_out`."""
    groups: dict[str, _Group] = {}
    placed = [(one, _folder(one.header.path, root)) for one in files]
    for one, folder, patient in (_public_ids if identity.public else _own_ids)(placed, identity, leave_out):
        groups.setdefault(patient, _Group(patient, folder, [])).files.append(one)
    return [groups[patient] for patient in sorted(groups)]


#: Files with the patient's folder that they lie in.
_Placed = Sequence[tuple[DicomObject, str]]


def _public_ids(files: _Placed, identity: Identity, leave_out: LeaveOut) -> Iterator[tuple[DicomObject, str, str]]:
    """Files and their patients in a public collection, without those that still name a person."""
    named: Counter[str] = Counter()
    for one, folder in files:
        header = one.header
        if not header.identity_removed and header.patient_name not in ("", header.patient_id):
            named[folder] += 1
            continue
        try:
            yield one, folder, identity.patient(folder, header.patient_id)
        except InputError as error:
            leave_out("", LeftOut("a file", reason_of(error)), str(header.path))
    reason = "their headers still name a patient; import them with --layout folder, which makes opaque ids"
    for folder, count in sorted(named.items()):
        leave_out("", LeftOut(f"{count} files", reason), folder)


def _own_ids(files: _Placed, identity: Identity, leave_out: LeaveOut) -> Iterator[tuple[DicomObject, str, str]]:
    """Files and their patients where each patient has a folder; patients who share one are kept apart."""
    ids: dict[str, set[str]] = defaultdict(set)
    for one, folder in files:
        ids[folder].add(one.header.patient_id)
    members: dict[str, set[str]] = defaultdict(set)
    owners: dict[str, set[str]] = defaultdict(set)
    for one, folder in files:
        several = len(ids[folder] - {""}) > 1
        patient = identity.patient(folder, one.header.patient_id if several else "")
        yield one, folder, patient
        members[folder].add(patient)
        if one.header.patient_id:
            owners[one.header.patient_id].add(patient)
    for folder, found in sorted(ids.items()):
        if len(found - {""}) > 1:
            mine = sorted(members[folder])
            reason = f"holds {len(found)} patients by its headers; they were kept apart: {', '.join(mine)}"
            leave_out(mine[0], LeftOut("a folder", reason), folder or ".")
    for patients in owners.values():
        if len(patients) > 1:
            reason = "several folders carry one PatientID and were kept apart; put them on one side of a split: "
            leave_out(min(patients), LeftOut("patients", reason + ", ".join(sorted(patients))), "")


def _fingerprint(group: _Group, record: ClinicalRecord | None, settings: ImportSettings, identity: Identity) -> str:
    """Keyed hash of all that the patient's folder depends on."""
    files = sorted(f"{one.header.sop} {one.header.size}" for one in group.files)
    return identity.digest("\n".join([str(VERSION), settings.grid, str(settings.all_phases), repr(record), *files]))


def _manifest(settings: ImportSettings, documents: int, other: int) -> dict[str, Any]:
    cited = {"citation": hcc_tace.CITATION, "licence": hcc_tace.LICENCE}
    return {
        "synthetic": False,
        "notice": NOTICE,
        "layout": settings.layout,
        "ids": IDS[settings.layout],
        **(cited if settings.layout == "tcia" and settings.clinical else {}),
        "grid": settings.grid,
        "all_phases": settings.all_phases,
        "passed_over": {"documents": documents, "files_that_are_no_dicom": other},
        "mewm": MeWMLib.__version__,
    }
