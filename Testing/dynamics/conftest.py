"""A map model with weights by chance, and a region for it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MeWMLib.core.volume import centred_grid
from MeWMLib.dynamics.map_model import EncodedRegion, MapModel
from MeWMLib.dynamics.map_network import MapNetwork


@pytest.fixture(scope="session")
def map_model(map_network: MapNetwork) -> MapModel:
    return MapModel(map_network, torch.device("cpu"), mixed=False)


@pytest.fixture(scope="session")
def region(map_model: MapModel) -> EncodedRegion:
    """A ball of 24 mm in a liver that fills the region."""
    grid = centred_grid(np.zeros(3), (24, 24, 24), 4.0)
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), -1)
    tumour = np.clip(6.5 - np.linalg.norm(index - 11.5, axis=-1), 0, 1).astype(np.float32)
    hu = (110 - 40 * tumour + 3 * np.random.default_rng(0).standard_normal(grid.shape)).astype(np.float32)
    return map_model.encode(hu, tumour, np.ones_like(tumour), grid)
