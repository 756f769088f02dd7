"""What a simulation can say of protocols before it is run: the response that it was told to draw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.patient import Findings
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.model import DynamicsModel, EncodedPatch
from MeWMLib.planning.search import Hint

#: Digits that are kept, so that a last bit which differs between computers moves no search.
DIGITS = 5


def response_hint(
    model: DynamicsModel, encoded: EncodedPatch, before: Findings, seeds: Sequence[int], settings: PlanSettings
) -> Hint | None:
    """Logs of the living and of the whole volume after treatment, and the uptake of Lipiodol, as they will be drawn.

    Each is a mean over the replicas. The response head needs a thousandth of the time of a simulation, but what is
    drawn, and measured in it, follows it only roughly.

    Returns:
        None for a model that does not tell what it draws, or with guidance, which draws something else.
    """
    if not model.tells_response or settings.guidance != 1.0:
        return None

    def hint(protocols: Sequence[Protocol]) -> NDArray[np.float64]:
        trials = [(p, seed) for p in protocols for seed in seeds]
        told = model.responses(encoded, [p for p, _ in trials], [seed for _, seed in trials]).astype(np.float64)
        dead, ratio, uptake = told.reshape(len(protocols), len(seeds), 3).transpose(2, 0, 1)  # (N, T) each
        living = np.log1p(before.viable_ml * ratio * (1 - dead))
        whole = np.log1p(before.tumour_ml * ratio)
        return np.round(np.stack([living.mean(1), whole.mean(1), uptake.mean(1)], 1), DIGITS)

    return hint
