"""Which attributes an object of ours takes over from its study, and how numbers and texts are written.

Attributes are copied by name from these lists and by nothing else: private tags, overlays, curves, padding, extreme
pixel values and whatever else a scanner writes stay with the scans, since they would not be true of a derived image.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from MeWMLib.core.dicom.packages import package

#: Of the patient and of the study: the same in every object that belongs to them.
PATIENT = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "OtherPatientIDs",
)  # fmt: skip
STUDY = (
    "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber", "ReferringPhysicianName",
    "PatientAge", "PatientSize", "PatientWeight",
)  # fmt: skip
#: What stays true of an image that was derived from a slice of the scan.
ACQUIRED = (
    "BodyPartExamined", "KVP", "PatientPosition", "PositionReferenceIndicator", "AcquisitionNumber",
    "AcquisitionDate", "AcquisitionTime", "ContrastBolusAgent", "ConvolutionKernel", "SliceThickness",
    "LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
#: The scanner, which becomes a contributing equipment of a derived image.
SCANNER = ("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName", "SoftwareVersions")
#: What says that a study was de-identified; highdicom does not take it over.
DEIDENTIFIED = (
    "PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)  # fmt: skip
#: Must be there, empty where it is not known.
REQUIRED = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName",
)  # fmt: skip
#: A text of a description (LO) has at most so many characters; pydicom only warns, highdicom raises.
LONGEST_LO = 64
_LONGEST_ST = 1024


def copied(source: Any, names: Iterable[str]) -> Any:
    """A new dataset with those of the named attributes that `source` has and that can be read."""
    data = package("pydicom").Dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values of the scanner that are not quite what the standard asks for
        for name in names:
            try:
                value = source.get(name)
                if value is not None and value != "":
                    setattr(data, name, value)
                    data[name].value  # noqa: B018  # a value that cannot be read shows here
            except Exception:  # pydicom raises whatever a broken value makes it raise; it is then not known
                if name in data:
                    delattr(data, name)
    return data


def completed(data: Any) -> Any:
    """The same dataset with the attributes that every object needs, empty where they are not known."""
    for name in REQUIRED:
        if name not in data:
            setattr(data, name, "")
    return data


def short_text(text: str) -> str:
    """A text that fits into an LO: one line without backslashes, cut to 64 characters."""
    plain = " ".join(text.replace("\\", "/").split())
    return plain if len(plain) <= LONGEST_LO else plain[: LONGEST_LO - 3].rstrip() + "..."


def long_text(text: str) -> str:
    """A text that fits into an ST."""
    plain = text.replace("\\", "/").strip()
    return plain if len(plain) <= _LONGEST_ST else plain[: _LONGEST_ST - 3].rstrip() + "..."


def decimal(value: float) -> Any:
    """A number as a decimal string (DS) of at most 16 characters, with all the digits that fit.

    It is the number that is written, to the last digit: pydicom's own keeps in memory what its text rounds.
    """
    valuerep = package("pydicom").valuerep
    return valuerep.DSfloat(valuerep.format_number_as_ds(float(value)))


def decimals(values: Iterable[float]) -> list[Any]:
    """As `decimal`, for each number."""
    return [decimal(value) for value in values]


def coded(value: str, scheme: str, meaning: str) -> Any:
    """One item of a sequence of codes."""
    item = package("pydicom").Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def now() -> tuple[str, str]:
    """Date and time as DICOM writes them."""
    moment = datetime.datetime.now()
    return moment.strftime("%Y%m%d"), moment.strftime("%H%M%S")


def reference(sop_class: str, sop: str, frame: int | None = None) -> Any:
    """An item that refers to an image, or to one frame of it (from 0)."""
    item = package("pydicom").Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop
    if frame is not None:
        item.ReferencedFrameNumber = frame + 1
    return item


def purpose(items: Sequence[Any], value: str, meaning: str) -> list[Any]:
    """The same references with their purpose (DCM)."""
    for item in items:
        item.PurposeOfReferenceCodeSequence = [coded(value, "DCM", meaning)]
    return list(items)
