"""Deposits of Lipiodol measured on images whose grains are known by construction."""

import math

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.perception.deposits import autocorrelation, lipiodol_look, local_mean

SPACING = (2.0, 0.5, 0.5)


def block(shape: tuple[int, int, int], margin: int) -> np.ndarray:
    """A box in the middle of an array."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(margin, n - margin) for n in shape)] = True
    return mask


def test_blobs_are_counted_and_measured() -> None:
    tumour = block((14, 60, 60), 2)  # 10 x 56 x 56 voxels of 0.5 mm3: 15.68 ml
    hu = np.full(tumour.shape, 40.0)
    hu[4, 10:14, 10:14] = 450  # 16 voxels
    hu[8, 30, 30], hu[9, 31, 31] = 300, 800  # two voxels that touch at a corner are one blob
    hu[6, 50, 50] = 299.9  # not dense
    hu[6, 20, 50] = 1000  # a single
    hu[0, 0, 0] = 2000  # outside of the tumour
    hu[11, 40:50, 40] = 250  # Lipiodol, not dense
    found = lipiodol_look(hu, tumour, SPACING)
    assert found["tumour_ml"] == pytest.approx(15.68)
    assert found["share_300_percent"] == pytest.approx(100 * 19 / 31360)
    assert found["share_200_percent"] == pytest.approx(100 * 30 / 31360)
    assert found["blobs_per_100ml"] == pytest.approx(200 / 15.68)
    assert found["singles_per_100ml"] == pytest.approx(100 / 15.68)
    ball = lambda mm3: 2 * (3 * mm3 / (4 * math.pi)) ** (1 / 3)  # noqa: E731
    assert found["diameter_max_mm"] == pytest.approx(ball(8))
    assert found["diameter_50_mm"] == pytest.approx((ball(8) + ball(1)) / 2)
    assert found["diameter_95_mm"] == pytest.approx(ball(1) + 0.95 * (ball(8) - ball(1)))
    dense = sorted([450.0] * 16 + [300.0, 800.0, 1000.0])  # 19 values: percentile p is at 0.18 p
    for p in (25, 50, 75, 95, 99):
        at = 0.18 * p
        low = dense[int(at)]
        assert found[f"hu_{p}"] == pytest.approx(low + (at - int(at)) * (dense[min(18, int(at) + 1)] - low))


def test_autocorrelation_of_filtered_noise_is_that_of_the_filter() -> None:
    rng = np.random.default_rng(1)
    white = rng.normal(0, 30, (30, 80, 80))
    # a mean of three along rows and columns, of two along slices: triangles of 2/3, 1/3, 0 and of 1/2
    grain = ndimage.uniform_filter(white, (2, 3, 3))
    mask = block(grain.shape, 3)
    mask[:, 40:50, 40:50] = False
    for axis, lag, want in ((1, 1, 2 / 3), (2, 2, 1 / 3), (2, 4, 0), (0, 1, 0.5)):
        assert autocorrelation(grain, mask, axis, lag) == pytest.approx(want, abs=0.03)
    assert math.isnan(autocorrelation(grain, mask, 0, 30)) and math.isnan(autocorrelation(grain, ~mask & mask, 0, 1))
    found = lipiodol_look(100 + grain, mask, (2.0, 0.7, 0.7))
    want = {"acf_plane_1": 2 / 3, "acf_plane_2": 1 / 3, "acf_plane_4": 0, "acf_slice_1": 0.5}
    assert {name: found[name] for name in want} == pytest.approx(want, abs=0.03)


def test_density_beyond_the_clip_and_slow_gradients_are_no_grain() -> None:
    rng = np.random.default_rng(2)
    tumour = block((24, 90, 90), 2)
    grain = ndimage.uniform_filter(rng.normal(0, 60, tumour.shape), (1, 3, 3)) + 300
    plain = lipiodol_look(grain, tumour, (2.5, 0.7, 0.7))
    slope = np.linspace(-60, 60, 90)[None, :, None]
    tilted = lipiodol_look(grain + slope, tumour, (2.5, 0.7, 0.7))
    assert abs(tilted["acf_plane_4"] - plain["acf_plane_4"]) < 0.25  # unfiltered it would be 0.75
    high = grain.copy()
    high[10, 40, 40] = 800
    higher = high.copy()
    higher[10, 40, 40] = 3000
    names = [n for n in plain if n.startswith("acf")]
    first, second = (lipiodol_look(one, tumour, (2.5, 0.7, 0.7)) for one in (high, higher))
    assert [first[n] for n in names] == pytest.approx([second[n] for n in names])


def test_a_local_mean_asks_the_mask_alone() -> None:
    mask = block((5, 20, 20), 1)
    image = np.where(mask, 7.0, 1e6)
    assert local_mean(image, mask, (1, 3, 3))[mask] == pytest.approx(7.0, rel=1e-4)
