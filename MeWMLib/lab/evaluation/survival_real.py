"""`mewm evaluate survival --table NAME`: tabular survival models on real patients, cross-validated by patient."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from MeWMLib.core.io import write_json
from MeWMLib.lab.evaluation.metrics import Rows, interval
from MeWMLib.lab.evaluation.survival_charts import (
    interval_chart,
    kaplan_meier_chart,
    reliability_chart,
    risk_panel,
    save_png,
    save_scene,
    words,
)
from MeWMLib.lab.evaluation.survival_metrics import Concordance, Outcomes, reliability
from MeWMLib.lab.evaluation.survival_models import HORIZONS, Model, Predictions, cross_validate, models_of
from MeWMLib.lab.evaluation.survival_tables import Endpoint, find_table, read_table
from MeWMLib.lab.evaluation.work import Say, settings_from, silent

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
    months, events, at = endpoint.months, endpoint.events, TIMES[endpoint.name][0]
    shown = [n for n in (*MAIN, "response_cox") if n in found]
    panels = [risk_panel(n, rows[n], found[n].percentiles, months, events) for n in shown]
    event = "free of progression" if endpoint.name == "ttp" else "survival"
    until = float(np.quantile(months, 0.97))
    save_png(out / f"kaplan_meier_{endpoint.name}.png", kaplan_meier_chart(panels, event, until))
    save_scene(out / f"kaplan_meier_{endpoint.name}.mrb", panels)
    column = HORIZONS.index(at)
    size = int(np.clip(len(months) // 20, 3, 10))
    tables = {n: reliability(found[n].survival[:, column], months, events, at, size) for n in shown}
    titled = {words(n): t for n, t in tables.items()}
    save_png(out / f"reliability_{endpoint.name}.png", reliability_chart(titled, f"{event} at {at:g} months"))
    scores = {n: f["c_index"] for n, f in rows.items() if "c_index" in f}
    chart = interval_chart(scores, "cross-validated C-index (dashed: chance)", 0.5)
    save_png(out / f"c_index_{endpoint.name}.png", chart)
    return {"months": at, "models": tables}
