"""Regions and segments that somebody drew: names, values, grids, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, LabelError, MeWMError, UnreadableFileError
from MeWMLib.core.io import write_values
from MeWMLib.core.regions import read_region, read_segments, write_region, write_segments
from MeWMLib.core.territory import SEGMENTS
from MeWMLib.core.volume import Geometry

GRID = Geometry((6, 8, 10), np.diag([-1.0, -1.0, 2.0, 1.0]))


def write(path: Path, array: np.ndarray, names: dict[int, str] | None = None, grid: Geometry = GRID) -> Path:
    """A label file with or without names."""
    keys = {}
    for n, (value, name) in enumerate((names or {}).items()):
        keys |= {f"Segment{n}_Name": name, f"Segment{n}_LabelValue": str(value), f"Segment{n}_Layer": "0"}
    write_values(array.astype(np.uint8), grid, keys, path)
    return path


def blocks(*values: int) -> np.ndarray:
    """One slice along i for each value."""
    array = np.zeros(GRID.shape, np.uint8)
    for n, value in enumerate(values):
        array[:, :, n] = value
    return array


@pytest.mark.parametrize("ending", [".nrrd", ".seg.nrrd", ".nii.gz", ".mha"])
def test_a_painted_region_is_everything_that_is_not_0(tmp_path, ending):
    file = write(tmp_path / f"fed{ending}", blocks(0, 1, 7))
    mask = read_region(file, GRID)
    assert mask[:, :, 1:3].all() and mask.sum() == 2 * 6 * 8


def test_one_segment_of_several_is_named(tmp_path):
    file = write(tmp_path / "fed.seg.nrrd", blocks(1, 2, 3), {1: "liver", 2: "Fed by A8", 3: "other"})
    mask = read_region(file, GRID, "fed by a8")
    assert mask[:, :, 1].all() and mask.sum() == 6 * 8
    with pytest.raises(LabelError, match="liver, Fed by A8, other"):
        read_region(file, GRID, "A7")


def test_a_region_on_a_part_of_the_grid_is_put_into_its_place(tmp_path):
    part = np.ones((2, 3, 4), np.uint8)
    affine = np.array(GRID.affine)
    affine[:3, 3] = GRID.to_ras(np.array([1, 2, 3]))
    file = write(tmp_path / "part.nrrd", part, grid=Geometry(part.shape, affine))
    mask = read_region(file, GRID)
    assert mask[1:3, 2:5, 3:7].all() and mask.sum() == part.size


@pytest.mark.parametrize(
    "names",
    [
        {n: f"liver_segment_{n}" for n in range(1, 9)},  # as TotalSegmentator names them
        {n: f"S{n}" for n in range(1, 9)},
        {n: f"Segment {r}" for n, r in enumerate("I II III IV V VI VII VIII".split(), start=1)},
        {n: f"Couinaud segment {n}" for n in range(1, 9)},
        None,  # values alone
    ],
)
def test_segments_are_known_by_name_or_value(tmp_path, names):
    codes = read_segments(write(tmp_path / "s.nrrd", blocks(*range(1, 9)), names), GRID)
    found = [SEGMENTS[int(codes[0, 0, n]) - 1] for n in range(8)]
    assert found == ["1", "2", "3", "4a", "5", "6", "7", "8"] and not codes[:, :, 8:].any()


def test_what_is_no_segment_is_left_out(tmp_path):
    names = {1: "liver", 2: "S4b", 3: "IVa", 4: "tumour", 5: "right lobe"}
    codes = read_segments(write(tmp_path / "s.seg.nrrd", blocks(1, 2, 3, 4, 5), names), GRID)
    assert [int(codes[0, 0, n]) for n in range(5)] == [
        0, 1 + SEGMENTS.index("4b"), 1 + SEGMENTS.index("4a"), 0, 0,
    ]  # fmt: skip


def test_both_are_read_back(tmp_path):
    codes = np.zeros(GRID.shape, np.uint8)
    codes[:, :, :9] = np.arange(1, 10)
    write_segments(codes, GRID, tmp_path / "segments.nrrd")
    np.testing.assert_array_equal(read_segments(tmp_path / "segments.nrrd", GRID), codes)
    write_region(codes > 4, GRID, tmp_path / "fed.nrrd")
    np.testing.assert_array_equal(read_region(tmp_path / "fed.nrrd", GRID), codes > 4)


def test_what_cannot_be_used(tmp_path):
    shifted = np.array(GRID.affine)
    shifted[0, 3] += 0.4
    dicom = tmp_path / "seg.dcm"
    dicom.write_bytes(b"\0" * 128 + b"DICM")
    cases: list[tuple[Path, type[MeWMError]]] = [
        (write(tmp_path / "empty.nrrd", blocks(0)), LabelError),
        (write(tmp_path / "elsewhere.nrrd", blocks(1), grid=Geometry(GRID.shape, shifted)), GeometryMismatchError),
        (tmp_path / "absent.nrrd", UnreadableFileError),
        (dicom, UnreadableFileError),
    ]
    for file, error in cases:
        for read in (read_region, read_segments):
            with pytest.raises(error):
                read(file, GRID)
    with pytest.raises(LabelError, match="none of Couinaud's segments.*liver"):
        read_segments(write(tmp_path / "liver.nrrd", blocks(1), {1: "liver"}), GRID)
    with pytest.raises(LabelError, match="none of Couinaud's"):
        read_segments(write(tmp_path / "nine.nrrd", blocks(9)), GRID)
    import SimpleITK as sitk

    sitk.WriteImage(sitk.GetImageFromArray(np.full(GRID.shape, 0.5, np.float32)), str(tmp_path / "half.nrrd"))
    with pytest.raises(LabelError, match="fractions"):
        read_region(tmp_path / "half.nrrd", GRID)
