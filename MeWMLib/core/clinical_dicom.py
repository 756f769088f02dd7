"""Age and sex from the headers of a DICOM folder: only what the user asks for, and never a name, an id or a date."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from MeWMLib.core.clinical import Clinical
from MeWMLib.core.errors import ClinicalDataError, optional_packages

#: What can be read, and the field of `Clinical`.
READABLE = {"age": "age_years", "sex": "sex"}
#: The headers of so many files must agree.
_MOST_FILES = 64
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_DAYS = {"D": 1.0, "W": 7.0, "M": 365.25 / 12, "Y": 365.25}


def prefilled(clinical: Clinical, folder: Path, wanted: Sequence[str]) -> Clinical:
    """Fill in what the clinical data lack from the headers of a folder; what is given stays.

    Args:
        clinical: as given.
        folder: with DICOM files, or one DICOM file.
        wanted: keys of `READABLE`.

    Raises:
        ClinicalDataError: something that cannot be read is wanted, there is no DICOM file, or its files disagree.
        DependencyError: pydicom is not installed.
    """
    unknown = [name for name in wanted if name not in READABLE]
    if unknown or not wanted:
        raise ClinicalDataError(
            what="This is not taken from DICOM headers",
            given=", ".join(unknown) or "nothing",
            remedy="Give " + ",".join(READABLE),
        )
    found: dict[str, Any] = {}
    files = 0
    for header in _headers(folder):
        files += 1
        for name in wanted:
            value = _age(header) if name == "age" else _sex(header)
            if value is None:
                continue
            if found.setdefault(name, value) != value:
                raise ClinicalDataError(
                    what=f"The DICOM files do not agree about the {name} of the patient",
                    given=f"{found[name]} and {value}",
                    remedy="Give one patient and one study, or write it into the clinical data",
                )
    if not files:
        raise ClinicalDataError(
            what="There is no DICOM file to take clinical data from",
            given=str(folder),
            remedy="Give a DICOM folder, or leave --from-dicom out",
        )
    data = {READABLE[name]: value for name, value in found.items()}
    return Clinical.from_json({**data, **clinical.to_json()})


def _headers(folder: Path) -> Iterator[Any]:
    with optional_packages("Reading age and sex from DICOM headers", "import"):
        import pydicom
    names = ["PatientAge", "PatientSex", "PatientBirthDate", "StudyDate"]
    places = [folder] if folder.is_file() else sorted(p for p in folder.rglob("*") if p.is_file())
    seen = 0
    for place in places:
        if seen == _MOST_FILES:
            return
        try:
            header = pydicom.dcmread(place, stop_before_pixels=True, specific_tags=names)
        except (pydicom.errors.InvalidDicomError, OSError, ValueError, EOFError):
            continue
        seen += 1
        yield header


def _age(header: Any) -> float | None:
    match = _AGE.fullmatch(str(header.get("PatientAge") or "").strip())
    if match:
        return float(int(int(match[1]) * _DAYS[match[2]] / _DAYS["Y"]))
    born, scanned = (str(header.get(name) or "") for name in ("PatientBirthDate", "StudyDate"))
    if not (re.fullmatch(r"\d{8}", born) and re.fullmatch(r"\d{8}", scanned)):
        return None
    years = int(scanned[:4]) - int(born[:4]) - (scanned[4:] < born[4:])
    return float(years) if 0 <= years <= 120 else None


def _sex(header: Any) -> str | None:
    return {"M": "male", "F": "female"}.get(str(header.get("PatientSex") or "").strip().upper())
