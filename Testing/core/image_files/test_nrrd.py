"""NRRD headers: space, spacing, units and the files of the voxels."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryError, NotCTError, UnreadableFileError
from MeWMLib.core.image_files import read_image_file

HU = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype("<i2")  # (K, J, I)
FIELDS = {
    "type": "short",
    "dimension": "3",
    "space": "left-posterior-superior",
    "sizes": "6 5 4",
    "space directions": "(0,0.7,0) (0,0,0.8) (2.5,0,0)",
    "kinds": "domain domain domain",
    "endian": "little",
    "encoding": "raw",
    "space origin": "(10,20,30)",
}
#: The directions and origin above, in the space of the file.
OWN = np.array([[0, 0, 2.5, 10], [0.7, 0, 0, 20], [0, 0.8, 0, 30], [0, 0, 0, 1]])


def write(path: Path, voxels: bytes = HU.tobytes(), keys: str = "", **changes) -> Path:
    fields = FIELDS | {name.replace("_", " "): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    path.write_bytes(("NRRD0005\n# a comment\n" + "\n".join(lines) + "\n" + keys + "\n").encode() + voxels)
    return path


@pytest.mark.parametrize(
    ("space", "signs"),
    [
        ("left-posterior-superior", (-1, -1, 1)),
        ("LPS", (-1, -1, 1)),
        ("right-anterior-superior", (1, 1, 1)),
        ("RAS", (1, 1, 1)),
        ("left-anterior-superior", (-1, 1, 1)),
        ("Left-Anterior-Superior", (-1, 1, 1)),
    ],
)
def test_spaces_that_know_left_and_right(tmp_path, space, signs):
    found = io.read_volume(write(tmp_path / "x.nrrd", space=space))
    np.testing.assert_allclose(found.geometry.affine, np.diag([*signs, 1]) @ OWN, atol=1e-12)
    np.testing.assert_array_equal(found.array, HU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"space": "scanner-xyz"}, "which way left.*scanner-xyz"),
        ({"space": "3D-right-handed"}, "3D-right-handed"),
        ({"space": "3D-left-handed"}, "3D-left-handed"),
        ({"space": None, "space_dimension": "3"}, "no space; SimpleITK takes"),
        ({"space": None, "space_directions": None, "space_origin": None}, "no voxel spacing.*1 x 1 x 1 mm"),
        ({"space_directions": None}, "no voxel spacing"),
        ({"space": None, "space_directions": None, "space_origin": None, "spacings": "1 2 3"}, "spacings 1 2 3"),
        ({"space": None, "space_directions": None, "spacings": "1 nan 3"}, "no voxel spacing"),
        ({"space": None, "space_directions": None, "spacings": "1 0 3"}, "zero, negative"),
        ({"space_directions": "(0,0.7,0) (0,0,0) (2.5,0,0)"}, "spacing.*zero"),
        ({"space_directions": "(0,0.7,0) (0,0.1,0.8) (2.5,0,0)"}, "sheared"),
        ({"space_directions": "(0,0.7,0) (0,0.7,0) (2.5,0,0)"}, "sheared"),
        ({"space_units": '"m" "m" "m"'}, 'not in millimetres.*"m"'),
        ({"space_units": '"mm" "mm" "cm"'}, 'not in millimetres.*"cm"'),
    ],
)
def test_geometry_that_simpleitk_invents_is_refused(tmp_path, changes, words):
    with pytest.raises(GeometryError, match=words) as caught:
        io.read_volume(write(tmp_path / "x.nrrd", **changes))
    assert "x.nrrd" in caught.value.given and caught.value.remedy


def test_what_is_harmless_is_accepted(tmp_path):
    path = write(
        tmp_path / "x.nrrd",
        space_units='"mm" "mm" "mm"',
        measurement_frame="(0,1,0) (1,0,0) (0,0,1)",  # it turns vectors, and a CT has none
        keys="MeWM_phase:=portal\nnote:=two\\nlines: and a \\\\\n",
    )
    assert io.read_volume(path).phase == "portal"
    assert read_image_file(path).metadata["note"] == "two\nlines: and a \\"
    np.testing.assert_array_equal(io.read_volume(path).array, HU)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"old_min": "0", "old_max": "1"}, NotCTError, "quantised"),
        ({"endian": None}, UnreadableFileError, "order its bytes"),
        ({"encoding": "bzip2"}, UnreadableFileError, "encoding.*bzip2"),
        ({"type": "block"}, UnreadableFileError, "type"),
        ({"sizes": "6 5"}, UnreadableFileError, "dimension 3, sizes 6 5"),
        ({"sizes": "6 5 -4"}, UnreadableFileError, "damaged header"),
        ({"sizes": "6 5 4.5"}, UnreadableFileError, "damaged header"),
        ({"space_origin": "(1,2)"}, UnreadableFileError, "damaged header"),
        ({"space_origin": "(a,b,c)"}, UnreadableFileError, "damaged header"),
        ({"keys": "space: RAS\n"}, UnreadableFileError, "space stands there twice"),
        ({"keys": "nonsense\n"}, UnreadableFileError, "nonsense"),
        ({"keys": "modality:=MR\n"}, NotCTError, "not a CT by its header.*MR"),
        ({"line_skip": "-2"}, UnreadableFileError, "skips"),
    ],
)
def test_headers_that_cannot_be(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        io.read_volume(write(tmp_path / "x.nrrd", **changes))


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("raw", HU.tobytes()),
        ("gzip", gzip.compress(HU.tobytes())),
        ("gz", gzip.compress(HU.tobytes()[:99]) + gzip.compress(HU.tobytes()[99:])),
        ("ascii", " ".join(map(str, HU.ravel())).encode() + b"\n"),
        ("hex", HU.tobytes().hex().encode()),
    ],
)
def test_encodings_and_what_is_missing_or_too_much(tmp_path, encoding, packed):
    path = write(tmp_path / "x.nrrd", packed, encoding=encoding)
    np.testing.assert_array_equal(io.read_volume(path).array, HU)
    for other in (packed[:-2], packed[: len(packed) // 2], b"", packed + b" 77", packed + b"\0" * 9):
        with pytest.raises(UnreadableFileError):
            io.read_volume(write(tmp_path / "x.nrrd", other, encoding=encoding))


def test_skipped_bytes_and_lines(tmp_path):
    for voxels, changes in (
        (b"junk" + HU.tobytes(), {"byte_skip": "4"}),
        (HU.tobytes(), {"byte_skip": "-1"}),
        (b"a line\nanother\n" + HU.tobytes(), {"line_skip": "2"}),
        (b"a line\n" + b"xy" + HU.tobytes(), {"line_skip": "1", "byte_skip": "2"}),
        (gzip.compress(b"junk" + HU.tobytes()), {"byte_skip": "4", "encoding": "gzip"}),
    ):
        np.testing.assert_array_equal(io.read_volume(write(tmp_path / "x.nrrd", voxels, **changes)).array, HU)
    for voxels, words in ((HU.tobytes()[:-1], "ends early"), (b"junk" + HU.tobytes(), "longer")):
        with pytest.raises(UnreadableFileError, match=words):
            io.read_volume(write(tmp_path / "x.nrrd", voxels, byte_skip="-1"))


def test_big_endian_and_every_type(tmp_path):
    for name, kind in (
        ("signed char", "i1"), ("uint8_t", "u1"), ("signed short int", "i2"), ("ushort", "u2"), ("int", "i4"),
        ("unsigned int", "u4"), ("long long", "i8"), ("uint64", "u8"), ("float", "f4"), ("double", "f8"),
    ):  # fmt: skip
        for endian, order in (("little", "<"), ("big", ">")):
            stored = (HU % 100).astype(order + kind)
            path = write(tmp_path / "x.nrrd", stored.tobytes(), type=name, endian=endian)
            found = read_image_file(path).array
            assert found.dtype == np.dtype(kind) and np.array_equal(found, HU % 100), (name, endian)


@pytest.mark.parametrize(
    "data_file", ["LIST", "LIST 2", "LIST 3", "slice%02d.raw 0 3 1", "slice%02d.raw 0 3 1 2", "slice%02d.raw 0 3 1 3"]
)
def test_a_detached_header_counts_and_measures_its_files(tmp_path, data_file):
    names = [f"slice{k:02d}.raw" for k in range(4)]
    for k, name in enumerate(names):
        (tmp_path / name).write_bytes(HU[k].tobytes())
    listed = "\n".join(names) + "\n" if data_file.startswith("LIST") else ""
    path = write(tmp_path / "x.nhdr", b"", data_file=data_file, keys=listed)
    path.write_bytes(path.read_bytes().rstrip(b"\n") + b"\n")
    np.testing.assert_array_equal(io.read_volume(path).array, HU)
    for content, words in ((HU[1].tobytes()[:-1], "ends early"), (HU[1].tobytes() + b"x", "longer")):
        (tmp_path / names[1]).write_bytes(content)
        with pytest.raises(UnreadableFileError, match=words):
            io.read_volume(path)
    (tmp_path / names[1]).unlink()
    with pytest.raises(UnreadableFileError, match="data file that is not there.*slice01"):
        io.read_volume(path)


@pytest.mark.parametrize(
    ("data_file", "listed", "words"),
    [
        ("LIST", "a.raw\n", "another number of data files"),
        ("LIST 3", "a.raw\na.raw\na.raw\n", "another number"),
        ("a%d.raw 1 9 1", "", "another number"),
        ("a%s.raw 1 4 1", "", "damaged header"),
        ("a%d.raw 1 4 0", "", "damaged header"),
        ("a.raw", "", "ends early"),
        ("missing.raw", "", "not there"),
        (None, "", "names no data file"),
    ],
)
def test_detached_headers_that_do_not_fit(tmp_path, data_file, listed, words):
    (tmp_path / "a.raw").write_bytes(HU[0].tobytes())
    path = write(tmp_path / "x.nhdr", b"", data_file=data_file, keys=listed)
    path.write_bytes(path.read_bytes().rstrip(b"\n") + b"\n")
    with pytest.raises(UnreadableFileError, match=words):
        io.read_volume(path)


def test_layers_are_found_wherever_their_axis_is(tmp_path):
    layers = np.stack([HU, HU + 1], -1)  # (K, J, I, C)
    vectors = FIELDS["space directions"]
    first = write(
        tmp_path / "a.seg.nrrd", layers.tobytes(), dimension="4", sizes="2 6 5 4", kinds="list domain domain domain",
        space_directions="none " + vectors,
    )  # fmt: skip
    last = write(
        tmp_path / "b.seg.nrrd", np.moveaxis(layers, -1, 0).tobytes(), dimension="4", sizes="6 5 4 2",
        kinds="domain domain domain list", space_directions=vectors + " none",
    )  # fmt: skip
    for path in (first, last):
        found = read_image_file(path)
        np.testing.assert_array_equal(found.array, layers)
        assert found.geometry.shape == HU.shape
        with pytest.raises(NotCTError, match="several channels"):
            io.read_volume(path)
    times = write(
        tmp_path / "c.nrrd", layers.tobytes(), dimension="4", sizes="2 6 5 4", kinds="time domain domain domain",
        space_directions="none " + vectors,
    )  # fmt: skip
    with pytest.raises(NotCTError, match="4 dimensions"):
        io.read_volume(times)
