"""Putting a simulated patch back: nothing but the dilated tumour may change."""

import numpy as np
import pytest
from scipy import ndimage

from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume
from MeWMLib.dynamics.compose import DILATION_MM, compose, feather

PROVENANCE = Provenance("Cisplatin + Lipiodol", 3, "test", "0" * 64, {})


def grid(kind: str) -> Geometry:
    shape = (30, 44, 40)
    if kind == "axial":
        return Geometry(shape, np.diag([-1.5, -1.5, 2.5, 1.0]))
    angle = np.deg2rad(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([1.2, -1.2, 3.0 if kind == "oblique" else -3.0])
    affine[:3, 3] = [12, -7, 30]
    return Geometry(shape, affine)


def case(kind: str, dtype: type = np.int16) -> tuple[Volume, LabelMap, Geometry]:
    geometry = grid(kind)
    rng = np.random.default_rng(0)
    ct = Volume(rng.normal(60, 200, geometry.shape).astype(dtype), geometry, "portal")
    middle = geometry.to_ras((np.array(geometry.shape) - 1) / 2)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in geometry.shape], indexing="ij"), -1)
    distance = np.linalg.norm(geometry.to_ras(index) - middle, axis=-1)
    labels = LabelMap(np.where(distance < 10, 2, 1).astype(np.uint8), geometry)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    affine[:3, 3] = middle + [23.5, 23.5, -23.5]
    return ct, labels, Geometry((48, 48, 48), affine)


@pytest.mark.parametrize("kind", ["axial", "oblique", "left-handed"])
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_outside_the_dilated_tumour_every_voxel_keeps_its_bits(kind: str, dtype: type) -> None:
    ct, labels, patch = case(kind, dtype)
    out = compose(ct, labels, np.full(patch.shape, 150, np.float32), patch, PROVENANCE)
    distance = ndimage.distance_transform_edt(~labels.tumour, sampling=ct.geometry.spacing)
    outside = distance >= DILATION_MM
    assert outside.any() and labels.tumour.any()
    assert out.array.dtype == ct.array.dtype
    assert out.geometry is ct.geometry and out.phase == "portal"
    assert out.array[outside].tobytes() == ct.array[outside].tobytes()
    assert np.allclose(out.array[labels.tumour].astype(float) - ct.array[labels.tumour], 150, atol=0.51)
    assert out.simulated == PROVENANCE and ct.simulated is None


def test_the_change_lands_where_the_patch_says() -> None:
    ct, labels, patch = case("oblique")
    middle = ct.geometry.to_ras((np.array(ct.geometry.shape) - 1) / 2)
    index = np.stack(np.meshgrid(*[np.arange(n) for n in patch.shape], indexing="ij"), -1)
    change = np.where(patch.to_ras(index)[..., 0] > middle[0], 200, 0).astype(np.float32)
    out = compose(ct, labels, change, patch, PROVENANCE)
    where = np.argwhere(labels.tumour)
    right = ct.geometry.to_ras(where)[:, 0] - middle[0]
    difference = (out.array.astype(int) - ct.array)[labels.tumour]
    assert (difference[right > 1.5] == 200).all() and (difference[right < -1.5] == 0).all()


def test_the_weight_falls_from_the_tumour_to_the_rim_and_to_the_faces_of_the_patch() -> None:
    ct, labels, patch = case("axial")
    whole = tuple(slice(0, n) for n in ct.geometry.shape)
    weight = feather(labels, whole, patch)
    assert (weight[labels.tumour] == 1).all()
    small = patch.crop((20, 20, 20), (8, 8, 8))
    inside = feather(labels, whole, small)
    assert inside.max() <= 1 and 0 < (inside > 0).sum() < (weight > 0).sum()


def test_whole_numbers_stay_within_their_type() -> None:
    ct, labels, patch = case("axial")
    high = ct.with_array(np.full(ct.geometry.shape, 32_700, np.int16))
    out = compose(high, labels, np.full(patch.shape, 500, np.float32), patch, PROVENANCE)
    assert out.array.max() == 32_767 and out.array.min() == 32_700


def test_a_patch_outside_the_ct_changes_nothing() -> None:
    ct, labels, patch = case("axial")
    affine = np.array(patch.affine)
    affine[:3, 3] += 500
    out = compose(ct, labels, np.full(patch.shape, 150, np.float32), Geometry(patch.shape, affine), PROVENANCE)
    assert np.array_equal(out.array, ct.array)
