"""Cleaning of labels, rule by rule."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.perception.postprocess import MINIMUM_LESION_ML, clean


def labels(spacing=1.0) -> LabelMap:
    array = np.zeros((40, 40, 40), np.uint8)
    array[5:35, 5:30, 5:35] = 1
    array[10:22, 10:22, 10:22] = 2
    return LabelMap(array, Geometry(array.shape, np.diag([spacing, spacing, spacing, 1.0])))


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


def test_tumour_that_touches_the_liver_is_kept():
    dirty = labels().array.copy()
    dirty[10:20, 30:39, 10:20] = 2
    assert np.array_equal(clean(labels().with_array(dirty)).array, dirty)


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
