"""Tables 2 and 3: does a plan name the agents that were given, for every policy, search and ablation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from MeWMLib.core.plan import FREE, PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.lab.evaluation.baselines import ABLATED, FULL
from MeWMLib.lab.evaluation.metrics import bootstrap_mean, rows_of
from MeWMLib.lab.evaluation.planning import overlap
from MeWMLib.lab.evaluation.policy import METRICS, Maker, evaluate_policies, makers
from MeWMLib.lab.evaluation.policy_cases import PolicyCohort
from MeWMLib.lab.reproduce.records import Record
from MeWMLib.lab.reproduce.searched import ROWS
from MeWMLib.policy.proposal import Policy

#: Policies that are measured alone; the second pair of them is never fitted.
POLICIES = ("guideline", "constant", "frequency_prior", "random")
#: Rows that are held against a full one, patient by patient (Table 3). A network that was trained without a part is
#: held against one of the same budget, never against the bundle of the run, which may have been trained for longer.
ABLATIONS = {
    "no_assistant": "mewm_assistant", "mewm": "mewm_assistant", "judged_by_model": "mewm",
    **dict.fromkeys(ABLATED, FULL),
}  # fmt: skip
ROWS_OF_SEARCHES = (*ROWS, "random_in_space")
#: Rows of Table 2 that are held against one another, patient by patient.
PAIRS = (
    ("frequency_prior", "mewm"), ("constant", "mewm"), ("guideline", "mewm"), ("mewm_assistant", "mewm"),
    ("mewm_exhaustive", "mewm"), ("mewm", "random_in_space"),
)  # fmt: skip
Rows = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class PolicySettings:
    """How policies are measured.

    Attributes:
        among: agents to choose from; None for the whole vocabulary.
        constant: the constant plan.
        folds, repeats: of the fitted policies.
        drug_horizon, embolic_horizon: Hd and He.
        held_out: ids of the patients that figures are of; the others are what is fitted on. None for a
            cross-validation over all.
        seed: of splits, chance and bootstrap.
    """

    among: tuple[str, ...] | None
    constant: Protocol
    folds: int
    repeats: int
    drug_horizon: int
    embolic_horizon: int
    held_out: frozenset[str] | None
    seed: int


class PolicyRows(NamedTuple):
    """Policies alone.

    Attributes:
        rows: in percent.
        refused: row to the patients to whom it proposed nothing.
        gaps: what could not be measured.
        f1: row to patient to F1 in percent.
    """

    rows: Rows
    refused: dict[str, list[str]]
    gaps: list[str]
    f1: dict[str, dict[str, float]]


def table2(records: Sequence[Record], settings: PolicySettings) -> dict[str, Any]:
    """Rows of Table 2, in percent against what was given.

    Returns:
        JSON-ready: `rows` (f1, jaccard, precision, recall; `f1_beyond_constant`, paired; of synthetic patients
        `regret`), `differences` of `PAIRS`, each over the patients that both rows have, `same_choices` (searches that
        chose the same for every patient), `patients`, `refused` (patients to whom the rules leave nothing, who count as
        an empty plan), `gaps`.
    """
    gold = [r for r in records if r.gold is not None and _judged(r, settings)]
    out: dict[str, Any] = {"rows": {}, "patients": len(gold), "gaps": [], "refused": {}}
    if not gold:
        out["gaps"].append("No patient has a recorded protocol")
        return out
    alone = policy_rows([r for r in records if r.gold is not None], settings)
    out["rows"] |= alone.rows
    out["refused"] |= alone.refused
    out["gaps"] += alone.gaps
    planned = [r for r in gold if r.planning]
    figures = {r.id: _of_patient(r, settings.constant) for r in planned}
    out["rows"] |= rows_of(list(figures.values()), settings.seed)
    each = {row: {who: {"f1": value} for who, value in values.items()} for row, values in alone.f1.items()}
    for row in ROWS_OF_SEARCHES:
        if found := {who: rows[row] for who, rows in figures.items() if row in rows}:
            each[row] = found
    out["differences"] = _differences(each, settings.seed)
    out["same_choices"] = _same_choices(planned)
    out["refused"]["mewm"] = [r.id for r in planned if r.planning.get("refused")]
    return out


def _differences(each: Mapping[str, Mapping[str, Mapping[str, float]]], seed: int) -> dict[str, Any]:
    """The differences of `PAIRS` in F1 and regret, as far as both rows have them."""
    out = {}
    for first, second in PAIRS:
        both = [who for who in each.get(first, ()) if who in each.get(second, ())]
        if both:
            pairs = [(each[first][who], each[second][who]) for who in both]
            metrics = [m for m in ("f1", "regret") if all(m in a and m in b for a, b in pairs)]
            out[f"{first} - {second}"] = {m: bootstrap_mean([a[m] - b[m] for a, b in pairs], seed) for m in metrics}
    return out


def _same_choices(records: Sequence[Record]) -> list[list[str]]:
    """Searches that chose the same protocol for every patient."""
    groups: dict[str, list[str]] = {}
    for row in ROWS_OF_SEARCHES:
        chosen = [(r.planning["rows"].get(row) or {}).get("protocols") for r in records if not r.planning["refused"]]
        if chosen and all(chosen):
            groups.setdefault(str(chosen), []).append(row)
    return [rows for rows in groups.values() if len(rows) > 1]


def table3(records: Sequence[Record], settings: PolicySettings) -> dict[str, Any]:
    """What a part is worth: each ablation beside the full row, on the same patients, and the paired difference.

    Returns:
        JSON-ready: `rows` and `pairs` (the ablation to both rows on the patients that have both), `differences`,
        `gaps`; `assisted`, patients searched with the segmenter's outline, and
        `lesion_found`, those of them whose lesion it finds before treatment: in the others the outline stays.
    """
    gold = [r for r in records if r.gold is not None and r.planning and _judged(r, settings)]
    figures = [_of_patient(r, settings.constant) for r in gold]
    out: dict[str, Any] = {"rows": {}, "pairs": {}, "differences": {}, "gaps": []}
    for row, full in ABLATIONS.items():
        both = [f for f in figures if row in f and full in f]
        if not both:
            continue
        out["pairs"][row] = {
            name: rows_of([{name: f[name]} for f in both], settings.seed)[name] for name in (full, row)
        }
        out["rows"] |= out["pairs"][row]
        metrics = [m for m in both[0][row] if m in both[0][full] and m not in ("simulations", "seconds")]
        out["differences"][f"{row} - {full}"] = {
            m: bootstrap_mean([f[row].get(m, np.nan) - f[full].get(m, np.nan) for f in both], settings.seed)
            for m in metrics
        }
    trained = [row for row in ABLATED if any(row in f for f in figures)]
    if trained and not any(FULL in f for f in figures):
        out["gaps"].append(f"{', '.join(trained)}: there is no full row of the same budget (--row {FULL}=BUNDLE)")
    asked = [r.planning.get("segmenter_counts") for r in gold]
    out["assisted"], out["lesion_found"] = sum(one is not None for one in asked), sum(one is True for one in asked)
    if not out["differences"]:
        out["gaps"].append("No ablation was searched on a patient with a recorded protocol")
    return out


def policy_rows(
    records: Sequence[Record],
    settings: PolicySettings,
    more: Mapping[str, Policy] | None = None,
    images: Callable[[Record], tuple[bytes, ...]] | None = None,
) -> PolicyRows:
    """Policies alone; those for judging are in no part that anything is fitted on.

    Args:
        records: with a recorded protocol.
        settings: see `PolicySettings`.
        more: policies that are not fitted, by the name of their row; those of `POLICIES` if left out.
        images: slices of a patient for policies that look at them.

    """
    cases = {r.id: case for r in records if (case := r.policy_case(images(r) if images else ())) is not None}
    closed = {r.id for r in records if r.member.judging}
    names = tuple(more) if more else POLICIES
    gaps: list[str] = []
    if len(cases) < 2:
        return PolicyRows({}, {}, ["A policy needs two patients with a recorded protocol to be measured"], {})
    if len(cases) - len(closed) < 3 and "frequency_prior" in names:
        names = tuple(n for n in names if n != "frequency_prior")
        gaps.append("A frequency prior needs three patients with a recorded protocol who are not for judging")
    cohort = PolicyCohort("cohort", tuple(cases.values()), settings.among, settings.constant)
    known = {name: _open(make, closed) for name, make in makers(cohort, names, more).items()}
    plan = PlanSettings(space=FREE, drug_horizon=settings.drug_horizon, embolic_horizon=settings.embolic_horizon)
    order = list(cases)
    if settings.held_out is not None:
        known = {name: _fitted_once(make, cases, settings.held_out) for name, make in known.items()}
    count = min(settings.folds, len(order))
    found = evaluate_policies(cohort, known, plan, settings.repeats, count, settings.seed)
    keep = [n for n, who in enumerate(order) if settings.held_out is None or who in settings.held_out]
    habit = np.array([overlap(settings.constant, Protocol.of(sorted(case.gold)))["f1"] for case in cases.values()])
    rows: Rows = {}
    f1: dict[str, dict[str, float]] = {}
    for name, values in found.each.items():
        f1[name] = {order[n]: float(100 * values[0][n]) for n in keep}
        rows[name] = {m: bootstrap_mean(100 * v[keep], settings.seed) for m, v in zip(METRICS, values, strict=True)}
        rows[name]["f1_beyond_constant"] = bootstrap_mean((100 * values[0] - habit)[keep], settings.seed)
    nothing = {name: [who for who, text in plans.items() if not text] for name, plans in found.plans.items()}
    return PolicyRows(rows, {name: who for name, who in nothing.items() if who}, gaps, f1)


def _judged(record: Record, settings: PolicySettings) -> bool:
    return settings.held_out is None or record.id in settings.held_out


def _open(make: Maker, closed: set[str]) -> Maker:
    """The same without the patients for judging in what it is fitted on."""
    return lambda train, seed: make([case for case in train if case.id not in closed], seed)


def _fitted_once(make: Maker, cases: Mapping[str, Any], held_out: frozenset[str]) -> Maker:
    """The same, fitted on what is not held out, whatever the fold."""
    train = [case for who, case in cases.items() if who not in held_out]
    return lambda _train, seed: make(train, seed)


def _of_patient(record: Record, constant: Protocol) -> dict[str, dict[str, float]]:
    """Row to metric to number of one patient's searches."""
    gold, planning = record.gold, record.planning
    assert gold is not None
    if planning.get("refused"):
        # the rules leave nothing: an empty plan, as for the policies
        return {"mewm": {**dict.fromkeys(METRICS, 0.0), "f1_beyond_constant": -overlap(constant, gold)["f1"]}}
    true = planning.get("true") or {}
    best = min(true.values()) if true else float("nan")
    habit = overlap(constant, gold)["f1"]
    out = {}
    for row, choice in planning["rows"].items():
        chosen = [Protocol.parse(text) for text in choice["protocols"]]
        each = [overlap(p, gold) for p in chosen]
        found = {m: float(np.mean([e[m] for e in each])) for m in METRICS}
        found["f1_beyond_constant"] = found["f1"] - habit
        if true:
            found["regret"] = float(np.mean([true[text] for text in choice["protocols"]])) - best
        if choice["simulations"]:
            found |= {"simulations": float(choice["simulations"]), "seconds": float(choice["seconds"])}
        out[row] = found
    return out
