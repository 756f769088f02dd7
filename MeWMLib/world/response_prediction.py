"""The response of the tumour as numbers, which the dynamics model predicts before it draws the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.patient import Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.search import Hint

#: Digits that are kept, so that a last bit which differs between computers moves no search.
DIGITS = 5


class PredictedResponse(NamedTuple):
    """What a simulation is conditioned on: the tumour's volume over that before, and the viable tumour, ml."""

    ratio: float
    viable_ml: float


def predicts_response(model: Any, settings: PlanSettings) -> bool:
    """False for a model that predicts no response, and with guidance, which draws something else."""
    return model.tells_response and settings.guidance == 1.0


def predicted_responses(
    model: Any,
    encoded: Any,
    before: Findings,
    trials: Sequence[tuple[Protocol, int]],
    settings: PlanSettings,
    untreated_viable_ml: float = 0.0,
) -> list[PredictedResponse] | None:
    """What the simulations of some protocols and seeds are conditioned on.

    Args:
        model: predicts the response.
        encoded: the patch.
        before: sizes of the tumour that is treated.
        trials: protocols and seeds.
        settings: guidance and spread.
        untreated_viable_ml: viable tumour beside it that stays as it is, and counts.

    Returns:
        None where none is predicted (`predicts_response`).
    """
    if not predicts_response(model, settings):
        return None
    protocols, seeds = [p for p, _ in trials], [seed for _, seed in trials]
    found = model.responses(encoded, protocols, seeds, settings.spread).astype(np.float64)
    return [
        PredictedResponse(float(ratio), before.viable_ml * float(ratio * (1 - dead)) + untreated_viable_ml)
        for dead, ratio, _ in found
    ]


def response_hint(
    model: Any,
    encoded: Any,
    before: Findings,
    seeds: Sequence[int],
    settings: PlanSettings,
    untreated_ml: tuple[float, float] = (0.0, 0.0),
) -> Hint | None:
    """Logs of the viable and of the whole volume after treatment, as they will be drawn, as a mean over the replicas.

    The response head needs a thousandth of the time of a simulation. Arguments as for `predicted_responses`;
    `untreated_ml` is the viable and the whole tumour that stays.

    Returns:
        None where none is predicted (`predicts_response`).
    """
    if not predicts_response(model, settings):
        return None

    def hint(protocols: Sequence[Protocol]) -> NDArray[np.float64]:
        trials = [(p, seed) for p in protocols for seed in seeds]
        viable, whole = untreated_ml
        found = predicted_responses(model, encoded, before, trials, settings, viable) or []
        logs = np.log1p([[r.viable_ml, before.tumour_ml * r.ratio + whole] for r in found])
        return np.round(logs.reshape(len(protocols), len(seeds), 2).mean(1), DIGITS)

    return hint
