"""One strict grammar of NRRD for what a server is sent, and the file written anew from what was understood.

The worker reads with another parser than the server. A header that both read differently could make the worker open a
file of somebody else, so no byte of a header that was sent reaches it: the server reads the few forms that its client
writes, unpacks the voxels against the size that they declare, and writes a header of its own before them.

The grammar is the NRRD format (http://teem.sourceforge.net/nrrd/format.html), of which only this is taken: version 4 or
5, lines that end by one line feed, three axes of space, whole numbers or floats, voxels in the same file, raw or gzip.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from MeWMLib.core.errors import InputError, UploadTooLargeError

#: The header of a NRRD file of ours ends before this (bytes).
MOST_HEADER = 1 << 16
_BLOCK = 1 << 20
_MOST_LINES, _MOST_AXIS = 400, 1 << 15
_NUMBER = r"-?(?:\d{1,12}(?:\.\d{0,20})?|\.\d{1,20})(?:e[+-]?\d{1,3})?"
_VECTOR = rf"\({_NUMBER},{_NUMBER},{_NUMBER}\)"
#: Names of types that ITK and MeWM write, and bytes of one number.
_TYPES = {
    "signed char": 1, "int8": 1, "unsigned char": 1, "uchar": 1, "uint8": 1,
    "short": 2, "int16": 2, "unsigned short": 2, "ushort": 2, "uint16": 2,
    "int": 4, "int32": 4, "unsigned int": 4, "uint": 4, "uint32": 4,
    "float": 4, "double": 8,
}  # fmt: skip
#: Every field that may stand there, with what it may be. One that is absent here is refused by name.
_FIELDS: dict[str, re.Pattern[str]] = {
    "type": re.compile("|".join(map(re.escape, _TYPES))),
    "dimension": re.compile("3"),
    "space": re.compile("left-posterior-superior|right-anterior-superior"),
    "sizes": re.compile(r"[1-9]\d{0,4} [1-9]\d{0,4} [1-9]\d{0,4}"),
    "space directions": re.compile(f"{_VECTOR} {_VECTOR} {_VECTOR}"),
    "space origin": re.compile(_VECTOR),
    "kinds": re.compile("domain domain domain"),
    "endian": re.compile("little|big"),
    "encoding": re.compile("raw|gzip"),
}
_NEEDED = ("type", "dimension", "space", "sizes", "space directions", "space origin", "encoding")
#: Keys with values: those of MeWM, and of segments. Printable ASCII, so that no line end of any kind is in them.
_PAIR = re.compile(r"((?:MeWM_[A-Za-z_0-9]{1,40}|Segment\d{1,3}_[A-Za-z]{1,40})):=([\x20-\x7e]{0,2000})")
_FIELD = re.compile(r"([a-z]+(?: [a-z]+)?): ([\x20-\x7e]{1,400})")


@dataclass(frozen=True)
class Header:
    """What was understood of a header.

    Attributes:
        fields, pairs: as they were sent, each checked.
        voxels: bytes of all voxels, unpacked.
        length: bytes of the header.
    """

    fields: dict[str, str]
    pairs: dict[str, str]
    voxels: int
    length: int

    def text(self) -> bytes:
        """A header with the same meaning, for voxels that are not packed."""
        told = {**self.fields, "encoding": "raw"}
        lines = ["NRRD0004", *(f"{name}: {told[name]}" for name in _FIELDS if name in told)]
        lines += [f"{key}:={value}" for key, value in self.pairs.items()]
        return "\n".join((*lines, "", "")).encode("ascii")


def _refused(name: str, why: str) -> InputError:
    return InputError(
        what="An uploaded file is not a NRRD file with its own voxels, as MeWM's client writes it",
        given=f"{name}: {why}",
        remedy="Send it with MeWM's own client of the same version",
    )


def read_header(begin: bytes, name: str) -> Header:
    """Read the header of a file.

    Args:
        begin: the first `MOST_HEADER` bytes of the file, or all.
        name: of the file, for the error.

    Raises:
        InputError: anything but the grammar above.
    """
    head, blank, _ = begin.partition(b"\n\n")
    if not blank:
        raise _refused(name, "its header has no end")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise _refused(name, "its header is not ASCII") from error
    if lines[0] not in ("NRRD0004", "NRRD0005") or len(lines) > _MOST_LINES:
        raise _refused(name, "its first line is not NRRD0004 or NRRD0005")
    fields: dict[str, str] = {}
    pairs: dict[str, str] = {}
    for line in lines[1:]:
        if not line.isprintable():
            raise _refused(name, "a line holds a control character")
        if line.startswith("#"):
            continue
        pair, field = _PAIR.fullmatch(line), _FIELD.fullmatch(line)
        if pair is not None and pair[1] not in pairs:
            pairs[pair[1]] = pair[2]
        elif field is not None and field[1] in _FIELDS and field[1] not in fields:
            if not _FIELDS[field[1]].fullmatch(field[2]):
                raise _refused(name, f"the field {field[1]} is {field[2][:60]!r}")
            fields[field[1]] = field[2]
        else:
            raise _refused(name, f"the line {line[:60]!r}")
    missing = [one for one in _NEEDED if one not in fields]
    if missing:
        raise _refused(name, f"it has no {missing[0]}")
    for axes in ("space directions", "space origin"):
        if not all(math.isfinite(float(one)) for one in re.findall(_NUMBER, fields[axes])):
            raise _refused(name, f"the field {axes} is not finite")
    size = _TYPES[fields["type"]]
    if size > 1 and "endian" not in fields:
        raise _refused(name, "it has no endian")
    voxels = size
    for axis in map(int, fields["sizes"].split(" ")):
        if axis > _MOST_AXIS:
            raise _refused(name, f"an axis of {axis} voxels")
        voxels *= axis
    return Header(fields, pairs, voxels, len(head) + 2)


def rewrite(source: Path, target: Path, most: int, name: str) -> int:
    """Write a file anew that was sent; the size that it declares is checked before anything is unpacked.

    Args:
        source: as it was sent.
        target: the new file.
        most: bytes of voxels that are taken.
        name: of the file, for the error.

    Returns:
        bytes of voxels, unpacked.

    Raises:
        InputError: not of the grammar, or it holds another number of bytes than it declares.
        UploadTooLargeError: it declares more than `most`.
    """
    with source.open("rb") as stream:
        header = read_header(stream.read(MOST_HEADER), name)
        if header.voxels > most:
            raise UploadTooLargeError(
                what="A file unpacks to more than what the server takes",
                given=f"{name}: {header.voxels / 1024**2:.0f} MB of voxels, at most {most / 1024**2:.0f} MB",
                remedy="Crop the CT around the liver, or start the server with a larger --max-upload-mb",
            )
        stream.seek(header.length)
        packed = header.fields["encoding"] == "gzip"
        left = header.voxels
        with target.open("wb") as written:
            written.write(header.text())
            try:
                for block in _unpacked(stream) if packed else iter(lambda: stream.read(_BLOCK), b""):
                    left -= len(block)
                    if left < 0:
                        break
                    written.write(block)
            except zlib.error as error:
                raise _refused(name, "its voxels cannot be unpacked") from error
        if left:
            raise _refused(name, "it holds " + ("more" if left < 0 else "fewer") + " voxels than it declares")
    return header.voxels


def _unpacked(stream: BinaryIO) -> Iterator[bytes]:
    """The content of one gzip member, at most a block at a time, however well it was packed."""
    unpacking = zlib.decompressobj(31)
    while not unpacking.eof:
        fed = unpacking.unconsumed_tail or stream.read(_BLOCK)
        if not fed:
            raise zlib.error
        block = unpacking.decompress(fed, _BLOCK)
        if block:
            yield block
    if unpacking.unused_data or stream.read(1):
        raise zlib.error
