"""Survival analysis: Cox partial likelihood, censored discrete-time likelihood, concordance and baseline hazards.

One patient is one row. Times are months since treatment; an event is a death; no event means that the patient was
alive when last seen (right censoring).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.survival.config import check_edges

#: exp() of more than this is not needed to tell a survival probability from zero, and overflows nothing in float32.
_MAX_LOG_HAZARD = 30.0


def check_outcomes(months: Any, events: Any, *, need_event: bool = True) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return survival times and events as arrays, or say what is wrong with them.

    Args:
        months: (N,) survival or follow-up times in months.
        events: (N,) True for a death, False for a censored patient.
        need_event: refuse data without a single event, on which no partial likelihood exists.

    Raises:
        SurvivalDataError: shapes that differ, no patient, negative or non-finite times, other events than 0 and 1,
            no event.
    """
    months, events = np.asarray(months, dtype=np.float64), np.asarray(events)
    if months.ndim != 1 or months.shape != events.shape or months.size == 0:
        raise SurvivalDataError(
            what="Survival data need one time and one event for each of at least one patient",
            given=f"times {months.shape}, events {events.shape}",
        )
    if not (np.isfinite(months).all() and months.min() >= 0):
        raise SurvivalDataError(
            what="A survival time is negative or not a number",
            given=f"{months[~(np.isfinite(months) & (months >= 0))][:5]} months",
            remedy="Give the months from treatment to death or last contact",
        )
    if not np.isin(events, (0, 1)).all():
        raise SurvivalDataError(what="An event must be 0 (censored) or 1 (death)", given=str(np.unique(events)[:5]))
    if need_event and not events.any():
        raise SurvivalDataError(
            what="No patient has an event",
            given=f"{events.size} censored patients",
            remedy="Survival analysis needs at least one observed death; follow the patients for longer",
        )
    return months, events.astype(bool)


def _check_scores(scores: Tensor, n: int, name: str) -> None:
    if scores.shape[:1] != (n,):
        raise SurvivalDataError(
            what=f"{name} does not fit the patients", given=f"{tuple(scores.shape)} for {n} patients"
        )
    if not bool(torch.isfinite(scores.detach()).all()):
        raise SurvivalDataError(what=f"{name} is not finite", remedy="Lower the learning rate or check the covariates")


def cox_loss(log_risk: Tensor, months: Any, events: Any, ties: str = "efron") -> Tensor:
    """Negative Cox log partial likelihood, divided by the number of events.

    The risk set of an event is all patients whose time is not before it. With d deaths at one time, Efron's
    approximation takes out the share l/d of their own risk, l = 0..d-1 (Efron, J Am Stat Assoc 1977, eq. 4.3);
    Breslow's takes out nothing. Sums of exp(log-risk) are only ever formed in log space, so that a log-risk of
    1000 neither overflows nor loses its gradient.

    Args:
        log_risk: (N,) log-risk, finite, any scale; adding a constant changes nothing.
        months: (N,) times.
        events: (N,) 1 for a death.
        ties: "efron" or "breslow".

    Returns:
        A scalar; twice differentiable.

    Raises:
        SurvivalDataError: outcomes that `check_outcomes` refuses, a log-risk that is not finite, unknown `ties`.
    """
    times, died = check_outcomes(months, events)
    if log_risk.ndim != 1:
        raise SurvivalDataError(what="The log-risk must be one number a patient", given=str(tuple(log_risk.shape)))
    _check_scores(log_risk, times.size, "The log-risk")
    if ties not in ("efron", "breslow"):
        raise SurvivalDataError(what="Unknown treatment of ties", given=ties, remedy="Use efron or breslow")

    order = np.argsort(-times, kind="stable")
    times, died = times[order], died[order]
    device = log_risk.device
    ranked = log_risk[torch.as_tensor(order, device=device)]
    # Times fall, so the risk set of an event is everything up to the last patient with the same time.
    last = np.searchsorted(-times, -times[died], side="right") - 1
    log_set = torch.logcumsumexp(ranked, dim=0)[torch.as_tensor(last, device=device)]  # (E,)
    own = ranked[torch.as_tensor(np.flatnonzero(died), device=device)]  # (E,)

    _, group, deaths = np.unique(times[died], return_inverse=True, return_counts=True)
    if ties == "efron" and deaths.max() > 1:
        first = np.concatenate([[0], np.cumsum(deaths)[:-1]])
        rank = np.empty(group.size)  # l of each death within its time; which of the tied gets which l is arbitrary
        rank[np.argsort(group, kind="stable")] = np.arange(group.size) - np.repeat(first, deaths)
        index = torch.as_tensor(group, device=device)
        share = torch.as_tensor(rank / deaths[group], device=device, dtype=own.dtype)
        top = own.detach().new_full((deaths.size,), -torch.inf).scatter_reduce(0, index, own.detach(), "amax")
        sums = own.new_zeros(deaths.size).scatter_add(0, index, torch.exp(own - top[index]))
        log_tied = (top + torch.log(sums))[index]  # (E,) log of the summed risk of all who die at that time
        # exp(log_tied - log_set) <= 1 and share < 1, but rounding may lift the product to 1.
        log_set = log_set + torch.log1p(-(share * torch.exp(log_tied - log_set)).clamp(max=1 - 1e-6))
    return (log_set - own).mean()


def discrete_nll(log_increments: Tensor, months: Any, events: Any, edges: Sequence[float]) -> Tensor:
    """Negative log-likelihood of grouped survival times with censoring, a mean over patients.

    `log_increments[:, b]` is the log of the cumulative hazard that bin b adds, so that the patient survives the bin
    with probability exp(-exp(log_increments[:, b])): the complementary log-log link, under which a shift of all bins
    is an exactly proportional hazard (Prentice and Gloeckler, Biometrics 1978, eq. 3). A death counts for its whole
    bin; a censored patient counts for the part of the bin that was survived, at a constant hazard within the
    bin. A patient who outlives the last edge is censored there.

    Args:
        log_increments: (N, B), finite.
        months: (N,) times.
        events: (N,) 1 for a death.
        edges: B + 1 rising bin edges in months, the first 0.

    Raises:
        SurvivalDataError: outcomes, edges or shapes that do not fit.
    """
    times, died = check_outcomes(months, events, need_event=False)
    bounds = check_edges(edges)
    if log_increments.shape != (times.size, bounds.size - 1):
        raise SurvivalDataError(
            what="The hazards do not fit patients and bins",
            given=f"{tuple(log_increments.shape)} for {times.size} patients and {bounds.size - 1} bins",
        )
    _check_scores(log_increments, times.size, "The hazard")
    lived, death = exposure(times, died, bounds)
    to = {"device": log_increments.device, "dtype": log_increments.dtype}
    clipped = log_increments.clamp(max=_MAX_LOG_HAZARD)
    hazard = torch.exp(clipped)  # (N, B) cumulative hazard of each bin
    # log(1 - exp(-h)): of a tiny h it is log h, which expm1 would round away.
    log_death = torch.where(clipped < -12, clipped, torch.log(-torch.expm1(-hazard.clamp(min=1e-6))))
    likelihood = torch.as_tensor(death, **to) * log_death - torch.as_tensor(lived * ~death, **to) * hazard
    return -likelihood.sum(dim=1).mean()


def exposure(
    months: NDArray[Any], events: NDArray[np.bool_], edges: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Share of each bin that each patient survived, and the bin in which the patient died.

    Bins are open at the left: a death at exactly 3 months lies in the bin that ends there.

    Returns:
        lived: (N, B) in [0, 1].
        death: (N, B), at most one True a row.
    """
    low, high = edges[:-1], edges[1:]
    lived = np.clip((months[:, None] - low) / (high - low), 0.0, 1.0)  # (N, B)
    death = (months[:, None] > low) & (months[:, None] <= high)
    death[:, 0] |= months <= 0
    return lived, death & events[:, None]


def harrell_c_index(log_risk: Any, months: Any, events: Any) -> float:
    """Harrell's concordance (JAMA 1982): of two patients, the one of higher risk dies first.

    A pair counts if one dies while the other is alive, or is censored at the same time. Equal risks count one half.

    Args:
        log_risk: (N,) any score that is higher for an earlier death.
        months: (N,) times.
        events: (N,) 1 for a death.

    Raises:
        SurvivalDataError: outcomes that do not fit, or no pair that can be compared.
    """
    times, died = check_outcomes(months, events)
    score = np.asarray(log_risk, dtype=np.float64)
    if score.shape != times.shape or np.isnan(score).any():
        raise SurvivalDataError(what="The scores do not fit the patients", given=f"{score.shape}, NaN or not")
    concordant = comparable = 0.0
    for i in np.flatnonzero(died):
        later = (times > times[i]) | ((times == times[i]) & ~died)
        comparable += later.sum()
        concordant += (score[i] > score[later]).sum() + 0.5 * (score[i] == score[later]).sum()
    if comparable == 0:
        raise SurvivalDataError(
            what="No two patients can be compared",
            given=f"{times.size} patients",
            remedy="Concordance needs a death before the last time of another patient",
        )
    return float(concordant / comparable)


def c_index_interval(
    log_risk: Any, months: Any, events: Any, *, seed: int = 0, draws: int = 500, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of Harrell's C over patients; draws without a comparable pair are skipped.

    Returns:
        (low, high), or (nan, nan) if no draw could be compared.
    """
    times, died = check_outcomes(months, events)
    score = np.asarray(log_risk, dtype=np.float64)
    rng, values = np.random.default_rng(seed), []
    for _ in range(draws):
        pick = rng.integers(0, times.size, times.size)
        try:
            values.append(harrell_c_index(score[pick], times[pick], died[pick]))
        except SurvivalDataError:
            continue
    if not values:
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def nelson_aalen(months: Any, events: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nelson-Aalen cumulative hazard: the sum of deaths over patients at risk (Aalen, Ann Stat 1978).

    Returns:
        The distinct death times (M,) and the cumulative hazard just after each (M,).
    """
    return breslow_baseline(np.zeros(np.shape(months)), months, events)


def breslow_baseline(log_risk: Any, months: Any, events: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Breslow's baseline cumulative hazard H0(t) under given log-risks: S(t) = exp(-exp(log_risk) H0(t)).

    Returns:
        The distinct death times (M,) and H0 just after each (M,).

    Raises:
        SurvivalDataError: outcomes or log-risks that do not fit.
    """
    times, died = check_outcomes(months, events)
    score = np.asarray(log_risk, dtype=np.float64)
    if score.shape != times.shape or not np.isfinite(score).all():
        raise SurvivalDataError(what="The log-risks do not fit the patients", given=f"{score.shape}, finite or not")
    points, deaths = np.unique(times[died], return_counts=True)
    order = np.argsort(times, kind="stable")
    # Log of the summed risk of everyone from a patient on in time, without ever leaving log space.
    log_set = np.logaddexp.accumulate(score[order][::-1])[::-1]
    at_risk = log_set[np.searchsorted(times[order], points, side="left")]
    return points, np.cumsum(deaths * np.exp(-at_risk))
