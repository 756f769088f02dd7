"""A checksum that travels inside an object: of its pixels and where they lie, its document, or its measurements.

It stands as text in a standard attribute (ContributionDescription of our ContributingEquipmentSequence item), which a
PACS keeps; so an object that comes back alone, without the list of files that it left with, can still be checked.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import MeWMLib
from MeWMLib.core.dicom.packages import package
from MeWMLib.exchange.attributes import coded, long_text

MANUFACTURER = "MeWM"
_PREFIX = "content SHA-256 "
_FOUND = re.compile(re.escape(_PREFIX) + r"([0-9a-f]{64})")
_SYNTHESIZING = ("109100", "DCM", "Synthesizing Equipment")
#: What says how bytes become voxels, and where these are.
_GRID = (
    "Rows", "Columns", "NumberOfFrames", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleSlope",
    "RescaleIntercept", "PixelSpacing", "ImageOrientationPatient", "ImagePositionPatient", "SegmentationType",
)  # fmt: skip
_POSITION = "ImagePositionPatient"
_BYTES = ("PixelData", "FloatPixelData", "EncapsulatedDocument")


#: Position of a frame and number of its segment, as far as its own groups tell (None, "").
Told = tuple[Sequence[Any] | None, int | str]


def fingerprint(data: Any, pixels: Iterable[Any] = (), frames: Iterable[Told] | None = None) -> str:
    """SHA-256 in hex of what a dataset shows.

    Args:
        data: the dataset.
        pixels: its pixels, a piece after the other, where it does not hold them itself.
        frames: what is told of each of its frames, where it does not hold them itself.
    """
    digest = hashlib.sha256(_grid(data))
    for place, segment in _frames(data) if frames is None else frames:
        digest.update(f"{_plain(place) if place is not None else ''}:{segment};".encode())
    if data.get("Modality") == "SR":
        items = [item.to_json_dict() for item in data.ContentSequence]
        digest.update(json.dumps(items, sort_keys=True).encode())
    for name in _BYTES:
        if name in data:
            digest.update(data[name].value)
    for piece in pixels:
        digest.update(piece)
    return digest.hexdigest()


def _frames(data: Any) -> Iterator[Told]:
    for frame in data.get("PerFrameFunctionalGroupsSequence") or ():
        place, shown = frame.get("PlanePositionSequence"), frame.get("SegmentIdentificationSequence")
        yield (
            list(place[0].ImagePositionPatient) if place else None,
            int(shown[0].ReferencedSegmentNumber) if shown else "",
        )


class SliceFingerprint:
    """`fingerprint` of the slices of one series, whose grid but for the position is put into words once.

    Args:
        data: what they share.
    """

    def __init__(self, data: Any) -> None:
        before, after = _GRID.index(_POSITION), _GRID.index(_POSITION) + 1
        self._before, self._after = _grid(data, _GRID[:before]), _grid(data, _GRID[after:])

    def of(self, position: Sequence[Any], pixels: Any) -> str:
        """Of one slice at an ImagePositionPatient."""
        digest = hashlib.sha256(self._before + _words(_POSITION, list(position)) + self._after)
        digest.update(pixels)
        return digest.hexdigest()


def _grid(data: Any, names: Sequence[str] = _GRID) -> bytes:
    return b"".join(_words(name, data.get(name)) for name in names if data.get(name) is not None)


def _words(name: str, value: Any) -> bytes:
    return f"{name}={_plain(value)};".encode()


def _plain(value: Any) -> str:
    """Numbers as they are and not as they are printed, which a PACS may change."""
    values = value if isinstance(value, list | tuple) or hasattr(value, "append") else [value]
    return "\\".join(str(one) if isinstance(one, str) and not _number(one) else repr(float(one)) for one in values)


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def sign(data: Any, said: str = "", pixels: Iterable[Any] = (), frames: Iterable[Told] | None = None) -> None:
    """Name MeWM as the equipment that made an object, with its fingerprint; other equipment stays.

    Args:
        data: complete but for this.
        said: how it was made; begins the description.
        pixels, frames: as for `fingerprint`.
    """
    item = equipment(said, fingerprint(data, pixels, frames))
    data.ContributingEquipmentSequence = [*(data.get("ContributingEquipmentSequence") or ()), item]


def equipment(said: str, content: str) -> Any:
    """MeWM as a contributing equipment, with how an object was made and the fingerprint of it."""
    item = package("pydicom").Dataset()
    item.Manufacturer, item.ManufacturerModelName = MANUFACTURER, "MeWM"
    item.SoftwareVersions = MeWMLib.__version__
    ending = _PREFIX + content
    # the checksum is at the end and must not be cut
    room = 1024 - len(ending) - 2
    item.ContributionDescription = f"{long_text(said)[:room]}. {ending}" if said else ending
    item.PurposeOfReferenceCodeSequence = [coded(*_SYNTHESIZING)]
    return item


def signed_with(data: Any) -> str:
    """The fingerprint that an object carries; "" where it carries none."""
    for item in data.get("ContributingEquipmentSequence") or ():
        found = _FOUND.search(str(item.get("ContributionDescription", "")))
        if item.get("Manufacturer") == MANUFACTURER and found:
            return found[1]
    return ""
