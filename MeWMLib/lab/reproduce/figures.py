"""Figures 5 and 6: risk over groups of patients, the network's beside Cox models that are fitted to the cohort."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.lab.evaluation.metrics import exact, interval
from MeWMLib.lab.evaluation.radiomics import RADIOMICS
from MeWMLib.lab.evaluation.survival_charts import kaplan_meier_chart, risk_map_chart, risk_panel
from MeWMLib.lab.evaluation.survival_maps import CELLS, FEWEST, risk_maps
from MeWMLib.lab.evaluation.survival_metrics import Concordance, log_rank_p
from MeWMLib.lab.evaluation.survival_real import HORIZONS, Model, cross_validate
from MeWMLib.lab.reproduce.features import MEASURES
from MeWMLib.lab.reproduce.records import Record

Array = NDArray[np.float64]
#: Fewer patients, or deaths, tell nothing of a survival model.
LEAST_PATIENTS, LEAST_EVENTS = 16, 8
#: Of a scan after: its densities; the outline is that of before, so that shapes are those of before.
AFTER = (
    "mean", "standard_deviation", "skewness", "kurtosis", "percentile_10", "percentile_90", "entropy", *MEASURES,
)  # fmt: skip
BEFORE = (*RADIOMICS, *MEASURES)


@dataclass(frozen=True, eq=False)
class Survivors:
    """Patients with known survival, and what models may read of them; what `cross_validate` asks for.

    Attributes:
        records: of the patients.
        months, events: (N,).
        columns: name to (N,), NaN where not known.
        never: (N,) patients for judging, on whom nothing is fitted.
    """

    records: tuple[Record, ...]
    months: Array
    events: NDArray[np.bool_]
    columns: Mapping[str, Array]
    never: NDArray[np.bool_]

    @classmethod
    def of(cls, records: Sequence[Record], needed: Sequence[str]) -> Survivors:
        """Those with known survival and all of the needed features (of "before", "virtual", "scan_after")."""
        chosen = [r for r in records if r.survived is not None and all(r.features(n) is not None for n in needed)]
        outcome = [r.survived for r in chosen if r.survived is not None]
        groups = (
            ("before", BEFORE),
            ("virtual", AFTER),
            ("scan_after", AFTER),
            ("clinical", None),
            ("procedure", None),
        )
        columns: dict[str, Array] = {}
        for group, names in groups:
            found = [r.features(group) or {} for r in chosen]
            for name in names or dict.fromkeys(n for one in found for n in one):
                columns[f"{group}.{name}"] = np.array([one.get(name, np.nan) for one in found], float)
        return cls(
            tuple(chosen),
            np.array([m for m, _ in outcome], float),
            np.array([e for _, e in outcome], bool),
            columns,
            np.array([r.member.judging for r in chosen], bool),
        )

    def matrix(self, names: Sequence[str]) -> Array:
        """(N, F) of the named columns."""
        return np.stack([self.columns[name] for name in names], axis=1)

    def named(self, *groups: str) -> tuple[str, ...]:
        """Columns of some groups that are known of more than half of the patients and vary."""

        def useful(values: Array) -> bool:
            known = values[np.isfinite(values)]
            return 2 * len(known) > len(values) and float(np.ptp(known)) > 1e-9

        return tuple(n for n, v in self.columns.items() if n.split(".")[0] in groups and useful(v))

    @property
    def lacks(self) -> str:
        """Why these patients tell nothing of a survival model; "" where they do."""
        fitted = ~self.never
        patients, deaths = int(fitted.sum()), int(self.events[fitted].sum()) if len(fitted) else 0
        if patients >= LEAST_PATIENTS and deaths >= LEAST_EVENTS:
            return ""
        return (
            f"Survival models need {LEAST_PATIENTS} patients with a scan after and {LEAST_EVENTS} deaths among them; "
            f"there are {patients} and {deaths}"
        )


def survival_figures(records: Sequence[Record], folder: Path, folds: int, repeats: int, seed: int) -> dict[str, Any]:
    """Figures 5 and 6 on the simulated scans after what was given.

    Rows: `mewm`, the network's log-risk, fitted to nobody of the cohort; `mewm_scan_after`, the same on the scan
    after; `clinical_cox` and `radiomics_cox` (elastic net over scan before and simulated scan after), cross-validated.
    Metrics: `c_index`, `log_rank_p` of the halves, and `risk_map_mse` of Figure 5.

    Returns:
        JSON-ready: `rows`, `patients`, `deaths`, `months`, `gaps`, `pictures` (names in `folder`).
    """
    known = Survivors.of(records, ("before", "virtual"))
    out: dict[str, Any] = {"rows": {}, "patients": len(known.records), "gaps": [], "pictures": []}
    if known.lacks:
        out["gaps"].append(known.lacks)
        return out
    out["deaths"] = int(known.events.sum())
    at = min(HORIZONS, key=lambda month: abs(month - float(np.median(known.months))))
    out["months"] = at
    pairs = Concordance.harrell(known.months, known.events)
    models = [
        Model("radiomics_cox", known.named("before", "virtual"), "elastic net"),
        Model("clinical_cox", known.named("clinical"), "elastic net"),
    ]
    ranks: dict[str, Array] = {}
    survival: dict[str, Array] = {}
    for model in models:
        if not model.covariates:
            out["gaps"].append(f"None of the covariates of {model.row} is known")
            continue
        found = cross_validate(model, known, folds, repeats, seed, known.never)
        out["rows"][model.row] = {"c_index": pairs.of(found.risks, found.folds, seed)}
        ranks[model.row] = found.percentiles
        survival[model.row] = found.survival[:, HORIZONS.index(at)]
    for row, name in (("mewm", "log_risk_virtual"), ("mewm_scan_after", "log_risk_real")):
        risk = np.array([r.number(name) for r in known.records])
        if not np.isfinite(risk).all():
            out["gaps"].append(f"{int((~np.isfinite(risk)).sum())} patients have no scan for the row {row}")
            continue
        out["rows"][row] = {"c_index": pairs.of([risk], None, seed)}
        ranks[row] = np.argsort(np.argsort(risk)) / len(risk)
    survival["mewm"] = np.array([_beyond(r, at) for r in known.records])
    for row, rank in ranks.items():
        out["rows"][row]["log_rank_p"] = exact(log_rank_p(rank >= 0.5, known.months, known.events), len(rank))
    _draw(out, known, ranks, survival, at, folder, seed)
    return out


def _beyond(record: Record, at: float) -> float:
    """The network's probability of survival beyond a month after what was given."""
    curve = record.result["curve"]
    logs = np.log(np.maximum(curve["survival"], 1e-12))
    return float(np.exp(np.interp(at, [0.0, *curve["months"]], [0.0, *logs])))


def _draw(
    out: dict[str, Any],
    known: Survivors,
    ranks: Mapping[str, Array],
    survival: Mapping[str, Array],
    at: float,
    folder: Path,
    seed: int,
) -> None:
    """Write both figures; adds the errors of Figure 5 to the rows."""
    shown = [row for row in ("radiomics_cox", "mewm") if row in ranks]
    panels = [risk_panel(row, out["rows"][row], ranks[row], known.months, known.events) for row in shown]
    kaplan_meier_chart(folder / "figure6.png", panels, until=float(np.quantile(known.months, 0.97)))
    out["pictures"].append("figure6.png")
    cells = min(CELLS, int(np.sqrt(len(known.records) / FEWEST)))
    if cells < 2:
        out["gaps"].append(f"Figure 5 needs {4 * FEWEST} patients for a grid of two by two cells")
        return
    predicted = {row: survival[row] for row in ("clinical_cox", "radiomics_cox", "mewm") if row in survival}
    x, y = np.exp(known.columns["before.log_volume_ml"]), known.columns["virtual.viable_share"]
    maps = risk_maps(x, y, known.months, known.events, predicted, at, seed, cells)
    for row, error in maps.mse.items():
        out["rows"][row]["risk_map_mse"] = error
    out["risk_maps"] = maps.to_json()
    arrow = "\N{RIGHTWARDS ARROW}"
    risk_map_chart(folder / "figure5.png", maps, f"tumour before, ml {arrow}", f"viable share, simulated {arrow}")
    out["pictures"].append("figure5.png")


def virtual_against_real(records: Sequence[Record], folds: int, repeats: int, seed: int) -> dict[str, Any]:
    """Does a simulated CT after treatment tell as much of survival as the real one? On the same folds.

    Rows, elastic net Cox models: `before` (scan before), `clinical` (and clinical and procedural variables), `virtual`
    (and the simulated scan after), `scan_after` (and the scan after in its place), and `volumes` (log viable volume
    before and in the simulated scan alone). Metric `c_index`; `differences` are paired: the same draws of patients.

    Returns:
        JSON-ready: `rows`, `differences`, `covariates`, `patients`, `deaths`, `gaps`.
    """
    known = Survivors.of(records, ("before", "virtual", "scan_after"))
    out: dict[str, Any] = {"rows": {}, "differences": {}, "patients": len(known.records), "gaps": []}
    if known.lacks:
        out["gaps"].append(known.lacks)
        return out
    out["deaths"] = int(known.events.sum())
    base = ("before", "clinical", "procedure")
    models = {
        "before": known.named("before"),
        "clinical": known.named(*base),
        "virtual": known.named(*base, "virtual"),
        "scan_after": known.named(*base, "scan_after"),
        "volumes": ("before.log_viable_ml", "virtual.log_viable_ml"),
    }
    if models["clinical"] == models["before"]:
        out["gaps"].append("No clinical or procedural variable is known of more than half of the patients and varies")
    pairs = Concordance.harrell(known.months, known.events)
    drawn: dict[str, Array] = {}
    for row, covariates in models.items():
        found = cross_validate(Model(row, covariates, "elastic net"), known, folds, repeats, seed, known.never)
        share = pairs.share(found.risks, found.folds)
        drawn[row] = np.append(share, pairs.draws(found.risks, found.folds, seed))
        out["rows"][row] = {"c_index": interval(share, drawn[row][1:], len(known.records))}
    for first, second in (
        ("clinical", "before"),
        ("virtual", "clinical"),
        ("scan_after", "clinical"),
        ("scan_after", "virtual"),
    ):
        apart = drawn[first] - drawn[second]
        out["differences"][f"{first} - {second}"] = {"c_index": interval(apart[0], apart[1:], len(known.records))}
    out["covariates"] = {row: list(names) for row, names in models.items()}
    return out
