"""Voxels: what SimpleITK reads of whole files, an error for wrong bits, and no memory for what is only declared."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import tempfile
import zlib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

import MeWMLib
from MeWMLib.core import io
from MeWMLib.core.errors import InputError, MeWMError, UnreadableFileError
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.volume import Geometry, LabelMap, Volume

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")
NAMES = ("x.nii", "x.nii.gz", "x.nrrd", "x.mha")


def random_image(draw) -> sitk.Image:
    """Any grid: axes in any order and direction, maybe oblique; any type."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    kind = np.dtype(draw(st.sampled_from(TYPES)))
    low, high = (-1000, 3000) if kind.itemsize > 1 and kind.kind != "u" else (0, 100)
    image = sitk.GetImageFromArray(rng.integers(low, high, shape).astype(kind))
    image.SetSpacing(draw(st.tuples(*[st.floats(0.1, 10)] * 3)))
    image.SetOrigin(draw(st.tuples(*[st.floats(-500, 500)] * 3)))
    matrix = np.eye(3)[draw(st.permutations(range(3)))] * draw(st.tuples(*[st.sampled_from((-1, 1))] * 3))
    if draw(st.booleans()):
        matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    image.SetDirection(matrix.ravel().tolist())
    return image


def affine_of(image: sitk.Image) -> np.ndarray:
    """From what was set on the image in memory, not from a file."""
    columns = [
        np.array(image.TransformIndexToPhysicalPoint(tuple(int(n == axis) for n in range(3)))) for axis in range(3)
    ]
    origin = np.array(image.GetOrigin())
    affine = np.eye(4)
    affine[:3] = np.column_stack([*(c - origin for c in columns), origin])
    return LPS_TO_RAS @ affine


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_valid_image_is_read_as_it_was(data):
    image, name, packed = random_image(data.draw), data.draw(st.sampled_from(NAMES)), data.draw(st.booleans())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        sitk.WriteImage(image, str(path), packed)
        found = read_image_file(path)
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    expected = sitk.GetArrayFromImage(image)
    for other in (expected, theirs):
        assert found.array.dtype == other.dtype
        np.testing.assert_array_equal(found.array, other)
    # NIfTI holds single precision
    size = max(image.GetSpacing())
    np.testing.assert_allclose(found.geometry.affine[:3, :3], affine_of(image)[:3, :3], atol=2e-6 * size)
    np.testing.assert_allclose(found.geometry.affine[:3, 3], affine_of(image)[:3, 3], atol=1e-4)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_damaged_image_is_an_error_or_unchanged(data):
    """Cut anywhere, longer by anything, one byte changed: an error, or (a harmless place) the same voxels and grid."""
    name, packed = data.draw(st.sampled_from(NAMES)), data.draw(st.booleans())
    packed = {"x.nii.gz": True, "x.nii": False}.get(name, packed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        image = random_image(data.draw)
        sitk.WriteImage(image, str(path), packed)
        content = path.read_bytes()
        whole = read_image_file(path)
        place = data.draw(st.integers(0, len(content) - 1))
        kinds = ["cut", "longer"] + ["changed"] * packed  # nothing in a raw file tells that a voxel was changed
        kind = data.draw(st.sampled_from(kinds))
        if kind == "changed":
            voxels = _first_voxel(content, name)
            place = data.draw(st.integers(voxels, len(content) - 1))
            other = bytes([content[place] ^ data.draw(st.integers(1, 255))])
            path.write_bytes(content[:place] + other + content[place + 1 :])
        else:
            path.write_bytes(content[:place] if kind == "cut" else content + data.draw(st.binary(min_size=1)))
        try:
            found = read_image_file(path)
        except MeWMError:
            return
    assert kind == "changed"
    np.testing.assert_array_equal(found.array, whole.array)
    np.testing.assert_array_equal(found.geometry.affine, whole.geometry.affine)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_a_header_of_any_bytes_is_one_of_our_errors_or_read(data):
    """Bytes of the header changed, left out or put in: never another kind of error."""
    name = data.draw(st.sampled_from(("x.nii", "x.nrrd", "x.mha", "x.mhd", "x.nhdr")))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        sitk.WriteImage(random_image(data.draw), str(path))
        content = bytearray(path.read_bytes())
        header = {".nii": 352, ".nrrd": content.find(b"\n\n"), ".mha": content.find(b"LOCAL")}
        for _ in range(data.draw(st.integers(1, 3))):
            place = data.draw(st.integers(0, min(header.get(path.suffix, len(content)), len(content)) - 1))
            content[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
        path.write_bytes(content)
        try:
            found = read_image_file(path)
        except MeWMError:
            return
    assert found.array.shape[:3] == found.geometry.shape


def _first_voxel(content: bytes, name: str) -> int:
    """Where the compressed stream begins."""
    mark = {"x.nrrd": b"\n\n", "x.mha": b"ElementDataFile = LOCAL\n"}.get(name)
    return content.index(mark) + len(mark) if mark else 0


def small_ct() -> Volume:
    array = np.random.default_rng(1).integers(-1000, 1000, (5, 8, 9)).astype(np.int16)
    return Volume(array, Geometry(array.shape, np.diag([-1.5, -1.5, 3.0, 1.0])), "portal")


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha", "ct.nii.gz", "labels.seg.nrrd"])
def test_no_bit_of_a_file_that_we_write_changes_unnoticed(tmp_path, name):
    ct, path = small_ct(), tmp_path / name
    labels = LabelMap((ct.array > 0).astype(np.uint8) + (ct.array > 500), ct.geometry)

    def read():
        return io.read_labels(path, ct.geometry) if "seg" in name else io.read_volume(path)

    if "seg" in name:
        io.write_labels(labels, path)
    else:
        io.write_volume(ct, path)
    np.testing.assert_array_equal(read().array, labels.array if "seg" in name else ct.array)
    content = path.read_bytes()
    for bit in np.random.default_rng(3).choice(8 * len(content), 400, replace=False).tolist():
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(MeWMError):
            read()
            pytest.fail(f"bit {bit} of {name} was not noticed")


@pytest.mark.parametrize("name", ["ct.nrrd", "ct.mha", "ct.nii.gz"])
def test_a_file_of_ours_that_another_program_wrote_again_is_read(tmp_path, name):
    io.write_volume(small_ct(), tmp_path / name)
    image = sitk.ReadImage(str(tmp_path / name))  # SimpleITK keeps all keys of a header that it knows
    sitk.WriteImage(sitk.Clamp(image, image.GetPixelID(), -500, 500), str(tmp_path / name), True)
    np.testing.assert_array_equal(io.read_volume(tmp_path / name).array, small_ct().array.clip(-500, 500))
    keys = image.GetMetaDataKeys()
    for key in keys:
        assert "SHA-256" not in image.GetMetaData(key)


@pytest.mark.parametrize("name", ["x.nrrd", "x.nii.gz"])
def test_members_and_what_follows_a_stream(tmp_path, name):
    ct, path = small_ct(), tmp_path / name
    sitk.WriteImage(io.to_sitk(ct), str(path), True)
    content = path.read_bytes()
    first = _first_voxel(content, name)
    plain, head = gzip.decompress(content[first:]), content[:first]
    for cuts in ((0, 7, len(plain)), (0, 400, 500, len(plain)), (0, len(plain), len(plain))):
        members = b"".join(gzip.compress(plain[a:b]) for a, b in pairwise(cuts))
        path.write_bytes(head + members)
        np.testing.assert_array_equal(io.read_volume(path).array, ct.array)
    one = gzip.compress(plain)
    more = [one + rest for rest in (b"\0", b"\x1f", one, gzip.compress(b"x"))]
    for other in (*more, one[:-8] + b"\0" * 8, zlib.compress(plain)):
        path.write_bytes(head + other)
        with pytest.raises(UnreadableFileError):
            io.read_volume(path)


def test_a_file_of_the_same_name_without_gz_is_another_file(tmp_path):
    """SimpleITK reads the voxels of x.nii when it is asked for x.nii.gz beside it."""
    ct = small_ct()
    io.write_volume(ct, tmp_path / "x.nii.gz")
    io.write_volume(ct.with_array(ct.array[::-1].copy()), tmp_path / "x.nii")
    np.testing.assert_array_equal(io.read_volume(tmp_path / "x.nii.gz").array, ct.array)
    np.testing.assert_array_equal(io.read_volume(tmp_path / "x.nii").array, ct.array[::-1])


@pytest.mark.parametrize("name", NAMES)
def test_two_values_for_each_voxel_are_those_of_simpleitk(tmp_path, name):
    image = sitk.Compose(*[sitk.GetImageFromArray(small_ct().array + n) for n in (0, 7)])
    for packed in (False, True):
        sitk.WriteImage(image, str(tmp_path / name), packed)
        found = read_image_file(tmp_path / name).array
        np.testing.assert_array_equal(found, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name))))


def declaring(path: Path, shape: tuple[int, int, int], data: bytes) -> Path:
    """A NRRD file of int16 whose header declares `shape` and whose stream is `data`."""
    k, j, i = shape
    header = (
        f"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: {i} {j} {k}\n"
        "space directions: (1,0,0) (0,1,0) (0,0,1)\nendian: little\nencoding: gzip\n\n"
    )
    path.write_bytes(header.encode() + data)
    return path


def test_more_than_a_stream_can_hold_is_refused_before_it_is_unpacked(tmp_path):
    path = declaring(tmp_path / "x.nrrd", (512, 512, 512), gzip.compress(bytes(1000)))
    with pytest.raises(UnreadableFileError, match="packed bytes cannot hold"):
        io.read_volume(path)


def test_the_limit_is_held_before_anything_is_unpacked_and_can_be_raised(tmp_path, monkeypatch):
    io.write_volume(small_ct(), tmp_path / "x.nrrd")
    monkeypatch.setenv("MEWM_MAX_GIB", "6e-7")  # 644 bytes
    with pytest.raises(InputError, match="--max-gib"):
        io.read_volume(tmp_path / "x.nrrd")
    monkeypatch.setenv("MEWM_MAX_GIB", "1e-3")
    assert io.read_volume(tmp_path / "x.nrrd").geometry.shape == (5, 8, 9)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from /proc")
def test_a_small_file_that_declares_gigabytes_costs_no_memory(tmp_path):
    """3 MB of zeros, packed a thousandfold: 3 GB, refused in a process of its own that grows by less than 100 MB."""
    packed = gzip.compress(bytes(1 << 24)) * 190
    path = declaring(tmp_path / "bomb.nrrd", (6080, 512, 512), packed)
    assert len(packed) < 4e6
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from MeWMLib.core import io\nfrom MeWMLib.core.errors import InputError\n"
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "try:\n    io.read_volume(Path(sys.argv[1]))\nexcept InputError as error:\n    assert 'GiB' in error.given\n"
        "    print(peak() - before)\n"
    )
    root = str(Path(MeWMLib.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 100 * 1024


def test_a_stream_longer_than_declared_is_stopped(tmp_path):
    path = declaring(tmp_path / "x.nrrd", (2, 2, 2), gzip.compress(bytes(50_000_000)))
    with pytest.raises(UnreadableFileError, match="longer than its header"):
        io.read_volume(path)
