"""Overlap and distances against figures that can be worked out by hand."""

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.lab.evaluation.segmentation import compare, lesions, surface


def cube(start: tuple[int, int, int], side: int, shape: tuple[int, int, int] = (30, 40, 40)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[tuple(slice(s, s + side) for s in start)] = True
    return mask


def test_distances_are_in_mm_along_each_axis() -> None:
    truth = cube((5, 5, 5), 10)
    assert surface(truth, truth, (3, 1, 1)) == {"hd95_mm": 0, "surface_dice": 1}
    # moved by one slice of 3 mm: all of the upper and lower face is off by 3 mm, the sides are not
    moved = surface(cube((6, 5, 5), 10), truth, (3, 1, 1))
    assert moved["hd95_mm"] == pytest.approx(3) and 0.4 < moved["surface_dice"] < 0.9
    # 1 mm slices: within the tolerance of 2 mm
    assert surface(cube((6, 5, 5), 10), truth, (1, 1, 1))["surface_dice"] == pytest.approx(1)


def test_an_empty_mask_has_no_distance() -> None:
    nothing, truth = np.zeros((30, 40, 40), bool), cube((5, 5, 5), 10)
    assert np.isnan(surface(nothing, truth, (1, 1, 1))["hd95_mm"])
    assert surface(nothing, truth, (1, 1, 1))["surface_dice"] == 0
    assert np.isnan(surface(nothing, nothing, (1, 1, 1))["surface_dice"])


def test_lesions_are_counted_one_by_one() -> None:
    truth = cube((2, 2, 2), 10) | cube((2, 25, 25), 10) | cube((20, 2, 20), 3)
    found = cube((2, 2, 2), 5) | cube((18, 25, 5), 9) | cube((25, 36, 36), 2)
    measured = lesions(found, truth, voxel_ml=0.01, minimum_ml=0.6)
    # one of two is found (an eighth of it); the small one is not counted, nor is the small false positive
    assert measured == {"lesion_sensitivity": 0.5, "lesion_false_positives": 1}
    found[2:4, 25:27, 25:27] = True  # 8 of 1000 voxels: not enough
    assert lesions(found, truth, 0.01, 0.6)["lesion_sensitivity"] == 0.5
    assert np.isnan(lesions(found, np.zeros_like(found), 0.01)["lesion_sensitivity"])


def test_all_measures_of_a_segmentation() -> None:
    geometry = Geometry((30, 40, 40), np.diag([-1.0, -1.0, 2.0, 1.0]))
    truth = LabelMap(cube((5, 5, 5), 20).astype(np.uint8) + cube((8, 8, 8), 8), geometry)
    perfect = compare(truth, truth)
    assert perfect["dice_liver"] == perfect["dice_tumour"] == perfect["lesion_sensitivity"] == 1
    assert perfect["hd95_mm_tumour"] == 0 and perfect["lesion_false_positives"] == 0
    none = compare(LabelMap(truth.liver.astype(np.uint8), geometry), truth)
    assert none["dice_liver"] == 1 and none["dice_tumour"] == 0 and np.isnan(none["hd95_mm_tumour"])
    healthy = LabelMap(truth.liver.astype(np.uint8), geometry)
    assert np.isnan(compare(truth, healthy)["dice_tumour"])
