"""Arteries, lobes and segments that operation reports name, and what a clause says happened there.

A place is treated, or the catheter only went there, or it was only looked at, or it was left out. Names are those of
`core/territory.py`, with the forms that reports write: "right and left hepatic arteries", "S5/8", "segments V-VIII".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cache

from MeWMLib.core.errors import TerritoryError
from MeWMLib.core.territory import Territory, known_parts, part_of

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
#: Nothing is treated there for itself; the words that say so must be clear.
_WAYS = frozenset(
    {"superior mesenteric artery", "gastroduodenal artery", "right gastric artery", "left gastric artery"}
)

_TREATED_WORD = re.compile(
    r"\b(?:infus\w*|inject\w*|(?:chemo)?emboli[sz]\w*|instil\w*|administ\w*|given|deliver\w*|treated|received|perfused)\b",
    re.I,
)
_SMALL = r"(?:\W+[\w-]+)"
_NOT_BEFORE = re.compile(
    r"\b(?P<cue>no|not|without|except(?: for)?|sparing|excluding|apart from|avoid\w*|instead of|rather than|never|"
    rf"protect\w*|outside(?: of)?|other than){_SMALL}{{0,4}}\W*$",
    re.I,
)
#: A vessel that is closed so that nothing flows there.
_CLOSED_BEFORE = re.compile(
    rf"\b(?:coil\w*|microcoil\w*|plugg?\w*|protective|prophylactic|redistribut\w+){_SMALL}{{0,4}}\W*$", re.I
)
_CLOSED_BEHIND = re.compile(
    rf"{_SMALL}{{0,3}}?\W+(?:coil\w*|microcoil\w*|plugged|protected|with (?:\w+ )?(?:micro)?coils?|"
    rf"by (?:\w+ )?(?:micro)?coils?)\b",
    re.I,
)
#: Ends what was left out: "not the right but the left".
_OVER = re.compile(rf"{_TREATED_WORD.pattern}|\bbut\b", re.I)
_EXCEPT = re.compile(r"except|sparing|excluding|apart|other", re.I)
_NOT_BEHIND = re.compile(
    r"[^,;:]{0,40}?\b(?:(?:was|were|is|are|has been|had been|could|did|can|be|left)\s+(?:\w+\s+)?(?:not|never|spared|"
    r"preserved|excluded|untreated|omitted|avoided|free|patent|normal|unremarkable|protected|inaccessible)|remain\w* "
    r"(?:free|patent|open|untreated)|not (?:treated|emboli[sz]ed|catheteri[sz]ed|injected|accessible)|untreated|"
    r"spared)\b",
    re.I,
)
_SEEN_BEFORE = re.compile(
    r"\b(?:angiogra\w+|DSA|arteriogra\w+|aortogra\w+|portogra\w+|opacif\w+|visuali[sz]\w+|injections? of contrast\w*|"
    rf"contrast injections?|imaging|CBCT|cone[- ]beam|runs?|showed|shows|showing|staining|blush){_SMALL}{{0,9}}\W*$",
    re.I,
)
_SEEN_BEHIND = re.compile(
    rf"{_SMALL}{{0,2}}?\W+(?:show\w*|demonstrat\w*|reveal\w*|suppl(?:ies|ied|ying)|feeds|aris\w+|originat\w+|"
    r"angiogra\w+|arteriogra\w+|DSA|run)\b",
    re.I,
)
_WENT_BEFORE = re.compile(
    r"\b(?:catheteri[sz]\w+(?: of)?|(?:super-?)?selective(?:ly)?|cannulat\w+(?: of)?|prob(?:ed|ing)|select(?:ed|"
    r"ion)(?: of)?|access(?:ed|ing)?|via|"
    r"through|thru|by way of|(?:catheter|microcatheter|tip|advanced|placed|positioned|position|parked|wedged|located|"
    rf"navigated|engaged|passed)\b(?:{_SMALL}{{0,4}}?\W+(?:in|into|to|at|within|of))?)(?:\W+[\w-]+){{0,4}}\W*$",
    re.I,
)
_WENT_BEHIND = re.compile(
    rf"(?:{_SMALL}{{0,3}}?)\W+(?:catheteri[sz]ed|cannulated|selected|engaged|probed|entered|accessed|passed|reached|"
    r"identified)\b",
    re.I,
)
_ONWARDS = re.compile(r"\W*(?:[\w-]+\W+){0,3}?(?:in|into|to|towards?)\W+(?:the\W+)?", re.I)
_PARENT = re.compile(
    r"\W*(?:(?:tumou?r|feeding|branch(?:es)?|segment(?:al)?|artery|arteries|arising|originating|coming|vessels?|feeders?|"
    r"which|that|arises?|originates?|and its)\W+){0,5}(?:of|from|off)\W+(?:the\W+|a\W+)?$",
    re.I,
)
_NARROWER = re.compile(
    r"\s*\(\s*|\W*(?:[\w-]+\W+){0,2}?(?:branch(?:es)?|feeders?|arter(?:y|ies))\W+(?:to|of|for|feeding|supplying)\W+(?:the\W+)?",
    re.I,
)
_LESION_BEFORE = re.compile(
    r"\b(?:lesions?|tumou?rs?|nodules?|mass(?:es)?|HCCs?|metastas[ie]s|foc(?:us|i)|disease|carcinoma)\W+(?:located\W+|"
    r"situated\W+|lying\W+)?(?:in|within|of|at|at the border of)\W+(?:the\W+|both\W+)?$",
    re.I,
)
_MAYBE = re.compile(
    r"\b(?:probably|presumably|possibly|likely|perhaps|apparently|supposedly|questionabl[ey]|if possible|"
    r"attempt\w*|tried|"
    r"unclear|uncertain)\b|\?",
    re.I,
)


class Role(Enum):
    """What a clause says of a place."""

    DIRECT = "direct"
    WAY = "way"
    LESION = "lesion"
    SEEN = "seen"
    LEFT_OUT = "left out"


@dataclass(frozen=True)
class Place:
    """A part of the liver or an artery in a text.

    Attributes:
        parts: canonical names (`Territory.parts`).
        start, end: its place in the text.
        text: as written.
        role: what the clause says of it.
        excepted: it is left out of something larger that was treated.
    """

    parts: tuple[str, ...]
    start: int
    end: int
    text: str
    role: Role = Role.DIRECT
    excepted: bool = False

    @property
    def counts(self) -> bool:
        """True if something may have been given there."""
        return self.role in (Role.DIRECT, Role.WAY)


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
    return _with_roles(text, sorted([*places, *_sides(text, places)], key=lambda p: p.start))


def treated_in(text: str, places: Sequence[Place]) -> Treated:
    """Which places of a clause that gives something were treated: those it was given into, else the catheter's last."""
    direct = [p for p in places if p.role is Role.DIRECT]
    chosen = direct or last_way(text, places)
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


def last_way(text: str, places: Sequence[Place]) -> list[Place]:
    """Where the catheter is at the end of a clause: the last place it went to, with those joined to it by "and"."""
    ways = [p for p in places if p.role is Role.WAY]
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
    return re.compile(rf"(?<![\w-])(?:(?i:{words})|{'|'.join(sorted(short, key=len, reverse=True))})(?![\w-])")


def _plural(name: str) -> str:
    pattern = re.escape(name).replace(r"\ ", r"[\s-]+")
    if name == "hepatic artery":
        return pattern  # "hepatic arteries" may be any of them
    pattern = pattern.replace("artery", "arter(?:y|ies)")
    return re.sub(r"(?:lobe|segment|section|sector|branch)$", lambda last: f"{last[0]}(?:e?s)?", pattern)


def _singular(phrase: str) -> str:
    plain = " ".join(phrase.lower().split())
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


def _with_roles(text: str, places: Sequence[Place]) -> list[Place]:
    """Read what the words around each place say of it."""
    found: list[Place] = []
    for n, place in enumerate(places):
        begin = max(places[n - 1].end if n else 0, place.start - _NEAR)
        end = min(places[n + 1].start if n + 1 < len(places) else len(text), place.end + _NEAR)
        before, behind = text[begin : place.start], text[place.end : end]
        role, excepted = _role(before, behind, Territory(place.parts).segments is None)
        if found and _is_joined(before) and found[-1].role in (Role.DIRECT, Role.WAY, Role.LESION, Role.SEEN):
            # "the right and ... ", "A5 and A8": what is said of the first is said of both
            if role in (Role.DIRECT, Role.WAY):
                role = found[-1].role
        elif role is Role.DIRECT and found and found[-1].role is Role.WAY and _ONWARDS.fullmatch(before):
            role = Role.WAY  # "through the proper hepatic artery into A8"
        elif n and _PARENT.fullmatch(before):
            role, excepted = Role.LEFT_OUT, False  # "A8 of the right hepatic artery": A8 is meant
        if role in (Role.DIRECT, Role.WAY) and set(place.parts) <= _WAYS and not _TREATED_WORD.search(before):
            role = Role.SEEN
        if n and found[-1].counts and _NARROWER.fullmatch(before) and _is_within(place, found[-1]):
            found[-1] = replace(found[-1], role=Role.LEFT_OUT)  # "left lobe (S2)": segment 2 is meant
        found.append(replace(place, role=role, excepted=excepted))
    return _negation_back(text, found)


def _negation_back(text: str, places: list[Place]) -> list[Place]:
    """ "A4 and A8 were not treated": what is said behind the last one of a list is said of all."""
    for n in range(len(places) - 2, -1, -1):
        one, other = places[n], places[n + 1]
        same = other.role in (Role.LEFT_OUT, Role.SEEN, Role.WAY) and not other.excepted
        if same and one.role is Role.DIRECT and _is_joined(text[one.end : other.start]):
            places[n] = replace(one, role=other.role)
    return places


def _is_within(one: Place, other: Place) -> bool:
    inner, outer = Territory(one.parts).segments, Territory(other.parts).segments
    return inner is not None and outer is not None and inner < outer


def _is_joined(text: str) -> bool:
    return len(text) < 20 and text.strip(" ,") in ("and", "and the", "", "/", "+", "&", "plus", "as well as")


def _role(before: str, behind: str, outside: bool) -> tuple[Role, bool]:
    left_out = _NOT_BEFORE.search(before)
    if left_out and not _OVER.search(before, left_out.end("cue")):
        return Role.LEFT_OUT, _EXCEPT.search(left_out["cue"]) is not None
    if _NOT_BEHIND.match(behind):
        return Role.LEFT_OUT, False
    if outside and (_CLOSED_BEFORE.search(before) or _CLOSED_BEHIND.match(behind)):
        return Role.LEFT_OUT, False
    seen = _SEEN_BEFORE.search(before)
    if seen and not _TREATED_WORD.search(before, seen.start() + 1):
        return Role.SEEN, False
    if _SEEN_BEHIND.match(behind) and not _TREATED_WORD.search(before):
        return Role.SEEN, False
    if _LESION_BEFORE.search(before):
        return Role.LESION, False
    if _WENT_BEHIND.match(behind):
        return Role.WAY, False
    went = _WENT_BEFORE.search(before)
    if went and not _TREATED_WORD.search(before, went.start()):
        return Role.WAY, False
    return Role.DIRECT, False
