"""Properties of the kinds of `test_goal_of_kinds`: sentences put together from parts, judged without the reader."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.policy.goal import read_goal

#: A finding with a grade, level or place, its field and the value of "there is none".
GRADED = {
    "severe ascites": ("ascites", "none"), "massive ascites": ("ascites", "none"),
    "refractory ascites": ("ascites", "none"), "main PVT": ("portal_vein_thrombosis", "none"),
    "segmental portal vein thrombosis": ("portal_vein_thrombosis", "none"), "Vp4": ("portal_vein_thrombosis", "none"),
    "complete PVT": ("portal_vein_thrombosis", "none"), "NYHA III": ("heart_failure", "none"),
    "decompensated heart failure": ("heart_failure", "none"), "overt encephalopathy": ("encephalopathy", "none"),
    "encephalopathy grade 3": ("encephalopathy", "none"), "large arterioportal shunt": ("arterioportal_shunt", False),
    "end-stage renal failure": ("renal_failure", False), "overt hyperthyroidism": ("hyperthyroidism", False),
    "extensive lung metastases": ("extrahepatic_spread", False),
    "marked bile duct dilatation": ("dilated_bile_ducts", False),
}  # fmt: skip
DENIALS = ("no {x}", "without {x}", "there is no {x}", "{x}: none", "no evidence of {x}", "{x} absent", "denies {x}")
BEHIND = ("", "; use epirubicin", ", no fever", ". Child-Pugh A5", ", and wants PVA", " on CT", " at present")
#: Field, how its value is written, and two values of which the first is the milder.
VALUES = {
    "lvef_percent": ("LVEF {} %", 62, 28), "egfr_ml_per_min": ("eGFR {}", 75, 20), "inr": ("INR {}", 1.1, 2.8),
    "bilirubin_mg_per_dl": ("bilirubin {} mg/dl", 1.2, 5.1), "creatinine_mg_per_dl": ("creatinine {} mg/dl", 0.8, 3.4),
    "albumin_g_per_dl": ("albumin {} g/dl", 4.1, 2.2), "platelets_10e9_per_l": ("platelets {} G/l", 180, 25),
}  # fmt: skip
PAST = (
    "in 2021",
    "last year",
    "two years ago",
    "previously",
    "at baseline",
    "letztes Jahr",
    "auparavant",
    "fr\u00fcher",
)
NOW = ("now", "today", "currently", "aktuell", "jetzt", "actuellement", "ahora", "adesso", "at present")
RANGES = {
    "ECOG 1{}2": ("ecog", 2), "NYHA II{}III": ("heart_failure", "III"), "Vp2{}3": ("portal_vein_thrombosis", "lobar"),
    "BCLC B{}C": ("bclc_stage", "C"), "Child-Pugh A{}B": ("child_pugh_class", "B"),
}  # fmt: skip
AGENTS = {
    "cisplatin": "Cisplatin", "doxorubicin": "Doxorubicin", "Lipiodol": "Lipiodol", "epirubicin": "Epirubicin",
    "mitomycin": "Mitomycin", "gelfoam": "Gelatin Sponge", "lobaplatin": "Lobaplatin",
}  # fmt: skip
WELCOMED = (
    "don't hesitate to use {x}", "never hesitate to give {x}", "no reservations about {x}", "use {x} without delay",
    "use {x} without dose reduction", "no doubt use {x}", "do not forget {x}", "use {x} with no hesitation",
    "ne pas h\u00e9siter \u00e0 utiliser {x}", "no dudar en usar {x}", "non esitare a usare {x}", "sin duda usar {x}",
    "ohne Zweifel {x} verwenden", "do not be shy to use {x}", "no need to avoid {x}",
    "inject {x} slowly, stop at stasis",
)  # fmt: skip
EXCESS = (
    "no {x} over {d}", "do not give more {x} than {d}", "avoid {x} above {d}", "not more than {d} {x}",
    "never exceed {d} of {x}", "no more than {d} of {x}", "{x} at most {d}",
)  # fmt: skip
LABS = "plt|PLT|Bili|Krea|Hb|Quick|CRP|TSH|AST|WBC|troponin|zyx|Qrs".split("|")
UNITS = "mg/dl|g/l|\u00b5mol/l|mmol/l|ng/ml|U/l|10^9/l|mg/l|%".split("|")
#: A reaction, how it is denied, and whether that is clear.
ALLERGIES = ("iodine allergy", "contrast allergy", "Jodallergie", "cisplatin allergy")
_NO = (": no", "? no", " (-)", ": none", ": negative", ": denied")


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(GRADED)), st.sampled_from(DENIALS), st.sampled_from(BEHIND))
def test_a_denied_grade_denies_no_finding(finding: str, denial: str, behind: str) -> None:
    field, denied = GRADED[finding]
    goal = read_goal(denial.format(x=finding) + behind)
    assert goal.facts.get(field) != denied and goal.questions


@pytest.mark.parametrize("finding", ["ascites", "PVT", "heart failure", "encephalopathy", "hyperthyroidism"])
@pytest.mark.parametrize("behind", [*BEHIND, " on ultrasound"])
def test_a_plain_denial_still_denies(finding: str, behind: str) -> None:
    goal = read_goal(f"no {finding}{behind}")
    assert {"none", False} & set(goal.facts.values()) and not goal.questions


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(VALUES)), st.sampled_from(PAST), st.sampled_from(NOW), st.booleans(), st.booleans())
def test_the_present_value_counts(field: str, past: str, now: str, worsens: bool, behind: bool) -> None:
    form, mild, bad = VALUES[field]
    old, new = (mild, bad) if worsens else (bad, mild)
    second = f"{new} {now}" if behind else f"{now} {new}"
    goal = read_goal(f"{form.format(old)} {past}, {second}")
    assert goal.facts[field] == float(new)
    assert read_goal(f"{form.format(old)} {past}; {form.format(new)} {now}").facts[field] == float(new)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(VALUES)), st.booleans(), st.sampled_from((", ", "; ", " and ", ". ")))
def test_of_two_values_without_a_time_the_worse_counts(field: str, worsens: bool, between: str) -> None:
    form, mild, bad = VALUES[field]
    first, second = (mild, bad) if worsens else (bad, mild)
    goal = read_goal(form.format(first) + between + form.format(second))
    assert goal.facts[field] == float(bad) and goal.questions


@pytest.mark.parametrize(("form", "between"), list(itertools.product(RANGES, ("-", "/", " to ", " bis ", " or "))))
def test_a_range_gives_its_worse_end(form: str, between: str) -> None:
    field, worst = RANGES[form]
    goal = read_goal(form.format(between))
    assert goal.facts[field] == worst and goal.questions


@pytest.mark.parametrize(("form", "name"), list(itertools.product(WELCOMED, AGENTS)))
def test_no_wish_becomes_an_exclusion(form: str, name: str) -> None:
    goal = read_goal(form.format(x=name))
    assert AGENTS[name] not in goal.excluded
    assert AGENTS[name] in goal.wanted or goal.questions or goal.not_understood or goal.changes_nothing


@pytest.mark.parametrize(("form", "name"), list(itertools.product(EXCESS, ("cisplatin", "doxorubicin", "epirubicin"))))
def test_an_excess_is_a_limit(form: str, name: str) -> None:
    goal = read_goal(form.format(x=name, d="40 mg"))
    assert [limit.text for limit in goal.limits] == [f"{AGENTS[name]} up to 40 mg"]
    assert not goal.excluded and not goal.wanted


@pytest.mark.parametrize(
    "each", ["/kg", "/m2", " per kg", "/m\u00b2", " pro kg", " per square metre", "/ kg", " por kg"]
)
@pytest.mark.parametrize("form", EXCESS)
def test_a_limit_for_each_kilogram_is_asked(form: str, each: str) -> None:
    goal = read_goal(form.format(x="cisplatin", d="2 mg" + each))
    assert goal.limits == () and goal.questions and "Cisplatin" not in goal.excluded


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.sampled_from(LABS), st.sampled_from(UNITS), st.sampled_from((" ", ": ", " = ")),
       st.sampled_from(("", "use epirubicin; ", "no PVA, ")),
       st.sampled_from(("", "; use Lipiodol", ", stable")))  # fmt: skip
def test_no_laboratory_value_vanishes(lab: str, unit: str, is_: str, before: str, behind: str) -> None:
    goal = read_goal(f"{before}{lab}{is_}4.3 {unit}{behind}")
    assert goal.questions or goal.facts


@pytest.mark.parametrize("word", ["refuses", "declines", "no", "without", "refused", "does not want", "against"])
@pytest.mark.parametrize("what", ["TACE", "embolisation", "chemoembolization", "treatment"])
def test_a_refusal_of_the_treatment_is_asked(word: str, what: str) -> None:
    assert read_goal(f"{word} {what}").questions


@pytest.mark.parametrize(("allergy", "no"), list(itertools.product(ALLERGIES, _NO)))
def test_a_denied_allergy_is_none(allergy: str, no: str) -> None:
    goal = read_goal(allergy + no)
    assert "allergies" not in goal.facts and not goal.excluded


@pytest.mark.parametrize("behind", [": unknown", "?", ": not known", ": pending", " suspected?", "? unclear"])
@pytest.mark.parametrize("allergy", ALLERGIES)
def test_an_allergy_that_is_not_sure_is_asked(allergy: str, behind: str) -> None:
    assert read_goal(allergy + behind).questions
