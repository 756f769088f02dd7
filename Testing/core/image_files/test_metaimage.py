"""MetaImage headers: spacing, orientation, units, and the files of the voxels."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryError, NotCTError, UnreadableFileError
from MeWMLib.core.image_files import read_image_file

HU = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype("<i2")  # (K, J, I)
FIELDS = {
    "ObjectType": "Image",
    "NDims": "3",
    "BinaryData": "True",
    "BinaryDataByteOrderMSB": "False",
    "CompressedData": "False",
    "TransformMatrix": "0 1 0 0 0 1 1 0 0",  # a row is the direction of an axis, LPS
    "Offset": "10 20 30",
    "CenterOfRotation": "0 0 0",
    "AnatomicalOrientation": "AIR",
    "ElementSpacing": "0.7 0.8 2.5",
    "DimSize": "6 5 4",
    "ElementType": "MET_SHORT",
    "ElementDataFile": "LOCAL",
}
AFFINE = np.array([[0, 0, -2.5, -10], [-0.7, 0, 0, -20], [0, 0.8, 0, 30], [0, 0, 0, 1]])


def write(path: Path, voxels: bytes = HU.tobytes(), **changes) -> Path:
    fields = FIELDS | changes
    fields["ElementDataFile"] = fields.pop("ElementDataFile")  # the last one
    lines = [f"{name} = {value}" for name, value in fields.items() if value is not None]
    path.write_bytes(("\n".join(lines) + "\n").encode() + voxels)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"AnatomicalOrientation": "PSL"},  # where the axes go to, as the document of the format has it
        {"AnatomicalOrientation": "???"},
        {"AnatomicalOrientation": None},
        {"TransformMatrix": None, "Rotation": FIELDS["TransformMatrix"], "Offset": None, "Position": "10 20 30"},
        {"ElementSize": "0.7 0.8 5"},  # thick slices that overlap
        {"DistanceUnits": "mm"},
        {"Modality": "MET_MOD_CT"},
        {"NDims": "4", "DimSize": "6 5 4 1", "ElementSpacing": "0.7 0.8 2.5 1", "Offset": "10 20 30 0",
         "TransformMatrix": "0 1 0 0 0 0 1 0 1 0 0 0 0 0 0 1", "AnatomicalOrientation": "????"},
    ],
)  # fmt: skip
def test_valid_headers(tmp_path, changes):
    found = io.read_volume(write(tmp_path / "x.mha", **changes))
    np.testing.assert_allclose(found.geometry.affine, AFFINE, atol=1e-12)
    np.testing.assert_array_equal(found.array, HU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"ElementSpacing": None}, "no voxel spacing.*1 x 1 x 1 mm"),
        ({"ElementSpacing": None, "ElementSize": "1 2 3"}, "only the size of a voxel.*1 x 2 x 3 mm; no ElementSpacing"),
        ({"ElementSpacing": "0.7 0 2.5"}, "zero, negative"),
        ({"TransformMatrix": None}, "no TransformMatrix, AnatomicalOrientation AIR"),
        ({"TransformMatrix": None, "AnatomicalOrientation": None}, "which way left"),
        ({"AnatomicalOrientation": "PIR"}, "two orientations.*PIR.*AIR or PSL"),
        ({"TransformMatrix": "1 0 0 0 1 0 0 0 1", "AnatomicalOrientation": "RAS"}, "two orientations.*RAI or LPS"),
        ({"TransformMatrix": "0 2 0 0 0 1 1 0 0"}, "two voxel spacings"),
        ({"TransformMatrix": "0 1 0 0 0.28 0.96 1 0 0"}, "sheared"),
        ({"DistanceUnits": "um"}, "not in millimetres.*um"),
    ],
)
def test_geometry_that_simpleitk_invents_is_refused(tmp_path, changes, words):
    with pytest.raises(GeometryError, match=words) as caught:
        io.read_volume(write(tmp_path / "x.mha", **changes))
    assert "x.mha" in caught.value.given and caught.value.remedy


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"ElementToIntensityFunctionSlope": "2"}, NotCTError, "rescales.*Slope 2"),
        ({"ElementToIntensityFunctionOffset": "-1024"}, NotCTError, "rescales.*Offset -1024"),
        ({"Modality": "MET_MOD_MR"}, NotCTError, "MET_MOD_MR"),
        ({"ElementNumberOfChannels": "2", "DimSize": "3 5 4"}, NotCTError, "several channels"),
        ({"NDims": "4", "DimSize": "6 5 2 2"}, NotCTError, "4 dimensions"),
        ({"NDims": "2", "DimSize": "6 20"}, NotCTError, "2 dimensions"),
        ({"DimSize": "6 5"}, UnreadableFileError, "DimSize"),
        ({"ElementType": "MET_STRING"}, UnreadableFileError, "type"),
        ({"Position": "1 2 3"}, UnreadableFileError, "Offset stands there twice"),
        ({"ElementType": None}, UnreadableFileError, "no ElementType"),
        ({"HeaderSize": "12"}, UnreadableFileError, "HeaderSize 12"),
        ({"ObjectType": "Tube"}, UnreadableFileError, "whatever its name"),
    ],
)
def test_headers_that_cannot_be(tmp_path, changes, error, words):
    with pytest.raises(error, match=words):
        io.read_volume(write(tmp_path / "x.mha", **changes))


def test_byte_order_and_every_type(tmp_path):
    for name, kind in (
        ("MET_CHAR", "i1"), ("MET_UCHAR", "u1"), ("MET_USHORT", "u2"), ("MET_INT", "i4"), ("MET_LONG", "i4"),
        ("MET_UINT", "u4"), ("MET_LONG_LONG", "i8"), ("MET_ULONG_LONG", "u8"), ("MET_FLOAT", "f4"),
        ("MET_DOUBLE", "f8"),
    ):  # fmt: skip
        for msb, order in (("True", ">"), ("False", "<")):
            stored = (HU % 100).astype(order + kind)
            path = write(tmp_path / "x.mha", stored.tobytes(), ElementType=name, BinaryDataByteOrderMSB=msb)
            found = read_image_file(path).array
            assert found.dtype == np.dtype(kind) and np.array_equal(found, HU % 100), (name, msb)


def test_a_compressed_stream_is_as_long_as_declared_and_whole(tmp_path, capfd):
    packed = zlib.compress(HU.tobytes())

    def saved(voxels, size):
        return write(tmp_path / "x.mha", voxels, CompressedData="True", CompressedDataSize=size)

    np.testing.assert_array_equal(io.read_volume(saved(packed, len(packed))).array, HU)
    # SimpleITK returns what was in memory without the size, and reads the rest of these as if they were whole
    np.testing.assert_array_equal(io.read_volume(saved(packed, None)).array, HU)
    assert capfd.readouterr().err == ""  # MetaIO would say there that it cannot unpack it
    for voxels, size in (
        (packed, len(packed) - 1), (packed, len(packed) + 1), (packed + b"x", len(packed)), (packed + b"x", None),
        (packed[:-1], len(packed) - 1), (packed[:-4], None), (zlib.compress(HU.tobytes()[:-2]), None),
        (zlib.compress(HU.tobytes() + b"x"), None), (packed + packed, None),
    ):  # fmt: skip
        with pytest.raises(UnreadableFileError):
            io.read_volume(saved(voxels, size))


@pytest.mark.parametrize("data_file", ["LIST", "LIST 2", "LIST 2D", "slice%d.raw 1 4 1", "one.raw", "LIST 3D"])
def test_a_detached_header_counts_and_measures_its_files(tmp_path, data_file):
    whole = data_file in ("one.raw", "LIST 3D")
    names = ["one.raw"] if whole else [f"slice{k}.raw" for k in range(1, 5)]
    for name, part in zip(names, [HU] if whole else HU, strict=True):
        (tmp_path / name).write_bytes(part.tobytes())
    listed = "\n".join(names).encode() + b"\n" if data_file.startswith("LIST") else b""
    path = write(tmp_path / "x.mhd", listed, ElementDataFile=data_file)
    np.testing.assert_array_equal(io.read_volume(path).array, HU)
    content = (tmp_path / names[-1]).read_bytes()
    for other, words in ((content[:-1], "ends early"), (content + b"x", "longer")):
        (tmp_path / names[-1]).write_bytes(other)
        with pytest.raises(UnreadableFileError, match=words):
            io.read_volume(path)
    (tmp_path / names[-1]).unlink()
    with pytest.raises(UnreadableFileError, match="not there"):
        io.read_volume(path)


def test_a_short_list_is_refused(tmp_path):
    """SimpleITK fills the rest with what was in memory."""
    (tmp_path / "a.raw").write_bytes(HU[0].tobytes())
    with pytest.raises(UnreadableFileError, match="another number"):
        io.read_volume(write(tmp_path / "x.mhd", b"a.raw\na.raw\n", ElementDataFile="LIST"))


def test_a_header_before_the_voxels_of_another_file(tmp_path):
    (tmp_path / "a.raw").write_bytes(b"head" + HU.tobytes())
    path = write(tmp_path / "x.mhd", b"", ElementDataFile="a.raw", HeaderSize="4")
    np.testing.assert_array_equal(io.read_volume(path).array, HU)
    for size in (None, "-1"):
        with pytest.raises(UnreadableFileError, match="longer"):
            io.read_volume(write(tmp_path / "x.mhd", b"", ElementDataFile="a.raw", HeaderSize=size))
