"""Headers of every DICOM file of a folder, read by pydicom. A file with an error becomes one line of a list.

File names are never trusted: a file is DICOM if its bytes say so.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, MutableSequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MeWMLib.core.dicom_slices import SliceRecord, is_dicom, numbers, upper_parts
from MeWMLib.core.errors import UnreadableFileError, optional_packages

#: Results and documents that are stored beside images; nothing is lost when they are ignored.
DOCUMENTS = ("SR", "RTSTRUCT", "PR", "KO", "RTDOSE", "RTPLAN", "RTRECORD", "REG", "FID", "DOC", "PLAN", "AU")
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
CT_STORAGE = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
#: Fields of `Header` to the attributes of DICOM that they are read from: texts, numbers, and whole numbers with what
#: counts where one is missing.
_TEXTS = {
    "patient_id": "PatientID",
    "patient_name": "PatientName",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "series_number": "SeriesNumber",
    "acquisition": "AcquisitionNumber",
    "sop": "SOPInstanceUID",
    "sop_class": "SOPClassUID",
}
_NUMBERS = {"spacing": "PixelSpacing", "axes": "ImageOrientationPatient", "position": "ImagePositionPatient"}
_WHOLE = {"instance": ("InstanceNumber", 0), "samples": ("SamplesPerPixel", 1), "frames": ("NumberOfFrames", 1)}
_DATES = ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate")
_TAGS = [
    *(*_TEXTS.values(), *_NUMBERS.values(), *(name for name, _ in _WHOLE.values()), *_DATES),
    *("PatientIdentityRemoved", "AcquisitionTime", "ContentTime", "Modality", "ImageType", "Rows", "Columns"),
    *("BitsAllocated", "LossyImageCompression", "SliceThickness"),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header(SliceRecord):
    """What the import needs to know of one file besides; `folder` is the patient's, `size` is in bytes."""

    folder: str
    size: int
    patient_id: str
    patient_name: str
    identity_removed: bool
    study: str
    date: str
    time: str
    instance: int
    sop: str
    sop_class: str
    thickness: float
    lossy: bool


@dataclass(frozen=True)
class BadFile:
    """A file or folder that cannot be read: where, and why (without anything from inside it)."""

    path: Path
    folder: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """All that a folder holds.

    Attributes:
        images: headers of images and of segmentations.
        bad: what could not be read.
        documents: number of reports, plans and other DICOM files that are not images.
        other: number of files that are not DICOM.
    """

    images: tuple[Header, ...]
    bad: tuple[BadFile, ...]
    documents: int
    other: int


def require_pydicom() -> Any:
    """The module pydicom.

    Raises:
        DependencyError: it is not installed.
    """
    with optional_packages("The import of DICOM folders", "import"):
        import pydicom
    return pydicom


def scan(root: Path, on_step: Callable[[int], None] | None = None) -> Scan:
    """Read the header of every file below a folder.

    Args:
        root: folder; a patient is a sub-folder of it, or what the headers say.
        on_step: called with the number of files that were looked at.

    Raises:
        UnreadableFileError: there is no such folder, or it cannot be listed.
        DependencyError: pydicom is not installed.
    """
    require_pydicom()
    if not root.is_dir():
        raise UnreadableFileError(what="There is no such folder", given=str(root), remedy="Check the path")
    images: list[Header] = []
    bad: list[BadFile] = []
    ignored: Counter[str] = Counter()
    for n, (path, unlisted) in enumerate(_files(root)):
        if on_step is not None:
            on_step(n + 1)
        first = path.relative_to(root).parts
        folder = first[0] if len(first) > 1 or unlisted is not None else ""
        try:
            if unlisted is not None:
                raise unlisted
            found = read_header(path, folder)
        except OSError as error:
            reason = error.strerror or "unknown reason"
            if path == root:
                raise UnreadableFileError(what=f"The folder cannot be read ({reason})", given=str(root)) from error
            kind = "file" if unlisted is None else "folder"
            bad.append(BadFile(path, folder, f"the {kind} cannot be read ({reason})"))
        except UnreadableFileError as error:
            bad.append(BadFile(path, folder, error.what))
        else:
            if found is None or found.modality in DOCUMENTS:
                ignored["other" if found is None else "document"] += 1
            else:
                images.append(found)
    return Scan(tuple(images), tuple(bad), ignored["document"], ignored["other"])


def _files(root: Path) -> Iterator[tuple[Path, OSError | None]]:
    """Every file in a fixed order, then the folders that cannot be listed with the error that says why."""
    failed: list[OSError] = []
    for folder, names, files in os.walk(root, onerror=failed.append):
        names.sort()
        yield from ((Path(folder) / name, None) for name in sorted(files) if name != "DICOMDIR")
    yield from ((Path(error.filename), error) for error in failed)


def read_header(path: Path, folder: str = "") -> Header | None:
    """Read one file's header; None if the file is not DICOM.

    Raises:
        UnreadableFileError: DICOM, but damaged or cut.
        OSError: the operating system refuses.
    """
    pydicom = require_pydicom()
    with path.open("rb") as file:
        head = file.read(132)
        if not is_dicom(head):
            return None
        file.seek(0)
        size = path.stat().st_size
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PACS exports break the standard all the time; values are checked here
                data = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
                header = _header(path, folder, size, data)
        except Exception as error:  # pydicom raises whatever a broken value makes it raise
            raise UnreadableFileError(what="a DICOM file is damaged", given=str(path)) from error
        if not header.sop_class and not header.modality:
            raise UnreadableFileError(what="a DICOM file is damaged or does not say what it is", given=str(path))
        if header.modality not in DOCUMENTS:
            _require_pixels(file, header, data, size)
    return header


def _require_pixels(file: Any, header: Header, data: Any, size: int) -> None:
    """Raise unless the voxels that the header promises exist; `file` is at the byte where they begin."""
    start = file.tell()
    rest = size - start
    cut = UnreadableFileError(what="a DICOM file is cut: it ends before its last voxel", given=str(header.path))
    if header.modality == "SEG":
        return  # voxels of one bit; the reader of segmentations judges them
    if 0 in header.shape:
        raise UnreadableFileError(what="a DICOM file is cut in its header, or holds no image", given=str(header.path))
    syntax = getattr(data.file_meta, "TransferSyntaxUID", None)
    if syntax is not None and syntax.is_deflated:
        return  # the whole header is compressed, so `file` is at its end
    head = file.read(6)
    if head[:4] not in (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10"):
        raise UnreadableFileError(what="a DICOM file has no voxels", given=str(header.path))
    if syntax is not None and syntax.is_encapsulated:
        if b"\xfe\xff\xdd\xe0" not in file.read():  # the delimiter after the last fragment
            raise cut
        return
    bits = int(data.get("BitsAllocated") or 16)
    voxels = header.shape[0] * header.shape[1] * header.samples * header.frames
    # tag and length; a value representation and two bytes more where it is explicit
    if rest < (12 if head[4:].isalpha() else 8) + voxels * bits // 8:
        raise cut


def _header(path: Path, folder: str, size: int, data: Any) -> Header:
    texts = _texts(data)

    def whole(name: str, default: int) -> int:
        try:
            return int(float(texts[name]))
        except ValueError:
            return default

    read: dict[str, Any] = {field: texts[name] for field, name in _TEXTS.items()}
    # each of these has several parts; a lone number is a broken value
    read |= {field: numbers(texts[name]) if "\\" in texts[name] else () for field, name in _NUMBERS.items()}
    read |= {field: whole(name, missing) for field, (name, missing) in _WHOLE.items()}
    return Header(
        path=path,
        folder=folder,
        size=size,
        identity_removed=texts["PatientIdentityRemoved"].upper() == "YES",
        date=next((found for name in _DATES if _is_date(found := texts[name])), ""),
        time=texts["AcquisitionTime"] or texts["ContentTime"],
        modality=texts["Modality"].upper() or ("CT" if texts["SOPClassUID"] in CT_STORAGE else ""),
        image_type=upper_parts(texts["ImageType"]),
        shape=(whole("Rows", 0), whole("Columns", 0)),
        thickness=next(iter(numbers(texts["SliceThickness"])), 0.0),
        lossy=texts["LossyImageCompression"] == "01",
        **read,
    )


def _texts(data: Any) -> dict[str, str]:
    """Every value as DICOM writes it, parts joined by a backslash; "" for one that is missing or broken."""
    texts = dict.fromkeys(_TAGS, "")
    for name in _TAGS:
        with contextlib.suppress(Exception):  # pydicom raises whatever a broken value makes it raise
            found = data.get(name)
            parts = [] if found is None else found if isinstance(found, MutableSequence) else [found]
            texts[name] = "\\".join(str(part).strip(" \0") for part in parts)
    return texts


def _is_date(text: str) -> bool:
    return len(text) == 8 and text.isdigit() and "01" <= text[4:6] <= "12" and "01" <= text[6:] <= "31"
