"""What the clauses of an operation report say one after the other: what was given, how much in all, where, what not.

`reports.py` splits a report into clauses; `Reader` keeps what later clauses refer to ("a further 5 ml", "half of it",
"the same dose on the left", "total dose 100 mg").
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import replace

from MeWMLib.core.protocol import agent
from MeWMLib.core.texts import shortened
from MeWMLib.policy import report_words as words
from MeWMLib.policy.agent_names import letters
from MeWMLib.policy.products import PRODUCT, drugs_not_read, materials
from MeWMLib.policy.report_amounts import find_amounts
from MeWMLib.policy.report_binding import bind, is_ingredient, negated
from MeWMLib.policy.report_counts import last_count
from MeWMLib.policy.report_days import OtherDays
from MeWMLib.policy.report_given import GIVEN_PART, PLANNED_PART, Administration, Clause, Group
from MeWMLib.policy.report_mixtures import amount_of, is_definite, pairs
from MeWMLib.policy.report_numbers import Dose, without_sizes
from MeWMLib.policy.report_places import find_places
from MeWMLib.policy.report_planned import Plans
from MeWMLib.policy.report_references import (
    AGAIN,
    BOTH_HALVES,
    GIVEN,
    MADE,
    ONE_MORE,
    OTHER_SHARE,
    PART_OF,
    SHARE,
    THROWN,
    UNSURE,
    beside,
    is_in_parenthesis,
    is_namely,
    is_only_made,
    reference,
    was_given,
)  # fmt: skip
from MeWMLib.policy.report_roles import Place
from MeWMLib.policy.report_routes import Routes
from MeWMLib.policy.report_territory import TerritoryReader
from MeWMLib.policy.report_totals import RESTATED, settled
from MeWMLib.policy.report_words import AGENT, MIXTURE, Name

#: Characters: where words are looked for beside a name, and how much of a long clause is shown.
_NEAR, _SHOWN = 120, 300
#: Names and administrations that are looked back to from one place.
_MOST = 12


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
        unread_drugs: those of the products that are drugs.
        territory: what was treated.
    """

    def __init__(self, as_list: bool, today: int = -1) -> None:
        self.given: list[Administration] = []
        self.excluded: list[str] = []
        self.notes: list[str] = []
        self.unread: list[str] = []
        self.unread_drugs: list[str] = []
        self.territory = TerritoryReader()
        self._as_list, self._days = as_list, OtherDays(today, self.notes)
        self._named: set[str] = set()
        self._totals: dict[int, float] = {}  # places in `given` that state the amount of all, to that amount
        self._group: Group | None = None
        self._counted: tuple[int | None, bool] | None = None
        self._plans = Plans()

    def read(self, clause: Clause) -> None:
        """Take in the next clause."""
        text = clause.text
        if self._days.is_another(clause):
            return
        if clause.part == PLANNED_PART:
            self.unread += self._plans.take(text, lambda dose: self._known((), dose))
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
        if self._plans.open and (clause.part == GIVEN_PART or GIVEN.search(text)):
            self._add_bare(text)
        acted = self._read_references(text) or acted or len(self.given) > before
        self.territory.read(text, places, names, acted)

    def finish(self) -> None:
        """Settle totals, plans and parts of mixtures, which later clauses may have told."""
        self._close_group()
        self._settle_plans()
        self.given = settled(self.given, self._totals, self.notes)

    def _read_names(
        self, text: str, plain: str, names: Sequence[Name], left_out: Sequence[Name], doses: list[Dose],
        places: Sequence[Place],
    ) -> bool:  # fmt: skip
        """Read what names and amounts say; True if something of an agent or a mixture was given by it."""
        bound = bind(plain, names, doses)
        for dose, other in bound.misfits:
            self.notes.append(f"{other}: {dose.text!r} is not a dose in {agent(other).dose_unit}")
            self._add_unread(text, dose)
        mixed = bool(words.MIXED.search(text))
        routes = Routes(text, names)
        restated = RESTATED.match(text) is not None
        acted = False
        new: list[int] = []
        shares: list[Dose] = []  # amounts of the mixture
        for n, name in enumerate(names):
            amount, total = bound.doses.get(n), bound.totals.get(n)
            if name.kind == MIXTURE:
                acted = True
                if amount and (not new or is_definite(text, name)):
                    shares.append(amount)
            elif name.kind == PRODUCT:
                self._add_product(name, amount)
            elif name.kind == AGENT:
                seen = words.SEEN.match(text[name.end : name.end + _NEAR])
                if seen and not (mixed and is_ingredient(seen[0], name, amount)):
                    continue
                if amount is None and total is None and name.agent in self._named:
                    acted = True  # named again, not given again
                    continue
                amount = amount_of(text, names, n, amount)
                if amount is None and not bound.totals and bound.doses.get(n):
                    self._add_unread(text, bound.doses[n])
                route = None if self._as_list else routes.of(name.agent)
                again = restated or (amount is not None and self._is_the_mixture(text, names, n, amount))
                if amount or not total:
                    new.append(self._add(text, name.agent, amount, route, again))
                if total:
                    new.append(self._add(text, name.agent, total, route, True))
        if new:
            made = MADE.search(text) is not None or any(name.kind == MIXTURE for name in names)
            self._open_group(new, text, made)
        for share in shares:
            if self._group and share.value is not None:
                self._group.give(share.value, share.text)
        left = bind(plain, left_out, bound.left).left if left_out else bound.left
        return self._read_left(text, plain, names, doses, left, places) or acted

    def _is_the_mixture(self, text: str, names: Sequence[Name], n: int, dose: Dose) -> bool:
        """ "The emulsion of 10 ml Lipiodol was injected", where 10 ml were mixed before."""
        mixture = next((m for m in names[max(0, n - _MOST) : n] if m.kind == MIXTURE), None)
        if mixture is None or not is_definite(text, mixture):
            return False
        first = max(0, len(self.given) - _MOST)
        made = (a for at, a in enumerate(self.given[first:], start=first) if at not in self._totals)
        return any(a.agent == names[n].agent and a.dose == dose.value for a in made)

    def _add(self, text: str, name: str, dose: Dose | None, route: str | None, total: bool = False) -> int:
        """Add one administration; its place in `given`."""
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
        return len(self.given) - 1

    def _add_product(self, name: Name, dose: Dose | None) -> None:
        what = materials()[1][letters(name.agent)][1]
        if letters(name.agent) in drugs_not_read():
            self.unread_drugs.append(name.agent)
        amount = f", {dose.text}" if dose else ""
        self.unread.append(f"product {name.agent}{amount} ({what})")

    def _read_left(
        self, text: str, plain: str, names: Sequence[Name], doses: Sequence[Dose], left: Sequence[Dose],
        places: Sequence[Place],
    ) -> bool:  # fmt: skip
        """Amounts without a name of their own; True if something was given by one."""
        ends, starts = [dose.end for dose in doses], [place.start for place in places]
        referring = []
        if self._plans.open:
            left = [dose for dose in left if not self._add_planned(text, dose)]
        paired = self._add_pairs(text, plain, names, left)
        acted = len(left) > len(paired)
        left = paired
        for dose in left:
            before = bisect.bisect_right(ends, dose.start) - 1
            if how := reference(plain, dose, beside(doses, before), places, starts):
                referring.append((dose, how))
        if self._is_breakdown(plain, names, [dose for dose, _ in referring]):
            return True
        ways = dict(referring)
        for dose in left:
            acted = self._add_reference(text, plain, names, dose, ways.get(dose, "")) or acted
        return acted

    def _add_planned(self, text: str, dose: Dose) -> bool:
        """ "60 mg was given", where 100 mg of an agent were planned: True if it was read as of this agent."""
        name = self._plans.of(dose, self._with_dose())
        if not name:
            return False
        route = None if self._as_list else Routes(text, [Name(name, dose.start, dose.start)]).of(name)
        self._open_group([self._add(text, name, dose, route, dose.total)], text)
        return True

    def _add_bare(self, text: str) -> None:
        """ "Actually administered 40", where a plan names the agent."""
        if found := self._plans.bare(text, self._with_dose()):
            self._open_group([self._add(text, found[0], found[1], None)], text)

    def _settle_plans(self) -> None:
        """What was planned counts, as uncertain, only where no amount that was given is told."""
        for name, (dose, text) in self._plans.open.items():
            if name in self._with_dose():
                self.notes.append(f"{name}: {dose.text} was planned, and is not what was given")
                continue
            self._add(text, name, replace(dose, uncertain=dose.uncertain or "planned"), None)

    def _with_dose(self) -> set[str]:
        return {a.agent for a in self.given if a.dose is not None}

    def _open_group(self, new: list[int], text: str, made: bool = False) -> None:
        self._close_group()
        agents = tuple(dict.fromkeys(self.given[n].agent for n in new))
        self._group = Group(new, agents, made and not GIVEN.search(text))

    def _add_pairs(self, text: str, plain: str, names: Sequence[Name], left: Sequence[Dose]) -> list[Dose]:
        """ "15 mg + 3 ml into A3": once more of the drug and the oil that were named before; what is left of `left`."""
        found = [(pair, [self._known(names, dose) for dose in pair]) for pair in pairs(plain, names, left)]
        if not found:
            return list(left)
        group, read = self._group, set()
        told: dict[str, float] = {}
        for dose, fitting in ((d, k) for pair, known in found for d, k in zip(pair, known, strict=True) if len(k) == 1):
            told[fitting[0]] = round(told.get(fitting[0], 0.0) + (dose.value or 0.0), 6)
        breakdown = len(found) > 1 and all(self._last_dose(name) == dose for name, dose in told.items())
        first = found[0][0][0]
        certain = is_namely(plain, first) or is_in_parenthesis(plain, first)
        for pair, known in found:
            for dose, fitting in zip(pair, known, strict=True):
                if len(fitting) == 1 and breakdown:
                    if not (certain or (group and group.made)):
                        self._mark(fitting, dose.text)
                elif len(fitting) == 1 and group and (group.made or group.parts):
                    group.give(dose.value or 0.0, dose.text, fitting[0])
                elif len(fitting) == 1:
                    route = next(a.route for a in reversed(self.given) if a.agent == fitting[0])
                    new = self._add(text, fitting[0], dose, route)
                    if group:
                        group.given.append(new)
                else:
                    self._mark(fitting, dose.text)
                    self._add_unread(text, dose)
                read.add(dose)
        return [dose for dose in left if dose not in read]

    def _is_breakdown(self, plain: str, names: Sequence[Name], parts: Sequence[Dose]) -> bool:
        """ "10 ml was given, 6 ml into the right and 4 ml into the left": the parts are the whole, not more."""
        if len(parts) < 2 or any(dose.value is None or dose.more for dose in parts):
            return False
        known = self._known(names, parts[0])
        if len(known) != 1 or len({dose.unit for dose in parts}) > 1:
            return False
        whole = self._last_dose(known[0])
        added = round(sum(dose.value or 0.0 for dose in parts), 6)
        first = next((name for name in names if name.kind == AGENT), None)
        before = first is None or first.end <= parts[0].start
        if whole is not None and added != whole and before and is_namely(plain, parts[0]):
            self._mark(known, f"{whole:g} {parts[0].unit} and parts of {added:g} {parts[0].unit}")
            return True
        return whole is not None and added == whole

    def _add_reference(self, text: str, plain: str, names: Sequence[Name], dose: Dose, how: str) -> bool:
        """An amount without a name of its own: one more of an agent named before, a part of a mixture, or unread."""
        known = self._known(names, dose) if dose.unit in ("mg", "ml") else []
        group = self._group
        if dose.times > 1 and len(known) == 1 and self._last_dose(known[0]) == dose.value:
            return True  # "60 mg in 3 portions of 20 mg"
        if not how and known and was_given(plain, dose):
            # "50 mg was injected": of what was made, or of something else
            if group and dose.value is not None and (group.made or group.parts):
                group.give(dose.value, dose.text, known[0] if len(known) == 1 and dose.unit == "mg" else "")
                return True
            self._mark(known, dose.text)
        if not known and group and PART_OF.fullmatch(how):
            self._mark(group.agents, f"{dose.text}{how}")  # "50 ml of the solution"
        if not how or not known or (how is UNSURE and len(known) > 1):
            self._add_unread(text, dose)
            return False
        part = PART_OF.fullmatch(how) is not None
        whole = group is not None and (group.made or bool(group.parts) or is_only_made(plain, dose))
        if group and dose.value is not None and (part or (whole and how is not ONE_MORE)):
            of = known[0] if len(known) == 1 and not part and "" not in group.parts else ""
            group.give(dose.value, f"{dose.text}{how if part else ''}", of)
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
        if how is UNSURE and former.dose is not None and is_in_parenthesis(plain, dose):
            if dose.value != former.dose:
                self._mark_at(at, dose.text)  # "100 mg (two ampoules of 40 mg)"
            return True
        uncertain = dose.uncertain or (dose.text if how is UNSURE else "")
        new = self._add(text, known[0], replace(dose, uncertain=uncertain), former.route, dose.total)
        if group:
            group.given.append(new)
        return True

    def _known(self, names: Sequence[Name], dose: Dose) -> list[str]:
        """The agents that an amount without a name may be of: those before it in the clause, else those named last."""
        behind = bisect.bisect_right(names, dose.start, key=lambda name: name.end)
        here = [n.agent for n in names[max(0, behind - _MOST) : behind] if n.kind == AGENT and n.agent in self._named]
        for among in (here, self._group.agents if self._group else ()):
            fitting = [name for name in dict.fromkeys(among) if agent(name).dose_unit == dose.unit]
            if fitting:
                return fitting
        return []

    def _last_dose(self, name: str) -> float | None:
        return next((a.dose for a in reversed(self.given) if a.agent == name), None)

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
        marks = [] if group.marked else group.given
        share, other = SHARE.search(text), OTHER_SHARE.search(text)
        if share and not group.share:
            group.share = share[0]
        if other and (thrown := THROWN.search(text)):
            group.marked = True
            for at in marks:
                self._mark_at(at, f"{other[0]} {thrown[0]}")
        elif (other and (GIVEN.search(text) or share)) or (share and BOTH_HALVES.search(text)):
            group.all_given = True
        if again := AGAIN.search(text):
            group.marked = True
            for at in marks:
                self._mark_at(at, again[0])
        return again is not None or (share or other) is not None

    def _close_group(self) -> None:
        """Compare what was given of a mixture with what it was made of."""
        group = self._group
        if group is None or group.is_all_given(self.given):
            return
        for n in group.given:
            self._mark_at(n, group.share)
