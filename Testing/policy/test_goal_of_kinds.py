"""Kinds of faults that a radiologist found, each by further sentences: nothing is inverted, nothing vanishes.

`goal_sentences_of_kinds.csv`: A a denied grade, B the older of two values and ranges, C wishes that look like
exclusions, D units and products, E clinical words without a field, F findings that are denied. `written` says which
part stood before the reader was mended (65 of those 81 failed then) and which was written after it (8 of those 70
failed at first).
"""

from __future__ import annotations

from MeWMLib.policy.goal import read_goal
from Testing.policy.goal_tables import check_agents, check_facts, each, rows_of

SENTENCES = rows_of("goal_sentences_of_kinds.csv")


@each(SENTENCES)
def test_the_table_of_kinds(row: dict[str, str]) -> None:
    goal = read_goal(row["sentence"])
    check_agents(goal, row)
    check_facts(goal, row)
    assert row["asks"] == "?" or bool(goal.questions) == (row["asks"] == "yes"), goal.questions


def test_the_table_of_kinds_is_whole() -> None:
    assert len({row["sentence"] for row in SENTENCES}) == len(SENTENCES) == 151
    assert [sum(row["written"] == half for row in SENTENCES) for half in ("before", "after")] == [81, 70]
    assert {row["kind"] for row in SENTENCES} == set("ABCDEF")
    assert {row["asks"] for row in SENTENCES} <= {"yes", "no", "?"}
