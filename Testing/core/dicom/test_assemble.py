"""The grid of a stack: positions of few digits are even, what adds up along the body is refused."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryError, NotCTError, SeriesError
from MeWMLib.core.io import read_volume


def away(volume, positions) -> float:
    """Largest distance (mm) of the first voxel of a slice from where its file says that it is."""
    index = np.array([(k, 0, 0) for k in range(len(positions))])
    return float(np.abs(volume.geometry.to_ras(index) - np.array(positions) * (-1, -1, 1)).max())


def at(positions):
    """A change that puts slice n at a position."""

    def change(data, n):
        data.ImagePositionPatient = [float(v) for v in positions[n]]

    return change


@pytest.mark.parametrize(
    ("step", "digits"), [(0.625, 1), (0.625, 2), (0.9765625, 1), (1.25, 1), (1.875, 1), (3.125, 1), (0.75, 1)]
)
def test_positions_of_few_digits_are_even(phantom, tmp_path, step, digits):
    positions = [(-156, -156, round(step * n, digits)) for n in range(min(96, int(70 / step)))]
    hu = phantom.plain(len(positions))
    volume = read_volume(phantom.classic(tmp_path / "a", hu, change=at(positions)))
    np.testing.assert_array_equal(volume.array, hu)
    assert away(volume, positions) <= 0.11 and volume.geometry.spacing[0] == pytest.approx(step, rel=2e-3)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([5.0] * 20 + [5.45] * 19, "distance of the slices changes along the body"),
        ([5.0] * 13 + [5.4] * 12, "distance of the slices changes along the body"),
        ([5.0] * 20 + [2.5] * 19, "not evenly spaced"),
        ([5.0] * 20 + [10.0] + [5.0] * 18, "missing"),
        ([5.0] * 38 + [10.0], "missing"),
        ([5.0] * 20 + [6.0, 4.0] + [5.0] * 17, "not evenly spaced"),
    ],
)
def test_distances_that_differ_are_refused(phantom, tmp_path, steps, words):
    positions = [(-156, -156, z) for z in np.cumsum([0.0, *steps])]
    with pytest.raises(SeriesError, match=words):
        read_volume(phantom.classic(tmp_path / "a", phantom.plain(len(positions)), change=at(positions)))


@pytest.mark.parametrize("degrees", [0.0, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 15.0])
def test_a_tilt_is_below_half_a_pixel_from_end_to_end_or_refused(phantom, tmp_path, degrees):
    positions = [(-156, -156 + 5.0 * n * np.tan(np.radians(degrees)), 5.0 * n) for n in range(60)]
    folder = phantom.classic(tmp_path / "a", phantom.plain(60), change=at(positions))
    if 59 * 5.0 * np.tan(np.radians(degrees)) <= 0.5 * phantom.PIXEL:
        assert away(read_volume(folder), positions) <= 0.5 * phantom.PIXEL
    else:
        with pytest.raises(GeometryError, match="gantry tilt"):
            read_volume(folder)


@pytest.mark.parametrize("units", ["HU", "", "US", "unspecified", "Hounsfield", "HOUNSFIELD UNITS"])
def test_ways_to_write_hounsfield_units(phantom, tmp_path, units):
    hu = phantom.plain()
    folder = phantom.classic(tmp_path / "a", hu, change=lambda data, n: setattr(data, "RescaleType", units))
    np.testing.assert_array_equal(read_volume(folder).array, hu)


@pytest.mark.parametrize("units", ["HU_MOD", "Z_EFF", "MGML", "PCT"])
def test_other_units_are_no_hounsfield_units(phantom, tmp_path, units):
    folder = phantom.classic(
        tmp_path / "a", phantom.plain(), change=lambda data, n: setattr(data, "RescaleType", units)
    )
    with pytest.raises(NotCTError, match="not Hounsfield units"):
        read_volume(folder)


@pytest.mark.parametrize("jitter", [1e-6, 1e-5])
def test_slices_whose_axes_and_spacing_differ_by_printing_are_one_volume(phantom, tmp_path, jitter):
    """Rounding a number that lies where rounding turns must not part them."""
    hu = phantom.plain()

    def change(data, n):
        cosine = 0.995 + (n % 2 - 0.5) * jitter
        data.ImageOrientationPatient = [1, 0, 0, 0, float(f"{cosine:.9g}"), float(f"{np.sqrt(1 - cosine**2):.9g}")]
        normal = np.array([0, -np.sqrt(1 - 0.995**2), 0.995])
        data.ImagePositionPatient = [float(f"{v:.9g}") for v in (-156, -156, 0) + 7.5 * n * normal]
        data.PixelSpacing = [6.5005 + (n % 2 - 0.5) * jitter] * 2

    volume = read_volume(phantom.classic(tmp_path / "a", hu, change=change))
    np.testing.assert_array_equal(volume.array, hu)
