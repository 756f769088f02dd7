"""What a simulation is told to draw, and says beforehand: the response of the tumour as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.patient import Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.model import DynamicsModel, EncodedPatch
from MeWMLib.planning.search import Hint

#: Digits that are kept, so that a last bit which differs between computers moves no search.
DIGITS = 5


class PredictedResponse(NamedTuple):
    """What a simulation was told to draw: the tumour's volume over that before, and the viable tumour, ml."""

    ratio: float
    viable_ml: float


def predicted_responses(
    model: DynamicsModel,
    encoded: EncodedPatch,
    before: Findings,
    trials: Sequence[tuple[Protocol, int]],
    settings: PlanSettings,
) -> list[PredictedResponse] | None:
    """What the simulations of some protocols and seeds are told.

    Returns:
        None for a model that does not tell, or with guidance, which draws something else.
    """
    if not model.tells_response or settings.guidance != 1.0:
        return None
    protocols, seeds = [p for p, _ in trials], [seed for _, seed in trials]
    told = model.responses(encoded, protocols, seeds, settings.spread).astype(np.float64)
    return [PredictedResponse(float(ratio), before.viable_ml * float(ratio * (1 - dead))) for dead, ratio, _ in told]


def response_hint(
    model: DynamicsModel, encoded: EncodedPatch, before: Findings, seeds: Sequence[int], settings: PlanSettings
) -> Hint | None:
    """Logs of the viable and of the whole volume after treatment, as they will be drawn, as a mean over the replicas.

    The response head needs a thousandth of the time of a simulation.

    Returns:
        None for a model that does not tell what it draws.
    """
    if not model.tells_response or settings.guidance != 1.0:
        return None

    def hint(protocols: Sequence[Protocol]) -> NDArray[np.float64]:
        trials = [(p, seed) for p in protocols for seed in seeds]
        told = predicted_responses(model, encoded, before, trials, settings) or []
        logs = np.log1p([[t.viable_ml, before.tumour_ml * t.ratio] for t in told])
        return np.round(logs.reshape(len(protocols), len(seeds), 2).mean(1), DIGITS)

    return hint
