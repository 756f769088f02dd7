"""Figures of survival predictions with intervals over patients: concordance, AUC, Brier, log-rank, calibration.

Harrell's and Uno's C and the cumulative/dynamic AUC are one sum over pairs of patients with different weights, so that
a bootstrap over patients is a quadratic form, and pairs can be kept inside a fold of a cross-validation: risks of two
fits have no common zero. Each figure is tested to 1e-6 against lifelines, scikit-survival or torchsurv; Kaplan-Meier,
log-rank and Nelson-Aalen are those libraries' own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError, SurvivalDataError
from MeWMLib.lab.cox import check_outcomes

Array = NDArray[np.float64]
DRAWS = 1000


def require_libraries() -> None:
    """Say which extra to install if lifelines or scikit-survival is missing.

    Raises:
        DependencyError: one of them is not installed.
    """
    try:
        import lifelines  # noqa: F401
        import sksurv  # noqa: F401
    except ImportError as error:
        raise DependencyError(
            what="Survival models are evaluated with lifelines and scikit-survival",
            given=str(error),
            remedy="Install the extra: pip install 'mewm[survival]'",
        ) from error


def censoring_survival(months: Any, events: Any) -> tuple[Array, Array]:
    """Kaplan-Meier of being not yet censored, G: distinct times (M,) and G just after each (M,).

    Deaths come before censoring at the same time, as in scikit-survival and in R.
    """
    times, died = check_outcomes(months, events, need_event=False)
    points = np.unique(times)
    at_risk = np.array([(times >= t).sum() - ((times == t) & died).sum() for t in points], float)
    lost = np.array([((times == t) & ~died).sum() for t in points], float)
    return points, np.cumprod(np.where(at_risk > 0, 1 - lost / np.maximum(at_risk, 1), 1.0))


def inverse_weights(months: Any, events: Any) -> Array:
    """1 / G(time) of the patients who died, 0 of those censored (N,).

    Raises:
        SurvivalDataError: everyone who could be observed at a death was censored, so that G is 0 there.
    """
    times, died = check_outcomes(months, events)
    points, free = censoring_survival(times, died)
    # G counts up to and with the patient's own time: a death there is at risk before anyone is censored there.
    own = free[np.searchsorted(points, times, side="right") - 1]
    if (own[died] <= 0).any():
        raise SurvivalDataError(what="No one is left uncensored at a death", remedy="Leave out the last times")
    return np.where(died, 1 / np.where(own > 0, own, 1), 0.0)


class Concordance:
    """Pairs of patients, the first of which should have the higher risk, each with a weight.

    Args:
        weight: (N, N) of pair (i, j); 0 where it cannot be compared.
    """

    def __init__(self, weight: Array) -> None:
        if not weight.sum() > 0:
            raise SurvivalDataError(
                what="No two patients can be compared",
                given=f"{len(weight)} patients",
                remedy="Concordance needs a death before the last time of another patient",
            )
        self.weight = weight
        #: Weight of all pairs of each bootstrap draw by seed; it is the same for all risks.
        self._below: dict[int, Array] = {}

    @classmethod
    def harrell(cls, months: Any, events: Any) -> Concordance:
        """Every pair of which one died while the other lived (Harrell, JAMA 1982)."""
        return cls(_comparable(months, events).astype(float))

    @classmethod
    def lives(cls, outcomes: Sequence[tuple[Any, Any]]) -> Concordance:
        """Harrell's pairs of several lives of the same patients, (months, events) each, added up.

        In a synthetic world a patient can live again. One life stays one risk set; the more lives, the less of the
        figure's spread is the luck of a life and not the patients.
        """
        weight: Array = np.zeros(())
        for one in outcomes:  # added up one by one: twenty lives of thousands of patients fit into no memory
            weight = weight + _comparable(*one)
        return cls(weight)

    @classmethod
    def uno(cls, months: Any, events: Any, until: float = np.inf) -> Concordance:
        """Pairs weighted by 1 / G(time of the death)^2, deaths before `until` (Uno et al., Stat Med 2011)."""
        times, _ = check_outcomes(months, events)
        own = inverse_weights(months, events) ** 2 * (times < until)
        return cls(_comparable(months, events) * own[:, None])

    @classmethod
    def auc(cls, months: Any, events: Any, at: float) -> Concordance:
        """Who died by `at` against who lived on (Uno et al., J Am Stat Assoc 2007); cases weighted by 1 / G."""
        times, _ = check_outcomes(months, events)
        return cls((inverse_weights(months, events) * (times <= at))[:, None] * (times > at)[None])

    def of(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None = None, seed: int = 0) -> Any:
        """Share of the weight on pairs in the right order; equal risks count one half.

        Args:
            risks: R scores (N,), one a repetition; the figure is the mean over repetitions.
            folds: for each repetition the fold of each patient; only pairs inside a fold are compared.
            seed: of the bootstrap over patients.

        Returns:
            {mean, low, high, n}: the figure and its 95 % percentile interval.
        """
        low, high = np.quantile(self.draws(risks, folds, seed), [0.025, 0.975])
        return {"mean": self.share(risks, folds), "low": float(low), "high": float(high), "n": len(self.weight)}

    def draws(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None = None, seed: int = 0) -> Array:
        """The figure of each bootstrap draw; the same seed draws the same patients, so that models can be paired."""
        right, total = self._sums(risks, folds)
        rng, size = np.random.default_rng(seed), len(self.weight)
        count = DRAWS if size < 1000 else 300
        # how often each patient was drawn, (draws, N): all quadratic forms are then one product of matrices
        times = np.array([np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(count)], float)
        if total is self.weight and seed in self._below:
            below = self._below[seed]
        else:
            below = np.einsum("dn,dn->d", times @ total, times)
            if total is self.weight:
                self._below[seed] = below
        above = np.einsum("dn,dn->d", times @ right, times)
        return np.where(below > 0, above / np.where(below > 0, below, 1), 0.5)

    def share(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None = None) -> float:
        """The figure of `of` without its interval."""
        right, total = self._sums(risks, folds)
        return float(right.sum() / total.sum())

    def _sums(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None) -> tuple[Array, Array]:
        """Weight on pairs in the right order (N, N), and on all pairs."""
        if folds is None and len(risks) == 1:
            return self.weight * _in_order(risks[0]), self.weight
        right, total = np.zeros_like(self.weight), np.zeros_like(self.weight)
        for n, risk in enumerate(risks):
            weight = self.weight
            if folds is not None:
                weight = weight * (folds[n][:, None] == folds[n][None])
            right += weight * _in_order(risk)
            total += weight
        if total.sum() <= 0:
            raise SurvivalDataError(what="No two patients of one fold can be compared", remedy="Use fewer folds")
        return right, total


def _in_order(risk: Array) -> Array:
    """(N, N) 1 where the first has the higher risk, one half where both are equal."""
    return (risk[:, None] > risk[None]) + 0.5 * (risk[:, None] == risk[None])


def _comparable(months: Any, events: Any) -> NDArray[np.bool_]:
    times, died = check_outcomes(months, events)
    later = (times[None] > times[:, None]) | ((times[None] == times[:, None]) & ~died[None])
    return np.asarray(died[:, None] & later)


def brier_terms(survival: Any, months: Any, events: Any, at: float) -> Array:
    """What each patient adds to the Brier score at `at` (Graf et al., Stat Med 1999, eq. 11); its mean is the score.

    Args:
        survival: (N,) predicted probability of viable beyond `at`.
    """
    times, died = check_outcomes(months, events)
    points, free = censoring_survival(times, died)
    here = free[np.searchsorted(points, at, side="right") - 1] if at >= points[0] else 1.0
    if here <= 0:
        raise SurvivalDataError(what="No one is observed at the time of the Brier score", given=f"{at:g} months")
    dead = np.asarray(survival, float) ** 2 * inverse_weights(times, died) * (times <= at)
    return np.asarray(dead + (1 - np.asarray(survival, float)) ** 2 * (times > at) / here)


def bootstrap(values: Array, seed: int = 0) -> dict[str, float]:
    """Mean of (N,) with its 95 % interval over patients."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (DRAWS, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high), "n": len(values)}


def log_rank_p(groups: NDArray[Any], months: Any, events: Any) -> float:
    """P value of the log-rank test between groups of patients; NaN if there is only one."""
    from lifelines.statistics import multivariate_logrank_test

    if len(np.unique(groups)) < 2:
        return float("nan")
    return float(multivariate_logrank_test(months, groups, events).p_value)


def kaplan_meier(months: Any, events: Any) -> dict[str, Array]:
    """Kaplan-Meier with its 95 % band (log-log): months, survival, low, high, each (M,)."""
    from lifelines import KaplanMeierFitter

    fit = KaplanMeierFitter().fit(months, events)
    band = fit.confidence_interval_survival_function_.to_numpy()
    survival = fit.survival_function_.iloc[:, 0].to_numpy()
    # where all live or none does, the log-log band has no width
    low, high = (np.where(np.isnan(band[:, n]), survival, band[:, n]) for n in (0, 1))
    return {
        "months": fit.survival_function_.index.to_numpy(dtype=float), "survival": survival, "low": low, "high": high,
    }  # fmt: skip


def observed_survival(months: Any, events: Any, at: float) -> tuple[float, float, float]:
    """Kaplan-Meier at one time with its 95 % interval."""
    curve = kaplan_meier(months, events)
    n = int(np.searchsorted(curve["months"], at, side="right")) - 1
    return float(curve["survival"][n]), float(curve["low"][n]), float(curve["high"][n])


def reliability(survival: Any, months: Any, events: Any, at: float, groups: int) -> list[dict[str, float]]:
    """Predicted against observed survival at `at` in groups of rising prediction.

    Returns:
        For each group: predicted (mean), observed, low, high (Kaplan-Meier), n.
    """
    predicted = np.asarray(survival, float)
    order = np.argsort(predicted, kind="stable")
    rows = []
    for part in np.array_split(order, groups):
        observed, low, high = observed_survival(np.asarray(months)[part], np.asarray(events)[part], at)
        mean = float(predicted[part].mean())
        rows.append({"predicted": mean, "observed": observed, "low": low, "high": high, "n": len(part)})
    return rows


def plain(value: float, n: int) -> Mapping[str, float]:
    """A figure without an interval of its own."""
    return {"mean": value, "low": value, "high": value, "n": n}
