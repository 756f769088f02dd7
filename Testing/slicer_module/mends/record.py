"""One entry of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    """Takes a piece away: `old` stands once in the file and becomes `new`; without `old` the file is made."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mend:
    """A mend: what it promises, what takes it away, and the tests that fail then."""

    clause: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]


def one(clause: str, file: str, old: str, new: str, *tests: str) -> Mend:
    """A mend in one place."""
    return Mend(clause, (Edit(file, old, new),), tests)


PANELS, TESTS = "MeWM/MeWMPanels/", "Testing/slicer_module/"
