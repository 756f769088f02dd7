"""A rule is judged only where what is not known could not change its answer; its words agree with it at its limits."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from MeWMLib.core.clinical import Clinical, field_table
from MeWMLib.core.clinical_fields import UNSPECIFIED
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.core.protocol import DRUG, EMBOLIC, Protocol, agents_of
from MeWMLib.policy.rule_checks import Rule
from MeWMLib.policy.rules import NOT_KNOWN, SILENT, TOUCHED, explain, load_rules

ABOUT_PATIENTS = [
    r for r in load_rules() if r.kind.startswith("clinical_") or r.kind in ("allergy", "child_pugh_values")
]
NUMERIC = [rule for rule in load_rules() if rule.kind == "clinical_threshold"]
WELL: dict[str, Any] = {
    "age_years": 60, "child_pugh_class": "A", "child_pugh_score": 5, "bclc_stage": "B", "bilirubin_mg_per_dl": 1.0,
    "albumin_g_per_dl": 4.0, "inr": 1.1, "ascites": "none", "encephalopathy": "none", "creatinine_mg_per_dl": 0.9,
    "extrahepatic_spread": False, "ecog": 0, "allergies": [], "heart_failure": "none", "lvef_percent": 60,
    "egfr_ml_per_min": 90, "platelets_10e9_per_l": 150, "portal_vein_thrombosis": "none", "arterioportal_shunt": False,
    "biliary_intervention": "none", "dilated_bile_ducts": False, "hyperthyroidism": False, "pregnancy": False,
    "tumour_burden_percent": 10, "previous_tace_sessions": 0,
}  # fmt: skip
#: Class B of 9 points, and class C of 13, by the values.
ILL: dict[str, Any] = {
    **WELL, "child_pugh_class": "B", "child_pugh_score": 9, "bilirubin_mg_per_dl": 3.5, "inr": 1.8, "ascites": "mild",
}  # fmt: skip
WORSE: dict[str, Any] = {
    **WELL, "child_pugh_class": "C", "child_pugh_score": 13, "bilirubin_mg_per_dl": 6.0, "inr": 2.5,
    "ascites": "severe", "albumin_g_per_dl": 3.0,
}  # fmt: skip
NUMBERS = {
    "bilirubin_mg_per_dl": (0.5, 2.5, 6), "albumin_g_per_dl": (2.0, 3.0, 4.5), "inr": (1.0, 2.0, 3.0),
    "creatinine_mg_per_dl": (0.5, 1.6, 2.5), "age_years": (10, 50), "ecog": (0, 1, 3), "lvef_percent": (30, 45, 60),
    "egfr_ml_per_min": (10, 40, 90), "platelets_10e9_per_l": (20, 200), "tumour_burden_percent": (10, 60),
    "previous_tace_sessions": (0, 3), "child_pugh_score": tuple(range(5, 16)),
}  # fmt: skip


def _values(field: str) -> tuple[Any, ...]:
    """Values of a field from one end of its range to the other."""
    info = field_table()[field]
    if info.kind == "flag":
        return (True, False)
    if info.kind == "choice":
        return tuple(c for c in info.choices if c != UNSPECIFIED)
    return NUMBERS.get(field, ([], ["Cisplatin"], ["iodine"], ["platinum"], ["gelatin"], ["Doxorubicin"], ["Lipiodol"]))


def _protocol(rule: Rule) -> Protocol:
    """A protocol that the rule is about."""
    named = [a for kind in (DRUG, EMBOLIC) for a in agents_of(kind) if rule.applies_to is None or a in rule.applies_to]
    return Protocol.of(named[:1] + ["PVA"] * (named[:1] != ["PVA"]))


def _state(rule: Rule, patient: dict[str, Any]) -> str:
    found = explain(_protocol(rule), Clinical.from_json(patient), rules=(rule,))
    return next(e.state for e in found if e.rule == rule.id)


@pytest.mark.parametrize("rule", ABOUT_PATIENTS, ids=lambda rule: rule.id)
def test_what_could_change_an_answer_must_be_known(rule: Rule) -> None:
    """An oracle by trial: a field is left away, and then given every value that does not contradict the others."""
    points = rule.kind == "child_pugh_values" or rule.field.startswith("child_pugh")
    for patient, field in itertools.product((WELL, ILL, WORSE) if points else (WELL,), WELL):
        without = {name: value for name, value in patient.items() if name != field}
        if rule.field == "renal_failure":  # creatinine and eGFR answer it
            without = {n: v for n, v in without.items() if n not in ("creatinine_mg_per_dl", "egfr_ml_per_min")}
        states = set[str]()
        for value in _values(field):
            try:
                clinical = Clinical.from_json({**without, field: value})
            except ClinicalDataError:
                continue  # it contradicts the others
            if field == "child_pugh_score" and clinical.child_pugh_contradiction:
                continue  # so do points: where none are stated, those of the values count
            states.add(_state(rule, {**without, field: value}))
        now = _state(rule, without)
        if len(states) > 1:
            assert now == NOT_KNOWN, (rule.id, field)
        elif now != NOT_KNOWN:
            assert {now} == states, (rule.id, field)


@pytest.mark.parametrize("rule", ABOUT_PATIENTS, ids=lambda rule: rule.id)
def test_nothing_is_judged_of_a_patient_of_whom_nothing_is_known(rule: Rule) -> None:
    found = explain(_protocol(rule), Clinical(), rules=(rule,))
    mine = next(e for e in found if e.rule == rule.id)
    assert mine.state == NOT_KNOWN and mine.lacks and mine.field == mine.lacks[0]
    assert set(mine.lacks) <= set(field_table())


def test_single_values_of_the_liver() -> None:
    """Bilirubin alone can make no class; with a stated A it contradicts where the least points are too many."""
    both = ("child-pugh-values", "child-pugh-c-by-values")

    def states(**known: Any) -> list[str]:
        found = {e.rule: e for e in explain(Protocol.parse("PVA"), Clinical.from_json(known))}
        return [found[name].state for name in both]

    assert states() == states(bilirubin_mg_per_dl=12) == [NOT_KNOWN, NOT_KNOWN]
    assert states(child_pugh_class="A", bilirubin_mg_per_dl=12) == [TOUCHED, NOT_KNOWN]
    assert states(child_pugh_class="A", bilirubin_mg_per_dl=1) == [NOT_KNOWN, NOT_KNOWN]
    # 3 + 3 + 3 + 1 + 1 points at least
    assert states(bilirubin_mg_per_dl=12, albumin_g_per_dl=2, inr=3)[1] == TOUCHED
    # 1 + 1 + 1 + 3 + 3 points at most
    assert states(bilirubin_mg_per_dl=1, albumin_g_per_dl=4, inr=1)[1] == SILENT
    told = Clinical(child_pugh_class="A", bilirubin_mg_per_dl=12).child_pugh_contradiction
    assert told == "stated A, by the values at least B (at least 7 points)"
    assert Clinical(child_pugh_class="C", albumin_g_per_dl=4, inr=1, ascites="none").child_pugh_contradiction == (
        "stated C, by the values at most B (at most 9 points)"
    )
    assert "stated B7" in Clinical.from_json({**ILL, "child_pugh_score": 7}).child_pugh_contradiction
    assert Clinical(bilirubin_mg_per_dl=12).child_pugh_contradiction == ""


#: What the words of a limit say of a value below it, at it, and above it.
_SAID = {
    r"above (?:a bilirubin of )?([\d.]+)": (False, False, True),
    r"([\d.]+)(?: [a-z/%]+)? or more": (False, True, True),
    r"([\d.]+)(?: %| x 10\^9/l)? or less": (True, True, False),
    r"below ([\d.]+)": (True, False, False),
    r"up to ([\d.]+)": (True, True, False),
    r"of ([\d.]+) to": (False, True, True),
    r"of \d+ to ([\d.]+)": (True, True, False),
}
#: Words in place of figures, and limits of which only the name is said.
_IN_WORDS = {
    "tumour-burden": [(50, (False, False, True))],  # "More than half of the liver"
    "child-pugh-b8": [(8, (False, True, True))],  # "with 8 points on"
    "performance-status": [(1, (False, True, True)), (2, (True, True, False))],  # "of 1 or 2"
    "performance-status-poor": [(3, (False, True, True))],  # "of 3 or 4"
    "tace-refractoriness": [(2, (False, True, True))],  # "After two sessions or more"
}
#: Of the two steps in its words only the first is a limit of the rule.
_STEPS = {"bilirubin-anthracycline": {3.0}}


@pytest.mark.parametrize("rule", NUMERIC, ids=lambda rule: rule.id)
def test_the_words_of_a_rule_agree_with_it_at_its_limits(rule: Rule) -> None:
    said = [(float(m[1]), at) for words, at in _SAID.items() for m in re.finditer(words, rule.reason, re.IGNORECASE)]
    said = [one for one in said if one[0] not in _STEPS.get(rule.id, ())] or _IN_WORDS[rule.id]
    limits = {value for value in (rule.above, rule.up_to, rule.at_least, rule.below) if 0 < value < 1e9}
    whole = field_table()[rule.field].kind == "whole"
    # "above 7" and "8 or more" are one thing for whole numbers
    assert {value for value, _ in said} == limits or whole
    for limit, expected in said:
        step = 1 if whole else limit * 1e-4
        lower = max((value for value, at in said if value < limit and at[2]), default=None)
        for value, inside in zip((limit - step, limit, limit + step), expected, strict=True):
            assert rule.covers(value) == inside, (rule.id, value, lower)


def test_a_finding_names_what_was_given() -> None:
    def told(**known: Any) -> dict[str, str]:
        found = explain(Protocol.parse("Cisplatin + PVA"), Clinical.from_json(known))
        return {e.rule: e.reason for e in found if e.state == TOUCHED}

    assert "(child_pugh_class C)" in told(child_pugh_class="C")["child-pugh-b8"]
    assert "(child_pugh_score 9)" in told(child_pugh_score=9)["child-pugh-b"]
    assert "(portal_vein_thrombosis main)" in told(portal_vein_thrombosis="main")["portal-vein"]
    assert "(main_portal_vein_thrombosis)" in told(main_portal_vein_thrombosis=True)["portal-vein"]
    assert "(creatinine_mg_per_dl 2.0004)" in told(creatinine_mg_per_dl=2.0004)["creatinine"]
    assert "by the values" in told(**{k: v for k, v in ILL.items() if "child_pugh" not in k})["child-pugh-b8"]
    for rule in NUMERIC + ABOUT_PATIENTS:
        for patient in (ILL, WORSE):
            for e in explain(_protocol(rule), Clinical.from_json(patient), rules=(rule,)):
                named = re.search(r"\((\w+) [^()]*\)$", e.reason) if e.rule == rule.id and e.state == TOUCHED else None
                assert named is None or named[1] in (*patient, "stated", "allergic")
