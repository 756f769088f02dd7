"""Utility: what may count besides the predicted risk, each with a weight (`PlanSettings`; all 0 in the free space).

    utility = log-risk + w_t x toxicity + w_c x complexity + w_u x uncertainty

toxicity: the number of clinical rules that warn of the protocol; complexity: its number of agents beyond two;
uncertainty: the standard deviation of the log-risk over the replicas. The first two are counts, not measured harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.search import Score, mean_risk


def terms(protocol: Protocol, replicas: Sequence[float], warnings: int) -> dict[str, float]:
    """The terms of the utility, each before its weight."""
    return {
        "risk": mean_risk(protocol, replicas),
        "toxicity": float(warnings),
        "complexity": float(max(0, len(protocol.actions) - 2)),
        "uncertainty": float(np.std(replicas)),
    }


def score_of(settings: PlanSettings, warnings: Callable[[Protocol], int]) -> Score:
    """The score that the settings ask for: the mean log-risk itself where all weights are 0.

    Args:
        settings: with the weights.
        warnings: how many clinical rules warn of a protocol.
    """
    weights = settings.weights
    if not any(weights.values()):
        return mean_risk

    def score(protocol: Protocol, replicas: Sequence[float]) -> float:
        found = terms(protocol, replicas, warnings(protocol))
        return found["risk"] + sum(weight * found[name] for name, weight in weights.items())

    return score
