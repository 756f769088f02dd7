"""Measures of a real pair against constructed scans: errors, correlations, Lipiodol, territories, carried labels."""

import math

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation.carry import carried
from MeWMLib.lab.evaluation.pair_measures import (
    Truth,
    fed_half,
    fixed_grid,
    judged_region,
    lipiodol_figures,
    on_grid,
    with_ratios,
)
from MeWMLib.lab.evaluation.pair_rows import Shift, baselines
from MeWMLib.perception.registration import Registered


def grid(shape: tuple[int, int, int] = (24, 60, 60), spacing: tuple[float, float, float] = (2.5, 1.5, 1.5)) -> Geometry:
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[:3, 3] = [40.0, 30.0, -20.0]
    return Geometry(shape, affine)


def ball(geometry: Geometry, radius: float = 20.0) -> LabelMap:
    """A tumour in the middle of a liver that fills the grid."""
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    far = np.linalg.norm(geometry.to_ras(index) - geometry.to_ras((np.array(geometry.shape) - 1) / 2), axis=-1)
    return LabelMap(np.where(far <= radius, 2, 1).astype(np.uint8), geometry)


@pytest.fixture
def truth() -> Truth:
    """A tumour whose posterior half became darker, with grains of Lipiodol in it."""
    rng = np.random.default_rng(0)
    geometry = grid()
    labels = ball(geometry)
    before = (100 + rng.normal(0, 10, geometry.shape)).astype(np.float32)
    after = before + rng.normal(0, 10, geometry.shape).astype(np.float32)
    after[:, 30:] -= 40
    after[10:14, 34:38, 26:34] = 600
    return Truth(before, after.astype(np.float32), judged_region(labels), geometry)


def test_errors_are_those_of_the_definition_and_inside_alone(truth: Truth) -> None:
    predicted = truth.after.copy()
    predicted[truth.inside] += np.where(np.arange(truth.inside.sum()) % 2, 30, -10).astype(np.float32)
    elsewhere = np.where(truth.inside, predicted, 5000)
    found = truth.figures(predicted)
    assert found["mae_hu"] == pytest.approx(20, abs=0.02)
    assert found["rmse_hu"] == pytest.approx(math.sqrt(500), abs=0.02)
    assert found["mae_8mm_hu"] == pytest.approx(10, abs=1)  # what alternates is smoothed away, the mean stays
    assert truth.figures(elsewhere) == pytest.approx(found)
    exact = truth.figures(truth.after)
    assert exact["mae_hu"] == exact["rmse_hu"] == exact["mae_8mm_hu"] == 0
    assert exact["change_r_8mm"] == pytest.approx(1) and exact["lipiodol_map_r"] == pytest.approx(1)


def test_what_does_not_change_has_no_correlation(truth: Truth) -> None:
    lung = truth.before.copy()
    lung[truth.inside] -= np.where(np.arange(truth.inside.sum()) % 3, 0, 900).astype(np.float32)
    dark = Truth(lung, truth.after, truth.inside, truth.geometry)
    for one, shift in ((truth, 0), (truth, 7.3), (dark, 50), (dark, -50)):
        found = one.figures(one.before + np.float32(shift))
        assert math.isnan(found["change_r_8mm"]) and math.isnan(found["lipiodol_map_r"])
    backwards = truth.before - 0.3 * (truth.after - truth.before)
    assert truth.figures(backwards)["change_r_8mm"] == pytest.approx(-1)
    posterior = truth.before.copy()
    posterior[:, 30:] -= 5  # the right place, far too weak
    assert truth.figures(posterior)["change_r_8mm"] > 0.6


def test_lung_that_moved_in_counts_as_fat(truth: Truth) -> None:
    k, j, i = np.argwhere(truth.inside)[0]
    after = truth.after.copy()
    after[k, j, i] = -900
    dark = Truth(truth.before, after, truth.inside, truth.geometry)
    n = truth.inside.sum()
    assert dark.figures(truth.after)["mae_hu"] == pytest.approx((truth.after[k, j, i] + 200) / n, rel=1e-3)
    predicted = after.copy()
    predicted[k, j, i] = -250
    assert dark.figures(predicted)["mae_hu"] == 0


def test_the_map_of_lipiodol_knows_the_place(truth: Truth) -> None:
    empty = truth.before.copy()
    near, far = empty.copy(), empty.copy()
    near[9:13, 33:37, 27:33] = 400
    far[9:13, 14:18, 27:33] = 400
    places = {name: truth.figures(one)["lipiodol_map_r"] for name, one in (("near", near), ("far", far))}
    assert places["near"] > 0.5 and places["far"] < 0.05
    cubes = truth.lipiodol_map(truth.after)
    # cubes of 6 mm hold 2.4 x 4 x 4 voxels on average
    assert len(cubes) == pytest.approx(truth.inside.sum() * 5.625 / 216, rel=0.2)
    shares = []
    for corner in np.ndindex(10, 15, 15):
        first = np.array(corner) * 6.0
        part = tuple(
            slice(*np.ceil([f / s, (f + 6) / s]).astype(int)) for f, s in zip(first, (2.5, 1.5, 1.5), strict=True)
        )
        inside = truth.inside[part]
        if inside.sum() * 5.625 >= 108:
            shares.append((truth.after[part][inside] >= 200).mean())
    assert cubes == pytest.approx(shares) and max(shares) > 0.3


def test_nothing_to_judge_is_refused(truth: Truth) -> None:
    with pytest.raises(GeometryMismatchError, match="does not cover the tumour"):
        Truth(truth.before, truth.after, np.zeros_like(truth.inside), truth.geometry)


def test_region_and_grid() -> None:
    geometry = grid()
    labels = ball(geometry, 15.0)
    region = judged_region(labels)
    index = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    far = np.linalg.norm(geometry.to_ras(index) - geometry.to_ras((np.array(geometry.shape) - 1) / 2), axis=-1)
    assert region[far <= 18].all() and not region[far > 20].any()
    assert fixed_grid(geometry) is geometry
    fine = grid((40, 100, 100), (2.0, 0.7, 0.7))
    assert fixed_grid(fine).spacing == pytest.approx((2.5, 1.5, 1.5))
    assert fixed_grid(fine).shape == (32, 47, 47)
    image = Volume(np.full(fine.shape, 55, np.int16), fine)
    drawn = on_grid(image, fixed_grid(fine))
    assert drawn.shape == (32, 47, 47) and drawn[16, 20, 20] == 55 and drawn.dtype == np.float32


def test_lipiodol_is_counted_in_ml_and_in_iodine() -> None:
    geometry = grid((10, 20, 20), (1.0, 1.0, 1.0))
    hu = np.full(geometry.shape, 60, np.int16)
    inside = np.ones(geometry.shape, bool)
    inside[0] = False
    hu[2, :10, :10] = 60 + 2600  # 0.1 ml at 100 mg/ml
    hu[3, :10, :10] = 250
    hu[0] = 3000
    found = lipiodol_figures(Volume(hu, geometry), inside)
    assert found["lipiodol_200_ml"] == pytest.approx(0.2) and found["lipiodol_300_ml"] == pytest.approx(0.1)
    assert found["lipiodol_iodine_ml"] == pytest.approx((0.1 * 100 + 0.1 * 190 / 26) / 480)
    bare = lipiodol_figures(Volume(np.full(geometry.shape, 60, np.int16), geometry), inside)
    assert set(bare.values()) == {0.0}


def test_the_fed_half_is_cut_through_the_centroid() -> None:
    labels = ball(grid())
    front, back = fed_half(labels, "front"), fed_half(labels, "back")
    assert (front ^ back).all() and fed_half(labels, "whole").all()
    share = front[labels.tumour].mean()
    assert share == pytest.approx(0.5, abs=0.05)
    assert front[:, 5].all() and not front[:, 55].any()  # rows run to posterior


def test_shifts_and_baselines(truth: Truth) -> None:
    labels = ball(truth.geometry)
    shift = Shift.of(truth, fed_half(labels, "back"))
    assert -40 < shift.median < 0 and shift.unfed == pytest.approx(0, abs=1.5)
    back = truth.inside & fed_half(labels, "back")
    assert shift.fed == pytest.approx(float((truth.after - truth.before)[back].mean()), abs=1e-3)
    assert Shift.of(truth, fed_half(labels, "whole")).unfed == 0
    assert Shift.mean([]) is None
    assert Shift.mean([Shift(1, 2, 3), Shift(3, 6, -3)]) == Shift(2, 4, 0)
    before = Volume(truth.before, truth.geometry)
    plain = dict(baselines(before, labels, "back", None))
    assert list(plain) == ["copy_pre", "copy_smoothed_1.5mm", "copy_smoothed_3mm"]
    rows = dict(baselines(before, labels, "back", shift))
    assert np.array_equal(rows["copy_pre"], truth.before)
    assert np.allclose(rows["constant_shift"] - truth.before, shift.median, atol=1e-4)
    assert rows["copy_smoothed_3mm"].std() < rows["copy_smoothed_1.5mm"].std() < truth.before.std()
    assert np.allclose(rows["smoothed_shift"] - rows["copy_smoothed_3mm"], shift.median, atol=1e-4)
    moved = rows["territory_shift"] - rows["copy_smoothed_3mm"]
    fed = fed_half(labels, "back")
    assert np.allclose(moved[fed], shift.fed, atol=1e-4) and np.allclose(moved[~fed], shift.unfed, atol=1e-4)
    figures = {row: truth.figures(image) for row, image in rows.items()}
    # 40 HU in half of it: the shift of the median cannot tell the halves, the territory can
    assert figures["territory_shift"]["mae_8mm_hu"] < 0.6 * figures["smoothed_shift"]["mae_8mm_hu"]
    ratios = with_ratios(figures)
    assert ratios["copy_pre"]["mae_ratio"] == ratios["copy_pre"]["mae_8mm_ratio"] == 1
    row = ratios["territory_shift"]
    assert row["rmse_ratio"] == pytest.approx(row["rmse_hu"] / figures["copy_pre"]["rmse_hu"])


def moved_by(transform: sitk.Transform, geometry: Geometry) -> Registered:
    return Registered(
        Volume(np.zeros(geometry.shape, np.int16), geometry), np.ones(geometry.shape, bool), transform, {}
    )


def test_labels_are_carried_against_the_map_of_the_registration() -> None:
    geometry = grid()
    labels = ball(geometry, 14.0)
    transform = sitk.Euler3DTransform((-40.0, -30.0, 0.0), 0.05, -0.1, 0.08, (12.0, -7.0, 140.0))
    native = Geometry((50, 110, 110), np.array(grid((50, 110, 110), (2.0, 1.0, 1.0)).affine))
    place = np.array(native.affine)
    place[:3, 3] = np.array([-12.0, 7.0, 140.0]) + [55, 45, -30]
    native = Geometry(native.shape, place)
    found = carried(moved_by(transform, geometry), labels, native)
    assert found.geometry is native
    # the centre of the ball, brought over by the transform itself
    centre = geometry.to_ras((np.array(geometry.shape) - 1) / 2) * [-1, -1, 1]
    there = np.array(transform.TransformPoint(centre.tolist())) * [-1, -1, 1]
    assert native.to_ras(np.argwhere(found.tumour).mean(0)) == pytest.approx(there, abs=0.4)
    assert found.tumour.sum() * native.voxel_ml == pytest.approx(labels.tumour.sum() * geometry.voxel_ml, rel=0.03)


def test_a_bent_map_is_inverted_and_a_folded_one_refused() -> None:
    geometry = grid()
    labels = ball(geometry, 14.0)
    image = sitk.GetImageFromArray(np.zeros((30, 60, 60, 3)), isVector=True)
    image.SetSpacing((3.0, 3.0, 3.0))
    image.SetOrigin((-90.0, -80.0, -40.0))
    z, y, x = np.meshgrid(
        -40 + 3.0 * np.arange(30), -80 + 3.0 * np.arange(60), -90 + 3.0 * np.arange(60), indexing="ij"
    )

    def bent(height: float) -> Registered:
        field = np.stack([height * np.sin(x / 12), 0.4 * height * np.cos(y / 15), 0 * z], -1)
        vectors = sitk.GetImageFromArray(field, isVector=True)
        vectors.CopyInformation(image)
        return moved_by(sitk.DisplacementFieldTransform(sitk.Cast(vectors, sitk.sitkVectorFloat64)), geometry)

    registered = bent(5.0)
    found = carried(registered, labels, geometry)
    # forwards: every voxel of the moving grid whose point comes from the tumour
    points = geometry.to_ras(np.argwhere(labels.tumour)) * [-1, -1, 1]
    there = np.array([registered.transform.TransformPoint(p.tolist()) for p in points]) * [-1, -1, 1]
    assert geometry.to_ras(np.argwhere(found.tumour).mean(0)) == pytest.approx(there.mean(0), abs=0.7)
    hit = np.rint(geometry.to_kji(there)).astype(int)
    assert found.tumour[tuple(hit.T)].mean() > 0.93
    with pytest.raises(GeometryMismatchError, match="cannot be inverted"):
        carried(bent(40.0), labels, geometry)
