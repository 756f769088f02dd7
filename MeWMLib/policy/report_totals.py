"""Amounts that an operation report calls the total, against the parts that it tells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from MeWMLib.core.protocol import agent
from MeWMLib.policy.report_given import Administration

#: Words for the amount of all, in the languages that reports mix into English.
TOTAL_WORD = (
    r"total(?:s|e|en|ly|ling|ing|led|ed)?|overall|cumulative(?:ly)?|altogether|all together|in all|sum|sums up to|"
    r"summed(?: up)?|adding up to|adds up to|amounting to|combined(?= (?:dose|volume|amount))|"
    r"(?:ins)?gesamt(?:dosis|menge|volumen)?|summe|zusammen|en tout|in tutto|complessiv\w+|totaal"
)
TOTAL_BEFORE = re.compile(
    rf"(?:\b(?:{TOTAL_WORD})\b|(?<=[\d)a-z])\s*=)[\s:]*(?:(?:dose|dosis|dosi|menge|volume|volumen|amount|quantity|of|"
    r"to|de|di|von|is|was|were|used|given|the|a|drug|=)\b[\s:=]*){0,5}[\s:(=]*$",
    re.I,
)
#: A heading over what is told elsewhere too: amounts under it are not given once more.
RESTATED = re.compile(
    r"\s*(?:(?:in )?(?:summary|conclusion|conclusions|impression|totals?|overall|altogether|all together|"
    r"gesamt\w*|insgesamt|summe|cumulative(?:ly)?|sum)\b[^:,\d]{0,30}[:,]|"
    r"(?:materials?|medications?|drugs?|agents?|(?:chemotherapeutic|embolic) (?:agents?|materials?)|consumables|"
    r"procedure|"
    r"title|operation|intervention|treatment)(?: used| given| performed)?\s*:)",
    re.I,
)
TOTAL_BEHIND = re.compile(
    r"[\s,(]*(?:in total|in all|altogether|all together|total|overall|cumulative(?:ly)?|insgesamt|gesamt|zusammen|"
    r"au total|en total|in totale|en tout|in tutto|in summe|in sum)\b",
    re.I,
)


def settled(given: Sequence[Administration], totals: Mapping[int, float], notes: list[str]) -> list[Administration]:
    """The administrations without those that only state a total.

    Where the parts make less, the rest is added; where they make more, they stay; both are noted and make the dose
    uncertain. A total settles parts that were uncertain before.

    Args:
        given: in the order of the report, those that state totals among them.
        totals: places in `given` that state the amount of all, to that amount.
        notes: what was not certain; new notes are added.
    """
    kept = dict(enumerate(given))
    first: dict[str, int] = {}  # of each agent, where its total is stated
    differ: dict[str, str] = {}  # agents of which two totals are stated
    parts: dict[str, list[int]] = {}
    for n, one in enumerate(given):
        if n not in totals:
            parts.setdefault(one.agent, []).append(n)
    for at, total in totals.items():
        name = given[at].agent
        stated = first.setdefault(name, at)
        if at != stated:
            if totals[stated] != total:
                differ[name] = f"{totals[stated]:g} and {total:g} in total"
                notes.append(f"{name}: the report says {differ[name]}")
            del kept[at]
        elif name in parts:
            del kept[at]
            _settle(kept, parts[name], given[at], (at, total), notes)
    return [
        one if one.uncertain or one.agent not in differ else replace(one, uncertain=differ[one.agent])
        for _, one in sorted(kept.items())
    ]


def _settle(
    kept: dict[int, Administration], parts: Sequence[int], said: Administration, stated: tuple[int, float],
    notes: list[str],
) -> None:  # fmt: skip
    at, total = stated
    unit = agent(said.agent).dose_unit
    before = round(sum(kept[n].dose or 0.0 for n in parts), 6)
    rest = round(total - before, 6)
    open_parts, last = any(kept[n].uncertain for n in parts), parts[-1]
    if rest == 0 or (rest > 0 and (open_parts or not before)):
        for n in parts:
            kept[n] = replace(kept[n], uncertain="")
    else:
        notes.append(f"{said.agent}: the parts add up to {before:g}, the report says {total:g} in total")
        kept[last] = replace(kept[last], uncertain=kept[last].uncertain or f"{total:g} {unit} in total")
    if rest > 0 and (open_parts or not before):
        kept[last] = replace(kept[last], dose=round((kept[last].dose or 0.0) + rest, 6))
    elif rest > 0:
        route = said.route or kept[last].route
        kept[at] = replace(said, dose=rest, route=route, uncertain=f"{total:g} {unit} in total")
