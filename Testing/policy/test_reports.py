"""Operation reports: the paper's own, and forty sentences with slips, units, negation and other days."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from MeWMLib.core.protocol import Protocol, vocabulary
from MeWMLib.policy.reports import parse_report, relevant_text

PAPER = json.loads(Path(__file__).with_name("paper_reports.json").read_text(encoding="utf-8"))

INF, EMU, EMB = "infused", "emulsion", "embolised"


def read(text: str) -> list[tuple[str, float | None, str | None]]:
    return [(a.agent, a.dose, a.route) for a in parse_report(text).administrations]


@pytest.mark.parametrize("row", PAPER["table_4"], ids=lambda row: row["id"])
def test_the_ten_regimens_of_table_4(row: dict[str, Any]) -> None:
    report = parse_report(row["text"])
    assert report.protocol == Protocol.of(row["agents"]), "neither doses nor routes are stated"
    assert report.attenuation_level is None and not report.notes and not report.excluded
    # the same from one line with commas, and with the names in small letters
    assert parse_report(row["text"].replace(";", ",")).protocol == report.protocol
    assert parse_report(row["text"].lower()).protocol == report.protocol


@pytest.mark.parametrize("row", PAPER["table_5"], ids=[f"report-{n}" for n in range(1, 7)])
def test_the_six_reports_of_table_5(row: dict[str, Any]) -> None:
    report = parse_report(row["text"])
    assert read(row["text"]) == [tuple(a) for a in row["administrations"]]
    assert report.attenuation_level == row["level"] and not report.notes and not report.excluded


def test_the_paper_has_ten_and_six() -> None:
    assert len(PAPER["table_4"]) == 10 and len(PAPER["table_5"]) == 6


#: text, administrations, excluded agents, level
Case = tuple[str, list[tuple[str, float | None, str | None]], list[str], int | None]
SENTENCES: list[Case] = [
    ("Epirubicin (40 mg) was infused slowly.", [("Epirubicin", 40, INF)], [], None),
    ("We infused 60 mg of cisplatin over ten minutes.", [("Cisplatin", 60, INF)], [], None),
    ("Lobaplatin 50mg infused via microcatheter", [("Lobaplatin", 50, INF)], [], None),
    ("An emulsion of 8 cc Lipiodol and 30 mg doxorubicin was injected.",
     [("Lipiodol", 8, EMU), ("Doxorubicin", 30, EMU)], [], None),
    ("Lipiodol 6 mL was mixed with Epirubicin 20 mg and injected.",
     [("Lipiodol", 6, EMU), ("Epirubicin", 20, EMU)], [], None),
    ("7,5 ml of ultra-fluid Lipiodol was injected under fluoroscopy.", [("Lipiodol", 7.5, EMB)], [], None),
    ("Oxaliplatin 0.1 g was administered.", [("Oxaliplatin", 100, INF)], [], None),
    ("Idarubicin and Lipiodol (10 mg and 12 ml, respectively) were emulsified.",
     [("Idarubicin", 10, EMU), ("Lipiodol", 12, EMU)], [], None),
    ("Ten ml of Lipiodol were injected, and gelatin sponge particles were used.",
     [("Lipiodol", 10, EMB), ("Gelatin Sponge", None, EMB)], [], None),
    ("THP 20 mg was infused, then 10 mg THP and 5 ml Lipiodol were mixed.",
     [("Pirarubicin", 20, INF), ("Pirarubicin", 10, EMU), ("Lipiodol", 5, EMU)], [], None),
    ("Epirubicn 30 mg and Lipidol 10 ml were mixed to an emulsion.",
     [("Epirubicin", 30, EMU), ("Lipiodol", 10, EMU)], [], None),
    ("Cisplastin 50 mg was infused.", [("Cisplatin", 50, INF)], [], None),
    ("Embolisation was completed with Gelfoam.", [("Gelatin Sponge", None, EMB)], [], None),
    ("Gelatine-sponge was not used.", [], ["Gelatin Sponge"], None),
    ("Cisplatin 60 mg was infused; no PVA or NBCA was used.", [("Cisplatin", 60, INF)], ["PVA", "NBCA"], None),
    ("Mitomycin was withheld. Doxorubicin 50 mg was given.", [("Doxorubicin", 50, INF)], ["Mitomycin"], None),
    ("Without Lipiodol, PVA particles (300-500 um) were injected.", [("PVA", None, EMB)], ["Lipiodol"], None),
    ("Previous TACE with doxorubicin 50 mg in March. Epirubicin 40 mg was infused now.",
     [("Epirubicin", 40, INF)], [], None),
    ("2 ml of DC Beads (100-300 \u00b5m) loaded with 75 mg doxorubicin were delivered.",
     [("LC beads", 2, EMB), ("Doxorubicin", 75, None)], [], None),
    ("Raltitrexed 4 mg was infused; Lipiodol deposition in the tumour was good.",
     [("Raltitrexed", 4, INF)], [], None),
    ("10 ml Lipiodol and 20 mg Epirubicin were mixed; 8 ml of the emulsion was injected.",
     [("Lipiodol", 10, EMU), ("Epirubicin", 20, EMU)], [], None),
    ("Lipiodol 5 ml was injected into S8 and an additional 3 ml of Lipiodol was injected into S7.",
     [("Lipiodol", 5, EMB), ("Lipiodol", 3, EMB)], [], None),
    ("Lipiodol 5 ml was injected; then Lipiodol 4 ml was injected; a total of 9 ml Lipiodol was injected.",
     [("Lipiodol", 5, EMB), ("Lipiodol", 4, EMB)], [], None),
    ("Cisplatin 80 mg in 100 ml of saline was infused.", [("Cisplatin", 80, INF)], [], None),
    ("Oxaliplatin 85 mg/m2 was infused.", [("Oxaliplatin", None, INF)], [], None),
    ("Lipiodol 5-10 ml was injected.", [("Lipiodol", None, EMB)], [], None),
    ("Absolute ethanol 6 ml was injected for embolisation.", [("Absolute Alcohol", 6, EMB)], [], None),
    ("A mixture of NBCA 0.5 ml and Lipiodol 1.5 ml was injected into the shunt.",
     [("NBCA", 0.5, EMB), ("Lipiodol", 1.5, EMB)], [], None),
    ("HCPT: 20 mg, MMC: 10 mg infused; iodised oil 10 ml injected.",
     [("Hydroxycamptothecin", 20, INF), ("Mitomycin", 10, INF), ("Lipiodol", 10, EMB)], [], None),
    ("Nedaplatin 100 mg and Epirubicin 50 mg were infused instead of Cisplatin.",
     [("Nedaplatin", 100, INF), ("Epirubicin", 50, INF)], ["Cisplatin"], None),
    ("Tumour staining disappeared completely.", [], [], 4),
    ("Final angiography showed no residual tumor blush.", [], [], 4),
    ("The feeding arteries were almost completely occluded.", [], [], 3),
    ("Slight residual tumour staining was seen at the end.", [], [], 3),
    ("The tumour staining was reduced.", [], [], 2),
    ("Feeding branches were partially occluded.", [], [], 2),
    ("Tumor staining persisted after the procedure.", [], [], 1),
    ("The tumour staining was only slightly reduced.", [], [], 1),
    ("Initial angiography showed hypervascular staining with no occluded arteries. Afterwards the staining vanished.",
     [], [], 4),
    ("No tumour staining after 10 ml of Lipiodol were injected.", [("Lipiodol", 10, EMB)], [], 4),
    ("Blood flow of the feeding vessels was markedly reduced, and no gelatin sponge was given.",
     [], ["Gelatin Sponge"], 3),
    ("Chemoembolization was performed with 50 mg of doxorubicin and 10 mg of mitomycin C in 10 mL of Ethiodol.",
     [("Doxorubicin", 50, EMU), ("Mitomycin", 10, EMU), ("Lipiodol", 10, EMU)], [], None),
    ("15 ml of an emulsion containing 50 mg epirubicin was injected.", [("Epirubicin", 50, EMU)], [], None),
    ("Cisplatin was replaced by lobaplatin 30 mg, which was infused.", [("Lobaplatin", 30, INF)], ["Cisplatin"], None),
    ("Patient refused doxorubicin; epirubicin 50 mg infused.", [("Epirubicin", 50, INF)], ["Doxorubicin"], None),
    ("The patient tolerated the procedure well. Heparin 2000 IU was given.", [], [], None),
]  # fmt: skip


def test_there_are_forty_sentences() -> None:
    assert len(SENTENCES) >= 40 and len({case[0] for case in SENTENCES}) == len(SENTENCES)


@pytest.mark.parametrize(("text", "given", "excluded", "level"), SENTENCES, ids=[case[0][:40] for case in SENTENCES])
def test_sentences(text: str, given: list[Any], excluded: list[str], level: int | None) -> None:
    report = parse_report(text)
    assert read(text) == given
    assert list(report.excluded) == excluded
    assert report.attenuation_level == level


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Epirubicn 30 mg was infused.", "'Epirubicn' was read as Epirubicin"),
        ("Oxaliplatin 85 mg/m2 was infused.", "not a single dose"),
        ("Lipiodol 5-10 ml was injected.", "not a single dose"),
        ("Lipiodol 10 mg was injected.", "not a dose in ml"),
        ("Previous TACE with doxorubicin in March.", "another day"),
        ("Several vials of 20 mg cisplatin were infused.", "20 mg may not be all: 'Several vials of'"),
        ("Lipiodol 5 ml was injected. A total of 9 ml Lipiodol was injected.", "9 in total"),
        ("The staining was reduced. The staining disappeared.", "levels [2, 4]"),
    ],
)
def test_what_is_not_certain_is_said(text: str, said: str) -> None:
    assert any(said in note for note in parse_report(text).notes)


def test_an_amount_on_the_other_side_is_one_more_of_the_same_agent() -> None:
    report = parse_report("50 mg epirubicin was infused on the right, 20 mg on the left.")
    assert [a.dose for a in report.administrations] == [50, 20] and not report.unread


def test_an_amount_of_nothing_known_is_listed() -> None:
    assert parse_report("40 mg of a study drug was infused.").unread == (
        "'40 mg' in '40 mg of a study drug was infused'",
    )


def test_a_total_counts_where_the_parts_make_less() -> None:
    report = parse_report("Lipiodol 5 ml was injected. A total of 9 ml Lipiodol was injected.")
    assert report.protocol == Protocol.parse("Lipiodol 9 ml (embolised)")


def test_doses_of_one_agent_are_added_up_and_a_shared_route_stays() -> None:
    report = parse_report("THP 10 mg was infused; 10 mg THP and 10 ml Lipiodol were mixed to create an emulsion.")
    assert report.protocol == Protocol.parse("Pirarubicin 20 mg + Lipiodol 10 ml (emulsion)")
    assert len(report.administrations) == 3
    json.dumps(report.to_json(), allow_nan=False)


def test_every_name_of_the_vocabulary_is_read() -> None:
    for known in vocabulary().values():
        for name in (known.name, *known.synonyms):
            text = f"{name} 3 {known.dose_unit} was injected."
            assert [(a.agent, a.dose) for a in parse_report(text).administrations] == [(known.name, 3.0)], name


def test_one_wrong_letter_in_a_long_name_is_forgiven_and_never_another_agent() -> None:
    """A letter left out, doubled or swapped: the right agent or none, and mostly the right one."""
    rng, read_right, tries = random.Random(5), 0, 0
    for known in vocabulary().values():
        word = known.name
        if " " in word or len(word) < 8:
            continue
        for _ in range(12):
            at = rng.randrange(2, len(word) - 1)
            slip = rng.choice([word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:], word[: at - 1] + word[at] +
                               word[at - 1] + word[at + 1 :]])  # fmt: skip
            tries += 1
            found = [a.agent for a in parse_report(f"{slip} 10 {known.dose_unit} was injected.").administrations]
            assert found in ([], [known.name]), slip
            read_right += found == [known.name]
    assert read_right >= 0.9 * tries


def test_ordinary_words_are_no_agents() -> None:
    text = (
        "The right femoral artery was punctured. Selective angiography of the hepatic artery with a microcatheter. "
        "Platinum coils were available. Epigastric pain; the patient is a diabetic, GS index 2, ida and epi. "
        "Contrast medium 60 ml was used. Dexamethasone 5 mg and ondansetron 8 mg were given."
    )
    assert read(text.replace("GS index 2, ", "")) == []


@pytest.mark.parametrize(
    "text", ["", "   \n;;;...", "mg ml 10 20", "\x00\ud7ff", "(" * 500, "10 " * 3000, "no " * 2000]
)
def test_a_report_never_makes_an_error(text: str) -> None:
    assert parse_report(text).administrations == ()


def test_random_words_in_any_order_never_make_an_error_and_always_a_protocol() -> None:
    rng = random.Random(11)
    pieces = [*vocabulary(), "10 mg", "5 ml", "and", ",", ";", ".", "was infused", "no", "emulsion", "(", ")", "mixed",
              "total of", "respectively", "staining", "disappeared", "previous TACE", "of", "not used"]  # fmt: skip
    for _ in range(400):
        report = parse_report(" ".join(rng.choices(pieces, k=rng.randint(1, 25))))
        assert report.protocol.actions is not None
        assert report.attenuation_level in (None, 1, 2, 3, 4)
        assert not set(report.excluded) & set(report.protocol.agents)


def test_only_what_speaks_of_treatment_and_outcome_is_relevant() -> None:
    text = (
        "Patient: John Smith, born 1950-03-04, MRN 1234567.\nOperator Dr. Li.\n"
        "Cisplatin 60 mg was infused; tumour staining disappeared. He goes home on 2024-05-06."
    )
    kept = relevant_text(text)
    assert "Cisplatin 60 mg was infused" in kept and "staining disappeared" in kept
    for private in ("Smith", "1950", "1234567", "Li", "2024"):
        assert private not in kept
