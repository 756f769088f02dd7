"""Turning and placing voxels: every voxel keeps its place in the patient."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.grids import placed_on, turned_like
from MeWMLib.core.volume import Geometry, LabelMap

TURNS = [(order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]


def reference(oblique: bool = True) -> Geometry:
    affine = np.diag([-0.7, -0.8, 2.5, 1.0])
    if oblique:
        affine[:3, :3] = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0] * (0.7, 0.8, 2.5)
    affine[:3, 3] = (40, -30, 120)
    return Geometry((5, 6, 7), affine)


def labels_on(geometry: Geometry) -> LabelMap:
    return LabelMap(np.random.default_rng(0).integers(0, 3, geometry.shape).astype(np.uint8), geometry)


def stored_otherwise(labels: LabelMap, order, signs) -> LabelMap:
    """The same voxels, axis n of the array being axis order[n] of the other one; worked out voxel by voxel."""
    sizes = [labels.geometry.shape[axis] for axis in order]
    array = np.empty(sizes, np.uint8)
    places = np.empty((*sizes, 3))
    for index in np.ndindex(*sizes):
        old = [0, 0, 0]
        for axis, sign, n, size in zip(order, signs, index, sizes, strict=True):
            old[axis] = n if sign > 0 else size - 1 - n
        array[index] = labels.array[tuple(old)]
        places[index] = labels.geometry.to_ras(old)
    affine = np.eye(4)
    for column, step in enumerate(((0, 0, 1), (0, 1, 0), (1, 0, 0))):  # i, j, k
        affine[:3, column] = places[step] - places[0, 0, 0]
    affine[:3, 3] = places[0, 0, 0]
    return LabelMap(array, Geometry(array.shape, affine))


@pytest.mark.parametrize(("order", "signs"), TURNS)
def test_every_order_and_direction_of_the_axes(tmp_path, order, signs):
    labels = labels_on(reference())
    other = stored_otherwise(labels, order, signs)
    turned, geometry = turned_like(other.array, other.geometry, labels.geometry)
    np.testing.assert_array_equal(turned, labels.array)
    np.testing.assert_allclose(geometry.affine, labels.geometry.affine, atol=1e-9)
    if order != (0, 1, 2):
        io.write_labels(other, tmp_path / "l.seg.nrrd")
        np.testing.assert_array_equal(io.read_labels(tmp_path / "l.seg.nrrd", labels.geometry).array, labels.array)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_turned_part_is_put_into_its_place(data):
    whole = labels_on(reference())
    start = [data.draw(st.integers(0, n - 1)) for n in whole.geometry.shape]
    end = [data.draw(st.integers(a + 1, n)) for a, n in zip(start, whole.geometry.shape, strict=True)]
    box = tuple(slice(a, b) for a, b in zip(start, end, strict=True))
    shape = tuple(b - a for a, b in zip(start, end, strict=True))
    part = LabelMap(whole.array[box].copy(), whole.geometry.crop(tuple(start), shape))
    other = stored_otherwise(part, *data.draw(st.sampled_from(TURNS))) if min(shape) > 1 else part
    expected = np.zeros_like(whole.array)
    expected[box] = whole.array[box]
    np.testing.assert_array_equal(placed_on(other.array, other.geometry, whole.geometry), expected)


def shifted(geometry: Geometry, voxels: float, axis: int = 0) -> Geometry:
    affine = np.array(geometry.affine)
    affine[:3, 3] += affine[:3, axis] * voxels
    return Geometry(geometry.shape, affine)


def test_less_than_a_hundredth_of_a_voxel_is_the_same_grid():
    grid = reference()
    labels = labels_on(grid)
    for axis in range(3):
        assert grid.same_as(shifted(grid, 0.009, axis)) and not grid.same_as(shifted(grid, 0.011, axis))
        assert placed_on(labels.array, shifted(grid, 0.009, axis), grid) is not None
        assert placed_on(labels.array, shifted(grid, 0.011, axis), grid) is None
    stretched = np.array(grid.affine)
    stretched[:3, 0] *= 1 + 0.009 / 6  # 0.9 % of a voxel at the far corner, nothing at the first
    assert grid.same_as(Geometry(grid.shape, stretched))
    stretched[:3, 0] *= 1 + 0.009 / 6
    assert not grid.same_as(Geometry(grid.shape, stretched))


def test_a_part_that_reaches_outside_or_lies_between_voxels_is_none():
    whole = labels_on(reference())
    for start in ((-1, 0, 0), (0, 0, 6), (0, 0.5, 0)):
        part = whole.geometry.crop(start, (2, 2, 2))
        assert placed_on(whole.array[:2, :2, :2], part, whole.geometry) is None


def test_a_grid_is_taken_out_of_a_larger_one_if_nothing_lies_outside():
    whole = labels_on(reference())
    more = np.pad(whole.array, ((2, 0), (1, 3), (0, 4)))
    geometry = whole.geometry.crop((-2, -1, 0), more.shape)
    for order, signs in TURNS[::7]:
        other = stored_otherwise(LabelMap(more, geometry), order, signs)
        np.testing.assert_array_equal(placed_on(other.array, other.geometry, whole.geometry), whole.array)
    more[0, 0, 0] = 1
    assert placed_on(more, geometry, whole.geometry) is None
    empty = np.zeros(whole.geometry.shape, np.uint8)  # one slice off: two grids of which neither holds the other
    assert placed_on(empty, whole.geometry.crop((1, 0, 0), empty.shape), whole.geometry) is None


@pytest.mark.parametrize(
    ("change", "words", "not_words"),
    [
        ({"shape": (5, 6, 8)}, "sizes 7 x 6 x 5 and 8 x 6 x 5", "spacing"),
        (
            {"scale": (1.001, 1, 1)},
            "spacing 0.7 x 0.8 x 2.5 and 0.7007 x 0.8 x 2.5 mm.*corners up to 0.0042 mm",
            "sizes",
        ),
        ({"shift": (0, 0, 3)}, r"first voxel at RAS \(40, -30, 120\) and \(40, -30, 123\) mm, 3 mm apart", "spacing"),
        ({"degrees": 2.0}, "directions of the axes up to 2 degrees apart", "spacing"),
    ],
)
def test_a_message_says_what_differs(change, words, not_words):
    grid = reference(oblique=False)
    affine = np.array(grid.affine)
    turn = np.radians(change.get("degrees", 0.0))
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    affine[:3, :3] = about_z @ affine[:3, :3] * change.get("scale", (1, 1, 1))
    affine[:3, 3] += change.get("shift", (0, 0, 0))
    text = grid.differences(Geometry(change.get("shape", grid.shape), affine))
    assert re.search(words, text), text
    assert not_words not in text


def test_labels_elsewhere_are_refused_with_what_differs(tmp_path):
    labels = labels_on(reference())
    io.write_labels(LabelMap(labels.array, shifted(labels.geometry, 0.02)), tmp_path / "l.nrrd")
    with pytest.raises(GeometryMismatchError, match="CT and labels differ: first voxel at RAS .*0.014 mm apart"):
        io.read_labels(tmp_path / "l.nrrd", labels.geometry)
