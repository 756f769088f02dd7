"""NIfTI headers: what contradicts itself is refused with both values; the rest has the affine worked out here."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryError, LabelError, MeWMError, NotCTError, UnreadableFileError
from MeWMLib.core.image_files import read_image_file

HU = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)  # (K, J, I)
#: i runs to posterior, j to superior, k to left; spacing 0.7, 0.8, 2.5 mm.
AFFINE = np.array([[0, 0, -2.5, 30.0], [-0.7, 0, 0, 20.0], [0, 0.8, 0, -10.0], [0, 0, 0, 1]])
#: The same as a quaternion (b, c, d): columns (0 -1 0), (0 0 1), (-1 0 0) are a turn by 120 degrees.
QUATERNION = (0.5, -0.5, -0.5)


def header(order="<", **changes) -> bytes:
    """The 352 bytes before the voxels; every field by its name in nifti1.h."""
    f = {
        "dim": (3, 6, 5, 4, 1, 1, 1, 1), "datatype": 4, "bitpix": 16, "pixdim": (1, 0.7, 0.8, 2.5, 0, 0, 0, 0),
        "vox_offset": 352, "slope": 1, "inter": 0, "units": 2, "qform_code": 1, "sform_code": 1,
        "quatern": (*QUATERNION, 30, 20, -10), "srow": AFFINE[:3].ravel(), "magic": b"n+1\0", "intent": 0,
    }  # fmt: skip
    f |= changes
    head = bytearray(352)
    for form, place, values in (
        ("i", 0, [348]), ("8h", 40, f["dim"]), ("h", 68, [f["intent"]]), ("2h", 70, [f["datatype"], f["bitpix"]]),
        ("8f", 76, f["pixdim"]), ("3f", 108, [f["vox_offset"], f["slope"], f["inter"]]), ("B", 123, [f["units"]]),
        ("2h", 252, [f["qform_code"], f["sform_code"]]), ("6f", 256, f["quatern"]), ("12f", 280, f["srow"]),
        ("4s", 344, [f["magic"]]),
    ):  # fmt: skip
        struct.pack_into(order + form, head, place, *values)
    return bytes(head)


def write(path: Path, voxels: bytes | None = None, **changes) -> Path:
    content = header(**changes) + (HU.tobytes() if voxels is None else voxels)
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize("codes", [(1, 1), (1, 0), (0, 1), (2, 4)])
def test_qform_and_sform_give_the_same_affine(tmp_path, name, codes):
    found = io.read_volume(write(tmp_path / name, qform_code=codes[0], sform_code=codes[1]))
    np.testing.assert_allclose(found.geometry.affine, AFFINE, atol=1e-5)
    np.testing.assert_array_equal(found.array, HU)


def test_a_left_handed_grid_by_qfac_is_not_mirrored(tmp_path):
    expected = AFFINE * [1, 1, -1, 1]
    path = write(tmp_path / "x.nii", pixdim=(-1, 0.7, 0.8, 2.5, 0, 0, 0, 0), sform_code=0)
    np.testing.assert_allclose(io.read_volume(path).geometry.affine, expected, atol=1e-5)
    both = write(tmp_path / "y.nii", pixdim=(-1, 0.7, 0.8, 2.5, 0, 0, 0, 0), srow=expected[:3].ravel())
    np.testing.assert_allclose(io.read_volume(both).geometry.affine, expected, atol=1e-5)
    with pytest.raises(GeometryError, match="in two ways.*180 degrees"):  # the sform says right-handed
        io.read_volume(write(tmp_path / "z.nii", pixdim=(-1, 0.7, 0.8, 2.5, 0, 0, 0, 0)))
    old = write(tmp_path / "old.nii", pixdim=(0, 0.7, 0.8, 2.5, 0, 0, 0, 0), sform_code=0)  # 0 stands for 1
    np.testing.assert_allclose(io.read_volume(old).geometry.affine, AFFINE, atol=1e-5)


def moved(**cells) -> np.ndarray:
    changed = AFFINE.copy()
    for cell, value in cells.items():
        changed[int(cell[1]), int(cell[2])] = value
    return changed[:3].ravel()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pixdim": (1, 1, 1, 1, 0, 0, 0, 0)}, "1 x 1 x 1 mm by pixdim; 0.7 x 0.8 x 2.5 mm by the sform"),
        ({"pixdim": (1, 0.7, 0.8, 2.504, 0, 0, 0, 0), "qform_code": 0}, "2.504 mm by pixdim; .* 2.5 mm by the sform"),
        ({"srow": moved(m03=30.2)}, "in two ways.*0.2 mm apart"),
        ({"srow": moved(m10=-0.7 * np.cos(0.01), m20=-0.7 * np.sin(0.01))}, "in two ways.*0.573 degrees"),
        ({"srow": moved(m10=0.7)}, "in two ways.*180 degrees"),
        ({"qform_code": 0, "srow": moved(m01=0.2, m21=0.7746)}, "sheared"),
        ({"qform_code": 0, "sform_code": 0}, "which way left.*neither qform nor sform"),
        ({"srow": np.zeros(12)}, "0 x 0 x 0 mm by the sform"),
        ({"srow": np.full(12, np.nan)}, "nan"),
        ({"pixdim": (1, -0.7, 0.8, 2.5, 0, 0, 0, 0)}, "zero, negative"),
        ({"pixdim": (1, 0.7, np.inf, 2.5, 0, 0, 0, 0)}, "not a number"),
        ({"magic": b"\0\0\0\0"}, "ANALYZE"),
    ],
)
def test_geometry_that_readers_would_choose_is_refused_with_both_values(tmp_path, changes, words):
    with pytest.raises(GeometryError, match=words) as caught:
        io.read_volume(write(tmp_path / "x.nii.gz", **changes))
    assert "x.nii.gz" in caught.value.given and caught.value.remedy


def test_a_shear_beside_a_coded_qform_is_refused(tmp_path):
    sheared = moved(m21=0.7746, m01=0.2)  # the length of the column stays 0.8
    with pytest.raises(GeometryError, match="degrees"):
        io.read_volume(write(tmp_path / "x.nii", srow=sheared))


def test_differences_below_the_tolerance_are_accepted(tmp_path):
    near = moved(m03=30.05, m10=-0.7 * np.cos(0.001), m20=-0.7 * np.sin(0.001))
    path = write(tmp_path / "x.nii", srow=near, pixdim=(1, 0.7, 0.8, 2.5012, 0, 0, 0, 0))
    np.testing.assert_allclose(io.read_volume(path).geometry.affine[:3].ravel(), near, atol=1e-5)


@pytest.mark.parametrize(("unit", "factor"), [(0, 1), (1, 1000), (2, 1), (3, 1e-3), (10, 1)])
def test_units_become_millimetres(tmp_path, unit, factor):
    stored = AFFINE[:3] / factor
    pixdim = (1, *(np.array([0.7, 0.8, 2.5]) / factor), 0, 0, 0, 0)
    path = write(
        tmp_path / "x.nii", units=unit, srow=stored.ravel(), pixdim=pixdim, quatern=(*QUATERNION, *stored[:, 3])
    )
    np.testing.assert_allclose(io.read_volume(path).geometry.affine, AFFINE, atol=1e-4)


@pytest.mark.parametrize(
    ("slope", "inter", "expected"),
    [
        (1, 0, HU),
        (0, 0, HU),
        (np.nan, np.nan, HU),
        (0, np.nan, HU),
        (1, -24, HU.astype(np.float32) - 24),
        (0.5, -100.5, (HU * 0.5 - 100.5).astype(np.float32)),
    ],
)
def test_rescaled_values(tmp_path, slope, inter, expected):
    for name in ("x.nii", "x.nii.gz"):
        found = read_image_file(write(tmp_path / name, slope=slope, inter=inter)).array
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("slope", "inter"), [(0, -1024), (np.nan, -1024), (2, np.nan), (np.inf, 0), (1, np.inf)])
def test_rescaling_that_readers_do_not_agree_on_is_refused(tmp_path, slope, inter):
    with pytest.raises(NotCTError, match="do not agree.*scl_slope"):
        io.read_volume(write(tmp_path / "x.nii", slope=slope, inter=inter))


@pytest.mark.parametrize("offset", [0, 348, 351, 352.5, -1, np.nan, 1e12])
def test_an_offset_that_readers_take_differently_is_refused(tmp_path, offset):
    with pytest.raises(UnreadableFileError, match="vox_offset"):
        io.read_volume(write(tmp_path / "x.nii", vox_offset=offset))


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_an_odd_offset_after_an_extension_is_followed(tmp_path, name):
    path = write(tmp_path / name, voxels=b"e" * 17 + HU.tobytes(), vox_offset=352 + 17)
    np.testing.assert_array_equal(io.read_volume(path).array, HU)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize(("extra", "words"), [(b"x", "longer than its header"), (b"", None), (-1, "ends early")])
def test_the_voxels_fill_the_file_exactly(tmp_path, name, extra, words):
    voxels = HU.tobytes()[:-1] if extra == -1 else HU.tobytes() + extra
    path = write(tmp_path / name, voxels=voxels)
    if words is None:
        np.testing.assert_array_equal(io.read_volume(path).array, HU)
    else:
        with pytest.raises(UnreadableFileError, match=words):
            io.read_volume(path)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"dim": (4, 6, 5, 2, 2, 1, 1, 1)}, NotCTError, "4 dimensions"),
        ({"dim": (2, 6, 20, 1, 1, 1, 1, 1)}, NotCTError, "2 dimensions.*whole volume"),
        ({"dim": (5, 6, 5, 2, 1, 2, 1, 1), "intent": 1007}, NotCTError, "several channels"),
        ({"dim": (0, 6, 5, 4, 1, 1, 1, 1)}, UnreadableFileError, "damaged header"),
        ({"dim": (3, 6, -5, 4, 1, 1, 1, 1)}, UnreadableFileError, "damaged header"),
        ({"bitpix": 8}, UnreadableFileError, "8 bits"),
        ({"datatype": 32, "bitpix": 64}, NotCTError, "type 32"),
        ({"quatern": (1, 1, 1, 30, 20, -10)}, UnreadableFileError, "quaternion"),
        ({"pixdim": (0.5, 0.7, 0.8, 2.5, 0, 0, 0, 0)}, UnreadableFileError, "qfac 0.5"),
        ({"units": 5}, UnreadableFileError, "unit of length"),
        ({"magic": b"ni1\0"}, UnreadableFileError, "whatever its name"),
    ],
)
def test_headers_that_cannot_be(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        io.read_volume(write(tmp_path / "x.nii", **changes))


def test_big_endian_and_single_fourth_axis(tmp_path):
    (tmp_path / "x.nii").write_bytes(header(">", dim=(5, 6, 5, 4, 1, 1, 1, 1)) + HU.astype(">i2").tobytes())
    found = io.read_volume(tmp_path / "x.nii")
    assert found.array.dtype == np.int16 and found.array.dtype.isnative
    np.testing.assert_array_equal(found.array, HU)
    np.testing.assert_allclose(found.geometry.affine, AFFINE, atol=1e-5)


def test_a_pair_of_files(tmp_path):
    (tmp_path / "x.hdr").write_bytes(header(magic=b"ni1\0", vox_offset=0)[:348])
    with pytest.raises(UnreadableFileError, match=r"one \.img"):
        io.read_volume(tmp_path / "x.hdr")
    (tmp_path / "x.img").write_bytes(HU.tobytes())
    np.testing.assert_array_equal(io.read_volume(tmp_path / "x.hdr").array, HU)
    (tmp_path / "x.img").write_bytes(HU.tobytes()[:-2])
    with pytest.raises(UnreadableFileError, match="ends early"):
        io.read_volume(tmp_path / "x.hdr")


def nifti2(**changes) -> bytes:
    f = {"pixdim": (1, 0.7, 0.8, 2.5, 0, 0, 0, 0), "codes": (1, 1), "srow": AFFINE[:3].ravel(), "offset": 544} | changes
    head = bytearray(544)
    for form, place, values in (
        ("i8s", 0, [540, b"n+2\0\r\n\x1a\n"]), ("2h", 12, [4, 16]), ("8q", 16, (3, 6, 5, 4, 1, 1, 1, 1)),
        ("8d", 104, f["pixdim"]), ("q2d", 168, [f["offset"], 1, 0]), ("2i", 344, f["codes"]),
        ("6d", 352, (*QUATERNION, 30, 20, -10)), ("12d", 400, f["srow"]), ("i", 500, [2]),
    ):  # fmt: skip
        struct.pack_into("<" + form, head, place, *values)
    return bytes(head) + HU.tobytes()


def test_version_two(tmp_path):
    (tmp_path / "x.nii").write_bytes(nifti2())
    found = io.read_volume(tmp_path / "x.nii")
    np.testing.assert_allclose(found.geometry.affine, AFFINE, atol=1e-9)
    np.testing.assert_array_equal(found.array, HU)
    for changes in ({"pixdim": (1,) * 8}, {"codes": (0, 0)}, {"offset": 2**40}):
        (tmp_path / "x.nii").write_bytes(nifti2(**changes))
        with pytest.raises(MeWMError):
            io.read_volume(tmp_path / "x.nii")


def with_names(path: Path, entries: str, labels: np.ndarray) -> Path:
    """A label map whose header has a table of names, as TotalSegmentator writes it."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension>  <Date><![CDATA[2013-07-14T05:45:09]]></Date>  '
        f'<VolumeInformation Index="0">   <LabelTable>{entries}  </LabelTable>  </VolumeInformation></CaretExtension>'
    ).encode()
    extension = struct.pack("<ii", -(-(len(text) + 8) // 16) * 16, 0) + text
    extension += b" " * (-len(extension) % 16)
    head = header(datatype=2, bitpix=8, vox_offset=352 + len(extension))
    content = head[:348] + b"\1\0\0\0" + extension + labels.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


ENTRY = '<Label Key="{}" Red="0.5" Green="0" Blue="0.2" Alpha="1"><![CDATA[{}]]></Label>'


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_names_of_values_in_an_extension_count(tmp_path, name):
    """Value 1 is the liver only where nothing else is said of it."""
    drawn = np.zeros(HU.shape, np.uint8)
    drawn[1, 1:4, 1:5], drawn[2, 2, 2:4], drawn[3, 0, 0] = 5, 2, 1
    entries = "".join(ENTRY.format(*one) for one in ((1, "liver_vessels"), (2, "liver_tumor"), (5, "liver"), (9, "x")))
    path = with_names(tmp_path / name, entries, drawn)
    geometry = read_image_file(path).geometry
    notes: list[str] = []
    found = io.read_labels(path, geometry, notes=notes).array
    np.testing.assert_array_equal(found, np.select([drawn == 5, drawn == 2], [1, 2], 0))
    assert "liver_vessels" in notes[0]
    only = with_names(tmp_path / name, entries, np.where(drawn == 5, 0, drawn))
    with pytest.raises(LabelError, match="tumour, but no liver"):
        io.read_labels(only, geometry)
    unsure = with_names(tmp_path / name, "<Label Key='5'>liver</Label>" + ENTRY.format(2, "mass &amp; rim"), drawn)
    with pytest.raises(LabelError, match="no segment.*1"):
        io.read_labels(unsure, geometry)
    with pytest.raises(LabelError, match=r"not sure what a segment is.*mass & rim"):
        io.read_labels(with_names(tmp_path / name, "<Label Key='5'>liver</Label>" + ENTRY.format(2, "mass &amp; rim"),
                                  np.where(drawn == 1, 0, drawn)), geometry)  # fmt: skip
    path = with_names(tmp_path / name, entries, drawn)
    given = io.read_labels(path, geometry, values={1: 2, 2: 0}).array  # what the user says wins
    np.testing.assert_array_equal(given, np.select([drawn == 5, drawn == 1], [1, 2], 0))


@pytest.mark.parametrize(
    "entries", ["", "<Label", "<Label Key=''>a</Label>", "<Label Key='1'>" + "<" * 9999, ENTRY.format(1, "L1")]
)
def test_a_table_that_says_nothing_leaves_the_values_as_they_are(tmp_path, entries):
    drawn = np.zeros(HU.shape, np.uint8)
    drawn[1:3, 1:4, 1:5], drawn[2, 2, 2:4] = 1, 2
    path = with_names(tmp_path / "x.nii", entries, drawn)
    np.testing.assert_array_equal(io.read_labels(path, read_image_file(path).geometry).array, drawn)
