"""`mewm evaluate survival` on synthetic patients: the network beside Cox baselines and the world's own oracle."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.law import LAW
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import InputError, SurvivalDataError
from MeWMLib.core.io import write_json
from MeWMLib.lab.evaluation.known_patients import chosen_patients
from MeWMLib.lab.evaluation.metrics import Rows, interval
from MeWMLib.lab.evaluation.survival_charts import draw_halves, draw_reliability, interval_chart, risk_map_chart, words
from MeWMLib.lab.evaluation.survival_maps import CELLS, FEWEST, risk_maps
from MeWMLib.lab.evaluation.survival_metrics import Concordance, Outcomes
from MeWMLib.lab.evaluation.survival_patients import GivenOutcome, given_outcomes
from MeWMLib.lab.evaluation.survival_simulated import evaluate_simulated
from MeWMLib.lab.evaluation.work import Say, settings_from, silent
from MeWMLib.lab.linear_cox import LinearCox
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.synthetic.survival import WEIBULL_SHAPE, survival_months
from MeWMLib.survival.config import chosen_covariates, size_covariates
from MeWMLib.survival.network import Assessor
from MeWMLib.survival.patches import five_views

Array = NDArray[np.float64]
#: Months of AUC, Brier score, calibration and risk maps.
AT = 24.0
#: Strengths of the ridge that the radiomics Cox chooses from by cross-validation on its training patients.
RIDGES = (0.003, 0.03, 0.3)


@dataclass(frozen=True)
class SyntheticSettings:
    """What to measure.

    Attributes:
        bundle: name or folder; None for the default.
        seeds: of the test patients.
        about: what they are, in words.
        trained_on: training patients to whom the baselines are fitted.
        simulated: test patients whose outcomes are simulated as well.
        lives: how often each test patient lives, for `c_index_lives`.
        cache: folder of drawn patients.
        workers: processes that draw.
        seed: of the bootstrap and of the replicas.
    """

    bundle: str | None
    seeds: tuple[int, ...]
    about: str
    trained_on: int
    cache: Path
    simulated: int = 0
    lives: int = 20
    workers: int = 1
    seed: int = 0

    @classmethod
    def of(cls, args: argparse.Namespace) -> SyntheticSettings:
        """From the command line.

        Raises:
            CohortError: not a cohort of held-out patients of this world.
        """
        if args.patients < 20 or args.trained_on < 50:
            raise InputError(
                what="Too few patients", given=f"{args.patients}, {args.trained_on}",
                remedy="Give --patients of at least 20 and --trained-on of at least 50",
            )  # fmt: skip
        seeds, about = chosen_patients(args)
        about += ", true images after the given protocol"
        return settings_from(cls, args, seeds=seeds, about=about, cache=args.cache or args.out / "patients")


@dataclass(frozen=True, eq=False)
class Scored:
    """Predictions of one model for N patients: risk (N,), and the probability of survival beyond `AT` (N,)."""

    risk: Array
    survival: Array


@dataclass(frozen=True)
class Baseline:
    """A linear Cox model: its row and its covariates of a patient."""

    row: str
    covariates: Callable[[GivenOutcome], Sequence[float]]
    ridges: tuple[float, ...] = (0.0,)


def _log_ml(*names: str) -> Callable[[GivenOutcome], list[float]]:
    return lambda p: [float(np.log1p(p.measured[n])) for n in names]


def _response(p: GivenOutcome) -> list[float]:
    before = p.measured["viable_diameter_mm_before"]
    return [p.measured["viable_diameter_mm_after"] / before - 1 if before > 0 else 0.0]


def _clinical(p: GivenOutcome) -> list[float]:
    # Synthetic patients have no age, sex, AFP or liver function: size, number and liver volume are what there is.
    m = p.measured
    return [float(np.log(max(m["diameter_mm_before"], 1.0))), m["nodules_before"], m["liver_ml"] / 1000]


BASELINES = (
    Baseline("volume_cox", _log_ml("tumour_ml_before", "tumour_ml_after")),
    Baseline("volume_before_cox", _log_ml("tumour_ml_before")),
    Baseline("viable_volume_cox", _log_ml("viable_ml_after")),
    Baseline("clinical_cox", _clinical),
    Baseline("response_cox", _response),
    Baseline("radiomics_cox", lambda p: list(p.radiomics.ravel()), RIDGES),
)


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Measure on the synthetic patients that the arguments ask for; rows, and on whom."""
    settings = SyntheticSettings.of(args)
    return evaluate_synthetic(settings, args.out, say), settings.about


def evaluate_synthetic(settings: SyntheticSettings, out: Path, say: Say = silent) -> Rows:
    """Measure; write `survival.json`, figures 5 and 6 and the reliability diagram into `out`.

    Rows: `mewm`, `oracle`, and the Cox baselines of `BASELINES`, which were fitted to training patients. Metrics:
    `c_index` of the one life that was observed, `c_index_lives` over several lives of the same patients,
    `share_of_oracle` (C - 0.5) / (C of the oracle - 0.5) over these lives, `c_index_behind_mewm` (paired difference;
    `c_index_behind_mewm_one_life` of the one life),
    `c_index_uno`, `auc_24m`, `brier_24m`, `log_rank_p` of two groups, `calibration_slope`.

    Raises:
        CohortError, BundleError: what is given cannot be used.
    """
    assessor = Assessor(*find_bundle(settings.bundle, require=("survival",)).part("survival"))
    train = given_outcomes(SPLITS["train"][: settings.trained_on], settings.cache, settings.workers, say)
    test = given_outcomes(settings.seeds, settings.cache, settings.workers, say)
    known = [_without_images(GivenOutcome.load(path)) for path in train]
    patients, scores = [], []
    for n, path in enumerate(test):
        patient = GivenOutcome.load(path)
        scores.append(score(assessor, patient))
        patients.append(_without_images(patient))
        say("network", (n + 1) / len(test))
    found = {"mewm": Scored(*np.array(scores).T)}
    for baseline in BASELINES:
        found[baseline.row] = fit_baseline(baseline, known, patients, settings.seed)
    truth = np.array([p.true_log_risk for p in patients])
    found["oracle"] = Scored(truth, np.exp(-np.log(2) * (AT / LAW.median_months) ** WEIBULL_SHAPE * np.exp(truth)))
    rows = figures(found, patients, settings)
    about = draw(found, patients, rows, settings, out)
    if settings.simulated:
        chosen = settings.seeds[: settings.simulated]
        more, about["simulated"] = evaluate_simulated(settings.bundle, chosen, settings.seed, say)
        rows |= more
    write_json(about, out / "survival.json")
    return rows


def score(assessor: Assessor, patient: GivenOutcome) -> tuple[float, float]:
    """Log-risk and probability of survival beyond `AT` on the true images."""
    m = patient.measured
    sizes = size_covariates(m["spacing_mm"], m["tumour_ml_before"], m["tumour_ml_after"], m["viable_ml_after"])
    late = chosen_covariates(assessor.config.covariates, sizes)
    risk, months, survival, _ = assessor.judge(*(five_views(image) for image in patient.images), late)
    return risk, float(np.exp(np.interp(AT, months, np.log(np.maximum(survival, 1e-12)))))


def fit_baseline(
    baseline: Baseline, known: Sequence[GivenOutcome], patients: Sequence[GivenOutcome], seed: int
) -> Scored:
    """Fit a Cox baseline to training patients and predict others; covariates that do not vary are left out."""
    x, y = (np.array([baseline.covariates(p) for p in group], float) for group in (known, patients))
    months, events = _outcomes(known)
    varies = x.std(axis=0) > 1e-9
    x, y = x[:, varies], y[:, varies]
    ridge = choose_ridge(x, months, events, baseline.ridges, seed)
    model = LinearCox.fit(x, months, events, ridge=ridge)
    return Scored(model.log_risk(y), model.survival(y, [AT])[:, 0])


def choose_ridge(x: Array, months: Array, events: NDArray[np.bool_], ridges: Sequence[float], seed: int) -> float:
    """The ridge of the highest C-index in five folds of the training patients."""
    if len(ridges) == 1:
        return ridges[0]
    fold = np.random.default_rng(seed).permutation(len(x)) % 5
    pairs = Concordance.harrell(months, events)
    values = []
    for ridge in ridges:
        risk = np.zeros(len(x))
        for n in range(5):
            rest = fold != n
            risk[~rest] = LinearCox.fit(x[rest], months[rest], events[rest], ridge=ridge).log_risk(x[~rest])
        values.append(pairs.share([risk], [fold]))
    return ridges[int(np.argmax(values))]


def lives_of(patients: Sequence[GivenOutcome], count: int) -> list[tuple[Array, NDArray[np.bool_]]]:
    """Outcomes of `count` lives of the same patients by the law; the first is the observed one."""
    found = [_outcomes(patients)]
    for n in range(1, count):
        rngs = [np.random.default_rng(derive_seed("life", p.seed, n)) for p in patients]
        months, events = zip(*map(survival_months, (p.true_log_risk for p in patients), rngs), strict=True)
        found.append((np.array(months), np.array(events)))
    return found


def figures(
    found: Mapping[str, Scored], patients: Sequence[GivenOutcome], settings: SyntheticSettings
) -> dict[str, dict[str, Any]]:
    """Every figure of every row."""
    outcomes = Outcomes(*_outcomes(patients), (AT,), settings.seed)
    lives = Concordance.lives(lives_of(patients, settings.lives))
    observed = outcomes.pairs["c_index"]
    several, once = ({n: _drawn(pairs, s, settings.seed) for n, s in found.items()} for pairs in (lives, observed))
    rows: dict[str, dict[str, Any]] = {}
    for name, one in found.items():
        # of each the figure, then its draws
        compared = {
            "c_index_lives": several[name],
            "share_of_oracle": (several[name] - 0.5) / (several["oracle"] - 0.5),
            "c_index_behind_mewm": several["mewm"] - several[name],
            "c_index_behind_mewm_one_life": once["mewm"] - once[name],
        }
        rows[name] = outcomes.figures([one.risk], one.survival[:, None], one.risk > np.median(one.risk))
        rows[name] |= {metric: interval(v[0], v[1:], len(patients)) for metric, v in compared.items()}
    rows["kaplan_meier"] = outcomes.brier()
    return rows


def _drawn(pairs: Concordance, scored: Scored, seed: int) -> Array:
    """Concordance of one model, and then that of each bootstrap draw."""
    return np.append(pairs.share([scored.risk]), pairs.draws([scored.risk], seed=seed))


def draw(
    found: Mapping[str, Scored],
    patients: Sequence[GivenOutcome],
    rows: dict[str, dict[str, Any]],
    settings: SyntheticSettings,
    out: Path,
) -> dict[str, Any]:
    """Figures 5 and 6, reliability and C-index as pictures; adds `risk_map_mse` to the rows; returns the numbers."""
    outcome = _outcomes(patients)
    ranks = {n: np.argsort(np.argsort(found[n].risk)) / len(patients) for n in ("radiomics_cox", "mewm", "oracle")}
    draw_halves(out / "figure6.png", rows, ranks, outcome, "survival (synthetic)", 120.0)
    survival = {n: found[n].survival for n in ("mewm", "radiomics_cox", "clinical_cox")}
    size = 10 if len(patients) >= 200 else 4
    tables = draw_reliability(out / "reliability.png", survival, outcome, AT, size, "survival")
    shown = {n: f["c_index_lives"] for n, f in rows.items() if "c_index_lives" in f}
    interval_chart(out / "c_index.png", shown, f"C-index, {settings.lives} lives (dashed: chance)")
    about: dict[str, Any] = {"reliability": {words(n): table for n, table in tables.items()}}
    if len(patients) < FEWEST * CELLS**2:
        return about  # no cell of the risk maps would be full
    x = np.array([p.measured["tumour_ml_before"] for p in patients])
    y = np.array([p.measured["viable_ml_after"] / max(p.measured["tumour_ml_before"], 1e-3) for p in patients])
    predicted = {n: survival[n] for n in ("clinical_cox", "radiomics_cox", "mewm")}
    maps = risk_maps(x, y, *outcome, predicted, AT, settings.seed)
    for name, error in maps.mse.items():
        rows[name]["risk_map_mse"] = error
    arrow = "\N{RIGHTWARDS ARROW}"
    risk_map_chart(out / "figure5.png", maps, f"tumour before {arrow}", f"viable share after {arrow}")
    return {**about, "risk_maps": maps.to_json()}


def _outcomes(patients: Sequence[GivenOutcome]) -> tuple[Array, NDArray[np.bool_]]:
    if not patients:
        raise SurvivalDataError(what="No patient to measure on")
    return np.array([p.months for p in patients]), np.array([p.event for p in patients], bool)


def _without_images(patient: GivenOutcome) -> GivenOutcome:
    """The same patient with no images, since thousands of them fill the memory."""
    return replace(patient, images=np.zeros((2, 0), np.float16))
