"""What a clinical field is: title, unit, range, choices. `Clinical` declares its fields with these functions, so that
code, JSON schema, panel, report and docs/CLINICAL.md are made from one table.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import Field as DataclassField
from dataclasses import dataclass, field
from typing import Any, Literal

from MeWMLib.core.errors import ClinicalDataError

#: A choice that says that there is something, but not how much.
UNSPECIFIED = "unspecified"
NONE = "none"
_KEY = "clinical"


@dataclass(frozen=True)
class FieldInfo:
    """One clinical field.

    Attributes:
        title: for people, without the unit.
        kind: "number", "whole" (a whole number), "choice", "flag" or "list" (of texts).
        unit: of a number, "" if it has none.
        low, high: of a number; anything else is not plausible.
        others: of a number, other units: name of the key that takes it, and how it is written, to the factor.
        choices: of a choice.
        synonyms: of a choice or of the entries of a list, in plain letters (`plain`).
        help: one sentence.
        name: set by the table.
    """

    title: str
    kind: Literal["number", "whole", "choice", "flag", "list"]
    unit: str = ""
    low: float = 0.0
    high: float = 0.0
    others: Mapping[str, tuple[str, float]] = field(default_factory=dict, hash=False)
    choices: tuple[str, ...] = ()
    synonyms: Mapping[str, str] = field(default_factory=dict, hash=False)
    help: str = ""
    name: str = ""

    @property
    def range_text(self) -> str:
        """What may be given, in words."""
        if self.kind == "flag":
            return "true or false"
        if self.kind == "choice":
            return " or ".join(self.choices)
        if self.kind == "list":
            return "a list of texts; [] means none"
        kind = "a whole number" if self.kind == "whole" else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}" + (f" {self.unit}" if self.unit else "")

    def shown(self, value: Any) -> str:
        """A value for people, with its unit."""
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list | tuple):
            return ", ".join(value) or NONE
        number = isinstance(value, int | float)
        return f"{value:.4g} {self.unit}".strip() if number else str(value)

    def normal(self, value: Any) -> Any:
        """The value in the form that `Clinical` keeps.

        Raises:
            ClinicalDataError: a wrong type, or a value that is not possible.
        """
        if self.kind in ("number", "whole"):
            return self._number(value)
        if self.kind == "flag":
            if not isinstance(value, bool):
                raise ClinicalDataError(
                    what=f"{self.name} must be true or false", given=repr(value)[:80], remedy="Write true or false"
                )
            return value
        return self._choice(value)

    def _number(self, value: Any) -> float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not self.low <= value <= self.high:
            units = "".join(f"; for {text} use {key}" for key, (text, _factor) in self.others.items())
            raise ClinicalDataError(
                what=f"{self.name} is not possible",
                given=repr(value)[:80],
                remedy=f"Give {self.range_text}{units}",
            )
        if self.kind == "whole" and value != int(value):
            raise ClinicalDataError(
                what=f"{self.name} must be a whole number", given=repr(value), remedy=f"Give {self.range_text}"
            )
        return int(value) if self.kind == "whole" else value

    def _choice(self, value: Any) -> str:
        if isinstance(value, bool) and NONE in self.choices:
            value = NONE if value is False else UNSPECIFIED
        written = isinstance(value, str | int | float) and not isinstance(value, bool)
        text = plain(str(value).removesuffix(".0")) if written else ""
        known = {plain(choice): choice for choice in self.choices} | dict(self.synonyms)
        if not text or text not in known or known[text] not in self.choices:
            raise ClinicalDataError(
                what=f"{self.name} is not known", given=repr(value)[:80], remedy="Use " + " or ".join(self.choices)
            )
        return known[text]

    def with_unit(self, data: Mapping[str, Any]) -> Any:
        """The number of {"value": 35, "unit": "µmol/l"} in the field's own unit.

        Raises:
            ClinicalDataError: other keys, a unit that is not known, or no number.
        """
        units = {plain(self.unit): 1.0} | {plain(text): factor for text, factor in self.others.values()}
        value, unit = data.get("value"), data.get("unit")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        known_unit = isinstance(unit, str) and plain(unit) in units
        if set(data) != {"value", "unit"} or not number or not known_unit:
            known = [self.unit, *(text for text, _ in self.others.values())]
            raise ClinicalDataError(
                what=f"{self.name} has a unit that is not understood",
                given=repr(dict(data))[:120],
                remedy='Write {"value": number, "unit": unit} with one of: ' + ", ".join(k for k in known if k),
            )
        factor = units[plain(str(unit))]
        return value if factor == 1.0 else float(value or 0) * factor


def plain(text: str) -> str:
    """Small letters and digits alone, without accents, so that "Vp 4", "vp4" and "VP-4" are one."""
    letters = unicodedata.normalize("NFKD", text.replace("\N{MICRO SIGN}", "u").replace("\u03bc", "u")).casefold()
    return re.sub(r"[^\w]|_", "", "".join(c for c in letters if not unicodedata.combining(c)))


def number(title: str, unit: str, low: float, high: float, help: str = "", **others: tuple[str, float]) -> Any:
    """A field with a number; `others` are the keys of other units, each with its text and factor."""
    return _field(FieldInfo(title, "number", unit, low, high, others, help=help))


def whole(title: str, low: int, high: int, help: str = "") -> Any:
    """A field with a whole number without a unit."""
    return _field(FieldInfo(title, "whole", "", low, high, help=help))


def choice(title: str, *choices: str, help: str = "", **synonyms: str) -> Any:
    """A field with one of several texts; `synonyms` are in plain letters, several of them parted by blanks."""
    known = {word: target for target, words in synonyms.items() for word in words.split()}
    by_plain = {plain(name): name for name in choices}
    return _field(
        FieldInfo(
            title, "choice", choices=choices, synonyms={w: by_plain[plain(t)] for w, t in known.items()}, help=help
        )
    )


def flag(title: str, help: str = "") -> Any:
    """A field that is true or false."""
    return _field(FieldInfo(title, "flag", help=help))


def texts(title: str, help: str = "") -> Any:
    """A field with a list of texts."""
    return _field(FieldInfo(title, "list", help=help))


def _field(info: FieldInfo) -> Any:
    return field(default=None, metadata={_KEY: info})


def info_of(declared: DataclassField[Any]) -> FieldInfo:
    """The entry of the table that a field of `Clinical` was declared with."""
    info: FieldInfo = declared.metadata[_KEY]
    return FieldInfo(**{**info.__dict__, "name": declared.name})
