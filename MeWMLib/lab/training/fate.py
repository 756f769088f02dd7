"""Weights of the maps of order and place (`dynamics.maps`): two logistic regressions on encoded training pairs.

A block died or took up Lipiodol if its mean density changed by so much; which of the blocks of a lesion do so first
depends on their depth and their enhancement. The weights are the same for every lesion and every protocol.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.lab.training.latent_cohort import read_arrays

#: Changes of a block's mean, in units of 10 HU: below the first it died, above the second it holds Lipiodol.
DIED, OIL = -2.5, 5.0
#: Fewer blocks than this say nothing.
FEW = 200


def fit_fate(paths: Sequence[Path], ten_hu: float) -> tuple[float, ...]:
    """Weights of depth and enhancement, for death and for Lipiodol (four numbers, each pair of length 1).

    Args:
        paths: encoded patients with outcomes (`training.prepare`).
        ten_hu: of the codec (`Autoencoder.ten_hu`).

    Returns:
        Empty if the patients show no death or no Lipiodol.
    """
    death: list[NDArray[Any]] = []
    oil: list[NDArray[Any]] = []
    for path in paths:
        arrays = read_arrays(path, ("before", "changes", "masks", "responses"))
        before, changes, shares, reached = arrays.values()
        maps = tumour_maps(before[0], shares, ten_hu)
        whole = maps[0] > 0.6
        for change, response in zip(changes, reached, strict=True):
            moved = ten_hu * change[0][whole].astype(np.float32)
            gone = (moved < DIED) | (moved > OIL)
            seen = [maps[2][whole], maps[6][whole]]
            death.append(np.stack([*seen, np.full_like(moved, _logit(response[0])), gone], 1))
            if response[2] > 0:
                uptake = np.full_like(moved, _logit(response[2] / response[0]))
                oil.append(np.stack([*seen, uptake, moved > OIL], 1)[gone])
    pairs = [_regress(np.concatenate(rows)) if rows else None for rows in (death, oil)]
    if pairs[0] is None or pairs[1] is None:
        return ()
    return (*pairs[0], *pairs[1])


def _regress(rows: NDArray[Any]) -> tuple[float, float] | None:
    """Direction (depth, enhancement) along which blocks change first; rows (M, 4), the last column says if they did."""
    inputs, label = rows[:, :3].astype(float), rows[:, 3].astype(float)
    if len(rows) < FEW or label.min() == label.max():
        return None
    sign = 1 - 2 * label

    def loss(w: NDArray[Any]) -> tuple[float, NDArray[Any]]:
        margin = sign * (inputs @ w[:3] + w[3])
        slope = sign / (1 + np.exp(-np.clip(margin, -50, 50))) / len(rows)
        return float(np.logaddexp(0, margin).mean()), np.append(slope @ inputs, slope.sum())

    depth, enhancement = minimize(loss, np.zeros(4), jac=True).x[:2]
    length = max(float(np.hypot(depth, enhancement)), 1e-9)
    return round(float(depth) / length, 4), round(float(enhancement) / length, 4)


def _logit(share: float) -> float:
    share = float(np.clip(share, 0.01, 0.99))
    return float(np.log(share / (1 - share)))
