"""Kinds of reports that were read wrongly once: totals, sessions, plans, languages, outcomes, loads of beads."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.cli import main
from MeWMLib.policy.report_language import other_language
from MeWMLib.policy.report_rules import rule_findings
from MeWMLib.policy.reports import OperationReport, parse_report

DOSES = st.integers(1, 60)
TOTALS = (
    "Gesamt: {} mg.", "Gesamtdosis: {} mg.", "Summe {} mg.", "Insgesamt {} mg.", "Overall {} mg.", "Totalling {} mg.",
    "All together {} mg.", "Cumulative: {} mg.", "Au total {} mg.", "Dosis total {} mg.", "Total: {} mg.",
)  # fmt: skip
SESSIONS = (
    ("Session 1: ", "Session 2: "), ("First session: ", "Second session, four weeks later: "),
    ("TACE #1: ", "TACE #2: "), ("1st TACE (January): ", "2nd TACE (March): "), ("Session A: ", "Session B: "),
    ("In the first session ", "In the second session "), ("On 5 January 2024 ", "On 9 February 2024 "),
    ("Initial TACE: ", "Repeat TACE: "), ("Session 3 (10.04.2024): ", "Today: "),
)  # fmt: skip
PLANS = (
    "Planned: epirubicin {} mg. Given: epirubicin {} mg.", "Intended epirubicin {} mg; actually administered {} mg.",
    "Prescribed dose epirubicin {} mg, given dose {} mg.", "Epirubicin {} mg was planned, but {} mg was injected.",
    "Of the intended {} mg epirubicin, {} mg were delivered.", "Epirubicin: planned {} mg, administered {} mg.",
)  # fmt: skip


def doses(report: OperationReport) -> dict[str, float | None]:
    return {action.agent: action.dose for action in report.protocol.actions}


@pytest.mark.parametrize("form", TOTALS)
@settings(max_examples=6, deadline=None)
@given(parts=st.lists(DOSES, min_size=2, max_size=4))
def test_a_total_in_any_words_is_not_one_more(form, parts):
    text = "".join(f"Epirubicin {dose} mg was injected into A{n}. " for n, dose in enumerate(parts, start=4))
    report = parse_report(text + form.format(sum(parts)))
    assert doses(report) == {"Epirubicin": sum(parts)} and not report.uncertain and not report.unread


@pytest.mark.parametrize("headings", SESSIONS)
@settings(max_examples=6, deadline=None)
@given(first=DOSES, last=DOSES)
def test_only_the_last_session_is_the_protocol_and_the_other_is_named(headings, first, last):
    said = "doxorubicin {} mg was injected. Lipiodol {} ml was injected."
    text = f"{headings[0]}{said.format(first, first)} {headings[1]}{said.format(last, last)}"
    report = parse_report(text)
    assert doses(report) == {"Doxorubicin": last, "Lipiodol": last} and not report.uncertain
    assert any("left out" in note and f"oxorubicin {first} mg" in note for note in report.notes), report.notes


def test_where_the_last_session_is_not_clear_everything_is_uncertain() -> None:
    for text in (
        "03/04/2024: doxorubicin 50 mg. 05/06/2024: doxorubicin 40 mg.",
        "Session 1 (today): doxorubicin 50 mg. Session 2 (today): cisplatin 40 mg.",
        "Lipiodol 5 ml was used. Session 1: doxorubicin 50 mg. Session 2: doxorubicin 40 mg.",
        "Two sessions were performed. Doxorubicin 50 mg was given. Then doxorubicin 40 mg was given.",
        "Session 1: doxorubicin 50 mg. Session 2: doxorubicin 40 mg. Session 3 (today): aborted.",
    ):
        report = parse_report(text)
        assert report.administrations and all(a.uncertain for a in report.administrations), text


def test_steps_and_plans_are_no_sessions() -> None:
    for text, dose in (
        ("First treatment position A8: epirubicin 25 mg. Second treatment position A5: epirubicin 10 mg.", 35),
        ("1. Puncture. 2. Epirubicin 25 mg infused into A8. 3. Epirubicin 10 mg infused into A5.", 35),
        ("Session 1: epirubicin 50 mg (planned 75 mg). Session 2: epirubicin 30 mg (planned 75 mg).", 30),
        ("After two TACE sessions the third TACE was done. Epirubicin 30 mg was given. Then Gelfoam was given.", 30),
        ("Total 50 mg: epirubicin 30 mg A8, epirubicin 20 mg A5.", 50),
    ):
        assert doses(parse_report(text))["Epirubicin"] == dose, text


@pytest.mark.parametrize("form", PLANS)
@settings(max_examples=6, deadline=None)
@given(planned=st.integers(61, 99), injected=DOSES)
def test_what_was_planned_is_not_what_was_given(form, planned, injected):
    report = parse_report(form.format(planned, injected))
    assert doses(report) == {"Epirubicin": injected} and not report.uncertain
    assert any(f"{planned} mg was planned" in note for note in report.notes)


@settings(max_examples=30, deadline=None)
@given(pairs=st.lists(st.tuples(DOSES, st.integers(1, 9)), min_size=2, max_size=4), joint=st.sampled_from("+/"))
def test_amounts_without_their_names_are_summed_or_uncertain(pairs, joint):
    rest = "".join(f"; {mg} mg{joint}{ml} ml into A{n}" for n, (mg, ml) in enumerate(pairs[1:], start=5))
    report = parse_report(f"Pirarubicin {pairs[0][0]} mg{joint}Lipiodol {pairs[0][1]} ml into A4{rest}.")
    if not report.uncertain:
        assert doses(report) == {"Pirarubicin": sum(p[0] for p in pairs), "Lipiodol": sum(p[1] for p in pairs)}


@pytest.mark.parametrize(
    ("share", "act"),
    [
        *itertools.product(
            ("4/5", "half", "two thirds", "80 %", "three quarters", "only 1/2"), ("injected", "was given")
        )
    ],
)
def test_a_share_is_never_the_whole_in_silence(share, act):
    report = parse_report(f"Epirubicin 50 mg was mixed with Lipiodol 10 ml; {share} {act}.")
    assert set(report.uncertain) == {"Epirubicin", "Lipiodol"}


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("No stain in S4 on the first run. Cisplatin 60 mg was infused.", None),
        ("Angiography: no blush in the left lobe. Epirubicin 30 mg infused.", None),
        ("Epirubicin 30 mg infused. Cystic artery not embolised, A4 spared.", None),
        ("Gelfoam was injected. The gastroduodenal artery was occluded with coils.", None),
        ("Epirubicin 30 mg infused. The femoral artery was occluded with a plug.", None),
        ("Lipiodol 8 ml was injected until stasis.", None),
        ("DSA: no tumour stain in A4. Epirubicin 30 mg infused. Final DSA: tumour stain markedly reduced.", 3),
        ("Epirubicin 30 mg infused. Final run without tumour blush.", 4),
        ("Epirubicin 30 mg infused. The feeders were occluded, the cystic artery was spared.", 4),
        ("Epirubicin 30 mg infused. No residual enhancement of the nodule.", 4),
    ],
)
def test_only_the_tumour_after_the_treatment_has_a_level(text, level):
    assert parse_report(text).attenuation_level == level


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Es wurden 40 mg Doxorubicin und 8 ml Lipiodol in die rechte Leberarterie injiziert.", "German"),
        ("Gabe von 40 mg Epirubicin mit Lipiodol; Cisplatin wurde nicht gegeben.", "German"),
        ("Injection de 40 mg de doxorubicine avec 8 ml de Lipiodol dans l'art\u00e8re droite.", "French"),
        ("Se inyectaron 40 mg de epirubicina con 8 ml de Lipiodol en la arteria derecha.", "Spanish"),
        ("Sono stati somministrati 40 mg di epirubicina nella arteria destra.", "Italian"),
        ("\u6ce8\u5165 Lipiodol 8 ml + Epirubicin 40 mg \u4e73\u5316\u540e\u6813\u585e", "Chinese"),
    ],
)
def test_another_language_is_said_and_nothing_of_it_is_certain(text, language):
    report = parse_report(text)
    assert f"this report seems to be in {language}; only English is read" in report.notes
    assert report.administrations and all(a.uncertain for a in report.administrations)


def test_english_and_bare_lists_are_no_other_language() -> None:
    for text in (
        "Doxorubicin 50 mg, Lipiodol 10 ml, A8.", "", "Epirubicin 30 mg into A8, au total 30 mg. Gesamt: 30 mg.",
        "Under local anaesthesia the right femoral artery was punctured and 10 ml of Lipiodol was injected per lobe.",
        "300 \u00b5m particles, \u03b1-fetoprotein 12.",
    ):  # fmt: skip
        assert other_language(text) == "", text
    mixed = "The artery was catheterised. Cisplatin wurde nicht gegeben, sondern Epirubicin mit Lipiodol injiziert."
    assert "German" in other_language(mixed)


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        ("LifePearl 2 ml loaded with idarubicin 10 mg were injected.", False),
        ("DC Bead was loaded with epirubicin 50 mg and injected.", False),
        ("Idarubicin-eluting LifePearl microspheres (10 mg) were given.", False),
        ("HepaSphere loaded with doxorubicin 50 mg was injected.", False),
        ("DC Bead 2 ml was injected. Epirubicin 50 mg was infused.", True),
        ("DC Bead loaded with doxorubicin 75 mg; epirubicin 20 mg infused.", True),
    ],
)
def test_beads_carry_what_the_report_says(text, fires):
    found, _ = rule_findings(parse_report(text))
    assert ("one-anthracycline" in {finding.rule for finding in found}) is fires


@pytest.mark.parametrize(
    ("text", "bland"),
    [
        ("5-FU 500 mg was infused. Lipiodol 10 ml was injected.", False),
        ("Carboplatin 150 mg was infused, then Gelfoam.", False),
        ("Irinotecan 100 mg and PVA were injected.", False),
        ("Lipiodol 10 ml with 60 mg miriplatin was injected.", False),
        ("No carboplatin was given. Lipiodol 10 ml was injected.", True),
        ("The patient takes sorafenib. PVA was injected.", True),
        ("Embosphere 2 ml and Lipiodol 3 ml were injected.", True),
    ],
)
def test_an_embolisation_with_an_unread_drug_is_not_bland(text, bland):
    report = parse_report(text)
    found, told = rule_findings(report)
    assert ("bland-embolisation" in {finding.rule for finding in found}) is bland
    assert bool(told) is bool(report.unread_drugs) is not bland


@pytest.mark.parametrize(
    ("text", "headline"),
    [
        ("Cisplatin 20 mg per artery was infused.", "Protocol: Cisplatin 20 mg (infused); UNCERTAIN: Cisplatin"),
        ("Cisplatin 20 mg was infused.", "Protocol: Cisplatin 20 mg (infused)"),
        ("Lipiodol 12 ml; half injected.", "Protocol: Lipiodol 12 ml; UNCERTAIN: Lipiodol"),
        ("Carboplatin 150 mg and Gelfoam.", "Protocol: Gelatin Sponge; NOT READ: Carboplatin"),
    ],
)
def test_the_headline_carries_the_doubt(text, headline, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "report.txt").write_text(text, encoding="utf-8")
    assert main(["report", "parse", str(tmp_path / "report.txt")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == headline
