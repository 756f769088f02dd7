""" "Only A", exceptions, goals of which nothing is understood, and what is listed as not understood.

`goal_sentences_of_only.csv`: A an "only" and what it rules out ("*drugs" and "*embolics" are all others of that kind),
B an "only" that belongs to something else, is denied or may mean two things, C exceptions and conditions, D goals of
which nothing is understood or that change nothing, E parts that are not understood beside parts that are. "?" in a cell
says nothing of it.
"""

from __future__ import annotations

import itertools

import pytest

from MeWMLib.core.errors import GoalQuestionError
from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Findings, Lesion
from MeWMLib.core.protocol import DRUG, EMBOLIC, agents_of
from MeWMLib.core.records import from_plain, to_plain
from MeWMLib.policy.goal import read_goal, require_answered
from MeWMLib.policy.guideline import propose
from Testing.policy.goal_tables import check_agents, each, parts, rows_of

SENTENCES = rows_of("goal_sentences_of_only.csv")
KINDS = {"*drugs": DRUG, "*embolics": EMBOLIC}
#: Ways to say that of its kind A alone is given.
ONLY = (
    "only {a}|{a} only|use only {a}|only use {a}|just {a}|{a} alone|nothing but {a}|use nothing but {a}|solely {a}|"
    "exclusively {a}|use {a} only|use {a}, nothing else|{a} and nothing else|please give only {a}|TACE with {a} only|"
    "nur {a}|{a} allein|ausschlie\u00dflich {a}|lediglich {a}|nichts als {a}|nur {a} verwenden|"
    "seulement {a}|uniquement {a}|{a} seul|rien que {a}|utiliser uniquement {a}|"
    "solo {a}|solamente {a}|\u00fanicamente {a}|exclusivamente {a}|nada m\u00e1s que {a}|usar solo {a}|"
    "soltanto {a}|esclusivamente {a}|nient'altro che {a}|usare solo {a}|somente {a}|s\u00f3 {a}|usar somente {a}|"
    "\u53ea\u7528{a}|\u4ec5\u7528{a}|\u5355\u7528{a}"
).split("|")
#: B is ruled out, A alone is left.
BESIDE = (
    "no {b}, only {a}", "avoid {b}, only {a}", "allergic to {b}, only {a}", "only {a}, no {b}", "no {b}, {a} only",
    "kein {b}, nur {a}", "sin {b}, solo {a}", "\u4e0d\u7528{b}\uff0c\u53ea\u7528{a}",
)  # fmt: skip
#: An "only" that is no limit to A.
ELSEWHERE = (
    "only if {a} is tolerated", "{a} only if stable", "not only {a}", "nicht nur {a}", "no solo {a}",
    "do not use {a} alone", "{a} only for large lesions", "only {a} was given before", "should we use only {a}?",
    "only {a} is available",
)  # fmt: skip
EXCEPTIONS = (
    "unless necessary", "except if necessary", "except in emergencies", "if not otherwise possible",
    "es sei denn n\u00f6tig", "wenn nicht anders m\u00f6glich", "sauf si n\u00e9cessaire",
    "\u00e0 moins que n\u00e9cessaire",
    "a menos que sea necesario", "salvo si es necesario", "salvo necesidad", "a meno che sia necessario",
    "salvo se necess\u00e1rio", "\u9664\u975e\u5fc5\u8981",
)  # fmt: skip
LAST = (
    "only as a last resort", "as a last resort", "nur als letzter Ausweg", "nur im Notfall", "en dernier recours",
    "como \u00faltimo recurso", "come ultima risorsa", "em \u00faltimo caso",
)  # fmt: skip
RULING_OUT = ("avoid {a} {e}", "no {a} {e}", "no {a}, {e}", "do not use {a} {e}", "{e}, no {a}", "no {a}. {e}")
WISHING = ("use {a} {e}", "prefer {a} {e}", "use {a}, {e}", "{a} {e}", "{e}, use {a}", "use {a}. {e}")


@each(SENTENCES)
def test_the_table_of_only(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    wanted, excluded = parts(row["wanted"]), list[str]()
    for told in parts(row["excluded"]):
        excluded += [n for n in agents_of(KINDS[told]) if n not in wanted] if told in KINDS else [told]
    check_agents(goal, row | {"excluded": ";".join(excluded)})
    assert {limit.text for limit in goal.limits} == set(parts(row["limits"]))
    assert bool(goal.questions) == (row["asks"] == "yes"), goal.questions
    for column in ("changes_nothing", "not_understood"):
        assert row[column] == "?" or list(getattr(goal, column)) == parts(row[column]), column


def test_the_table_of_only_is_whole() -> None:
    assert len({row["sentence"] for row in SENTENCES}) == len(SENTENCES) >= 200
    assert {row["kind"] for row in SENTENCES} == set("ABCDE")
    assert {row["asks"] for row in SENTENCES} <= {"yes", "no"}


@pytest.mark.parametrize("form", ONLY)
def test_only_one_of_its_kind_is_left(form: str) -> None:
    for kind, other in ((DRUG, EMBOLIC), (EMBOLIC, DRUG)):
        for name in agents_of(kind):
            goal = read_goal(form.format(a=name))
            assert goal.wanted == (name,) and not goal.questions, goal
            assert set(goal.excluded) == set(agents_of(kind)) - {name}
            assert not set(goal.excluded) & set(agents_of(other))


@pytest.mark.parametrize("form", BESIDE)
def test_only_beside_an_exclusion_rules_out_both_ways(form: str) -> None:
    for kind in (DRUG, EMBOLIC):
        for left, out in itertools.permutations(agents_of(kind), 2):
            goal = read_goal(form.format(a=left, b=out))
            assert (goal.wanted, goal.questions) == ((left,), ()), goal
            assert set(goal.excluded) == set(agents_of(kind)) - {left}


@pytest.mark.parametrize(("drug", "embolic"), list(itertools.product(agents_of(DRUG), agents_of(EMBOLIC))))
def test_only_two_kinds_leave_one_of_each(drug: str, embolic: str) -> None:
    goal = read_goal(f"only {drug} and {embolic}")
    assert goal.wanted == (drug, embolic)
    assert set(goal.excluded) == {*agents_of(DRUG), *agents_of(EMBOLIC)} - {drug, embolic}
    # the beads carry a drug that is ruled out then
    assert bool(goal.questions) == (embolic == "LC beads" and drug != "Doxorubicin")


@pytest.mark.parametrize("form", ELSEWHERE)
def test_an_only_of_something_else_excludes_nothing(form: str) -> None:
    for name in (*agents_of(DRUG), *agents_of(EMBOLIC)):
        goal = read_goal(form.format(a=name))
        assert not goal.excluded and not goal.wanted
        assert goal.questions or goal.changes_nothing


def test_what_only_leaves_is_all_that_is_proposed() -> None:
    findings = Findings(1500.0, 110.0, (Lesion(1, 30.0, 40.0, (0.0, 0.0, 0.0), 120.0, 10.0, 0.0, 0.0, 30.0),))
    space = propose(findings, goal="only epirubicin", drugs=11, embolics=7)
    assert space.drugs == ("Epirubicin",) and "Lipiodol" in space.embolics and "LC beads" not in space.embolics
    assert "Doxorubicin" in read_goal("only epirubicin").lines[1] and "loaded" in read_goal("only epirubicin").lines[1]


@pytest.mark.parametrize("exception", [*EXCEPTIONS, *LAST])
@pytest.mark.parametrize("name", ["cisplatin", "LC beads", "Lipiodol"])
def test_a_wish_with_an_exception_is_asked_about(exception: str, name: str) -> None:
    for form in WISHING:
        goal = read_goal(form.format(a=name, e=exception))
        assert not goal.wanted and not goal.excluded and goal.questions, goal


@pytest.mark.parametrize("exception", EXCEPTIONS)
@pytest.mark.parametrize("name", ["cisplatin", "LC beads", "Lipiodol"])
def test_an_exclusion_with_an_exception_holds_until_it_is_answered(exception: str, name: str) -> None:
    for form in RULING_OUT:
        text = form.format(a=name, e=exception)
        goal = read_goal(text)
        assert not goal.wanted and [one.lower() for one in goal.excluded] == [name.lower()], goal
        assert any("ruled out" in question and "until that is answered" in question for question in goal.questions)
        with pytest.raises(GoalQuestionError, match="--accept-goal"):
            require_answered(goal)


def test_nothing_understood_is_said_and_how_to_go_on() -> None:
    (question,) = read_goal("the surgeon likes golf").questions
    assert question.startswith("Nothing of \u201cthe surgeon likes golf\u201d was understood")
    assert "leave the goal empty" in question
    assert not read_goal("the surgeon likes golf; no PVA").questions


def test_what_changes_nothing_is_said() -> None:
    goal = read_goal("the patient had doxorubicin before; shrink the tumour; no PVA; blah")
    assert (
        "changes nothing: \u201cthe patient had doxorubicin before\u201d, \u201cshrink the tumour\u201d" in goal.lines
    )
    assert goal.lines[-1] == "not understood: \u201cblah\u201d"
    assert from_plain(Goal, to_plain(goal)) == goal
    assert not any(line.startswith("changes nothing") for line in read_goal("no PVA").lines)
