"""What must hold for every operation report, with sums that the tests make themselves."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from MeWMLib.core.protocol import vocabulary
from MeWMLib.core.territory import SEGMENTS, Territory
from MeWMLib.core.texts import MOST_REPORT
from MeWMLib.policy.products import accompanying, products
from MeWMLib.policy.reports import OperationReport, parse_report

NUMBER_WORDS = {2: "two", 3: "three", 4: "four", 5: "five"}
AGENTS = st.sampled_from([a for a in vocabulary().values() if a.agent_class != "drug-eluting bead"])
DOSES = st.integers(1, 90)
COUNTS = st.integers(2, 5)
#: How a dose that was given several times is written; every one means count times the dose.
TIMES = (
    "{n} x {d} {u} {a} was injected.", "{n}x{d} {u} of {a} was injected.", "{n} × {d}{u} {a} was given.",
    "{a} {d} {u} x {n} was injected.", "{a} {d} {u} (x{n}) was injected.", "{word} times {d} {u} {a} was injected.",
    "{Word} syringes of {d} {u} {a} were injected.", "{a}, {word} vials of {d} {u}, was injected.",
    "{Word} {d}-{u} vials of {a} were injected.", "{Word} vials, each containing {d} {u} {a}, were injected.",
    "{Word} vials with {d} {u} {a} each were injected.", "{d} {u} {a} was injected into each of the {word} feeders.",
    "Each of the {word} branches received {d} {u} of {a}.", "{a} {d} {u} per artery was injected into {word} arteries.",
    "{d} {u} of {a} was injected {word} times.", "{n} x ({d} {u} {a}) was injected.",
)  # fmt: skip
#: How the number of times stays open.
OPEN = (
    "Several vials of {d} {u} {a} were injected.", "{a} {d} {u} per artery was injected.",
    "Repeated injections of {d} {u} {a} were given.", "{d} {u} {a} was injected into each feeder.",
    "Two vials were filled with {d} {u} {a}.", "2-3 vials of {d} {u} {a} were injected.",
    "{a} was injected in {d} {u} aliquots.", "{d} {u} {a} was injected. This was repeated in A8.",
    "{d} {u} {a} was injected, the same dose on the left.", "{d} {u} {a} was prepared. Half of it was injected.",
    "{a} {d} {u} was injected in several portions.", "{d} {u} {a} was injected repeatedly.",
)  # fmt: skip
#: Sentences that need no other one.
INDEPENDENT = (
    "Epirubicin 40 mg was infused into A5.", "2 x 5 ml Lipiodol was injected into the left lobe.",
    "Gelfoam was injected into A8.", "20 ml of contrast medium was used.", "No PVA was used.",
    "Embosphere 2 ml was used.",
    "Cisplatin 30 mg and mitomycin 10 mg were infused into the right hepatic artery.", "Heparin 3000 IU was given.",
)  # fmt: skip
ANOTHER_DAY = (
    "Previous TACE with doxorubicin 50 mg into A8 was two years ago.", "Last month she received 2 x 25 mg cisplatin.",
    "The next session with 75 mg doxorubicin for the left lobe is planned.",
    "Three weeks ago 10 ml Lipiodol was injected.",
    "History of TACE of segment 7 with epirubicin 60 mg; 9 ml Lipiodol was used.",
)  # fmt: skip


def sums(report: OperationReport) -> dict[str, float | None]:
    return {a.agent: a.dose for a in report.protocol.actions}


@pytest.mark.parametrize("form", TIMES)
@settings(max_examples=12, deadline=None)
@given(known=AGENTS, dose=DOSES, count=COUNTS)
def test_n_times_a_dose_is_n_times_that_dose(form, known, dose, count):
    word = NUMBER_WORDS[count]
    text = form.format(n=count, word=word, Word=word.capitalize(), d=dose, u=known.dose_unit, a=known.name)
    report = parse_report(text)
    assert sums(report) == {known.name: pytest.approx(count * dose)}, text
    assert not report.uncertain and not report.unread, text


@pytest.mark.parametrize("form", OPEN)
@settings(max_examples=8, deadline=None)
@given(known=AGENTS, dose=DOSES)
def test_a_dose_given_nobody_says_how_often_is_never_single_without_saying_so(form, known, dose):
    text = form.format(d=dose, u=known.dose_unit, a=known.name)
    report = parse_report(text)
    assert set(report.uncertain) == {known.name}, text
    assert any(known.name in note for note in report.notes)


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(INDEPENDENT))
def test_the_order_of_sentences_that_need_no_other_one_changes_no_sum(order):
    report = parse_report(" ".join(order))
    assert sums(report) == {
        "Epirubicin": 40, "Lipiodol": 10, "Gelatin Sponge": None, "Cisplatin": 30, "Mitomycin": 10
    }  # fmt: skip
    assert report.excluded == ("PVA",) and [said[:18] for said in report.unread] == ["product Embosphere"]
    assert report.territory == Territory.parse("left lobe and right hepatic artery and A5 and A8")
    assert not report.uncertain


@settings(max_examples=30, deadline=None)
@given(st.permutations(INDEPENDENT), st.sampled_from(ANOTHER_DAY), st.integers(0, len(INDEPENDENT)))
def test_a_sentence_about_another_day_changes_nothing(order, other, at):
    without = parse_report(" ".join(order))
    report = parse_report(" ".join([*order[:at], other, *order[at:]]))
    assert report.protocol == without.protocol and report.unread == without.unread
    assert report.excluded == without.excluded and report.uncertain == without.uncertain
    assert any("another day" in note for note in report.notes)


@settings(max_examples=30, deadline=None)
@given(doses=st.lists(st.integers(1, 20), min_size=2, max_size=5), said=st.integers(1, 120))
def test_a_total_is_held_against_the_parts(doses, said):
    parts = " ".join(f"Lipiodol {dose} ml was injected." for dose in doses)
    report = parse_report(f"{parts} The total dose of Lipiodol was {said} ml.")
    agrees = sum(doses) == said
    assert bool(report.uncertain) is not agrees and any("in total" in note for note in report.notes) is not agrees
    assert sums(report) == {"Lipiodol": max(said, sum(doses))}


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=5, unique=True), st.integers(0, 4))
def test_segments_are_read_however_they_are_listed(segments, form):
    roman = dict(zip(SEGMENTS, ("I", "II", "III", "IVa", "IVb", "V", "VI", "VII", "VIII"), strict=True))
    arabic = [
        "segments " + " and ".join(segments), "segments " + ", ".join(segments), "S" + "/".join(segments),
        " and ".join(f"S{s}" for s in segments), "segments " + ", ".join(roman[s] for s in segments),
    ][form]  # fmt: skip
    report = parse_report(f"Doxorubicin 50 mg was infused into {arabic}.")
    assert report.territory == Territory.of_segments(segments), arabic
    assert sums(report) == {"Doxorubicin": 50}


@settings(max_examples=40, deadline=None)
@given(text=st.text(max_size=400))
def test_no_text_is_an_error(text):
    check(parse_report(text))


PIECES = (
    *vocabulary(), "10 mg", "5 ml", "2 x", "x 3", "each", "per artery", "two vials", "of", "twice", "the rest",
    "half of it",
    "total", "a further", "and", ",", ";", ".", "(", ")", "was injected", "no", "emulsion", "Embosphere",
    "contrast medium",
    "into", "A8", "the left", "right hepatic artery", "segments 5", "S8", "via", "previous TACE", "not treated",
    "the same dose",
    "remaining", "300-500 um", "discarded", "respectively", "Contour", "carboplatin", "heparin 5000 IU", "1 vial",
    "both lobes",
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=30))
def test_words_of_reports_in_any_order_are_no_error(pieces):
    check(parse_report(" ".join(pieces)))


def check(report: OperationReport) -> None:
    for one in report.administrations:
        assert one.dose is None or one.dose > 0
    assert set(report.uncertain) <= set(report.protocol.agents)
    assert (report.territory is None) == (report.territory_text == "")
    report.to_json()


LONG = (
    "5 ml",
    "2 x (5 mg cisplatin,",
    "each",
    "half of it;",
    "S8",
    "no",
    "Embosphere",
    "(",
    "via",
    "\n",
    "two vials of 5 mg",
)


@pytest.mark.parametrize("piece", LONG)
def test_the_longest_text_is_read(piece):
    text = (f"{piece} " * (MOST_REPORT // (len(piece) + 1)))[:MOST_REPORT]
    check(parse_report(text))


def test_all_products_of_the_table_are_read_for_what_they_are() -> None:
    for product in products():
        for name in (*product.names, *product.words):
            unit = vocabulary()[product.agent].dose_unit if product.agent else "ml"
            report = parse_report(f"We injected {name} 3 {unit}.")
            found = [(a.agent, a.dose) for a in report.administrations]
            assert found == ([(product.agent, 3)] if product.agent else []), name
            assert bool(report.unread) == (product.agent is None), name
    for line, said in itertools.product(accompanying(), ("{} 30 ml was given.", "20 ml of {} and 5 mg {} were given.")):
        for name in line.names:
            report = parse_report(said.format(name, name))
            assert not report.administrations and not report.unread, name
