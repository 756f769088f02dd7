"""What the words around an artery or a segment say happened there: treated, passed through, looked at, or left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum

from MeWMLib.core.territory import Territory

#: Characters around a place in which words about it are looked for.
_NEAR = 120
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
    r"spared)\b|[^;:]{0,60}?\bbut (?:was |were )?not (?:treated|emboli[sz]ed|catheteri[sz]ed|injected|infused)\b",
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
_VIA_BEFORE = re.compile(rf"\b(?:via|through|thru|by way of|from)\b{_SMALL}{{0,4}}\W*$", re.I)
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


class Role(Enum):
    """What a clause says of a place."""

    DIRECT = "direct"
    WAY = "way"
    VIA = "via"
    LESION = "lesion"
    SEEN = "seen"
    LEFT_OUT = "left out"


ROADS = (Role.WAY, Role.VIA)


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
        return self.role in (Role.DIRECT, Role.WAY, Role.VIA)


def with_roles(text: str, places: Sequence[Place]) -> list[Place]:
    """Read what the words around each place say of it."""
    found: list[Place] = []
    for n, place in enumerate(places):
        begin = max(places[n - 1].end if n else 0, place.start - _NEAR)
        end = min(places[n + 1].start if n + 1 < len(places) else len(text), place.end + _NEAR)
        before, behind = text[begin : place.start], text[place.end : end]
        role, excepted = _role(before, behind, Territory(place.parts).segments is None)
        if found and _is_joined(before) and found[-1].role is not Role.LEFT_OUT:
            # "the right and ... ", "A5 and A8": what is said of the first is said of both
            if role in (Role.DIRECT, *ROADS):
                role = found[-1].role
        elif role is Role.DIRECT and found and found[-1].role in ROADS and _ONWARDS.fullmatch(before):
            found[-1] = replace(found[-1], role=Role.WAY)
            role = Role.WAY  # "through the proper hepatic artery into A8"
        elif n and _PARENT.fullmatch(before):
            role, excepted = Role.LEFT_OUT, False  # "A8 of the right hepatic artery": A8 is meant
        if role in (Role.DIRECT, *ROADS) and set(place.parts) <= _WAYS and not _TREATED_WORD.search(before):
            role = Role.SEEN
        if n and found[-1].counts and _NARROWER.fullmatch(before) and is_within(place, found[-1]):
            found[-1] = replace(found[-1], role=Role.LEFT_OUT)  # "left lobe (S2)": segment 2 is meant
        found.append(replace(place, role=role, excepted=excepted))
    return _negation_back(text, found)


def _negation_back(text: str, places: list[Place]) -> list[Place]:
    """ "A4 and A8 were not treated": what is said behind the last one of a list is said of all."""
    for n in range(len(places) - 2, -1, -1):
        one, other = places[n], places[n + 1]
        same = other.role in (Role.LEFT_OUT, Role.SEEN, *ROADS) and not other.excepted
        if same and one.role is Role.DIRECT and _is_joined(text[one.end : other.start]):
            places[n] = replace(one, role=other.role)
    return places


def is_within(one: Place, other: Place) -> bool:
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
    via = _VIA_BEFORE.search(before)
    if via and not _TREATED_WORD.search(before, via.start()):
        return Role.VIA, False
    went = _WENT_BEFORE.search(before)
    if went and not _TREATED_WORD.search(before, went.start()):
        return Role.WAY, False
    return Role.DIRECT, False
