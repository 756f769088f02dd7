"""Datasets that are encoded once and written many times, each time with a few other elements.

pydicom encodes a dataset of a CT slice in more time than it takes to write its pixels. So what all slices of a series
share becomes bytes once; what differs is put between them. Explicit little endian throughout.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import functools
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from MeWMLib.core.dicom.packages import package

#: The character set that every object of ours declares.
UTF_8 = "ISO_IR 192"
#: What files begin with.
PREAMBLE = b"\0" * 128 + b"DICM"
_ITEM = b"\xfe\xff\x00\xe0"


class Template:
    """A dataset whose elements of some names are given anew each time.

    Args:
        data: all other elements.
        changing: names of the elements that are given.
    """

    def __init__(self, data: Any, changing: Sequence[str]) -> None:
        tags = sorted((int(package("pydicom").tag.Tag(name)), name) for name in changing)
        self._names = [name for _, name in tags]
        edges = [-1, *(tag for tag, _ in tags), 1 << 32]
        self._fixed = [
            encoded([one for one in data if low < int(one.tag) < high])
            for low, high in zip(edges, edges[1:], strict=False)
        ]

    def filled(self, elements: Mapping[str, bytes]) -> bytes:
        """All elements in their order; one that is not given is left out."""
        pieces = [self._fixed[0]]
        for name, fixed in zip(self._names, self._fixed[1:], strict=True):
            pieces += [elements.get(name, b""), fixed]
        return b"".join(pieces)


def encoded(elements: Sequence[Any]) -> bytes:
    """Elements as pydicom encodes them."""
    pydicom = package("pydicom")
    data = pydicom.Dataset()
    for one in elements:
        data.add(one)
    buffer = pydicom.filebase.DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    pydicom.filewriter.write_dataset(buffer, data, UTF_8)
    content: bytes = buffer.getvalue()
    return content


def text_element(name: str, vr: str, text: str) -> bytes:
    """An element of ASCII with a length of 16 bits, such as a UID (UI) or a number in digits (DS, IS)."""
    value = text.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    return _tag(name) + vr.encode() + struct.pack("<H", len(value)) + value


def number_element(name: str, vr: str, values: Sequence[int]) -> bytes:
    """An element of whole numbers of 16 (US) or 32 bits (UL)."""
    value = struct.pack(f"<{len(values)}{'H' if vr == 'US' else 'I'}", *values)
    return _tag(name) + vr.encode() + struct.pack("<H", len(value)) + value


def long_element(name: str, vr: str, length: int) -> bytes:
    """The head of an element with a length of 32 bits (OB, OW, OF, SQ); its value follows."""
    return _tag(name) + vr.encode() + b"\0\0" + struct.pack("<I", length)


def sequence(name: str, items: Sequence[bytes]) -> bytes:
    """A sequence of items that are encoded already."""
    content = b"".join(_ITEM + struct.pack("<I", len(one)) + one for one in items)
    return long_element(name, "SQ", len(content)) + content


class FileHead:
    """What stands in a file before its dataset: preamble and meta information.

    Args:
        sop_class: of all its files.
    """

    def __init__(self, sop_class: str) -> None:
        pydicom = package("pydicom")
        meta = pydicom.Dataset()
        meta.FileMetaInformationVersion, meta.MediaStorageSOPClassUID = b"\0\x01", sop_class
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        meta.ImplementationClassUID = pydicom.uid.PYDICOM_IMPLEMENTATION_UID
        self._rest = Template(meta, ["MediaStorageSOPInstanceUID"])

    def filled(self, sop: str) -> bytes:
        """For one object."""
        name = "MediaStorageSOPInstanceUID"
        content = self._rest.filled({name: text_element(name, "UI", sop)})
        length = _tag("FileMetaInformationGroupLength") + b"UL" + struct.pack("<HI", 4, len(content))
        return PREAMBLE + length + content


@functools.cache
def _tag(name: str) -> bytes:
    tag = int(package("pydicom").tag.Tag(name))
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF)
