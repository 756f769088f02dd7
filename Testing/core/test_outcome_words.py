"""How sure an order is, in words."""

from dataclasses import replace

import pytest

from MeWMLib.core.comparison import Comparison
from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.outcome_words import order_lines
from MeWMLib.core.plan import Candidate, Plan
from MeWMLib.core.protocol import Protocol

CHANGE = TumourChange(10, 8, 9, 5, 1.0, 40, 38)
SURE = Comparison(gain=1, error=0.3, spread=0.0, absolute=0.5, level=0.9, measured=True)


def plan(*risks: float) -> Plan:
    names = ("Epirubicin + Lipiodol", "Cisplatin + PVA", "Idarubicin + LC beads", "Doxorubicin + KMG")
    found = [Candidate(Protocol.parse(n), Risk((r,)), CHANGE) for n, r in zip(names, risks, strict=False)]
    return Plan(tuple(found), (), "finished", len(found))


def test_what_cannot_be_told_apart_is_said_with_its_probability() -> None:
    text = " ".join(order_lines(plan(0.0, 0.1, 0.15, 2.0).compared(SURE)))
    chance = SURE.better(Risk((0.0,)), Risk((0.1,)))
    assert (
        f"Rank 1 CANNOT BE TOLD APART from ranks 2 to 3: it is truly better than rank 2 with {100 * chance:.0f} %"
        in text
    )
    assert "lies between -0.98 and +0.98 with 95 %" in text and "synthetic patients" in text


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
