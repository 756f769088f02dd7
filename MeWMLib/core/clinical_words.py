"""Clinical data as people write them, in the words of `core.patient.Clinical`: for tables and for JSON alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

_SEX = {
    **dict.fromkeys(("f", "w", "woman", "weiblich", "femme", "féminin", "mujer", "femenino", "femmina"), "female"),
    **dict.fromkeys(("m", "man", "männlich", "homme", "masculin", "hombre", "masculino", "maschio"), "male"),
}
_POINTS = {"A": range(5, 7), "B": range(7, 10), "C": range(10, 16)}


def _sex(text: str) -> str:
    return _SEX.get(text.lower(), text.lower())


def _child_pugh(text: str) -> str:
    """The class, which may come with its points ("A5", "B (7)"); points of another class are left for the error."""
    match = re.fullmatch(r"(?:child(?:[ -]?pugh)? ?)?([abc])(?: ?\(?([0-9]{1,2})\)?)?", text, re.IGNORECASE)
    fits = match and (not match[2] or int(match[2]) in _POINTS[match[1].upper()])
    return match[1].upper() if match and fits else text


def bclc(text: str) -> str:
    """The stage alone, of "Stage-B" and "BCLC B" too."""
    return re.sub(r"^(?:(?:BCLC|STAGE)[ -]?)+", "", text.upper())


#: Field of `Clinical` to what turns a text into its words.
WORDS: Mapping[str, Callable[[str], str]] = {"sex": _sex, "child_pugh_class": _child_pugh, "bclc_stage": bclc}


def in_our_words(values: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of clinical data with the texts of `WORDS` turned; a stage of 0 may be a number. All else as given."""
    found = dict(values)
    for name, turned in WORDS.items():
        value = found.get(name)
        if name == "bclc_stage" and value == 0 and isinstance(value, int) and not isinstance(value, bool):
            value = "0"
        if isinstance(value, str):
            found[name] = turned(value.strip())
    return found
