"""Whether exported DICOM is as it was written: by the list of files, and by what the objects say of themselves.

`export.json` holds a checksum of every file and of itself, so that a single wrong bit anywhere is found. Objects that
came back from a PACS have no such list, and other group lengths or padding: they carry a fingerprint of what they show
(`fingerprint`), and their attributes must agree with one another.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.dicom.headers import is_dicom
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.errors import MeWMError, UnreadableFileError
from MeWMLib.core.sealed import FILES, read_sealed, sha256_of
from MeWMLib.exchange.ct_series import SIMULATED
from MeWMLib.exchange.export import MANIFEST
from MeWMLib.exchange.fingerprint import fingerprint, signed_with
from MeWMLib.exchange.study import CT_CLASS

_REMEDY = "Export the plan again, or fetch the study again from the PACS"
_SEG_CLASSES = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


@dataclass(frozen=True)
class Verified:
    """What was checked, all of it found right.

    Attributes:
        folder: of the objects.
        listed: there was a list of files with a checksum of each.
        objects: how many DICOM files there are.
        fingerprints: how many of them carry a fingerprint of ours.
        by_modality: how many there are of each.
        study: UID that all of ours have.
        foreign: how many are not ours, such as the scan itself; of them nothing is known.
    """

    folder: Path
    listed: bool
    objects: int
    fingerprints: int
    by_modality: dict[str, int]
    study: str
    foreign: int

    @property
    def text(self) -> str:
        """In one line."""
        kinds = ", ".join(f"{count} {name}" for name, count in sorted(self.by_modality.items()))
        how = "by the checksum of every file" if self.listed else "by the fingerprints inside of the objects"
        beside = f"; {self.foreign} others are not ours and were not checked" if self.foreign else ""
        return f"{self.fingerprints} objects ({kinds}) are as they were written, {how}{beside}"


def is_export(folder: Path) -> bool:
    """True for a folder that `mewm export` wrote, or that holds DICOM of ours."""
    if (folder / MANIFEST).is_file():
        return True
    return any(signed_with(data) for _, data in _objects(folder))


def verify_export(folder: Path) -> Verified:
    """Check a folder of exported DICOM.

    Raises:
        UnreadableFileError: a file is missing, changed, not listed or no DICOM; objects contradict each other; or
            nothing in the folder is ours.
    """
    if not folder.is_dir():
        raise UnreadableFileError(what="There is no such folder", given=str(folder), remedy="Check the path")
    listed = (folder / MANIFEST).is_file()
    if listed:
        _require_files(folder)
    ours, foreign = [], 0
    for path, data in _objects(folder, pixels=True):
        found = signed_with(data)
        if not found:
            if _claims(data):
                raise _changed(path, "it names MeWM, and carries no fingerprint")
            foreign += 1
            continue
        if _fingerprint(path, data) != found:
            raise _changed(path, "what it shows does not have the fingerprint that it carries")
        _require_marked(path, data)
        ours.append(_facts(path, data))
    if not ours:
        raise UnreadableFileError(
            what="The folder holds no DICOM that MeWM exported", given=str(folder), remedy="Give a folder of an export"
        )
    _require_one(ours)
    modalities = Counter(one["modality"] for one in ours)
    study = ours[0]["study"]
    return Verified(folder, listed, len(ours) + foreign, len(ours), dict(modalities), study, foreign)


def _require_files(folder: Path) -> None:
    """Raise unless the files are those of the list, each as it was written."""
    manifest = read_sealed(folder / MANIFEST, "The list of the export", _REMEDY)
    sums = manifest.get(FILES) if isinstance(manifest, dict) else None
    if not isinstance(sums, dict) or not sums:
        raise UnreadableFileError(
            what="The list of the export names no files", given=str(folder / MANIFEST), remedy=_REMEDY
        )
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if missing := sorted(set(sums) - there):
        raise UnreadableFileError(
            what="Files of the export are missing", given=f"{len(missing)}, such as {missing[0]}", remedy=_REMEDY
        )
    if more := sorted(there - set(sums)):
        raise UnreadableFileError(
            what="Files lie in the export that do not belong to it",
            given=f"{len(more)}, such as {more[0]}",
            remedy="Move them elsewhere",
        )
    for name, text in sums.items():
        if sha256_of(folder / name) != text:
            raise _changed(folder / name, "its checksum is wrong")


def _objects(folder: Path, pixels: bool = False) -> Iterator[tuple[Path, Any]]:
    """Every DICOM file of a folder."""
    pydicom = package("pydicom")
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        with path.open("rb") as file:
            if not is_dicom(file.read(132)):
                continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield path, pydicom.dcmread(path, stop_before_pixels=not pixels)
        except Exception as error:  # pydicom raises whatever a broken value makes it raise
            raise _changed(path, f"it cannot be read ({type(error).__name__})") from error


def _fingerprint(path: Path, data: Any) -> str:
    try:
        return fingerprint(data)
    except Exception as error:  # as above
        raise _changed(path, f"it cannot be read ({type(error).__name__})") from error


def _claims(data: Any) -> bool:
    """True if an object says that it is ours."""
    return str(data.get("SeriesDescription", "")).startswith(SIMULATED) and data.get("Manufacturer") == "MeWM"


def _require_marked(path: Path, data: Any) -> None:
    """Raise if a simulated CT does not say that it is one."""
    if data.SOPClassUID != CT_CLASS or data.get("Manufacturer") != "MeWM":
        return
    kind = list(data.get("ImageType") or ())
    if kind[:1] != ["DERIVED"] or not str(data.get("SeriesDescription", "")).startswith(SIMULATED):
        raise _changed(path, "a simulated CT does not say that it is derived and simulated")


def _facts(path: Path, data: Any) -> dict[str, Any]:
    return {
        "path": path,
        "modality": str(data.Modality),
        "study": str(data.StudyInstanceUID),
        "patient": str(data.get("PatientID", "")),
        "sop": str(data.SOPInstanceUID),
        "series": str(data.SeriesInstanceUID),
        "number": int(data.get("InstanceNumber") or 0),
        "refers": _referred(data) if data.SOPClassUID in _SEG_CLASSES else set(),
    }


def _referred(data: Any) -> set[tuple[str, str]]:
    """Series and instances that a segmentation refers to."""
    return {
        (str(series.SeriesInstanceUID), str(one.ReferencedSOPInstanceUID))
        for series in data.get("ReferencedSeriesSequence") or ()
        for one in series.get("ReferencedInstanceSequence") or ()
    }


def _require_one(ours: list[dict[str, Any]]) -> None:
    """Raise unless all objects belong to one patient and study, are there once, and refer to what is there."""
    for name, what in (("study", "studies"), ("patient", "patients")):
        if len({one[name] for one in ours}) > 1:
            raise UnreadableFileError(
                what=f"The objects belong to several {what}",
                given=f"{len({one[name] for one in ours})} {what}",
                remedy="Verify the folder of one export at a time",
            )
    twice = [sop for sop, count in Counter(one["sop"] for one in ours).items() if count > 1]
    if twice:
        raise UnreadableFileError(
            what="An object is there twice", given=f"{len(twice)}, such as {twice[0]}", remedy=_REMEDY
        )
    there: dict[str, set[str]] = {one["series"]: set() for one in ours if one["modality"] == "CT"}
    for one in ours:
        if one["modality"] == "CT":
            there[one["series"]].add(one["sop"])
    for series, members in there.items():
        numbers = sorted(one["number"] for one in ours if one["series"] == series)
        if numbers != list(range(1, len(members) + 1)):
            raise UnreadableFileError(
                what="Slices are missing from a series of the export", given=f"series {series}", remedy=_REMEDY
            )
    lost = [one for one in ours if any(s in there and sop not in there[s] for s, sop in one["refers"])]
    if lost:
        raise UnreadableFileError(
            what="A segmentation refers to slices that are missing", given=lost[0]["path"].name, remedy=_REMEDY
        )


def _changed(path: Path, why: str) -> MeWMError:
    return UnreadableFileError(
        what=f"A file of the export is not as it was written: {why}", given=path.name, remedy=_REMEDY
    )
