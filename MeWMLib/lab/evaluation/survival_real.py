"""`mewm evaluate survival --table NAME`: tabular survival models on real patients, cross-validated by patient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import DependencyError, SurvivalDataError
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.lab.evaluation.survival_charts import interval_chart, kaplan_meier_chart, reliability_chart
from MeWMLib.lab.evaluation.survival_metrics import (
    Concordance,
    bootstrap,
    brier_terms,
    kaplan_meier,
    log_rank_p,
    observed_survival,
    plain,
    reliability,
    require_libraries,
)
from MeWMLib.lab.evaluation.survival_models import HORIZONS, Model, Predictions, cross_validate, models_of
from MeWMLib.lab.evaluation.survival_tables import Endpoint, read_table
from MeWMLib.lab.linear_cox import LinearCox
from MeWMLib.scene.survival_curves import CurvePanel, StepCurve

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


def evaluate_table(
    settings: TableSettings, out: Path, on_step: Callable[[str, float], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Compare the models of each endpoint; write `survival.json` and the pictures of each into `out`.

    Rows are ENDPOINT.MODEL; metrics `c_index` (Harrell), `c_index_uno`, `auc_Nm`, `brier_Nm`, `log_rank_p` (two groups
    about the median of the training patients), `calibration_slope`, and `c_index_shuffled` of the main models.

    Raises:
        DependencyError: lifelines or scikit-survival is missing.
        UnreadableFileError, SurvivalDataError: the table cannot be used.
    """
    require_libraries()
    rows: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {"folds": settings.folds, "repeats": settings.repeats, "endpoints": {}}
    for endpoint in read_table(settings.table, settings.file):
        models = [m for m in models_of(endpoint) if settings.single or not m.row.startswith("single:")]
        found: dict[str, Predictions] = {}
        for n, model in enumerate(models):
            found[model.row] = cross_validate(model, endpoint, settings.folds, settings.repeats, settings.seed)
            if on_step is not None:
                on_step(endpoint.name, (n + 1) / len(models))
        mine = {name: figures(endpoint, p, settings.seed, name.startswith("single:")) for name, p in found.items()}
        mine["kaplan_meier"] = _without_covariates(endpoint, settings.seed)
        for name in MAIN if settings.permutations else ():
            model = next(m for m in models if m.row == name)
            mine[name]["c_index_shuffled"] = shuffled_c_index(model, endpoint, settings)
            if on_step is not None:
                on_step(f"{endpoint.name} shuffled", (MAIN.index(name) + 1) / len(MAIN))
        rows |= {f"{endpoint.name}.{name}": figure for name, figure in mine.items()}
        about["endpoints"][endpoint.name] = {
            "patients": len(endpoint.months),
            "events": int(endpoint.events.sum()),
            "covariates": {m.row: list(m.covariates) for m in models if not m.row.startswith("single:")},
            "measured_after_treatment": list(endpoint.response),
            "reliability": draw(endpoint, found, mine, out),
        }
    write_json(about, out / "survival.json")
    return rows


def figures(endpoint: Endpoint, found: Predictions, seed: int, only_rank: bool = False) -> dict[str, Any]:
    """All figures of one model's out-of-fold predictions, or Harrell's C alone."""
    months, events = endpoint.months, endpoint.events
    if only_rank:
        return {"c_index": Concordance.harrell(months, events).of(found.risks, found.folds, seed)}
    late = float(np.quantile(months, 0.9))
    out = {
        "c_index": Concordance.harrell(months, events).of(found.risks, found.folds, seed),
        "c_index_uno": Concordance.uno(months, events, late).of(found.risks, found.folds, seed),
    }
    for at in _times(endpoint):
        out[f"auc_{at:g}m"] = Concordance.auc(months, events, at).of(found.risks, found.folds, seed)
        survival = found.survival[:, HORIZONS.index(at)]
        out[f"brier_{at:g}m"] = bootstrap(brier_terms(survival, months, events, at), seed)
    out["log_rank_p"] = plain(log_rank_p(found.percentiles > 0.5, months, events), len(months))
    out["calibration_slope"] = calibration_slope(found.survival[:, HORIZONS.index(_times(endpoint)[0])], months, events)
    return out


def calibration_slope(survival: NDArray[np.float64], months: Any, events: Any) -> dict[str, float]:
    """Slope of log(-log S) in a Cox model (van Houwelingen, Stat Med 2000): 1 is right, under 1 is overstated."""
    risk = np.log(-np.log(np.clip(survival, 1e-6, 1 - 1e-6)))
    nothing = {"mean": float("nan"), "low": float("nan"), "high": float("nan"), "n": len(risk)}
    try:
        fitted = LinearCox.fit(risk[:, None], months, events)
    except SurvivalDataError:  # the same prediction for everyone has no slope
        return nothing
    slope, error = float(fitted.coefficients[0]), float(fitted.standard_errors[0])
    return {"mean": slope, "low": slope - 1.96 * error, "high": slope + 1.96 * error, "n": len(risk)}


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
    low, high = np.quantile(values, [0.025, 0.975])
    return {"mean": float(np.mean(values)), "low": float(low), "high": float(high), "n": len(values)}


def _without_covariates(endpoint: Endpoint, seed: int) -> dict[str, Any]:
    """Brier scores of the curve of all patients, which knows nothing of any."""
    months, events, out = endpoint.months, endpoint.events, {}
    for at in _times(endpoint):
        same = np.full(len(months), observed_survival(months, events, at)[0])
        out[f"brier_{at:g}m"] = bootstrap(brier_terms(same, months, events, at), seed)
    return out


def _times(endpoint: Endpoint) -> tuple[float, ...]:
    return TIMES[endpoint.name]


def groups_of(percentiles: NDArray[np.float64], months: Any, events: Any, count: int) -> tuple[StepCurve, ...]:
    """Kaplan-Meier curves of `count` risk groups of equal width in percentiles, lowest first; empty ones left out."""
    names = {2: ("low risk", "high risk"), 3: ("low risk", "middle", "high risk")}[count]
    number = np.clip((percentiles * count).astype(int), 0, count - 1)
    curves = []
    for n, name in enumerate(names):
        chosen = number == n
        if chosen.any():
            seen = np.asarray(months, float)[chosen]
            curve = kaplan_meier(seen, np.asarray(events)[chosen])
            curves.append(StepCurve(name, **curve, patients=int(chosen.sum()), last_seen=seen))
    return tuple(curves)


def draw(
    endpoint: Endpoint, found: Mapping[str, Predictions], rows: Mapping[str, Mapping[str, Any]], out: Path
) -> dict[str, Any]:
    """Write the pictures of an endpoint; return the numbers of the reliability diagram."""
    months, events, at = endpoint.months, endpoint.events, _times(endpoint)[0]
    shown = [n for n in (*MAIN, "response_cox") if n in found]
    panels = []
    for name in shown:
        c, p = rows[name]["c_index"], rows[name]["log_rank_p"]["mean"]
        note = f"C {c['mean']:.2f} ({c['low']:.2f} to {c['high']:.2f}), log-rank p = {p:.2g}"
        panels.append(CurvePanel(name.replace("_", " "), note, groups_of(found[name].percentiles, months, events, 2)))
    event = "free of progression" if endpoint.name == "ttp" else "survival"
    until = float(np.quantile(months, 0.97))
    save_png(out / f"kaplan_meier_{endpoint.name}.png", kaplan_meier_chart(panels, event, until))
    save_scene(out / f"kaplan_meier_{endpoint.name}.mrb", panels)
    column = HORIZONS.index(at)
    size = int(np.clip(len(months) // 20, 3, 10))
    tables = {n: reliability(found[n].survival[:, column], months, events, at, size) for n in shown}
    label = f"{event} at {at:g} months"
    titled = {n.replace("_", " "): t for n, t in tables.items()}
    save_png(out / f"reliability_{endpoint.name}.png", reliability_chart(titled, label))
    scores = {n: f["c_index"] for n, f in rows.items() if "c_index" in f}
    save_png(
        out / f"c_index_{endpoint.name}.png", interval_chart(scores, "cross-validated C-index (dashed: chance)", 0.5)
    )
    return {"months": at, "models": tables}


def save_png(path: Path, data: bytes) -> None:
    """Write a picture, whole or not at all."""
    with atomic_path(path) as part:
        part.write_bytes(data)


def save_scene(path: Path, panels: Sequence[CurvePanel]) -> bool:
    """Write Kaplan-Meier curves as tables and plots of a Slicer scene; False where Slicer's core is not installed."""
    try:
        from MeWMLib.scene.core_app import SlicerCore
        from MeWMLib.scene.mrb import write_mrb
        from MeWMLib.scene.survival_plot import kaplan_meier_nodes
    except DependencyError:
        return False
    with SlicerCore() as core:
        for panel in panels:
            kaplan_meier_nodes(core.scene, panel)
        write_mrb(core.scene, path)
    return True
