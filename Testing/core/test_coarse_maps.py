"""Coarse maps: their grid, and what they say of Lipiodol."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.coarse_maps import SEEN_HU, OutcomeMaps, seen_hu
from MeWMLib.core.errors import GeometryError
from MeWMLib.core.volume import centred_grid

GRID = centred_grid(np.zeros(3), (3, 4, 5), 4.0)


def maps(**other: np.ndarray) -> OutcomeMaps:
    none = np.zeros(GRID.shape, np.float32)
    return OutcomeMaps(**({"viable": none, "tumour": none, "change": none, "iodine": none} | other), geometry=GRID)


def test_lipiodol_is_the_iodine_at_480_mg_a_ml() -> None:
    iodine = np.zeros(GRID.shape, np.float32)
    iodine[1, 1, 1] = 30.0  # mg/ml in a cube of 0.064 ml
    assert maps(iodine=iodine).lipiodol_ml == pytest.approx(30 * 0.064 / 480)


def test_a_map_of_another_shape_is_refused() -> None:
    with pytest.raises(GeometryError, match="differ"):
        maps(iodine=np.zeros((3, 4, 6), np.float32))


def test_lung_and_bone_are_seen_at_the_ends() -> None:
    assert seen_hu(np.array([-900.0, 60.0, 1200.0])).tolist() == [SEEN_HU[0], 60.0, SEEN_HU[1]]
