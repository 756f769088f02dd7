"""A territory where none was stated: samples draw one, as the patients of the training had it."""

from __future__ import annotations

import numpy as np

from MeWMLib.core.coarse_maps import MAP_MM, FloatArray

#: How often the whole region is fed; else one side of a plane so many radii from the tumour's middle at most.
WHOLE, OFF_RADII = 0.4, 0.8
#: Over how many mm the border fades.
SOFT_MM = 3.0
#: Territories whose mean stands for all.
MANY = 16


def drawn_territory(tumour: FloatArray, seed: int) -> FloatArray:
    """Share (d, h, w) of each cube that is fed, by chance; the same for one seed and tumour.

    Args:
        tumour: (d, h, w) share of tumour in each cube.
        seed: of the replica, so that protocols that are compared are given into the same artery.
    """
    rng = np.random.default_rng([seed & 0xFFFFFFFF, 0xFED])
    whole, way, off = rng.random() < WHOLE, rng.standard_normal(3), rng.uniform(-OFF_RADII, OFF_RADII)
    if whole or not (tumour > 0).any():
        return np.ones(tumour.shape, np.float32)
    way /= np.linalg.norm(way)
    total = float(tumour.sum())
    grids = np.meshgrid(*map(np.arange, tumour.shape), indexing="ij", sparse=True)
    middle = [float((tumour * g).sum()) / total for g in grids]
    radius = (0.75 / np.pi * total) ** (1 / 3)
    away = sum(w * (g - m) for w, g, m in zip(way, grids, middle, strict=True)) - off * radius
    return np.asarray(0.5 + 0.5 * np.tanh(MAP_MM * away / SOFT_MM), np.float32)


def mean_territory(tumour: FloatArray) -> FloatArray:
    """Share (d, h, w) of each cube that is fed on average over many drawn territories, whose seeds are fixed."""
    return np.asarray(np.mean([drawn_territory(tumour, seed) for seed in range(MANY)], axis=0), np.float32)
