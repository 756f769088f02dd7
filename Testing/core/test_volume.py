"""Geometry, volumes and labels: what they refuse, and that indices and millimetres agree."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import example, given, settings
from hypothesis import strategies as st

from MeWMLib.core.errors import GeometryError, GeometryMismatchError, LabelError, NotCTError
from MeWMLib.core.io import image_of, to_sitk
from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume, require_same_geometry


def turned(degrees=25.0, spacing=(0.7, 0.8, 2.5), shape=(5, 6, 7)) -> Geometry:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.diag(np.array(spacing) * [-1, -1, 1])
    affine[:3, 3] = (11, -22, 33)
    return Geometry(shape, affine)


def with_affine(change) -> np.ndarray:
    affine = np.eye(4)
    change(affine)
    return affine


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((4, 4), np.eye(4), "three sizes"),
        ((4, 0, 4), np.eye(4), "three sizes"),
        ((4, 4, 4), np.eye(3), "4 x 4"),
        ((4, 4, 4), with_affine(lambda a: a.__setitem__((0, 0), np.nan)), "finite"),
        ((4, 4, 4), with_affine(lambda a: a.__setitem__((0, 0), 0.0)), "zero or absurd"),
        ((4, 4, 4), with_affine(lambda a: a.__setitem__((2, 2), 25.0)), "zero or absurd"),
        ((4, 4, 4), with_affine(lambda a: a.__setitem__((0, 1), 0.2)), "sheared"),
    ],
)
def test_unusable_grids_are_refused(shape, affine, message):
    with pytest.raises(GeometryError, match=message):
        Geometry(shape, affine)


def test_spacing_and_volume_are_in_array_order():
    assert turned().spacing == pytest.approx((2.5, 0.8, 0.7))
    assert turned().voxel_ml == pytest.approx(2.5 * 0.8 * 0.7 / 1000)
    with pytest.raises(ValueError, match="read-only"):
        turned().affine[0, 0] = 2


def test_indices_and_millimetres_agree_with_itk():
    geometry = turned()
    image = to_sitk(Volume(np.zeros(geometry.shape, np.int16), geometry))
    for kji in ((0, 0, 0), (4, 5, 6), (1.5, 2.25, 3.75)):
        lps = np.array(image.TransformContinuousIndexToPhysicalPoint([float(v) for v in kji[::-1]]))
        assert np.allclose(geometry.to_ras(kji), lps * (-1, -1, 1))
        assert np.allclose(geometry.to_kji(geometry.to_ras(kji)), kji)
    assert isinstance(image, sitk.Image)


#: The diagonal is a spacing; all else of an upright grid can be what arithmetic leaves of 0.
OFF_DIAGONAL = [(row, column) for row in range(3) for column in range(3) if row != column]
NOTHING = st.floats(-1e-13, 1e-13, allow_subnormal=True)


@settings(max_examples=60, deadline=None)
@given(
    left=st.dictionaries(st.sampled_from(OFF_DIAGONAL), NOTHING, min_size=1),
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3),
)
@example(left={(0, 1): 2.2250738585e-313}, order=[0, 1, 2], signs=(1.0, 1.0, 1.0))
@example(left={(0, 1): 2.2250738585e-313, (1, 0): -2.2250738585e-313}, order=[0, 1, 2], signs=(-1.0, -1.0, 1.0))
@example(left={(0, 2): 5e-324}, order=[1, 0, 2], signs=(1.0, -1.0, 1.0))
def test_what_arithmetic_left_of_a_direction_reaches_no_library(left, order, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.diag(np.array([0.8, 0.9, 2.5]) * signs)
    for place, value in left.items():
        affine[place] = value
    affine[:3, :3] = affine[:3, order]
    grid = Geometry((4, 5, 6), affine)
    assert np.allclose(grid.affine, affine, rtol=0, atol=1e-12)
    assert np.count_nonzero(grid.affine[:3, :3]) == 3
    volume = Volume(np.arange(120, dtype=np.float32).reshape(4, 5, 6), grid)
    same = Geometry((4, 5, 6), np.where(np.abs(affine) < 0.1, 0, affine))
    again = sitk.Resample(
        to_sitk(volume), image_of(np.zeros((4, 5, 6), np.float32), same), sitk.Transform(), sitk.sitkLinear, -1.0
    )
    assert np.array_equal(sitk.GetArrayFromImage(again), volume.array)


@pytest.mark.parametrize("place", OFF_DIAGONAL)
@pytest.mark.parametrize("degrees", [1e-9, 1e-4])
def test_the_smallest_turns_that_mean_something_stay(place, degrees):
    affine = np.eye(4)
    affine[place] = np.radians(degrees)
    assert Geometry((4, 5, 6), affine).affine[place] == affine[place]


def test_a_crop_keeps_every_voxel_in_its_place():
    geometry = turned()
    inside = geometry.crop((1, 2, 3), (2, 3, 4))
    assert inside.shape == (2, 3, 4) and np.allclose(inside.to_ras((1, 1, 1)), geometry.to_ras((2, 3, 4)))
    outside = geometry.crop((-3, -3, -3), (20, 20, 20))
    assert np.allclose(outside.to_ras((3, 3, 3)), geometry.to_ras((0, 0, 0)))


@pytest.mark.parametrize("entry", [(0, 0), (1, 1), (2, 2), (0, 3), (1, 3), (2, 3)])
def test_any_difference_of_the_grid_is_seen(entry):
    changed = np.array(turned(0.0).affine)
    changed[entry] += 0.03
    other = Geometry(turned(0.0).shape, changed)
    assert turned(0.0).same_as(turned(0.0)) and not turned(0.0).same_as(other)
    with pytest.raises(GeometryMismatchError, match="Resample"):
        require_same_geometry(turned(0.0), other)


def test_shape_and_direction_are_seen_and_rounding_is_not():
    assert not turned().same_as(turned(shape=(5, 6, 8)))
    assert not turned(0.0).same_as(turned(0.5))
    changed = np.array(turned().affine)
    changed[0, 3] += 0.001
    assert turned().same_as(Geometry(turned().shape, changed))
    assert "7 x 6 x 5 voxels of 0.7 x 0.8 x 2.5 mm" in turned().describe()


def test_volumes_refuse_what_is_no_ct():
    geometry = turned()
    with pytest.raises(GeometryMismatchError):
        Volume(np.zeros((5, 6, 6), np.int16), geometry)
    for dtype in (bool, complex, "U1"):
        with pytest.raises(NotCTError, match="numbers"):
            Volume(np.zeros(geometry.shape, dtype), geometry)
    for bad in (np.nan, np.inf):
        array = np.zeros(geometry.shape, np.float32)
        array[1, 2, 3] = bad
        with pytest.raises(NotCTError, match="1 NaN or infinite"):
            Volume(array, geometry)
    with pytest.raises(NotCTError, match="phase"):
        Volume(np.zeros(geometry.shape), geometry, "venous")


def test_with_array_keeps_the_mark():
    mark = Provenance("Cisplatin + Lipiodol", 1, "b", "0" * 64)
    volume = Volume(np.zeros(turned().shape), turned(), "portal")
    assert volume.with_array(volume.array).simulated is None
    simulated = volume.with_array(volume.array + 1, mark)
    assert simulated.simulated is mark and simulated.with_array(volume.array).simulated is mark
    assert simulated.phase == "portal" and mark.to_json()["simulated"] is True


def test_labels_refuse_other_values_types_and_sizes():
    geometry = turned()
    with pytest.raises(GeometryMismatchError):
        LabelMap(np.zeros((5, 6, 6), np.uint8), geometry)
    with pytest.raises(LabelError, match="uint8"):
        LabelMap(np.zeros(geometry.shape, np.int16), geometry)
    with pytest.raises(LabelError, match="values 3"):
        LabelMap(np.full(geometry.shape, 3, np.uint8), geometry)
    array = np.zeros(geometry.shape, np.uint8)
    array[0], array[1] = 1, 2
    labels = LabelMap(array, geometry)
    assert labels.liver.sum() == 84 and labels.tumour.sum() == 42
    assert labels.with_array(array * 0).geometry is geometry
