"""Amounts of mixtures and of their parts: "12 ml Lipiodol/epirubicin emulsion", "15 mg + 3 ml into A3"."""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Sequence
from dataclasses import replace

from MeWMLib.core.protocol import agent
from MeWMLib.policy.report_numbers import Dose
from MeWMLib.policy.report_words import AGENT, MIXTURE, Name

#: Characters beside a name in which words are looked for; names that are looked along.
_NEAR, _MOST = 120, 12
#: "The emulsion of 10 ml Lipiodol and ..." is the one that was made before.
_THE_MIXTURE = re.compile(r"\b(?:the|this)\s+(?:\w+\s+)?$", re.I)
_RATIO_BEHIND = re.compile(r"\s*(?:/|\bper\b)\s*(?:ml|cc|kg|m2|m\u00b2)(?!\w)", re.I)
#: Between the drug and the oil of "15 mg + 3 ml".
_PAIRED = re.compile(r"\s*(?:\+|/|&|,|,?\s*and|with|in|plus)\s*", re.I)


def amount_of(text: str, names: Sequence[Name], n: int, dose: Dose | None) -> Dose | None:
    """The amount beside a name, unless it is one of a mixture, or only a concentration."""
    if dose is None or _is_of_mixture(text, names, n, dose):
        return None  # "12 ml Lipiodol/epirubicin emulsion" are 12 ml of emulsion
    if ratio := _RATIO_BEHIND.match(text, names[n].end):
        said = f"{dose.text} {text[names[n].start : names[n].end]}{ratio[0]}"
        return replace(dose, value=None, uncertain=said)
    return dose


def is_definite(text: str, mixture: Name) -> bool:
    """True for "the emulsion", which was made before."""
    return _THE_MIXTURE.search(text, max(0, mixture.start - _NEAR), mixture.start) is not None


def pairs(plain: str, names: Sequence[Name], left: Sequence[Dose]) -> list[tuple[Dose, Dose]]:
    """Amounts in mg and ml that stand together without a name: "15 mg + 3 ml".

    Args:
        plain: the clause without sizes.
        names: what it names, in order.
        left: amounts that belong to no name, in order.
    """
    starts = [name.start for name in names]
    found: list[tuple[Dose, Dose]] = []
    for one, other in itertools.pairwise(left):
        plain_ones = all(d.value is not None and not d.total and not d.rest and d.times == 1 for d in (one, other))
        if not plain_ones or {one.unit, other.unit} != {"mg", "ml"} or (found and found[-1][1] is one):
            continue
        named = bisect.bisect_left(starts, one.end) != bisect.bisect_left(starts, other.start)
        if not named and _PAIRED.fullmatch(plain, one.end, other.start):
            found.append((one, other))
    return found


def _is_of_mixture(text: str, names: Sequence[Name], n: int, dose: Dose) -> bool:
    """ "12 ml Lipiodol/epirubicin emulsion", "2 ml NBCA-Lipiodol": True if the amount is that of several agents."""

    def joined(one: int) -> bool:
        return text[names[one].end : names[one + 1].start].strip() in ("/", "-", "+")

    first = last = n
    while first > max(0, n - _MOST) and joined(first - 1):
        first -= 1
    while last + 1 < min(len(names), n + _MOST) and joined(last):
        last += 1
    if first == last or not 0 <= names[first].start - dose.end <= _NEAR:
        return False
    chain = names[first : last + 1]
    behind = names[last + 1] if last + 1 < len(names) else None
    emulsion = behind is not None and behind.kind == MIXTURE and not text[chain[-1].end : behind.start].strip(" -")
    return emulsion or all(name.kind == AGENT and agent(name.agent).dose_unit == dose.unit for name in chain)
