"""What a result was computed from: equal for equal voxels in space, however a file counts its slices."""

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap, Volume

pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
SHAPE = (4, 5, 6)


def origin_of(*arguments):
    from MeWMLib.scene.origin import Origin

    return Origin.of(*arguments)


@pytest.fixture
def case():
    generator = np.random.default_rng(3)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = np.diag([0.7, 0.8, 2.5]), (10.0, -20.0, 30.0)
    geometry = Geometry(SHAPE, affine)
    ct = Volume(generator.integers(-100, 200, SHAPE).astype(np.int16), geometry)
    return ct, LabelMap(generator.integers(0, 3, SHAPE).astype(np.uint8), geometry)


def turned(ct, labels):
    """The same voxels at the same places, the slices counted from the other end."""
    affine = ct.geometry.affine.copy()
    affine[:3, 3] += (SHAPE[0] - 1) * affine[:3, 2]
    affine[:3, 2] *= -1.0
    geometry = Geometry(SHAPE, affine)
    return Volume(ct.array[::-1].copy(), geometry), LabelMap(labels.array[::-1].copy(), geometry)


def test_slices_that_are_counted_from_the_other_end_are_the_same(case):
    here, there = origin_of(*case), origin_of(*turned(*case))
    assert here.same_ct(there) and here.labels == there.labels


def test_every_voxel_counts(case):
    ct, labels = case
    for index in np.ndindex(SHAPE):
        array = ct.array.copy()
        array[index] += 1
        assert not origin_of(ct.with_array(array), labels).same_ct(origin_of(*case))


@pytest.mark.parametrize(("moved_mm", "same"), [(0.0, True), (1e-4, True), (0.5, False)])
def test_the_place_counts_as_far_as_a_file_keeps_it(case, moved_mm, same):
    ct, labels = case
    affine = ct.geometry.affine.copy()
    affine[0, 3] += moved_mm
    geometry = Geometry(SHAPE, affine)
    moved = origin_of(Volume(ct.array, geometry), LabelMap(labels.array, geometry))
    assert moved.same_ct(origin_of(*case)) is same


def test_the_text_comes_back_and_damage_says_nothing(case):
    origin = origin_of(*case, '{"age_years": 63}', " prefer Lipiodol ")
    assert type(origin).from_text(origin.to_text()) == origin and origin.goal == "prefer Lipiodol"
    for text in ("", "{", "[1]", '{"grid": "x"}', None):
        assert type(origin).from_text(text) == type(origin)()
