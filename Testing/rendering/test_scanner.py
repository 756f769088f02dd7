"""Noise of a scanner as stated, by independent measures; grids and resampling."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.rendering.scanner import HU_RANGE, TILE, Scanner, as_stored, resampled

SCANNER = Scanner(in_plane_mm=0.7, noise_hu=20.0, slice_tie=0.3, angle=0.0)


def noise(scanner: Scanner = SCANNER, seed: int = 0) -> np.ndarray:
    return scanner.noise((30, 120, 120), np.random.default_rng(seed))


def tied(field: np.ndarray, axis: int, lag: int = 1) -> float:
    a, b = (np.take(field, range(n, field.shape[axis] - lag + n), axis).ravel() for n in (0, lag))
    return float(np.corrcoef(a, b)[0, 1])


def test_deviation_mean_and_slices_are_as_stated() -> None:
    field = noise()
    assert field.std() == pytest.approx(20, rel=0.03) and abs(field.mean()) < 0.5
    assert tied(field, 0) == pytest.approx(0.3, abs=0.03)
    assert abs(tied(field, 0, 4)) < 0.05
    assert np.array_equal(field, noise()) and not np.array_equal(field, noise(seed=1))


def test_noise_is_band_pass_and_has_streaks() -> None:
    field = noise()
    # far from white: neighbours in plane hang together, and hardly anything is left of it over a centimetre
    assert 0.3 < tied(field, 2) < 0.9
    smooth = ndimage.gaussian_filter(field, (0, 7, 7))
    white = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(field.shape), (0, 7, 7))
    assert smooth.std() / field.std() < 2.0 * white.std()
    # streaks run along rows, so that rows hang together further than columns
    assert tied(field, 2, 2) > tied(field, 1, 2) + 0.1
    plain = noise(replace(SCANNER, streak=0.0))
    assert tied(plain, 2, 2) == pytest.approx(tied(plain, 1, 2), abs=0.03)


def test_a_sharper_kernel_reaches_less_far() -> None:
    assert tied(noise(replace(SCANNER, high_cut=0.6)), 2) < tied(noise(replace(SCANNER, high_cut=0.35)), 2) - 0.1


def test_large_fields_repeat_a_tile_and_keep_their_statistics() -> None:
    field = SCANNER.noise((TILE[0] + 3, 90, TILE[2] + 20), np.random.default_rng(2))
    assert field.shape == (TILE[0] + 3, 90, TILE[2] + 20)
    assert field.std() == pytest.approx(20, rel=0.1) and tied(field, 0) == pytest.approx(0.3, abs=0.06)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"in_plane_mm": 3.0}, "voxel in plane"),
        ({"slice_mm": 0.2}, "distance of slices"),
        ({"noise_hu": 0.0}, "noise"),
        ({"streak": 1.0}, "streaks"),
        ({"slice_tie": 0.9}, "correlation between slices"),
        ({"noise_hu": float("nan")}, "noise"),
    ],
)
def test_impossible_scanners_are_refused(change: dict[str, float], what: str) -> None:
    with pytest.raises(InputError, match=f"No scanner has this .*{what}"):
        replace(SCANNER, **change)


def test_the_grid_of_the_scanner_covers_what_is_asked_for_and_is_kept_where_it_is_one() -> None:
    patch = (np.arange(10.0, 60.0), np.arange(40.0, -10.0, -1.0), np.arange(0.0, 50.0))
    own = SCANNER.grid_over(patch)
    for mine, asked, step in zip(own, patch, SCANNER.spacing, strict=True):
        assert mine.min() <= asked.min() and mine.max() >= asked.max()
        assert np.allclose(np.diff(mine), step)
    same = SCANNER.grid_over(own)
    assert all(np.array_equal(a, b) for a, b in zip(own, same, strict=True))


def test_resampling_is_linear_on_any_aligned_grid() -> None:
    source = (np.arange(0.0, 30, 2.5), np.arange(20.0, -10, -0.7), np.arange(0.0, 20, 0.7))
    target = (np.arange(3.0, 24, 1.0), np.arange(-5.0, 15, 1.0), np.arange(18.0, 2.0, -1.0))
    z, y, x = np.meshgrid(*source, indexing="ij")
    found = resampled((2 * z - 3 * y + 0.5 * x).astype(np.float32), source, target)
    z, y, x = np.meshgrid(*target, indexing="ij")
    assert np.allclose(found, 2 * z - 3 * y + 0.5 * x, atol=1e-3)
    one = np.zeros(1)
    rising = np.arange(3, dtype=np.float32).reshape(3, 1, 1)
    ends = resampled(rising, (np.arange(3.0), one, one), (np.array([-9.0, 9.0]), one, np.zeros(2)))
    assert ends[:, 0, 0].tolist() == [0, 2] and ends.shape == (2, 1, 2)


def test_the_kernel_brightens_oil_darkens_around_it_and_keeps_its_sum() -> None:
    rise = np.zeros((3, 60, 60), np.float32)
    rise[1, 28:32, 28:32] = 1000
    shown = SCANNER.oil(rise)
    assert shown.sum() == pytest.approx(rise.sum(), rel=1e-3)
    assert shown.max() > 1050 and shown[1].min() < -10 and not shown[[0, 2]].any()
    assert np.array_equal(SCANNER.oil(np.zeros_like(rise)), np.zeros_like(rise))


def test_noise_is_stronger_beside_dense_oil_along_rows() -> None:
    rise = np.zeros((1, 80, 80), np.float32)
    rise[0, 38:42, 38:42] = 2000
    even = np.ones((1, 80, 80), np.float32)
    found = SCANNER.with_streaks(even, rise)
    assert found[0, 40, 46] > 1.2 and found[0, 46, 40] == pytest.approx(1) and (found >= 1).all()
    assert np.array_equal(SCANNER.with_streaks(even, 0 * rise), even)


def test_what_is_stored_lies_within_the_range_of_a_scanner() -> None:
    assert as_stored(np.array([-5000.0, 0.0, 9000.0], np.float32)).tolist() == [HU_RANGE[0], 0, HU_RANGE[1]]
