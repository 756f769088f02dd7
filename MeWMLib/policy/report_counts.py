"""Counts of vials, doses and arteries in operation reports: "two vials", "both feeders", "several syringes"."""

from __future__ import annotations

import re

from MeWMLib.policy.report_numbers import number

NUMBER = "two|three|four|five|six|seven|eight|nine|ten|eleven|twelve"
UNIT = r"(?:mg|g|ml|mls|cc|iu|ug|mcg|gbq)\b"
COUNT = rf"(?:\d{{1,2}}(?!\d|[.,]\d|\s*-?\s*{UNIT})|{NUMBER}|one|single|both)"
_RANGE = rf"(?:\d{{1,2}}|{NUMBER}|one)\s*(?:-|to|or)\s*(?:\d{{1,2}}(?!\d|[.,]\d|\s*-?\s*{UNIT})|{NUMBER})"
MANY = rf"{_RANGE}|several|multiple|many|numerous|various|a few|a couple of|some|repeated|serial|further"
CONTAINER = (
    r"(?:vial|syringe|ampoule|ampule|amp|dose|aliquot|portion|injection|infusion|bolus|bottle|pack|fraction|increment|"
    r"step|cycle|administration)(?:e?s)?"
)
VESSEL = (
    r"(?:arter(?:y|ies)|branch(?:es)?|vessels?|feeders?|segments?|lobes?|sides?|pedicles?|lesions?|tumou?rs?|nodules?|"
    r"sites?|territor(?:y|ies)|positions?|feeding)"
)
_COUNTED = re.compile(
    rf"(?<![\w.,/-])(?P<n>{MANY}|{COUNT})\s+(?:(?!mg\b|ml\b|and\b|in\b|into\b|of\b)[a-z-]+\s+){{0,3}}?"
    rf"(?P<noun>(?P<container>{CONTAINER})|{VESSEL})\b",
    re.I,
)  # fmt: skip
#: A number behind these is the name of a segment, not a count of branches.
_SEGMENT_BEFORE = re.compile(r"\b(?:segments?|seg\.?|sg\.?|s|[as]\d\w?)[\s,/]*(?:\w{1,4}[\s,/]+)?(?:and\s+)?$", re.I)


def find_counts(text: str) -> list[re.Match[str]]:
    """What is counted, in its order: groups `n` (as written), `noun`, and `container` for vials, doses and the like."""
    return [m for m in _COUNTED.finditer(text) if not _is_segment(text, m)]


def is_of_vials(counted: re.Match[str]) -> bool:
    """True if vials, doses and the like are counted, False for arteries and the like."""
    return counted["container"] is not None


def last_count(text: str) -> tuple[int | None, bool] | None:
    """How many were counted last (None for "several"), and whether these are vials; None if nothing was counted."""
    found = find_counts(text)
    return (count_of(found[-1]["n"]), is_of_vials(found[-1])) if found else None


def count_of(written: str) -> int | None:
    """The value of a count; None for "several" and the like."""
    word = " ".join(written.lower().split())
    fixed = {"twice": 2, "thrice": 3, "both": 2, "single": 1, "a": 1, "an": 1}
    if word in fixed:
        return fixed[word]
    try:
        value = int(number(word))
    except ValueError:
        return None
    return value or None


def _is_segment(text: str, counted: re.Match[str]) -> bool:
    before = max(0, counted.start() - 20)
    return counted["n"].isdigit() and _SEGMENT_BEFORE.search(text, before, counted.start()) is not None
