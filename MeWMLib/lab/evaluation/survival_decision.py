"""Decision curves with censoring: is acting on a model better than acting on everyone, or on nobody?

    NB(p) = P(risk >= p) (F_p(t) - (1 - F_p(t)) p / (1 - p))                                               (1)

where F_p(t) is the probability of death by t among those with a predicted risk of p or more, by Kaplan-Meier (Vickers
et al., BMC Med Inform Decis Mak 2008, 8:53, equation for censored data). Acting on everyone is (1) at p with every
patient in it, acting on nobody 0.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import check_outcomes
from MeWMLib.lab.evaluation.metrics import bootstrap

Array = NDArray[np.float64]
#: Risks of death at which somebody would act.
THRESHOLDS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
DRAWS = 200


def net_benefit(
    risk: Array, months: Any, events: Any, at: float, seed: int = 0, draws: int = DRAWS
) -> dict[str, list[dict[str, float]]]:
    """Net benefit at each of `THRESHOLDS`.

    Args:
        risk: (N,) predicted probability of death by `at`.
        months, events: (N,).
        at: months.
        seed, draws: of the bootstrap over patients.

    Returns:
        `model`, `all` and `beyond_all` (their difference, paired), a figure for each threshold.

    Raises:
        SurvivalDataError: risks that are no probabilities.
    """
    times, died = check_outcomes(months, events)
    if len(risk) != len(times) or not ((risk >= 0) & (risk <= 1)).all():
        raise SurvivalDataError(
            what="A decision curve needs a probability for each patient", given=f"{len(risk)} risks, {len(times)} times"
        )

    def of(chosen: NDArray[np.intp], level: float, everyone: bool) -> float:
        t, d = times[chosen], died[chosen]
        flagged = np.ones(len(t), bool) if everyone else risk[chosen] >= level
        if not flagged.any():
            return 0.0
        dead = 1 - _survival(t[flagged], d[flagged], at)
        return float(flagged.mean() * (dead - (1 - dead) * level / (1 - level)))

    out: dict[str, list[dict[str, float]]] = {"model": [], "all": [], "beyond_all": []}
    for level in THRESHOLDS:
        model, every = partial(of, level=level, everyone=False), partial(of, level=level, everyone=True)
        out["model"].append(bootstrap(model, len(times), seed, draws))
        out["all"].append(bootstrap(every, len(times), seed, draws))
        out["beyond_all"].append(bootstrap(partial(_apart, model, every), len(times), seed, draws))
    return out


def _apart(first: Any, second: Any, chosen: NDArray[np.intp]) -> float:
    return float(first(chosen) - second(chosen))


def _survival(times: Array, died: NDArray[np.bool_], at: float) -> float:
    """Kaplan-Meier at one time, without a band: a bootstrap asks for thousands."""
    moments = np.unique(times[died & (times <= at)])
    if not len(moments):
        return 1.0
    order = np.sort(times)
    risk = len(times) - np.searchsorted(order, moments, "left")
    dead = np.searchsorted(np.sort(times[died]), moments, "right") - np.searchsorted(
        np.sort(times[died]), moments, "left"
    )
    return float(np.prod(1 - dead / risk))
