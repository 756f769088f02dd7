"""Arteries, lobes and segments that operation reports name, and what a clause says happened there.

A place is treated, or the catheter only went there, or it was only looked at, or it was left out. Names are those of
`core/territory.py`, with the forms that reports write: "right and left hepatic arteries", "S5/8", "segments V-VIII".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from MeWMLib.core.errors import TerritoryError
from MeWMLib.core.territory import Territory, known_parts, part_of
from MeWMLib.policy.report_roles import Place, Role, is_within, with_roles

#: Characters around a place in which words about it are looked for.
_NEAR = 120
_ROMAN = "VIII|VII|VI|IV|V|III|II|I"
#: A segment's number; not an amount, a size or a part of a longer number.
_NUMBER = (
    rf"(?:[1-8](?:[a-d](?![a-z]))?|(?:{_ROMAN})(?:\s?[ab](?![A-Za-z]))?)(?![\w]|[.,]\d|\s*-?\s*(?:x|mg|g|"
    rf"ml|cc|vials?|mm|cm|fr)\b)"
)
_ITEM = rf"(?:(?:[Ss]g?|[Ss]egment\s)\s?)?{_NUMBER}(?:\s*(?:-|\u2013|to)\s*(?:[Ss]g?)?{_NUMBER})?"
_AND = r"\s*(?:,\s*and\s|,|/|\+|&|\band\b|\bto\b)\s*(?:the\s+)?"
_SEGMENTS = re.compile(
    rf"(?<![\w/])(?:(?:(?i:(?:sub)?segments?|segs?\.?|sg\.?|segment[a-z]* arter(?:y|ies)))\s*|S(?=[\dIV])\s?|"
    rf"S\s(?=[1-8]\b))"
    rf"(?P<list>{_ITEM}(?:{_AND}{_ITEM})*)"
)
_ARTERIES = re.compile(rf"(?<![\w/])A(?=[1-8])(?P<list>{_NUMBER}(?:(?:{_AND}|\s*-\s*)A?{_NUMBER})*)")
_ORDINAL = re.compile(r"(?<!\w)(?P<n>[1-8])(?:st|nd|rd|th)\s+segment\b", re.I)

_ADJECTIVE = (
    r"(?:(?:right|left|middle|medial|proper|common|anterior|posterior|lateral|replaced|accessory|aberrant|inferior)"
    r"(?:\s+(?:right|left|anterior|posterior|medial|lateral|inferior))?)"
)
_NOUN = (
    r"(?:(?:inferior\s+)?phrenic arter(?:y|ies)|(?:hepatic|lobar|sectoral|sectional)\s+(?:arter(?:y|ies)|"
    r"branch(?:es)?)|"
    r"(?:hepatic\s+|liver\s+)?lobes?|hemilivers?|arter(?:y|ies)|branch(?:es)?|sections?|sectors?)"
)
#: "right and left hepatic arteries": the noun is said once.
_PAIR = re.compile(
    rf"(?<!\w)(?P<one>{_ADJECTIVE})\s*(?:,|/|&|\+|\band\b)\s*(?:the\s+)?(?P<other>{_ADJECTIVE})\s+(?P<noun>{_NOUN})(?!\w)",
    re.I,
)
_SINGLE = re.compile(rf"(?<!\w)(?P<one>{_ADJECTIVE})\s+(?P<noun>{_NOUN})(?!\w)", re.I)
_BOTH = re.compile(
    r"\b(?:both|each|every|each of the)\s+(?:the\s+)?(?P<noun>(?:hepatic|lobar|"
    r"(?:inferior\s+)?phrenic)\s+arter(?:y|ies))\b"
    r"(?:\s*\((?:the )?(?:right|left) and (?:the )?(?:left|right)\))?",
    re.I,
)
#: "the right inferior phrenic and the right internal mammary artery"
_SHORT = re.compile(
    r"\b(?P<name>(?:right|left)\s+(?:inferior\s+phrenic|internal\s+(?:mammary|thoracic)))(?!\s+arter)\b", re.I
)
#: "... and the remaining 3 ml into the left": the noun stands at another place.
_SIDE = re.compile(
    r"\b(?:and|into|to|in|on|via|through|plus)\s+(?:the\s+)?(?P<side>right|left)(?:\s+(?:one|side))?"
    r"(?=\s*(?:[,.;:)]|$|and\b|was\b|were\b|each\b|respectively\b|as well\b))",
    re.I,
)
#: Names that are too short or too common to be looked for in a sentence.
_TOO_COMMON = frozenset(
    {"liver", "caudate", "anterior branch", "posterior branch", "anterior artery", "posterior artery"}
)
_MAYBE = re.compile(
    r"\b(?:probably|presumably|possibly|likely|perhaps|apparently|supposedly|questionabl[ey]|if possible|"
    r"attempt\w*|tried|"
    r"unclear|uncertain)\b|\?",
    re.I,
)


@dataclass(frozen=True)
class Treated:
    """Where a clause says that treatment went.

    Attributes:
        places: in the order of the text.
        uncertain: the words that make it uncertain; "" if none do.
    """

    places: tuple[Place, ...]
    uncertain: str = ""


def find_places(text: str) -> list[Place]:
    """The places of a clause in their order, each with its role."""
    found = _named(text)
    places: list[Place] = []
    for start, end, parts in sorted(found, key=lambda f: (f[0], -f[1])):
        if parts and (not places or start >= places[-1].end):
            places.append(Place(parts, start, end, text[start:end]))
    return with_roles(text, sorted([*places, *_sides(text, places)], key=lambda p: p.start))


def treated_in(text: str, places: Sequence[Place]) -> Treated:
    """Which places of a clause that gives something were treated: those it was given into, else the ways to them."""
    direct = [p for p in places if p.role is Role.DIRECT]
    chosen = direct or _ways(text, places)
    lesions = [] if chosen else [p for p in places if p.role is Role.LESION]
    uncertain = ""
    if lesions:
        uncertain = f"{lesions[0].text!r} is where a lesion lies"
    for place in [*chosen, *lesions]:
        if maybe := _MAYBE.search(text, max(0, place.start - _NEAR), min(len(text), place.end + _NEAR)):
            uncertain = uncertain or maybe[0]
        if place.text.lower() == "hepatic artery":
            uncertain = uncertain or place.text  # it may be any of them
    excepted = next((p for p in places if p.excepted), None)
    if excepted and (chosen or lesions):
        uncertain = uncertain or f"without {excepted.text}"
    return Treated(tuple(chosen or lesions), uncertain)


def _ways(text: str, places: Sequence[Place]) -> list[Place]:
    """What something was given through, and where the catheter came to."""
    ways = last_way(text, [p for p in places if p.role is not Role.VIA])
    via = [p for p in places if p.role is Role.VIA and not any(is_within(way, p) for way in ways)]
    return sorted([*via, *ways], key=lambda p: p.start)


def last_way(text: str, places: Sequence[Place]) -> list[Place]:
    """Where the catheter is at the end of a clause: the last place it went to, with those joined to it by "and"."""
    ways = [p for p in places if p.role in (Role.WAY, Role.VIA)]
    found = ways[-1:]
    for place in reversed(ways[:-1]):
        if text[place.end : found[0].start].strip(" ,") not in ("and", "and the", "", "/", "+", "&"):
            break
        found.insert(0, place)
    return found


def territory_of(places: Sequence[Place]) -> Territory | None:
    """All places together; None for none."""
    parts = tuple(dict.fromkeys(part for place in places for part in place.parts))
    return Territory(parts) if parts else None


def _named(text: str) -> list[tuple[int, int, tuple[str, ...]]]:
    found = [(m.start(), m.end(), _parts(m[0]) or _parts(_singular(m[0]))) for m in _names().finditer(text)]
    for m in _PAIR.finditer(text):
        noun = _singular(m["noun"])
        other = m["other"] if re.match(r"right|left", m["other"], re.I) else _same_side(m["one"], m["other"])
        found.append((m.start(), m.end(), (*_parts(f"{m['one']} {noun}"), *_parts(f"{other} {noun}"))))
    for m in _BOTH.finditer(text):
        noun = _singular(m["noun"])
        found.append((m.start(), m.end(), (*_parts(f"right {noun}"), *_parts(f"left {noun}"))))
    found += [(m.start(), m.end(), _parts(_singular(m[0]))) for m in _SINGLE.finditer(text)]
    found += [(m.start(), m.end(), _parts(f"{m['name']} artery")) for m in _SHORT.finditer(text)]
    for pattern, word in ((_SEGMENTS, "segment "), (_ARTERIES, "A")):
        found += [(m.start(), m.end(), _numbered(m["list"], word)) for m in pattern.finditer(text)]
    found += [(m.start(), m.end(), _parts(f"segment {m['n']}")) for m in _ORDINAL.finditer(text)]
    return found


def _numbered(written: str, word: str) -> tuple[str, ...]:
    """The parts of a list such as "5 and 8", "V-VIII", "A5/A8"."""
    listed = re.sub(r"(?i:segment|sg|s|a)\s?(?=[1-8IV])", "", written)
    listed = re.sub(r"\s*(?:-|\u2013|\bto\b)\s*", "-", listed)
    items = [re.sub(r"\s", "", item) for item in re.split(r"[,/+&\s]|\band\b|\bthe\b", listed) if item.strip()]
    # Couinaud divides only IV; "A8c" is a branch inside of segment 8
    items = [item if item[:-1].upper() in ("4", "IV") else item.rstrip("abcd") for item in items]
    return tuple(part for item in items for part in _parts(f"{word}{item}"))


@cache
def _parts(phrase: str) -> tuple[str, ...]:
    """The canonical parts of a phrase, () for one that is no place."""
    try:
        return Territory.parse(" ".join(phrase.lower().split())).parts
    except TerritoryError:
        return ()


@cache
def _names() -> re.Pattern[str]:
    """The names and synonyms of all parts; those in capitals are read only as such."""
    written = [n for name in known_parts() for n in (name, *part_of(name).synonyms) if n not in _TOO_COMMON]
    short = [n for n in written if n.isupper() and n.isalpha()]
    long = [n for n in written if not n.isupper() and " " in n] + ["bilobar"]
    words = "|".join(_plural(n) for n in sorted(long, key=len, reverse=True))
    initials = "|".join(sorted(short, key=len, reverse=True))
    return re.compile(
        rf"(?<![\w-])(?:(?i:{words})|(?:(?i:accessory|replaced|aberrant)\s+(?=[RL]HA))?(?:{initials}))(?![\w-])"
    )


def _plural(name: str) -> str:
    pattern = re.escape(name).replace(r"\ ", r"[\s-]+")
    if name == "hepatic artery":
        return pattern  # "hepatic arteries" may be any of them
    pattern = pattern.replace("artery", "arter(?:y|ies)")
    return re.sub(r"(?:lobe|segment|section|sector|branch)$", lambda last: f"{last[0]}(?:e?s)?", pattern)


def _singular(phrase: str) -> str:
    plain = " ".join(phrase.lower().split())
    plain = re.sub(r"\b([rl])ha\b", lambda m: f"{'right' if m[1] == 'r' else 'left'} hepatic artery", plain)
    plain = plain.replace("arteries", "artery").replace("branches", "branch").replace("aberrant ", "replaced ")
    return re.sub(r"(?<=lobe|tion|ctor|iver|ment)s\b", "", plain)


def _same_side(one: str, other: str) -> str:
    """ "right anterior and posterior": the side of the first is meant for the second."""
    side = re.match(r"(right|left)\s+(?:anterior|posterior|medial|lateral)", one, re.I)
    return f"{side[1]} {other}" if side else other


def _sides(text: str, places: Sequence[Place]) -> list[Place]:
    """Sides whose noun stands at the nearest other place: "into the right hepatic artery and ... into the left"."""
    found = []
    sided = [p for p in places if len(p.parts) == 1 and p.parts[0].startswith(("right ", "left "))]
    at = 0
    for m in _SIDE.finditer(text) if sided else ():
        while at + 1 < len(sided) and sided[at + 1].start < m.start("side"):
            at += 1
        near = sided[at]
        if near.start <= m.start("side") < near.end:
            continue
        noun = near.parts[0].split(" ", 1)[1]
        if parts := _parts(f"{m['side']} {noun}"):
            found.append(Place(parts, m.start("side"), m.end("side"), m["side"]))
    return found
