"""Download a public collection from the NCI Imaging Data Commons through its own client, idc-index.

Only research needs public collections: a clinic imports its own folders (`cohorts/dicom_import.py`), which reads what
arrives here as well.

The index that idc-index brings lists what exists, how large, and under which licence, without any network. The
transfer goes patient by patient; what was checked is written down, so that a download that was stopped can continue.
The index holds no checksums: what arrives is checked against its number of files and bytes, every file must be whole,
and a SHA-256 is kept for later checks.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.cohorts import hcc_tace
from MeWMLib.core.dicom.headers import read_object
from MeWMLib.core.errors import CohortError, InputError, MeWMError, OutputError, optional_packages, output_error
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.core.records import read_json

#: Name of a collection here to its name in the index, and how to cite it.
COLLECTIONS = {"hcc-tace-seg": ("hcc_tace_seg", hcc_tace.CITATION)}
STATE, LICENCE = "download.json", "LICENCE.txt"
#: A megabyte of the index.
MB = 1e6
#: Sizes of the index are rounded.
_SIZE_TOLERANCE = 2e-3
_FOLDERS = "%collection_id/%PatientID/%StudyInstanceUID/%Modality_%SeriesInstanceUID"
#: Fields of `RemoteSeries` and their columns in the index.
_COLUMNS = {
    "collection": "collection_id",
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "modality": "Modality",
    "files": "instanceCount",
    "size_mb": "series_size_MB",
    "licence": "license_short_name",
    "doi": "source_DOI",
    "by_program": "analysis_result_id",
}

#: Fetches series (SeriesInstanceUIDs) into a folder, laid out as `_FOLDERS`; an interrupted call may be repeated.
Transfer = Callable[[Sequence[str], Path], None]


@dataclass(frozen=True)
class RemoteSeries:
    """A series as the index describes it."""

    collection: str
    patient: str
    study: str
    series: str
    modality: str
    files: int
    size_mb: float
    licence: str
    doi: str
    by_program: bool

    @property
    def folder(self) -> Path:
        """Its place below the folder of the download."""
        return Path(self.collection) / self.patient / self.study / f"{self.modality}_{self.series}"


def catalogue(collection: str) -> tuple[RemoteSeries, ...]:
    """All series of a collection, by patient.

    Raises:
        InputError: the collection is not known here.
        DependencyError: idc-index is not installed.
    """
    if collection not in COLLECTIONS:
        raise InputError(
            what="There is no such collection", given=collection, remedy="Known: " + ", ".join(COLLECTIONS)
        )
    with optional_packages("Downloading", "download"):
        import idc_index_data
        import pandas
    table = pandas.read_parquet(
        idc_index_data.IDC_INDEX_PARQUET_FILEPATH,
        columns=list(_COLUMNS.values()),
        filters=[("collection_id", "==", COLLECTIONS[collection][0])],
    )
    types = {"files": int, "size_mb": float, "by_program": bool}
    table = table.fillna({"analysis_result_id": ""}).rename(columns={old: new for new, old in _COLUMNS.items()})
    found = [
        RemoteSeries(**{name: types.get(name, str)(value) for name, value in row._asdict().items()})
        for row in table.itertuples(index=False)
    ]
    return tuple(sorted(found, key=lambda one: (one.patient, one.study, one.modality, one.series)))


def select(
    series: Sequence[RemoteSeries], patients: Sequence[str] = (), with_program_masks: bool = False
) -> tuple[RemoteSeries, ...]:
    """The series to fetch: those of some patients or of all; masks drawn by programs only if they are wanted.

    Raises:
        InputError: a patient who is not in the collection.
    """
    unknown = sorted(set(patients) - {one.patient for one in series})
    if unknown:
        raise InputError(what="There is no such patient in the collection", given=", ".join(unknown[:5]))
    return tuple(
        one
        for one in series
        if (not patients or one.patient in patients) and (with_program_masks or not one.by_program)
    )


def idc_transfer() -> Transfer:
    """The real transfer: idc-index runs s5cmd, which fetches only files that are missing or of another size.

    Raises:
        DependencyError: idc-index is not installed.
    """
    with optional_packages("Downloading", "download"):
        import idc_index
    make: Any = idc_index.IDCClient  # type: ignore[attr-defined]  # the package carries no types
    client: Any = None

    def transfer(uids: Sequence[str], folder: Path) -> None:
        nonlocal client
        client = client or make()
        client.download_from_selection(
            downloadDir=str(folder),
            seriesInstanceUID=list(uids),
            quiet=True,
            show_progress_bar=False,
            use_s5cmd_sync=True,
            dirTemplate=_FOLDERS,
        )

    return transfer


def download(
    collection: str,
    series: Sequence[RemoteSeries],
    folder: Path,
    transfer: Transfer,
    on_step: Callable[[float, float, str], None] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> list[str]:
    """Fetch series, patient by patient.

    Args:
        collection: a name of `COLLECTIONS`.
        series: see `select`.
        folder: new, or of an earlier download; series that were checked and are still there are not fetched again.
        transfer: see `idc_transfer`.
        on_step: told the megabytes that have arrived, those in all, and the patient.
        on_line: told one sentence on each series that did not arrive whole.

    Returns:
        SeriesInstanceUIDs that did not arrive whole; the next call tries them again.

    Raises:
        OutputError: no room, or the folder cannot be written.
        CohortError: the folder belongs to another collection.
    """
    step, say = on_step or (lambda done, total, text: None), on_line or (lambda text: None)
    folder = Path(folder)
    state = _state(folder, collection)
    total = sum(one.size_mb for one in series)
    missing = [one for one in series if not _still_there(folder / one.folder, state.get(one.series))]
    _require_room(folder, sum(one.size_mb for one in missing))
    _write_licence(folder, collection, series)
    done = total - sum(one.size_mb for one in missing)
    by_patient: dict[str, list[RemoteSeries]] = defaultdict(list)
    for one in missing:
        by_patient[one.patient].append(one)
    failed: list[str] = []
    for patient, wanted in by_patient.items():
        step(done, total, patient)
        trouble = ""
        try:
            transfer([one.series for one in wanted], folder)
        except (MeWMError, KeyboardInterrupt):
            raise
        except Exception as error:  # a client that fails on one patient ends no download
            trouble = f" ({type(error).__name__}: {str(error)[:120]})"
        for one in wanted:
            reason = fault(folder / one.folder, one)
            if reason:
                failed.append(one.series)
                say(f"{patient}: {one.modality} series {one.series}: {reason}{trouble}")
            else:
                state[one.series] = _measured(folder / one.folder)
            done += one.size_mb
        write_json({"collection": collection, "series": state}, folder / STATE)
    step(done, total, "")
    return failed


def verify(folder: Path, collection: str, on_line: Callable[[str], None] | None = None) -> list[str]:
    """Compare every file with the SHA-256 that was kept when it arrived.

    Returns:
        SeriesInstanceUIDs whose files changed or are gone.

    Raises:
        CohortError: the folder is not a download of this collection.
    """
    state = _state(folder, collection)
    if not state:
        raise CohortError(what="There is no download in the folder", given=str(folder), remedy="Download it first")
    bad = []
    for uid, kept in state.items():
        found = {path.name: _sha256(path) for path in _files(folder / kept["folder"])}
        if found != kept["sha256"]:
            bad.append(uid)
            if on_line is not None:
                on_line(f"{kept['folder']}: changed since it was downloaded")
    return bad


def fault(place: Path, wanted: RemoteSeries) -> str:
    """What is wrong with a series that was fetched; "" if it is whole."""
    files = _files(place)
    if len(files) != wanted.files:
        return f"{len(files)} of {wanted.files} files arrived"
    size = _bytes(files) / MB
    if abs(size - wanted.size_mb) > max(_SIZE_TOLERANCE * wanted.size_mb, 1e-3):
        return f"{size:.3f} of {wanted.size_mb:.3f} MB arrived"
    for path in files:
        try:
            found_file = read_object(path)
        except MeWMError as error:
            return f"{path.name}: {error.what}"
        if found_file is None or found_file.header.series != wanted.series:
            return f"{path.name} is not a file of this series"
    return ""


def _files(place: Path) -> list[Path]:
    return [path for path in sorted(place.glob("*")) if path.is_file()]


def _bytes(files: Sequence[Path]) -> int:
    return sum(path.stat().st_size for path in files)


def _measured(place: Path) -> dict[str, Any]:
    files = _files(place)
    return {
        "folder": place.relative_to(place.parents[3]).as_posix(),
        "bytes": _bytes(files),
        "sha256": {path.name: _sha256(path) for path in files},
    }


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _still_there(place: Path, kept: dict[str, Any] | None) -> bool:
    """Quick look: names and bytes; `verify` compares the contents."""
    files = _files(place)
    return kept is not None and {p.name for p in files} == set(kept["sha256"]) and _bytes(files) == kept["bytes"]


def _state(folder: Path, collection: str) -> dict[str, dict[str, Any]]:
    if not (folder / STATE).exists():
        return {}
    remedy = "Remove that file; whole series are recognised and not fetched again by s5cmd"
    keys = {"collection": str, "series": dict}
    stored = read_json(folder / STATE, "The record of the download", CohortError, remedy, keys)
    if stored["collection"] != collection:
        raise CohortError(
            what="The folder holds another collection", given=stored["collection"], remedy="Give another --out"
        )
    wanted = {"bytes": int, "sha256": dict, "folder": str}
    for uid, one in stored["series"].items():
        if not isinstance(one, dict) or not all(isinstance(one.get(key), kind) for key, kind in wanted.items()):
            raise CohortError(what="The record of the download is not complete", given=uid[:80], remedy=remedy)
    return dict(stored["series"])


def _require_room(folder: Path, megabytes: float) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free / MB
    except OSError as error:
        raise output_error(error, folder) from error
    if free < 1.02 * megabytes:
        raise OutputError(
            what="There is no room for the download",
            given=f"{megabytes / 1000:.1f} GB to come, {free / 1000:.1f} GB free at {folder}",
            remedy="Free some space, give another --out, or name some --patients",
        )


def _write_licence(folder: Path, collection: str, series: Sequence[RemoteSeries]) -> None:
    licences = ", ".join(sorted({one.licence for one in series}))
    sources = "\n".join(f"doi {doi}" for doi in sorted({one.doi for one in series}))
    text = f"{collection}\nLicence: {licences}\nCite: {COLLECTIONS[collection][1]}\nSources of the series:\n{sources}\n"
    with atomic_path(folder / LICENCE) as temporary:
        temporary.write_text(text, encoding="utf-8")
