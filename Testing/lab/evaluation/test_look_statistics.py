"""Look statistics on images whose grains, noise and density are known by construction."""

import math

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import GeometryError, GeometryMismatchError
from MeWMLib.lab.evaluation.look import look
from MeWMLib.lab.evaluation.look_noise import (
    BAND_NAMES,
    autocovariance,
    band_powers,
    half_width,
    noise_look,
)  # fmt: skip
from MeWMLib.perception.deposits import lipiodol_look

SPACING = (2.0, 0.5, 0.5)


def block(shape: tuple[int, int, int], margin: int) -> np.ndarray:
    """A box in the middle of an array."""
    mask = np.zeros(shape, bool)
    mask[tuple(slice(margin, n - margin) for n in shape)] = True
    return mask


def test_without_lipiodol_or_tumour_there_is_nothing_to_measure() -> None:
    tumour = block((8, 20, 20), 2)
    bare = lipiodol_look(np.full(tumour.shape, 50.0), tumour, SPACING)
    assert bare["blobs_per_100ml"] == bare["singles_per_100ml"] == bare["share_300_percent"] == 0
    assert math.isnan(bare["diameter_50_mm"]) and math.isnan(bare["hu_50"])
    none = look(np.full(tumour.shape, 50.0), ~tumour & tumour, ~tumour & tumour, SPACING)
    assert none.keys() == look(np.full(tumour.shape, 50.0), tumour, ~tumour, SPACING).keys()
    assert none["tumour_ml"] == none["noise_ml"] == 0
    assert all(math.isnan(v) for name, v in none.items() if name not in ("tumour_ml", "noise_ml"))


@pytest.fixture(scope="module")
def organ() -> tuple[np.ndarray, np.ndarray]:
    """Liver and tumour (K, J, I) of 2.5 x 0.7 x 0.7 mm voxels."""
    k, j, i = np.ogrid[:32, :140, :140]
    liver = ((k - 16) / 14) ** 2 + ((j - 70) / 64) ** 2 + ((i - 70) / 64) ** 2 < 1
    tumour = ((k - 16) / 5) ** 2 + ((j - 95) / 20) ** 2 + ((i - 60) / 20) ** 2 < 1
    return liver, tumour


def test_noise_is_that_which_was_added(organ) -> None:
    liver, tumour = organ
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 20, liver.shape)
    noise[1:] = (noise[1:] + 0.5 * noise[:-1]) / math.sqrt(1.25)  # 0.4 with the next slice
    j = np.arange(140)[None, :, None]
    hu = np.where(liver, 100 + 0.1 * j, -100.0) + np.zeros(liver.shape)  # the liver's own gradient
    hu[:, 60:66, 20:120] += 80  # a vessel through all slices
    hu[:, 20:120, 40:46] += 60
    hu[np.where(tumour)] = 600
    clean = noise_look(hu + noise, liver, tumour, (2.5, 0.7, 0.7))
    assert clean["noise_sd_hu"] == pytest.approx(20, rel=0.03)
    assert clean["noise_slice_1"] == pytest.approx(0.4, abs=0.03)
    assert clean["noise_half_mm"] == pytest.approx(0.35, abs=0.03)  # white: from 1 to 0 within one voxel of 0.7 mm
    vessels = liver & (np.abs(hu - (100 + 0.1 * j)) > 1) & ~tumour
    most = (liver & ~tumour & ~vessels).sum() * 1.225e-3
    assert 0.5 * most < clean["noise_ml"] < most
    # linear resampling to 1 mm of white noise leaves a known share of its variance
    assert clean["noise_sd_1mm_hu"] < 0.8 * clean["noise_sd_hu"]


def test_noise_on_cubes_of_1_mm_is_the_same_where_they_are_the_voxels(organ) -> None:
    liver, tumour = organ
    hu = 80 + np.random.default_rng(4).normal(0, 12, liver.shape)
    found = noise_look(hu, liver, tumour, (1.0, 1.0, 1.0))
    assert found["noise_sd_hu"] == pytest.approx(12, rel=0.03)
    assert found["noise_sd_1mm_hu"] == pytest.approx(found["noise_sd_hu"], rel=1e-3)
    halved = noise_look(hu[:, :90, :90], liver[:, :90, :90], tumour[:, :90, :90], (1.0, 2.0, 2.0))
    # every new voxel lies a quarter between two: 9/16 + 1/16 of the variance along each axis
    assert halved["noise_sd_1mm_hu"] == pytest.approx(12 * 0.625, rel=0.04)


def test_reach_and_spectrum_of_band_pass_noise(organ) -> None:
    rng = np.random.default_rng(5)
    spacing = (0.7, 0.7)
    field = np.fft.rfft2(rng.normal(size=(24, 200, 200)))
    frequency = np.hypot(np.fft.fftfreq(200, 0.7)[:, None], np.fft.rfftfreq(200, 0.7)[None])
    for band, (low, high) in enumerate(((0.02, 0.13), (0.18, 0.27), (0.34, 0.46), (0.55, 0.7))):
        image = np.fft.irfft2(field * ((frequency > low) & (frequency < high)), (200, 200)).astype(np.float32)
        shares = band_powers(autocovariance(image, np.ones(image.shape, bool), spacing), spacing)
        assert sum(shares) == pytest.approx(100) and shares[band] > 85
    white = rng.normal(0, 1, (24, 200, 200)).astype(np.float32)
    mask = np.zeros(white.shape, bool)
    mask[:, 30:170, 50:150] = True
    shares = band_powers(autocovariance(np.where(mask, white, 0), mask, spacing), spacing)
    full = np.hypot.outer(np.fft.fftfreq(501, 0.7), np.fft.fftfreq(501, 0.7))  # shares of the plane of frequencies
    want = [100 * ((full >= a) & (full < b)).mean() for a, b in ((0, 0.15), (0.15, 0.3), (0.3, 0.5), (0.5, 9))]
    assert shares == pytest.approx(want, abs=2)
    wide = ndimage.gaussian_filter(white, (0, 2, 2))  # its autocorrelation is a Gaussian of deviation 2 * sqrt(2)
    reach = half_width(autocovariance(np.where(mask, wide, 0), mask, spacing), spacing)
    assert reach == pytest.approx(0.7 * 2 * math.sqrt(2) * math.sqrt(2 * math.log(2)), rel=0.05)
    flat = np.ones(white.shape, np.float32)
    assert math.isnan(half_width(autocovariance(flat, np.ones(flat.shape, bool), spacing), spacing))
    liver, tumour = organ
    hu = (90 + 10 * rng.normal(size=liver.shape)).astype(np.float32)
    found = noise_look(hu, liver, tumour, (2.5, 0.7, 0.7))
    assert [found[name] for name in BAND_NAMES] == pytest.approx(want, abs=4)


def test_too_little_liver_is_no_sample(organ) -> None:
    liver, tumour = organ
    few = np.zeros(liver.shape, bool)
    few[15:18, 60:75, 60:75] = True
    found = noise_look(np.full(liver.shape, 50.0), few, tumour, (2.5, 0.7, 0.7))
    assert math.isnan(found["noise_sd_hu"]) and found["noise_ml"] < 2


def test_contrast_is_of_medians_away_from_the_border(organ) -> None:
    liver, tumour = organ
    hu = np.full(liver.shape, -90.0)
    hu[liver] = 112
    hu[tumour] = 74
    hu[ndimage.binary_dilation(tumour, iterations=2) & ~tumour] = 180  # a rim of what enhances
    found = look(hu, tumour, liver, (2.5, 0.7, 0.7))
    assert found["liver_hu"] == 112 and found["tumour_minus_liver_hu"] == -38
    beside = look(hu, tumour, liver & ~tumour, (2.5, 0.7, 0.7))  # a liver mask without its tumour is the same
    assert beside == pytest.approx(found, nan_ok=True)


def test_what_does_not_fit_is_refused() -> None:
    hu, mask = np.zeros((4, 5, 6)), np.zeros((4, 5, 6), bool)
    with pytest.raises(GeometryMismatchError, match=r"tumour \(4, 5, 5\)"):
        look(hu, mask[..., :5], mask, SPACING)
    with pytest.raises(GeometryMismatchError, match="one shape"):
        look(hu[0], mask[0], mask[0], SPACING)
    for wrong in ((1.0, 1.0), (1.0, 0.0, 1.0), (1.0, float("nan"), 1.0)):
        with pytest.raises(GeometryError, match="voxel sizes"):
            look(hu, mask, mask, wrong)
