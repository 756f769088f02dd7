"""What the treated artery feeds: whole liver, a lobe or section, Couinaud segments, an artery by name, or a region that
the user painted.

Where Lipiodol goes is decided by the artery that it is given into, and cannot be read off the scan before.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from MeWMLib.core.errors import TerritoryError
from MeWMLib.core.texts import require_length

#: Couinaud's segments; IV has an upper (a) and a lower half (b).
SEGMENTS = ("1", "2", "3", "4a", "4b", "5", "6", "7", "8")
WHOLE, PAINTED = "whole liver", "painted region"
#: Characters that are read.
MOST_TERRITORY = 2000
_ROMAN = {"i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6", "vii": "7", "viii": "8"}


@dataclass(frozen=True)
class FedPart:
    """A part of the liver with a name, or an artery.

    Attributes:
        name: canonical.
        segments: what it is or feeds; None for an artery whose bed in the liver nobody can name beforehand.
        synonyms: other names that are understood.
        artery: True for an artery.
    """

    name: str
    segments: frozenset[str] | None
    synonyms: tuple[str, ...] = ()
    artery: bool = False


def _part(name: str, segments: str, *synonyms: str, artery: bool = False) -> FedPart:
    return FedPart(name, frozenset(segments.split()), synonyms, artery)


def _artery(name: str, segments: str, *synonyms: str) -> FedPart:
    return _part(name, segments, *synonyms, artery=True)


def _outside(name: str, *synonyms: str) -> FedPart:
    return FedPart(name, None, synonyms, artery=True)


_ALL, _RIGHT, _LEFT = "1 2 3 4a 4b 5 6 7 8", "5 6 7 8", "2 3 4a 4b"
#: Lobes and sections: the Brisbane 2000 terminology (HPB 2000;2:333); the lobes are those on the two sides of Cantlie's
#: line, and segment 1 is fed from both and belongs to neither. Arteries: the usual anatomy (Michels, Am J Surg
#: 1966;112:337); a left artery feeds segment 4 where no middle hepatic artery leaves the right one. Arteries from
#: outside of the liver: Kim et al., RadioGraphics 2005;25:S25; which part of the liver they reach differs in each
#: patient.
_PARTS = (
    _part(WHOLE, _ALL, "liver", "entire liver", "all of the liver", "both lobes", "bilobar", "all segments",
          "right and left lobe", "left and right lobe"),
    _part("right lobe", _RIGHT, "right hemiliver", "right liver", "right liver lobe", "right hepatic lobe"),
    _part("left lobe", _LEFT, "left hemiliver", "left liver", "left liver lobe", "left hepatic lobe"),
    _part("caudate lobe", "1", "caudate", "spiegel lobe"),
    _part("right anterior section", "5 8", "right anterior sector", "anterior section", "anterior sector"),
    _part("right posterior section", "6 7", "right posterior sector", "posterior section", "posterior sector"),
    _part("left medial section", "4a 4b", "left medial sector", "medial section", "quadrate lobe"),
    _part("left lateral section", "2 3", "left lateral sector", "lateral section", "left lateral segment"),
    _artery("common hepatic artery", _ALL, "CHA", "hepatic artery"),
    _artery("proper hepatic artery", _ALL, "PHA", "hepatic artery proper"),
    _artery("right hepatic artery", _RIGHT, "RHA", "replaced right hepatic artery", "right lobar artery"),
    _artery("left hepatic artery", _LEFT, "LHA", "replaced left hepatic artery", "left lobar artery"),
    _artery("middle hepatic artery", "4a 4b", "MHA", "medial hepatic artery", "left medial hepatic artery"),
    _artery(
        "right anterior hepatic artery", "5 8", "RAHA", "anterior branch", "right anterior branch", "anterior artery",
        "anterior sectoral artery", "right anterior artery", "anterior branch of the right hepatic artery",
        "right anterior sectoral artery",
    ),
    _artery(
        "right posterior hepatic artery", "6 7", "RPHA", "posterior branch", "right posterior branch",
        "posterior artery", "posterior sectoral artery", "right posterior artery",
        "posterior branch of the right hepatic artery", "right posterior sectoral artery",
    ),
    _artery("left lateral hepatic artery", "2 3", "left lateral artery", "left lateral branch"),
    _artery("A1", "1", "caudate artery", "caudate branch", "caudate lobe artery"),
    *(_artery(f"A{s}", s) for s in ("2", "3")),
    _artery("A4", "4a 4b"),
    *(_artery(f"A{s}", s) for s in ("4a", "4b", "5", "6", "7", "8")),
    _outside("right inferior phrenic artery", "RIPA", "right phrenic artery"),
    _outside("left inferior phrenic artery", "LIPA", "left phrenic artery"),
    _outside("inferior phrenic artery", "IPA", "phrenic artery"),
    _outside("right internal thoracic artery", "right internal mammary artery", "RIMA", "RITA"),
    _outside("left internal thoracic artery", "left internal mammary artery", "LIMA", "LITA"),
    _outside("internal thoracic artery", "internal mammary artery", "IMA"),
    _outside("intercostal artery", "right intercostal artery", "left intercostal artery"),
    _outside("subcostal artery"),
    _outside("lumbar artery"),
    _outside("superior epigastric artery"),
    _outside("cystic artery"),
    _outside("omental artery", "gastroepiploic artery", "right gastroepiploic artery", "left gastroepiploic artery"),
    _outside("right gastric artery", "RGA"),
    _outside("left gastric artery", "LGA"),
    _outside("gastroduodenal artery", "GDA"),
    _outside("pancreaticoduodenal artery"),
    _outside("superior mesenteric artery", "SMA"),
    _outside("colic artery", "right colic artery", "middle colic artery", "left colic artery"),
    _outside("right adrenal artery", "right suprarenal artery", "adrenal artery", "suprarenal artery"),
    _outside("right renal capsular artery", "renal capsular artery", "right renal artery"),
    _outside("accessory right hepatic artery", "accessory right artery"),
    _outside("accessory left hepatic artery", "accessory left artery"),
)  # fmt: skip
_BY_NAME = {part.name: part for part in _PARTS}
_ORDER = {part.name: n for n, part in enumerate(_PARTS)}
#: The segments that are named one by one come between the parts of the liver and the arteries.
_SEGMENTS_ORDER = next(n for n, part in enumerate(_PARTS) if part.artery) - 0.5

#: Words that change nothing: "the tumour-feeding branches of A8".
_IDLE = re.compile(r"\b(?:the|an|its|via|tumou?r|feeding|feeders?|supplying|selective(?:ly)?|super(?:selective)?)\b")
_OF = re.compile(r"^\s*(?:sub)?(?:segmental )?branch(?:es)? of\b")
_NUMBER = r"(?:[1-8]|viii|vii|vi|iv|v|iii|ii|i)(?:(?<=4)[ab]|(?<=iv)[ab])?"
_ITEM = re.compile(
    rf"(?P<word>(?:couinaud(?: ?s)? )?(?:liver |hepatic )?segments?|seg|sg|s|a)? ?(?P<first>{_NUMBER})"
    rf"(?: ?(?:-|to) ?(?:[sa](?= ?\d) ?)?(?P<last>{_NUMBER}))?(?P<artery> (?:artery|branch))?"
)
#: What joins parts.
_JOINED = re.compile(r"\s*(?:[,;+&/]|\band\b)[\s,;+&/]*(?:\band\b)?\s*")


@cache
def _by_any_name() -> dict[str, str]:
    return {_plain(n): part.name for part in _PARTS for n in (part.name, *part.synonyms)}


def part_of(name: str) -> FedPart:
    """A part of the liver or an artery by its canonical name (`known_parts`)."""
    return _BY_NAME[name]


def known_parts() -> tuple[str, ...]:
    """Canonical names of all lobes, sections and arteries, in the order of a territory's text."""
    return tuple(_BY_NAME)


def expand(segment: str) -> tuple[str, ...]:
    """The segments that a number means: "4" is both halves."""
    return ("4a", "4b") if segment == "4" else (segment,)


def in_words(segments: Iterable[str]) -> str:
    """Such as "segments 4, 5"; both halves of 4 are one."""
    given = set(segments)
    whole = {"4a", "4b"} <= given
    listed = ["4" if s == "4a" and whole else s for s in SEGMENTS if s in given and not (s == "4b" and whole)]
    return f"segment{'s' if len(listed) > 1 else ''} {', '.join(listed)}"


@dataclass(frozen=True)
class Territory:
    """What is fed.

    Two territories are equal if they were named alike: "right lobe" is not "segments 5, 6, 7, 8", although
    both have the same segments.

    Attributes:
        parts: canonical names of lobes, sections and arteries, at most one of "segments ..." among them, in a fixed
            order; or "painted region" alone, with or without a name behind it.
    """

    parts: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.parts:
            raise _unknown(what="No territory was given", given="")
        if any(_is_painted(part) for part in self.parts):
            if len(self.parts) > 1:
                raise TerritoryError(
                    what="A painted region stands alone",
                    given=repr(" and ".join(self.parts)),
                    remedy="Paint all that is fed in one segment",
                )
            object.__setattr__(self, "parts", (" ".join(self.parts[0].split()),))
            return
        named = {part for part in self.parts if not part.startswith("segment")}
        unknown = sorted(named - set(_BY_NAME))
        if unknown:
            raise _unknown(what="Unknown territory", given=unknown[0])
        numbered = {s for part in self.parts if part not in named for s in _segments_in(part)}
        order: dict[str, float] = {part: _ORDER[part] for part in named}
        if numbered:
            order[in_words(numbered)] = _SEGMENTS_ORDER
        object.__setattr__(self, "parts", tuple(sorted(order, key=lambda part: order[part])))

    @classmethod
    def of_segments(cls, segments: Iterable[str]) -> Territory:
        """The territory of Couinaud segments, such as ("5", "8") or ("IVa",).

        Raises:
            TerritoryError: no segment, or one that there is not.
        """
        listed = list(segments)
        return cls.parse("segments " + ", ".join(listed)) if listed else cls(())

    @classmethod
    def painted(cls, name: str = "") -> Territory:
        """A region that the user painted; `name` is that of its segment."""
        return cls.parse(f"{PAINTED} {name}")

    @classmethod
    def parse(cls, text: str) -> Territory:
        """Read "whole liver", "right lobe", "segments 5, 8", "S5/S8", "IVa", "A8", "right hepatic artery and A4" ...

        Raises:
            TerritoryError: empty, too long, or a part that is not known; the known ones are named.
        """
        require_length(text, MOST_TERRITORY, "The territory", TerritoryError)
        if any(unicodedata.category(c) in ("Cc", "Cs") and not c.isspace() for c in text):
            raise _unknown(what="The territory holds characters that cannot be read", given=text)
        if _is_painted(" ".join(text.split()).casefold()):
            name = " ".join(text.split()[2:])
            return cls((f"{PAINTED} {name}".strip(),))
        plain = _plain(text)
        if not plain:
            raise _unknown(what="No territory was given", given=text)
        if plain in _by_any_name():
            return cls((_by_any_name()[plain],))
        parts: list[str] = []
        word = "segment"
        for item in _JOINED.split(plain):
            found = _by_any_name().get(item)
            if found is not None:
                parts.append(found)
                word = "a" if re.match(r"a[1-8]", item) else "segment"
                continue
            match = _ITEM.fullmatch(item)
            if match is None:
                raise _unknown(what="Unknown territory", given=item or text)
            if match["word"] or match["artery"]:
                word = "a" if match["word"] == "a" or match["artery"] else "segment"
            numbers = _range(match["first"], match["last"] or match["first"])
            parts += [f"A{n}" if word == "a" else f"segment {n}" for n in numbers]
        return cls(tuple(parts))

    @property
    def text(self) -> str:
        """The one canonical text, which `parse` reads back."""
        return " and ".join(self.parts)

    @property
    def segments(self) -> frozenset[str] | None:
        """Segments that are fed, of `SEGMENTS`; None for a painted region and where a part's bed is unknown."""
        if self.is_painted or self.unknown:
            return None
        return frozenset(
            s
            for part in self.parts
            for s in (_BY_NAME[part].segments or () if part in _BY_NAME else _segments_in(part))
        )

    @property
    def unknown(self) -> tuple[str, ...]:
        """The arteries among the parts of which nobody can say beforehand what they feed in the liver."""
        return tuple(p for p in self.parts if p in _BY_NAME and _BY_NAME[p].segments is None)

    @property
    def is_painted(self) -> bool:
        """True for a region that the user painted."""
        return _is_painted(self.parts[0])

    @property
    def is_whole(self) -> bool:
        """True if all segments are fed."""
        return self.segments == frozenset(SEGMENTS)

    @property
    def described(self) -> str:
        """The text, and for anything but segments what it feeds: "right lobe (segments 5, 6, 7, 8)"."""
        if self.is_painted or self.is_whole:
            return self.text
        if self.unknown:
            return f"{self.text} (what it feeds in the liver is not known)"
        fed = in_words(self.segments or ())
        return self.text if fed == self.text else f"{self.text} ({fed})"

    def to_json(self) -> str:
        """The canonical text."""
        return self.text

    @classmethod
    def from_json(cls, data: Any) -> Territory:
        """Read the form of `to_json`.

        Raises:
            TerritoryError: it is no text, or `parse` refuses it.
        """
        if not isinstance(data, str):
            raise TerritoryError(what="A territory is a text", given=repr(data)[:80])
        return cls.parse(data)

    def __repr__(self) -> str:
        return f"Territory({self.text!r})"


def _is_painted(text: str) -> bool:
    return text.split()[:2] == PAINTED.split()


def _segments_in(part: str) -> list[str]:
    """Of a part "segments 5, 8"."""
    words = part.replace(",", " ").split()[1:]
    unknown = [word for word in words if not set(expand(word)) <= set(SEGMENTS)]
    if not words or unknown:
        raise _unknown(what="There is no such segment", given=part)
    return [s for word in words for s in expand(word)]


def _range(first: str, last: str) -> list[str]:
    """Segments from one to another: "5" to "8", "4a" to "5"; 4 stays 4 where both halves are meant."""
    low, high = _arabic(first), _arabic(last)
    if low == high:
        return [low]
    start, end = SEGMENTS.index(expand(low)[0]), SEGMENTS.index(expand(high)[-1])
    if end <= start:
        raise TerritoryError(
            what="A range of segments runs from the lower to the higher number",
            given=f"{first}-{last}",
            remedy=f"Write {last}-{first}, or list the segments",
        )
    found = list(SEGMENTS[start : end + 1])
    return ["4" if s == "4a" else s for s in found if s != "4b"] if {"4a", "4b"} <= set(found) else found


def _arabic(number: str) -> str:
    half = number[-1] if number[-1] in "ab" else ""
    stem = number.removesuffix(half) if half else number
    return _ROMAN.get(stem, stem) + half


def _plain(text: str) -> str:
    """Lower case without accents, points and idle words, one blank between words."""
    text = unicodedata.normalize("NFKD", text.casefold())
    text = "".join(c for c in text if not unicodedata.combining(c))
    text = re.sub("[\u2010-\u2015\u2212]", "-", text)
    text = re.sub(r"['\u2019.()\"]", " ", text)
    text = re.sub(r"\b(iv|4) ?a ?(?:[/,&+-]|and) ?b\b", r"\1", text)
    text = re.sub(r"([a-z]+)-(?=([a-z]+))", lambda m: m[0] if {m[1], m[2]} <= set(_ROMAN) else f"{m[1]} ", text)
    text = re.sub(r"\barteries\b", "artery", text)
    text = re.sub(r"\blobes\b", "lobe", text) if "both" not in text else text
    text = re.sub(r"\b([1-8])(?:st|nd|rd|th) segment\b", r"segment \1", text)
    text = " ".join(_IDLE.sub(" ", text).split())
    text = " ".join(_OF.sub(" ", text).split())
    text = re.sub(rf"\b({_NUMBER}) (?={_NUMBER}\b)", r"\1, ", text)
    return re.sub(r"(?<=[ \d]) ?- ?(?=[\da-z])", "-", text).strip(" -,;+&/")


def _unknown(what: str, given: str) -> TerritoryError:
    near = difflib.get_close_matches(_plain(given), list(_by_any_name()), n=1, cutoff=0.7) if given else []
    hint = f"Did you mean {_by_any_name()[near[0]]}? " if near else ""
    known = ", ".join(known_parts())
    return TerritoryError(
        what=what,
        given=repr(given[:80]),
        remedy=f"{hint}Known: segments 1 to 8, 4a and 4b, {PAINTED}, {known}",
    )
