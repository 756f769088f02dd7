"""Tabular survival models in repeated cross-validation by patient: Cox, elastic net Cox, random survival forest.

The models are scikit-survival's. Missing values are filled and scales are set inside each training fold.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sksurv.ensemble import RandomSurvivalForest
from sksurv.linear_model import CoxnetSurvivalAnalysis, CoxPHSurvivalAnalysis
from sksurv.metrics import concordance_index_censored
from sksurv.util import Surv

from MeWMLib.core.errors import SurvivalDataError
from MeWMLib.lab.evaluation.survival_tables import Endpoint

Array = NDArray[np.float64]
#: Months at which a survival probability is predicted.
HORIZONS = (6.0, 12.0, 24.0, 36.0)
_TREES = 200


@dataclass(frozen=True)
class Model:
    """A model of the comparison: its row, its covariates, and how it is made."""

    row: str
    covariates: tuple[str, ...]
    kind: str = "cox"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Out-of-fold predictions of N patients in R repetitions.

    Attributes:
        risks: R scores (N,); comparable within a fold.
        folds: R fold numbers (N,).
        percentiles: (N,) share of the training patients of lower risk, a mean over repetitions; compares folds.
        survival: (N, H) probability of viable beyond `HORIZONS`, a mean over repetitions; None without a model of it.
    """

    risks: list[Array]
    folds: list[NDArray[np.intp]]
    percentiles: Array
    survival: Array


def models_of(endpoint: Endpoint) -> list[Model]:
    """What is compared: the clinical Cox, the two learners over all covariates, and each covariate alone."""
    before = tuple(n for n in endpoint.covariates if n not in endpoint.response)
    found = [
        Model("clinical_cox", endpoint.clinical),
        Model("elastic_net_cox", before, "elastic net"),
        Model("random_survival_forest", before, "forest"),
    ]
    if endpoint.response:
        change = ("mrecist_change",)
        found += [
            Model("response_cox", change),
            Model("response_category_cox", ("mrecist_category",)),
            Model("clinical_and_response_cox", (*endpoint.clinical, *change)),
            Model("elastic_net_with_response", (*before, *endpoint.response), "elastic net"),
        ]
    return [*found, *(Model(f"single:{name}", (name,)) for name in before)]


def cross_validate(model: Model, endpoint: Endpoint, folds: int = 5, repeats: int = 10, seed: int = 0) -> Predictions:
    """Fit on all folds but one and predict that one, several times over; folds hold like shares of events.

    Raises:
        SurvivalDataError: fewer events than folds.
    """
    if endpoint.events.sum() < folds:
        raise SurvivalDataError(
            what="There are fewer events than folds", given=f"{int(endpoint.events.sum())}, {folds}", remedy="Use fewer"
        )
    x, size = endpoint.matrix(model.covariates), len(endpoint.months)
    outcome = _outcome(endpoint.months, endpoint.events)
    risks, numbers = [], []
    percentiles, survival = np.zeros(size), np.zeros((size, len(HORIZONS)))
    for repeat in range(repeats):
        risk, fold = np.zeros(size), np.zeros(size, np.intp)
        splits = StratifiedKFold(folds, shuffle=True, random_state=seed + repeat).split(x, endpoint.events)
        for n, (train, test) in enumerate(splits):
            fitted = fit(model.kind, x[train], outcome[train], seed + repeat)
            risk[test], fold[test] = fitted.predict(x[test]), n
            known = np.sort(fitted.predict(x[train]))
            middle = np.searchsorted(known, risk[test], "left") + np.searchsorted(known, risk[test], "right")
            percentiles[test] += middle / (2 * len(train) * repeats)
            # flat after the last time seen in training
            curves = fitted.predict_survival_function(x[test])
            survival[test] += np.array([[f(np.clip(t, *f.domain)) for t in HORIZONS] for f in curves]) / repeats
        risks.append(risk)
        numbers.append(fold)
    return Predictions(risks, numbers, percentiles, survival)


def fit(kind: str, x: Array, outcome: Any, seed: int) -> Pipeline:
    """Fit one model on its training patients: what fills and scales the covariates, and then the model itself.

    Args:
        kind: "cox" (ridge 0.01 of each standardised coefficient, so that stages with few patients stay finite),
            "elastic net" (penalty by an inner cross-validation, half L1) or "forest".
        x: (N, F); NaN where not known.
        outcome: of `_outcome`.
    """
    prepare = make_pipeline(SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler())
    z = prepare.fit_transform(x)
    if kind == "elastic net":
        model = _elastic_net(z, outcome, seed)
    elif kind == "forest":
        leaf = max(6, len(z) // 100)
        model = RandomSurvivalForest(_TREES, min_samples_leaf=leaf, max_features="sqrt", random_state=seed, n_jobs=1)
    else:
        model = CoxPHSurvivalAnalysis(alpha=0.01 * len(z), ties="efron")
    with warnings.catch_warnings():
        # a penalty that leaves no covariate is an answer: everyone has the same risk
        warnings.filterwarnings("ignore", message="all coefficients are zero")
        return Pipeline([*prepare.steps, ("model", model.fit(z, outcome))])


def _elastic_net(z: Array, outcome: Any, seed: int) -> Any:
    """An elastic net Cox model, not yet fitted, with the penalty that an inner cross-validation likes best."""
    alphas = np.geomspace(0.5, 0.01, 12)
    scores = np.zeros(len(alphas))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", message="all coefficients are zero")
        for train, test in StratifiedKFold(4, shuffle=True, random_state=seed).split(z, outcome["event"]):
            path = CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=alphas).fit(z[train], outcome[train])
            for n in range(path.coef_.shape[1]):
                risk = z[test] @ path.coef_[:, n]
                scores[n] += concordance_index_censored(outcome["event"][test], outcome["time"][test], risk)[0]
    return CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=[alphas[int(np.argmax(scores))]], fit_baseline_model=True)


def _outcome(months: Array, events: NDArray[np.bool_]) -> Any:
    # scikit-survival asks for times above 0; who was last seen on the first day lived that day.
    return Surv.from_arrays(events, np.maximum(months, 1 / 31), name_event="event", name_time="time")
