"""The header of a NIfTI file (versions 1 and 2): every place that speaks of geometry must say the same.

SimpleITK takes the spacing from pixdim whatever the sform says, drops a shear beside a coded qform, and takes the
identity where neither is coded; other libraries choose otherwise. Here a contradiction is an error.
"""

from __future__ import annotations

import html
import math
import re
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import NotCTError
from MeWMLib.core.image_files.layout import (
    MAX_HEADER,
    Layout,
    Part,
    damaged,
    in_mm,
    no_orientation,
    require_spacing,
    two_answers,
    unreadable,
    wrong_dimensions,
    wrong_format,
)

#: How far pixdim, qform and sform may be apart: share of the size, degrees, mm.
SIZE_TOLERANCE, ANGLE_TOLERANCE, ORIGIN_TOLERANCE_MM = 1e-3, 0.1, 0.1
_GZIP = b"\x1f\x8b"
#: First number of a header to its fields: format and place.
_FIELDS: dict[int, dict[str, tuple[str, int]]] = {
    348: {
        "dim": ("8h", 40), "datatype": ("h", 70), "bitpix": ("h", 72), "pixdim": ("8f", 76), "vox_offset": ("f", 108),
        "scale": ("2f", 112), "units": ("B", 123), "codes": ("2h", 252), "quatern": ("6f", 256), "srow": ("12f", 280),
        "magic": ("4s", 344), "descrip": ("80s", 148),
    },
    540: {
        "dim": ("8q", 16), "datatype": ("h", 12), "bitpix": ("h", 14), "pixdim": ("8d", 104), "vox_offset": ("q", 168),
        "scale": ("2d", 176), "units": ("i", 500), "codes": ("2i", 344), "quatern": ("6d", 352), "srow": ("12d", 400),
        "magic": ("4s", 4), "descrip": ("80s", 240),
    },
}  # fmt: skip
#: datatype to type and values for each voxel.
_TYPES = {
    2: ("u1", 1), 4: ("i2", 1), 8: ("i4", 1), 16: ("f4", 1), 64: ("f8", 1), 256: ("i1", 1), 512: ("u2", 1),
    768: ("u4", 1), 1024: ("i8", 1), 1280: ("u8", 1), 128: ("u1", 3), 2304: ("u1", 4),
}  # fmt: skip
#: An entry of a label table in an extension, as TotalSegmentator and Connectome Workbench write it.
_LABEL = re.compile(rb"<Label\b([^<>]*)>\s*(?:<!\[CDATA\[([^\]]*)\]\]>|([^<>]*))\s*</Label>")
#: A name that says nothing but a number.
_NUMBERED = re.compile(r"(?:l|label|value|class|segment|region|\?*)[ _-]*\d*", re.IGNORECASE)
_LABEL_KEY = re.compile(rb"\bKey\s*=\s*[\"'](\d{1,5})[\"']")
_MM = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}


@dataclass(frozen=True)
class _Header:
    order: str
    size: int
    dim: tuple[int, ...]
    datatype: int
    bitpix: int
    pixdim: tuple[float, ...]
    vox_offset: float
    scale: tuple[float, ...]
    units: int
    codes: tuple[int, ...]
    quatern: tuple[float, ...]
    srow: tuple[float, ...]
    magic: bytes
    descrip: bytes

    @property
    def text(self) -> dict[str, str]:
        """What the file says of itself, under the name of the field."""
        told = self.descrip.split(b"\0")[0].decode("ascii", "replace").strip()
        return {"descrip": told} if told else {}


def read_layout(path: Path) -> Layout:
    """Read and check the header of a `.nii`, `.nii.gz` or `.hdr` file.

    Raises:
        UnreadableFileError: another format, cut, or a field that cannot be.
        NotCTError: not three-dimensional, or a type such as complex numbers.
        GeometryError: pixdim, qform and sform contradict each other, or none says how the image lies.
    """
    with path.open("rb") as file:
        zipped = file.read(2) == _GZIP
    header = _parse(path, _begin(path, zipped, 540))
    if header.datatype not in _TYPES:
        raise NotCTError(
            what="The voxels are of a type that is not read", given=f"{path}, NIfTI type {header.datatype}"
        )
    kind, values = _TYPES[header.datatype]
    dtype = np.dtype(header.order + kind)
    if header.bitpix != 8 * dtype.itemsize * values:
        raise unreadable(path, "has a damaged header", f"type {kind} with {header.bitpix} bits for each voxel")
    sizes, channels = _sizes(path, header, values)
    affine, scale = _affine(path, header), _scale(path, header)
    pair = header.magic[:2] == b"ni"
    offset = _offset(path, header, pair)
    if pair:
        return _pair(path, dtype, sizes, channels, affine, scale, offset)
    head = _begin(path, zipped, offset)
    part, lead = Part(path, 0 if zipped else offset), head if zipped else b""
    encoding, names = "gzip" if zipped else "raw", {**_label_names(head[header.size :]), **header.text}
    return Layout(path, dtype, sizes, channels, affine, encoding, (part,), lead, scale, names)


def _label_names(extensions: bytes) -> dict[str, str]:
    """What the values of a label map mean, where an extension of the header has a table of them.

    Returns:
        Name and value of each, under the keys of a `.seg.nrrd`; 0 is background.
    """
    start = extensions.find(b"<LabelTable")
    found: dict[str, str] = {}
    for n, (attributes, quoted, plain) in enumerate(_LABEL.findall(extensions, start) if start >= 0 else ()):
        key, name = _LABEL_KEY.search(attributes), html.unescape((quoted or plain).decode("utf-8", "replace")).strip()
        if key is not None and int(key[1]) > 0:
            found |= {f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(int(key[1]))}
    names = [text for key, text in found.items() if key.endswith("Name")]
    return {} if all(_NUMBERED.fullmatch(name) for name in names) else found


def _pair(path: Path, dtype: Any, sizes: Any, channels: Any, affine: Any, scale: Any, offset: int) -> Layout:
    """The voxels of a `.hdr` are in the `.img` or `.img.gz` beside it."""
    found = [p for p in (path.with_suffix(".img"), path.with_suffix(".img.gz")) if p.is_file()]
    if len(found) != 1:
        raise unreadable(path, "needs exactly one .img file beside it", f"{len(found)} found", "Copy both files")
    with found[0].open("rb") as file:
        zipped = file.read(2) == _GZIP and found[0].suffix == ".gz"
    lead = _begin(found[0], True, offset) if zipped and offset else b""
    part = Part(found[0], 0 if zipped else offset)
    return Layout(path, dtype, sizes, channels, affine, "gzip" if zipped else "raw", (part,), lead, scale)


def _begin(path: Path, zipped: bool, count: int) -> bytes:
    """The first bytes of the unpacked content."""
    with path.open("rb") as file:
        if not zipped:
            return file.read(count)
        found, engine = b"", zlib.decompressobj(31)
        try:
            while len(found) < count:
                packed = engine.unused_data or engine.unconsumed_tail or file.read(1 << 14)
                if not packed:
                    break
                if engine.eof:  # a stream may have several members
                    engine = zlib.decompressobj(31)
                found += engine.decompress(packed, count - len(found))
        except zlib.error as error:
            raise damaged(path, str(error)) from error
        return found


def _parse(path: Path, head: bytes) -> _Header:
    version, order = next(((v, o) for o in "<>" for v in _FIELDS if head[:4] == struct.pack(o + "i", v)), (0, ""))
    if not version:
        raise wrong_format(path, "NIfTI")
    if len(head) < version:
        raise unreadable(path, "is cut inside its header")
    found: dict[str, Any] = {}
    for name, (form, place) in _FIELDS[version].items():
        values = struct.unpack_from(order + form, head, place)
        found[name] = values if len(values) > 1 else values[0]
    magics = {348: (b"n+1\0", b"ni1\0"), 540: (b"n+2\0", b"ni2\0")}[version]
    if found["magic"] == b"\0\0\0\0" and version == 348:
        raise no_orientation(path, "an ANALYZE 7.5 header, which has no field for it")
    # a .nii holds its own voxels, a .hdr never does
    if found["magic"] != magics[path.suffix.lower() == ".hdr"]:
        raise wrong_format(path, "NIfTI")
    return _Header(order, version, **found)


def _sizes(path: Path, header: _Header, values: int) -> tuple[tuple[int, ...], int | None]:
    dim = header.dim
    if not 1 <= dim[0] <= 7 or min(dim[1 : 1 + dim[0]]) < 1:
        raise unreadable(path, "has a damaged header", f"sizes {dim}")
    sizes = tuple(int(n) for n in dim[1 : 1 + dim[0]])
    rest = [(axis, n) for axis, n in enumerate(sizes) if axis > 2 and n > 1]
    if len(sizes) < 3 or len(rest) > 1 or any(axis != 4 for axis, _n in rest):
        while len(sizes) > 3 and sizes[-1] == 1:
            sizes = sizes[:-1]
        raise wrong_dimensions(path, sizes)
    if values > 1:
        if rest:
            raise wrong_dimensions(path, sizes)
        return (values, *sizes[:3]), 0
    return (*sizes[:3], *(n for _axis, n in rest)), 3 if rest else None


def _scale(path: Path, header: _Header) -> tuple[float, float] | None:
    """Slope and intercept, None where values are as stored.

    The standard ignores both where the slope is 0. Readers do not agree on a slope of 0 or NaN beside an intercept:
    SimpleITK adds the intercept, NiBabel does not.
    """
    slope, inter = (float(v) for v in header.scale)
    unset = slope == 0 or math.isnan(slope)
    if math.isinf(slope) or (unset and math.isfinite(inter) and inter != 0) or (not unset and not math.isfinite(inter)):
        raise NotCTError(
            what="The header rescales the values in a way that readers do not agree on",
            given=f"{path}: scl_slope {slope:g}, scl_inter {inter:g}",
            remedy="Export it again in Hounsfield units, with slope 1 and intercept 0",
        )
    return None if unset or (slope, inter) == (1.0, 0.0) else (slope, inter)


def _offset(path: Path, header: _Header, pair: bool) -> int:
    offset, least = header.vox_offset, 0 if pair else header.size + 4
    if not math.isfinite(offset) or offset != int(offset) or not least <= offset <= MAX_HEADER:
        raise unreadable(path, "has a damaged header", f"vox_offset {offset:g}, which is at least {least}")
    return int(offset)


def _affine(path: Path, header: _Header) -> NDArray[np.float64]:
    """Voxel index to RAS mm; sform before qform where both are coded, which must agree."""
    if (unit := header.units & 7) not in _MM:
        raise unreadable(path, "has a damaged header", f"unit of length {unit}")
    mm = _MM[unit]
    pixdim = np.array(header.pixdim[1:4], dtype=np.float64) * mm
    require_spacing(pixdim.tolist(), path)
    q_code, s_code = header.codes
    if q_code <= 0 and s_code <= 0:
        raise no_orientation(path, "neither qform nor sform is coded; SimpleITK and NiBabel then mirror it differently")
    sform = np.vstack([np.reshape(np.array(header.srow, dtype=np.float64), (3, 4)) * mm, [0, 0, 0, 1]])
    if s_code > 0:
        size = np.linalg.norm(sform[:3, :3], axis=0)
        if not (np.abs(size - pixdim) <= SIZE_TOLERANCE * pixdim).all():
            raise two_answers(
                path,
                "The header gives two voxel spacings",
                f"{in_mm(pixdim.tolist())} by pixdim",
                f"{in_mm(size.tolist())} by the sform",
            )
    if q_code <= 0:
        return sform
    qform = _qform(path, header, pixdim, mm)
    if s_code > 0:
        _require_one(path, qform, sform)
    return sform if s_code > 0 else qform


def _qform(path: Path, header: _Header, pixdim: NDArray[np.float64], mm: float) -> NDArray[np.float64]:
    b, c, d, *origin = header.quatern
    rest = 1.0 - (b * b + c * c + d * d)
    qfac = header.pixdim[0]
    # files of the first years have 0 for a right-handed grid
    if not all(map(math.isfinite, header.quatern)) or rest < -1e-4 or qfac not in (-1.0, 0.0, 1.0):
        raise unreadable(path, "has a damaged header", f"quaternion {b:g}, {c:g}, {d:g} with qfac {qfac:g}")
    a, b, c, d = _unit((math.sqrt(max(0.0, rest)), b, c, d))
    affine = np.eye(4)
    affine[:3, :3] = (
        (a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)),
        (2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)),
        (2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c),
    )
    affine[:3, :3] *= pixdim * (1, 1, -1 if qfac < 0 else 1)
    affine[:3, 3] = np.array(origin) * mm
    return affine


def _unit(values: Sequence[float]) -> list[float]:
    length = math.hypot(*values)
    return [v / length for v in values]


def _require_one(path: Path, qform: NDArray[np.float64], sform: NDArray[np.float64]) -> None:
    cross = np.linalg.norm(np.cross(qform[:3, :3], sform[:3, :3], axis=0), axis=0)
    dot = (qform[:3, :3] * sform[:3, :3]).sum(axis=0)
    angle = float(np.degrees(np.arctan2(cross, dot)).max())
    apart = float(np.linalg.norm(qform[:3, 3] - sform[:3, 3]))
    if not angle <= ANGLE_TOLERANCE or not apart <= ORIGIN_TOLERANCE_MM:
        raise two_answers(
            path,
            "The header places the image in two ways",
            f"qform {_in_words(qform)}",
            f"sform {_in_words(sform)}; {angle:.3g} degrees and {apart:.3g} mm apart",
        )


def _in_words(affine: NDArray[np.float64]) -> str:
    rows = ", ".join("(" + " ".join(f"{v:.4g}" for v in row) + ")" for row in affine[:3])
    return f"rows {rows}"
