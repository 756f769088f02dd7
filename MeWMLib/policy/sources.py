"""Publications that rules, guideline table and table of products refer to, each with an address to look it up at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from MeWMLib.core.records import from_plain, read_json

#: Ends the source of every statement that no publication makes in exactly this way.
NEEDS_REVIEW = "needs physician review"


@dataclass(frozen=True)
class Reference:
    """A guideline, paper, product label or data set.

    Attributes:
        key: its name in `rules.json`, `guideline.json` and `products.json`.
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
    """All publications of `sources.json` by key."""
    data = read_json(Path(__file__).with_name("sources.json"))
    return {key: from_plain(Reference, {"key": key, **entry}) for key, entry in data["sources"].items()}


def source_text(note: str, keys: Sequence[str], needs_review: bool = False) -> str:
    """The source of a statement, in one line.

    Args:
        note: where in the publications it is found, or whose choice it is.
        keys: of the publications.
        needs_review: no physician has confirmed it, and no publication says exactly this.
    """
    cited = [f"{references()[key].citation}, {references()[key].url}" for key in keys]
    return "; ".join([*([note] if note else []), *cited, *([NEEDS_REVIEW] if needs_review else [])])
