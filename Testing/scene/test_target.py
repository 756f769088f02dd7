"""Where pictures look: at the lesion that is treated."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.scene.framing import black_share, framing_of
from MeWMLib.scene.target import find_target
from MeWMLib.scene.views import AXIAL, CORONAL, SAGITTAL


@pytest.fixture
def two() -> LabelMap:
    """A large and a small lesion."""
    array = np.ones((20, 30, 40), np.uint8)
    array[4:12, 4:12, 4:12] = 2
    array[14:17, 20:23, 30:33] = 2
    return LabelMap(array, Geometry(array.shape, np.diag([-2.0, -2.0, 3.0, 1.0])))


def test_the_largest_lesion_or_the_one_that_is_near(two: LabelMap) -> None:
    large = two.geometry.to_ras(np.array([7.5, 7.5, 7.5]))
    small = two.geometry.to_ras(np.array([15, 21, 31]))
    assert find_target(two).centre == pytest.approx(large, abs=3.1)
    assert find_target(two, small).centre == pytest.approx(small) and find_target(two, small).lesion_mm == 9.0
    assert find_target(two, large).centre == find_target(two).centre
    away = small + np.array([-30.0, 0.0, 40.0])  # outside of any lesion: the nearest
    assert find_target(two, away).centre == pytest.approx(small)


def test_the_axial_slice_is_that_of_the_longest_diameter() -> None:
    array = np.ones((20, 30, 40), np.uint8)
    array[4:14, 10:16, 10:16] = 2  # the centroid is in slice 8 or 9
    array[12, 10:16, 10:30] = 2  # and the longest diameter in slice 12, from i = 10 to 29
    labels = LabelMap(array, Geometry(array.shape, np.diag([-2.0, -2.0, 3.0, 1.0])))
    k, j, i = labels.geometry.to_kji(np.array(find_target(labels).centre))
    assert k == pytest.approx(12) and (j, i) == (pytest.approx(12.5, abs=1), pytest.approx(19.5, abs=1))


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL])
def test_no_picture_is_a_quarter_black_and_the_lesion_is_inside(two: LabelMap, orientation: str) -> None:
    ct = np.where(two.array == 2, 60, 110).astype(np.int16)
    ct[:, :, 14:] = -1000  # air beside all of the large lesion's surroundings
    volume, target = Volume(ct, two.geometry), find_target(two)
    framing = framing_of(target, volume, orientation)
    whole = target.liver_framing(orientation)
    if orientation != SAGITTAL:  # in which the air is not seen
        assert black_share(volume, whole) > 0.5
    assert black_share(volume, framing) < black_share(volume, whole) or black_share(volume, whole) <= 0.22
    off = np.abs(np.subtract(framing.centre_ras_mm, target.centre))
    assert (off <= framing.width_mm / 2).all()
    # a body without air is shown as far as the liver goes
    assert framing_of(target, Volume(np.full_like(ct, 50), two.geometry), orientation).width_mm <= whole.width_mm
