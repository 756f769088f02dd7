"""What is said of the difference of two protocols: never without its spread, nor as advice that it does not bear."""

from __future__ import annotations

from dataclasses import replace

import pytest

from MeWMLib.core.beside import Beside, Swap
from MeWMLib.core.comparison import Comparison, Difference
from MeWMLib.core.difference_words import (
    NO_SPREAD,
    apart_of,
    apart_text,
    beside_lines,
    moved_rows,
    parts_lines,
    swap_rows,
    verdict,
)
from MeWMLib.core.outcome import Risk, TumourChange
from MeWMLib.core.plan import Candidate, Contribution, Plan
from MeWMLib.core.protocol import Protocol
from Testing.core.plan_data import document

CHANGE = TumourChange(10, 8, 9, 5, 1.0, 40, 38)
FIRST, MINE = Protocol.parse("Epirubicin + Lipiodol"), Protocol.parse("Doxorubicin + PVA")


def by(change: float, deviation: float = 0.3) -> Difference:
    return Difference(change, deviation, gain=1.0, level=0.93)


def pair(mine: float, first: float, comparison: Comparison | None) -> Beside:
    one, other = Candidate(MINE, Risk((mine,)), CHANGE), Candidate(FIRST, Risk((first,)), CHANGE)
    return Beside(one, other, (), None if comparison is None else comparison.difference(one.risk, other.risk))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (-0.01, "cannot be told apart (truly lower with 51 %)"),
        (0.2, "cannot be told apart (truly lower with 25 %)"),
        (-0.6, "truly lower with a probability of 98 %"),
        (0.6, "truly higher with a probability of 98 %"),
    ],
)
def test_a_difference_is_told_apart_or_called_what_it_is(change: float, told: str) -> None:
    assert verdict(by(change)) == told
    assert "more than chance" in verdict(None)


def test_which_of_two_is_better_is_said_with_its_probability() -> None:
    assert apart_text(by(0.2), "Yours", "MeWM's") == (
        "MeWM's is truly better than yours with a probability of 75 %: the two CANNOT BE TOLD APART (that takes 93 %)."
    )
    assert apart_text(by(-0.6), "Yours", "MeWM's") == (
        "Yours is truly better than MeWM's with a probability of 98 %: the two are told apart (that takes 93 %)."
    )


def test_mine_against_the_first_has_interval_and_probability() -> None:
    sure = Comparison(gain=0.5, error=0.3, spread=0.0, level=0.93, measured=True)
    first, second = beside_lines(pair(0.5, 0.1, sure))
    # half of 0.4, 1.959964 times 0.3 on both sides
    assert first == "Yours minus MeWM's: +0.40 log-risk (95 % interval -0.39 to +0.79; lower is better)."
    assert second.startswith(
        "MeWM's is truly better than yours with a probability of 75 %: the two CANNOT BE TOLD APART"
    )
    (old,) = beside_lines(pair(0.5, 0.1, None))
    assert NO_SPREAD in old and "interval" not in old
    same = pair(0.5, 0.1, sure)
    assert beside_lines(replace(same, mine=same.first)) == ["The two protocols are the same."]


def test_no_change_stands_without_its_spread() -> None:
    moved = (
        Contribution("PVA", 0.1, -0.01, by(-0.01)),
        Contribution("Lipiodol", 0.4, -0.3),
        Contribution("x", None, None),
    )
    rows = moved_rows(Candidate(FIRST, Risk((0.0,)), CHANGE, contributions=moved))
    assert [(r.what, r.change, r.interval) for r in rows] == [
        ("PVA", "-0.01", "-0.60 to +0.58"), ("Lipiodol", "-0.30", NO_SPREAD), ("x", "", ""),
    ]  # fmt: skip
    assert rows[0].verdict.startswith("cannot be told apart") and rows[2].verdict == "not simulated without it"
    kept = Swap("add", "PVA", "", MINE, 0.2, 0.6, difference=by(0.6))
    refused = Swap("drop", "PVA", "", MINE, forbidden=("a-rule", "b-rule"))
    told, no = swap_rows((kept, refused))
    assert (told.what, told.interval, told.forbidden) == ("add PVA", "+0.01 to +1.19", False)
    assert (no.change, no.verdict, no.forbidden) == ("", "forbidden by a-rule, b-rule", True)


def test_each_protocol_is_held_against_the_first() -> None:
    sure = Comparison(gain=1, error=0.3, spread=0.0, level=0.93, measured=True)
    names = ("Epirubicin + Lipiodol", "Cisplatin + PVA", "Idarubicin + LC beads")
    ranked = [Candidate(Protocol.parse(n), Risk((r,)), CHANGE) for n, r in zip(names, (0.0, 0.1, 2.0), strict=True)]
    plan = Plan(tuple(ranked), (), "finished", 3, comparison=sure)
    found = apart_of(document(plan=plan, beside=pair(0.2, 0.0, sure)))
    assert found == {
        2: "rank 1 is better with a probability of 63 %: the two cannot be told apart",
        3: "rank 1 is better with a probability of 100 %",
        0: "rank 1 is better with a probability of 75 %: the two cannot be told apart",
    }
    assert apart_of(document(plan=replace(plan, comparison=None), beside=pair(0.2, 0.0, None))) == {}
    same = pair(0.2, 0.0, sure)
    assert 0 not in apart_of(document(plan=plan, beside=replace(same, mine=same.first)))


def judged(*changes: float | None) -> Candidate:
    """A protocol of which leaving out a part changes the risk by so much."""
    names = ("Doxorubicin 50 mg (emulsion)", "Lipiodol 5 ml (emulsion)", "PVA")[: len(changes)]
    parts = tuple(
        Contribution(name, None, change, None if change is None else by(change))
        for name, change in zip(names, changes, strict=True)
    )
    return Candidate(Protocol.parse("Cisplatin + PVA"), Risk((0.0, 0.1)), CHANGE, contributions=parts)


def test_parts_that_cannot_be_told_apart_are_said_to_be_such() -> None:
    (line,) = parts_lines(judged(-0.03, -0.15, 0.001))
    assert line.startswith("No part of this protocol can be told apart from leaving it out")
    assert "by more than 0.15" in line and "69 % (that takes 93 %)" in line
    assert parts_lines(judged(-0.6, -0.02, 0.001)) == [], "one part counts"
    assert parts_lines(judged(-0.03, None, -0.02)) == [], "of one nobody knows"
    assert parts_lines(judged()) == []
    old = (Contribution("PVA", 0.0, 0.4),)
    assert parts_lines(replace(judged(), contributions=old)) == [], "a plan of an older version knows no spread"


def test_a_part_does_harm_only_where_that_can_be_told() -> None:
    (line,) = parts_lines(judged(-0.6, 0.65, 0.2))
    assert line == (
        "Without Lipiodol 5 ml the log-risk is truly lower with a probability of 98 %: Lipiodol 5 ml changes it by "
        "+0.65 (95 % interval +0.06 to +1.24)."
    )
