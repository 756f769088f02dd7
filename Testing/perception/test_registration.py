"""Registration against a displacement that is known, and the measures of agreement."""

import math
from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryMismatchError, InputError, OutputError
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception import registration
from MeWMLib.perception import registration_quality as quality
from MeWMLib.perception import registration_steps as steps
from MeWMLib.perception.findings import dice
from MeWMLib.perception.registration import Registration
from Testing.perception.moved_pair import COARSE, grid, moved_pair, scan, z_of


@pytest.fixture(scope="module")
def pair() -> tuple[Volume, LabelMap, Volume, np.ndarray]:
    return moved_pair()


def test_a_shift_is_found_in_spite_of_lipiodol(pair) -> None:
    before, labels, after, tumour = pair
    found = registration.register(before, labels, after, COARSE)
    assert found.ct.geometry.same_as(before.geometry) and found.ct.array.shape == before.array.shape
    measured = found.quality
    assert measured["liver_correlation_before"] < measured["abdomen_correlation_after"]
    assert measured["body_dice_before"] + 0.02 < measured["body_dice_after"]
    assert measured["bone_dice_after"] > measured["bone_dice_before"] + 0.2
    assert measured["liver_mae_hu_after"] < 0.5 * measured["liver_mae_hu_before"]
    assert 0.7 < measured["jacobian_low"] < measured["jacobian_high"] < 1.4 and measured["jacobian_folded_share"] == 0
    oil = found.covered & (found.ct.array > 300) & labels.liver
    middle, truth = (before.geometry.to_ras(np.argwhere(m)).mean(0) for m in (oil, tumour & (z_of(before) > 4)))
    assert np.linalg.norm(middle - truth) < 4  # mm; it was 11
    again = registration.register(before, labels, after, COARSE)
    assert np.array_equal(again.ct.array, found.ct.array)


def test_equal_scans_agree() -> None:
    before, labels = scan(grid())
    covered = np.ones(before.array.shape, bool)
    same = quality.agreement(before, labels, before.array.astype(np.float32), covered)
    assert same == pytest.approx(
        {
            "body_dice": 1,
            "bone_dice": 1,
            "abdomen_correlation": 1,
            "liver_correlation": 1,
            "near_correlation": 1,
            "liver_mae_hu": 0,
            "liver_covered": 1,
        }
    )
    brighter = quality.agreement(before, labels, before.array + np.float32(10), covered)
    assert brighter["liver_mae_hu"] == pytest.approx(10, abs=0.1) and brighter["liver_correlation"] > 0.999
    nothing = quality.agreement(before, labels, before.array.astype(np.float32), ~covered)
    assert math.isnan(nothing["liver_mae_hu"]) and math.isnan(nothing["liver_correlation"])


def test_the_body_is_the_largest_part_without_holes() -> None:
    hu = np.full((3, 20, 20), -1000.0)
    hu[:, 4:16, 4:16] = 40
    hu[:, 8:11, 8:11] = -900  # lung
    hu[:, 18:, :] = 100  # table
    expected = np.zeros(hu.shape, bool)
    expected[:, 4:16, 4:16] = True
    assert np.array_equal(quality.body(hu), expected)
    assert not quality.body(np.full((2, 4, 4), -1000.0)).any()


def test_the_best_shift_is_that_which_was_made() -> None:
    before, _ = scan(grid())
    # another frame, another extent, far away: a gradient descent would not come back from there
    far, _ = scan(grid((60.0, 75.0, -60.0)), move=(-30, 0, 0))
    moved = Volume(far.array[6:, 5:], far.geometry.crop((6, 5, 0), (26, 45, 60)))
    mask = LabelMap(quality.body(before.array).astype(np.uint8), before.geometry)
    images = [io.to_sitk(Volume(v.array.astype(np.float32), v.geometry)) for v in (before, moved)]
    found = steps.best_shift(images[0], io.to_sitk(mask), images[1])
    assert np.abs(found - [30, 0, 0]).max() <= steps.SHIFT_MM / 2 + 0.1  # LPS: 30 mm to the right is +30


def test_without_a_place_to_sample_nothing_is_registered(pair) -> None:
    before, labels, after, _ = pair
    with pytest.raises(GeometryMismatchError, match="could not be registered"):
        registration.register(before, labels, after, Registration(spacing_mm=8.0, avoid_mm=1000.0))


def test_samples_keep_away_from_the_tumour_and_folds_are_looked_for_there_too(pair) -> None:
    before, labels, _, tumour = pair
    ready = steps.prepare(before, labels, before, None, Registration(spacing_mm=3.0))
    arrays = [sitk.GetArrayFromImage(m) > 0 for m in (ready.wide, ready.near, ready.trunk)]
    grid = (ready.target, sitk.Transform(), sitk.sitkNearestNeighbor)
    truth = sitk.GetArrayFromImage(sitk.Resample(io.to_sitk(labels), *grid))
    assert not (arrays[0] & (truth == 2)).any() and not (arrays[1] & ~arrays[0]).any()
    assert arrays[2][truth == 2].all() and arrays[2].sum() > arrays[0].sum() > 2 * arrays[1].sum() > 0


def test_where_both_tumours_are_outlined_they_are_painted_over_and_sampled() -> None:
    geometry = grid()
    before, labels = scan(geometry, oil=True)
    ready = steps.prepare(before, labels, before, labels, Registration(spacing_mm=3.0))
    truth = sitk.GetArrayFromImage(
        sitk.Resample(io.to_sitk(labels), ready.plain, sitk.Transform(), sitk.sitkNearestNeighbor)
    )
    inner = ndimage.binary_erosion(truth == 2)
    assert (sitk.GetArrayFromImage(ready.near) > 0)[truth == 2].all()
    plain, seen = (sitk.GetArrayFromImage(image) for image in (ready.plain, ready.target))
    assert np.abs(plain[inner] - 110).max() < 8 and seen[inner].max() > 240  # liver of 110 HU; oil
    away = ~ndimage.binary_dilation(truth > 0, iterations=4)  # smoothing reaches further than the liver
    assert np.allclose(plain[away], seen[away], atol=0.01)


def test_the_deformation_lies_near_the_liver_and_does_not_fold(pair) -> None:
    before, labels, after, _ = pair
    bent = registration.register(before, labels, after, replace(COARSE, kind="deformable", iterations=4)).quality
    assert bent["jacobian_folded_share"] == 0 and 0.5 < bent["jacobian_low"] < bent["jacobian_high"] < 1.6
    for kind in ("affine", "rigid"):
        linear = registration.register(before, labels, after, replace(COARSE, kind=kind)).quality
        # a linear map has one Jacobian everywhere, that of a rigid one is 1
        assert linear["jacobian_high"] - linear["jacobian_low"] < 0.05
    assert linear["jacobian_low"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(InputError, match="kind"):
        registration.register(before, labels, after, replace(COARSE, kind="elastic"))


def test_labels_follow_and_the_deformation_can_be_read_again(pair, tmp_path) -> None:
    before, labels, after, tumour = pair
    _, moved_labels = scan(after.geometry, move=(6, -8, 5))
    found = registration.register(before, labels, after, replace(COARSE, iterations=4), moved_labels)
    assert dice(found.labels(moved_labels).liver, labels.liver) > 0.95
    path = tmp_path / "deformation.h5"
    found.write_deformation(path)
    read = sitk.ReadTransform(str(path))
    for point in ((0.0, 0.0, 0.0), (-20.0, 10.0, 12.0)):
        assert np.allclose(read.TransformPoint(point), found.transform.TransformPoint(point), atol=0.3)
        # LPS: the scan after was moved by 6 mm right, 8 mm back and 5 mm up
        assert np.allclose(np.subtract(read.TransformPoint(point), point), (-6, 8, 5), atol=3)
    with pytest.raises(OutputError, match="deformation"):
        found.write_deformation(tmp_path / "deformation.png")
    assert not (tmp_path / "deformation.png").exists()
