"""NIfTI, NRRD and MetaImage by our own writers, and damage to them."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np

from MeWMLib.core.io import read_volume
from Testing.properties.case import Case, Draw, Group
from Testing.properties.truth import Truth, draw_ct


def read_truth(path: Path) -> Truth:
    """What the public reader makes of a file or folder."""
    volume = read_volume(path)
    return Truth(np.asarray(volume.array), np.asarray(volume.geometry.affine))


def case_of(name: str, data: bytes, truth: Truth, valid: bool = False) -> Case:
    """A case of one file."""
    return Case({name: data}, lambda folder: read_truth(folder / name), truth.same_as, valid, f"truth: {truth!r}")


def flipped(data: bytes, rng: Random, start: int = 0) -> bytes:
    """One bit of the data from `start` on turned round."""
    at = rng.randrange(start, len(data))
    return data[:at] + bytes([data[at] ^ (1 << rng.randrange(8))]) + data[at + 1 :]


def cut(data: bytes, rng: Random) -> bytes:
    """The data without its end."""
    return data[: rng.randrange(len(data))]


def packed_whole(data: bytes) -> bytes:
    """gzip without the time of day, so that every run damages the same bytes."""
    return gzip.compress(data, mtime=0)


# NIfTI ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Nifti:
    """Fields of a NIfTI-1 header that are damaged; the others follow from the truth."""

    order: str = "<"
    slope: float = 1.0
    offset: float = 0.0
    qform: int = 1
    sform: int = 1


def _quaternion(direction: np.ndarray) -> tuple[list[float], float]:
    """(b, c, d) and qfac of a rotation."""
    matrix, factor = direction.copy(), 1.0
    if np.linalg.det(matrix) < 0:
        matrix[:, 2] *= -1
        factor = -1.0
    # the largest of the four squares, so that no root is near zero
    m = matrix
    squares = [
        1 + m[0, 0] + m[1, 1] + m[2, 2], 1 + m[0, 0] - m[1, 1] - m[2, 2],
        1 - m[0, 0] + m[1, 1] - m[2, 2], 1 - m[0, 0] - m[1, 1] + m[2, 2],
    ]  # fmt: skip
    top = int(np.argmax(squares))
    root = 2 * np.sqrt(squares[top])
    pairs = {
        (0, 1): m[2, 1] - m[1, 2], (0, 2): m[0, 2] - m[2, 0], (0, 3): m[1, 0] - m[0, 1],
        (1, 2): m[0, 1] + m[1, 0], (1, 3): m[0, 2] + m[2, 0], (2, 3): m[1, 2] + m[2, 1],
    }  # fmt: skip
    q = [root / 4 if n == top else pairs[min(n, top), max(n, top)] / root for n in range(4)]
    if q[0] < 0:
        q = [-x for x in q]
    return [float(x) for x in q[1:]], factor


def nifti(
    truth: Truth, form: _Nifti = _Nifti(), changes: Mapping[int, tuple[str, tuple[float, ...]]] | None = None
) -> bytes:
    """A NIfTI-1 file of int16; `changes` are values by their place in the header, put in last."""
    k, j, i = truth.array.shape
    (b, c, d), factor = _quaternion(truth.direction)
    header = bytearray(352)

    def put(at: int, kind: str, *values: float) -> None:
        struct.pack_into(form.order + kind, header, at, *values)

    put(0, "i", 348)
    put(40, "8h", 3, i, j, k, 1, 1, 1, 1)
    put(70, "2h", 4, 16)
    put(76, "8f", factor, *truth.spacing, 0, 0, 0, 0)
    put(108, "3f", 352.0, form.slope, form.offset)
    put(123, "b", 2)
    put(252, "2h", form.qform, form.sform)
    put(256, "6f", b, c, d, *truth.affine[:3, 3])
    put(280, "12f", *truth.affine[:3].ravel())
    header[344:348] = b"n+1\0"
    for at, (kind, values) in (changes or {}).items():
        put(at, kind, *values)
    stored = np.round((truth.array.astype(np.float64) - form.offset) / form.slope)
    return bytes(header) + stored.astype(f"{form.order}i2").tobytes()


NIFTI = Group("NIfTI")


def _form(rng: Random) -> _Nifti:
    offset = rng.choice((0.0, -1024.0, 100.0))
    return _Nifti(rng.choice("<>"), 1.0, offset, *rng.choice(((1, 1), (1, 0), (0, 1), (2, 1), (1, 2))))


@NIFTI.kind("valid")
def _nifti_valid(rng: Random) -> Case:
    truth = draw_ct(rng)
    data = nifti(truth, _form(rng))
    packed = rng.random() < 0.5
    return case_of("ct.nii.gz" if packed else "ct.nii", packed_whole(data) if packed else data, truth, valid=True)


@NIFTI.kind("bit of the gzip stream")
def _nifti_flip(rng: Random) -> Case:
    truth = draw_ct(rng)
    return case_of("ct.nii.gz", flipped(packed_whole(nifti(truth, _form(rng))), rng), truth)


@NIFTI.kind("cut")
def _nifti_cut(rng: Random) -> Case:
    truth = draw_ct(rng)
    data = nifti(truth, _form(rng))
    if rng.random() < 0.5:
        return case_of("ct.nii.gz", cut(packed_whole(data), rng), truth)
    # the cut file may be packed whole: then only the number of voxels tells
    data = cut(data, rng)
    return case_of("ct.nii.gz", packed_whole(data), truth) if rng.random() < 0.5 else case_of("ct.nii", data, truth)


def _nifti_field(name: str, draw: Draw) -> None:
    NIFTI.kind(name)(draw)


def _changed(both: bool, *changes: tuple[int, str, tuple[tuple[float, ...], ...]]) -> Draw:
    """A file with one of the values of one of the fields; `both` codes of orientation are set to 1."""

    def draw(rng: Random) -> Case:
        truth = draw_ct(rng)
        form = _Nifti(rng.choice("<>")) if both else _form(rng)
        at, kind, values = rng.choice(changes)
        return case_of("ct.nii", nifti(truth, form, {at: (kind, rng.choice(values))}), truth)

    return draw


NAN, INF = float("nan"), float("inf")
_nifti_field("sizes that the bytes do not fill", _changed(False, *(
    (at, "h", ((0,), (-3,), (8,), (9,), (300,), (32767,))) for at in (42, 44, 46)
)))  # fmt: skip
_nifti_field("number of dimensions", _changed(False, (40, "h", ((0,), (1,), (2,), (8,), (-1,), (99,)))))
_nifti_field("type against bits", _changed(False, (70, "h", ((16,), (64,), (2,), (8,), (0,), (128,), (9999,), (-4,))),
                                           (72, "h", ((8,), (32,), (0,), (-16,), (64,)))))  # fmt: skip
_nifti_field("voxel size against the sform", _changed(True, *(
    (at, "f", ((0.0,), (-2.0,), (NAN,), (INF,), (1e-9,), (1e9,), (1.11,), (7.7,))) for at in (80, 84, 88)
)))  # fmt: skip
_nifti_field("sform against the qform", _changed(True, *(
    (at, "f", ((NAN,), (INF,), (17.5,), (0.02,))) for at in range(280, 328, 4)
)))  # fmt: skip
_nifti_field("qform against the sform", _changed(True, *(
    (at, "f", ((NAN,), (INF,), (0.31,), (55.5,))) for at in (256, 260, 264, 268, 272, 276)
)))  # fmt: skip
_nifti_field("scale that is no number", _changed(False, (112, "f", ((NAN,), (INF,), (-INF,))),
                                                 (116, "f", ((NAN,), (INF,)))))  # fmt: skip
_nifti_field("place of the voxels", _changed(False, (108, "f", ((0.0,), (348.0,), (353.0,), (354.0,), (1e6,), (-4.0,),
                                                                (NAN,), (INF,)))))  # fmt: skip
_nifti_field("magic and size of the header", _changed(False, (344, "4s", ((b"n+3\0",), (b"ni1\0",), (b"\0\0\0\0",))),
                                                      (0, "i", ((0,), (540,), (-1,), (349,)))))  # fmt: skip


@NIFTI.kind("no orientation")
def _nifti_codeless(rng: Random) -> Case:
    truth = draw_ct(rng)
    return case_of("ct.nii", nifti(truth, _Nifti(qform=0, sform=0)), truth)


@NIFTI.kind("several times")
def _nifti_times(rng: Random) -> Case:
    truth = draw_ct(rng)
    k, j, i = truth.array.shape
    data = nifti(truth, changes={40: ("8h", (4, i, j, k, 2, 1, 1, 1))})
    return case_of("ct.nii", data + data[352:], truth)


@NIFTI.kind("name of another format")
def _nifti_named(rng: Random) -> Case:
    truth = draw_ct(rng)
    return case_of(rng.choice(("ct.nrrd", "ct.mha", "ct.nii.gz")), nifti(truth), truth)


# NRRD ----------------------------------------------------------------------------------------------------

NRRD = Group("NRRD")


def nrrd_fields(
    truth: Truth, encoding: str = "raw", space: str = "left-posterior-superior", order: str = "<"
) -> dict[str, str]:
    """Fields of a NRRD header of int16 (labels: uint8) in a usual order."""
    affine = truth.lps if space.startswith("left") else truth.affine
    vectors = " ".join("({:.17g},{:.17g},{:.17g})".format(*column) for column in affine[:3, :3].T)
    return {
        "type": "uint8" if truth.array.dtype == np.uint8 else "short",
        "dimension": "3",
        "space": space,
        "sizes": " ".join(map(str, truth.array.shape[::-1])),
        "space directions": vectors,
        "kinds": "domain domain domain",
        "endian": "little" if order == "<" else "big",
        "encoding": encoding,
        "space origin": "({:.17g},{:.17g},{:.17g})".format(*affine[:3, 3]),
    }


def nrrd(truth: Truth, fields: Mapping[str, str], order: str = "<", more: str = "") -> tuple[bytes, bytes]:
    """Header and voxels of a NRRD file."""
    text = "NRRD0005\n# by our own writer\n" + "".join(f"{k}: {v}\n" for k, v in fields.items()) + more + "\n"
    kind = "u1" if truth.array.dtype == np.uint8 else f"{order}i2"
    voxels = truth.array.astype(kind).tobytes()
    return text.encode(), packed_whole(voxels) if fields.get("encoding") in ("gzip", "gz") else voxels


def _drawn_nrrd(rng: Random) -> tuple[Truth, dict[str, str], str]:
    truth, order = draw_ct(rng), rng.choice("<>")
    space = rng.choice(("left-posterior-superior", "right-anterior-superior", "left-posterior-superior"))
    return truth, nrrd_fields(truth, rng.choice(("raw", "gzip")), space, order), order


def _nrrd_case(truth: Truth, fields: Mapping[str, str], order: str = "<", more: str = "", valid: bool = False) -> Case:
    return case_of("ct.nrrd", b"".join(nrrd(truth, fields, order, more)), truth, valid)


@NRRD.kind("valid")
def _nrrd_valid(rng: Random) -> Case:
    return _nrrd_case(*_drawn_nrrd(rng), valid=True)


@NRRD.kind("bit of the gzip stream")
def _nrrd_flip(rng: Random) -> Case:
    truth = draw_ct(rng)
    header, voxels = nrrd(truth, nrrd_fields(truth, "gzip"))
    return case_of("ct.nrrd", header + flipped(voxels, rng), truth)


@NRRD.kind("cut")
def _nrrd_cut(rng: Random) -> Case:
    truth, fields, order = _drawn_nrrd(rng)
    return case_of("ct.nrrd", cut(b"".join(nrrd(truth, fields, order)), rng), truth)


@NRRD.kind("field that must be there")
def _nrrd_without(rng: Random) -> Case:
    truth, fields, order = _drawn_nrrd(rng)
    fields.pop(rng.choice(("type", "dimension", "sizes", "space directions", "endian", "encoding")))
    return _nrrd_case(truth, fields, order)


@NRRD.kind("no space, in RAS")
def _nrrd_spaceless(rng: Random) -> Case:
    truth = draw_ct(rng)
    fields = nrrd_fields(truth, space="right-anterior-superior")
    fields.pop("space")
    return _nrrd_case(truth, fields)


@NRRD.kind("values that cannot be")
def _nrrd_lies(rng: Random) -> Case:
    truth, fields, order = _drawn_nrrd(rng)
    key, value = rng.choice((
        ("sizes", "4 5"), ("sizes", "0 5 6"), ("sizes", "-4 5 6"), ("sizes", "9 9 9"), ("sizes", "4 5 6 7"),
        ("sizes", "99999999 99999999 99999999"), ("sizes", "a b c"), ("dimension", "2"), ("dimension", "4"),
        ("dimension", "17"), ("dimension", "x"), ("type", "double"), ("type", "block"), ("type", "nonsense"),
        ("type", "uchar"), ("space directions", "(0,0,0) (0,1,0) (0,0,1)"), ("space directions", "none none none"),
        ("space directions", "(nan,0,0) (0,1,0) (0,0,1)"), ("space directions", "(1,0,0) (1,0,0) (0,0,1)"),
        ("space directions", "(1,0,0) (0,1,0)"), ("space directions", "(1,0) (0,1) (1,1)"),
        ("space directions", "(inf,0,0) (0,1,0) (0,0,1)"), ("space directions", "(1,0,0) (0.4,1,0) (0,0,1)"),
        ("space origin", "(nan,0,0)"), ("space origin", "(inf,0,0)"), ("space origin", "(1,2)"),
        ("space", "scanner-xyz-time"), ("space", "nowhere"), ("encoding", "nonsense"), ("encoding", "hex"),
        ("encoding", "bzip2"), ("endian", "middle"), ("byte skip", "7"), ("byte skip", "-7"), ("line skip", "1000"),
        ("space dimension", "2"), ("kinds", "domain domain list"), ("data file", "elsewhere.raw"),
        ("data file", "../../../etc/passwd"),
    ))  # fmt: skip
    voxels = nrrd(truth, fields, order)[1]
    header = nrrd(truth, {**fields, key: value}, order)[0]
    return case_of("ct.nrrd", header + voxels, truth)


@NRRD.kind("encoding that is not")
def _nrrd_encoding(rng: Random) -> Case:
    truth, fields, order = _drawn_nrrd(rng)
    header, voxels = nrrd(truth, fields, order)
    other = {"raw": "gzip", "gzip": "raw"}[fields["encoding"]]
    return case_of("ct.nrrd", header.replace(fields["encoding"].encode(), other.encode()) + voxels, truth)


@NRRD.kind("field twice")
def _nrrd_twice(rng: Random) -> Case:
    truth, fields, order = _drawn_nrrd(rng)
    second = rng.choice((
        "space directions: (9,0,0) (0,9,0) (0,0,9)\n", "sizes: 2 3 4\n", "space: right-anterior-inferior\n",
        "type: uchar\n", "space origin: (1,2,3)\n",
    ))  # fmt: skip
    return _nrrd_case(truth, fields, order, second)


@NRRD.kind("spacings against directions")
def _nrrd_spacings(rng: Random) -> Case:
    truth, fields, order = _drawn_nrrd(rng)
    return _nrrd_case(truth, fields, order, "spacings: 1.7 1.7 9\n")


# MetaImage ----------------------------------------------------------------------------------------------------

META = Group("MetaImage")


def meta_fields(truth: Truth, packed: bool = False, order: str = "<") -> dict[str, str]:
    """Fields of a MetaImage header of int16 in a usual order."""
    lps = truth.lps
    direction = (lps[:3, :3] / truth.spacing).T.ravel()
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": str(order == ">"),
        "CompressedData": str(packed),
    }
    if packed:
        fields["CompressedDataSize"] = str(len(meta_voxels(truth, True, order)))
    return fields | {
        "TransformMatrix": " ".join(f"{x:.17g}" for x in direction),
        "Offset": " ".join(f"{x:.17g}" for x in lps[:3, 3]),
        "CenterOfRotation": "0 0 0",
        "ElementSpacing": " ".join(f"{x:.17g}" for x in truth.spacing),
        "DimSize": " ".join(map(str, truth.array.shape[::-1])),
        "ElementType": "MET_SHORT",
        "ElementDataFile": "LOCAL",
    }


def meta_voxels(truth: Truth, packed: bool, order: str) -> bytes:
    """The voxels as they stand behind the header."""
    voxels = truth.array.astype(f"{order}i2").tobytes()
    return zlib.compress(voxels) if packed else voxels


def meta(fields: Mapping[str, str]) -> bytes:
    """The header."""
    return "".join(f"{k} = {v}\n" for k, v in fields.items()).encode()


def _drawn_meta(rng: Random, packed: bool | None = None) -> tuple[Truth, dict[str, str], bytes]:
    truth, order = draw_ct(rng), rng.choice("<>")
    packed = rng.random() < 0.5 if packed is None else packed
    return truth, meta_fields(truth, packed, order), meta_voxels(truth, packed, order)


@META.kind("valid")
def _meta_valid(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng)
    if rng.random() < 0.3:
        fields["ElementDataFile"] = "ct.raw"
        files = {"ct.mhd": meta(fields), "ct.raw": voxels}
        return Case(files, lambda folder: read_truth(folder / "ct.mhd"), truth.same_as, valid=True)
    return case_of("ct.mha", meta(fields) + voxels, truth, valid=True)


@META.kind("bit of the zlib stream")
def _meta_flip(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng, packed=True)
    return case_of("ct.mha", meta(fields) + flipped(voxels, rng), truth)


@META.kind("cut")
def _meta_cut(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng)
    return case_of("ct.mha", cut(meta(fields) + voxels, rng), truth)


@META.kind("field that must be there")
def _meta_without(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng)
    fields.pop(rng.choice(("NDims", "DimSize", "ElementType", "ElementSpacing", "ElementDataFile")))
    return case_of("ct.mha", meta(fields) + voxels, truth)


@META.kind("values that cannot be")
def _meta_lies(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng)
    key, value = rng.choice((
        ("NDims", "2"), ("NDims", "4"), ("NDims", "0"), ("NDims", "x"), ("NDims", "99"), ("DimSize", "9 9 9"),
        ("DimSize", "4 5"), ("DimSize", "0 5 6"), ("DimSize", "-4 5 6"), ("DimSize", "a b c"),
        ("DimSize", "99999 99999 99999"), ("ElementType", "MET_DOUBLE"), ("ElementType", "MET_UCHAR"),
        ("ElementType", "NONSENSE"), ("ElementSpacing", "0 1 1"), ("ElementSpacing", "-1 1 1"),
        ("ElementSpacing", "nan 1 1"), ("ElementSpacing", "inf 1 1"), ("ElementSpacing", "1 1"),
        ("ElementSpacing", "a b c"), ("TransformMatrix", "0 0 0 0 0 0 0 0 0"), ("TransformMatrix", "1 0 0 1 0 0 0 0 1"),
        ("TransformMatrix", "nan 0 0 0 1 0 0 0 1"), ("TransformMatrix", "1 0 0 0.5 1 0 0 0 1"),
        ("TransformMatrix", "1 0 0 0 1 0"), ("Offset", "nan 0 0"), ("Offset", "inf 0 0"), ("Offset", "1 2"),
        ("ElementNumberOfChannels", "2"), ("ElementNumberOfChannels", "0"), ("BinaryData", "False"),
        ("ElementDataFile", "elsewhere.raw"), ("ElementDataFile", "../../../etc/passwd"),
        ("ElementDataFile", "LIST"), ("HeaderSize", "40"), ("HeaderSize", "-1"), ("ObjectType", "Tube"),
    ))  # fmt: skip
    changed = {key: value, **fields} if key not in fields else {**fields, key: value}
    return case_of("ct.mha", meta(changed) + voxels, truth)


@META.kind("compression that is not")
def _meta_packing(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng)
    if fields["CompressedData"] == "True":
        key, value = rng.choice((("CompressedData", "False"), ("CompressedDataSize", "9"), ("CompressedDataSize", "-1"),
                                 ("CompressedDataSize", "99999999")))  # fmt: skip
        return case_of("ct.mha", meta({**fields, key: value}) + voxels, truth)
    return case_of("ct.mha", meta({**fields, "CompressedData": "True"}) + voxels, truth)


@META.kind("field twice")
def _meta_twice(rng: Random) -> Case:
    truth, fields, voxels = _drawn_meta(rng)
    first = rng.choice(("ElementSpacing = 9 9 9\n", "DimSize = 2 3 4\n", "TransformMatrix = 0 1 0 1 0 0 0 0 1\n"))
    return case_of("ct.mha", first.encode() + meta(fields) + voxels, truth)


@META.kind("list of slices too short")
def _meta_list(rng: Random) -> Case:
    truth, fields, _ = _drawn_meta(rng, packed=False)
    order = ">" if fields["BinaryDataByteOrderMSB"] == "True" else "<"
    files = {f"{n}.raw": plane.astype(f"{order}i2").tobytes() for n, plane in enumerate(truth.array)}
    missing = rng.randrange(1, len(files))
    names = list(files)[:-missing]
    text = meta({**fields, "ElementDataFile": "LIST"}) + "\n".join(names).encode() + b"\n"
    return Case({**files, "ct.mhd": text}, lambda folder: read_truth(folder / "ct.mhd"), truth.same_as)
