"""Grains keep the iodine of their map, lie where it allows them, and follow from the seed."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.errors import InputError
from MeWMLib.rendering.grains import GrainConstants, Grains, draw_grains, iodine_in_voxels, spread_grains

LATTICE = tuple(np.arange(-30.0, 31.0, 3.0) for _ in range(3))
CONSTANTS = GrainConstants()


def ball(radius: float = 15.0) -> np.ndarray:
    z, y, x = np.meshgrid(*LATTICE, indexing="ij")
    return (z**2 + y**2 + x**2 < radius**2).astype(np.float32)


def drawn(density: np.ndarray, seed: int = 0, constants: GrainConstants = CONSTANTS) -> Grains:
    along = np.zeros((*density.shape, 3), np.float32)
    along[..., 1] = 1
    return draw_grains(density, LATTICE, along, constants, np.random.default_rng(seed))


def scanner(spacing: tuple[float, float, float] = (2.5, 0.7, 0.7), half: float = 45.0) -> tuple[np.ndarray, ...]:
    return tuple(np.arange(-half, half, s) for s in spacing)


@pytest.mark.parametrize("spacing", [(2.5, 0.7, 0.7), (1.0, 0.6, 0.9), (5.0, 0.8, 0.8), (1.0, 1.0, 1.0)])
def test_iodine_is_kept_from_the_map_to_the_image(spacing: tuple[float, float, float]) -> None:
    density = 2.0 * ball()
    expected = density.sum() * 27 / 1000
    grains = drawn(density)
    assert grains.mg.sum() == pytest.approx(expected, rel=1e-6)
    image = spread_grains(grains, scanner(spacing), (1.0, 0.5, 0.5))
    assert image.min() >= 0
    assert image.sum(dtype=np.float64) * np.prod(spacing) / 1000 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_grain_is_a_gaussian_at_its_place(flipped: bool) -> None:
    """Mean and variance of the image are those of the grain and the point spread, by moments."""
    places = scanner((1.0, 0.5, 0.5), 12.0)
    if flipped:
        places = (places[0], places[1][::-1], places[2][::-1])
    one = Grains(np.array([[1.3, -2.1, 3.4]]), np.array([5.0]), np.array([0.8]))
    image = spread_grains(one, places, (0.9, 0.6, 0.6)).astype(np.float64)
    grids = np.meshgrid(*places, indexing="ij")
    for axis, (grid, spread) in enumerate(zip(grids, (0.9, 0.6, 0.6), strict=True)):
        middle = (grid * image).sum() / image.sum()
        assert middle == pytest.approx(one.place[0, axis], abs=0.02)
        variance = ((grid - middle) ** 2 * image).sum() / image.sum()
        assert variance == pytest.approx(0.8**2 + spread**2, rel=0.12)


def test_the_part_of_a_grain_beyond_the_border_is_lost() -> None:
    places = scanner((1.0, 1.0, 1.0), 10.0)
    on_border = Grains(np.array([[-10.5, 0.0, 0.0]]), np.array([1.0]), np.array([1.0]))
    far = Grains(np.array([[-40.0, 0.0, 0.0]]), np.array([1.0]), np.array([1.0]))
    assert spread_grains(on_border, places, (0.5,) * 3).sum() / 1000 == pytest.approx(0.5, abs=0.05)
    assert spread_grains(far, places, (0.5,) * 3).sum() == 0
    assert spread_grains(Grains.none(), places, (0.5,) * 3).sum() == 0


def test_grains_lie_where_iodine_is_expected() -> None:
    density = ball(12.0)
    density[:10] = 0
    grains = drawn(density, 3)
    # the middle of a grain lies in a voxel of the map; voxels reach half a step beyond their middle
    index = tuple(np.rint((grains.place[:, n] + 30) / 3).astype(int) for n in range(3))
    assert len(grains.mg) > 100 and (density[index] > 0).all()


def test_the_seed_decides_and_nothing_else() -> None:
    one, two, other = drawn(ball(), 1), drawn(ball(), 1), drawn(ball(), 2)
    assert np.array_equal(one.place, two.place) and np.array_equal(one.mg, two.mg)
    assert len(one.mg) != len(other.mg) or not np.array_equal(one.place, other.place)


def test_pieces_are_stretched_along_the_vessels() -> None:
    density = np.zeros((21, 21, 21), np.float32)
    density[10, 10, 10] = 500.0
    constants = replace(CONSTANTS, piece_mm=6.0, across_mm=0.3, haze=0.0)
    along = np.zeros((21, 21, 21, 3), np.float32)
    along[..., 1] = 1
    allowed = np.ones(density.shape, np.float32)
    place = draw_grains(density, LATTICE, along, constants, np.random.default_rng(0), allowed).place
    assert place[:, 1].std() > 1.5 * max(place[:, 0].std(), place[:, 2].std())


def test_deposits_are_clustered_and_heavy_tailed() -> None:
    """Against as many grains of one mass at random places: more blobs hang together, and the brightest are brighter."""
    grains = drawn(4.0 * ball(), 5)
    rng = np.random.default_rng(0)
    start = rng.uniform(-15, 15, (20 * len(grains.mg), 3))
    start = start[(start**2).sum(1) < 225][: len(grains.mg)]
    even = Grains(start, np.full(len(start), grains.mg.sum() / len(start)), np.full(len(start), 0.6))
    images = [26 * spread_grains(g, scanner(half=20), (1.0, 0.5, 0.5)) for g in (grains, even)]
    assert images[0].max() > 2 * images[1].max()
    sizes = [np.bincount(ndimage.label(i > 300)[0].ravel())[1:] for i in images]
    assert sizes[0].max() > 3 * sizes[1].max(initial=0)


def test_coarse_voxels_hold_the_iodine_of_their_grains() -> None:
    grains = Grains(
        np.array([[0.0, 0, 0], [0.4, 0, 0], [8.0, 0, 0], [99.0, 0, 0]]), np.array([1.0, 2, 4, 8]), np.ones(4)
    )
    places = tuple(np.arange(-8.0, 9.0, 4.0) for _ in range(3))
    found = iodine_in_voxels(grains, places) * 64 / 1000
    assert found[2, 2, 2] == pytest.approx(3) and found[4, 2, 2] == pytest.approx(4) and found.sum() == pytest.approx(7)


@pytest.mark.parametrize("wrong", [-0.5, np.nan, np.inf])
def test_impossible_maps_are_refused(wrong: float) -> None:
    density = ball()
    density[0, 0, 0] = wrong
    with pytest.raises(InputError, match="map of iodine"):
        drawn(density)
    with pytest.raises(InputError, match="do not belong together"):
        drawn(ball()[1:])
    assert len(drawn(0 * ball()).mg) == 0
