"""The subset of radiomics against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.lab.evaluation.radiomics import RADIOMICS, radiomics


def _named(hu, mask, spacing=1.0):
    return dict(zip(RADIOMICS, radiomics(hu, mask, spacing), strict=True))


def _ellipsoid(a, b, c, size=64):
    z, y, x = np.mgrid[:size, :size, :size] - (size - 1) / 2
    return (z / a) ** 2 + (y / b) ** 2 + (x / c) ** 2 <= 1


def test_a_ball():
    ball = _ellipsoid(20, 20, 20)
    found = _named(np.full(ball.shape, 80.0), ball)
    assert np.exp(found["log_volume_ml"]) == pytest.approx(4 / 3 * np.pi * 8, rel=0.01)
    assert found["sphericity"] == pytest.approx(1, abs=0.03)
    assert found["surface_volume_ratio"] == pytest.approx(3 / 20, rel=0.04)
    assert found["elongation"] == pytest.approx(1, abs=0.01) and found["flatness"] == pytest.approx(1, abs=0.01)
    assert found["mean"] == 80 and found["standard_deviation"] == 0 and found["entropy"] == 0
    assert found["skewness"] == 0 and found["kurtosis"] == 3


def test_an_ellipsoid_has_the_ratios_of_its_axes():
    found = _named(np.zeros((64,) * 3), _ellipsoid(28, 14, 7))
    assert found["elongation"] == pytest.approx(0.5, abs=0.01) and found["flatness"] == pytest.approx(0.25, abs=0.01)


def test_voxel_size_scales_lengths_only():
    ball = _ellipsoid(12, 12, 12)
    hu = np.random.default_rng(0).normal(60, 20, ball.shape)
    one, two = _named(hu, ball), _named(hu, ball, 2.0)
    assert two["log_volume_ml"] - one["log_volume_ml"] == pytest.approx(np.log(8))
    assert two["surface_volume_ratio"] == pytest.approx(one["surface_volume_ratio"] / 2)
    for name in ("sphericity", "elongation", "mean", "entropy"):
        assert two[name] == pytest.approx(one[name])


def test_histogram_features():
    rng = np.random.default_rng(1)
    ball = _ellipsoid(25, 25, 25)
    found = _named(rng.normal(100, 30, ball.shape), ball)
    assert found["mean"] == pytest.approx(100, abs=1) and found["standard_deviation"] == pytest.approx(30, abs=1)
    assert found["skewness"] == pytest.approx(0, abs=0.1) and found["kurtosis"] == pytest.approx(3, abs=0.1)
    assert found["percentile_10"] == pytest.approx(100 - 1.2816 * 30, abs=1)
    # two densities, half and half: one bit
    halves = np.where(np.arange(64)[:, None, None] % 2 == 0, 10.0, 300.0) * np.ones((64,) * 3)
    assert _named(halves, ball)["entropy"] == pytest.approx(1, abs=0.01)
    assert _named(np.full(ball.shape, 4000.0), ball)["mean"] == 600  # clipped


def test_what_is_too_small_has_no_features():
    mask = np.zeros((16,) * 3, bool)
    mask[3, 3, 3] = True
    assert (radiomics(np.ones(mask.shape), mask, 1.0) == 0).all()
