"""Numbers of operation reports: amounts with their units, counts, and numbers that are no amount of anything given."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
_NUMBER_WORDS = {word: n for n, word in enumerate(f"{_ONES} eighteen nineteen".split(), start=1)}
_NUMBER_WORDS |= {
    word: 10 * n
    for n, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety hundred".split(), start=2)
}
#: Unit as written to the unit of the vocabulary and the factor to it. Vials, units and becquerels are amounts that MeWM
#: cannot turn into mg or ml.
_UNITS = {
    **dict.fromkeys(("mg", "mgs", "milligram", "milligrams"), ("mg", 1.0)),
    **dict.fromkeys(("g", "gram", "grams"), ("mg", 1000.0)),
    **dict.fromkeys(("ug", "\u00b5g", "\u03bcg", "mcg", "microgram", "micrograms"), ("mg", 0.001)),
    **dict.fromkeys(("ml", "mls", "cc", "ccs", "milliliter", "milliliters", "millilitre", "millilitres"), ("ml", 1.0)),
    **dict.fromkeys(("l", "liter", "liters", "litre", "litres"), ("ml", 1000.0)),
    **dict.fromkeys(
        ("vial", "vials", "ampoule", "ampoules", "ampule", "ampules", "amp", "amps", "syringe", "syringes"),
        ("vial", 1.0),
    ),
    **dict.fromkeys(("iu", "ie", "units", "gbq", "mbq", "mci"), ("other", 1.0)),
}
_VALUE = rf"\d+(?:[.,]\d+)?|{'|'.join(sorted(_NUMBER_WORDS, key=len, reverse=True))}"
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_RATIO = r"\s*(?:/|\bper\b)\s*(?:m(?:2|\u00b2)|kg|square met(?:er|re)|ml|cc)\b|\s*/\s*m(?:2|\u00b2)"
_DOSE = re.compile(
    rf"(?<![\w.,])(?P<value>{_VALUE})(?P<range>\s*(?:-|\u2013|to|or)\s*(?:{_VALUE}))?[\s-]*"
    rf"(?P<unit>{_UNIT})\b(?P<ratio>{_RATIO})?",
    re.IGNORECASE,
)  # fmt: skip
#: In front of an amount: "a further", "about" change nothing; a bound is no single dose.
_LEAD = re.compile(
    r"(?<!\w)(?:(?P<bound>up to|at most|at least|no more than|not more than|less than|more than|max(?:imum|imal|\.)?"
    r"(?: (?:dose|volume|amount))?(?: of)?|min(?:imum|imal|\.)?(?: (?:dose|volume|amount))?(?: of)?|below|above|"
    r"[<>\u2264\u2265]=?)|"
    r"(?:(?:an?|the|another) )?(?P<more>further|additional|another|extra|more|second|third|subsequent)"
    r"(?: (?:dose|bolus|portion|injection|infusion|aliquot)(?: of)?)?|"
    r"(?:the )?(?P<rest>remaining|rest of the|rest of|residual|last|final)|"
    r"about|approximately|approx\.?|ca\.?|circa|around|roughly|some|~)\s*$",
    re.I,
)
_MORE_BEHIND = re.compile(r"\s*(?:more|extra|in addition|additionally)\b", re.I)
_LEAD_FAR = 40

_N = r"\d+(?:[.,]\d+)?"
#: Sizes, calibres, times, dates, shares, laboratory values and rates: never an amount of anything that was given.
_NO_AMOUNT = re.compile(
    rf"(?<![\w.,])(?:{_N}(?:\s*(?:-|\u2013|to|x|/)\s*{_N}){{0,3}}\s*-?\s*"
    r"(?:(?:[\u00b5\u03bcu]m|microns?|micrometers?|micrometres?|mm|cm|fr|french|gauge|minutes?|mins?|seconds?|secs?|"
    r"hours?|hrs?|days?|weeks?|months?|years?|kv|mas?|gy|mgy|cgy|hu|kg|bpm|mmhg|inch(?:es)?)\b|(?-i:[FG])\b|%|\u00b0)"
    rf"|{_N}\s*(?:[mcnp\u00b5\u03bcu]?g|[mk]?iu|[mk]?u|[mn\u00b5\u03bcu]?mol)\s*/\s*(?:dl|l)\b"
    rf"|{_N}\s*(?:[np\u00b5\u03bcu]g|[mk]?iu|u)\s*/\s*ml\b|{_N}\s*mg\s*(?:i|iodine)\b(?:\s*/\s*(?:ml|cc))?"
    rf"|{_N}\s*(?:ml|cc)\s*(?:/|per)\s*(?:s|sec|second|min|minute|h|hour)\b"
    r"|\d{1,4}[./-]\d{1,2}[./-]\d{2,4}\b|\d{1,2}:\d{2}(?::\d{2})?\b|\d{1,2}/\d{4}\b"
    rf"|\d{{2,4}}\s*(?:-|\u2013|/)\s*\d{{2,4}}\b(?!\s*-?\s*(?:{_UNIT})\b))",
    re.I,
)  # fmt: skip


@dataclass(frozen=True)
class Dose:
    """An amount in a text.

    Attributes:
        value: in `unit`, of all that the words mean together ("2 x 25 mg" are 50); None if a range, a bound, a ratio or
            a number beyond all numbers was written.
        unit: "mg" or "ml", or "vial" or "other", which no agent is dosed in.
        start, end: its place in the text, with the words that say how often.
        text: as written.
        uncertain: the words that make the amount uncertain; "" if none do.
        more, rest: it is called a further or the remaining amount.
        over: the names that each get it, by their index; () for the one that it belongs to.
        total: it is the amount of all that was given.
        times: how often, where the value is a product.
    """

    value: float | None
    unit: str
    start: int
    end: int
    text: str
    uncertain: str = ""
    more: bool = False
    rest: bool = False
    over: tuple[int, ...] = ()
    total: bool = False
    times: int = 1


def without_sizes(text: str) -> str:
    """The text with blanks in the place of sizes, calibres, times, dates, shares, laboratory values and rates."""
    return _NO_AMOUNT.sub(lambda match: " " * len(match[0]), text)


def find_doses(text: str) -> list[Dose]:
    """The amounts of a text in their order; grams and cubic centimetres are converted."""
    found = []
    for m in _DOSE.finditer(text):
        unit, factor = _UNITS[m["unit"].lower()]
        value = number(m["value"]) * factor
        lead = _LEAD.search(text, max(0, m.start() - _LEAD_FAR), m.start())
        bound = bool(lead and lead["bound"])
        start = lead.start() if lead else m.start()
        written = text[start : m.end()].strip()
        certain = math.isfinite(value) and not (m["range"] or m["ratio"] or bound)
        found.append(
            Dose(
                round(value, 6) if certain else None, unit, start, m.end(), written, "" if certain else written,
                bool((lead and lead["more"]) or _MORE_BEHIND.match(text, m.end())), bool(lead and lead["rest"]),
            )
        )  # fmt: skip
    return found


def number(written: str) -> float:
    """The value of a number in digits (decimal point or comma) or as a word."""
    word = _NUMBER_WORDS.get(written.lower())
    return float(word) if word is not None else float(written.replace(",", "."))
