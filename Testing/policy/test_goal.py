"""A goal is never turned into its opposite: a table of sentences, and properties over sentences put together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.core.errors import GoalQuestionError, InputError, RuleError
from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import Protocol, agents_of
from MeWMLib.core.records import from_plain, to_plain
from MeWMLib.core.texts import MOST_GOAL
from MeWMLib.policy.baselines import ConstantPolicy, FrequencyPrior
from MeWMLib.policy.goal import read_goal, require_answered, with_facts
from MeWMLib.policy.guideline import propose
from MeWMLib.policy.proposal import PolicyInput
from MeWMLib.policy.rules import FORBIDDEN, WARNING, check
from Testing.policy.goal_tables import each, parts, rows_of

SENTENCES = rows_of("goal_sentences.csv")
LESION = Lesion(1, 30.0, 40.0, (0.0, 0.0, 0.0), 120.0, 10.0, 0.0, 0.0, 30.0)
FINDINGS = Findings(1500.0, 110.0, (LESION,))


@each(SENTENCES)
def test_the_table_of_sentences(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    assert set(goal.wanted) == set(parts(row["wanted"]))
    assert set(goal.excluded) == set(parts(row["excluded"]))
    assert {limit.text for limit in goal.limits} == set(parts(row["limits"]))
    assert bool(goal.questions) == (row["asks"].strip().lower() in ("yes", "true", "1")), goal.questions


def test_the_table_is_worth_its_name() -> None:
    assert len(SENTENCES) >= 80 and len({row["sentence"] for row in SENTENCES}) == len(SENTENCES)


AGENTS = {
    "cisplatin": "Cisplatin", "doxorubicin": "Doxorubicin", "Lipiodol": "Lipiodol", "LC beads": "LC beads",
    "epirubicin": "Epirubicin", "mitomycin": "Mitomycin", "PVA": "PVA", "oxaliplatin": "Oxaliplatin",
}  # fmt: skip
#: Ways to say that an agent must not be given; nobody may take one for a wish.
AGAINST = (
    "allergic to {x}|{x} allergy|anaphylaxis with {x}|anaphylactic shock after {x}|{x}-refractory|refractory to {x}|"
    "resistant to {x}|{x} is contraindicated|contraindication to {x}|no {x}|without {x}|avoid {x}|never {x}|"
    "do not use {x}|{x} must not be used|{x} intolerance|cannot tolerate {x}|{x} caused hives|{x} made him ill|"
    "severe toxicity with {x}|cardiotoxicity from {x}|patient refuses {x}|progression on {x}|had a reaction to {x}|"
    "history of anaphylaxis to {x}|{x} nearly killed her|{x}: anaphylaxis|kein {x}|ohne {x}|Allergie gegen {x}|"
    "pas de {x}|allergie \u00e0 {x}|al\u00e9rgico a {x}|senza {x}|allergico a {x}|\u5bf9{x}\u8fc7\u654f|"
    "\u7981\u7528{x}|{x} should be avoided|rather not {x}|keep away from {x}|{x} vermeiden|don't give {x}|exclude {x}"
).split("|")
BASES = (
    "prefer {a}|use {a} and {b}|no {a}, prefer {b}|prefer {a} over {b}|rather {a} than {b}|had {a}|"
    "should we use {a}?|do not use {a}|anything but {a}|{a} preferred|allergic to {a}|not without {a}|TACE with {a}|"
    "we would like to use {a} with {b}|consider {a}|never use {a}|longest survival, few side effects|"
    "use at most 50 mg {a}|please avoid {a} and use {b}|{a} with {b}|prefer not to use {a}|Doxorubicin bevorzugen|"
    "utiliser {a}|\u9996\u9009{a}|\u4e0d\u8981\u7528{a}|only {a}|{a} rather than {b}|{a} instead of {b}|"
    "{a} should be used|{a} would be our choice|I would like to see {a} tried first|avec du {a}|"
    "continue {a}|prefer {a} with low toxicity|don't hesitate to use {a}|no reservations about {a}|"
    "use {a} without delay|use {a} suspended in {b}|use {a} and stop at stasis|no {a} over 40 mg|avoid too much {a}|"
    "don't forget {a}|use {a} without dose reduction|sin duda usar {a}|n'h\u00e9sitez pas \u00e0 utiliser {a}"
).split("|")
SEPARATORS = ("; ", ". ", ", ", " and ", " - ", "\n", " but ", " because ", " (", ") ", " ")
_NAMES = st.sampled_from(sorted(AGENTS))
_PAIR = st.lists(_NAMES, min_size=2, max_size=2, unique=True)


@settings(max_examples=800, deadline=None, derandomize=True)
@given(st.sampled_from(BASES), _PAIR, st.sampled_from(AGAINST), _NAMES, st.sampled_from(SEPARATORS),
       st.sampled_from(SEPARATORS), st.sampled_from(("before", "behind", "inside")), st.integers(0, 8))  # fmt: skip
def test_a_contraindication_adds_no_wish(
    base: str, pair: list[str], form: str, x: str, left: str, right: str, where: str, place: int
) -> None:
    goal, clause = base.format(a=pair[0], b=pair[1]), form.format(x=x)
    parts = goal.split(" ")
    cut = {"before": 0, "behind": len(parts)}.get(where, min(place, len(parts)))
    text = left.join([*([" ".join(parts[:cut])] if cut else []), clause])
    text = right.join([text, *([" ".join(parts[cut:])] if cut < len(parts) else [])])
    assert set(read_goal(text).wanted) <= set(read_goal(goal).wanted), text


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(BASES), _PAIR, st.sampled_from(AGAINST), _NAMES, st.sampled_from(("; ", ". ", ", ", "\n")))
def test_an_agent_with_a_contraindication_is_not_wanted(
    base: str, pair: list[str], form: str, x: str, separator: str
) -> None:
    text = base.format(a=pair[0], b=pair[1]) + separator + form.format(x=x)
    goal = read_goal(text)
    assert AGENTS[x] not in goal.wanted and (AGENTS[x] in goal.excluded or goal.questions), text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(max_size=80))
def test_no_text_is_an_error_or_a_wish_by_chance(text: str) -> None:
    goal = read_goal(text)
    assert not set(goal.wanted) & set(goal.excluded)
    assert from_plain(Goal, to_plain(goal)) == goal


def test_a_goal_too_long_is_refused() -> None:
    with pytest.raises(InputError, match="The goal is too long"):
        read_goal("use cisplatin. " * MOST_GOAL)


def test_what_is_not_used_is_shown() -> None:
    goal = read_goal("prefer epirubicin; the tumour sits near the dome; TIPS stent")
    assert goal.not_understood[0].endswith("near the dome") and any("stent" in q for q in goal.questions)
    assert goal.lines[0] == "wanted: Epirubicin" and "near the dome" in goal.lines[-1]


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("heart failure NYHA III", {"heart_failure": "III"}),
        ("no heart failure", {"heart_failure": "none"}),
        ("no ascites, heart failure", {"ascites": "none", "heart_failure": "unspecified"}),
        ("Herzinsuffizienz", {"heart_failure": "unspecified"}),
        ("\u5fc3\u8870", {"heart_failure": "unspecified"}),
        ("renal failure", {"renal_failure": True}),
        ("creatinine 2.1 mg/dl, LVEF 35 %", {"creatinine_mg_per_dl": 2.1, "lvef_percent": 35.0}),
        ("Child-Pugh B8, BCLC C, ECOG 2", {"child_pugh_class": "B8", "bclc_stage": "C", "ecog": 2}),
        ("main portal vein thrombosis", {"portal_vein_thrombosis": "main"}),
        ("Vp3", {"portal_vein_thrombosis": "lobar"}),
        ("biliary stent, no encephalopathy", {"biliary_intervention": "stent", "encephalopathy": "none"}),
        ("allergic to iodine", {"allergies": ("iodine",)}),
        ("Jodallergie", {"allergies": ("iodine",)}),
        ("anaphylaxis with cisplatin", {"allergies": ("Cisplatin",)}),
        ("allergic to platinum drugs", {"allergies": ("platinum",)}),
        ("cisplatin-refractory", {}),
        ("bilirubin 4", {}),
        ("creatinine > 2 mg/dl", {}),
        ("creatinine 200 mg/dl", {}),
    ],
)
def test_statements_become_clinical_data(text: str, facts: dict[str, object]) -> None:
    assert read_goal(text).facts == facts


@pytest.mark.parametrize("text", ["bilirubin 4", "creatinine > 2 mg/dl", "creatinine 200 mg/dl", "low platelets"])
def test_a_number_that_is_not_clear_is_asked_about(text: str) -> None:
    assert read_goal(text).questions


@pytest.mark.parametrize(
    ("text", "known", "field", "value", "asked"),
    [
        ("heart failure NYHA III", {}, "heart_failure", "III", ""),
        ("heart failure", {"heart_failure": "none"}, "heart_failure", "unspecified", "there is none"),
        ("renal failure", {"renal_failure": False}, "renal_failure", True, "renal_failure"),
        ("creatinine 2 mg/dl", {"creatinine_mg_per_dl": 1.0}, "creatinine_mg_per_dl", 1.0, "clinical data say 1.0"),
        ("allergic to iodine", {"allergies": ["Cisplatin"]}, "allergies", ("Cisplatin", "iodine"), "iodine"),
        ("Child-Pugh C", {"child_pugh_score": 6}, "child_pugh_score", 6, "contradicts"),
    ],
)
def test_facts_meet_the_clinical_data(
    text: str, known: dict[str, object], field: str, value: object, asked: str
) -> None:
    clinical, goal = with_facts(read_goal(text), Clinical.from_json(known))
    assert getattr(clinical, field) == value
    assert any(asked in q for q in goal.questions) if asked else not goal.questions


def test_what_is_open_stops() -> None:
    assert require_answered(read_goal("use epirubicin")).wanted == ("Epirubicin",)
    with pytest.raises(GoalQuestionError, match="Cisplatin: is wanted or ruled out.*--accept-goal"):
        require_answered(read_goal("cisplatin"))


@pytest.mark.parametrize("name", [*agents_of("drug"), *agents_of("embolic")])
def test_an_excluded_agent_is_in_no_proposal(name: str) -> None:
    space = propose(FINDINGS, goal=f"severe anaphylaxis with {name}", drugs=11, embolics=7)
    assert name not in (*space.drugs, *space.embolics)
    assert all("named in the goal" not in reason for reason in space.reasons.values())


def test_every_policy_obeys_the_goal() -> None:
    case = PolicyInput(FINDINGS, goal="allergic to cisplatin")
    with pytest.raises(RuleError, match="goal rules out"):
        ConstantPolicy(Protocol.parse("Cisplatin + Lipiodol")).propose(case, PlanSettings())
    prior = FrequencyPrior((("Cisplatin + Lipiodol", 9), ("Epirubicin + Lipiodol", 1)))
    found = prior.propose(case, PlanSettings())
    assert found.protocol == Protocol.parse("Epirubicin + Lipiodol") and "Cisplatin" not in found.space.drugs


def test_a_statement_reaches_the_rules() -> None:
    assert "Lipiodol" not in propose(FINDINGS, goal="allergic to iodine", embolics=7).embolics
    space = propose(FINDINGS, goal="heart failure NYHA IV", drugs=11, embolics=7)
    assert not {"Doxorubicin", "Epirubicin", "LC beads"} & {*space.drugs, *space.embolics}


def test_limits_and_exclusions_are_rules() -> None:
    goal = read_goal("no PVA, at most 50 mg doxorubicin, no more than one drug")
    found = check(Protocol.parse("Doxorubicin 60 mg + Mitomycin + PVA"), goal=goal)
    assert [f.rule for f in found if f.severity == FORBIDDEN][:2] == ["goal-excludes", "goal-limits"]
    assert "60 mg" in found[1].reason or "2 drugs" in found[1].reason
    assert not check(Protocol.parse("Doxorubicin 50 mg + Lipiodol"), goal=goal)


def test_beads_go_with_their_drug() -> None:
    goal = read_goal("prefer LC beads, allergic to doxorubicin")
    assert goal.wanted == () and goal.questions
    assert read_goal("no doxorubicin").ruled_out == ("Doxorubicin", "LC beads")


def test_a_warning_is_not_a_note() -> None:
    found = check(Protocol.parse("Cisplatin + LC beads"))
    assert [(f.rule, f.severity) for f in found] == [("beads-with-another-drug", WARNING)]
