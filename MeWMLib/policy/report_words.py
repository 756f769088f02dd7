"""Words of TACE operation reports: names of agents with their misspellings, doses, and cues of route and negation.

Only regular expressions and the vocabulary; `reports.py` reads sentences with them.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass
from functools import cache, lru_cache

from MeWMLib.policy.agent_names import by_letters, letters, pattern_of, written_names

#: A misspelt word is read if it has this many letters and is this similar to a name (difflib ratio).
_SLIP_LETTERS, _SLIP_RATIO = 6, 0.84
#: Words that are close to an agent's name but are not misspellings of it.
_NO_SLIPS = {"embolics", "emulsion", "emulsions", "particles", "particle", "microspheres", "angiography", "platinum"}

_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_NUMBER_WORDS = {word: n for n, word in enumerate(f"{_ONES} eighteen nineteen".split(), start=1)}
_NUMBER_WORDS |= {
    word: 10 * n
    for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety hundred".split(), start=2)
}
#: Unit as written to the unit of the vocabulary and the factor to it.
_UNITS = {
    **dict.fromkeys(("mg", "mgs", "milligram", "milligrams"), ("mg", 1.0)),
    **dict.fromkeys(("g", "gram", "grams"), ("mg", 1000.0)),
    **dict.fromkeys(("ug", "\u00b5g", "mcg", "microgram", "micrograms"), ("mg", 0.001)),
    **dict.fromkeys(("ml", "mls", "cc", "ccs", "milliliter", "milliliters", "millilitre", "millilitres"), ("ml", 1.0)),
}
_VALUE = rf"\d+(?:[.,]\d+)?|{'|'.join(sorted(_NUMBER_WORDS, key=len, reverse=True))}"
_DOSE = re.compile(
    rf"(?<![\w.,])(?P<value>{_VALUE})(?P<range>\s*(?:-|\u2013|to)\s*(?:{_VALUE}))?[\s-]*"
    rf"(?P<unit>{'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})\b(?P<area>\s*/\s*m(?:2|\u00b2))?",
    re.IGNORECASE,
)


def any_of(*alternatives: str) -> re.Pattern[str]:
    """Matches any of the alternatives as whole words, in capitals or not."""
    return re.compile(rf"\b(?:{'|'.join(alternatives)})\b", re.I)


MIXED = any_of(r"emulsi\w+|emulsify|mix(?:ed|ture|ing)?|suspen(?:ded|sion)|blend(?:ed)?|combined with")
INFUSED = any_of(r"infus\w+|perfus\w+|instil+ed|bolus|administered|given|injected|injection|delivered|HAIC")
EMBOLISED = any_of(r"(?:chemo)?emboli[sz]\w*|occlud(?:e|ing)|block(?:ing)?|plugg?ing")
ANY_VERB = re.compile("|".join(p.pattern for p in (MIXED, INFUSED, EMBOLISED)) + r"|\b(?:used|loaded|added)\b", re.I)
#: What was done, as a verb: "an emulsion of" alone does not say that anything was done.
DONE = any_of(
    r"emulsified|mixed|suspended|blended|infused|infusing|perfused|instil+ed|administered|given|injected|delivered",
    r"emboli[sz]ed|occluded|used|loaded|added|withheld|omitted",
)
LOADED = any_of(r"loaded|preloaded|pre-loaded|eluting")
#: Not given: before the name, and behind it. A cue before covers a list of names.
NOT_BEFORE = any_of(
    r"no|not|without|neither|nor|instead of|rather than|avoid(?:ed|ing)?|omit(?:ted|ting)?|withheld",
    r"refus(?:ed|al of|es)|declin(?:ed|es)|allerg(?:y|ic) to|contraindication (?:to|for)",
    r"intoleran(?:ce|t) (?:to|of)",
)
NOT_BEHIND = re.compile(
    r"^[^;,.]{0,40}?\b(?:(?:was|were|is|are|had been) not|not (?:used|given|needed|required|necessary|available)|"
    r"(?:was|were|is|are) (?:withheld|omitted|avoided|contraindicated|unavailable|spared|replaced|substituted|stopped)|"
    r"(?:was|were) (?:considered|discussed|planned)|allergy|hypersensitivity)\b",
    re.I,
)
#: A clause about another day.
ANOTHER_DAY = re.compile(
    r"\b(?:previous(?:ly)?|prior|last|first|earlier|former) (?:TACE|session|procedure|treatment|course|embolisation|"
    r"embolization|chemoembolisation|chemoembolization)s?\b|\bhistory of\b|\bnext (?:TACE|session|procedure|time)\b|"
    r"\b(?:is|are) planned\b|\bwill be\b|\bmonths? ago\b|\bweeks? ago\b|\byears? ago\b",
    re.I,
)
#: Right behind an agent: then the agent is what was seen, not what was given.
SEEN = re.compile(
    r"^[\s-]*(?:was\s+)?(?:deposit\w*|retention|accumulat\w*|uptake|wash-?out|staining|pooling|filling|coverage|"
    r"emulsion|mixture|suspension)\b",
    re.I,
)
TOTAL = re.compile(r"\b(?:total(?: dose| volume| amount)?(?: of)?|in all|altogether|in total)\W*$", re.I)
TOTAL_BEHIND = re.compile(r"^[\s,(]*(?:in total|in all|altogether|total)\b", re.I)


@dataclass(frozen=True)
class Name:
    """An agent's name in a text.

    Attributes:
        agent: canonical name.
        start, end: its place in the text.
        slip: what was written, if that was not a known name.
    """

    agent: str
    start: int
    end: int
    slip: str = ""


@dataclass(frozen=True)
class Dose:
    """An amount in a text.

    Attributes:
        value: in `unit`; None if a range, an amount per square metre or one beyond all numbers was written.
        unit: "mg" or "ml".
        start, end: its place in the text.
        text: as written.
    """

    value: float | None
    unit: str
    start: int
    end: int
    text: str


def find_names(text: str, likeness: float = _SLIP_RATIO) -> list[Name]:
    """The agents of a text in their order; a misspelt word counts if it is close to one name only.

    Args:
        text: of a report, or a list of names.
        likeness: how close, as a share of letters.
    """
    found = [Name(by_letters()[letters(m[0])], m.start(), m.end()) for m in _names().finditer(text)]
    exact = iter([*found])
    current = next(exact, None)
    for word in re.finditer(r"[A-Za-z][A-Za-z-]{4,}", text):
        while current is not None and current.end <= word.start():
            current = next(exact, None)
        taken = current is not None and current.start < word.end()
        if not taken and (name := _slip(word[0], likeness)):
            found.append(Name(name, word.start(), word.end(), word[0]))
    return sorted(found, key=lambda n: n.start)


def find_doses(text: str) -> list[Dose]:
    """The amounts in mg or ml of a text in their order; grams and cubic centimetres are converted."""
    found = []
    for m in _DOSE.finditer(text):
        unit, factor = _UNITS[m["unit"].lower()]
        written = m["value"].lower()
        number = _NUMBER_WORDS.get(written)
        value = float(number) if number is not None else float(written.replace(",", "."))
        certain = math.isfinite(value * factor) and not (m["range"] or m["area"])
        found.append(Dose(round(value * factor, 6) if certain else None, unit, m.start(), m.end(), m[0].strip()))
    return found


@cache
def _names() -> re.Pattern[str]:
    return pattern_of(written_names())


@lru_cache(maxsize=4096)
def _slip(word: str, likeness: float) -> str:
    """The agent that a misspelt word means, or "" if it is close to none or to several."""
    spelled = letters(word)
    # twice the longest name is less than 0.67 like any
    if not _SLIP_LETTERS <= len(spelled) <= 2 * max(map(len, by_letters())) or word.lower() in _NO_SLIPS:
        return ""
    known = [n for n in by_letters() if len(n) >= _SLIP_LETTERS]
    names = {by_letters()[n] for n in difflib.get_close_matches(spelled, known, n=2, cutoff=likeness)}
    # Epirubicin, idarubicin and pirarubicin are close to each other: only the first letter can decide
    same = {name for name in names if name[0].lower() == word[0].lower()}
    chosen = same if len(same) == 1 else names
    return chosen.pop() if len(chosen) == 1 else ""
