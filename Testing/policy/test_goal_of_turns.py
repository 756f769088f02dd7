"""Turns of phrase that a radiologist's second trial found misread: nothing is inverted, nothing vanishes.

`goal_sentences_of_turns.csv`: A refusals of the treatment, C double negations and lower limits, D limits behind their
dose, E "almost none", I denied allergies, P places to treat. The table was written while the reader was mended: 96 of
its 111 sentences failed with the reader before, four failed at first with the mended one.
"""

from __future__ import annotations

import itertools

import pytest

from MeWMLib.policy.goal import read_goal
from Testing.policy.goal_tables import check_agents, check_facts, each, rows_of

SENTENCES = rows_of("goal_sentences_of_turns.csv")
AGENTS = {"cisplatin": "Cisplatin", "epirubicin": "Epirubicin", "doxorubicin": "Doxorubicin", "mitomycin": "Mitomycin"}
KEPT = (
    "I don't want to avoid {x}", "nobody wants to avoid {x}", "{x} cannot be left out", "we cannot do without {x}",
    "{x} can not be dispensed with", "never leave {x} out", "auf {x} nicht verzichten", "{x} nicht weglassen",
    "keiner will auf {x} verzichten", "avoiding {x} is not acceptable", "no queremos evitar {x}",
    "ne pas renoncer \u00e0 {x}", "kein Grund, {x} zu vermeiden", "we refuse to avoid {x}",
    "non si deve evitare {x}", "{x} must not be less than 30 mg", "{x} nicht unter 30 mg", "{x} not below 30 mg",
)  # fmt: skip
CAPPED = (
    "{x} 30 mg max", "{x}, 30 mg at most", "{x} (30 mg max.)", "30 mg {x} maximum", "{x}; 30 mg at the most",
    "{x} 30 mg or less", "{x} 30 mg h\u00f6chstens", "{x} 30 mg au maximum", "{x} 30 mg como m\u00e1ximo",
    "{x} 30 mg al massimo",
)  # fmt: skip
FINDINGS = {
    "ascites": ("ascites", "none"), "encephalopathy": ("encephalopathy", "none"),
    "PVT": ("portal_vein_thrombosis", "none"),
    "heart failure": ("heart_failure", "none"), "renal failure": ("renal_failure", False),
    "hyperthyroidism": ("hyperthyroidism", False),
}  # fmt: skip
FEW = (
    "almost no", "hardly any", "scarcely any", "practically no", "next to no", "fast keine", "kaum", "casi sin",
    "quasi senza",
)  # fmt: skip
REFUSED = (
    "patient refuses {t}", "{t} was declined by the patient", "the patient does not want {t}", "Pat. lehnt {t} ab",
    "{t} vom Patienten abgelehnt", "Patientin w\u00fcnscht keine {t} mehr", "le patient ne veut pas de {t}",
    "el paciente rechaza la {t}", "il paziente rifiuta la {t}", "patient turned down {t}", "no consent for {t}",
)  # fmt: skip


@each(SENTENCES)
def test_the_table_of_turns(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    check_agents(goal, row)
    check_facts(goal, row, stated=True)
    assert row["asks"] == "?" or bool(goal.questions) == (row["asks"] == "yes"), goal.questions
    if row["kind"] == "A" and row["asks"] == "yes":
        assert any("against the treatment itself" in question for question in goal.questions)
    if row["kind"] == "P" and row["asks"] == "yes":
        assert any("--territory" in question for question in goal.questions)


def test_the_table_of_turns_is_whole() -> None:
    assert len({row["sentence"] for row in SENTENCES}) == len(SENTENCES) == 111
    assert {row["kind"] for row in SENTENCES} == set("ACDEIP")
    assert {row["asks"] for row in SENTENCES} <= {"yes", "no", "?"}


@pytest.mark.parametrize(("form", "name"), list(itertools.product(KEPT, AGENTS)))
def test_a_negated_exclusion_excludes_nothing(form: str, name: str) -> None:
    goal = read_goal(form.format(x=name))
    assert not goal.excluded and not goal.limits and goal.questions


@pytest.mark.parametrize(("form", "name"), list(itertools.product(CAPPED, AGENTS)))
@pytest.mark.parametrize("lead", ["use ", "", "no Lipiodol. "])
def test_a_cap_behind_the_dose_is_a_limit(form: str, name: str, lead: str) -> None:
    goal = read_goal(lead + form.format(x=name))
    assert [limit.text for limit in goal.limits] == [f"{AGENTS[name]} up to 30 mg"]
    assert goal.wanted == ((AGENTS[name],) if lead == "use " else ())
    assert goal.excluded == (("Lipiodol",) if "no" in lead else ())


@pytest.mark.parametrize(("few", "finding"), list(itertools.product(FEW, FINDINGS)))
def test_almost_none_is_not_none(few: str, finding: str) -> None:
    field, none = FINDINGS[finding]
    goal = read_goal(f"{few} {finding}; use epirubicin")
    assert field in goal.facts and goal.facts[field] != none and goal.questions
    assert read_goal(f"no {finding}").facts == {field: none}


@pytest.mark.parametrize(("form", "named"), list(itertools.product(REFUSED, ("TACE", "Chemoembolisation", "DEB-TACE"))))
@pytest.mark.parametrize("beside", ["", ", Child-Pugh A5", "; use epirubicin"])
def test_a_refusal_is_asked_about(form: str, named: str, beside: str) -> None:
    questions = read_goal(form.format(t=named) + beside).questions
    assert any("against the treatment itself" in question for question in questions)
