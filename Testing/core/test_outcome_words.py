"""How sure an order is, in words."""

import math
from dataclasses import replace

import pytest

from MeWMLib.core.caution import cautions, cautions_of
from MeWMLib.core.comparison import Comparison
from MeWMLib.core.goal import Goal
from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.outcome_words import (
    growth_lines,
    interval_note,
    interval_text,
    order_lines,
    ratio_text,
    viable_lines,
)
from MeWMLib.core.plan import Candidate, Plan
from MeWMLib.core.plan_folder import TreatmentSummary
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.questions import Question
from MeWMLib.core.targets import ALL_TREATED
from Testing.core.plan_data import document

CHANGE = TumourChange(10, 8, 9, 5, 1.0, 40, 38)
SURE = Comparison(gain=1, error=0.3, spread=0.0, absolute=0.5, level=0.9, measured=True)


def plan(*risks: float) -> Plan:
    names = ("Epirubicin + Lipiodol", "Cisplatin + PVA", "Idarubicin + LC beads", "Doxorubicin + KMG")
    found = [Candidate(Protocol.parse(n), Risk((r,)), CHANGE) for n, r in zip(names, risks, strict=False)]
    return Plan(tuple(found), (), "finished", len(found))


def test_what_cannot_be_told_apart_is_said_with_its_probability() -> None:
    text = " ".join(order_lines(plan(0.0, 0.1, 0.15, 2.0).compared(SURE)))
    chance = SURE.better(Risk((0.0,)), Risk((0.1,)))
    assert "Rank 1 CANNOT BE TOLD APART from ranks 2 to 3: it is truly better than rank 2" in text
    assert f"rank 2 with a probability of {100 * chance:.0f} %" in text
    assert "lies between -0.98 and +0.98 with a probability of 95 %" in text and "synthetic patients" in text
    assert "(two are told apart from 90 % on)" in text


def test_a_clear_first_is_said_to_be_one() -> None:
    text = " ".join(order_lines(plan(0.0, 2.0).compared(SURE)))
    assert "Rank 1 is told apart from the others" in text and "100 %" in text


def test_a_bundle_that_was_not_measured_is_named() -> None:
    assert "was not measured" in " ".join(order_lines(plan(0.0).compared(Comparison())))
    assert order_lines(plan(0.0)) == [] and order_lines(Plan((), (), "cancelled", 0).compared(SURE)) == []


def test_the_uncertainty_of_a_plan_is_the_whole_one_and_survives_a_file() -> None:
    made = plan(0.0, 0.5).compared(SURE)
    for candidate in made.candidates:
        assert candidate.risk.uncertainty == pytest.approx(SURE.uncertainty(replace(candidate.risk, unseen=None)))
        assert candidate.risk.total_interval == pytest.approx(SURE.interval(candidate.risk))
    assert Risk((0.0,)).total_interval is None
    back = Plan.from_json(made.to_json())
    assert back == made and back.standings == made.standings and len(made.standings) == 2
    assert made.to_json()["standings"][1]["first_is_better"] == made.standings[0].next_is_worse


def test_what_grows_is_a_line_for_a_rank_and_one_for_those_alike() -> None:
    same, other = replace(CHANGE, volume_ml_after=15.0), replace(CHANGE, volume_ml_after=20.0, viable_ml_after=11.0)
    made = plan(*(0.1 * n for n in range(4)))
    changes = (same, other, same, same)
    moved = [replace(c, tumour_change=change) for c, change in zip(made.candidates, changes, strict=True)]
    found = growth_lines(document(plan=replace(made, candidates=tuple(moved))), 4)
    assert [line.split(":")[0] for line in found] == ["Ranks 1 and 3 to 4", "Rank 2"]
    assert "10.0 to 20.0 ml. The viable tumour" in found[1]
    assert growth_lines(document(plan=replace(made, candidates=tuple(moved))), 1)[0].startswith("Rank 1:")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            "Cisplatin + Lipiodol 5 ml",
            "0.1 ml of oil, spread over the tissue, of 5 ml given; in the model the rest is",
        ),
        ("Cisplatin + Lipiodol", "0.1 ml of oil, spread over the tissue."),
        ("Cisplatin + Lipiodol 0.1 ml", "of 0.1 ml given."),
    ],
)
def test_the_oil_that_is_left_stands_beside_what_was_given(given: str, told: str) -> None:
    candidate = Candidate(Protocol.parse(given), Risk((0.0,)), replace(CHANGE, oil_ml_after=0.13))
    assert told in viable_lines(document(), candidate)[-1]


def test_without_lipiodol_nothing_is_said_of_oil() -> None:
    candidate = Candidate(Protocol.parse("LC beads + Epirubicin"), Risk((0.0,)), replace(CHANGE, oil_ml_after=0.0))
    assert not [line for line in viable_lines(document(), candidate) if "oil" in line]


def test_an_interval_says_what_it_is_of() -> None:
    # SD 0.5: 1.959964 times that on both sides, and the same as hazard ratios
    known = Risk((0.1, 0.3), unseen=math.sqrt(0.5**2 - 0.02))
    assert interval_text(known) == "95 % interval -0.78 to +1.18"
    assert interval_text(known, as_ratio=True) == "95 % interval 0.46 to 3.25"
    assert interval_text(Risk((0.1, 0.3))) == "2 replicas alone +0.10 to +0.30" and interval_text(Risk((0.1,))) == ""
    assert interval_text(Risk((0.001 - 0.98,), unseen=0.5)).endswith("to +0.00"), "no negative nothing"
    told = ratio_text(replace(known, untreated=0.7))
    assert "95 % interval 0.46 to 3.25) against the average synthetic patient" in told
    assert "predicts a hazard of death 39 % lower" in told and "no effect that was measured" in told


def test_the_interval_of_the_months_says_what_it_counts() -> None:
    curve = {"months": (0.0, 60.0), "survival": (1.0, 0.2)}
    three, many = (0.1, 0.2, 0.3), tuple(0.1 * n for n in range(16))
    assert interval_note(Risk(three, members=many, unseen=0.4, **curve)) == (
        "The 90 % interval of the months counts how much the 3 replicas differ, how much the 16 members of the "
        "survival ensemble differ and how wrong predictions are beyond that."
    )
    assert interval_note(Risk((0.1,), unseen=0.4, **curve)) == (
        "The 90 % interval of the months counts how wrong predictions are beyond what replicas and members show."
    )
    assert interval_note(Risk(three, **curve)).endswith(
        "counts how much the 3 replicas differ; an error that all of them share is not in it."
    )
    assert "no interval" in interval_note(Risk((0.1,), **curve)) and "no months" in interval_note(Risk((0.1,)))


def test_that_all_tumour_is_treated_is_said_once() -> None:
    treated = TreatmentSummary(1, 1, 100.0, targets=(1,), target_percent=(100.0,), why=ALL_TREATED)
    assert treated.lines == ["Treated: lesion 1 of 1; 100 % of all tumour."]
    more = replace(treated, why=f"{ALL_TREATED} Not fed, so not treated: lesion 2.")
    assert more.lines[1:] == ["Not fed, so not treated: lesion 2."]
    part = replace(treated, share_of_tumour_percent=98.0)
    assert part.lines[1:] == [ALL_TREATED] and replace(treated, why="").lines == treated.lines


def test_what_stands_above_a_result() -> None:
    same = plan(0.0, 0.1, 0.15, 2.0).compared(SURE)
    asked = (
        Question("limits-lesions", "warning", "A."), Question("x", "severe", "B."), Question("y", "note", "C."),
    )  # fmt: skip
    made = document(plan=same, questions=asked, trained_on="9 synthetic patients and 2 real pairs of scans; phases a")
    assert cautions_of(made) == [
        "Do not trust a ranking of protocols for a real patient: the model was trained on 9 drawn (synthetic) patients "
        "and 2 real pairs of scans.",
        "1 warning on this case, all: outside of what the model was trained on; 1 question about it was accepted "
        "unanswered.",
        "Rank 1 cannot be told from ranks 2 to 3.",
    ]
    silent = cautions("what follows", "", (), "assistant")
    assert "does not say what the model was trained on" in silent[0] and "looked at by nobody" in silent[1]
    assert len(silent) == 2 and len(cautions("what follows", "", (), "user")) == 1


def test_a_wish_that_the_first_protocol_does_not_hold_is_told() -> None:
    ranked = [
        Candidate(Protocol.parse(text), Risk((risk,)), CHANGE)
        for text, risk in (("Epirubicin + Lipiodol", 0.0), ("Doxorubicin + PVA", 2.0))
    ]
    wishes = Goal(wanted=("Epirubicin", "Doxorubicin", "KMG"))
    found = cautions_of(document(plan=Plan(tuple(ranked), (), "finished", 2), goal_reading=wishes))
    assert [one for one in found if one.startswith("The goal")] == [
        "The goal asks for Doxorubicin, which rank 1 does not hold; the first with it is rank 2: Doxorubicin + PVA.",
        "The goal asks for KMG, which rank 1 does not hold; no protocol here holds it.",
    ]
