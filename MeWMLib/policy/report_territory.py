"""Where an operation report says that it treated: the places of the clauses that give something, all together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from MeWMLib.core.territory import Territory
from MeWMLib.core.texts import shortened
from MeWMLib.policy.products import NOT_A_DOSE, PRODUCT
from MeWMLib.policy.report_places import last_way, territory_of, treated_in
from MeWMLib.policy.report_roles import Place, Role
from MeWMLib.policy.report_words import Name

_SHOWN = 300
#: That something was treated, said of the place itself; and as a heading, which counts only if nothing else is said.
_DONE = re.compile(r"\b(?:(?:chemo)?emboli[sz]ed|treated|infused|injected|perfused|received|went)\b", re.I)
_HEADING = re.compile(
    r"\b(?:(?:chemo|radio)?emboli[sz]ation|(?:DEB-?|c-?|DEM-?)?TACE|TAE|TACI|HAIC|chemoinfusion)\b", re.I
)
#: "Vessel: right hepatic artery"
_LABEL = re.compile(
    r"\s*(?:treated |target(?:ed)? |feeding |injected |emboli[sz]ed )?(?:vessels?|arter(?:y|ies)|territor(?:y|"
    r"ies)|feeders?|"
    r"segments?)(?: treated| emboli[sz]ed)?\s*:",
    re.I,
)
_IT = re.compile(r"\b(?:it|this|half|rest|remainder|emulsion|mixture|suspension|beads?|particles?|drugs?)\b", re.I)
_THIS_ARTERY = re.compile(
    r"^\s*(?:both|all|these|those) (?:were|was)\b|\b(?:this|that|these|those|the latter|the former|"
    r"the said) (?:\w+ )?(?:arter(?:y|ies)|vessels?|"
    r"branch(?:es)?|feeders?)\b",
    re.I,
)
_NO_TREATMENT = re.compile(
    r"\b(?:final|completion|control|follow-?up|post-?(?:procedur\w+|emboli[sz]ation|treatment|intervention\w*)|indication|"
    r"planned|diagnosis|history|coil\w*|plug\w*|protect\w*|redistribut\w+|contrast)\b",
    re.I,
)


class TerritoryReader:
    """Collects the places that were treated.

    Attributes:
        uncertain: the words that make the territory uncertain; "" if none do.
    """

    def __init__(self) -> None:
        self.uncertain = ""
        self._treated: list[Place] = []
        self._said: list[str] = []
        self._headings: list[tuple[tuple[Place, ...], str, str]] = []
        self._position: list[Place] = []  # where the catheter is
        self._position_text = ""
        self._named: tuple[Sequence[Place], str] = ((), "")  # what the clause before named

    def read(self, text: str, places: Sequence[Place], names: Sequence[Name], acted: bool) -> None:
        """Take in a clause.

        Args:
            text: the clause.
            places: what it names (`find_places`).
            names: what it names and does not negate.
            acted: something was given by it.
        """
        if not places and _THIS_ARTERY.search(text):
            places, text = self._named[0], f"{self._named[1]}; {text}"
            places = [replace(p, role=Role.DIRECT) for p in places if p.role is not Role.LEFT_OUT]
        self._named = (places, text)
        products = any(name.kind == PRODUCT for name in names) and not _NO_TREATMENT.search(text)
        others = any(name.kind == NOT_A_DOSE for name in names)
        done = _DONE.search(text) is not None and not others and not _NO_TREATMENT.search(text)
        if acted or products or (done and (places or _IT.search(text))):
            self._treat(text, places)
        elif places and (_HEADING.search(text) or _LABEL.match(text)) and not _NO_TREATMENT.search(text):
            found = treated_in(text, places)
            if found.places:
                self._headings.append((found.places, text, found.uncertain))
        elif ways := last_way(text, places):
            self._position, self._position_text = ways, text

    @property
    def territory(self) -> Territory | None:
        """All that was treated; None if the report does not say."""
        self._use_headings()
        return territory_of(self._treated)

    @property
    def text(self) -> str:
        """The words that it was read from."""
        self._use_headings()
        return shortened(" / ".join(dict.fromkeys(self._said)), 3 * _SHOWN)

    def _treat(self, text: str, places: Sequence[Place]) -> None:
        found = treated_in(text, places)
        if found.places:
            self._add(found.places, text, found.uncertain)
            if all(place.role is not Role.LESION for place in found.places):
                self._position, self._position_text = list(found.places), text
        elif self._position and not self._treated_covers():
            self._add(self._position, self._position_text, "")

    def _treated_covers(self) -> bool:
        return all(place in self._treated for place in self._position)

    def _add(self, places: Sequence[Place], text: str, uncertain: str) -> None:
        self._treated += [place for place in places if place not in self._treated]
        self._said.append(shortened(text, _SHOWN))
        self.uncertain = self.uncertain or uncertain

    def _use_headings(self) -> None:
        if not self._treated:
            for places, text, uncertain in self._headings:
                self._add(places, text, uncertain)
