"""The header of a MetaImage file, `.mha` with its voxels or `.mhd` beside them.

SimpleITK takes 1 mm where there is no spacing, the size of a voxel for its spacing, the identity for a missing matrix,
passes over AnatomicalOrientation and rescaling, and leaves voxels as they are in memory where a file is missing.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, NotCTError
from MeWMLib.core.image_files.layout import (
    MAX_HEADER,
    Layout,
    Part,
    in_mm,
    no_orientation,
    no_spacing,
    numbered_files,
    numbers,
    parts_of,
    require_spacing,
    two_answers,
    unreadable,
    whole_numbers,
    wrong_dimensions,
    wrong_format,
)

_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
#: Names that MetaIO takes for one field.
_SAME = {
    "Rotation": "TransformMatrix", "Orientation": "TransformMatrix", "Position": "Offset", "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}  # fmt: skip
#: Letters of AnatomicalOrientation for an axis to left, posterior, superior, and against it: SimpleITK writes where an
#: axis comes from, the format's own document where it goes to.
_FROM, _TO = ("RL", "AP", "IS"), ("LR", "PA", "SI")


def read_layout(path: Path) -> Layout:
    """Read and check the header of a `.mha` or `.mhd` file.

    Raises:
        UnreadableFileError: another format, cut, a data file that is missing, or a field that cannot be.
        NotCTError: not three-dimensional, or values that are to be rescaled.
        GeometryError: no spacing, no orientation, two orientations, or a unit that is not mm.
    """
    fields, files, end = _parse(path)
    for name in ("NDims", "DimSize", "ElementType", "ElementDataFile"):
        if name not in fields:
            raise unreadable(path, "is cut inside its header", f"no {name}")
    count = whole_numbers(path, "NDims", fields["NDims"], 1)[0]
    sizes = whole_numbers(path, "DimSize", fields["DimSize"], count)
    if min(sizes) < 1:
        raise unreadable(path, "has a damaged header", f"DimSize {fields['DimSize']}")
    if count < 3 or any(n > 1 for n in sizes[3:]):
        raise wrong_dimensions(path, sizes)
    if fields["ElementType"] not in _TYPES:
        raise unreadable(path, "has voxels of a type that is not read", fields["ElementType"])
    dtype = np.dtype((">" if _flag(fields, "BinaryDataByteOrderMSB") else "<") + _TYPES[fields["ElementType"]])
    _require_plain_values(path, fields)
    affine = _affine(path, fields, count)
    values = whole_numbers(path, "ElementNumberOfChannels", fields.get("ElementNumberOfChannels", "1"), 1)[0]
    if values < 1:
        raise unreadable(path, "has a damaged header", f"{values} channels")
    encoding = "raw" if _flag(fields, "BinaryData", True) else "text"
    if _flag(fields, "CompressedData"):
        encoding = "zlib"
    parts = _parts(path, fields, files, end, sizes, encoding)
    kept = (values, *sizes[:3]) if values > 1 else sizes[:3]
    return Layout(path, dtype, kept, 0 if values > 1 else None, affine, encoding, parts, metadata=fields)


def _parse(path: Path) -> tuple[dict[str, str], list[str], int]:
    """Fields, names of a LIST, and where the voxels begin."""
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        head = file.read(8192)
        if b"NDims" not in head and b"ObjectType" not in head:
            raise wrong_format(path, "MetaImage")
        file.seek(0)
        while "ElementDataFile" not in fields and (line := file.readline(MAX_HEADER)):
            if file.tell() > MAX_HEADER:
                raise unreadable(path, "has a damaged header", "it does not end")
            found = re.match(r"\s*([\w.-]+)\s*[=:]\s*(.*?)\s*$", line.decode("utf-8", "replace"))
            if found is None:
                if line.strip():
                    raise unreadable(path, "has a damaged header", repr(line[:60]))
                continue
            name = _SAME.get(found[1], found[1])
            if fields.get(name, found[2]) != found[2]:
                raise unreadable(path, "has a damaged header", f"{name} stands there twice")
            fields[name] = found[2]
        end = file.tell()
        listed = fields.get("ElementDataFile", "").split()[:1] == ["LIST"]
        text = file.read(MAX_HEADER).decode("utf-8", "replace") if listed else ""
    if fields.get("ObjectType", "Image") != "Image":
        raise wrong_format(path, "MetaImage")
    return fields, [line.strip() for line in text.splitlines() if line.strip()], end


def _flag(fields: dict[str, str], name: str, default: bool = False) -> bool:
    text = fields.get(name, "")
    return text[:1] in ("T", "t", "1") if text else default


def _require_plain_values(path: Path, fields: dict[str, str]) -> None:
    slope, offset = (fields.get(f"ElementToIntensityFunction{n}", d) for n, d in (("Slope", "1"), ("Offset", "0")))
    if (numbers(path, "slope", slope), numbers(path, "offset", offset)) != ([1.0], [0.0]):
        raise NotCTError(
            what="The header rescales the values in a way that readers do not agree on",
            given=f"{path}: ElementToIntensityFunctionSlope {slope} and Offset {offset}, which SimpleITK passes over",
            remedy="Write the file again in Hounsfield units",
        )


def _affine(path: Path, fields: dict[str, str], count: int) -> NDArray[np.float64]:
    """Voxel index to RAS mm; the format's own axes are LPS."""
    unit = fields.get("DistanceUnits", "mm").lower()
    if unit not in ("mm", "?", ""):
        raise GeometryError(
            what="The sizes in the header are not in millimetres",
            given=f"{path}: DistanceUnits {unit}, which SimpleITK takes for mm",
            remedy="Write the file again in mm",
        )
    if "ElementSpacing" not in fields:
        if "ElementSize" in fields:
            size = in_mm(numbers(path, "ElementSize", fields["ElementSize"], count)[:3])
            raise two_answers(
                path,
                "There is no voxel spacing in the header, only the size of a voxel, which may be another",
                f"ElementSize {size}",
                "no ElementSpacing",
                remedy="Write ElementSpacing, the distance between the centres of voxels",
            )
        raise no_spacing(path, "no ElementSpacing")
    spacing = np.array(numbers(path, "ElementSpacing", fields["ElementSpacing"], count)[:3])
    require_spacing(spacing.tolist(), path)
    orientation = fields.get("AnatomicalOrientation", "?").upper()
    if "TransformMatrix" not in fields:
        raise no_orientation(path, f"no TransformMatrix, AnatomicalOrientation {orientation}; SimpleITK takes LPS")
    rows = np.reshape(numbers(path, "TransformMatrix", fields["TransformMatrix"], count**2), (count, count))[:3, :3]
    if not np.allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3):
        raise two_answers(
            path,
            "The header gives two voxel spacings",
            f"ElementSpacing {in_mm(spacing.tolist())}",
            f"TransformMatrix {fields['TransformMatrix']}, whose rows are not of length 1",
        )
    _require_one_orientation(path, rows, orientation, fields["TransformMatrix"])
    affine = np.eye(4)
    affine[:3, :3] = rows.T * spacing
    affine[:3, 3] = numbers(path, "Offset", fields.get("Offset", " ".join(["0"] * count)), count)[:3]
    affine[:2] *= -1
    return affine


def _require_one_orientation(path: Path, rows: NDArray[np.float64], orientation: str, matrix: str) -> None:
    letters = orientation[:3]
    if not re.fullmatch("[RLAPIS]{3}", letters):
        return
    fits = []
    for convention in (_FROM, _TO):
        wanted = [
            convention[int(np.argmax(np.abs(row)))][int(row[int(np.argmax(np.abs(row)))] < 0)]
            if np.abs(row).max() > 0.75
            else letter  # too oblique for a letter
            for row, letter in zip(rows, letters, strict=True)
        ]
        fits.append("".join(wanted))
    if letters not in fits:
        raise two_answers(
            path,
            "The header gives two orientations",
            f"AnatomicalOrientation {letters}",
            f"TransformMatrix {matrix}, which is {' or '.join(fits)}",
        )


def _parts(
    path: Path, fields: dict[str, str], files: list[str], end: int, sizes: tuple[int, ...], encoding: str
) -> tuple[Part, ...]:
    text = fields["ElementDataFile"]
    words = text.split()
    skip = whole_numbers(path, "HeaderSize", fields.get("HeaderSize", "0"), 1)[0]
    packed = fields.get("CompressedDataSize")
    stated = whole_numbers(path, "CompressedDataSize", packed, 1)[0] if packed and encoding == "zlib" else None
    if skip < -1 or (skip and (encoding != "raw" or (text.upper() == "LOCAL" and skip > 0))):
        raise unreadable(path, "has a damaged header", f"HeaderSize {skip}")
    skip = max(skip, 0)  # -1, "the last bytes of the file", at its word: a file that was cut would give shifted voxels
    if text.upper() == "LOCAL":
        return (Part(path, end, stated),)
    if words[:1] == ["LIST"]:
        held = re.fullmatch(r"(\d+)D?", words[1]) if len(words) > 1 else re.fullmatch(r"(\d+)", str(len(sizes) - 1))
        if held is None or not 1 <= int(held[1]) <= len(sizes):
            raise unreadable(path, "has a damaged header", f"ElementDataFile {text}")
        names, count = files, math.prod(sizes[int(held[1]) :])
    elif "%" in text:
        limits = re.fullmatch(r"(.*%.*?)\s+(\d+)\s+(\d+)\s+(\d+)", text)
        if limits is None:
            raise unreadable(path, "has a damaged header", f"ElementDataFile {text}")
        first, last, step = (int(limits[n]) for n in (2, 3, 4))
        names, count = numbered_files(path, limits[1], first, last, step), math.prod(sizes[2:])
    else:
        (part,) = parts_of(path, [text], (1,), skip)
        return (Part(part.path, part.start, stated),)
    if encoding == "zlib":
        raise unreadable(path, "is compressed in several files, which is not read", text)
    return parts_of(path, names, (count,), skip)
