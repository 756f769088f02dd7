"""Shapes from real label maps: livers where livers are, tumours with the volume they promise."""

from pathlib import Path

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray
from MeWMLib.cohorts.synthetic.shapes import (
    EXPONENTS,
    PARAMETERS,
    LiverShapeModel,
    TumourShape,
    TumourShapeModel,
    monomials,
    radius_ratios,
    read_parameters,
    sphere,
    unit_volume,
)
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.lab.synthetic import fit_shapes


def line(low: float, high: float, step: float) -> FloatArray:
    return np.arange(low, high, step, dtype=np.float32)


GRID = Axes(line(-130, 130, 4), line(-120, 120, 4), line(-150, 150, 4))


def test_a_liver_is_a_seed_and_livers_differ() -> None:
    model = LiverShapeModel.load()
    one, two, other = (model.draw(seed).signed_mm(GRID) for seed in (3, 3, 4))
    assert np.array_equal(one, two) and not np.array_equal(one > 0, other > 0)


@pytest.mark.parametrize("seed", range(5))
def test_a_drawn_liver_has_a_livers_form(seed: int) -> None:
    liver = LiverShapeModel.load().draw(seed)
    inside = liver.signed_mm(GRID) > 0
    z, y, x = np.nonzero(inside)
    right = GRID.x[x] > 0
    # The right lobe reaches lower, and farther back, than the left one; the inside does not touch the grid's end.
    assert GRID.z[z[right]].min() < GRID.z[z[~right]].min()
    assert GRID.y[y[right]].min() < GRID.y[y[~right]].min()
    assert not any(inside.take(end, axis).any() for axis in range(3) for end in (0, -1))
    assert 600 < fit_shapes.liver_volume_ml(liver) < 3600


def test_the_distance_is_about_mm_near_the_surface() -> None:
    fine = Axes(line(-20, 20, 1), line(-120, 120, 1), line(-150, 150, 1))
    d = LiverShapeModel.load().draw(1).signed_mm(fine)
    slope = np.sqrt(sum(g**2 for g in np.gradient(d)))[np.abs(d) < 4]
    assert 0.5 < np.median(slope) < 1.2


def test_a_liver_is_one_function_on_every_grid_and_far_away_is_outside() -> None:
    liver = LiverShapeModel.load().draw(2)
    part = Axes(GRID.z[5:20:3], GRID.y[7:9], GRID.x[::4])
    assert np.allclose(liver.signed_mm(part), liver.signed_mm(GRID)[5:20:3, 7:9, ::4], atol=1e-3)
    far = liver.signed_mm(Axes(line(400, 420, 10), line(0, 20, 10), line(-500, 0, 250)))
    assert (far < -15).all() and far[0, 0, 0] < far[0, 0, 1]


def test_size_scales_the_volume_by_its_cube() -> None:
    model = LiverShapeModel.load()
    one, large = model.shape([1.0, -1.0], 1.0), model.shape([1.0, -1.0], 1.2)
    volumes = [fit_shapes.liver_volume_ml(liver, 2.0) for liver in (one, large)]
    assert volumes[1] == pytest.approx(1.2**3 * volumes[0], rel=0.01)
    assert np.array_equal(model.shape([9.0]).grid, model.shape([2.5]).grid)  # coefficients are clipped


@pytest.mark.parametrize("seed", range(4))
def test_a_drawn_tumour_has_the_volume_of_its_radius(seed: int) -> None:
    tumour = TumourShapeModel.load().draw(seed)
    a = line(-3, 3, 0.06)
    z, y, x = a[:, None, None], a[None, :, None], a[None, None, :]
    distance = np.sqrt(z**2 + y**2 + x**2)
    inside = distance < tumour.radius(z, y, x)
    assert inside.sum() * 0.06**3 == pytest.approx(4 / 3 * np.pi, rel=0.02)
    assert distance[inside].max() <= tumour.reach < 3
    assert np.isfinite(tumour.radius(*(np.zeros((1, 1, 1), np.float32),) * 3)).all()


def test_the_radius_is_the_polynomial_on_the_sphere() -> None:
    tumour = TumourShapeModel.load().draw(7)
    v = sphere(50)
    ours = tumour.radius(*(np.asarray(c * 7.0, np.float32) for c in v.T))
    assert np.allclose(ours, np.exp(monomials(v) @ tumour.log_radius), rtol=1e-4)
    assert len(EXPONENTS) == 36 and np.linalg.matrix_rank(monomials(sphere(600))) == 36


def test_a_ball_has_radius_one_in_every_direction() -> None:
    ball = unit_volume(np.zeros(36))
    assert isinstance(ball, TumourShape)
    v = sphere(50)
    assert np.allclose(ball.radius(*(np.asarray(c, np.float32) for c in v.T)), 1, atol=1e-4)


def test_the_statistics_are_distributions() -> None:
    stored = {name.removeprefix("statistics_"): values for name, values in read_parameters().items()}
    assert stored["count_share"].sum() == pytest.approx(1, abs=1e-5) and stored["count_share"].min() >= 0
    assert np.array_equal(radius_ratios(), stored["ratio"])
    for name in ("ratio", "depth_mm", "depth_ratio"):
        assert len(stored[name]) == 11 and (np.diff(stored[name]) >= 0).all()
    assert 0 < stored["ratio"][0] and stored["ratio"][-1] <= 1 and 5 < np.exp(stored["log_radius"][0]) < 40


def test_a_broken_or_missing_parameter_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFileError, match="shape parameters"):
        read_parameters(tmp_path / "none.npz")
    half = tmp_path / "half.npz"
    with np.load(PARAMETERS) as stored:
        np.savez(half, **{k: stored[k] for k in stored.files if k != "tumour_mean"})
    with pytest.raises(UnreadableFileError, match="tumour_mean"):
        read_parameters(half)


def test_the_file_is_small_and_says_its_licence() -> None:
    assert PARAMETERS.stat().st_size < 300_000
    assert "CC BY-SA 4.0" in PARAMETERS.with_name("shapes.LICENCE.txt").read_text(encoding="utf-8")


def test_a_fitted_star_is_the_body_it_came_from() -> None:
    z, y, x = np.indices((41, 41, 41)) - 20.0
    body = (z / 15) ** 2 + (y / 10) ** 2 + (x / 9) ** 2 < 1
    radius = np.cbrt(15 * 10 * 9)
    star, log_radius = fit_shapes.star_shape(body, np.array([20.0, 20, 20]), radius)
    assert star > 0.95
    along = np.exp(monomials(np.eye(3)) @ log_radius) * radius
    assert np.allclose(along, [15, 10, 9], rtol=0.08)


def test_label_maps_are_turned_to_superior_anterior_right() -> None:
    array = np.zeros((3, 4, 5), np.uint8)
    array[2, 0, 0] = 1  # the top, anterior, right corner of an LPS grid
    affine = np.diag([-1.5, -1.5, 1.5, 1.0])
    turned, spacing = fit_shapes.ras_array(LabelMap(array, Geometry(array.shape, affine)))
    assert spacing == 1.5 and turned[2, 3, 4] == 1 and turned.sum() == 1
    with pytest.raises(InputError, match="isotropic"):
        fit_shapes.ras_array(LabelMap(array, Geometry(array.shape, np.diag([1.0, 1, 2, 1]))))


def test_too_few_label_maps_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too few"):
        fit_shapes.fit(tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_the_abdomen_leaves_its_liver_whole(seed: int) -> None:
    anatomy = Anatomy.draw(seed)
    axes = Axes(line(-130, 130, 5), line(-110, 120, 5), line(-120, 170, 5))
    liver = anatomy.liver(axes) > 0
    assert liver.sum() * 0.125 > 0.85 * fit_shapes.liver_volume_ml(anatomy.liver_shape)
    hu, shape = anatomy.render(axes)
    assert np.abs(np.median(hu[shape > 5]) - anatomy.liver_hu) < 8
