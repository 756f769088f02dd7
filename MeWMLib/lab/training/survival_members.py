"""A small ensemble of the survival network's last layer: how far the training patients themselves decide the risk.

The features before the last layer are kept; the layer is fitted again to bootstrap draws of the patients, each fit held
to the trained weights by a ridge. Sixteen whole networks would cost sixteen trainings and sixteen times the weights.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.lab.cox import cox_loss

_ROUNDS = 25


def bootstrap_members(
    features: Tensor,
    log_risk: Tensor,
    outcomes: Sequence[Sequence[tuple[float, bool]]],
    count: int,
    ridge: float,
    seed: int,
) -> Tensor:
    """Weights (count, E) that members add to the last layer: their log-risk is log_risk + features @ weights.

    Args:
        features: (N, E) of patients, before the last layer.
        log_risk: (N,) of the trained network, on the scale of the last layer.
        outcomes: for each patient the (months, event) of its lives; a member draws one.
        count: members.
        ridge: weight of half the squared change of each standardised weight, beside the loss per death.
        seed: of the draws.
    """
    scale = features.std(dim=0).clamp(min=1e-6)
    z = (features - features.mean(dim=0)) / scale
    members = []
    for n in range(count):
        rng = np.random.default_rng([seed, 6, n])
        pick = rng.integers(0, len(outcomes), len(outcomes))
        lives = [outcomes[i][rng.integers(len(outcomes[i]))] for i in pick]
        months, events = np.array([m for m, _ in lives]), np.array([e for _, e in lives], bool)
        members.append(_fit(z[pick], log_risk[pick], months, events, ridge) / scale)
    return torch.stack(members)


def _fit(z: Tensor, log_risk: Tensor, months: NDArray[np.float64], events: NDArray[np.bool_], ridge: float) -> Tensor:
    change = torch.zeros(z.shape[1], dtype=z.dtype, requires_grad=True)
    if not events.any():
        return change.detach()
    optimiser = torch.optim.LBFGS([change], max_iter=_ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = cox_loss(log_risk + z @ change, months, events) + 0.5 * ridge * change.square().sum()
        value.backward()
        return value

    optimiser.step(loss)
    return change.detach()
