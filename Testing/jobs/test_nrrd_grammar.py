"""The one grammar of NRRD of a server: what our client writes passes, what could be read in two ways does not."""

from __future__ import annotations

import gzip
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core import io
from MeWMLib.core.errors import InputError, UploadTooLargeError
from MeWMLib.core.regions import write_region, write_segments
from MeWMLib.jobs.nrrd_grammar import read_header, rewrite

HEAD = [
    "NRRD0004",
    "type: short",
    "dimension: 3",
    "space: left-posterior-superior",
    "sizes: 4 3 2",
    "space directions: (1,0,0) (0,1,0) (0,0,2.5)",
    "kinds: domain domain domain",
    "endian: little",
    "encoding: raw",
    "space origin: (-1.5,0,1e-3)",
]
VOXELS = np.arange(24, dtype="<i2").tobytes()
MOST = 10**6


def whole(lines=HEAD, voxels: bytes = VOXELS, end: str = "\n") -> bytes:
    return (end.join(lines) + end + end).encode("latin-1") + voxels


def take(tmp_path, content: bytes, most: int = MOST) -> bytes:
    """What is written anew of a content."""
    (tmp_path / "sent").write_bytes(content)
    rewrite(tmp_path / "sent", tmp_path / "new.nrrd", most, "ct.nrrd")
    return (tmp_path / "new.nrrd").read_bytes()


def changed(name: str, value: str | None) -> list[str]:
    """The header with another value of a field, or without it."""
    lines = [line for line in HEAD if not line.startswith(f"{name}:")]
    return lines if value is None else [*lines, f"{name}: {value}"]


def test_what_our_own_client_writes_is_the_same_to_another_reader(tmp_path, fake):
    ct, labels = fake.small_ct(), fake.small_labels()
    io.write_volume(ct, tmp_path / "ct.nrrd")
    io.write_labels(labels, tmp_path / "labels.nrrd")
    write_region(labels.array > 1, ct.geometry, tmp_path / "fed.nrrd")
    write_segments((labels.array > 0).astype(np.uint8) * 5, ct.geometry, tmp_path / "segments.nrrd")
    for name in ("ct", "labels", "fed", "segments"):
        source, new = tmp_path / f"{name}.nrrd", tmp_path / "new.nrrd"
        rewrite(source, new, MOST, source.name)
        before, after = sitk.ReadImage(str(source)), sitk.ReadImage(str(new))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(before), sitk.GetArrayFromImage(after))
        assert before.GetDirection() == after.GetDirection() and before.GetOrigin() == after.GetOrigin()
        assert before.GetSpacing() == after.GetSpacing() and before.GetPixelID() == after.GetPixelID()
        for key in before.GetMetaDataKeys():
            assert key in after.GetMetaDataKeys() and before.GetMetaData(key) == after.GetMetaData(key)


def test_no_byte_of_a_header_that_was_sent_is_kept(tmp_path):
    lines = [*HEAD[:1], "# a comment", *HEAD[1:], "MeWM_phase:=arterial"]
    new = take(tmp_path, whole(lines))
    assert b"comment" not in new and b"MeWM_phase:=arterial\n" in new and new.endswith(VOXELS)


@pytest.mark.parametrize(
    ("name", "value"), [("space origin", "(1e999,0,0)"), ("space directions", "(1,0,0) (0,1,0) (0,0,-2e400)")]
)
def test_numbers_that_are_not_finite_are_refused(tmp_path, name, value):
    with pytest.raises(InputError, match="not finite"):
        take(tmp_path, whole(changed(name, value)))


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n\r", "\x0b", "\x0c", "\x85", "\x1e"])
def test_unusual_line_ends_are_refused(tmp_path, end):
    """ITK ends a line at some of them, and so may read a field where another parser sees none."""
    with pytest.raises(InputError):
        take(tmp_path, whole(end=end))
    for where in range(1, len(HEAD)):
        lines = list(HEAD)
        lines[where] += f"{end}data file: /etc/passwd"
        with pytest.raises(InputError):
            take(tmp_path, whole(lines))


@pytest.mark.parametrize(
    "line",
    [
        "data file: /etc/passwd",
        "datafile: secret.raw",
        "Data File: x",
        "DATAFILE: LIST",
        "data file: x.%03d.raw 1 4 1",
        "byte skip: -1",
        "byteskip: 100",
        "line skip: 1",
        "content: x",
        "number: 3",
        "data\u00a0file: x",
        "measurement frame: (1,0,0) (0,1,0) (0,0,1)",
        "sample units: mm",
        " data file: x",
        "data file : x",
        "data file:=x",
        "MeWM_x:=a\tb",
        "MeWM_x:=\u00e9",
        "Patient:=SMITH",
        "MeWM_phase:=" + "x" * 3000,
        "",
        "type: float",
    ],
)
def test_a_line_that_is_not_of_the_grammar_is_refused(tmp_path, line):
    for where in (1, 5, len(HEAD)):
        with pytest.raises(InputError, match="own voxels|declares|unpack"):
            take(tmp_path, whole([*HEAD[:where], line, *HEAD[where:]]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("type", "block"),
        ("type", "Short"),
        ("type", None),
        ("dimension", "4"),
        ("dimension", None),
        ("sizes", "4 3"),
        ("sizes", "4 3 0"),
        ("sizes", "4 -3 2"),
        ("sizes", "4  3 2"),
        ("sizes", "99999 99999 99999"),
        ("sizes", None),
        ("space", "scanner-xyz"),
        ("space", None),
        ("space directions", "none (0,1,0) (0,0,1)"),
        ("space directions", "(nan,0,0) (0,1,0) (0,0,1)"),
        ("space directions", "(inf,0,0) (0,1,0) (0,0,1)"),
        ("space directions", "(1,0) (0,1) (0,0)"),
        ("space origin", "(0x10,0,0)"),
        ("space origin", None),
        ("encoding", "ascii"),
        ("encoding", "hex"),
        ("encoding", "bzip2"),
        ("encoding", None),
        ("endian", "middle"),
        ("endian", None),
        ("kinds", "vector domain domain"),
    ],
)
def test_a_value_that_is_not_of_the_grammar_is_refused(tmp_path, name, value):
    with pytest.raises((InputError, UploadTooLargeError)):
        take(tmp_path, whole(changed(name, value)))


@pytest.mark.parametrize(
    "content", [b"", b"NRRD0004", b"NRRD0004\n\n", b"NRRD0001\n", b"\x00" * 100, b"NRRD0004\n" * 9999]
)
def test_what_is_no_nrrd_file_is_refused(tmp_path, content):
    with pytest.raises(InputError):
        take(tmp_path, content)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("change", [-1, 1, 1000])
def test_more_or_fewer_voxels_than_declared_are_refused(tmp_path, packed, change):
    voxels = VOXELS[:change] if change < 0 else VOXELS + bytes(change)
    lines = changed("encoding", "gzip") if packed else HEAD
    with pytest.raises(InputError, match="(more|fewer) voxels than it declares"):
        take(tmp_path, whole(lines, gzip.compress(voxels) if packed else voxels))


def test_a_small_file_that_unpacks_to_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    lines = [*changed("encoding", "gzip")]
    lines = [line.replace("sizes: 4 3 2", "sizes: 1000 1000 1000") for line in lines]
    unpacked = []
    monkeypatch.setattr(zlib, "decompressobj", lambda *a: unpacked.append(a))
    with pytest.raises(UploadTooLargeError, match="unpacks to more"):
        take(tmp_path, whole(lines, gzip.compress(bytes(10**6))), most=10**8)
    assert not unpacked


def test_a_bomb_behind_an_honest_header_is_cut_off(tmp_path):
    """3 MB that unpack to 3 GB, of which the header declares 48 bytes: a block is unpacked, and no more."""
    bomb = gzip.compress(bytes(50 * 1024**2), 9)
    with pytest.raises(InputError, match="more voxels"):
        take(tmp_path, whole(changed("encoding", "gzip"), bomb))
    assert (tmp_path / "new.nrrd").stat().st_size < 4096


@pytest.mark.parametrize("after", [b"x", gzip.compress(b"more", mtime=0)], ids=["a letter", "a member of gzip"])
def test_what_follows_the_voxels_is_refused(tmp_path, after):
    with pytest.raises(InputError):
        take(tmp_path, whole(changed("encoding", "gzip"), gzip.compress(VOXELS) + after))
    with pytest.raises(InputError):
        take(tmp_path, whole(changed("encoding", "gzip"), gzip.compress(VOXELS)[:-9]))


def test_the_header_says_how_much_it_holds():
    header = read_header(whole(), "x")
    assert header.voxels == 48 and header.length == len(whole()) - 48
