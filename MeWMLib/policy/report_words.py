"""Words of TACE operation reports: names of agents with their slips, doses, and cues of route and negation.

Only regular expressions and the vocabulary; `reports.py` puts sentences together from them.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from functools import cache

from MeWMLib.core.protocol import agent, vocabulary

#: A word must be this long to be read in spite of a slip, and this alike (difflib ratio).
_SLIP_LETTERS, _SLIP_RATIO = 6, 0.84
#: Words that are close to an agent's name and are none.
_NO_SLIPS = {"embolics", "emulsion", "emulsions", "particles", "particle", "microspheres", "angiography", "platinum"}

_NUMBER_WORDS = {
    word: n
    for n, word in enumerate(
        ("one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
         "eighteen nineteen twenty").split(),
        start=1,
    )
}  # fmt: skip
_NUMBER_WORDS |= {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
_NUMBER_WORDS |= {"hundred": 100}
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

MIXED = re.compile(
    r"\b(?:emulsi\w+|emulsify|mix(?:ed|ture|ing)?|suspen(?:ded|sion)|blend(?:ed)?|combined with)\b", re.I
)
INFUSED = re.compile(
    r"\b(?:infus\w+|perfus\w+|instil+ed|bolus|administered|given|injected|injection|delivered|HAIC)\b", re.I
)
EMBOLISED = re.compile(r"\b(?:(?:chemo)?emboli[sz]\w*|occlud(?:e|ing)|block(?:ing)?|plugg?ing)\b", re.I)
ANY_VERB = re.compile("|".join(p.pattern for p in (MIXED, INFUSED, EMBOLISED)) + r"|\b(?:used|loaded|added)\b", re.I)
#: What was done, as a verb: "an emulsion of" alone is no deed.
DEED = re.compile(
    r"\b(?:emulsified|mixed|suspended|blended|infused|infusing|perfused|instil+ed|administered|given|injected|delivered|"
    r"emboli[sz]ed|occluded|used|loaded|added|withheld|omitted)\b",
    re.I,
)
LOADED = re.compile(r"\b(?:loaded|preloaded|pre-loaded|eluting)\b", re.I)
#: Not given: before the name, and behind it. A cue before holds for a list of names.
NOT_BEFORE = re.compile(
    r"\b(?:no|not|without|neither|nor|instead of|rather than|avoid(?:ed|ing)?|omit(?:ted|ting)?|withheld|"
    r"refus(?:ed|al of|es)|declin(?:ed|es)|"
    r"allerg(?:y|ic) to|contraindication (?:to|for)|intoleran(?:ce|t) (?:to|of))\b",
    re.I,
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
#: Right behind an agent: it names what is seen, not what is given.
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
        start, end: where it stands.
        slip: what was written, if it was no known name.
    """

    agent: str
    start: int
    end: int
    slip: str = ""


@dataclass(frozen=True)
class Dose:
    """An amount in a text.

    Attributes:
        value: in `unit`; None if a range or an amount for each square metre was written, which is no one dose.
        unit: "mg" or "ml".
        start, end: where it stands.
        text: as it was written.
    """

    value: float | None
    unit: str
    start: int
    end: int
    text: str


def find_names(text: str) -> list[Name]:
    """The agents of a text in their order; a misspelt word is read if it is close to one name only."""
    found = [Name(_canonical(m[0]), m.start(), m.end()) for m in _names().finditer(text)]
    for word in re.finditer(r"[A-Za-z][A-Za-z-]{4,}", text):
        taken = any(n.start < word.end() and word.start() < n.end for n in found)
        if not taken and (name := _slip(word[0])):
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
        certain = not (m["range"] or m["area"])
        found.append(Dose(round(value * factor, 6) if certain else None, unit, m.start(), m.end(), m[0].strip()))
    return found


def unit_of(name: str) -> str:
    """Unit in which an agent is dosed."""
    return agent(name).dose_unit


def _letters(text: str) -> str:
    # British and American spelling are one: iodised and iodized, gelatine and gelatin
    return re.sub(r"[^a-z0-9]", "", text.lower()).replace("isedoil", "izedoil").removesuffix("s")


@cache
def _by_letters() -> dict[str, str]:
    return {_letters(n): a.name for a in vocabulary().values() for n in (a.name, *a.synonyms)}


def _canonical(text: str) -> str:
    return _by_letters()[_letters(text)]


@cache
def _names() -> re.Pattern[str]:
    """Any name of the vocabulary; blanks and hyphens are free, a plural s may follow; short ones in capitals only."""
    parts = []
    for text in sorted({n for a in vocabulary().values() for n in (a.name, *a.synonyms)}, key=len, reverse=True):
        words = re.findall(r"[A-Za-z0-9]+", text)
        whole = r"[\s-]*".join(re.escape(w) for w in words) + "s?"
        # IDA, EPI, GS: in small letters they are words or parts of names
        parts.append(whole if len(text) <= 3 and text.isupper() else f"(?i:{whole})")
    return re.compile(rf"(?<![A-Za-z0-9])(?:{'|'.join(parts)})(?![A-Za-z0-9])")


def _slip(word: str) -> str:
    letters = _letters(word)
    if len(letters) < _SLIP_LETTERS or word.lower() in _NO_SLIPS:
        return ""
    known = [n for n in _by_letters() if len(n) >= _SLIP_LETTERS]
    near = difflib.get_close_matches(letters, known, n=2, cutoff=_SLIP_RATIO)
    names = {_by_letters()[n] for n in near}
    # Epirubicin, idarubicin and pirarubicin are close to each other: the first letter decides, else nobody does
    same = {name for name in names if name[0].lower() == word[0].lower()}
    return same.pop() if len(same) == 1 else names.pop() if len(names) == 1 else ""
