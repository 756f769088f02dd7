"""The region of a session holds all that is treated, and the value of a cube is the mean inside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from MeWMLib.core.coarse_maps import MAP_MM, SIDE_MM
from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.core.volume import Geometry, centred_grid
from MeWMLib.perception.cubes import LEAST_MM, MARGIN_MM, Refined, cube_means, region_of
from MeWMLib.perception.preprocess import resample


def turned(angle: float, spacing: tuple[float, float, float], shape: tuple[int, int, int] = (40, 60, 60)) -> Geometry:
    """A grid whose i and j axes are turned about k by an angle (radians)."""
    grid = centred_grid(np.array([10.0, -20.0, 30.0]), shape, np.array(spacing[::-1]))
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return Geometry(shape, turn @ grid.affine)


@settings(max_examples=12, deadline=None)
@given(
    angle=st.floats(-0.6, 0.6),
    spacing=st.tuples(st.floats(1.0, 5.0), st.floats(0.6, 2.0), st.floats(0.6, 2.0)),
    radius=st.floats(3.0, 14.0),
)
@example(angle=2.2250738585e-313, spacing=(1.0, 1.5, 1.0), radius=3.0)  # ITK inverts no subnormal direction
def test_the_region_holds_the_lesion_and_the_shares_its_volume(
    angle: float, spacing: tuple[float, float, float], radius: float
) -> None:
    grid = turned(angle, spacing)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    places = grid.to_ras(index)
    mask = np.linalg.norm(places - grid.to_ras(np.array([[20, 30, 30]]))[0], axis=-1) <= radius
    mask[20, 30, 30] = True
    cubes = region_of(mask, grid)
    sides = np.array(cubes.shape) * MAP_MM
    assert (sides >= LEAST_MM).all()
    assert np.allclose(sides % SIDE_MM, 0)
    inside = cubes.to_kji(places[mask])
    room = MARGIN_MM / MAP_MM - 1
    assert (inside > room).all()
    assert (inside < np.array(cubes.shape) - 1 - room).all()
    share = cube_means(mask, grid, cubes)
    whole = mask.sum() * grid.voxel_ml
    assert share.min() >= 0
    assert share.max() <= 1 + 1e-5
    # a voxel is as wide as linear interpolation makes it, which is its own volume
    assert share.sum() * cubes.voxel_ml == pytest.approx(whole, rel=0.12, abs=1.2 * grid.voxel_ml)


def test_the_mean_of_a_ramp_is_its_value_in_the_middle_of_a_cube() -> None:
    grid = centred_grid(np.zeros(3), (50, 140, 140), np.array([0.8, 0.8, 2.5]))
    places = grid.to_ras(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1))
    ramp = (places @ np.array([0.5, -1.0, 2.0])).astype(np.float32)
    cubes = centred_grid(np.array([3.0, 5.0, -7.0]), (16, 16, 16), MAP_MM)
    middles = cubes.to_ras(np.stack(np.meshgrid(*map(np.arange, cubes.shape), indexing="ij"), -1))
    assert np.allclose(cube_means(ramp, grid, cubes), middles @ np.array([0.5, -1.0, 2.0]), atol=0.05)


def test_noise_of_the_scan_is_averaged_over_a_cube() -> None:
    grid = centred_grid(np.zeros(3), (30, 96, 96), np.array([0.7, 0.7, 2.0]))
    noise = 20 * np.random.default_rng(0).standard_normal(grid.shape)
    cubes = centred_grid(np.zeros(3), (12, 12, 12), MAP_MM)
    # 64 mm^3 hold some 65 voxels of this scan
    assert cube_means(noise, grid, cubes).std() < 20 / np.sqrt(65) * 1.25


def test_no_tumour_is_said_to_be_none() -> None:
    grid = turned(0.0, (3.0, 1.0, 1.0))
    with pytest.raises(NoTumourError, match="No tumour is treated"):
        region_of(np.zeros(grid.shape, bool), grid)


@pytest.mark.parametrize("step", [1.0, 2.0, 1.37])
def test_cubes_are_refined_as_a_resampling_does_it(step: float) -> None:
    cubes = centred_grid(np.array([3.0, 5.0, -7.0]), (8, 16, 12), MAP_MM)
    # some of it beyond the cubes, and no voxel just on a face of theirs
    grid = centred_grid(np.array([1.4, 4.1, -11.3]), (70, 75, 60), step)
    maps = np.random.default_rng(1).standard_normal((2, *cubes.shape)).astype(np.float32)
    expected = np.stack([resample(one, cubes, grid, "linear", 0.0) for one in maps])
    assert (expected == 0).any()
    found = Refined.of(cubes, grid)(maps)
    assert np.allclose(found, expected, atol=1e-5)
    box = (slice(30, 39), slice(0, 75), slice(27, 28))
    assert np.allclose(Refined.of(cubes, grid, box)(maps[0]), expected[0][box], atol=1e-5)


def test_cubes_are_refined_along_their_axes_alone() -> None:
    cubes = centred_grid(np.zeros(3), (8, 8, 8), MAP_MM)
    for grid in (turned(0.01, (1.0, 1.0, 1.0)), Geometry((8, 8, 8), cubes.affine[:, [1, 0, 2, 3]])):
        with pytest.raises(GeometryMismatchError, match="same axes"):
            Refined.of(cubes, grid)
