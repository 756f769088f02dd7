"""Where pictures look: at the lesion that is treated."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.scene.target import find_target


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
