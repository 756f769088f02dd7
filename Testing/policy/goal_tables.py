"""The tables of sentences beside this file: what a goal must be read as."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from MeWMLib.core.goal import Goal


def rows_of(name: str) -> list[dict[str, str]]:
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def each(rows: list[dict[str, str]]) -> pytest.MarkDecorator:
    """Run a test with each row as `row`, named by its sentence."""
    return pytest.mark.parametrize("row", rows, ids=[row["sentence"][:60] for row in rows])


def parts(cell: str) -> list[str]:
    return [part.strip() for part in cell.split(";") if part.strip()]


def check_agents(goal: Goal, row: dict[str, str]) -> None:
    """The agents of the row are wanted and excluded, and no others but those that may be ("?Lipiodol")."""
    for found, column in ((goal.wanted, "wanted"), (goal.excluded, "excluded")):
        told = parts(row[column])
        must, may = {p for p in told if not p.startswith("?")}, {p.removeprefix("?") for p in told}
        assert must <= set(found) <= may, (column, found)


def check_facts(goal: Goal, row: dict[str, str], stated: bool = False) -> None:
    """The facts of the row hold: "ascites=mild" must be so; "ascites!=none" must not, and with `stated` is read."""
    assert all(_holds(goal.facts, told, stated) for told in parts(row["facts"])), goal.facts
    assert {limit.text for limit in goal.limits} == set(parts(row["limits"]))


def _holds(facts: dict[str, object], told: str, stated: bool) -> bool:
    name, value = told.replace("!=", "=").split("=")
    found = facts.get(name)
    if stated and "!=" in told and name != "allergies" and found is None:
        return False
    values = found if isinstance(found, tuple) else (found,)
    return (value in {f"{v:g}" if isinstance(v, float) else str(v) for v in values}) != ("!=" in told)
