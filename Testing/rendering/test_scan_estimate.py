"""What is said of a scanner from its voxels, against the scanner that made them."""

import numpy as np
import pytest

from MeWMLib.core.volume import Volume
from MeWMLib.rendering.scan_estimate import USUAL_NOISE, ScanEstimate
from MeWMLib.rendering.scanner import Scanner

from .conftest import grid


@pytest.mark.parametrize("noise", [9.0, 22.0, 40.0])
def test_noise_is_measured_beside_vessels_and_gas(noise: float) -> None:
    geometry = grid((50, 90, 90), (2.5, 0.72, 0.72))
    scanner = Scanner(noise_hu=noise)
    k, j, i = geometry.shape
    slope = 90 + 0.2 * np.arange(j)[None, :, None]
    hu = slope + scanner.noise(geometry.shape, np.random.default_rng(0))
    hu[:, 40:48, 20:100] += 70
    hu[:, :30] = -900
    found = ScanEstimate.of(Volume(hu.astype(np.float32), geometry))
    assert found.noise_hu == pytest.approx(noise, rel=0.15)
    assert found.spread_mm == pytest.approx(scanner.spread_mm)
    bone = ScanEstimate.of(Volume(np.full(geometry.shape, 800, np.int16), geometry))
    assert bone.noise_hu == USUAL_NOISE


@pytest.mark.parametrize(
    ("order", "axes"),
    [((0, 1, 2), (0, 1, 2)), ((0, 2, 1), (1, 0, 2)), ((2, 0, 1), (2, 0, 1)), ((1, 2, 0), (1, 2, 0))],
)
def test_planes_are_found_in_any_order_of_axes(order: tuple[int, int, int], axes: tuple[int, int, int]) -> None:
    """`order`: the axes of the patient along which i, j and k run; rows run from side to side."""
    geometry = grid((30, 40, 50), (2.0, 1.0, 1.5), (4.0, -6.0, 8.0), (1, -1, 1), order)
    found = ScanEstimate.of(Volume(np.zeros(geometry.shape, np.int16), geometry))
    along = {2: 0, 1: 1, 0: 2}  # patient's z, y, x
    assert found.axes == axes == tuple(2 - order.index(a) for a in sorted(along, key=along.get))
    # a spread of every axis of the array
    assert found.spread_mm == pytest.approx((2.0 / 2.355, 0.5, 1.5 / 2.355))
