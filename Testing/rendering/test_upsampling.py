"""Coarse maps on voxels against the B-spline's own definition, whatever the directions of the grids."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from MeWMLib.core.volume import centred_grid
from MeWMLib.rendering.upsampling import spline_along, upsampled

from .conftest import grid

CUBES = centred_grid(np.array([1.0, -2.0, 3.0]), (12, 11, 13), 4.0)
VALUES = np.random.default_rng(0).normal(0, 1, CUBES.shape).astype(np.float32)


def by_definition(at: np.ndarray) -> float:
    """Sum over all cubes of value times basis spline, at a place in cubes (k, j, i)."""
    basis = BSpline.basis_element([-1.5, -0.5, 0.5, 1.5], extrapolate=False)
    ways = [np.nan_to_num(basis(x - np.arange(n))) for x, n in zip(at, CUBES.shape, strict=True)]
    return float(np.einsum("kji,k,j,i", VALUES, *ways))


@settings(max_examples=25, deadline=None)
@given(
    turn=st.tuples(*[st.sampled_from([0.0, 0.0, 1e-6, 0.4, 7.0, -33.0])] * 3),
    flips=st.tuples(*[st.sampled_from([-1, 1])] * 3),
    order=st.permutations([0, 1, 2]),
    spacing=st.tuples(*[st.floats(0.6, 5.0)] * 3),
)
def test_values_are_those_of_the_spline(turn, flips, order, spacing) -> None:
    target = grid((16.0, 14.0, 15.0), spacing, turn, flips, tuple(order))
    found = upsampled(VALUES, CUBES, target)
    assert found.shape == target.shape and found.dtype == np.float32
    rng = np.random.default_rng(1)
    for voxel in rng.integers(0, target.shape, (6, 3)):
        want = by_definition(CUBES.to_kji(target.to_ras(voxel)))
        assert found[tuple(voxel)] == pytest.approx(want, abs=0.03 if max(map(abs, turn)) == 0.4 else 2e-3)


@given(st.floats(-3, 3), st.integers(2, 9))
def test_an_even_map_stays_even_and_values_continue_beyond_it(value: float, count: int) -> None:
    line = np.full(count, value, np.float32)
    assert spline_along(line, np.linspace(-4, count + 4, 50), 0) == pytest.approx(np.float32(value), abs=1e-5)
    rising = np.arange(count, dtype=np.float32)
    found = spline_along(rising, np.linspace(-4, count + 4, 200), 0)
    assert found.min() == 0 and found.max() == pytest.approx(count - 1) and (np.diff(found) >= -1e-6).all()
