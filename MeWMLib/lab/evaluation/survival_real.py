"""`mewm evaluate survival --table NAME`: tabular survival models on real patients, cross-validated by patient.

Cox, elastic net Cox and random survival forest are scikit-survival's. Missing values are filled and scales are set
inside each training fold.
"""

from __future__ import annotations

import argparse
import typing
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
from MeWMLib.core.io import write_json
from MeWMLib.lab.evaluation.metrics import Rows, interval
from MeWMLib.lab.evaluation.survival_charts import draw_halves, draw_reliability, interval_chart
from MeWMLib.lab.evaluation.survival_metrics import Concordance, Outcomes
from MeWMLib.lab.evaluation.survival_tables import Endpoint, find_table, read_table
from MeWMLib.lab.evaluation.work import Say, settings_from, silent

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
        survival: (N, H) probability of survival beyond `HORIZONS`, a mean over repetitions.
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


class Known(typing.Protocol):
    """Patients whose outcome is known, and what a model may read of them.

    Attributes:
        months, events: (N,).
    """

    @property
    def months(self) -> Array: ...

    @property
    def events(self) -> NDArray[np.bool_]: ...

    def matrix(self, names: Sequence[str]) -> Array:
        """(N, F) of the named covariates, NaN where not known."""
        ...


def cross_validate(
    model: Model,
    endpoint: Known,
    folds: int = 5,
    repeats: int = 10,
    seed: int = 0,
    never: NDArray[np.bool_] | None = None,
) -> Predictions:
    """Fit on all folds but one and predict that one, several times over; folds hold like shares of events.

    Args:
        model: what is fitted.
        endpoint: the patients.
        folds, repeats, seed: of the splits.
        never: (N,) patients whom nothing is fitted on; they are predicted like the others.

    Raises:
        SurvivalDataError: fewer events than folds.
    """
    if endpoint.events.sum() < folds:
        raise SurvivalDataError(
            what="There are fewer events than folds", given=f"{int(endpoint.events.sum())}, {folds}", remedy="Use fewer"
        )
    x, size = endpoint.matrix(model.covariates), len(endpoint.months)
    outcome = outcome_of(endpoint.months, endpoint.events)
    risks, numbers = [], []
    percentiles, survival = np.zeros(size), np.zeros((size, len(HORIZONS)))
    for repeat in range(repeats):
        risk, fold = np.zeros(size), np.zeros(size, np.intp)
        for n, (train, test) in enumerate(_splits(x, endpoint.events, folds, seed + repeat)):
            train = train if never is None else train[~never[train]]
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


def _splits(
    x: Array, events: NDArray[np.bool_], folds: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Training and test patients of each fold, with like shares of events; few who lived on are in some folds only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        return list(StratifiedKFold(folds, shuffle=True, random_state=seed).split(x, events))


def fit(kind: str, x: Array, outcome: Any, seed: int) -> Pipeline:
    """Fit one model on its training patients: what fills and scales the covariates, and then the model itself.

    Args:
        kind: "cox" (ridge 0.01 of each standardised coefficient, so that stages with few patients stay finite),
            "elastic net" (penalty by an inner cross-validation, half L1) or "forest".
        x: (N, F); NaN where not known.
        outcome: of `outcome_of`.
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
        for train, test in _splits(z, outcome["event"], 4, seed):
            path = CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=alphas).fit(z[train], outcome[train])
            for n in range(path.coef_.shape[1]):
                risk = z[test] @ path.coef_[:, n]
                scores[n] += concordance_index_censored(outcome["event"][test], outcome["time"][test], risk)[0]
    return CoxnetSurvivalAnalysis(l1_ratio=0.5, alphas=[alphas[int(np.argmax(scores))]], fit_baseline_model=True)


def outcome_of(months: Array, events: NDArray[np.bool_]) -> Any:
    """Outcomes as scikit-survival takes them."""
    # scikit-survival asks for times above 0; who was last seen on the first day lived that day.
    return Surv.from_arrays(events, np.maximum(months, 1 / 31), name_event="event", name_time="time")


#: The models that are drawn, and shuffled.
MAIN = ("clinical_cox", "elastic_net_cox", "random_survival_forest")
#: Months at which each endpoint's AUC and Brier score are given; the first is that of calibration.
TIMES: Mapping[str, tuple[float, ...]] = {"os": (24.0, 12.0, 36.0), "ttp": (6.0, 12.0), "landmark_os": (24.0, 12.0)}


@dataclass(frozen=True)
class TableSettings:
    """What to measure.

    Attributes:
        table: `hcc-tace-seg` or `dtsdhcc`.
        file: the table.
        folds, repeats: of the cross-validation; a large table needs one repetition.
        permutations: how often outcomes are shuffled between patients, to see that nothing leaks; 0 leaves it out.
        seed: of the folds, the models, the bootstrap and the permutations.
        single: each covariate by itself beside the models.
    """

    table: str
    file: Path
    folds: int = 5
    repeats: int = 10
    permutations: int = 20
    seed: int = 0
    single: bool = True


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Compare the models on the table that the arguments name; rows, and on whom."""
    name, file = find_table(args.table)
    settings = settings_from(TableSettings, args, table=name, file=file)
    return evaluate_table(settings, args.out, say), f"{name}, cross-validated by patient, months"


def evaluate_table(settings: TableSettings, out: Path, say: Say = silent) -> dict[str, dict[str, Any]]:
    """Compare the models of each endpoint; write `survival.json` and the pictures of each into `out`.

    Rows are ENDPOINT.MODEL; metrics `c_index` (Harrell), `c_index_uno`, `auc_Nm`, `brier_Nm`, `log_rank_p` (two groups
    about the median of the training patients), `calibration_slope`, and `c_index_shuffled` of the main models.

    Raises:
        UnreadableFileError, SurvivalDataError: the table cannot be used.
    """
    rows: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {"folds": settings.folds, "repeats": settings.repeats, "endpoints": {}}
    for endpoint in read_table(settings.table, settings.file):
        models = {m.row: m for m in models_of(endpoint) if settings.single or not m.row.startswith("single:")}
        outcomes = Outcomes(endpoint.months, endpoint.events, TIMES[endpoint.name], settings.seed)
        found: dict[str, Predictions] = {}
        mine: dict[str, dict[str, Any]] = {}
        for name, model in models.items():
            found[name] = cross_validate(model, endpoint, settings.folds, settings.repeats, settings.seed)
            mine[name] = figures(outcomes, found[name], name.startswith("single:"))
            say(endpoint.name, len(found) / len(models))
        mine["kaplan_meier"] = outcomes.brier()
        for n, name in enumerate(MAIN if settings.permutations else (), start=1):
            mine[name]["c_index_shuffled"] = shuffled_c_index(models[name], endpoint, settings)
            say(f"{endpoint.name} shuffled", n / len(MAIN))
        rows |= {f"{endpoint.name}.{name}": figure for name, figure in mine.items()}
        about["endpoints"][endpoint.name] = {
            "patients": len(endpoint.months),
            "events": int(endpoint.events.sum()),
            "covariates": {n: list(m.covariates) for n, m in models.items() if not n.startswith("single:")},
            "measured_after_treatment": list(endpoint.response),
            "reliability": draw(endpoint, found, mine, out),
        }
    write_json(about, out / "survival.json")
    return rows


def figures(outcomes: Outcomes, found: Predictions, only_rank: bool = False) -> dict[str, Any]:
    """All figures of one model's out-of-fold predictions, or Harrell's C alone."""
    if only_rank:
        return {"c_index": outcomes.pairs["c_index"].of(found.risks, found.folds, outcomes.seed)}
    survival = found.survival[:, [HORIZONS.index(at) for at in outcomes.times]]
    return outcomes.figures(found.risks, survival, found.percentiles > 0.5, found.folds)


def shuffled_c_index(model: Model, endpoint: Endpoint, settings: TableSettings) -> dict[str, float]:
    """The same cross-validation where each patient has another's outcome: 0.5 unless something leaks.

    Returns:
        Mean over permutations and the middle 95 % of them: what the C-index of this many patients is without any truth.
    """
    values = []
    for n in range(settings.permutations):
        other = endpoint.shuffled(settings.seed + 1000 + n)
        found = cross_validate(model, other, settings.folds, 1, settings.seed + n)
        values.append(Concordance.harrell(other.months, other.events).share(found.risks, found.folds))
    return interval(float(np.mean(values)), values, len(values))


def draw(
    endpoint: Endpoint, found: Mapping[str, Predictions], rows: Mapping[str, Mapping[str, Any]], out: Path
) -> dict[str, Any]:
    """Write the pictures of an endpoint; return the numbers of the reliability diagram."""
    at, outcome = TIMES[endpoint.name][0], (endpoint.months, endpoint.events)
    shown = [n for n in (*MAIN, "response_cox") if n in found]
    event = "free of progression" if endpoint.name == "ttp" else "survival"
    ranks = {n: found[n].percentiles for n in shown}
    last = float(np.quantile(endpoint.months, 0.97))
    draw_halves(out / f"kaplan_meier_{endpoint.name}.png", rows, ranks, outcome, event, last)
    survival = {n: found[n].survival[:, HORIZONS.index(at)] for n in shown}
    size = int(np.clip(len(endpoint.months) // 20, 3, 10))
    tables = draw_reliability(out / f"reliability_{endpoint.name}.png", survival, outcome, at, size, event)
    scores = {n: f["c_index"] for n, f in rows.items() if "c_index" in f}
    interval_chart(out / f"c_index_{endpoint.name}.png", scores, "cross-validated C-index (dashed: chance)")
    return {"months": at, "models": tables}
