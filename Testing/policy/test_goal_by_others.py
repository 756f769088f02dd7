"""Sentences of somebody who did not write the parser, and the kinds of faults that they showed."""

from __future__ import annotations

import pytest

from MeWMLib.policy.goal import read_goal
from Testing.policy.goal_tables import check_agents, each, rows_of

SENTENCES = rows_of("goal_sentences_by_others.csv")


@each(SENTENCES)
def test_the_table_of_others(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    check_agents(goal, row)
    assert row["asks"] == "?" or bool(goal.questions) == (row["asks"] == "yes"), goal.questions


def test_the_table_of_others_is_whole() -> None:
    assert len({row["sentence"] for row in SENTENCES}) == 93
    assert {row["asks"] for row in SENTENCES} <= {"yes", "no", "?"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        # a wish without a verb
        ("only cisplatin", True), ("nothing but cisplatin", True), ("cisplatin alone", True),
        ("cisplatin rather than oxaliplatin", True), ("Cisplatin statt Oxaliplatin", True),
        ("cisplatine au lieu d'oxaliplatine", True), ("cisplatino en lugar de oxaliplatino", True),
        ("only cisplatin in 2019", False), ("only cisplatin was given", False), ("only cisplatin failed", False),
        ("we had cisplatin instead of oxaliplatin", False), ("cisplatin instead of oxaliplatin last time", False),
        ("Last session. Only cisplatin.", False), ("Allergies: only cisplatin", False), ("not only cisplatin", False),
        ("cisplatin rather than oxaliplatin?", False), ("Allergies\nonly cisplatin", False),
        # modal verbs
        ("cisplatin should be used", True), ("cisplatin must be given", True), ("cisplatin is to be used", True),
        ("Cisplatin soll verwendet werden", True), ("cisplatin should not be used", False),
        ("cisplatin was to be used", False), ("cisplatin should be used with caution", False),
        ("cisplatin should have been used", False), ("cisplatin should be used only if stable", False),
        # choices
        ("cisplatin would be our choice", True), ("our first choice is cisplatin", True),
        ("cisplatin was our first choice", False), ("cisplatin would be our last choice", False),
        ("cisplatin would be our choice but she is allergic", False), ("cisplatin is not our choice", False),
        # conditions
        ("use cisplatin if possible", True), ("use cisplatin unless allergic", False),
        ("if the kidneys allow, use cisplatin", False), ("utiliser cisplatine sauf si allergie", False),
        # what points back
        ("use cisplatin; the ascites is mild", True), ("use cisplatin. The patient is allergic to it.", False),
        ("prefer cisplatin, the patient refuses it", False), ("use cisplatin; she cannot have it", False),
        ("the patient wants cisplatin, but it is contraindicated", False),
        ("prefer cisplatin, patient declines", False),
        # a low toxicity is no toxicity
        ("prefer cisplatin with low toxicity", True), ("prefer cisplatin but few side effects", True),
        ("prefer cisplatin, toxicity", False),
        # words that are no misspelt others
        ("continue cisplatin", True), ("discontinue cisplatin", False), ("use noncisplatin drugs", False),
        # sessions that were
        ("TACE with cisplatin", True), ("two sessions with cisplatin", False), ("the first was with cisplatin", False),
        ("a rash with penicillin and wants cisplatin", False), ("use cis\u00adplatin", True), ("use\tcisplatin", True),
    ],
)  # fmt: skip
def test_kinds_of_wishes(text: str, wanted: bool) -> None:
    assert ("Cisplatin" in read_goal(text).wanted) == wanted


@pytest.mark.parametrize(
    ("text", "excluded", "asked"),
    [
        ("avoid anything with cisplatin", True, False), ("nothing containing cisplatin", True, False),
        ("noncisplatin regimen", True, False), ("allergic neither to cisplatin nor to PVA", False, False),
        ("allergic to neither PVA nor cisplatin", False, False), ("allergic to PVA, not to cisplatin", False, False),
        ("weder gegen PVA noch gegen Cisplatin allergisch", False, False), ("neither PVA nor cisplatin", True, False),
        ("due to an allergy neither PVA nor cisplatin", True, True),
        ("allergy to cisplatin was ruled out", False, True),
        ("replace PVA with cisplatin", False, True), ("nothing against cisplatin", False, True),
        ("no risk with cisplatin", False, True), ("do not on any account use cisplatin", True, False),
        ("prefer cisplatin with low toxicity", False, False), ("cisplatin tolerance", False, True),
        ("use cisplatin unless allergic", False, True), ("no\u200b cisplatin", True, False),
    ],
)  # fmt: skip
def test_kinds_of_exclusions(text: str, excluded: bool, asked: bool) -> None:
    goal = read_goal(text)
    assert ("Cisplatin" in goal.excluded) == excluded and not set(goal.wanted) & set(goal.excluded)
    assert bool(goal.questions) == asked, goal.questions


@pytest.mark.parametrize(
    ("text", "facts", "asked"),
    [
        ("renal failure: no cisplatin", {"renal_failure": True}, False),
        ("insuffisance r\u00e9nale: \u00e9viter le cisplatine", {"renal_failure": True}, False),
        ("Cisplatin vermeiden wegen Niereninsuffizienz", {"renal_failure": True}, False),
        ("no cisplatin because of renal failure", {"renal_failure": True}, False),
        ("no usar cisplatino por insuficiencia renal", {"renal_failure": True}, False),
        ("renal failure was ruled out", {"renal_failure": False}, False),
        ("renal failure: absent", {"renal_failure": False}, False),
        ("no ascites because of diuretics", {"ascites": "none"}, False),
        ("avoid renal failure", {"renal_failure": True}, True),
        ("prefer epirubicin to avoid heart failure", {"heart_failure": "unspecified"}, True),
    ],
)
def test_a_finding_is_not_denied_by_what_is_said_of_an_agent(text: str, facts: dict[str, object], asked: bool) -> None:
    goal = read_goal(text)
    assert goal.facts == facts and bool(goal.questions) == asked


@pytest.mark.parametrize("text", ["no drugs", "without chemotherapy", "keine Medikamente", "PVA, no drug"])
def test_a_treatment_without_drugs_is_asked_about(text: str) -> None:
    goal = read_goal(text)
    assert goal.without_drugs and any("without a drug (TAE)" in question for question in goal.questions)


def test_a_number_beyond_numbers_is_no_limit() -> None:
    assert read_goal(f"at most {'9' * 400} mg cisplatin").limits == ()
