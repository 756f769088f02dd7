"""Cleaning of labels, rule by rule."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.perception.postprocess import MINIMUM_LESION_ML, SURE, clean, without_doubtful


def labels(spacing=1.0) -> LabelMap:
    array = np.zeros((40, 40, 40), np.uint8)
    array[5:35, 5:30, 5:35] = 1
    array[10:22, 10:22, 10:22] = 2
    return LabelMap(array, Geometry(array.shape, np.diag([spacing, spacing, spacing, 1.0])))


def ball(centre, radius, shape=(60, 80, 110)):
    away = np.stack(np.meshgrid(*(np.arange(n) - c for n, c in zip(shape, centre, strict=True)), indexing="ij"))
    return (away**2).sum(0) <= radius**2


def abdomen(*lesions, more=None, step=(1, 1, 1)) -> LabelMap:
    """A liver of 25 mm radius about (30, 40, 35) with tumours, on a grid of which every n-th voxel is kept."""
    array = ball((30, 40, 35), 25).astype(np.uint8)
    if more is not None:
        array[more] = 1
    for lesion in lesions:
        array[lesion] = 2
    array = np.ascontiguousarray(array[tuple(slice(None, None, n) for n in step)])
    return LabelMap(array, Geometry(array.shape, np.diag([*(float(n) for n in step[::-1]), 1.0])))


def test_clean_labels_stay():
    before = labels()
    copy = before.array.copy()
    assert np.array_equal(clean(before).array, copy) and np.array_equal(before.array, copy)


def test_holes_islands_and_tumour_outside():
    dirty = labels().array.copy()
    dirty[25:28, 12:15, 12:15] = 0  # a hole in the liver
    dirty[14:16, 14:16, 14:16] = 0  # a hole in the tumour: inside the liver, so liver
    dirty[37:40, 37:40, 37:40] = 1  # an island
    dirty[0:3, 32:40, 0:12] = 2  # tumour outside
    expected = labels().array.copy()
    expected[14:16, 14:16, 14:16] = 1
    assert np.array_equal(clean(labels().with_array(dirty)).array, expected)


@pytest.mark.parametrize("step", [(1, 1, 1), (3, 1, 1), (5, 2, 2)])
def test_a_lesion_at_the_rim_of_the_liver_survives(step):
    """Half of it inside, half of it beyond the capsule."""
    lesion = ball((30, 40, 58), 8)
    before = abdomen(lesion, step=step)
    cleaned = clean(before)
    assert np.array_equal(cleaned.array, before.array) and cleaned.tumour.any()


@pytest.mark.parametrize("step", [(1, 1, 1), (3, 1, 1), (5, 2, 2)])
def test_tumour_that_lies_mostly_outside_goes(step):
    """A stomach taken for tumour that touches the liver; the lesion in the liver stays."""
    inside, stomach = ball((30, 40, 30), 8), ball((30, 40, 79), 18)
    cleaned = clean(abdomen(inside, stomach, step=step))
    expected = abdomen(inside, step=step)
    assert np.array_equal(cleaned.tumour, expected.tumour)
    assert (cleaned.array != expected.array).sum() <= 5  # the voxel of the capsule that both touch
    assert cleaned.tumour.any() and not cleaned.array[:, :, 62 // step[2] :].any()


def test_what_was_held_by_a_loose_tumour_alone_goes_with_it():
    """A skin of "liver" around a stomach hangs on the liver through the stomach."""
    stomach = ball((30, 40, 79), 18)
    before = abdomen(ball((30, 40, 30), 8), stomach, more=ball((30, 40, 99), 8))
    assert not clean(before).array[:, :, 62:].any()


@pytest.mark.parametrize("step", [(1, 1, 1), (3, 1, 1), (5, 2, 2)])
def test_a_neighbour_on_a_thin_bridge_is_cut_off(step):
    """The spleen of another label with a tumour in it, joined by 6 mm of wrongly labelled tissue."""
    bridge = np.zeros((60, 80, 110), bool)
    bridge[27:33, 37:43, 55:80] = True
    spleen = ball((30, 40, 88), 16)
    before = abdomen(ball((30, 40, 30), 8), ball((30, 40, 88), 7), more=bridge | spleen, step=step)
    cleaned = clean(before)
    assert not cleaned.array[:, :, 76 // step[2] :].any()
    whole = ball((30, 40, 35), 25)[tuple(slice(None, None, n) for n in step)]
    assert (cleaned.liver & whole).sum() == whole.sum()


def test_a_thick_bridge_is_liver():
    bridge = np.zeros((60, 80, 110), bool)
    bridge[20:40, 30:50, 50:80] = True
    before = abdomen(ball((30, 40, 30), 8), more=bridge | ball((30, 40, 88), 16))
    assert np.array_equal(clean(before).array, before.array)


def test_a_tumour_that_fills_the_liver_stays():
    """Little liver is left around it, but it is the only lesion there is; specks beside it save nothing."""
    array = ball((30, 40, 35), 25).astype(np.uint8)
    array[ball((30, 40, 37), 24)] = 2
    array[30, 40, 10] = 2
    before = LabelMap(array, Geometry(array.shape, np.eye(4)))
    assert clean(before).tumour.sum() >= (array == 2).sum() - 1


def test_liver_at_the_end_of_the_image():
    """A scan that ends in the liver: nothing is cut, and a lesion at the last slice stays."""
    array = np.ones((30, 30, 30), np.uint8)
    array[24:, 10:20, 10:20] = 2
    before = LabelMap(array, Geometry(array.shape, np.eye(4)))
    assert np.array_equal(clean(before).array, array)


def test_a_liver_thinner_than_a_bridge_is_a_liver():
    array = np.zeros((30, 60, 60), np.uint8)
    array[12:18] = 1
    before = LabelMap(array, Geometry(array.shape, np.eye(4)))
    assert np.array_equal(clean(before).array, array)


def test_doubtful_lesions_become_liver():
    sure, doubtful = ball((30, 40, 30), 8), ball((30, 40, 50), 6)
    before = abdomen(sure, doubtful)
    probability = np.where(sure, SURE + 0.1, np.where(doubtful, SURE - 0.1, 0.0)).astype(np.float32)
    cleaned = without_doubtful(before, probability)
    assert np.array_equal(cleaned.tumour, sure) and np.array_equal(cleaned.liver, before.liver)
    assert np.array_equal(without_doubtful(abdomen(), np.zeros(before.array.shape, np.float32)).array, abdomen().array)


def test_doubt_makes_no_liver_of_what_lies_outside():
    outside = ball((30, 40, 79), 18)
    before = abdomen(ball((30, 40, 30), 8), outside)
    cleaned = without_doubtful(before, np.where(before.tumour & ~outside, 0.9, 0.3).astype(np.float32))
    assert np.array_equal(cleaned.array, before.array)


def test_small_lesions_become_liver():
    assert pytest.approx(0.576) == MINIMUM_LESION_ML
    array = np.ones((20, 40, 40), np.uint8)
    array[2:5, 2:12, 2:12] = 2  # 300 voxels of 1.92 cubic mm
    array[10:13, 20:30, 20:30] = 2
    array[12, 29, 29] = 1  # 299
    grid = Geometry(array.shape, np.diag([0.8, 0.8, 3.0, 1.0]))
    cleaned = clean(LabelMap(array, grid))
    assert cleaned.tumour.sum() == 300 and cleaned.liver.all()
    assert clean(LabelMap(array, grid), minimum_ml=0.0).tumour.sum() == 599


def test_labels_without_liver():
    array = np.zeros((30, 30, 30), np.uint8)
    grid = Geometry(array.shape, np.eye(4))
    assert not clean(LabelMap(array, grid)).array.any()
    array[2:12, 2:12, 2:12] = 2
    array[20, 20, 20] = 2
    cleaned = clean(LabelMap(array, grid))
    assert cleaned.tumour.sum() == 1000 and cleaned.array[20, 20, 20] == 0
