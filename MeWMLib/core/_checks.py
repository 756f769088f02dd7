"""Is the file whole, is its spacing real, and is the image a CT? Private to `core/io.py`.

ITK reads a NIfTI file that was cut without an error (the rest is zero or noise) and replaces a zero spacing by 1 mm.
Both would give a plan on wrong data, so the raw header and the number of bytes are checked here first.
"""

from __future__ import annotations

import gzip
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, NotCTError, UnreadableFileError

#: Lowest HU of a CT; lower values are padding outside the scanner's circle (-2000, -3024, -8192 ...).
PADDING_HU = -1024
#: A CT holds fat (about -100 HU) or air (-1000); an image with no voxel below this is not a CT in HU.
FAT_OR_AIR_HU = -20
#: Fat and enhanced vessels or bone differ by at least this many HU; a normalised image spans less.
MIN_RANGE_HU = 200
#: Above any metal on the extended CT scale that is in use.
MAX_HU = 20000

_GZIP_MAGIC = b"\x1f\x8b"
_DAMAGED = (OSError, EOFError, zlib.error)
#: First number of a NIfTI header to its magic words, where they begin, and format and place of the sizes of the image
#: and of a voxel, of the bits of a voxel, and of the offset of the voxels.
_NIFTI: dict[int, tuple[tuple[bytes, ...], int, tuple[tuple[str, int], ...]]] = {
    348: ((b"n+1\0", b"ni1\0", b"\0\0\0\0"), 344, (("8h", 40), ("8f", 76), ("h", 72), ("f", 108))),
    540: ((b"n+2\0", b"ni2\0"), 4, (("8q", 16), ("8d", 104), ("h", 14), ("q", 168))),
}
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(
        ("short", "short int", "signed short", "int16", "int16_t", "ushort", "unsigned short", "uint16"), 2
    ),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "float"), 4),
    **dict.fromkeys(("longlong", "long long", "int64", "int64_t", "ulonglong", "uint64", "double"), 8),
}


def require_whole_file(path: Path) -> None:
    """Check the header and the number of bytes of a NIfTI, NRRD or MetaImage file.

    Raises:
        UnreadableFileError: the file is of another format than its name says, or ends early.
        GeometryError: its header says that the spacing is zero, negative or not a number.
    """
    checks = {(".nii", ".nii.gz"): _check_nifti, (".nrrd", ".nhdr"): _check_nrrd, (".mha", ".mhd"): _check_meta}
    try:
        for suffixes, check in checks.items():
            if path.name.lower().endswith(suffixes):
                check(path)
    except (*_DAMAGED, struct.error, ValueError) as error:
        raise _unreadable(path, "cannot be read") from error


def require_ct_range(array: NDArray[Any]) -> None:
    """Check that finite voxels can be Hounsfield units. These four rules are all there is.

    1. At least one voxel is below -20 HU, since any field of view holds fat or air. It refuses stored values without
       rescale intercept, MR, ultrasound, photographs, label maps and images scaled to [0, 1]. A CT cropped or clipped
       at about -200 HU passes.
    2. The values span at least 200 HU. It refuses images scaled to [-1, 1] or to zero mean and unit variance.
    3. No value is above 20000.
    4. Something is denser than water: an image of nothing but air and fat shows no liver.

    Raises:
        NotCTError: a rule is broken; the message says which and what the image looks like.
    """
    low, high = float(array.min()), float(array.max())
    rules = (
        (low >= FAT_OR_AIR_HU, *_what_else(array.dtype.kind, low, high)),
        (high - low < MIN_RANGE_HU, "The values span too little for a CT", "Give the CT in HU"),
        (high > MAX_HU, "The values are too high for a CT", "Give the CT in Hounsfield units"),
        (high <= 0, "The image holds nothing denser than water", "Give a CT of the liver"),
    )
    for broken, what, remedy in rules:
        if broken:
            raise NotCTError(what, given=f"values from {low:g} to {high:g}, type {array.dtype}", remedy=remedy)


def _what_else(kind: str, low: float, high: float) -> tuple[str, str]:
    """What an image without fat and air looks like, and what to do."""
    if kind == "f" and high - low <= 20:
        return "The image was normalised and holds no Hounsfield units", "Give the original CT"
    if kind in "iu" and high <= 20:
        return "The image looks like a label map", "Give the CT here and the labels as labels"
    if high <= 255:
        return "The image looks like a picture with grey values from 0 to 255", "Give the original CT"
    return (
        "The image holds no fat and no air: it is not a CT in Hounsfield units",
        "Give a CT; if it is one, export it with its rescale intercept (usually -1024)",
    )


def _unreadable(path: Path, what: str) -> UnreadableFileError:
    return UnreadableFileError(what=f"The file {what}", given=str(path), remedy="Copy or export the file again")


def _wrong_format(path: Path, format_name: str) -> UnreadableFileError:
    with path.open("rb") as file:
        head = file.read(4)
    found = "a JPEG picture" if head[:3] == b"\xff\xd8\xff" else "a PNG picture" if head == b"\x89PNG" else repr(head)
    return UnreadableFileError(
        what=f"The file is not a {format_name} file, whatever its name says",
        given=f"{path}, which begins as {found}" if head else f"{path}, which is empty",
        remedy="Give a DICOM folder or a NIfTI, NRRD or MetaImage file",
    )


def _require_spacing(values: list[float], path: Path) -> None:
    if any(not math.isfinite(v) or v <= 0 for v in values):
        raise GeometryError(
            what="The voxel spacing in the header is zero, negative or not a number",
            given=f"{path}: " + " x ".join(f"{v:g}" for v in values) + " mm",
            remedy="Export the CT again; the size of the voxels cannot be guessed",
        )


def _require_bytes(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise UnreadableFileError(
            what="The file ends early or is damaged",
            given=f"{path}, {found} of {expected} bytes",
            remedy="Copy or export the file again",
        )


def _unzipped_size(path: Path, start: int, expected: int) -> int:
    """Size of the zipped content from byte `start` on; the trailer is trusted where it says what was expected."""
    size = 0
    with path.open("rb") as raw:
        raw.seek(-4, 2)
        if struct.unpack("<I", raw.read(4))[0] == expected % 2**32:
            return expected
        raw.seek(start)
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                while block := file.read(1 << 22):
                    size += len(block)
        except _DAMAGED:
            return min(size, expected - 1)  # damaged: never counts as whole
    return size


def _check_nifti(path: Path) -> None:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
    opener: Any = gzip.open if zipped else open
    with opener(path, "rb") as file:
        try:
            head = file.read(540)
        except _DAMAGED:
            raise _unreadable(path, "is cut or damaged") from None
    version, order = next(((v, o) for o in "<>" for v in _NIFTI if head[:4] == struct.pack(o + "i", v)), (None, ""))
    if version is None:
        raise _wrong_format(path, "NIfTI")
    magic, place, layout = _NIFTI[version]
    if len(head) < version:
        raise _unreadable(path, "is cut inside its header")
    if head[place : place + 4] not in magic:
        raise _wrong_format(path, "NIfTI")
    dim, pixdim, (bits,), (offset,) = (struct.unpack_from(order + form, head, at) for form, at in layout)
    if not 1 <= dim[0] <= 7 or min(dim[1 : 1 + dim[0]]) < 1:
        raise _unreadable(path, f"has a damaged header (sizes {dim[1:4]})")
    # pixdim of time or channels (axes 4 to 7) may be zero by the standard
    _require_spacing([abs(v) for v in pixdim[1 : 1 + min(dim[0], 3)]], path)
    expected = int(offset) + math.prod(dim[1 : 1 + dim[0]]) * bits // 8
    _require_bytes(path, _unzipped_size(path, 0, expected) if zipped else path.stat().st_size, expected)


def _check_nrrd(path: Path) -> None:
    with path.open("rb") as file:
        if file.read(4) != b"NRRD":
            raise _wrong_format(path, "NRRD")
        file.readline()
        header: dict[str, str] = {}
        while (line := file.readline()) not in (b"", b"\n", b"\r\n"):
            text = line.decode("utf-8", "replace").strip()
            if not text.startswith("#") and ": " in text and ":=" not in text.split(": ")[0]:
                key, value = text.split(": ", 1)
                header[key.lower()] = value.strip()
        start = file.tell()
        rest = file.read(2)
    if "sizes" not in header:
        raise _unreadable(path, "is cut inside its header")
    spacing = [
        math.hypot(*(float(v) for v in vector.split(",")))
        for vector in re.findall(r"\(([^)]*)\)", header.get("space directions", ""))
    ]
    if not spacing:
        spacing = [float(v) for v in header.get("spacings", "").split() if v.lower() != "nan"]
    _require_spacing(spacing, path)
    if "data file" in header or "datafile" in header:
        return  # a detached header: ITK looks for the file of the voxels itself and says so
    encoding, type_ = header.get("encoding", "").lower(), header.get("type", "").lower()
    expected = math.prod(int(v) for v in header["sizes"].split()) * _NRRD_BYTES.get(type_, 1)
    if encoding == "raw":
        _require_bytes(path, path.stat().st_size - start, expected)
    elif rest == _GZIP_MAGIC:
        if type_ in _NRRD_BYTES:
            _require_bytes(path, _unzipped_size(path, start, expected), expected)
    elif encoding in ("gz", "gzip"):
        _require_bytes(path, 0, expected)


def _check_meta(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(8192)
    if b"NDims" not in head and b"ObjectType" not in head:
        raise _wrong_format(path, "MetaImage")
    fields = dict(re.findall(r"^(\w+) *= *(.*?)\r?$", head.decode("latin-1"), re.MULTILINE))
    if "ElementDataFile" not in fields or "DimSize" not in fields:
        raise _unreadable(path, "is cut inside its header")
    spacing = fields.get("ElementSpacing") or fields.get("ElementSize") or ""
    _require_spacing([float(v) for v in spacing.split()], path)
