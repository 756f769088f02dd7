"""Works that the rules and the guideline table refer to, each with an address where it can be looked up."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

#: Stands behind whatever no published source was found for, or where one was stretched.
NEEDS_REVIEW = "needs physician review"


@dataclass(frozen=True)
class Reference:
    """A guideline, paper, product label or data set.

    Attributes:
        key: its name in `rules.json` and `guideline.json`.
        citation: authors, title, journal.
        url: where it can be looked up.
        kind: guideline, review, trial, product label, ...
    """

    key: str
    citation: str
    url: str
    kind: str


@cache
def references() -> dict[str, Reference]:
    """All works of `sources.json` by key."""
    data = json.loads(Path(__file__).with_name("sources.json").read_text(encoding="utf-8"))
    return {key: Reference(key, **entry) for key, entry in data["sources"].items()}


def source_text(note: str, keys: Sequence[str], needs_review: bool = False) -> str:
    """One line that says where something stands.

    Args:
        note: what is to be found there, or whose choice it is.
        keys: of the works.
        needs_review: no physician has confirmed it, and no work says exactly this.
    """
    works = [f"{references()[key].citation}, {references()[key].url}" for key in keys]
    parts = [*([note] if note else []), *works, *([NEEDS_REVIEW] if needs_review else [])]
    return "; ".join(parts)
