"""Rules about a patient: contraindications, allergies by any name, doses, and what is left out."""

from __future__ import annotations

import itertools

import pytest

from MeWMLib.core.clinical import Clinical
from MeWMLib.core.goal import Goal
from MeWMLib.core.protocol import Protocol, vocabulary
from MeWMLib.policy.goal import read_goal
from MeWMLib.policy.rules import (
    allowed,
    blocking,
    check,
    contraindications,
    explain,
    left_out,
    of_whole_patient,
    unjudged,
)

CIS, ADR, PVA = "Cisplatin + PVA", "Doxorubicin + PVA", "Mitomycin + PVA"
#: 3 + 1 + 1 + 1 + 1 = 7 points of Child-Pugh, class B.
VALUES = {
    "bilirubin_mg_per_dl": 3.2,
    "albumin_g_per_dl": 3.9,
    "inr": 1.1,
    "ascites": "none",
    "encephalopathy": "none",
}


def test_the_points_of_child_pugh_follow_from_the_values() -> None:
    rules = {f.rule for f in check(Protocol.parse(PVA), Clinical.from_json({**VALUES, "inr": 1.8}))}
    assert "child-pugh-b8" in rules and "child-pugh-b" in rules
    assert "child-pugh-b8" not in {f.rule for f in check(Protocol.parse(PVA), Clinical.from_json(VALUES))}


def test_what_may_not_be_given_at_all_is_left_out_with_its_reason() -> None:
    levels = itertools.product((None, 1.0, 6.0), (None, 1.0, 2.5), (None, (), ("Cisplatin",), ("gelatin",)))
    for bilirubin, creatinine, allergies in levels:
        patient = Clinical(bilirubin_mg_per_dl=bilirubin, creatinine_mg_per_dl=creatinine, allergies=allergies)
        found = left_out(patient)
        for name in vocabulary():
            assert (name in found) == (not allowed(Protocol.of([name]), patient))
    yellow = left_out(Clinical(bilirubin_mg_per_dl=5.5))
    assert "5.5" in yellow["Doxorubicin"] and "Cisplatin" not in yellow
    assert "goal" in left_out(goal=read_goal("no cisplatin"))["Cisplatin"]


@pytest.mark.parametrize(
    ("allergy", "protocol", "rule"),
    [
        ("Omnipaque", "Cisplatin + Lipiodol", "iodine-allergy-lipiodol"),
        ("visipaque", "Cisplatin + Lipiodol", "iodine-allergy-lipiodol"),
        ("iohexol", PVA, "iodine-allergy-contrast"),
        ("radiocontrast", PVA, "iodine-allergy-contrast"),
        ("contrast agent anaphylaxis", PVA, "iodine-allergy-contrast"),
        ("anaphylaxis to Ultravist", PVA, "iodine-allergy-contrast"),
        ("Kontrastmittel", PVA, "iodine-allergy-contrast"),
        ("platinum compounds", CIS, "allergy"),
        ("carboplatin", CIS, "allergy"),
        ("daunorubicin", ADR, "allergy"),
        ("Caelyx", "Mitomycin + LC beads", "allergy"),
        ("Caelyx", "Epirubicin + PVA", "allergy-same-class"),
        ("gelatine", "Cisplatin + Gelatin Sponge", "gelatin-allergy"),
        ("poppy seed oil", "Cisplatin + Lipiodol", "allergy"),
    ],
)
def test_an_allergy_is_known_by_its_brand(allergy: str, protocol: str, rule: str) -> None:
    assert rule in {f.rule for f in check(Protocol.parse(protocol), Clinical(allergies=(allergy,)))}


def test_an_allergy_to_an_unknown_substance_cannot_be_judged() -> None:
    for allergy in ("unknown", "xyzol", "several drugs"):
        found = explain(Protocol.parse(CIS), Clinical(allergies=(allergy,)))
        assert "allergy" in unjudged(found)["allergies"]
    known = explain(Protocol.parse(CIS), Clinical(allergies=("penicillin", "Latex")))
    assert "allergies" not in unjudged(known)


def test_what_is_said_of_the_patient_whatever_is_given() -> None:
    patient = Clinical(biliary_intervention="stent", allergies=("iodine",), egfr_ml_per_min=25)
    assert {f.rule for f in of_whole_patient(patient)} == {
        "biliary-abscess", "iodine-allergy-contrast", "egfr-contrast"
    }  # fmt: skip
    assert of_whole_patient(Clinical()) == ()


def test_tace_is_contraindicated_in_a_patient_whatever_is_given() -> None:
    moribund = Clinical(bclc_stage="D", ecog=3, ascites="refractory")
    assert [f.rule for f in contraindications(moribund)] == ["bclc-d", "ascites-refractory", "performance-status-poor"]
    assert contraindications(Clinical(bclc_stage="C", ecog=1, allergies=("Cisplatin",))) == ()
    assert not allowed(Protocol.parse(PVA), moribund)
    insists = Goal(insists=True)
    found = check(Protocol.parse(PVA), moribund, goal=insists)
    assert {"bclc-d", "ascites-refractory"} <= {f.rule for f in found if f.severity == "forbidden"}
    assert blocking(found, insists) == [] and allowed(Protocol.parse(PVA), moribund, goal=insists)
    # what forbids a drug blocks whatever the user insists on
    yellow = Clinical(bclc_stage="D", bilirubin_mg_per_dl=6.0)
    assert not allowed(Protocol.parse(ADR), yellow, goal=insists)


def test_nobody_is_warned_twice_of_one_dose() -> None:
    found = check(Protocol.parse("Cisplatin + Lipiodol 18 ml"))
    assert [(f.rule, f.severity) for f in found] == [("limit-lipiodol", "warning")]
    found = check(Protocol.parse("Cisplatin + Lipiodol 41 ml"))
    assert [(f.rule, f.severity) for f in found] == [("limit-lipiodol-most", "forbidden")]
    both = check(Protocol.parse("Cisplatin 150 mg + Lipiodol 18 ml"))
    assert [f.rule for f in both] == ["dose-above-usual", "limit-lipiodol"]
    assert "Lipiodol" not in both[0].reason
    # a limit that only warns hides no rule that forbids
    found = check(Protocol.parse("Doxorubicin 151 mg + PVA"))
    assert {(f.rule, f.severity) for f in found} >= {("dose-above-twice-usual", "forbidden")}
