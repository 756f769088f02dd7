"""One statement of a treatment goal about the patient: its value, whether it is denied in part, and when it held."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.clinical import field_table
from MeWMLib.core.clinical_fields import NONE, UNSPECIFIED

#: When a statement held; `WAS` is a past tense alone, which may still be so.
NOW, PAST, WAS = "now", "past", "was"
#: Of these fields the lower number is the worse one.
_LOW_IS_WORSE = {"lvef_percent", "egfr_ml_per_min", "platelets_10e9_per_l", "albumin_g_per_dl"}
#: From harmless to what an embolisation risks most with.
_BILIARY = (NONE, "sphincterotomy", "stent", "anastomosis")
_NOW = re.compile(
    r"\b(?:now|today|current(?:ly)?|present(?:ly)?|nowadays|meanwhile|latest|most recent|newly|new|recent(?:ly)?|since|"
    r"at the moment|jetzt|aktuell\w*|heute|derzeit\w*|momentan|neue?[rs]?|inzwischen|mittlerweile|seit|nun|maintenant|"
    r"actuellement|aujourd'hui|nouvelle|depuis|desormais|ahora|actual(?:mente)?|hoy|nueva|desde|adesso|ora|attual\w+|"
    r"oggi|nuova)\b|\u76ee\u524d|\u73b0|\u4eca|\u5f53\u524d|\u65b0\u53d1"
)
_MONTH = (
    "january|february|april|june|july|august|september|october|november|december|spring|summer|autumn|winter|januar|"
    "februar|marz|juni|juli|oktober|dezember|janvier|fevrier|avril|juin|juillet|septembre|octobre|novembre|decembre|"
    "enero|febrero|marzo|abril|junio|julio|agosto|septiembre|octubre|noviembre|diciembre|gennaio|febbraio|aprile|giugno|"
    "luglio|settembre|ottobre|dicembre|fruhling|fruhjahr|sommer|herbst"
)
_PAST = re.compile(
    r"\b(?:previous(?:ly)?|before|former(?:ly)?|earlier|initial(?:ly)?|at baseline|baseline|used to|pre|once|yesterday|"
    r"(?:at|on) (?:admission|diagnosis|first presentation)|last (?:year|month|week|time|session|visit|spring|summer|"
    r"autumn|winter)|(?:years?|yrs?|months?|mo|weeks?|wks?|days?) (?:ago|before|earlier)|(?:19|20)\d\d|"
    r"fruher\w*|vorher|"
    r"zuvor|damals|vormals|ehemals|letzte[snr]? (?:jahr|monat|woche)|vor \w+ (?:jahr|monat|woche|tag)\w*|bei aufnahme|"
    r"auparavant|avant|l'an(?:nee)? derni?er?e?|le mois dernier|il y a|antes|previamente|hace|"
    r"el ano pasado|el mes pasado|"
    r"l'anno scorso|il mese scorso|in precedenza|fa|precedentemente|"
    rf"in (?:{_MONTH})|im (?:{_MONTH})|en (?:{_MONTH})|a (?:{_MONTH}))\b|"
    r"\u4e4b\u524d|\u4ee5\u524d|\u53bb\u5e74|\u539f\u6765|\u65e2\u5f80|\u4e0a\u6b21|\u66fe|\u5e74\u524d|\u6708\u524d"
)
_WAS = re.compile(r"\b(?:was|were|had|had been|war|waren|hatte|etait|avait|era|tenia|aveva)\b")
_CLAUSE_END = re.compile(
    r"(?<!\d)[.,]|[.,](?!\d)|[;!?\n\u3002\uff0c\uff1b]|->|\u2192|"
    r"\b(?:but|and|however|und|aber|jedoch|et|mais|y|pero|e|ma)\b"
)


@dataclass(frozen=True)
class Stated:
    """A statement about the patient.

    Attributes:
        field: of `Clinical`.
        value: what it says; None if it is asked about.
        denied: the value if the statement is denied ("no ascites"); None if a denial says nothing.
        graded: a grade, a level or a place is part of it, so that its denial denies no more than that.
        site: it names a place alone ("lung metastases"); its denial leaves open whether there is any elsewhere.
        says_no: the words deny it themselves.
        doubt: why it is asked about, or "".
        when: one of `NOW`, `PAST`, `WAS`, or "".
    """

    field: str
    value: Any
    denied: Any = None
    graded: bool = False
    site: bool = False
    says_no: bool = False
    doubt: str = ""
    when: str = ""


def worse(field: str, first: Any, second: Any) -> Any:
    """The value that asks for more care, of two of one field."""
    return max(first, second, key=lambda value: _badness(field, value))


def _badness(field: str, value: Any) -> float:
    if field == "child_pugh_class":
        letter, points = str(value)[:1].upper(), str(value)[1:]
        return 100.0 * "ABC".find(letter) + (float(points) if points.isdigit() else 0.0)
    if field == "biliary_intervention":
        return float(_BILIARY.index(value))
    if isinstance(value, bool | int | float):
        return -float(value) if field in _LOW_IS_WORSE else float(value)
    choices = field_table()[field].choices
    if value == UNSPECIFIED:
        return 0.5  # it is there: worse than none, and no grade of its own
    return float(choices.index(value)) if value in choices else 0.0


def there(field: str) -> Any:
    """The value of a finding of which no more is known than that it is there; None where there is none such."""
    info = field_table()[field]
    if info.kind == "flag":
        return True
    return UNSPECIFIED if UNSPECIFIED in info.choices else None


class Clauses:
    """The clauses of a text, and when each of them speaks of."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ends = [match.start() for match in _CLAUSE_END.finditer(text)] + [len(text)]
        self._place, self._known = 0, dict[int, str]()

    def when(self, start: int) -> str:
        """When the clause of this place speaks of; places are asked for in rising order."""
        while self._ends[self._place] < start:
            self._place += 1
        if self._place not in self._known:
            begin = self._ends[self._place - 1] if self._place else 0
            self._known[self._place] = when(self._text[begin : self._ends[self._place]])
        return self._known[self._place]


def when(clause: str) -> str:
    """When a clause speaks of; "" if it does not say, or says both."""
    now, past, was = (pattern.search(clause) is not None for pattern in (_NOW, _PAST, _WAS))
    if now:
        return "" if past or was else NOW
    return PAST if past else WAS if was else ""


def time_words(text: str) -> Iterator[tuple[int, int]]:
    """Where words of time stand in a text."""
    for pattern in (_NOW, _PAST, _WAS):
        yield from (match.span() for match in pattern.finditer(text))
