"""What the clauses of an operation report say one after the other: what was given, how much in all, where, and what not.

`reports.py` splits a report into clauses; `Reader` keeps what later clauses refer to ("a further 5 ml", "half of it", "the
same dose on the left", "total dose 100 mg").
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from MeWMLib.core.protocol import DRUG, agent
from MeWMLib.core.texts import shortened
from MeWMLib.policy import report_words as words
from MeWMLib.policy.agent_names import letters, members
from MeWMLib.policy.products import PRODUCT, materials
from MeWMLib.policy.report_amounts import find_amounts, last_count
from MeWMLib.policy.report_binding import Routes, bind, is_ingredient, negated
from MeWMLib.policy.report_numbers import Dose, without_sizes
from MeWMLib.policy.report_places import Place, find_places
from MeWMLib.policy.report_territory import TerritoryReader
from MeWMLib.policy.report_words import AGENT, MIXTURE, Name

#: Characters: where words are looked for beside a name, and how much of a long clause is shown.
_NEAR, _SHOWN = 120, 300
#: A heading over what is told elsewhere too: amounts under it are not given once more.
_RESTATED = re.compile(
    r"\s*(?:(?:in )?(?:summary|conclusion|conclusions|impression|totals?|overall|altogether)\b[^:,]{0,30}[:,]|"
    r"(?:materials?|medications?|drugs?|agents?|(?:chemotherapeutic|embolic) (?:agents?|materials?)|consumables|procedure|"
    r"title|operation|intervention|treatment)(?: used| given| performed)?\s*:)",
    re.I,
)
#: "The emulsion of 10 ml Lipiodol and ..." is the one that was made before.
_THE_MIXTURE = re.compile(r"\b(?:the|this)\s+(?:\w+\s+)?$", re.I)
_MADE = words.any_of(r"prepared|mixed|emulsified|drawn up|dissolved|loaded|suspended|made|ready")
_GIVEN = words.any_of(r"infus\w+|inject\w+|given|administered|delivered|instil+ed|perfused|emboli[sz]\w+|went|applied")
_PART_OF = re.compile(
    r"\s*(?:of|from|out of)\s+(?:it|this|that|these|which|(?:the|this|that)\s+(?:\w+\s+)?(?:emulsion|mixture|suspension|"
    r"solution|beads?|microspheres?|dose|drug|volume))\b",
    re.I,
)
_SHARE = re.compile(
    r"\b(?:(?:one |a )?(?:half|third|quarter|part|portion|most)|two thirds|three quarters|\d{1,2}\s?%|the (?:first )?half) of "
    r"(?:it|this|that|which|(?:the|this|that) (?:\w+ )?(?:emulsion|mixture|suspension|solution|beads?|microspheres?|dose|"
    r"drug|volume|amount))\b",
    re.I,
)
_OTHER_SHARE = re.compile(
    r"\b(?:the )?(?:(?:other|second|remaining|last) (?:half|third|quarter|two thirds|part|portion|emulsion|mixture|"
    r"suspension|beads?|solution)|rest|remainder)\b(?! pain)",
    re.I,
)
_THROWN = words.any_of(
    r"discarded|wasted|thrown away|unused|left over|not (?:injected|given|used|administered|needed|delivered)",
    r"returned to (?:the )?pharmacy",
)
_AGAIN = re.compile(
    r"\b(?:(?:this|it|the (?:same )?(?:procedure|infusion|injection|emulsion|dose|embolisation|embolization|treatment|"
    r"chemoembolisation|chemoembolization|same|steps?)) (?:was|were) (?:then |also )?(?:repeated|given again|injected again)|"
    r"(?:was|were) (?:then )?repeated\b|the same (?:dose|amount|procedure|mixture|emulsion|volume|quantity|treatment|was|"
    r"were|in|into|on|for)\b|likewise|in the same way|same for\b)",
    re.I,
)
#: Behind an amount without a name: then it is one of the agent named before.
_GOES_ON = re.compile(
    r"\s*(?:each\s+)?(?:(?:was|were)\s+)?(?:(?:then|also|slowly|subsequently|given|infused|injected|administered|delivered|"
    r"instilled|placed)\s+)*(?:in(?:to)?|to|on|via|through|for|at)\b",
    re.I,
)
_ON_A_SIDE = re.compile(r"\s*(?:the )?(?:right|left|other|second)\b", re.I)
_ENDS = re.compile(r"\s*(?:[,.;:)]|$|and\b|was\b|were\b|then\b)", re.I)
#: Marks an amount that stands where one more of the agent before would, and may be of something else.
_UNSURE = "?"
_NAMELY = re.compile(r"(?::|\(|\b(?:of which|namely|i\.e\.|thereof|that is))\s*$", re.I)
_JOINS = re.compile(r"(?:\b(?:then|and|plus|followed by|later|finally)|[,+(])\s*$", re.I)


@dataclass(frozen=True)
class Clause:
    """A part of a sentence.

    Attributes:
        text: without the blanks around it.
        sentence: number of its sentence; parts between semicolons are of one.
    """

    text: str
    sentence: int


@dataclass(frozen=True)
class Administration:
    """One agent, given once, or several times with an amount that is multiplied out.

    Attributes:
        agent: canonical name.
        dose: in the agent's unit; None if it is not stated.
        route: infused, emulsion or embolised; None if it is not stated.
        text: the clause that says so, the beginning of a long one.
        uncertain: the words for which the dose is not certain ("two vials", "per artery"); "" if it is.
    """

    agent: str
    dose: float | None
    route: str | None
    text: str
    uncertain: str = ""


@dataclass
class _Group:
    """The agents that were named together last: what "half of it" and "a further 5 ml" refer to.

    Attributes:
        given: places in `Reader.given`.
        made: they were only prepared so far.
        parts: ml of the mixture that were given.
        share: the words of a share of it that was given.
        all_given: the rest was given too.
    """

    given: list[int]
    made: bool
    parts: float = 0.0
    share: str = ""
    all_given: bool = False


class Reader:
    """Collects what clause after clause says; `finish` once after the last.

    Args:
        as_list: the report is a bare list of agents, which says nothing of routes.
        today: the last sentence that says "today"; -1 if none does.

    Attributes:
        given: in the order of the report.
        excluded: agents named as not given.
        notes: what was not certain.
        unread: products that are no agent, and amounts that belong to nothing.
        territory: what was treated.
    """

    def __init__(self, as_list: bool, today: int = -1) -> None:
        self.given: list[Administration] = []
        self.excluded: list[str] = []
        self.notes: list[str] = []
        self.unread: list[str] = []
        self.territory = TerritoryReader()
        self._as_list, self._today = as_list, today
        self._named: set[str] = set()
        self._totals: dict[int, float] = {}  # places in `given` that state the amount of all, to that amount
        self._group: _Group | None = None
        self._counted: int | None = None
        self._another_day = -1  # the sentence that is about another day

    def read(self, clause: Clause) -> None:
        """Take in the next clause."""
        text = clause.text
        if self._is_another_day(clause):
            return
        names, places = words.find_mentions(text), find_places(text)
        self.notes += [f"{name.slip!r} was read as {name.agent}" for name in names if name.slip]
        no = negated(text, names)
        self.excluded += [name.agent for name, out in zip(names, no, strict=True) if out and name.kind == AGENT]
        left_out = [name for name, out in zip(names, no, strict=True) if out]
        names = [name for name, out in zip(names, no, strict=True) if not out]
        plain = without_sizes(text)
        # places that were left out are none that "each" means
        doses = find_amounts(plain, names, sum(len(p.parts) for p in places if p.counts), self._counted)
        self._counted = last_count(plain)
        before = len(self.given)
        acted = self._read_names(text, plain, names, left_out, doses, places)
        acted = self._read_references(text) or acted or len(self.given) > before
        self.territory.read(text, places, names, acted)

    def finish(self) -> None:
        """Settle totals and parts of mixtures, which later clauses may have told."""
        self._close_group()
        self._settle_totals()

    def _is_another_day(self, clause: Clause) -> bool:
        today = words.TODAY.search(clause.text) is not None
        once = clause.sentence < self._today and words.ONCE.search(clause.text) is not None
        if not today and (once or words.ANOTHER_DAY.search(clause.text)):
            self._another_day = clause.sentence
        if self._another_day != clause.sentence or today:
            return False
        if words.find_names(clause.text):
            self.notes.append(f"left out, since it is about another day: {shortened(clause.text, _SHOWN)!r}")
        return True

    def _read_names(
        self, text: str, plain: str, names: Sequence[Name], left_out: Sequence[Name], doses: list[Dose],
        places: Sequence[Place],
    ) -> bool:  # fmt: skip
        """Read what names and amounts say; True if something of an agent or a mixture was given by it."""
        bound = bind(plain, names, doses)
        for dose, name in bound.misfits:
            self.notes.append(f"{name}: {dose.text!r} is not a dose in {agent(name).dose_unit}")
            self._add_unread(text, dose)
        mixed = bool(words.MIXED.search(text))
        routes = Routes(text, names)
        restated = _RESTATED.match(text) is not None
        acted, new = False, []
        for n, name in enumerate(names):
            dose = bound.doses.get(n)
            if name.kind == MIXTURE:
                if dose and dose.value is not None and self._group and not new:
                    self._group.parts += dose.value
                    self._group.share = self._group.share or dose.text
                acted = True
                continue
            if name.kind == PRODUCT:
                self._add_product(name, dose)
            if name.kind != AGENT:
                continue
            total = bound.totals.get(n)
            seen = words.SEEN.match(text[name.end : name.end + _NEAR])
            if seen and not (mixed and is_ingredient(seen[0], name, dose)):
                continue
            if dose is None and total is None and name.agent in self._named:
                acted = True  # named again, not given again
                continue
            if dose and self._is_of_mixture(text, names, n, dose):
                dose = None  # "12 ml Lipiodol/epirubicin emulsion" are 12 ml of emulsion
            route = None if self._as_list else routes.of(name.agent)
            again = restated or (dose is not None and self._is_the_mixture(text, names, n, dose))
            if dose or not total:
                new += self._add(text, name.agent, dose, route, again)
            if total:
                new += self._add(text, name.agent, total, route, True)
        if new:
            self._close_group()
            self._group = _Group(new, bool(_MADE.search(text)) and not _GIVEN.search(text))
        left = bind(plain, left_out, bound.left).left if left_out else bound.left
        return self._read_left(text, plain, names, left, places) or acted

    @staticmethod
    def _is_of_mixture(text: str, names: Sequence[Name], n: int, dose: Dose) -> bool:
        if dose.end > names[n].start:
            return False
        at = n
        while at + 1 < len(names) and text[names[at].end : names[at + 1].start].strip() in ("/", "-", "+"):
            at += 1
        behind = at + 1 < len(names) and names[at + 1].kind == MIXTURE
        return at > n and behind and not text[names[at].end : names[at + 1].start].strip(" -")

    def _is_the_mixture(self, text: str, names: Sequence[Name], n: int, dose: Dose) -> bool:
        """ "The emulsion of 10 ml Lipiodol was injected", where 10 ml were mixed before."""
        mixture = next((m for m in names[:n] if m.kind == MIXTURE), None)
        if mixture is None or not _THE_MIXTURE.search(text, max(0, mixture.start - _NEAR), mixture.start):
            return False
        first = max(0, len(self.given) - _NEAR)
        made = (a for at, a in enumerate(self.given[first:], start=first) if at not in self._totals)
        return any(a.agent == names[n].agent and a.dose == dose.value for a in made)

    def _add(self, text: str, name: str, dose: Dose | None, route: str | None, total: bool = False) -> list[int]:
        """Add one administration; its place in `given`, unless there is none."""
        value, uncertain = (dose.value, dose.uncertain) if dose else (None, "")
        if dose and value is None:
            self.notes.append(f"{name}: {dose.text!r} is not a single dose")
        elif value is not None and value <= 0:
            self.notes.append(f"{name}: a dose of zero was left out")
            value = None
        if value is not None and uncertain:
            self.notes.append(f"{name}: {value:g} {agent(name).dose_unit} may not be all: {uncertain!r}")
        if total and value is not None:
            self._totals[len(self.given)] = value
        self.given.append(Administration(name, value, route, shortened(text, _SHOWN), uncertain))
        self._named.add(name)
        return [len(self.given) - 1]

    def _add_product(self, name: Name, dose: Dose | None) -> None:
        what = materials()[1][letters(name.agent)][1]
        amount = f", {dose.text}" if dose else ""
        self.unread.append(f"product {name.agent}{amount} ({what})")

    def _read_left(
        self, text: str, plain: str, names: Sequence[Name], left: Sequence[Dose], places: Sequence[Place]
    ) -> bool:
        """Amounts without a name of their own; True if something was given by one."""
        acted = False
        referring = [(dose, how) for dose in left if (how := self._reference(plain, dose, places))]
        if self._is_breakdown(plain, names, [dose for dose, _ in referring]):
            return True
        ways = dict(referring)
        for dose in left:
            acted = self._add_reference(text, names, dose, ways.get(dose, "")) or acted
        return acted

    @staticmethod
    def _reference(plain: str, dose: Dose, places: Sequence[Place]) -> str:
        """The words by which an amount refers to an agent named before; "" if there are none."""
        if behind := _PART_OF.match(plain, dose.end):
            return behind[0]
        if dose.more or dose.rest or dose.total:
            return dose.text
        on = _GOES_ON.match(plain, dose.end)
        starts = [p.start for p in places]
        following = bisect.bisect_left(starts, dose.end)
        if on and (_ON_A_SIDE.match(plain, on.end()) or following < len(places)):
            return on[0]
        if _ON_A_SIDE.match(plain, dose.end):
            return dose.text
        if following < len(places) and not plain[dose.end : starts[following]].strip(" (:"):
            return places[following].text
        joined = _JOINS.search(plain, max(0, dose.start - _NEAR), dose.start)
        return _UNSURE if joined and _ENDS.match(plain, dose.end) else ""

    def _is_breakdown(self, plain: str, names: Sequence[Name], parts: Sequence[Dose]) -> bool:
        """ "10 ml was given, 6 ml into the right and 4 ml into the left": the parts are the whole, not more."""
        if len(parts) < 2 or any(dose.value is None or dose.more for dose in parts):
            return False
        known = self._known(names, parts[0])
        if len(known) != 1 or len({dose.unit for dose in parts}) > 1:
            return False
        whole = next((a.dose for a in reversed(self.given) if a.agent == known[0]), None)
        added = round(sum(dose.value or 0.0 for dose in parts), 6)
        if whole is not None and added != whole and _NAMELY.search(plain, max(0, parts[0].start - _NEAR), parts[0].start):
            self._mark(known, f"{whole:g} {parts[0].unit} and parts of {added:g} {parts[0].unit}")
            return True
        return whole is not None and added == whole

    def _add_reference(self, text: str, names: Sequence[Name], dose: Dose, how: str) -> bool:
        """An amount without a name of its own: one more of an agent named before, a part of a mixture, or unread."""
        known = self._known(names, dose) if how and dose.unit in ("mg", "ml") else []
        group = self._group
        if not known or (how is _UNSURE and len(known) > 1):
            self._add_unread(text, dose)
            return False
        whole = group is not None and (group.made or group.parts > 0)
        if group and dose.value is not None and (_PART_OF.fullmatch(how) or (whole and not dose.more and not dose.total)):
            group.parts += dose.value
            group.share = group.share or f"{dose.text}{how if _PART_OF.fullmatch(how) else ''}"
            group.all_given = group.all_given or dose.rest
            return True
        if len(known) > 1:
            self._mark(known, dose.text)
            self._add_unread(text, dose)
            return False
        at = next(n for n in range(len(self.given) - 1, -1, -1) if self.given[n].agent == known[0])
        former = self.given[at]
        if former.dose is None and not dose.more and not dose.total and former.text == shortened(text, _SHOWN):
            self.given[at] = replace(former, dose=dose.value, uncertain=former.uncertain or dose.uncertain)
            return True
        uncertain = dose.uncertain or (dose.text if how is _UNSURE else "")
        new = self._add(text, known[0], replace(dose, uncertain=uncertain), former.route, dose.total)
        if group:
            group.given += new
        return True

    def _known(self, names: Sequence[Name], dose: Dose) -> list[str]:
        """The agents that an amount without a name may be one of: those before it in the clause, else those named last."""
        here = [n.agent for n in names if n.kind == AGENT and n.end <= dose.start and n.agent in self._named]
        last = [self.given[n].agent for n in self._group.given] if self._group else []
        for among in (here, last):
            fitting = [name for name in dict.fromkeys(among) if agent(name).dose_unit == dose.unit]
            if fitting:
                return fitting
        return []

    def _add_unread(self, text: str, dose: Dose) -> None:
        self.unread.append(f"{dose.text!r} in {shortened(text, _SHOWN)!r}")

    def _mark(self, names: Sequence[str], because: str) -> None:
        """Say of the last administration of each agent that its dose is not certain."""
        for name in names:
            at = next((n for n in range(len(self.given) - 1, -1, -1) if self.given[n].agent == name), None)
            if at is not None:
                self._mark_at(at, because)

    def _mark_at(self, at: int, because: str) -> None:
        given = self.given[at]
        if not given.uncertain:
            self.given[at] = replace(given, uncertain=because)
            amount = "the dose" if given.dose is None else f"{given.dose:g} {agent(given.agent).dose_unit}"
            self.notes.append(f"{given.agent}: {amount} may not be what was given: {because!r}")

    def _read_references(self, text: str) -> bool:
        """Read "half of it", "the rest was discarded", "the same on the left"; True if something was given by it."""
        group = self._group
        if group is None:
            return False
        share, other = _SHARE.search(text), _OTHER_SHARE.search(text)
        if share and not group.share:
            group.share = share[0]
        if other and (thrown := _THROWN.search(text)):
            for at in group.given:
                self._mark_at(at, f"{other[0]} {thrown[0]}")
        elif other and (_GIVEN.search(text) or share):
            group.all_given = True
        if again := _AGAIN.search(text):
            for at in group.given:
                self._mark_at(at, again[0])
        return again is not None or (share or other) is not None

    def _close_group(self) -> None:
        """Compare what was given of a mixture with what it was made of."""
        group = self._group
        if group is None or not group.share or group.all_given:
            return
        oil = sum(self.given[n].dose or 0.0 for n in group.given if self.given[n].agent in members("oil"))
        embolic = sum(self.given[n].dose or 0.0 for n in group.given if agent(self.given[n].agent).kind != DRUG)
        if group.parts and group.parts >= (oil or embolic):
            return
        for n in group.given:
            self._mark_at(n, group.share)

    def _settle_totals(self) -> None:
        """Compare the totals with the parts; where they say more, the rest is added, and less is only noted."""
        kept: dict[int, Administration] = dict(enumerate(self.given))
        for at, total in self._totals.items():
            name = self.given[at].agent
            parts = [n for n, a in kept.items() if a.agent == name and n not in self._totals]
            stated = [n for n in self._totals if self.given[n].agent == name]
            if not parts:
                if at != stated[0]:
                    self._compare(name, self._totals[stated[0]], total)
                    del kept[at]
                continue
            del kept[at]
            if at == stated[0]:
                self._settle(kept, parts, at, total)
            else:
                self._compare(name, self._totals[stated[0]], total)
        self.given = [kept[n] for n in sorted(kept)]

    def _settle(self, kept: dict[int, Administration], parts: list[int], at: int, total: float) -> None:
        unit = agent(self.given[at].agent).dose_unit
        before = round(sum(kept[n].dose or 0.0 for n in parts), 6)
        rest = round(total - before, 6)
        open_parts, last = any(kept[n].uncertain for n in parts), parts[-1]
        if rest == 0 or (rest > 0 and (open_parts or not before)):
            for n in parts:
                kept[n] = replace(kept[n], uncertain="")
        else:
            said = f"the parts add up to {before:g}, the report says {total:g} in total"
            self.notes.append(f"{self.given[at].agent}: {said}")
            kept[last] = replace(kept[last], uncertain=kept[last].uncertain or f"{total:g} {unit} in total")
        if rest > 0 and (open_parts or not before):
            kept[last] = replace(kept[last], dose=round((kept[last].dose or 0.0) + rest, 6))
        elif rest > 0:
            route = self.given[at].route or kept[last].route
            kept[at] = replace(self.given[at], dose=rest, route=route, uncertain=f"{total:g} {unit} in total")

    def _compare(self, name: str, one: float, other: float) -> None:
        if one != other:
            self.notes.append(f"{name}: the report says {one:g} and {other:g} in total")
