"""Label maps: reading, splits, and bending."""

import numpy as np
import pytest

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.lab.training.scenes.outlines import STEP_MM, label_maps, read_map, warped


def test_what_is_no_label_map_is_named(maps, tmp_path) -> None:
    assert len(label_maps(maps)) == 12
    with pytest.raises(InputError, match="no label maps"):
        label_maps(tmp_path)
    (tmp_path / "a.nii.gz").write_bytes(b"no image")
    with pytest.raises(UnreadableFileError, match=r"a\.nii\.gz"):
        read_map(tmp_path / "a.nii.gz")


def test_a_warped_map_keeps_its_size_and_its_tumours_inside(maps) -> None:
    array, spacing = read_map(maps / "case_000.nii.gz")
    shapes = [warped(array, spacing, np.random.default_rng(n)) for n in range(2)]
    for outlines in shapes:
        volume = float((outlines.liver.grid > 0).sum()) * STEP_MM**3
        assert 0.5 < volume / ((array > 0).sum() * spacing**3) < 2
        assert outlines.tumours is not None
        inside = outlines.tumours.grid > 0
        assert inside.any() and (outlines.liver.grid[inside] > -STEP_MM).all()
    assert shapes[0].liver.grid.shape != shapes[1].liver.grid.shape or not np.array_equal(
        shapes[0].liver.grid, shapes[1].liver.grid
    )
