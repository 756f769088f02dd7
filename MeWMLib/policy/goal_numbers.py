"""Numbers that a treatment goal states about the patient, with their units, as single values, ranges or two in time.

A range gives its worse end and is asked about. A second number behind a value ("INR 1.1, today 2.8") is a second value
of the same field.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

from MeWMLib.core.clinical import field_table
from MeWMLib.core.clinical_fields import plain
from MeWMLib.core.errors import ClinicalDataError
from MeWMLib.policy.goal_stated import Stated, time_words, worse

Reader = Callable[[re.Match[str]], "Stated | None"]
NUM = r"\d+(?:[.,]\d+)?"
IS = (
    r"\s*(?:(?:level|value|count|total|of|is|was|were|at|only|about|approx\.?|ca\.?|from|now|today|currently|previously|"
    r"up|down|peaked|climbed|recovered|improved|worsened|to|reduced|elevated|fell|fallen|dropped|decreased|declined|rose|rising|risen|increased|has|"
    r"have|von|ist|war|"
    r"betragt|bei|fruher|aktuell|jetzt|est|etait|a|es|era|de|del|di|actuellement|ahora|adesso|attuale|actual|"
    r"\u4e3a|\u662f|\u7ea6|=|:|,|~)\s*){0,5}"
)
#: Joins the two ends of a range.
TO = r"\s*(?:-|~|to|bis|a|al|hasta|fino a|or|oder|ou|->|\u2192|\u81f3|\u5230|auf)\s*"
_UMOL = r"(?:\u00b5|\u03bc|u|micro)?mol\s*/\s*l"
#: Behind these a number is no value of another kind of the same field.
_FOREIGN = r"(?!\s*(?:mg|ml|cc|cm|mm|g|x|years?|yrs?|months?|weeks?|days?|sessions?|lesions?|points?)\b(?!\s*/))"
_YEAR = re.compile(r"(?<!\d)(?:19|20)\d\d(?![\d%])|\d{1,2}[./]\d{1,2}[./]\d{2,4}|\d{1,2}/(?:19|20)?\d\d")
_AGO = re.compile(
    r"\s*(?:years?|yrs?|months?|mo|weeks?|wks?|days?|jahr\w*|monat\w*|woche\w*|ans?|mois|anos?|mes\w*|anni)\b"
)
_WORD = re.compile(r"[^\W\d_]+")
_FILL = set(
    "recovered improved worsened rose fell dropped up down peaked reduced is was were at to the of and "
    "on in it but a an has have been level value with only about from last "
    "ct mri lab labs "
    "ist war auf bei und am im der die das von est etait le la les a de du et es era el y en il lo e di un una".split()
)
_BEHIND = re.compile(r"\s*(?:$|[,;.!?)\n(\u3002\uff0c\uff1b])")
#: How far behind a value a second one is looked for.
_REACH = 70


@dataclass(frozen=True)
class Measured:
    """How a number is written.

    Attributes:
        field: of `Clinical`.
        names: pattern of what is measured.
        unit: pattern of its units, "" if it has none.
        factors: unit in plain letters, to the factor; "" where no unit is needed.
    """

    field: str
    names: str
    unit: str = ""
    factors: dict[str, float] = dataclass_field(default_factory=lambda: {"": 1.0})

    @property
    def pattern(self) -> str:
        """A name, a value or a range, and units."""
        if not self.unit:
            return rf"(?:{self.names}){IS}(?P<value>{NUM})(?:{TO}(?P<value2>{NUM})(?!\d){_FOREIGN})?"
        unit = rf"(?:\s*(?P<unit>{self.unit}))?"
        second = rf"(?:{TO}(?P<value2>{NUM})(?:\s*(?P<unit2>{self.unit}))?(?!\d){_FOREIGN})?"
        return rf"(?:{self.names}){IS}(?P<value>{NUM}){unit}{second}"

    def read(self, match: re.Match[str]) -> Stated | None:
        """What a match states; None if the unit is missing or the value is not possible."""
        groups = match.groupdict()
        second = groups.get("value2")
        units = (groups.get("unit"), groups.get("unit2"))
        first = self.value(match["value"], units[0] or units[1])
        if first is None:
            return None
        other = self.value(second, units[1] or units[0]) if second else None
        if second is None:
            return Stated(self.field, first)
        found = first if other is None else worse(self.field, first, other)
        return Stated(self.field, found, doubt="a range or two values: the worse one is taken")

    def value(self, text: str, unit: str | None) -> Any:
        """A number in the unit of the field; None if it is not possible."""
        key = plain((unit or "").replace("\u03bc", "u"))
        if key not in self.factors:
            return None
        thousands = key == "ul" and re.fullmatch(r"\d{1,3}[.,]\d{3}", text)
        value = float(re.sub(r"[.,]", "", text) if thousands else text.replace(",", ".")) * self.factors[key]
        info = field_table()[self.field]
        if self.field == "lvef_percent" and 0.05 <= value < 1:
            value *= 100  # a fraction
        try:
            return info.normal(int(value) if info.kind == "whole" and value == int(value) else value)
        except ClinicalDataError:
            return None


_UL = r"g\s*/\s*l|gpt\s*/\s*l|/\s*nl|k\b|[x*]?\s*10\s*\^?\s*9\s*/\s*l|x?\s*10e9\s*/\s*l|/\s*ul|/\s*mm3|/\s*\u03bcl"
MEASURED = (
    Measured(
        "lvef_percent",
        r"(?:lv-?)?ef\b|left ventricular ejection fraction|ejection fraction|fevg|fevi|fevs|"
        r"fe(?=\W{0,3}\d+(?:[.,]\d+)?\s*%)|"
        r"ejektionsfraktion|fraction d'ejection|fraccion de eyeccion|frazione di eiezione|"
        r"(?:\u5de6\u5fc3\u5ba4)?\u5c04\u8840\u5206\u6570",
        "%",
        {"": 1.0},
    ),
    Measured(
        "creatinine_mg_per_dl",
        r"(?:serum )?(?:creatinine|creatinin|kreatinin|creatinina)|\b(?:crea|creat|krea|s-?cr|scr|cr)\b|\u808c\u9150",
        rf"mg\s*/\s*dl|{_UMOL}",
        {"mgdl": 1.0, "umoll": 1 / 88.4, "mmoll": 0.0, "micromoll": 1 / 88.4},
    ),
    Measured(
        "bilirubin_mg_per_dl",
        r"(?:total |gesamt-?)?(?:bilirubin[ea]?|bilirrubina)|\b(?:t-?bili?|bili|bil)\b|(?:\u603b)?\u80c6\u7ea2\u7d20",
        rf"mg\s*/\s*dl|{_UMOL}",
        {"mgdl": 1.0, "umoll": 1 / 17.1, "micromoll": 1 / 17.1},
    ),
    Measured(
        "albumin_g_per_dl",
        r"(?:serum )?(?:albumin[ea]?)|\balb\b|\u767d\u86cb\u767d",
        r"g\s*/\s*d?l",
        {"gdl": 1.0, "gl": 0.1},
    ),
    Measured(
        "egfr_ml_per_min",
        r"\be?-?gfr\b",
        r"ml\s*/\s*min(?:\s*/\s*1[.,]73\s*m2)?",
        {"": 1.0, "mlmin": 1.0, "mlmin173m2": 1.0},
    ),
    Measured(
        "platelets_10e9_per_l",
        r"(?:platelets?|thrombo[cz]yten?|thrombocytes?|thrombos|plaquettes|plaquetas|piastrine|\bplts?\b|"
        r"\u8840\u5c0f\u677f)(?: count)?",
        _UL,
        {"gl": 1.0, "gptl": 1.0, "nl": 1.0, "k": 1.0, "109l": 1.0, "x109l": 1.0, "10e9l": 1.0, "x10e9l": 1.0,
         "ul": 0.001, "mm3": 0.001},
    ),
    Measured("inr", r"\binr\b"),
    Measured("afp_ng_per_ml", r"\b(?:afp|alpha-?fetoprotein)\b", r"ng\s*/\s*ml", {"": 1.0, "ngml": 1.0}),
    Measured(
        "tumour_burden_percent", r"tumou?r (?:burden|load|share)(?: of)?(?: about)?", "%", {"": 1.0}
    ),
)  # fmt: skip
_BY_FIELD = {measured.field: measured for measured in MEASURED} | {"ecog": Measured("ecog", "ecog")}
_UNITS = {name: re.compile(rf"\s*(?:{m.unit})" if m.unit else r"\s*%?") for name, m in _BY_FIELD.items()}
#: A class that stands without its name behind a word of time.
_CLASSES = {
    "heart_failure": re.compile(r"\s*(?:is |at |class |klasse |nyha )?(?P<class>iv|i{1,3}|[1-4])(?!\w)"),
    "child_pugh_class": re.compile(r"\s*(?:is |at |class |klasse |child )?(?P<class>[abc]\d{0,2})(?!\w)"),
    "bclc_stage": re.compile(r"\s*(?:is |at |stage |bclc )?(?P<class>[0abcd])(?!\w)"),
}
_DIGITS = re.compile(rf"(?<![\d.,/^a-z<>]){NUM}(?![\d^a-z])")


def number_patterns() -> Iterator[tuple[str, Reader]]:
    """Pattern and reader of every number."""
    for measured in MEASURED:
        yield measured.pattern, measured.read


def later_values(text: str, stated: Stated, start: int, end: int, stop: int) -> Iterator[tuple[int, int, Stated]]:
    """A second number of the same field: "INR 1.1, today 2.8".

    Args:
        text: small letters without accents.
        stated: what was read from `start` to `end`.
        start, end: of the first value.
        stop: where the next statement begins.
    """
    stop = min(stop, end + _REACH, len(text))
    window = text[end:stop]
    measured = _BY_FIELD.get(stated.field)
    if stated.field in _CLASSES and stated.value is not None:
        yield from _later_classes(window, stated, end)
    if measured is None:
        return
    years = [match.span() for match in _YEAR.finditer(window)]
    for match in _DIGITS.finditer(window):
        if any(a <= match.start() < b for a, b in years) or _AGO.match(window, match.end()):
            continue
        unit = _UNITS[stated.field].match(text, end + match.end())
        behind = unit.end() if unit else end + match.end()
        after = re.split(r"[,;.()\n]", text[behind : behind + 40].lstrip(" ("))[0]
        timed = {word for a, b in time_words(after) for word in _WORD.findall(after[a:b])}
        gap = window[: match.start()]
        clause = re.split(r"[,;:(\n]|->|\band\b|\bund\b|\bet\b", gap)[-1]
        near = {word for a, b in time_words(clause) for word in _WORD.findall(clause[a:b])}
        words = set(_WORD.findall(clause))
        others = {word for a, b in time_words(gap) for word in _WORD.findall(gap[a:b])}
        closed = _BEHIND.match(text, behind) or (timed and set(_WORD.findall(after)) <= timed | _FILL)
        spoken = near or timed or set(_WORD.findall(gap)) <= others | _FILL
        if not closed or not spoken or not words <= near | _FILL:
            return
        given = unit[0].strip() if unit else ""
        value = measured.value(match[0], given or _unit_of(text[start:end], measured))
        if value is not None:
            yield end + match.start(), behind, replace(stated, value=value, doubt="", when="")
        return


def _later_classes(window: str, stated: Stated, end: int) -> Iterator[tuple[int, int, Stated]]:
    """A class behind a word of time, "NYHA II, now IV"."""
    pattern = _CLASSES[stated.field]
    for _, timed in time_words(window):
        match = pattern.match(window, timed)
        if match and _BEHIND.match(window, match.end()):
            value = match["class"].upper()
            if stated.field != "child_pugh_class":
                value = field_table()[stated.field].normal(value)
            yield end + match.start("class"), end + match.end(), replace(stated, value=value, doubt="", when="")
            return


def _unit_of(text: str, measured: Measured) -> str:
    if not measured.unit:
        return ""
    found = re.findall(rf"(?<=\d)\s*({measured.unit})", text)
    return str(found[-1]) if found else ""
