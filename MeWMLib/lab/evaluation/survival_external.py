"""`mewm evaluate survival --table A --external B`: models fitted on one table of real patients, judged on another.

Both directions, with the covariates that both tables hold and in the same units. What can be said at all is said first:
the best score that needs no fitting (CLIP alone), and each shared covariate alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import InputError
from MeWMLib.core.io import write_json
from MeWMLib.lab.evaluation.metrics import Rows, bootstrap_mean, jsonable
from MeWMLib.lab.evaluation.survival_charts import decision_chart, draw_reliability
from MeWMLib.lab.evaluation.survival_decision import THRESHOLDS, net_benefit
from MeWMLib.lab.evaluation.survival_metrics import Concordance, Outcomes, observed_survival
from MeWMLib.lab.evaluation.survival_real import fit, outcome_of
from MeWMLib.lab.evaluation.survival_tables import Endpoint, find_table, read_table
from MeWMLib.lab.evaluation.work import Say, silent

Array = NDArray[np.float64]
#: Months of calibration, Brier score, AUC and decision curve.
AT = 24.0
#: What both tables hold.
SHARED = (
    "age_years", "log_afp", "child_pugh", "multinodular", "log_size_mm", "vascular_invasion", "lymph_nodes",
    "metastasis",
)  # fmt: skip
KINDS = {"clinical_cox": "cox", "elastic_net_cox": "elastic net", "random_survival_forest": "forest"}
#: A score that needs no fitting, in the table that has it.
CLIP = "clip_score"
#: Points of Child-Pugh up to which a patient is of class A, and of class B.
CLASS_A, CLASS_B = 6, 9


@dataclass(frozen=True, eq=False)
class SharedTable:
    """Overall survival of a table with the covariates that both hold.

    Attributes:
        name: of the table.
        covariates: `SHARED` by name, (N,), NaN where not known; AFP in ng/ml and size in mm as log(1 + x), Child-Pugh
            as 0 to 2 for A to C.
        months, events: (N,).
        clip: (N,) the CLIP score, or None.
    """

    name: str
    covariates: Mapping[str, Array]
    months: Array
    events: NDArray[np.bool_]
    clip: Array | None = None

    def matrix(self, names: Sequence[str]) -> Array:
        """(N, F) of the named covariates."""
        return np.stack([self.covariates[n] for n in names], axis=1)


def shared_table(name: str, endpoint: Endpoint) -> SharedTable:
    """Overall survival of a table in the shared form.

    Sizes are not quite the same: HCC-TACE-Seg has the readers' sum of diameters, dtsdhcc the largest lesion.

    Raises:
        InputError: an unknown table.
    """
    known = dict(endpoint.covariates)
    if name == "hcc-tace-seg":
        # log of mm there, log(1 + mm) here
        known["log_size_mm"] = np.log1p(np.exp(known["log_size_mm"]))
    elif name == "dtsdhcc":
        points, lesions = known["child_pugh_points"], known["lesions"]
        classes = np.where(points <= CLASS_A, 0.0, np.where(points <= CLASS_B, 1.0, 2.0))
        known["child_pugh"] = np.where(np.isfinite(points), classes, np.nan)
        known["multinodular"] = np.where(np.isfinite(lesions), (lesions > 1).astype(float), np.nan)
        # no diameter was measured
        known["log_size_mm"] = np.where(known["log_size_mm"] > 0, known["log_size_mm"], np.nan)
    else:
        raise InputError(what="This table has no shared form", given=name, remedy="Use hcc-tace-seg and dtsdhcc")
    covariates = {n: np.asarray(known[n], float) for n in SHARED}
    return SharedTable(name, covariates, endpoint.months, endpoint.events, known.get(CLIP))


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Validate in both directions what the arguments name; rows, and on whom."""
    first, second = (_read(text) for text in (args.table, args.external))
    if first.name == second.name:
        raise InputError(what="A table cannot validate itself", given=first.name, remedy="Give the other one")
    return evaluate_external(first, second, args.out, args.seed, say), (
        f"{first.name} to {second.name} and back, overall survival, {len(SHARED)} shared covariates, months"
    )


def _read(text: str) -> SharedTable:
    name, file = find_table(text)
    endpoint = next(e for e in read_table(name, file) if e.name == "os")
    return shared_table(name, endpoint)


def evaluate_external(first: SharedTable, second: SharedTable, out: Path, seed: int = 0, say: Say = silent) -> Rows:
    """Fit on one table, judge on the other, both ways; write `external.json` and the pictures into `out`.

    Rows: `B.clip` (nothing is fitted), `B.single:NAME` and `B.MODEL`, fitted on the other table. Metrics: `c_index`,
    `auc_24m`, `brier_24m`, `calibration_slope`, `log_rank_p` (about the median risk of the table that was fitted on),
    `calibration_in_the_large` (observed less mean predicted survival at 24 months), and `net_benefit_NN` of the
    decision curve where one acts from NN % risk of death on; `treat_all` acts on everyone.

    Raises:
        SurvivalDataError: too few deaths for a figure.
    """
    rows: dict[str, dict[str, Any]] = {}
    about: dict[str, Any] = {"months": AT, "shared": list(SHARED), "tables": {}}
    for n, (train, test) in enumerate(((first, second), (second, first))):
        mine, more = _judged(train, test, out, seed)
        rows |= {f"{test.name}.{row}": figures for row, figures in mine.items()}
        about["tables"][test.name] = more
        say("external", (n + 1) / 2)
    write_json(jsonable(about), out / "external.json")
    return rows


def _judged(train: SharedTable, test: SharedTable, out: Path, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rows of one direction, and what was drawn."""
    outcomes = Outcomes(test.months, test.events, (AT,), seed)
    fitted_on = outcome_of(train.months, train.events)
    rows: dict[str, dict[str, Any]] = {}
    if test.clip is not None:
        rows["clip"] = {"c_index": Concordance.harrell(test.months, test.events).of([_filled(test.clip)], None, seed)}
    for name in SHARED:
        model = fit("cox", train.matrix([name]), fitted_on, seed)
        risk = model.predict(test.matrix([name]))
        rows[f"single:{name}"] = {"c_index": outcomes.pairs["c_index"].of([risk], None, seed)}
    survival: dict[str, Array] = {}
    curves: dict[str, dict[str, list[float]]] = {}
    for row, kind in KINDS.items():
        model = fit(kind, train.matrix(SHARED), fitted_on, seed)
        risk = model.predict(test.matrix(SHARED))
        steps = model.predict_survival_function(test.matrix(SHARED))
        survival[row] = np.array([float(f(np.clip(AT, *f.domain))) for f in steps])
        middle = float(np.median(model.predict(train.matrix(SHARED))))
        rows[row] = outcomes.figures([risk], survival[row][:, None], risk > middle)
        observed = observed_survival(test.months, test.events, AT)[0]
        apart = bootstrap_mean(observed - survival[row], seed)
        rows[row]["calibration_in_the_large"] = apart
        curve = net_benefit(1 - survival[row], test.months, test.events, AT, seed)
        curves[row] = {name: [f["mean"] for f in found] for name, found in curve.items()}
        for level, model_, every in zip(THRESHOLDS, curve["model"], curve["all"], strict=True):
            rows[row][f"net_benefit_{round(100 * level)}"] = model_
            rows.setdefault("treat_all", {})[f"net_benefit_{round(100 * level)}"] = every
    rows["kaplan_meier"] = outcomes.brier()
    size = int(np.clip(len(test.months) // 20, 3, 10))
    tables = draw_reliability(
        out / f"reliability_{test.name}.png", survival, (test.months, test.events), AT, size, "survival"
    )
    decision_chart(out / f"decision_{test.name}.png", THRESHOLDS, curves, f"{test.name}, fitted on {train.name}")
    about = {
        "fitted_on": train.name,
        "patients": len(test.months),
        "deaths": int(test.events.sum()),
        "reliability": tables,
        "decision": {"thresholds": list(THRESHOLDS), **curves},
    }
    return rows, about


def _filled(values: Array) -> Array:
    """Values with the median in place of what is not known."""
    return np.where(np.isfinite(values), values, np.nanmedian(values))
