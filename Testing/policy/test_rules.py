"""Every clinical rule speaks when it must and is silent when it must be; forbidden stays forbidden."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from MeWMLib.core.errors import RuleError
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.protocol import Action, Protocol, vocabulary
from MeWMLib.policy.products import products
from MeWMLib.policy.rules import (
    NOT_KNOWN,
    RULES_PATH,
    SILENT,
    TOUCHED,
    RuleFileError,
    allowed,
    check,
    explain,
    explain_none,
    load_rules,
    unjudged,
)
from MeWMLib.policy.sources import NEEDS_REVIEW, references

PLAIN = "Doxorubicin + Lipiodol"
SPREAD = {"extrahepatic_spread": True}
CLOTTED = {"main_portal_vein_thrombosis": True}

CIS, ADR, PVA = "Cisplatin + PVA", "Doxorubicin + PVA", "Mitomycin + PVA"
IODINE, PLATINUM = {"allergies": ["iodine"]}, {"allergies": ["Oxaliplatin"]}

#: 3 + 1 + 1 + 1 + 1 = 7 points of Child-Pugh, class B.
VALUES = {
    "bilirubin_mg_per_dl": 3.2,
    "albumin_g_per_dl": 3.9,
    "inr": 1.1,
    "ascites": "none",
    "encephalopathy": "none",
}
#: 3 + 2 + 2 + 2 + 1 = 10 points, class C.
WORSE = {**VALUES, "albumin_g_per_dl": 3.0, "inr": 2.0, "ascites": "mild"}
AT_LEAST = {"bilirubin_mg_per_dl": 4.5, "albumin_g_per_dl": 2.4, "inr": 2.5}
#: As `CASES` below: what is known of heart, kidneys, coagulation, bile ducts, tumour and allergies.
MORE_CASES: list[tuple[str, str, str, dict[str, Any], str, dict[str, Any]]] = [
    ("beads-with-lipiodol", "note", "Doxorubicin + LC beads + Lipiodol 14 ml", {}, "Doxorubicin + LC beads", {}),
    ("beads-with-another-drug", "warning", "Cisplatin + LC beads", {}, "Doxorubicin + LC beads", {}),
    ("allergy", "forbidden", CIS, {"allergies": ["Cisplatin"]}, ADR, {"allergies": ["Cisplatin"]}),
    ("allergy", "forbidden", CIS, {"allergies": ["platinum"]}, CIS, {"allergies": []}),
    (
        "allergy",
        "forbidden",
        "Mitomycin + LC beads",
        {"allergies": ["Doxorubicin"]},
        PVA,
        {"allergies": ["Doxorubicin"]},
    ),
    ("allergy-same-class", "warning", CIS, PLATINUM, "Oxaliplatin + PVA", PLATINUM),
    ("iodine-allergy-lipiodol", "forbidden", "Cisplatin + Lipiodol", IODINE, CIS, IODINE),
    ("iodine-allergy-contrast", "warning", CIS, IODINE, CIS, {"allergies": ["Lipiodol"]}),
    ("heart-failure-anthracycline", "forbidden", ADR, {"heart_failure": "III"}, CIS, {"heart_failure": "III"}),
    (
        "heart-failure-anthracycline",
        "forbidden",
        "Mitomycin + LC beads",
        {"heart_failure": "IV"},
        ADR,
        {"heart_failure": "II"},
    ),
    (
        "heart-failure-anthracycline-mild",
        "warning",
        ADR,
        {"heart_failure": "unspecified"},
        ADR,
        {"heart_failure": "none"},
    ),
    ("lvef-anthracycline", "forbidden", ADR, {"lvef_percent": 40}, ADR, {"lvef_percent": 41}),
    ("lvef-anthracycline-mild", "warning", ADR, {"lvef_percent": 50}, ADR, {"lvef_percent": 51}),
    ("egfr-cisplatin", "forbidden", CIS, {"egfr_ml_per_min": 30}, CIS, {"egfr_ml_per_min": 31}),
    ("egfr-platinum", "warning", CIS, {"egfr_ml_per_min": 60}, CIS, {"egfr_ml_per_min": 61}),
    ("egfr-contrast", "warning", PVA, {"egfr_ml_per_min": 30}, PVA, {"egfr_ml_per_min": 31}),
    ("renal-failure-cisplatin", "forbidden", CIS, {"renal_failure": True}, PVA, {"renal_failure": True}),
    ("renal-failure-drugs", "warning", PVA, {"renal_failure": True}, ADR, {"renal_failure": True}),
    ("renal-failure-contrast", "warning", ADR, {"renal_failure": True}, ADR, {"renal_failure": False}),
    ("platelets", "warning", PVA, {"platelets_10e9_per_l": 50}, PVA, {"platelets_10e9_per_l": 51}),
    ("inr", "warning", PVA, {"inr": 1.9}, PVA, {"inr": 1.8}),
    ("biliary-abscess", "warning", PVA, {"biliary_intervention": "stent"}, PVA, {"biliary_intervention": "none"}),
    ("arterioportal-shunt", "warning", PVA, {"arterioportal_shunt": True}, PVA, {"arterioportal_shunt": False}),
    ("tumour-burden", "warning", PVA, {"tumour_burden_percent": 50.1}, PVA, {"tumour_burden_percent": 50}),
    ("ascites", "warning", PVA, {"ascites": "mild"}, PVA, {"ascites": "none"}),
    ("encephalopathy", "warning", PVA, {"encephalopathy": "1"}, PVA, {"encephalopathy": "none"}),
    ("child-pugh-b8", "forbidden", PVA, {"child_pugh_score": 8}, PVA, {"child_pugh_score": 7}),
    (
        "portal-vein-branch",
        "warning",
        PVA,
        {"portal_vein_thrombosis": "lobar"},
        PVA,
        {"portal_vein_thrombosis": "none"},
    ),
    ("performance-status", "warning", PVA, {"ecog": 1}, PVA, {"ecog": 0}),
    ("performance-status", "warning", PVA, {"ecog": 2}, PVA, {"ecog": 3}),
    ("performance-status-poor", "forbidden", PVA, {"ecog": 3}, PVA, {"ecog": 2}),
    ("ascites-refractory", "forbidden", PVA, {"ascites": "refractory"}, PVA, {"ascites": "severe"}),
    ("pregnancy", "forbidden", PVA, {"pregnancy": True}, PVA, {"pregnancy": False}),
    ("age-child", "warning", PVA, {"age_years": 17}, PVA, {"age_years": 18}),
    ("age-child", "warning", PVA, {"age_years": 0}, PVA, {"age_years": 60}),
    ("gelatin-allergy", "forbidden", "Cisplatin + KMG", {"allergies": ["gelatin"]}, PVA, {"allergies": ["gelatin"]}),
    ("egfr-raltitrexed", "forbidden", "Raltitrexed + PVA", {"egfr_ml_per_min": 24}, PVA, {"egfr_ml_per_min": 24}),
    (
        "egfr-raltitrexed-dose",
        "warning",
        "Raltitrexed + PVA",
        {"egfr_ml_per_min": 65},
        "Raltitrexed + PVA",
        {"egfr_ml_per_min": 66},
    ),
    ("egfr-mitomycin", "warning", PVA, {"egfr_ml_per_min": 30}, PVA, {"egfr_ml_per_min": 31}),
    ("beads-load-not-named", "note", "LC beads", {}, "Doxorubicin + LC beads", {}),
    ("child-pugh-c-by-values", "forbidden", PVA, {**WORSE, "child_pugh_class": "A"}, PVA, WORSE),
    # three points each of bilirubin, albumin and INR, and one each of what is not known: 11 at least
    ("child-pugh-c-by-values", "forbidden", PVA, AT_LEAST, PVA, {**AT_LEAST, "albumin_g_per_dl": 4.0}),
    ("bile-ducts-lipiodol", "forbidden", PLAIN, {"dilated_bile_ducts": True}, PVA, {"dilated_bile_ducts": True}),
    ("hyperthyroidism-lipiodol", "forbidden", PLAIN, {"hyperthyroidism": True}, PLAIN, {"hyperthyroidism": False}),
    (
        "heart-failure-lipiodol",
        "warning",
        "Cisplatin + Lipiodol",
        {"heart_failure": "III"},
        CIS,
        {"heart_failure": "III"},
    ),
    (
        "child-pugh-values",
        "warning",
        PVA,
        {**VALUES, "child_pugh_class": "A"},
        PVA,
        {**VALUES, "child_pugh_class": "B"},
    ),
    ("child-pugh-values", "warning", PVA, {**VALUES, "child_pugh_score": 10}, PVA, {**VALUES, "child_pugh_score": 8}),
    ("tace-refractoriness", "warning", PVA, {"previous_tace_sessions": 2}, PVA, {"previous_tace_sessions": 1}),
]

#: rule, severity, a protocol and a patient that touch it, and a pair that just does not.
CASES: list[tuple[str, str, str, dict[str, Any], str, dict[str, Any]]] = [
    ("completeness", "forbidden", "Cisplatin", {}, "Cisplatin + Lipiodol", {}),
    ("completeness", "forbidden", "Cisplatin + Mitomycin", {}, "Lipiodol + PVA", {}),
    ("bland-embolisation", "note", "Lipiodol + PVA", {}, "Mitomycin + PVA", {}),
    ("one-platinum", "forbidden", "Cisplatin + Oxaliplatin + Lipiodol", {}, "Cisplatin + Lipiodol", {}),
    ("one-anthracycline", "forbidden", "Epirubicin + Idarubicin + PVA", {}, "Epirubicin + Cisplatin + PVA", {}),
    ("one-anthracycline", "forbidden", "Epirubicin + LC beads", {}, "Doxorubicin + LC beads", {}),
    ("doxorubicin-counted-once", "note", "Doxorubicin + LC beads", {}, "Cisplatin + LC beads", {}),
    ("pva-alone", "forbidden", "Mitomycin + PVA + Gelatin Sponge", {}, "Mitomycin + KMG + Gelatin Sponge", {}),
    ("pva-alone", "forbidden", "Mitomycin + PVA + Absolute Alcohol", {}, "Mitomycin + PVA + Lipiodol", {}),
    ("dose-above-usual", "warning", "Cisplatin 101 mg + Lipiodol", {}, "Cisplatin 100 mg + Lipiodol", {}),
    ("dose-above-usual", "warning", "Cisplatin 200 mg + PVA", {}, "Cisplatin 201 mg + PVA", {}),
    ("dose-above-usual", "warning", "Cisplatin 101 mg + PVA", {}, "Cisplatin + Lipiodol 25 ml", {}),
    ("dose-above-twice-usual", "forbidden", "Cisplatin 201 mg + PVA", {}, "Cisplatin 200 mg + PVA", {}),
    ("child-pugh-c", "forbidden", PLAIN, {"child_pugh_class": "C"}, PLAIN, {"child_pugh_class": "B"}),
    ("child-pugh-b", "warning", PLAIN, {"child_pugh_class": "B"}, PLAIN, {"child_pugh_class": "A"}),
    ("bclc-d", "forbidden", PLAIN, {"bclc_stage": "D"}, PLAIN, {"bclc_stage": "B"}),
    ("bclc-c", "warning", PLAIN, {"bclc_stage": "C"}, PLAIN, {"bclc_stage": "B"}),
    ("bclc-0-a", "warning", PLAIN, {"bclc_stage": "0"}, PLAIN, {"bclc_stage": "B"}),
    ("portal-vein-occlusive-embolic", "forbidden", "Cisplatin + PVA", CLOTTED, "Cisplatin + Lipiodol", CLOTTED),
    ("portal-vein-occlusive-embolic", "forbidden", "Cisplatin + NBCA", CLOTTED, "Cisplatin + NBCA", {}),
    ("portal-vein-occlusive-embolic", "forbidden", "Cisplatin + LC beads", CLOTTED, "Cisplatin + LC beads", SPREAD),
    ("portal-vein", "forbidden", PLAIN, CLOTTED, PLAIN, {"main_portal_vein_thrombosis": False}),
    ("extrahepatic-spread", "warning", PLAIN, SPREAD, PLAIN, {"extrahepatic_spread": False}),
    ("bilirubin", "warning", "Cisplatin + PVA", {"bilirubin_mg_per_dl": 3.1}, PLAIN, {"bilirubin_mg_per_dl": 3.0}),
    ("bilirubin-anthracycline", "warning", PLAIN, {"bilirubin_mg_per_dl": 1.3}, PLAIN, {"bilirubin_mg_per_dl": 1.2}),
    (
        "bilirubin-anthracycline-contraindicated",
        "forbidden",
        "Cisplatin + LC beads",
        {"bilirubin_mg_per_dl": 5.1},
        "Cisplatin + PVA",
        {"bilirubin_mg_per_dl": 5.1},
    ),
    ("creatinine", "warning", PLAIN, {"creatinine_mg_per_dl": 2.0}, PLAIN, {"creatinine_mg_per_dl": 1.9}),
    (
        "creatinine-platinum",
        "warning",
        "Oxaliplatin + PVA",
        {"creatinine_mg_per_dl": 1.6},
        PLAIN,
        {"creatinine_mg_per_dl": 1.6},
    ),
    (
        "creatinine-cisplatin",
        "forbidden",
        "Cisplatin + PVA",
        {"creatinine_mg_per_dl": 1.6},
        "Cisplatin + PVA",
        {"creatinine_mg_per_dl": 1.4},
    ),
    (
        "creatinine-mitomycin",
        "forbidden",
        "Mitomycin + PVA",
        {"creatinine_mg_per_dl": 1.8},
        "Mitomycin + PVA",
        {"creatinine_mg_per_dl": 1.7},
    ),
    (
        "creatinine-raltitrexed",
        "warning",
        "Raltitrexed + PVA",
        {"creatinine_mg_per_dl": 1.6},
        "Raltitrexed + PVA",
        {"creatinine_mg_per_dl": 1.5},
    ),
    *MORE_CASES,
]


@pytest.mark.parametrize(("rule", "severity", "protocol", "patient", "other_protocol", "other_patient"), CASES)
def test_each_rule_speaks_and_is_silent(
    rule: str,
    severity: str,
    protocol: str,
    patient: dict[str, Any],
    other_protocol: str,
    other_patient: dict[str, Any],
) -> None:
    touched = {f.rule: f for f in check(Protocol.parse(protocol), Clinical.from_json(patient))}
    assert rule in touched
    assert touched[rule].severity == severity
    assert touched[rule].reason and touched[rule].source
    assert rule not in {f.rule for f in check(Protocol.parse(other_protocol), Clinical.from_json(other_patient))}
    # What forbids also prunes; completeness alone is not asked of partial protocols.
    if severity == "forbidden":
        assert allowed(Protocol.parse(protocol), Clinical.from_json(patient)) == (rule == "completeness")


def test_every_rule_of_the_file_has_a_case() -> None:
    assert {case[0] for case in CASES} == {rule.id for rule in load_rules()}


def test_the_regimens_of_the_public_data_set_and_the_paper_are_allowed() -> None:
    for text in (
        "Cisplatin + Doxorubicin + Mitomycin + Lipiodol",
        "Doxorubicin + LC beads",
        "Doxorubicin + Lipiodol + LC beads",
        "Raltitrexed 4 mg + Epirubicin 5 mg + Lipiodol 5 ml + Gelatin Sponge",
        "Oxaliplatin 100 mg + Epirubicin 40 mg + Lipiodol 10 ml + Gelatin Sponge",
    ):
        assert allowed(Protocol.parse(text), complete=True), text


@pytest.mark.parametrize("case", [c for c in CASES if c[3]], ids=lambda case: case[0])
def test_each_rule_says_that_it_cannot_be_judged(
    case: tuple[str, str, str, dict[str, Any], str, dict[str, Any]],
) -> None:
    """Where nothing is known of the patient, and the field that is missing is named."""
    rule, _, protocol, patient, _, _ = case
    found = {e.rule: e for e in explain(Protocol.parse(protocol))}[rule]
    named = {"main_portal_vein_thrombosis": "portal_vein_thrombosis"}
    if rule == "child-pugh-values":
        named["child_pugh_score"] = "child_pugh_class"  # the points stand for their class
    assert found.state == NOT_KNOWN and found.field in {named.get(name, name) for name in patient}
    assert rule in unjudged(explain(Protocol.parse(protocol)))[found.field]


def test_a_class_that_is_not_stated_cannot_be_judged() -> None:
    found = {e.rule: e.state for e in explain(Protocol.parse(ADR), Clinical(heart_failure="unspecified"))}
    assert found["heart-failure-anthracycline"] == NOT_KNOWN
    assert found["heart-failure-anthracycline-mild"] == TOUCHED


def test_all_rules_can_be_judged_in_a_patient_of_whom_all_is_known() -> None:
    whole = Clinical(
        age_years=60, child_pugh_class="A", child_pugh_score=5, bclc_stage="B", bilirubin_mg_per_dl=1.0,
        creatinine_mg_per_dl=0.9, albumin_g_per_dl=4.0, extrahepatic_spread=False, ecog=0, allergies=(),
        heart_failure="none", lvef_percent=60, egfr_ml_per_min=90, platelets_10e9_per_l=150, inr=1.1, ascites="none",
        encephalopathy="none", portal_vein_thrombosis="none", arterioportal_shunt=False, biliary_intervention="none",
        dilated_bile_ducts=False, hyperthyroidism=False, pregnancy=False,
        previous_tace=(),
    )  # fmt: skip
    findings = Findings(1500.0, 100.0, (Lesion(1, 30.0, 40.0, (0.0, 0.0, 0.0), 120.0, 10.0, 0.0, 0.0, 30.0),))
    found = explain(Protocol.parse("Doxorubicin + Lipiodol"), whole, findings=findings)
    assert {e.state for e in found} == {SILENT} and unjudged(found) == {}
    assert unjudged(explain(Protocol.parse("Doxorubicin + Lipiodol"), whole)) == {
        "tumour_burden_percent": ("tumour-burden",)
    }


def test_previous_sessions_are_counted_from_what_was_given_in_them() -> None:
    twice, once, none = (Clinical(previous_tace=("Lipiodol",) * n) for n in (2, 1, 0))
    states = [
        {e.rule: e.state for e in explain(Protocol.parse(PVA), known)}["tace-refractoriness"]
        for known in (twice, once, none, Clinical())
    ]
    assert states == [TOUCHED, SILENT, SILENT, NOT_KNOWN]


def test_the_tumour_burden_comes_from_the_labels() -> None:
    big = Findings(1000.0, 100.0, (Lesion(1, 600.0, 40.0, (0.0, 0.0, 0.0), 120.0, 10.0, 0.0, 0.0, 30.0),))
    assert "tumour-burden" in {f.rule for f in check(Protocol.parse(PVA), findings=big)}
    absurd = replace(big, liver_ml=300.0)
    assert "tumour-burden" not in {f.rule for f in check(Protocol.parse(PVA), findings=absurd)}
    given = Clinical(tumour_burden_percent=20)
    assert "tumour-burden" not in {f.rule for f in check(Protocol.parse(PVA), given, findings=big)}


def test_unknown_clinical_data_touch_no_rule() -> None:
    assert check(Protocol.parse(PLAIN)) == ()
    assert check(Protocol.parse(PLAIN), Clinical()) == ()


def test_a_finding_names_what_touched_the_rule_and_forbidden_comes_first() -> None:
    findings = check(Protocol.parse("Cisplatin + Nedaplatin + PVA"), Clinical(child_pugh_class="B"))
    assert [f.severity for f in findings] == ["forbidden", "warning"]
    assert "Nedaplatin and Cisplatin" in findings[0].reason
    assert "child_pugh_class B" in findings[1].reason


def test_a_warning_does_not_prune() -> None:
    assert allowed(Protocol.parse(PLAIN), Clinical(child_pugh_class="B"), complete=True)


def test_explain_none_names_the_rule() -> None:
    text = explain_none(["Cisplatin"], ["Lipiodol"], Clinical(child_pugh_class="C"))
    assert "child-pugh-c" in text and "liver failure" in text
    text = explain_none(["Cisplatin", "Epirubicin"], ["LC beads"], Clinical(child_pugh_class="C"))
    assert "child-pugh-c" in text and "one-anthracycline" not in text
    text = explain_none(["Cisplatin", "Epirubicin"], ["LC beads"], Clinical(creatinine_mg_per_dl=2.0))
    assert "creatinine-cisplatin" in text and "one-anthracycline" in text


def _random_action(rng: random.Random, name: str) -> Action:
    known = vocabulary()[name]
    dose = rng.choice([None, known.dose_high, known.dose_high * rng.uniform(0.5, 3.0)])
    return Action(name, dose, rng.choice([None, *known.routes]))


def _random_patient(rng: random.Random) -> Clinical:
    return Clinical(
        child_pugh_class=rng.choice([None, "A", "B", "C"]),
        bclc_stage=rng.choice([None, "A", "B", "C", "D"]),
        bilirubin_mg_per_dl=rng.choice([None, rng.uniform(0.2, 8.0)]),
        creatinine_mg_per_dl=rng.choice([None, rng.uniform(0.4, 4.0)]),
        main_portal_vein_thrombosis=rng.choice([None, True, False]),
        extrahepatic_spread=rng.choice([None, True, False]),
        allergies=rng.choice([None, (), ("iodine",), ("platinum",), ("Doxorubicin",)]),
        heart_failure=rng.choice([None, "none", "II", "IV"]),
        lvef_percent=rng.choice([None, 35, 60]),
        egfr_ml_per_min=rng.choice([None, 25, 90]),
    )


def test_forbidden_is_monotone() -> None:
    rng = random.Random(20250602)
    forbidden_seen = 0
    for _ in range(400):
        patient, names = _random_patient(rng), list(vocabulary())
        rng.shuffle(names)
        protocol, before = Protocol(()), set[str]()
        for name in names[:8]:
            protocol = protocol.plus(_random_action(rng, name))
            now = {f.rule for f in check(protocol, patient, complete=False) if f.severity == "forbidden"}
            assert before <= now, protocol.text
            assert allowed(protocol, patient) == (not now)
            before = now
        forbidden_seen += bool(before)
    assert 100 < forbidden_seen


def test_the_order_of_actions_does_not_count() -> None:
    rng = random.Random(7)
    names = ["Epirubicin", "LC beads", "Cisplatin", "PVA", "Gelatin Sponge"]
    expected = check(Protocol.of(names))
    for _ in range(10):
        rng.shuffle(names)
        assert check(Protocol.of(names)) == expected


def test_rules_are_read_once() -> None:
    assert load_rules() is load_rules()


def _rule(**changes: Any) -> dict[str, Any]:
    rule = {
        "id": "r",
        "kind": "clinical_threshold",
        "severity": "warning",
        "reason": "because",
        "source": "here",
        "field": "age_years",
        "above": 80,
    }
    return {key: value for key, value in {**rule, **changes}.items() if value is not None}


MALFORMED: list[tuple[Any, str]] = [
    ([], "version 1"),
    ({"version": 2, "rules": []}, "version 1"),
    ({"version": 1, "rules": {}}, "version 1"),
    ([_rule(), _rule()], "same id"),
    (["text"], "not a JSON object"),
    ([_rule(kind="magic")], "unknown kind"),
    ([_rule(kind=["magic"])], "unknown kind"),
    ([_rule(above=None)], "above missing"),
    ([_rule(colour="red")], "unknown colour"),
    ([_rule(reason=" ")], "empty 'reason'"),
    ([_rule(severity="deadly")], "unknown severity"),
    ([_rule(references=["nonesuch"])], "publications that are not known"),
    ([_rule(references="easl-2018")], "references of .* must be a list"),
    ([_rule(needs_review="perhaps")], "needs_review of .* must be true or false"),
    ([_rule(field="shoe_size")], "shoe_size"),
    ([_rule(field="child_pugh_class")], "child_pugh_class"),
    ([_rule(above="high")], "above of .* must be a number"),
    ([_rule(above=True)], "above of .* must be a number"),
    ([_rule(up_to=70)], "empty range"),
    ([_rule(applies_to={"agents": ["Aspirin"]})], "Aspirin"),
    ([_rule(applies_to={"classes": ["gold"]})], "gold"),
    ([_rule(applies_to={"class": ["oil"]})], "Unknown field of applies_to"),
    ([_rule(applies_to={"agents": []})], "no agent and no class"),
    ([_rule(applies_to={"agents": "PVA"})], "must be a list"),
    ([_rule(kind="clinical_choice", above=None, field="bclc_stage", **{"is": []})], "empty 'is'"),
    ([_rule(kind="at_most_one_of_class", above=None, field=None, agent_class="gold")], "gold"),
    ([_rule(kind="at_most_one_of_class", above=None, field=None, agent_class="oil", counts_as=["PVA"])], "counts_as"),
]


@pytest.mark.parametrize(("content", "said"), MALFORMED)
def test_a_malformed_file_is_refused(tmp_path: Path, content: Any, said: str) -> None:
    path = tmp_path / "rules.json"
    is_list_of_rules = isinstance(content, list) and content
    path.write_text(json.dumps({"version": 1, "rules": content} if is_list_of_rules else content), encoding="utf-8")
    with pytest.raises(RuleFileError, match=said):
        load_rules(path)


@pytest.mark.parametrize("content", [None, b"{", b"\xff\xfe"])
def test_an_unreadable_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "rules.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RuleFileError, match="cannot be read"):
        load_rules(path)
    assert issubclass(RuleFileError, RuleError)


def test_a_hospital_can_bring_its_own_rules(tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps({"version": 1, "rules": [_rule(severity="forbidden")]}), encoding="utf-8")
    own = load_rules(path)
    assert not allowed(Protocol.parse(PLAIN), Clinical(age_years=81), rules=own)
    assert allowed(Protocol.parse("Cisplatin + Oxaliplatin"), Clinical(age_years=80), rules=own)


def test_the_file_names_a_source_for_each_rule() -> None:
    for rule in load_rules():
        assert len(rule.source) > 15 and not rule.reason.endswith("."), rule.id
        # either a work says it, or the rule says itself that nobody has confirmed it
        assert rule.references or rule.needs_review or "Section" in rule.source, rule.id
        assert rule.needs_review == rule.source.endswith(NEEDS_REVIEW), rule.id


def test_every_reference_can_be_looked_up_and_is_used() -> None:
    for work in references().values():
        assert re.fullmatch(r"https://(doi\.org/10\.\d{4,}/\S+|arxiv\.org/abs/\S+|\S+\?\S+=\w+)", work.url), work.key
        assert work.citation and work.kind
    used = {key for rule in load_rules() for key in rule.references}
    table = json.loads(RULES_PATH.with_name("guideline.json").read_text(encoding="utf-8"))
    entries = [*table["agents"].values(), *table["adjustments"]]
    used |= {key for entry in entries for key in entry["references"]}
    used |= {key for product in products() for key in product.sources}
    assert used == set(references())


@pytest.mark.parametrize("name", ["rules", "guideline"])
def test_the_files_follow_their_schemas(name: str) -> None:
    folder = RULES_PATH.parent
    schema = json.loads((folder / f"{name}.schema.json").read_text(encoding="utf-8"))
    data = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(data, schema)
    assert data["$schema"] == f"{name}.schema.json"


@pytest.mark.parametrize(("content", "said"), [case for case in MALFORMED if isinstance(case[0], list) and case[0]])
def test_the_schema_refuses_what_the_reader_refuses(content: Any, said: str) -> None:
    """But for what only the reader can know: names of agents, classes, fields and works, and ids that stand twice."""
    schema = json.loads(RULES_PATH.with_name("rules.schema.json").read_text(encoding="utf-8"))
    only_the_reader = ("same id", "shoe_size", "child_pugh_class", "empty range", "Aspirin", "gold", "not known")
    broken = not jsonschema.Draft202012Validator(schema).is_valid({"version": 1, "rules": content})
    assert broken or said.endswith(only_the_reader) or said == "empty 'reason'"


def test_a_protocol_is_explained_rule_by_rule() -> None:
    protocol = Protocol.parse("Cisplatin 101 mg + Oxaliplatin + Lipiodol")
    found = {e.rule: e for e in explain(protocol, Clinical(creatinine_mg_per_dl=1.0))}
    assert set(found) == {rule.id for rule in load_rules()}
    assert found["one-platinum"].state == TOUCHED and found["dose-above-usual"].state == TOUCHED
    assert found["creatinine-cisplatin"].state == SILENT and found["completeness"].state == SILENT
    assert found["child-pugh-c"].state == NOT_KNOWN and found["child-pugh-c"].field == "child_pugh_class"
    # no anthracycline is given, so nobody needs to know the bilirubin for that rule
    assert found["bilirubin-anthracycline"].state == SILENT and found["bilirubin"].state == NOT_KNOWN
    order = [(e.state, e.severity) for e in explain(protocol)]
    assert order[0] == (TOUCHED, "forbidden") and order[1] == (TOUCHED, "warning")


def test_the_explanation_is_what_the_check_says() -> None:
    rng = random.Random(3)
    for _ in range(100):
        names = rng.sample(list(vocabulary()), 4)
        protocol, patient = Protocol(tuple(_random_action(rng, n) for n in names)), _random_patient(rng)
        touched = {(e.rule, e.severity, e.reason) for e in explain(protocol, patient) if e.state == TOUCHED}
        assert touched == {(f.rule, f.severity, f.reason) for f in check(protocol, patient)}
