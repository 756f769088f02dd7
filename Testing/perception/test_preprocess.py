"""Grids and resampling, against SimpleITK and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core.errors import NoTumourError
from MeWMLib.core.io import to_sitk
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception import preprocess as pre


def oblique(shape=(20, 30, 40), spacing=(3.0, 0.8, 0.8), degrees=15.0) -> Geometry:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag(np.array(spacing[::-1]) * [-1, -1, 1])
    affine[:3, 3] = (12, -7, 90)
    return Geometry(shape, affine)


def ball(geometry: Geometry, radius: float, centre=None) -> np.ndarray:
    grid = np.stack(np.meshgrid(*map(np.arange, geometry.shape), indexing="ij"), -1)
    ras = geometry.to_ras(grid)
    middle = geometry.to_ras((np.array(geometry.shape) - 1) / 2) if centre is None else np.asarray(centre)
    return np.linalg.norm(ras - middle, axis=-1) <= radius


def test_resampling_a_ramp_is_exact_and_rounds():
    source = oblique()
    grid = np.stack(np.meshgrid(*map(np.arange, source.shape), indexing="ij"), -1)
    ramp = source.to_ras(grid) @ (1.0, 2.0, -3.0)
    affine = np.array(source.crop((6, 9, 12), (9, 8, 7)).affine)
    affine[:3, 3] += (0.3, -0.2, 0.4)
    target = Geometry((9, 8, 7), affine)
    truth = target.to_ras(np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1)) @ (1.0, 2.0, -3.0)
    assert np.allclose(pre.resample(ramp, source, target), truth, atol=1e-3)
    whole = np.random.default_rng(0).integers(-1000, 1000, source.shape).astype(np.int16)
    rounded, exact = pre.resample(whole, source, target), pre.resample(whole.astype(np.float64), source, target)
    assert rounded.dtype == np.int16
    assert np.abs(rounded - exact).max() <= 0.501 and abs((rounded - exact).mean()) < 0.05  # rounded, not cut off


def test_resampling_agrees_with_simpleitk_and_fills():
    source, rng = oblique(), np.random.default_rng(0)
    volume = Volume(rng.normal(size=source.shape).astype(np.float32), source)
    target = pre.isotropic_geometry(source, 1.5)
    reference = to_sitk(Volume(np.zeros(target.shape, np.int16), target))
    truth = sitk.Resample(to_sitk(volume), reference, sitk.Transform(), sitk.sitkLinear, -1024.0, sitk.sitkFloat32)
    ours = pre.resample_volume(volume, target)
    assert np.allclose(ours.array, sitk.GetArrayFromImage(truth), atol=1e-4)
    assert ours.array.min() == -1024
    mask = pre.resample(np.ones(source.shape, bool), source, target, "nearest")
    assert mask.dtype == bool and not mask.all() and mask.any()
    with pytest.raises(KeyError):
        pre.resample(volume.array, source, target, "cubic")


def test_the_isotropic_grid_covers_all_and_has_lps_axes():
    source = oblique()
    target = pre.isotropic_geometry(source)
    assert np.array_equal(target.affine[:3, :3], np.diag([-1.0, -1.0, 1.0]))
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in source.shape], indexing="ij"), -1).reshape(-1, 3)
    inside = target.to_kji(source.to_ras(corners))
    assert (inside > -0.51).all() and (inside < np.array(target.shape) - 0.49).all()
    straight = Geometry((10, 20, 30), np.diag([2.0, 0.5, 3.0, 1.0]))  # flipped in x and y
    assert pre.isotropic_geometry(straight).shape == (30, 10, 60)


@pytest.mark.parametrize("degrees", [0.0, 15.0])
def test_labels_come_back(degrees):
    source = oblique(degrees=degrees)
    labels = LabelMap(ball(source, 10).astype(np.uint8), source)
    fine = pre.isotropic_geometry(source, 0.4)
    there = LabelMap(pre.resample(labels.array, source, fine, "nearest", 0), fine)
    back = pre.to_source(there, source)
    assert back.geometry is source
    assert (back.array != labels.array).mean() < 2e-3


@pytest.mark.parametrize("degrees", [0.0, 15.0])
def test_the_patch_is_centred_on_the_largest_lesion(degrees):
    source = oblique(shape=(40, 90, 90), spacing=(2.0, 1.0, 1.0), degrees=degrees)
    target, other = source.to_ras((20, 40, 40)), source.to_ras((20, 75, 75))
    array = (2 * (ball(source, 15, target) | ball(source, 6, other))).astype(np.uint8)
    patch = pre.patch_geometry(LabelMap(array, source))
    assert patch.shape == (96, 96, 96) and np.array_equal(patch.affine[:3, :3], np.diag([-1.0, -1.0, 1.0]))
    assert np.abs(patch.to_ras((47.5, 47.5, 47.5)) - target).max() < 1.1


def test_the_voxels_of_the_patch_grow_with_a_large_lesion():
    source = Geometry((60, 100, 100), np.diag([-2.0, -2.0, 3.0, 1.0]))
    array = np.zeros(source.shape, np.uint8)
    array[5:55, 10:30, 10:20] = 2  # 150 x 40 x 20 mm
    patch = pre.patch_geometry(LabelMap(array, source))
    assert patch.spacing == pytest.approx((150 / 80,) * 3)
    low, high = patch.to_kji(source.to_ras([[5, 29, 19], [54, 10, 10]]))
    assert min(*low, *high) > 0 and max(*low, *high) < 95
    array[:] = 0
    array[30, 50, 50] = 2
    assert pre.patch_geometry(LabelMap(array, source)).spacing == (1.0, 1.0, 1.0)
    two = pre.patch_geometry(LabelMap(array + np.roll(array, 1, 2), source))  # two voxels are no box of corners
    assert np.allclose(two.to_ras((47.5,) * 3), (-101, -100, 90))


def test_no_tumour():
    with pytest.raises(NoTumourError):
        pre.patch_geometry(LabelMap(np.ones((4, 4, 4), np.uint8), Geometry((4, 4, 4), np.eye(4))))
