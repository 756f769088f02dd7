"""An exclusion ends where an agent has a contrast word of its own; an allergy is never invented; "A no, B yes"; TAE.

The oracle is the template that a sentence is made of. What has no contrast word, "no A, B", is asked about.
"""

from __future__ import annotations

import itertools

import pytest

from MeWMLib.core.goal import Goal
from MeWMLib.core.patient import Findings, Lesion
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import DRUG, agents_of
from MeWMLib.core.templates import completions, template_of
from MeWMLib.policy.baselines import GuidelinePolicy
from MeWMLib.policy.goal import read_goal
from MeWMLib.policy.proposal import PolicyInput
from MeWMLib.policy.rules import allowed, left_out

#: Language to words that rule out, words of an allergy, contrast words before and behind an agent, "or", yes and no.
WORDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...], tuple[str, ...], str, str, str]] = {
    "en": (("no", "avoid", "without", "do not use", "no longer"), ("allergic to", "anaphylaxis with"),
           ("only", "just", "instead", "solely", "simply"), ("only", "instead", "is enough", "alone", "is fine", "yes"),
           "or", "yes", "no"),
    "de": (("kein", "ohne", "vermeide"), ("Allergie gegen", "allergisch auf"), ("nur", "stattdessen", "lediglich"),
           ("stattdessen", "reicht", "allein", "ist ok", "ja"), "oder", "ja", "nein"),
    "fr": (("pas de", "sans", "\u00e9viter"), ("allergie au", "allergique au"), ("seulement", "uniquement"),
           ("seulement", "suffit", "\u00e0 la place", "oui"), "ou", "oui", "non"),
    "es": (("sin", "no usar", "evitar"), ("alergia al", "al\u00e9rgico al"), ("solo", "solamente", "en su lugar"),
           ("solamente", "basta", "en su lugar", "s\u00ed"), "o", "s\u00ed", "no"),
    "it": (("senza", "niente", "evitare"), ("allergia al", "allergico al"), ("solo", "soltanto", "invece"),
           ("soltanto", "basta", "al suo posto", "s\u00ec"), "oppure", "s\u00ec", "no"),
    "pt": (("sem", "n\u00e3o usar", "evitar"), ("alergia a", "al\u00e9rgico a"), ("somente", "apenas", "s\u00f3"),
           ("somente", "basta", "em vez disso", "sim"), "ou", "sim", "n\u00e3o"),
}  # fmt: skip
PAIRS = (("cisplatin", "doxorubicin"), ("PVA", "lipiodol"), ("mitomycin", "epirubicin"))
NAMES = {
    "cisplatin": "Cisplatin", "doxorubicin": "Doxorubicin", "PVA": "PVA", "lipiodol": "Lipiodol",
    "mitomycin": "Mitomycin", "epirubicin": "Epirubicin",
}  # fmt: skip
#: What "only doxorubicin" rules out.
BUT_DOXORUBICIN = " ".join(name for name in agents_of(DRUG) if name != "Doxorubicin")
PARTED = ", ", " - ", " (", "; ", " "
LANGUAGES = pytest.mark.parametrize("language", WORDS)


def _closed(text: str) -> str:
    return text + ")" * (text.count("(") - text.count(")"))


def _contrasts(language: str, cues: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Sentences with what they rule out and what is set against it."""
    _, _, leads, tails, *_ = WORDS[language]
    found = []
    for cue, (first, second), part in itertools.product(cues, PAIRS, PARTED):
        found += [(_closed(f"{cue} {first}{part}{word} {second}"), first, second) for word in leads]
        # in a sentence of its own a permission wishes nothing
        told = [word for word in tails if part != "; " or word not in ("is fine", "ist ok")]
        found += [(_closed(f"{cue} {first}{part}{second} {word}"), first, second) for word in told]
    return found


@LANGUAGES
def test_what_is_set_against_an_exclusion_is_wished(language: str) -> None:
    for text, first, second in _contrasts(language, WORDS[language][0]):
        goal = read_goal(text)
        assert NAMES[first] in goal.excluded and NAMES[second] not in goal.excluded, text
        assert goal.wanted == (NAMES[second],) or goal.questions, text
        assert not goal.facts, text


@LANGUAGES
def test_no_allergy_is_made_of_what_is_set_against_one(language: str) -> None:
    for text, first, second in _contrasts(language, WORDS[language][1]):
        goal = read_goal(text)
        assert goal.facts == {"allergies": (NAMES[first],)}, text
        assert NAMES[second] not in goal.excluded and (goal.wanted or goal.questions), text


@LANGUAGES
def test_most_of_them_are_wishes_without_a_question(language: str) -> None:
    """A reader that asked about everything would pass the tests above."""
    every = _contrasts(language, WORDS[language][0])
    read = sum(read_goal(text).wanted == (NAMES[second],) for text, _, second in every)
    assert read >= 0.85 * len(every), (read, len(every))


@LANGUAGES
def test_a_list_stays_a_list(language: str) -> None:
    cues, _, _, _, joined, *_ = WORDS[language]
    for cue in cues:
        two = read_goal(f"{cue} cisplatin {joined} mitomycin")
        three = read_goal(f"{cue} cisplatin, mitomycin {joined} epirubicin")
        assert two.excluded == ("Cisplatin", "Mitomycin") and not two.questions, cue
        assert three.excluded == ("Cisplatin", "Mitomycin", "Epirubicin") and not three.questions, cue


@LANGUAGES
def test_a_comma_alone_is_asked_about(language: str) -> None:
    cues, harms, *_ = WORDS[language]
    for cue, part in itertools.product((*cues, *harms), (", ", " - ", " (", " ")):
        goal = read_goal(_closed(f"{cue} cisplatin{part}doxorubicin"))
        assert "Cisplatin" in goal.excluded and goal.questions and "Doxorubicin" not in goal.wanted, (cue, part)


@LANGUAGES
def test_yes_and_no_answer_for_the_agent_before_them(language: str) -> None:
    *_, yes, no = WORDS[language]
    for form in ("cisplatin {no}, epirubicin {yes}", "cisplatin: {no}; epirubicin: {yes}",
                 "epirubicin ({yes}), cisplatin ({no})", "epirubicin - {yes}, cisplatin - {no}",
                 "cisplatin {no} epirubicin {yes}"):  # fmt: skip
        goal = read_goal(form.format(yes=yes, no=no))
        assert (goal.wanted, goal.excluded, goal.questions) == (("Epirubicin",), ("Cisplatin",), ()), form


@pytest.mark.parametrize(
    "text",
    [
        "not allergic to cisplatin, only doxorubicin", "no cisplatin allergy, only doxorubicin",
        "allergies: cisplatin no, only doxorubicin", "previously cisplatin, now doxorubicin",
        "allergic to cisplatin, now doxorubicin", "no cisplatin, doxorubicin if possible",
        "no lipiodol, only if doxorubicin is unavailable", "should we avoid cisplatin, only doxorubicin",
        "no cisplatin, doxorubicin only if stable", "no cisplatin, possible doxorubicin",
        "no cisplatin, doxorubicin is okay for me", "no cisplatin, doxorubicin ok if stable",
    ],
)  # fmt: skip
def test_what_may_be_a_contrast_or_not_is_asked_about(text: str) -> None:
    goal = read_goal(text)
    assert goal.questions and not goal.wanted and "Doxorubicin" not in goal.excluded
    assert "Doxorubicin" not in goal.facts.get("allergies", ())


@pytest.mark.parametrize(
    ("text", "wanted", "excluded"),
    [
        ("cisplatin contraindicated, doxorubicin fine", "Doxorubicin", "Cisplatin"),
        ("cisplatin allergy, only doxorubicin", "Doxorubicin", f"Cisplatin {BUT_DOXORUBICIN}"),
        ("doxorubicin only, cisplatin no", "Doxorubicin", f"Cisplatin {BUT_DOXORUBICIN}"),
        ("no beads, lipiodol + epirubicin instead", "Lipiodol Epirubicin", "LC|beads"),
        ("no beads, lipiodol or doxorubicin are fine", "Lipiodol Doxorubicin", "LC|beads"),
        ("\u4e0d\u7528\u987a\u94c2\uff0c\u4ec5\u7528\u963f\u9709\u7d20", "Doxorubicin", BUT_DOXORUBICIN),
        ("\u4e0d\u7528\u987a\u94c2\uff0c\u963f\u9709\u7d20\u5373\u53ef", "Doxorubicin", "Cisplatin"),
        ("\u987a\u94c2\uff1a\u5426\uff1b\u963f\u9709\u7d20\uff1a\u662f", "Doxorubicin", "Cisplatin"),
        ("yes to cisplatin, no to lipiodol", "Cisplatin", "Lipiodol"),
        ("kein Cisplatin sondern Doxorubicin", "Doxorubicin", "Cisplatin"),
        ("I'd rather have epirubicin, she'd avoid cisplatin", "Epirubicin", "Cisplatin"),
        ("couldn't give cisplatin", "", "Cisplatin"),
        ("no platinum (cisplatin, oxaliplatin)", "", "Oxaliplatin Lobaplatin Nedaplatin Cisplatin"),
    ],
)  # fmt: skip
def test_more_turns(text: str, wanted: str, excluded: str) -> None:
    goal = read_goal(text)
    told = {name.replace("|", " ") for name in excluded.split()}
    assert (goal.wanted, set(goal.excluded)) == (tuple(wanted.split()), told)
    assert not goal.questions and "d" not in goal.not_understood


BLAND = (
    "bland embolisation only, no chemo", "TAE", "TAE only", "TAE rather than TACE", "no TACE, only bland embolisation",
    "nur Embolisation ohne Chemotherapie", "reine Embolisation, keine Chemo", "embolise without drugs",
    "embolisation seule sans chimioth\u00e9rapie", "embolizaci\u00f3n sin quimioterapia", "drug-free embolisation",
    "solo embolizzazione, niente chemioterapia", "s\u00f3 emboliza\u00e7\u00e3o, sem quimioterapia",
    "\u5355\u7eaf\u6813\u585e\uff0c\u4e0d\u7528\u5316\u7597",
)  # fmt: skip


@pytest.mark.parametrize("text", BLAND)
def test_who_asks_for_bland_embolisation_gets_no_drug(text: str) -> None:
    goal = read_goal(text)
    assert goal.without_drugs and not goal.questions and "LC beads" in goal.ruled_out


@pytest.mark.parametrize("text", ["bland embolisation only, no chemo", "no chemo"])
def test_bland_embolisation_is_proposed_without_a_drug(text: str) -> None:
    findings = Findings(1500.0, 100.0, (Lesion(1, 30.0, 40.0, (0.0, 0.0, 0.0), 120.0, 10.0, 0.0, 0.0, 30.0),))
    settings = PlanSettings()
    found = GuidelinePolicy().propose(PolicyInput(findings, goal=text), settings)
    assert found.space.drugs == () and found.space.embolics and "LC beads" not in found.space.embolics
    assert template_of(found.protocol) == "tae" and found.protocol.complete
    filled = completions(found.space, lambda p: allowed(p, goal=read_goal(text)), lambda _slot, _name: None, 3, 2)
    assert filled and not any(protocol.drugs for protocol in filled)
    assert set(left_out(goal=read_goal(text))) == {*agents_of(DRUG), "LC beads"}


@pytest.mark.parametrize("text", ["no chemo", "no drugs", "ohne Medikamente", "patient refuses chemotherapy"])
def test_no_accepted_reading_gives_a_drug_to_who_wants_none(text: str) -> None:
    goal = read_goal(text)
    assert goal.without_drugs and goal.questions


@pytest.mark.parametrize(
    "text",
    ["TACE rather than TAE", "no bland embolisation", "previous TAE", "TAE?", "no other drug", "no drug allergy",
     "embolise only segment 8", "no previous chemotherapy", "use doxorubicin, no other drugs"],
)  # fmt: skip
def test_what_is_not_bland(text: str) -> None:
    assert not read_goal(text).without_drugs


def test_a_drug_beside_bland_embolisation_is_asked_about() -> None:
    goal: Goal = read_goal("bland embolisation; use doxorubicin")
    assert goal.without_drugs and goal.wanted == () and any("Doxorubicin" in question for question in goal.questions)
    assert read_goal("bland embolisation with PVA").wanted == ("PVA",)
