"""Figures of survival predictions with intervals over patients: concordance, AUC, Brier, log-rank, calibration.

Kaplan-Meier and log-rank are those of lifelines, the weights against censoring those of scikit-survival. Harrell's and
Uno's C and the cumulative/dynamic AUC are our own: one sum over pairs of patients with different weights, so that a
bootstrap over patients is a quadratic form (a thousand draws in the time of a few calls of a library), and that pairs
can be kept inside a fold of a cross-validation, as risks of two fits have no common zero. The Brier score is our own
since an interval needs what each patient adds to it. Each figure is tested to 1e-6 against lifelines, scikit-survival
or torchsurv.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from lifelines import KaplanMeierFitter
from lifelines.statistics import multivariate_logrank_test
from numpy.typing import NDArray
from sksurv.nonparametric import CensoringDistributionEstimator
from sksurv.util import Surv

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.cox import check_outcomes
from MeWMLib.lab.evaluation.metrics import bootstrap_mean, exact, interval
from MeWMLib.lab.linear_cox import LinearCox

Array = NDArray[np.float64]
DRAWS = 1000


def inverse_weights(months: Any, events: Any) -> Array:
    """1 / G(time) of the patients who died, 0 of those censored (N,); G is the Kaplan-Meier of being not yet censored.

    Raises:
        SurvivalDataError: everyone who could be observed at a death was censored, so that G is 0 there.
    """
    outcome, censoring = _censoring(months, events)
    try:
        return np.asarray(censoring.predict_ipcw(outcome))
    except ValueError as error:
        raise SurvivalDataError(
            what="No one is left uncensored at a death", given=str(error), remedy="Leave out the last times"
        ) from error


def _censoring(months: Any, events: Any) -> tuple[Any, CensoringDistributionEstimator]:
    times, died = check_outcomes(months, events)
    outcome = Surv.from_arrays(died, times)
    return outcome, CensoringDistributionEstimator().fit(outcome)


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

    def of(
        self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None = None, seed: int = 0
    ) -> dict[str, float]:
        """Share of the weight on pairs in the right order; equal risks count one half.

        Args:
            risks: R scores (N,), one a repetition; the figure is the mean over repetitions.
            folds: for each repetition the fold of each patient; only pairs inside a fold are compared.
            seed: of the bootstrap over patients.

        Returns:
            {mean, low, high, n}: the figure and its 95 % percentile interval.
        """
        return interval(self.share(risks, folds), self.draws(risks, folds, seed), len(self.weight))

    def draws(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None = None, seed: int = 0) -> Array:
        """The figure of each bootstrap draw; the same seed draws the same patients, so that models can be paired."""
        right, total = self._sums(risks, folds)
        rng, size = np.random.default_rng(seed), len(self.weight)
        count = DRAWS if size < 1000 else 300
        # how often each patient was drawn, (draws, N): all quadratic forms are then one product of matrices
        times = np.array([np.bincount(rng.integers(0, size, size), minlength=size) for _ in range(count)], float)
        above, below = (np.einsum("dn,dn->d", times @ pairs, times) for pairs in (right, total))
        return np.where(below > 0, above / np.where(below > 0, below, 1), 0.5)

    def share(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None = None) -> float:
        """The figure of `of` without its interval."""
        right, total = self._sums(risks, folds)
        return float(right.sum() / total.sum())

    def _sums(self, risks: Sequence[Array], folds: Sequence[NDArray[np.intp]] | None) -> tuple[Array, Array]:
        """Weight on pairs in the right order (N, N), and on all pairs."""
        right, total = np.zeros_like(self.weight), np.zeros_like(self.weight)
        for n, risk in enumerate(risks):
            weight = self.weight if folds is None else self.weight * (folds[n][:, None] == folds[n][None])
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
        survival: (N,) predicted probability of survival beyond `at`.
    """
    times, _ = check_outcomes(months, events)
    _, censoring = _censoring(months, events)
    here = float(censoring.predict_proba([min(at, times.max())])[0])
    if here <= 0:
        raise SurvivalDataError(what="No one is observed at the time of the Brier score", given=f"{at:g} months")
    predicted = np.asarray(survival, float)
    dead = predicted**2 * inverse_weights(months, events) * (times <= at)
    return np.asarray(dead + (1 - predicted) ** 2 * (times > at) / here)


def log_rank_p(groups: NDArray[Any], months: Any, events: Any) -> float:
    """P value of the log-rank test between groups of patients; NaN if there is only one."""
    if len(np.unique(groups)) < 2:
        return float("nan")
    return float(multivariate_logrank_test(months, groups, events).p_value)


def kaplan_meier(months: Any, events: Any) -> dict[str, Array]:
    """Kaplan-Meier with its 95 % band (log-log): months, survival, low, high, each (M,)."""
    fit = KaplanMeierFitter().fit(months, events)
    band = fit.confidence_interval_survival_function_.to_numpy()
    survival = fit.survival_function_.iloc[:, 0].to_numpy()
    # where all live or none does, the log-log band has no width
    low, high = np.where(np.isnan(band), survival[:, None], band).T
    return {"months": fit.timeline, "survival": survival, "low": low, "high": high}


def observed_survival(months: Any, events: Any, at: float) -> tuple[float, float, float]:
    """Kaplan-Meier at one time with its 95 % interval."""
    times, *curves = kaplan_meier(months, events).values()
    n = int(np.searchsorted(times, at, side="right")) - 1
    survival, low, high = (float(curve[n]) for curve in curves)
    return survival, low, high


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


def calibration_slope(survival: Array, months: Any, events: Any) -> dict[str, float]:
    """Slope of log(-log S) in a Cox model (van Houwelingen, Stat Med 2000): 1 is right, under 1 is overstated."""
    risk = np.log(-np.log(np.clip(survival, 1e-6, 1 - 1e-6)))
    try:
        fitted = LinearCox.fit(risk[:, None], months, events)
    except SurvivalDataError:  # the same prediction for everyone has no slope
        return exact(float("nan"), len(risk))
    slope, error = float(fitted.coefficients[0]), float(fitted.standard_errors[0])
    return {"mean": slope, "low": slope - 1.96 * error, "high": slope + 1.96 * error, "n": len(risk)}


class Outcomes:
    """What became of N patients, ready to measure the predictions of several models.

    Args:
        months, events: (N,).
        times: months of AUC and Brier score; the first is that of the calibration.
        seed: of the bootstrap.
    """

    def __init__(self, months: Array, events: NDArray[np.bool_], times: Sequence[float], seed: int = 0) -> None:
        self.months, self.events, self.times, self.seed = months, events, times, seed
        self.pairs = {
            "c_index": Concordance.harrell(months, events),
            "c_index_uno": Concordance.uno(months, events, float(np.quantile(months, 0.9))),
            **{f"auc_{at:g}m": Concordance.auc(months, events, at) for at in times},
        }

    def figures(
        self,
        risks: Sequence[Array],
        survival: Array,
        high_risk: NDArray[np.bool_],
        folds: Sequence[NDArray[np.intp]] | None = None,
    ) -> dict[str, dict[str, float]]:
        """All figures of one model.

        Args:
            risks, folds: see `Concordance.of`.
            survival: (N, T) predicted probability of survival beyond each of the times.
            high_risk: (N,) the two groups of the log-rank test.

        Returns:
            `c_index` (Harrell), `c_index_uno`, `auc_Nm`, `brier_Nm`, `log_rank_p`, `calibration_slope`.
        """
        out = {name: pairs.of(risks, folds, self.seed) for name, pairs in self.pairs.items()}
        out |= self.brier(survival)
        out["log_rank_p"] = exact(log_rank_p(high_risk, self.months, self.events), len(self.months))
        out["calibration_slope"] = calibration_slope(survival[:, 0], self.months, self.events)
        return out

    def brier(self, survival: Array | None = None) -> dict[str, dict[str, float]]:
        """Brier scores at each time of (N, T); by default of the curve of all patients, which knows nothing of any."""
        if survival is None:
            everyone = [observed_survival(self.months, self.events, at)[0] for at in self.times]
            survival = np.tile(everyone, (len(self.months), 1))
        terms = {at: brier_terms(survival[:, n], self.months, self.events, at) for n, at in enumerate(self.times)}
        return {f"brier_{at:g}m": bootstrap_mean(each, self.seed, DRAWS) for at, each in terms.items()}
