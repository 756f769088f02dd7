"""The offline policy: from findings, clinical data and a goal to candidate drugs and embolics. No network, no key.

It takes the place of pi_VLM(x0, g) of arXiv 2506.02327 (section 3.1, line 5 of Algorithm 1). An agent's score is its
base score plus what the findings add (both in `guideline.json`, which a physician can read and change), minus one for
each warning about this agent in this patient. Agents that the goal names come first; agents that the goal excludes or
the rules forbid in this patient are not proposed. To a goal that wants no drug (TAE) only embolics are proposed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import PlanSettingsError, RuleError
from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol, agent
from MeWMLib.core.records import read_json
from MeWMLib.policy.agent_names import offered
from MeWMLib.policy.goal import read_goal, with_facts
from MeWMLib.policy.rules import WARNING, allowed, blocking, check, explain_none, load_rules
from MeWMLib.policy.sources import source_text

POLICY_NAME = "guideline"
#: What an agent loses for each agent of its class that is already chosen, so that the candidates differ in mechanism.
SAME_CLASS_PENALTY = 1.2
WARNING_PENALTY = 1.0
#: Above all scores, so that the goal decides before anything else does.
GOAL_BONUS = 100.0


@dataclass(frozen=True)
class _Scored:
    name: str
    score: float
    reason: str
    source: str = ""


def propose(
    findings: Findings,
    clinical: Clinical | None = None,
    goal: str = "",
    drugs: int = 5,
    embolics: int = 4,
    among: Collection[str] | None = None,
    insists: bool = False,
) -> ActionSpace:
    """Propose what to search for one patient.

    Args:
        findings: measured on the labels; the target lesion is the first (largest) one.
        clinical: what is known of the patient; None means nothing.
        goal: the treatment goal in words; agents named there are put first or left out (see `goal`).
        drugs: D, the most drugs to propose, at least 1.
        embolics: E, the most embolics to propose, at least 1.
        among: canonical names to choose from, such as what a hospital has; None means the whole vocabulary.
        insists: see `Goal.insists`.

    Returns:
        Up to D drugs and E embolics, best first, with a one-sentence reason each. Each is allowed in this patient on
        its own, and at least one drug is allowed together with one embolic; no drug where the goal wants none.

    Raises:
        PlanSettingsError: a number below 1.
        RuleError: the rules and the goal leave no drug with an embolic.
    """
    for label, number in (("drugs", drugs), ("embolics", embolics)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise PlanSettingsError(what=f"The number of {label} to propose must be at least 1", given=repr(number))
    clinical, named = with_facts(replace(read_goal(goal), insists=insists), clinical or Clinical())
    facts = describe(findings, clinical)
    kinds = (EMBOLIC,) if named.without_drugs else (DRUG, EMBOLIC)
    scored = {kind: _scores(kind, facts, clinical, named, among, findings) for kind in kinds}
    pairs = [
        pair
        for pair in itertools.product(*scored.values())
        if allowed(Protocol.of([s.name for s in pair]), clinical, complete=True, findings=findings, goal=named)
    ]
    if not pairs:
        raise _nothing_left(clinical, named, among, findings)
    chosen_drugs, chosen_embolics = _diverse(scored.get(DRUG, ()), drugs), scored[EMBOLIC][:embolics]
    if not any(set(pair) <= {*chosen_drugs, *chosen_embolics} for pair in pairs):
        *needed, embolic = max(pairs, key=lambda pair: sum(one.score for one in pair))
        chosen_drugs = _with(needed[0], chosen_drugs) if needed else chosen_drugs
        chosen_embolics = _with(embolic, chosen_embolics)
    chosen = (*chosen_drugs, *chosen_embolics)
    return ActionSpace(
        tuple(d.name for d in chosen_drugs),
        tuple(e.name for e in chosen_embolics),
        {s.name: s.reason for s in chosen},
        POLICY_NAME,
        {s.name: s.source for s in chosen},
    )


def describe(findings: Findings, clinical: Clinical) -> dict[str, float]:
    """The numbers that the adjustments of `guideline.json` ask for; those that are not known are left out.

    Returns:
        lesions: how many; of the target lesion diameter_mm (longest axial), enhancement_hu (its mean minus that of the
        liver; the phase of the CT is not taken into account), necrotic_fraction and lipiodol_fraction; tumour_share is
        all tumour in the liver. Of the clinical data afp_ng_per_ml, and 1 or 0 as child_pugh_b and bclc_advanced
        (stage C).
    """
    facts: dict[str, float | None] = {
        "lesions": float(len(findings.lesions)),
        "afp_ng_per_ml": clinical.afp_ng_per_ml,
        "bclc_advanced": None if clinical.bclc_stage is None else float(clinical.bclc_stage == "C"),
        "child_pugh_b": None
        if clinical.known("child_pugh_class") is None
        else float(clinical.known("child_pugh_class") == "B"),
    }
    if findings.lesions:
        target = findings.lesions[0]
        facts |= {
            "diameter_mm": target.longest_axial_diameter_mm,
            "enhancement_hu": None if findings.liver_mean_hu is None else target.mean_hu - findings.liver_mean_hu,
            "necrotic_fraction": target.necrotic_fraction,
            "lipiodol_fraction": target.lipiodol_fraction,
            "tumour_share": findings.tumour_ml / findings.liver_ml if findings.liver_ml > 0 else None,
        }
    return {name: value for name, value in facts.items() if value is not None}


@cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = read_json(Path(__file__).with_name("guideline.json"))
    return data


def _scores(
    kind: str,
    facts: Mapping[str, float],
    clinical: Clinical,
    named: Goal,
    among: Collection[str] | None = None,
    findings: Findings | None = None,
) -> list[_Scored]:
    """The agents of a kind that this patient may have, best first; ties in vocabulary order."""
    # A warning about the patient as a whole concerns every agent alike and says nothing about their order.
    singling_out = {rule.id for rule in load_rules() if rule.applies_to is not None}
    scored = []
    for name in offered(kind, among):
        alone = check(Protocol.of([name]), clinical, complete=False, findings=findings)
        if name in named.ruled_out or blocking(alone, named):
            continue
        entry = _table()["agents"][name]
        changes = [c for c in _table()["adjustments"] if name in c["agents"] and _applies(c, facts)]
        score = float(entry["score"])
        for change in changes:  # not `sum`: it rounds differently from Python 3.12 on, which would decide ties
            score += change["add"]
        parts = [str(e["reason"]) for e in (entry, *(c for c in changes if c["add"] > 0))]
        parts += [f"against it: {c['reason']}" for c in changes if c["add"] <= 0]
        sources = [_source(e) for e in (entry, *changes)]
        warnings = [f for f in alone if f.rule in singling_out and f.severity == WARNING]
        if warnings:
            score -= WARNING_PENALTY * len(warnings)
            parts += [f"the rules warn: {f.reason} [{f.rule}]" for f in warnings]
            sources += [f.source for f in warnings]
        if name in named.wanted:
            # In the order in which the goal names them.
            score += GOAL_BONUS - named.wanted.index(name)
            parts.insert(0, "named in the goal")
        # the agent's name stands beside it wherever it is shown
        reason = parts[0][:1].upper() + "; ".join(parts)[1:] + "."
        scored.append(_Scored(name, score, reason, " | ".join(dict.fromkeys(sources))))
    return sorted(scored, key=lambda s: -s.score)


def _applies(change: Mapping[str, Any], facts: Mapping[str, float]) -> bool:
    value = facts.get(change["finding"])
    return value is not None and change.get("above", -math.inf) < value <= change.get("up_to", math.inf)


def _source(entry: Mapping[str, Any]) -> str:
    return source_text(entry["source"], entry["references"], entry.get("needs_review", False))


def _diverse(scored: Sequence[_Scored], count: int) -> list[_Scored]:
    """Greedy choice in which each agent loses `SAME_CLASS_PENALTY` for every chosen one of its class."""
    left, chosen = list(scored), list[_Scored]()
    while left and len(chosen) < count:
        classes = [agent(s.name).agent_class for s in chosen]
        best = max(left, key=lambda s: s.score - SAME_CLASS_PENALTY * classes.count(agent(s.name).agent_class))
        left.remove(best)
        chosen.append(best)
    return chosen


def _with(needed: _Scored, chosen: list[_Scored]) -> list[_Scored]:
    """The choice with `needed` in it, in place of the last one if need be."""
    return chosen if needed in chosen else [*chosen[:-1], needed]


def _nothing_left(
    clinical: Clinical, named: Goal, among: Collection[str] | None, findings: Findings | None
) -> RuleError:
    excluded = named.ruled_out
    drugs, embolics = ([n for n in offered(kind, among) if n not in excluded] for kind in (DRUG, EMBOLIC))
    if named.without_drugs:
        drugs = []
    reasons = (
        explain_none(drugs, embolics, clinical, findings, named),
        "the goal excludes " + ", ".join(excluded) if excluded else "",
    )
    return RuleError(
        what="The clinical rules and the goal rule out every "
        + ("embolic, and no drug is wanted" if named.without_drugs else "combination of a drug and an embolic"),
        given="; ".join(reason for reason in reasons if reason),
        remedy="Check the patient's clinical data and the goal; if they are right, no TACE is allowed for this patient",
    )
