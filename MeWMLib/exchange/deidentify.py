"""A study without what identifies a person: the basic profile of DICOM PS3.15 with shifted dates.

Nothing is taken out of the source: a new study is made, and only what stands in short lists is put into it. Every UID
is replaced by one that follows from it and a secret key (`cohorts.identity`), so that two exports of one patient belong
together and nobody without the key finds the original. All dates are shifted by the same days, times are left out.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Callable
from dataclasses import replace

from MeWMLib.cohorts.identity import Identity
from MeWMLib.core.dicom.packages import package
from MeWMLib.exchange.attributes import coded, completed, copied
from MeWMLib.exchange.study import COPY, CT_CLASS, SourceSlice, Study

#: Of the scan: what says nothing of a person, a place or a day.
_KEPT = (
    "BodyPartExamined", "KVP", "PatientPosition", "SliceThickness", "LossyImageCompression",
    "LossyImageCompressionRatio", "LossyImageCompressionMethod",
)  # fmt: skip
#: Days of a shift.
_LEAST_DAYS, _MOST_DAYS = 30, 3650


def deidentified(study: Study, identity: Identity) -> Study:
    """A copy of a study that names nobody.

    Args:
        study: of the source.
        identity: holds the key.
    """
    pydicom = package("pydicom")
    patient = f"{study.header.get('PatientID', '')}\0{study.header.get('PatientName', '')}"

    def uid(original: str) -> str:
        return f"2.25.{int(identity.digest(f'uid{chr(0)}{original}')[:32], 16)}"

    days = _LEAST_DAYS + int(identity.digest(f"days\0{patient}")[:8], 16) % (_MOST_DAYS - _LEAST_DAYS)
    data = pydicom.Dataset()
    name = "p" + identity.digest(f"patient\0{patient}")[:16]
    data.PatientID, data.PatientName = name, f"ANONYMOUS^{name}"
    data.StudyInstanceUID = uid(str(study.header.StudyInstanceUID))
    data.FrameOfReferenceUID = uid(str(study.header.FrameOfReferenceUID))
    data.StudyDate = shifted(str(study.header.get("StudyDate", "")), days)
    data.PatientIdentityRemoved, data.DeidentificationMethod = "YES", "MeWM: attributes of a list alone, new UIDs"
    data.LongitudinalTemporalInformationModified = "MODIFIED"
    data.DeidentificationMethodCodeSequence = [
        coded("113100", "DCM", "Basic Application Confidentiality Profile"),
        coded("113107", "DCM", "Retain Longitudinal Temporal Information Modified Dates Option"),
    ]
    acquired = copied(study.acquired, _KEPT)
    acquired.PositionReferenceIndicator = ""
    return replace(
        study,
        kind=COPY,
        header=completed(data),
        acquired=acquired,
        scanner=pydicom.Dataset(),
        series=uid(study.series),
        slices=_slices(study, uid),
        stamp=(data.StudyDate, "000000"),
    )


def _slices(study: Study, uid: Callable[[str], str]) -> tuple[SourceSlice, ...]:
    """The slices are written anew, each as a file of its own."""
    return tuple(
        SourceSlice(CT_CLASS, uid(one.sop if one.frame is None else f"{one.sop}\0{one.frame}"), None, one.position)
        for one in study.slices
    )


def shifted(date: str, days: int) -> str:
    """A date (YYYYMMDD) so many days earlier; "" where it cannot be read."""
    with contextlib.suppress(ValueError, OverflowError):
        moved = datetime.datetime.strptime(date, "%Y%m%d").date() - datetime.timedelta(days)
        return moved.strftime("%Y%m%d")
    return ""
