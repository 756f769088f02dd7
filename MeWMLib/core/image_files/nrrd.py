"""The header of a NRRD file, attached or detached.

SimpleITK takes 1 mm where there is no spacing, takes every space that it does not know (scanner-xyz, left-handed, none)
for LPS, and passes over units and quantisation. Here each of these is an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, NotCTError
from MeWMLib.core.image_files.layout import (
    MAX_HEADER,
    Layout,
    Part,
    no_orientation,
    no_spacing,
    numbered_files,
    numbers,
    parts_of,
    require_spacing,
    unreadable,
    whole_numbers,
    wrong_dimensions,
    wrong_format,
)

_TYPES = {
    name: kind
    for kind, names in {
        "i1": "signed char, int8, int8_t",
        "u1": "uchar, unsigned char, uint8, uint8_t",
        "i2": "short, short int, signed short, signed short int, int16, int16_t",
        "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
        "i4": "int, signed int, int32, int32_t",
        "u4": "uint, unsigned int, uint32, uint32_t",
        "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
        "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
        "f4": "float",
        "f8": "double",
    }.items()
    for name in names.split(", ")
}
_ENCODINGS = {
    "raw": "raw", "gz": "gzip", "gzip": "gzip", "txt": "text", "text": "text", "ascii": "text", "hex": "hex",
}  # fmt: skip
#: Name of a space to the signs that turn it into RAS.
_SPACES = {
    name: signs
    for names, signs in {
        ("right-anterior-superior", "ras"): (1, 1, 1),
        ("left-anterior-superior", "las"): (-1, 1, 1),
        ("left-posterior-superior", "lps"): (-1, -1, 1),
    }.items()
    for name in names
}
_MILLIMETRES = ("", "mm", "millimeter", "millimeters", "millimetre", "millimetres", "???")
#: Kinds of an axis that is another phase or place, not another value of one voxel.
_OTHER_IMAGES = ("time", "domain", "space")


@dataclass(frozen=True)
class _Header:
    fields: dict[str, str]
    keys: dict[str, str]
    files: list[str]
    end: int


def read_layout(path: Path) -> Layout:
    """Read and check the header of a `.nrrd` or `.nhdr` file.

    Raises:
        UnreadableFileError: another format, cut, a data file that is missing, or a field that cannot be.
        NotCTError: not three-dimensional, or quantised values.
        GeometryError: no spacing, no orientation, a space without left and right, a unit that is not mm.
    """
    header = _parse(path)
    fields = header.fields
    for name in ("type", "sizes", "encoding"):
        if name not in fields:
            raise unreadable(path, "is cut inside its header", f"no {name}")
    sizes = whole_numbers(path, "sizes", fields["sizes"])
    dimension = whole_numbers(path, "dimension", fields.get("dimension", str(len(sizes))), 1)[0]
    if min(sizes) < 1 or dimension != len(sizes):
        raise unreadable(path, "has a damaged header", f"dimension {dimension}, sizes {fields['sizes']}")
    dtype = _dtype(path, fields)
    encoding = _ENCODINGS.get(fields["encoding"].lower())
    if encoding is None:
        raise unreadable(path, "has an encoding that is not read", fields["encoding"], "Write it as raw or gzip")
    if "oldmin" in fields or "oldmax" in fields:
        raise NotCTError(
            what="The values of the image were quantised (old min, old max), so they are no Hounsfield units",
            given=f"{path}: {fields.get('oldmin', '?')} to {fields.get('oldmax', '?')}",
            remedy="Export the original values",
        )
    affine, spatial = _affine(path, fields, sizes)
    channels = _channels(path, fields, sizes, spatial)
    parts, skipped = _parts(path, header, sizes, encoding)
    kept = tuple(n for axis, n in enumerate(sizes) if axis in spatial or axis == channels)
    place = None if channels is None else sum(axis < channels for axis in spatial)
    return Layout(path, dtype, kept, place, affine, encoding, parts, lead=b"\0" * skipped, metadata=dict(header.keys))


def _parse(path: Path) -> _Header:
    fields: dict[str, str] = {}
    keys: dict[str, str] = {}
    files: list[str] = []
    with path.open("rb") as file:
        if not re.match(rb"NRRD000\d\s*$", file.readline(64)):
            raise wrong_format(path, "NRRD")
        while (line := file.readline(MAX_HEADER)) not in (b"", b"\n", b"\r\n"):
            if file.tell() > MAX_HEADER:
                raise unreadable(path, "has a damaged header", "it does not end")
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if fields.get("datafile", "").upper().startswith("LIST"):
                files.append(text.strip())
                continue
            key, sign, value = re.match(r"([^:]*)(:=|:|)(.*)", text).groups()  # type: ignore[union-attr]
            if key.startswith("#"):
                continue
            if sign == ":=":
                keys[_plain(key)] = _plain(value)
            elif sign == ":":
                name = key.lower().replace(" ", "")
                if name in fields:
                    raise unreadable(path, "has a damaged header", f"{key} stands there twice")
                fields[name] = value.strip()
            else:
                raise unreadable(path, "has a damaged header", repr(text[:60]))
        return _Header(fields, keys, files, file.tell())


def _plain(text: str) -> str:
    return re.sub(r"\\(n|\\)", lambda found: "\n" if found[1] == "n" else "\\", text)


def _dtype(path: Path, fields: dict[str, str]) -> np.dtype[np.generic]:
    kind = _TYPES.get(fields["type"].lower())
    if kind is None:
        raise unreadable(path, "has voxels of a type that is not read", fields["type"])
    order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
    if order is None and kind[1] != "1" and fields["encoding"].lower() not in ("txt", "text", "ascii"):
        raise unreadable(path, "does not say in which order its bytes are", "no endian")
    return np.dtype((order or "<") + kind)


def _vectors(path: Path, fields: dict[str, str], count: int) -> list[list[float] | None]:
    """The space direction of each axis; None for one that has none."""
    text = fields["spacedirections"]
    found = re.findall(r"none|\([^)]*\)", text, re.IGNORECASE)
    if len(found) != count:
        raise unreadable(path, "has a damaged header", f"space directions {text[:60]}")
    return [None if one.lower() == "none" else numbers(path, "space directions", one[1:-1]) for one in found]


def _affine(path: Path, fields: dict[str, str], sizes: tuple[int, ...]) -> tuple[NDArray[np.float64], list[int]]:
    """Voxel index to RAS mm, and which axes are those of space."""
    space = fields.get("space", "").lower()
    if "spacedirections" not in fields:
        spacings = [float(v) if _is_number(v) else math.nan for v in fields.get("spacings", "").split()]
        given = [v for v in spacings if not math.isnan(v)]
        if len(sizes) < 3:
            raise wrong_dimensions(path, sizes)
        if len(given) < 3:
            raise no_spacing(path, "no space directions and no spacings")
        require_spacing(given, path)
        raise no_orientation(path, f"spacings {fields['spacings']} without space directions; SimpleITK takes LPS")
    vectors = _vectors(path, fields, len(sizes))
    for name in ("spaceunits", "units"):
        for unit in re.findall(r'"([^"]*)"', fields.get(name, "")):
            if unit.lower() not in _MILLIMETRES:
                raise GeometryError(
                    what="The sizes in the header are not in millimetres",
                    given=f'{path}: "{unit}", which SimpleITK takes for mm',
                    remedy="Write the file again in mm",
                )
    extra = {"-time": "", "t": ""}
    for ending in extra:  # space and time: the fourth number of a vector is not a place
        if space.endswith(ending) and space.removesuffix(ending) in _SPACES:
            space = space.removesuffix(ending)
            vectors = [v[:3] if v and len(v) == 4 and any(v[:3]) else None for v in vectors]
    spatial = [axis for axis, vector in enumerate(vectors) if vector is not None]
    if len(spatial) != 3:
        raise wrong_dimensions(path, sizes)
    if space not in _SPACES:
        found = f"space {fields['space']}" if space else "no space"
        raise no_orientation(path, f"{found}; SimpleITK takes it for left-posterior-superior")
    columns = [vector for vector in vectors if vector is not None]
    origin = numbers(path, "space origin", fields.get("spaceorigin", "(0,0,0)").strip("()"))[:3]
    if any(len(vector) != 3 for vector in (*columns, origin)):
        raise unreadable(path, "has a damaged header", "space directions or origin are not in three dimensions")
    affine = np.eye(4)
    affine[:3, :3] = np.array(columns).T
    affine[:3, 3] = origin
    affine[:3] *= np.array(_SPACES[space])[:, None]
    require_spacing(np.linalg.norm(affine[:3, :3], axis=0).tolist(), path)
    return affine, spatial


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _channels(path: Path, fields: dict[str, str], sizes: tuple[int, ...], spatial: list[int]) -> int | None:
    kinds = fields.get("kinds", "").lower().split()
    others = [axis for axis, n in enumerate(sizes) if axis not in spatial and n > 1]
    if len(others) > 1 or any(len(kinds) == len(sizes) and kinds[axis] in _OTHER_IMAGES for axis in others):
        raise wrong_dimensions(path, sizes)
    return others[0] if others else None


def _parts(path: Path, header: _Header, sizes: tuple[int, ...], encoding: str) -> tuple[tuple[Part, ...], int]:
    """The files of the voxels, and how many bytes of each unpacked stream come before them."""
    fields = header.fields
    lines = whole_numbers(path, "line skip", fields.get("lineskip", "0"), 1)[0]
    skip = whole_numbers(path, "byte skip", fields.get("byteskip", "0"), 1)[0]
    if lines < 0 or not -1 <= skip <= MAX_HEADER or (encoding != "raw" and (lines or skip < 0)):
        raise unreadable(path, "skips parts of its data in a way that is not read", f"line skip {lines}, {skip} bytes")
    if "datafile" in fields:
        parts = _detached(path, header, sizes)
    elif path.suffix.lower() == ".nhdr":
        raise unreadable(path, "names no data file", "a detached header")
    else:
        parts = (Part(path, header.end),)
    if encoding != "raw":
        return parts, skip
    # -1 stands for "the last bytes of the file": taken at its word, a file that was cut would give shifted voxels
    return tuple(Part(part.path, _after(part, lines) + max(skip, 0)) for part in parts), 0


def _after(part: Part, lines: int) -> int:
    with part.path.open("rb") as file:
        file.seek(part.start)
        for _ in range(lines):
            file.readline(MAX_HEADER)
        return file.tell()


def _detached(path: Path, header: _Header, sizes: tuple[int, ...]) -> tuple[Part, ...]:
    text = header.fields["datafile"]
    words = text.split()
    if not words:
        raise unreadable(path, "has a damaged header", "an empty data file")
    pattern = re.fullmatch(r"(.*%.*?)\s+(-?\d+)\s+(-?\d+)\s+(-?\d+)(?:\s+(\d+))?", text)
    if words[0].upper() == "LIST":
        names, held = header.files, words[1] if len(words) > 1 else ""
    elif pattern:
        first, last, step = (int(pattern[n]) for n in (2, 3, 4))
        names, held = numbered_files(path, pattern[1], first, last, step), pattern[5] or ""
    else:
        return parts_of(path, [text], (1,))
    dimensions = whole_numbers(path, "data file", held, 1)[0] if held else len(sizes) - 1
    if not 1 <= dimensions <= len(sizes):
        raise unreadable(path, "has a damaged header", f"data file {text}")
    count = math.prod(sizes[dimensions:])
    slabs = [n for n in range(1, sizes[-1] + 1) if sizes[-1] % n == 0]  # each file may hold several whole slices
    return parts_of(path, names, slabs if dimensions == len(sizes) else (count,))
