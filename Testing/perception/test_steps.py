"""Each step goes there and back: exact where it can be, bounded where it interpolates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.findings import dice
from MeWMLib.perception.steps import HU, LABELS, Chain, Crop, Resample, Turn, Window, cohort_chain, network_chain


def grid(order=(0, 1, 2), signs=(1, 1, 1), shape=(20, 24, 28), spacing=(3.0, 0.8, 1.1), degrees=0.0) -> Geometry:
    """Grid whose array axes run along the RAS axes in `order` with `signs`, turned a little about superior."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis in range(3):
        affine[order[axis], 2 - axis] = signs[axis] * spacing[axis]
    affine[:3, :3] = turn @ affine[:3, :3]
    affine[:3, 3] = (12, -7, 90)
    return Geometry(shape, affine)


def scan(geometry: Geometry) -> np.ndarray:
    return np.random.default_rng(0).integers(-1000, 1000, geometry.shape).astype(np.int16)


ALL = [(o, s) for o in itertools.permutations(range(3)) for s in itertools.product((1, -1), repeat=3)]


@pytest.mark.parametrize(("order", "signs"), ALL)
def test_a_turn_reaches_lps_from_every_orientation_and_comes_back(order, signs):
    geometry = grid(order, signs, degrees=8.0)
    turn, array = Turn.to_lps(geometry), scan(geometry)
    there = turn.forward(array, HU)
    assert there.shape == turn.target.shape and np.array_equal(turn.back(there, HU), array)
    i, j, k = turn.target.affine[:3, :3].T
    assert i[0] < 0 and abs(i[0]) > abs(i[1]) and j[1] < 0 and k[2] > 0
    for place in ((0, 0, 0), (3, 5, 7), (19, 23, 27)):  # the same voxel lies at the same place of the patient
        found = turn.target.to_kji(geometry.to_ras(place))
        assert there[tuple(np.round(found).astype(int))] == array[place] and np.allclose(found, np.round(found))


def test_a_crop_comes_back_into_its_place():
    geometry = grid()
    array = scan(geometry)
    crop = Crop(geometry, (2, 3, 4), (10, 11, 12))
    back = crop.back(crop.forward(array, HU), HU)
    assert np.array_equal(back[2:12, 3:14, 4:16], array[2:12, 3:14, 4:16])
    assert (back == -1024).sum() == array.size - 10 * 11 * 12
    assert crop.back(np.ones((10, 11, 12), np.uint8), LABELS).sum() == 10 * 11 * 12
    mask = np.zeros(geometry.shape, bool)
    mask[10, 12, 14] = True
    around = Crop.around(mask, geometry, 4.0)
    assert around.start == (8, 7, 10) and around.shape == (5, 11, 9)
    assert Crop.around(~mask, geometry, 4.0).shape == geometry.shape
    assert Crop.around(mask & False, geometry, 4.0).shape == geometry.shape
    for start, shape in (((-1, 0, 0), (2, 2, 2)), ((0, 0, 0), (21, 2, 2)), ((0, 0, 0), (0, 2, 2))):
        with pytest.raises(InputError, match="outside"):
            Crop(geometry, start, shape)


def test_the_window_is_exact_inside_itself():
    geometry = grid()
    window, array = Window(geometry), scan(geometry)
    back = window.back(window.forward(array, HU), HU)
    inside = (array >= -175) & (array <= 600)
    assert np.abs(back - array)[inside].max() < 1e-3 and back.min() == -175 and back.max() == 600
    assert window.forward(array, LABELS) is array


@pytest.mark.parametrize("make", [cohort_chain, network_chain])
@pytest.mark.parametrize("signs", [(1, -1, -1), (-1, 1, -1)])
def test_smooth_scans_and_labels_come_back_through_both_chains(make, signs):
    geometry = grid(signs=signs, shape=(40, 60, 60), spacing=(2.5, 1.4, 1.4), degrees=5.0)
    ras = geometry.to_ras(np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1))
    middle = geometry.to_ras((np.array(geometry.shape) - 1) / 2)
    ramp = (((ras - middle) @ (1.0, -2.0, 1.5)) + 100).astype(np.float32)  # linear: interpolation is exact inside
    chain = make(geometry)
    there = chain.forward(ramp)
    assert there.shape == chain.target.shape and chain.source is geometry
    back = chain.back(there)
    inner = (slice(4, -4),) * 3
    wanted = np.clip(ramp, -175, 600) if make is network_chain else ramp
    # at the borders of the window the clipped ramp is not linear; nowhere else may anything change
    flat = (ramp[inner] > -160) & (ramp[inner] < 585)
    assert np.abs(back - wanted)[inner][flat].max() < 0.1
    ball = np.linalg.norm(ras - middle, axis=-1) < 22
    labels = chain.forward(ball.astype(np.uint8), LABELS)
    found = chain.labels_back(labels)
    assert isinstance(found, LabelMap) and found.geometry is geometry and dice(found.array > 0, ball) > 0.96
    spacing = (3.0, 0.8, 0.8) if make is cohort_chain else (1.0, 1.0, 1.0)
    assert chain.target.spacing == pytest.approx(spacing)


def test_a_region_is_cropped_and_found_again():
    geometry = grid(shape=(40, 60, 60), spacing=(2.5, 1.4, 1.4))
    region = np.zeros(geometry.shape, bool)
    region[10:20, 20:30, 25:40] = True
    chain = network_chain(Volume(scan(geometry), geometry), region, margin_mm=10)
    assert np.prod(chain.target.shape) < 0.3 * np.prod(network_chain(geometry).target.shape)
    whole = chain.labels_back(chain.forward(region.astype(np.uint8), LABELS))
    assert dice(whole.array > 0, region) > 0.97


def test_steps_must_fit():
    geometry = grid()
    with pytest.raises(GeometryMismatchError, match="does not begin"):
        Chain((Crop(geometry, (0, 0, 0), (4, 4, 4)), Resample(geometry, geometry)))
