"""Maps as channels and back."""

from __future__ import annotations

import numpy as np
import torch

from MeWMLib.core.coarse_maps import CELL
from MeWMLib.dynamics.appearance import features
from MeWMLib.dynamics.map_channels import (
    SEEN,
    drawn_channels,
    maps_of,
    patient_appearance,
    patient_channels,
    to_cells,
    to_cubes,
)

RNG = np.random.default_rng(0)
SHAPE = (8, 8, 12)


def test_cells_hold_their_own_cubes() -> None:
    maps = torch.from_numpy(RNG.standard_normal((2, 3, *SHAPE))).float()
    cells = to_cells(maps)
    assert cells.shape == (2, 3 * CELL**3, 4, 4, 6)
    assert torch.equal(to_cubes(cells), maps)
    assert set(cells[1, :8, 1, 2, 3].tolist()) == set(maps[1, 0, 2:4, 4:6, 6:8].flatten().tolist())


def test_what_is_drawn_comes_back() -> None:
    tumour = torch.from_numpy(RNG.random((1, *SHAPE))).float()
    after = tumour * 0.8
    viable, change = after * 0.4, 30 * torch.randn((1, *SHAPE), generator=torch.Generator().manual_seed(0))
    iodine = torch.from_numpy(RNG.exponential(2.0, (1, *SHAPE))).float()
    drawn = drawn_channels(viable, after, change, iodine, tumour)
    for found, given in zip(maps_of(drawn, tumour), (viable, after, change, iodine), strict=True):
        assert torch.allclose(found, given, atol=1e-4)


def test_shares_stay_shares_and_viable_tumour_is_tumour() -> None:
    drawn = 5 * torch.randn((1, 5, *SHAPE), generator=torch.Generator().manual_seed(1))
    tumour = torch.zeros((1, *SHAPE))
    viable, after, _, iodine = maps_of(drawn, tumour)
    assert 0 <= float(viable.min()) <= float(after.max()) <= 1
    assert (viable <= after).all()
    assert float(iodine.min()) >= 0
    assert torch.isfinite(iodine).all()


def test_contrast_is_that_to_the_liver_of_the_scan() -> None:
    tumour = np.zeros(SHAPE, np.float32)
    tumour[2:5, 2:5, 2:5] = 1
    liver = np.ones(SHAPE, np.float32)
    hu = np.full(SHAPE, 100, np.float32) - 30 * tumour
    one, other = (patient_channels(h, tumour, liver) for h in (hu, hu + 40))
    assert one.shape == (SEEN, *SHAPE)
    assert np.allclose(one[1], other[1])
    assert not np.allclose(one[0], other[0])
    assert one[4].max() > 0
    assert (one[4][tumour == 0] == 0).all()


def test_the_appearance_is_finite_even_of_a_single_cube() -> None:
    tumour = np.zeros(SHAPE, np.float32)
    tumour[3, 3, 3] = 0.3
    looks = patient_appearance(np.full(SHAPE, 90.0), tumour, np.ones(SHAPE, np.float32))
    assert looks.shape == (features(1),)
    assert np.isfinite(looks).all()
