"""Is the file whole, is its spacing real, and is the image a CT? Private to `core/io.py`.

ITK reads a NIfTI file that was cut with no error (the rest is zero or noise) and replaces a zero spacing by 1 mm. Both
would give a plan on wrong data, so the raw header and the number of bytes are looked at here first.
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
#: A CT holds fat (about -100 HU) or air (-1000); an image with no voxel under this is no CT in HU.
FAT_OR_AIR_HU = -20
#: Between fat and enhanced vessels or bone lie at least this many HU; a normalised image spans less.
MIN_RANGE_HU = 200
#: Above any metal on the extended CT scale that is in use.
MAX_HU = 20000

_NIFTI_MAGIC = (b"n+1\0", b"ni1\0", b"n+2\0", b"ni2\0")
_GZIP_MAGIC = b"\x1f\x8b"
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
        GeometryError: its header says that the spacing is zero, negative or no number.
    """
    name = path.name.lower()
    try:
        if name.endswith((".nii", ".nii.gz")):
            _check_nifti(path)
        elif name.endswith((".nrrd", ".nhdr")):
            _check_nrrd(path)
        elif name.endswith((".mha", ".mhd")):
            _check_meta(path)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise _unreadable(path, "cannot be read") from error


def require_ct_range(array: NDArray[Any]) -> None:
    """Check that finite voxels can be Hounsfield units. These four rules are all there is.

    1. At least one voxel lies under -20 HU, since any field of view holds fat or air. It refuses stored values without
       rescale intercept, MR, ultrasound, photographs, label maps and images scaled to [0, 1]. A CT cropped or clipped
       at about -200 HU passes.
    2. The values span at least 200 HU. It refuses images scaled to [-1, 1] or to zero mean and unit variance.
    3. No value lies over 20000.
    4. Something is denser than water: an image of nothing but air and fat shows no liver.

    Raises:
        NotCTError: a rule is broken; the message says which and what the image looks like.
    """
    low, high = float(array.min()), float(array.max())
    given = f"values from {low:g} to {high:g}, type {array.dtype}"
    if low >= FAT_OR_AIR_HU:
        if array.dtype.kind == "f" and high - low <= 20:
            what, remedy = "The image was normalised and holds no Hounsfield units", "Give the original CT"
        elif array.dtype.kind in "iu" and high <= 20:
            what, remedy = "The image looks like a label map", "Give the CT here and the labels as labels"
        elif high <= 255:
            what, remedy = "The image looks like a picture with grey values from 0 to 255", "Give the original CT"
        else:
            what = "The image holds no fat and no air: it is no CT in Hounsfield units"
            remedy = "Give a CT; if it is one, export it with its rescale intercept (usually -1024)"
        raise NotCTError(what, given=given, remedy=remedy)
    if high - low < MIN_RANGE_HU:
        raise NotCTError(
            what="The values span too little for a CT",
            given=given,
            remedy="Give the CT in HU",
        )
    if high > MAX_HU:
        raise NotCTError(what="The values are too high for a CT", given=given, remedy="Give the CT in Hounsfield units")
    if high <= 0:
        raise NotCTError(what="The image holds nothing denser than water", given=given, remedy="Give a CT of the liver")


def _unreadable(path: Path, what: str) -> UnreadableFileError:
    return UnreadableFileError(what=f"The file {what}", given=str(path), remedy="Copy or export the file again")


def _wrong_format(path: Path, format_name: str) -> UnreadableFileError:
    with path.open("rb") as file:
        head = file.read(4)
    found = "a JPEG picture" if head[:3] == b"\xff\xd8\xff" else "a PNG picture" if head == b"\x89PNG" else repr(head)
    return UnreadableFileError(
        what=f"The file is no {format_name} file, whatever its name says",
        given=f"{path}, which begins as {found}" if head else f"{path}, which is empty",
        remedy="Give a DICOM folder or a NIfTI, NRRD or MetaImage file",
    )


def _require_spacing(values: list[float], path: Path) -> None:
    if any(not math.isfinite(v) or v <= 0 for v in values):
        raise GeometryError(
            what="The voxel spacing in the header is zero, negative or no number",
            given=f"{path}: " + " x ".join(f"{v:g}" for v in values) + " mm",
            remedy="Export the CT again; the size of the voxels cannot be guessed",
        )


def _check_nifti(path: Path) -> None:
    with path.open("rb") as raw:
        zipped = raw.read(2) == _GZIP_MAGIC
    opener: Any = gzip.open if zipped else open
    with opener(path, "rb") as file:
        try:
            head = file.read(540)
        except (OSError, EOFError, zlib.error):
            raise _unreadable(path, "is cut or damaged") from None
    if len(head) < 348:
        if head[:4] in (struct.pack("<i", 348), struct.pack(">i", 348)):
            raise _unreadable(path, "is cut inside its header")
        raise _wrong_format(path, "NIfTI")
    order = "<" if struct.unpack("<i", head[:4])[0] in (348, 540) else ">"
    version = struct.unpack(order + "i", head[:4])[0]
    if version == 348 and (head[344:348] in _NIFTI_MAGIC or head[344:348] == b"\0\0\0\0"):
        dim = struct.unpack(order + "8h", head[40:56])
        pixdim = struct.unpack(order + "8f", head[76:108])
        bits = struct.unpack(order + "h", head[72:74])[0]
        offset = struct.unpack(order + "f", head[108:112])[0]
    elif version == 540 and head[4:8] in _NIFTI_MAGIC:
        bits = struct.unpack(order + "h", head[14:16])[0]
        dim = struct.unpack(order + "8q", head[16:80])
        pixdim = struct.unpack(order + "8d", head[104:168])
        offset = struct.unpack(order + "q", head[168:176])[0]
    else:
        raise _wrong_format(path, "NIfTI")
    if not 1 <= dim[0] <= 7 or min(dim[1 : 1 + dim[0]]) < 1:
        raise _unreadable(path, f"has a damaged header (sizes {dim[1:4]})")
    # pixdim of time or channels (axes 4 to 7) may be zero by the standard
    _require_spacing([abs(v) for v in pixdim[1 : 1 + min(dim[0], 3)]], path)
    expected = int(offset) + math.prod(dim[1 : 1 + dim[0]]) * bits // 8
    found = _unzipped_size(path, expected) if zipped else path.stat().st_size
    _require_bytes(path, found, expected)


def _unzipped_size(path: Path, expected: int) -> int:
    """Size of the content; the gzip trailer is trusted if it says what was expected (or more)."""
    with path.open("rb") as raw:
        raw.seek(-4, 2)
        trailer = struct.unpack("<I", raw.read(4))[0]
    if trailer == expected % 2**32:
        return expected
    size = 0
    with gzip.open(path, "rb") as file:
        try:
            while block := file.read(1 << 22):
                size += len(block)
        except (OSError, EOFError, zlib.error):
            return min(size, expected - 1)  # damaged: never counts as whole
    return size


def _require_bytes(path: Path, found: int, expected: int) -> None:
    if found < expected:
        raise UnreadableFileError(
            what="The file ends early or is damaged",
            given=f"{path}, {found} of {expected} bytes",
            remedy="Copy or export the file again",
        )


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
    sizes = [int(v) for v in header["sizes"].split()]
    spacing = [
        math.hypot(*(float(v) for v in vector.split(",")))
        for vector in re.findall(r"\(([^)]*)\)", header.get("space directions", ""))
    ]
    if not spacing and "spacings" in header:
        spacing = [float(v) for v in header["spacings"].split() if v.lower() != "nan"]
    _require_spacing(spacing, path)
    if "data file" in header or "datafile" in header:
        return  # a detached header: ITK looks for the file of the voxels itself and says so
    expected = math.prod(sizes) * _NRRD_BYTES.get(header.get("type", "").lower(), 1)
    if header.get("encoding", "").lower() == "raw":
        _require_bytes(path, path.stat().st_size - start, expected)
    elif rest == _GZIP_MAGIC:
        with path.open("rb") as file:
            file.seek(-4, 2)
            size = struct.unpack("<I", file.read(4))[0]
        if size != expected % 2**32 and header.get("type", "").lower() in _NRRD_BYTES:
            _require_bytes(path, _gzip_size_from(path, start, expected), expected)
    elif header.get("encoding", "").lower() in ("gz", "gzip"):
        _require_bytes(path, 0, expected)


def _gzip_size_from(path: Path, start: int, expected: int) -> int:
    size = 0
    with path.open("rb") as raw:
        raw.seek(start)
        try:
            with gzip.GzipFile(fileobj=raw) as file:
                while block := file.read(1 << 22):
                    size += len(block)
        except (OSError, EOFError, zlib.error):
            return min(size, expected - 1)
    return size


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
