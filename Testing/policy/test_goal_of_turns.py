"""Turns of phrase that a radiologist's second trial found misread: nothing is inverted, nothing vanishes.

`goal_sentences_of_turns.csv`: A refusals of the treatment, C double negations and lower limits, D limits behind their
dose, E "almost none", I denied allergies, P places to treat. The table was written while the reader was mended: 96 of
its 111 sentences failed with the reader before, four failed at first with the mended one.
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import pytest

from MeWMLib.policy.goal import read_goal

with Path(__file__).with_name("goal_sentences_of_turns.csv").open(encoding="utf-8", newline="") as _file:
    SENTENCES = list(csv.DictReader(_file))
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


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _sets(cell: str) -> tuple[set[str], set[str]]:
    """Agents that must be there, and those that may be ("?Lipiodol")."""
    parts = _parts(cell)
    return {p for p in parts if not p.startswith("?")}, {p.removeprefix("?") for p in parts}


def _fact_holds(facts: dict[str, object], told: str) -> bool:
    """ "ascites=mild" must be so; "ascites!=none" must not, and "allergies!=iodine" must not hold it."""
    name, value = told.replace("!=", "=").split("=")
    found = facts.get(name)
    if "!=" in told and name != "allergies" and found is None:
        return False
    return (value in {str(v) for v in (found if isinstance(found, tuple) else (found,))}) != ("!=" in told)


@pytest.mark.parametrize("row", SENTENCES, ids=[row["sentence"][:60] for row in SENTENCES])
def test_the_table_of_turns(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    for found, column in ((goal.wanted, "wanted"), (goal.excluded, "excluded")):
        must, may = _sets(row[column])
        assert must <= set(found) <= may, (column, found)
    assert all(_fact_holds(goal.facts, told) for told in _parts(row["facts"])), goal.facts
    assert {limit.text for limit in goal.limits} == set(_parts(row["limits"]))
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
