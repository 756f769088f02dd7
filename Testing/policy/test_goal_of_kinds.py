"""Kinds of faults that a radiologist found, each by further sentences: nothing is inverted, nothing vanishes.

`goal_sentences_of_kinds.csv`: A a denied grade, B the older of two values and ranges, C wishes that look like
exclusions, D units and products, E clinical words without a field, F findings that are denied. `written` says which
part stood before the reader was mended (65 of those 81 failed then) and which was written after it (8 of those 70
failed at first).
"""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from MeWMLib.policy.goal import read_goal

with Path(__file__).with_name("goal_sentences_of_kinds.csv").open(encoding="utf-8", newline="") as _file:
    SENTENCES = list(csv.DictReader(_file))


def _parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def _sets(cell: str) -> tuple[set[str], set[str]]:
    """Agents that must be there, and those that may be ("?Lipiodol")."""
    parts = _parts(cell)
    return {p for p in parts if not p.startswith("?")}, {p.removeprefix("?") for p in parts}


def _fact_holds(facts: dict[str, object], told: str) -> bool:
    """ "ascites=mild" must be so; "ascites!=none" must not."""
    name, value = told.replace("!=", "=").split("=")
    found = facts.get(name)
    values = found if isinstance(found, tuple) else (found,)
    return (value in {f"{v:g}" if isinstance(v, float) else str(v) for v in values}) != ("!=" in told)


@pytest.mark.parametrize("row", SENTENCES, ids=[row["sentence"][:60] for row in SENTENCES])
def test_the_table_of_kinds(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    for found, column in ((goal.wanted, "wanted"), (goal.excluded, "excluded")):
        must, may = _sets(row[column])
        assert must <= set(found) <= may, (column, found)
    assert all(_fact_holds(goal.facts, told) for told in _parts(row["facts"])), goal.facts
    assert {limit.text for limit in goal.limits} == set(_parts(row["limits"]))
    assert row["asks"] == "?" or bool(goal.questions) == (row["asks"] == "yes"), goal.questions


def test_the_table_of_kinds_is_whole() -> None:
    assert len({row["sentence"] for row in SENTENCES}) == len(SENTENCES) == 151
    assert [sum(row["written"] == half for row in SENTENCES) for half in ("before", "after")] == [81, 70]
    assert {row["kind"] for row in SENTENCES} == set("ABCDEF")
    assert {row["asks"] for row in SENTENCES} <= {"yes", "no", "?"}
