"""The offline policy: from findings, clinical data and a goal to candidate drugs and embolics. No network, no key.

It stands in for pi_VLM(x0, g) of arXiv 2506.02327 (section 3.1, line 5 of Algorithm 1). An agent's score is its base
score plus what the findings add (both in `guideline.json`, to be read and changed by a physician), minus one for each
warning that singles it out in this patient. What the goal names comes first; what the goal excludes, and what the
rules forbid in this patient, is not proposed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import PlanSettingsError, RuleError
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.protocol import DRUG, EMBOLIC, ActionSpace, Protocol, agent, agents_of
from MeWMLib.policy.goal import GoalAgents, excluded_by, parse_goal
from MeWMLib.policy.rules import FORBIDDEN, allowed, check, explain_none, load_rules
from MeWMLib.policy.sources import source_text

POLICY_NAME = "guideline"
#: What a drug loses for each drug of its class that is already proposed: the candidates are to differ in mechanism.
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
    among: Sequence[str] | None = None,
) -> ActionSpace:
    """Propose what to search for one patient.

    Args:
        findings: what the labels say; the target lesion is the first (largest) one.
        clinical: what is known of the patient; None means nothing.
        goal: the treatment goal in words; agents named there are put first or left out (see `goal`).
        drugs: D, the most drugs to propose, at least 1.
        embolics: E, the most embolics to propose, at least 1.
        among: canonical names to choose from, such as what a hospital has; None means the whole vocabulary.

    Returns:
        Up to D drugs and E embolics, best first, with a one-sentence reason each. Each is allowed for this patient on
        its own, and at least one drug with one embolic is.

    Raises:
        PlanSettingsError: a number below 1.
        RuleError: the rules and the goal leave no drug with an embolic.
    """
    for label, number in (("drugs", drugs), ("embolics", embolics)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise PlanSettingsError(what=f"The number of {label} to propose must be at least 1", given=repr(number))
    clinical = clinical or Clinical()
    named = parse_goal(goal)
    facts = describe(findings, clinical)
    scored = {kind: _scores(kind, facts, clinical, named, among) for kind in (DRUG, EMBOLIC)}
    pair = _best_pair(scored[DRUG], scored[EMBOLIC], clinical)
    if pair is None:
        raise _nothing_left(clinical, named, among)
    chosen_drugs, chosen_embolics = _diverse(scored[DRUG], drugs), scored[EMBOLIC][:embolics]
    if not any(_compatible(d.name, e.name, clinical) for d in chosen_drugs for e in chosen_embolics):
        chosen_drugs, chosen_embolics = _with(pair[0], chosen_drugs), _with(pair[1], chosen_embolics)
    return ActionSpace(
        tuple(d.name for d in chosen_drugs),
        tuple(e.name for e in chosen_embolics),
        {s.name: s.reason for s in (*chosen_drugs, *chosen_embolics)},
        POLICY_NAME,
        {s.name: s.source for s in (*chosen_drugs, *chosen_embolics)},
    )


def describe(findings: Findings, clinical: Clinical) -> dict[str, float]:
    """The numbers that the adjustments of `guideline.json` look at; what is not known is left out.

    Returns:
        lesions: how many; child_pugh_b: 1 or 0; and of the target lesion diameter_mm (longest axial), enhancement_hu
        (its mean minus that of the liver; the phase of the CT is not taken into account), necrotic_fraction and
        lipiodol_fraction. tumour_share is all tumour in the liver. Of the clinical data: child_pugh_b and bclc_advanced
        (stage C), 1 or 0, and afp_ng_per_ml.
    """
    facts = {"lesions": float(len(findings.lesions))}
    if findings.lesions:
        target = findings.lesions[0]
        facts |= {
            "diameter_mm": target.longest_axial_diameter_mm,
            "enhancement_hu": target.mean_hu - findings.liver_mean_hu,
            "necrotic_fraction": target.necrotic_fraction,
            "lipiodol_fraction": target.lipiodol_fraction,
        }
    if findings.lesions and findings.liver_ml > 0:
        facts["tumour_share"] = findings.tumour_ml / findings.liver_ml
    if clinical.afp_ng_per_ml is not None:
        facts["afp_ng_per_ml"] = clinical.afp_ng_per_ml
    if clinical.bclc_stage is not None:
        facts["bclc_advanced"] = float(clinical.bclc_stage == "C")
    if clinical.child_pugh_class is not None:
        facts["child_pugh_b"] = float(clinical.child_pugh_class == "B")
    return facts


@cache
def _table() -> dict[str, Any]:
    data: dict[str, Any] = json.loads(Path(__file__).with_name("guideline.json").read_text(encoding="utf-8"))
    return data


def _scores(
    kind: str,
    facts: Mapping[str, float],
    clinical: Clinical,
    named: GoalAgents,
    among: Sequence[str] | None = None,
) -> list[_Scored]:
    """The agents of a kind that this patient may have, best first; ties in vocabulary order."""
    # A warning about the patient as a whole holds for every agent alike and says nothing about their order.
    singling_out = {rule.id for rule in load_rules() if rule.applies_to is not None}
    scored = []
    for name in agents_of(kind) if among is None else [n for n in agents_of(kind) if n in among]:
        alone = check(Protocol.of([name]), clinical, complete=False)
        if name in excluded_by(named) or any(f.severity == FORBIDDEN for f in alone):
            continue
        entry = _table()["agents"][name]
        score, parts = float(entry["score"]), [str(entry["reason"])]
        sources = dict.fromkeys([_source(entry)])
        for change in _table()["adjustments"]:
            value = facts.get(change["finding"])
            if name not in change["agents"] or value is None:
                continue
            if change.get("above", -float("inf")) < value <= change.get("up_to", float("inf")):
                score += change["add"]
                parts.append(str(change["reason"]))
                sources.setdefault(_source(change))
        warned = [f.rule for f in alone if f.rule in singling_out]
        if warned:
            score -= WARNING_PENALTY * len(warned)
            parts.append("warned of by the rules " + ", ".join(warned))
            sources |= dict.fromkeys(f.source for f in alone if f.rule in singling_out)
        if name in named.wanted:
            # In the order in which the goal names them.
            score += GOAL_BONUS - named.wanted.index(name)
            parts.insert(0, "named in the goal")
        scored.append(_Scored(name, score, f"{name}: " + "; ".join(parts) + ".", " | ".join(sources)))
    return sorted(scored, key=lambda s: -s.score)


def _source(entry: Mapping[str, Any]) -> str:
    return source_text(entry["source"], entry["references"], entry.get("needs_review", False))


def _diverse(scored: Sequence[_Scored], count: int) -> list[_Scored]:
    """Greedy choice: each further agent of a class that is there already loses `SAME_CLASS_PENALTY`."""
    left, chosen = list(scored), list[_Scored]()
    while left and len(chosen) < count:
        classes = [agent(s.name).agent_class for s in chosen]
        best = max(left, key=lambda s: s.score - SAME_CLASS_PENALTY * classes.count(agent(s.name).agent_class))
        left.remove(best)
        chosen.append(best)
    return chosen


def _compatible(drug: str, embolic: str, clinical: Clinical) -> bool:
    return allowed(Protocol.of([drug, embolic]), clinical, complete=True)


def _best_pair(
    drugs: Sequence[_Scored], embolics: Sequence[_Scored], clinical: Clinical
) -> tuple[_Scored, _Scored] | None:
    pairs = [(d, e) for d in drugs for e in embolics if _compatible(d.name, e.name, clinical)]
    return max(pairs, key=lambda pair: pair[0].score + pair[1].score, default=None)


def _with(needed: _Scored, chosen: list[_Scored]) -> list[_Scored]:
    """The choice with `needed` in it, in place of the last one where it is not there yet."""
    return chosen if needed in chosen else [*chosen[:-1], needed]


def _nothing_left(clinical: Clinical, named: GoalAgents, among: Sequence[str] | None = None) -> RuleError:
    excluded = excluded_by(named)
    drugs, embolics = (
        [n for n in agents_of(kind) if n not in excluded and (among is None or n in among)] for kind in (DRUG, EMBOLIC)
    )
    forbidden = explain_none(drugs, embolics, clinical)
    given = "; ".join(
        text for text in (forbidden, "the goal excludes " + ", ".join(excluded) if excluded else "") if text
    )
    return RuleError(
        what="The clinical rules and the goal leave no protocol of a drug and an embolic agent",
        given=given,
        remedy="Check the patient's clinical data and the goal; where they are right, TACE is not the treatment",
    )
