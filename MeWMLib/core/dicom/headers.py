"""One DICOM file: what it is, and its slices if it is a CT. Nothing of a file is unpacked here.

File names are never trusted: a file is DICOM if its bytes say so. pydicom walks through the elements; the few values
that are needed are taken as they stand, since a whole data set for each of hundreds of slices costs more than reading
their voxels.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import contextlib
import io
import re
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from MeWMLib.core.dicom.frames import frame_records
from MeWMLib.core.dicom.kinds import CLASSIC_CT, kind_of
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.dicom.records import (
    BadFile,
    DicomObject,
    FileHeader,
    PixelLayout,
    SliceRecord,
    numbers,
    upper_parts,
)
from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.limits import max_voxel_bytes

NATIVE = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
_PIXELS, _FLOAT_PIXELS = 0x7FE00010, (0x7FE00008, 0x7FE00009)
#: Tags of the shared and the per-frame functional groups; every element before them applies to all frames.
_GROUPS = (0x52009229, 0x52009230)
_UNDEFINED = 0xFFFFFFFF
#: Fields of `FileHeader` and of `SliceRecord` to the tags that they are read from, as texts.
_FILE_TEXTS = {
    "sop": 0x00080018,
    "study": 0x0020000D,
    "series": 0x0020000E,
    "series_number": 0x00200011,
    "description": 0x0008103E,
    "patient_id": 0x00100020,
    "patient_name": 0x00100010,
    "frame_of_reference": 0x00200052,
}
_SLICE_TEXTS = {
    "units": 0x00281054,
    "acquisition": 0x00200012,
    "temporal": 0x00200100,
    "contrast": 0x00180010,
    "kernel": 0x00181210,
}
_VECTORS = {"spacing": 0x00280030, "axes": 0x00200037, "position": 0x00200032}
#: Two-byte numbers of the layout, and what counts where one is missing.
_LAYOUT = {
    "rows": (0x00280010, 0),
    "columns": (0x00280011, 0),
    "samples": (0x00280002, 1),
    "bits": (0x00280100, 16),
    "stored": (0x00280101, 0),
    "high": (0x00280102, -1),
    "signed": (0x00280103, 0),
}
_CHARSET, _IMAGE_TYPE, _SOP_CLASS, _MODALITY, _REMOVED, _THICKNESS = (
    0x00080005, 0x00080008, 0x00080016, 0x00080060, 0x00120062, 0x00180050,
)  # fmt: skip
_DATES, _TIMES = (0x00080020, 0x00080021, 0x00080022, 0x00080023), (0x00080032, 0x00080033)
_INSTANCE, _FRAMES, _LOSSY, _LOOKUP, _INTERCEPT, _SLOPE = (
    0x00200013, 0x00280008, 0x00282110, 0x00283000, 0x00281052, 0x00281053,
)  # fmt: skip
_PADDING, _PADDING_LIMIT = 0x00280120, 0x00280121
#: OverlayBitPosition of each overlay; one above the stored bits says which bit of every voxel is not the CT's.
_OVERLAYS = tuple(0x60000102 + (n << 17) for n in range(16))
_TAGS = [
    *(*_FILE_TEXTS.values(), *_SLICE_TEXTS.values(), *_VECTORS.values(), *(tag for tag, _ in _LAYOUT.values())),
    *(_CHARSET, _IMAGE_TYPE, _SOP_CLASS, _MODALITY, _REMOVED, _THICKNESS, *_DATES, *_TIMES, _INSTANCE, _FRAMES),
    *(_LOSSY, _LOOKUP, _INTERCEPT, _SLOPE, _PADDING, _PADDING_LIMIT, *_OVERLAYS),
]


def is_dicom(head: bytes) -> bool:
    """True if the first 132 bytes of a file say that it is DICOM."""
    if head[128:132] == b"DICM":
        return True
    # files without the 128-byte preamble begin with group 0002 or 0008 in little-endian, with an element of a low
    # number, and with its type or its short length; voxels of another file may begin with the same number
    group, element, named = head[:2], head[2:4], re.match(rb"[A-Z]{2}", head[4:6])
    return (
        group in (b"\2\0", b"\x08\0")
        and element < b"\x20\0"
        and element[1:] == b"\0"
        and (named is not None or head[5:8] == b"\0\0\0")
    )


def read_object(path: Path) -> DicomObject | None:
    """Read one file's header; None if the file is not DICOM.

    Raises:
        UnreadableFileError: DICOM, but damaged or cut.
        OSError: the operating system refuses.
    """
    found = look_at(path)
    if isinstance(found, BadFile):
        raise UnreadableFileError(found.reason, given=str(path), remedy="Export the series again from the PACS")
    return found


def look_at(path: Path) -> DicomObject | BadFile | None:
    """As `read_object`, with what is wrong as a `BadFile`; a file that is no CT is not looked into."""
    package("pydicom")
    size = path.stat().st_size
    with path.open("rb", buffering=1 << 16) as file:
        head = file.read(132)
        if not is_dicom(head):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PACS exports break the standard all the time; values are checked here
            elements = _Elements()
            try:
                elements.read(file, head, path)
                return _object(path, size, elements)
            except _Fault as fault:
                return _bad(path, elements, str(fault))
            except UnreadableFileError as error:
                return _bad(path, elements, error.what[0].lower() + error.what[1:])
            except OSError:
                raise
            except Exception:  # pydicom raises whatever a broken value makes it raise
                return _bad(path, elements, "a DICOM file is damaged")


def _bad(path: Path, elements: _Elements, reason: str) -> DicomObject | BadFile:
    """A file that cannot be read; it is passed over all the same where it says that it is no CT."""
    kind = kind_of(elements.sop_class, elements.text(_MODALITY).upper())
    if kind in ("image", "document", "segmentation"):
        with contextlib.suppress(Exception):
            return DicomObject(_header(path, path.stat().st_size, kind, elements, None))
    return BadFile(path, reason, elements.text(_FILE_TEXTS["series"]))


class _Fault(Exception):
    """What is wrong with a CT."""


def _refuse(reason: str) -> NoReturn:
    raise _Fault(reason)


class _Elements:
    """Values of one file up to its voxels, by tag, as they stand in the file."""

    def __init__(self) -> None:
        self.values: dict[int, Any] = {}
        self.groups: dict[int, Any] = {}
        self.syntax = self._meta_class = ""
        self.explicit = self.little = True
        #: Tag and length of the voxels, and the byte where they begin; None where there are none.
        self.pixels: tuple[int, int, int] | None = None

    def read(self, file: BinaryIO, head: bytes, path: Path) -> None:
        """Walk through a file; `head` are its first 132 bytes, which were read."""
        from pydicom.filereader import data_element_generator

        whole = head[128:132] == b"DICM"
        if not whole:
            file.seek(0)
        if whole or head[:2] == b"\2\0":
            meta = {}
            for one in data_element_generator(file, False, True, stop_when=lambda tag, vr, n: tag >> 16 != 2):
                if _whole(one):
                    meta[int(one.tag)] = one
            self._meta_class, self.syntax = _text(meta.get(0x00020002)), _text(meta.get(0x00020010))
        if self.syntax == DEFLATED:
            file = io.BytesIO(inflated(path, file.tell()))
            file.seek(self._deflated_at(path))
        self.little = self.syntax != BIG_ENDIAN
        start = file.tell()
        peek = file.read(6)
        file.seek(start)
        # some writers name the other form than they write
        self.explicit = bool(re.fullmatch(rb"[A-Z]{2}", peek[4:6]))
        stop: list[tuple[int, int]] = []

        def at_end(tag: int, vr: str | None, length: int) -> bool:
            if tag >= _GROUPS[0] and (tag in _GROUPS or tag == _PIXELS or tag in _FLOAT_PIXELS):
                stop.append((int(tag), length))
                return True
            return False

        self._take(data_element_generator(file, not self.explicit, self.little, at_end, specific_tags=_TAGS), file)
        if stop and stop[-1][0] in _GROUPS:
            stop.clear()

            def at_pixels(tag: int, vr: str | None, length: int) -> bool:
                return tag not in _GROUPS and at_end(tag, vr, length)

            found = data_element_generator(file, not self.explicit, self.little, at_pixels, specific_tags=list(_GROUPS))
            self.groups = {int(one.tag): one for one in found}
        if stop:
            long = self.explicit  # OB and OW have a two-byte representation, two empty bytes and a length of four
            self.pixels = (*stop[-1], file.tell() + (12 if long else 8))

    def _take(self, found: Any, file: BinaryIO) -> None:
        for one in found:
            if not _whole(one):
                return
            self.values[int(one.tag)] = one

    @staticmethod
    def _deflated_at(path: Path) -> int:
        with path.open("rb") as file:
            head = file.read(144)
        return 144 + int(struct.unpack("<I", head[140:144])[0])

    @property
    def sop_class(self) -> str:
        """SOPClassUID, of the data set or else of the file's own header."""
        return self.text(_SOP_CLASS) or self._meta_class

    def text(self, tag: int) -> str:
        """A value as DICOM writes it, parts joined by a backslash; "" for one that is missing."""
        value = getattr(self.values.get(tag), "value", None)
        if not isinstance(value, bytes):
            return ""
        return value.decode("ascii").strip(" \0") if value.isascii() else self._decoded(value)

    def _decoded(self, value: bytes) -> str:
        from pydicom.charset import convert_encodings, decode_bytes

        with contextlib.suppress(Exception):
            parts = _text(self.values.get(_CHARSET)).split("\\")
            return decode_bytes(value, convert_encodings(parts), {0x5C, 0x5E, 0x3D}).strip(" \0")
        return value.decode("latin-1").strip(" \0")

    def number(self, tag: int) -> float | None:
        """The one number of a value; None where it is missing or broken."""
        found = numbers(self.text(tag))
        return found[0] if len(found) == 1 else None

    def whole(self, tag: int, default: int) -> int:
        """A whole number that is written as text."""
        found = self.number(tag)
        return default if found is None else int(found)

    def short(self, tag: int, default: int, signed: bool = False) -> int:
        """A number of two bytes."""
        one = self.values.get(tag)
        if one is None or not one.value or len(one.value) < 2:
            return default
        form = ("<" if self.little else ">") + ("h" if signed else "H")
        return int(struct.unpack(form, one.value[:2])[0])


def _whole(one: Any) -> bool:
    """False where the file ends inside a value, which pydicom cuts without a word."""
    value = getattr(one, "value", None)
    return not isinstance(value, bytes) or getattr(one, "length", 0) in (len(value), _UNDEFINED)


def _text(one: Any) -> str:
    value = getattr(one, "value", None)
    return value.decode("latin-1").strip(" \0") if isinstance(value, bytes) else ""


def inflated(path: Path, start: int | None = None) -> bytes:
    """A deflated file as if it were not: what is before byte `start`, and the data set unpacked.

    Raises:
        UnreadableFileError: it unpacks to more than an image may have; a small file can hold gigabytes.
    """
    start = _Elements._deflated_at(path) if start is None else start
    content = path.read_bytes()
    limit = max_voxel_bytes() + (64 << 20)
    unpacked = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content[start:], limit + 1)
    if len(unpacked) > limit:
        raise UnreadableFileError(what="A deflated DICOM file unpacks to more than an image may have", given=str(path))
    return content[:start] + unpacked


def _object(path: Path, size: int, elements: _Elements) -> DicomObject:
    modality = elements.text(_MODALITY).upper()
    kind = kind_of(elements.sop_class, modality)
    if kind is None:
        _refuse("a DICOM file is damaged or does not say what it is")
    if kind != "ct":
        return DicomObject(_header(path, size, kind, elements, None))
    header = _header(path, size, kind, elements, _layout(path, size, elements))
    layout = header.layout
    assert layout is not None
    lookup, padding = _LOOKUP in elements.values, _padding(elements, layout.signed)
    common: dict[str, Any] = {name: elements.text(tag) for name, tag in _SLICE_TEXTS.items()}
    common |= {"file": header, "layout": layout, "lookup": lookup, "padding": padding}
    common |= {"slope": elements.number(_SLOPE), "intercept": elements.number(_INTERCEPT)}
    common["instance"] = elements.whole(_INSTANCE, 0)
    common["time"] = "\\".join(found for tag in _TIMES if (found := elements.text(tag)))
    if elements.groups or header.sop_class not in (CLASSIC_CT, ""):
        return DicomObject(header, frame_records(elements.groups, common, _refuse))
    if layout.frames != 1:
        _refuse(f"a DICOM file says that it has {layout.frames} frames, but not where each of them lies")
    vectors = {name: elements.text(tag) for name, tag in _VECTORS.items()}
    # each of these has several parts; a lone number is a broken value
    common |= {name: numbers(text) if "\\" in text else () for name, text in vectors.items()}
    one = SliceRecord(
        **common,
        image_type=header.image_type,
        thickness=(*numbers(elements.text(_THICKNESS)), 0.0)[0],
    )
    return DicomObject(header, (one,))


def _header(path: Path, size: int, kind: Any, elements: _Elements, layout: PixelLayout | None) -> FileHeader:
    return FileHeader(
        path=path,
        size=size,
        kind=kind,
        sop_class=elements.sop_class,
        modality=elements.text(_MODALITY).upper() or {"ct": "CT", "segmentation": "SEG"}.get(kind, ""),
        identity_removed=elements.text(_REMOVED).upper() == "YES",
        date=next((found for tag in _DATES if _is_date(found := elements.text(tag))), ""),
        image_type=upper_parts(elements.text(_IMAGE_TYPE)),
        lossy=elements.text(_LOSSY) == "01",
        layout=layout,
        **{name: elements.text(tag) for name, tag in _FILE_TEXTS.items()},
    )


def _layout(path: Path, size: int, elements: _Elements) -> PixelLayout:
    """How the voxels lie in a CT, checked against what the file has."""
    values = {name: elements.short(tag, missing) for name, (tag, missing) in _LAYOUT.items()}
    values["stored"] = values["stored"] or values["bits"]
    values["high"] = values["high"] if values["high"] >= 0 else values["stored"] - 1
    frames = elements.whole(_FRAMES, 1)
    if 0 in (values["rows"], values["columns"]):
        _refuse("a DICOM file is cut in its header, or holds no image")
    if not values["stored"] <= values["high"] + 1 <= values["bits"]:
        _refuse(
            f"a DICOM file says that {values['stored']} bits up to bit {values['high']} are stored in {values['bits']}"
        )
    if frames < 1:
        _refuse(f"a DICOM file says that it has {frames} frames")
    if elements.pixels is None:
        _refuse("a DICOM file is cut before its voxels, or has none")
    tag, length, start = elements.pixels
    compressed = elements.syntax not in (*NATIVE, DEFLATED, "")
    signed = values.pop("signed") == 1
    bits = [elements.short(tag, 0) for tag in _OVERLAYS if tag in elements.values]
    layout = PixelLayout(
        **values,
        signed=signed,
        frames=frames,
        little_endian=elements.little,
        syntax=elements.syntax,
        compressed=compressed,
        start=start,
        overlays=sum({1 << bit for bit in bits if values["high"] < bit < values["bits"]}),
    )
    if tag != _PIXELS:
        _refuse("a DICOM file holds fractions instead of the stored values of a CT")
    if compressed != (length == _UNDEFINED):
        _refuse("a DICOM file names another form of its voxels (transfer syntax) than it has")
    if compressed:
        if not _ends(path, start):
            _refuse("a DICOM file is cut: it ends before its last voxel")
        return layout
    declared = layout.rows * layout.columns * layout.samples * layout.bits * frames
    if elements.syntax != DEFLATED and start + length > size:
        _refuse("a DICOM file is cut: it ends before its last voxel")
    if not 0 <= length - (declared + 7) // 8 <= 1:
        _refuse(
            f"a DICOM file is cut or damaged: it declares {frames} x {layout.rows} x {layout.columns} voxels "
            f"({declared // 8} bytes) and holds {length} bytes"
        )
    return layout


def _ends(path: Path, start: int) -> bool:
    """True if the delimiter that follows the last fragment is there."""
    with path.open("rb") as file:
        file.seek(start)
        return b"\xfe\xff\xdd\xe0" in file.read()


def _padding(elements: _Elements, signed: bool) -> tuple[int, int] | None:
    if _PADDING not in elements.values:
        return None
    first = elements.short(_PADDING, 0, signed)
    last = elements.short(_PADDING_LIMIT, first, signed)
    return min(first, last), max(first, last)


def _is_date(text: str) -> bool:
    return len(text) == 8 and text.isdigit() and "01" <= text[4:6] <= "12" and "01" <= text[6:] <= "31"
