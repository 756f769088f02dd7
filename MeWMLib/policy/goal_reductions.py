"""Doses that a goal wants smaller without saying how small: "dose reduction by 50 %", "half the dose"."""

from __future__ import annotations

import re

from MeWMLib.policy.goal_found import Reading

_LESS = (
    r"(?:reduc\w*|halv\w*|half|lower(?:ed)?|less|smaller|reduzier\w*|halbier\w*|halbe[rn]?|niedriger\w*|"
    r"reduire|reduite?s?|moitie|reducid\w*|mitad|ridott\w*|ridurre|dimezz\w*|reduzid\w*|reduzir|metade)"
)
_DOSE = r"(?:doses?|dosage|dosing|dosis|dosen|dosi|dosaggio|dosi[fs]\w*)"
#: Some words may stand between: "reduce the dose", "dose of cisplatin reduced".
_SAID = re.compile(rf"\b(?:{_DOSE}\W+(?:\w+\W+){{0,3}}?{_LESS}|{_LESS}\W+(?:\w+\W+){{0,3}}?{_DOSE})\b")
_DENIED = re.compile(r"\b(?:no|not|without|never|don.?t|ohne|keine?|sans|sin|senza|sem)\W+(?:\w+\W+)?$")


def ask_of_reductions(text: str, found: Reading) -> None:
    """Ask how large a dose is meant to be that is only called smaller.

    Args:
        text: the goal in small letters, without accents.
        found: gets a question for each such wish, unless it is denied ("no dose reduction").
    """
    for match in _SAID.finditer(text):
        if not _DENIED.search(text[: match.start()]):
            found.ask(
                f"\N{LEFT DOUBLE QUOTATION MARK}{match[0]}\N{RIGHT DOUBLE QUOTATION MARK}: how large may the dose be? "
                "Write a limit, such as \N{LEFT DOUBLE QUOTATION MARK}doxorubicin up to 40 mg"
                "\N{RIGHT DOUBLE QUOTATION MARK}"
            )
