"""TACE operation reports to protocols: agents, doses, routes, and the level of attenuation. No model, no network.

Figure 3 (a) of arXiv 2506.02327 asks language models for this; here a grammar of English sentences does it, and says
what it was not sure of. What is understood: amounts before and behind a name, units, number words, "respectively",
emulsions, agents that are given several times, totals, negation ("PVA was not used"), other days ("previous TACE with
..."), misspelt names, and bare lists of names. Everything else is ignored; a report that is not too
long causes no error.

The time is in proportion to the length.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.protocol import DRUG, Action, Protocol, agent
from MeWMLib.core.records import record_to_plain
from MeWMLib.core.texts import MOST_REPORT, require_length, shortened, single_blanks
from MeWMLib.policy import report_words as words
from MeWMLib.policy.agent_names import members
from MeWMLib.policy.report_outcome import attenuation
from MeWMLib.policy.report_words import Dose, Name

_CLAUSE_END = re.compile(r"[;\n]|(?<!\bDr)(?<!\bca)(?<!\bapprox)\.(?=\s|$)|[!?](?=\s|$)")
_SPLIT = re.compile(
    r",?\s+and then\s+|,?\s+then\s+|,?\s+followed by\s+|,?\s+after which\s+|,\s+(?:and|but|while)\s+|"
    r"\s+(?:and|but|while)\s+|,\s*", re.I
)  # fmt: skip
#: What may separate an amount from its agent: a parenthesis, then filler words.
_LINK_BEGIN = re.compile(r"\s*(?:\([^)]*\)\s*)?")
_LINK_WORD = re.compile(
    r"(?:[a-z]*-?eluting|pure|plain|ultra|liquid|fluide|fluid|the|additional|further|more|small|powdered|dissolved|"
    r"amount|a|solution|hydrochloride|hcl|pre-?loaded|loaded|into|of|super)[\s-]+",
    re.I,
)
#: Characters: how far an amount and its agent are apart at most, where else words are looked for beside a name, and how
#: much of a long clause is shown.
_FAR, _NEAR, _SHOWN = 400, 120, 300
#: After these cues a comma ends the list of what was not given.
_UNTIL_COMMA = ("without", "instead of", "rather than")
_LINK_BEHIND = re.compile(
    r"^\s*(?:particles?|microspheres?|sponge|slurry|beads?|hydrochloride|hcl)?\s*(?:\([^)\d]*)?\(?\s*(?:,\s*)?"
    r"(?:at a dose of|dose(?: of)?|dosed at|in a dose of|total(?: dose)?(?: of)?|:|=|-|\(|x)?\s*$",
    re.I,
)
_IN = re.compile(r"\bin(?: \S+ m[lL])?(?: of)?(?: \S+)?\s*$", re.I)
_RESPECTIVELY = re.compile(r"\brespectively\b", re.I)


@dataclass(frozen=True)
class Administration:
    """One agent, given once.

    Attributes:
        agent: canonical name.
        dose: in the agent's unit; None if it is not stated.
        route: infused, emulsion or embolised; None if it is not stated.
        text: the clause that says so, the beginning of a long one.
    """

    agent: str
    dose: float | None
    route: str | None
    text: str


@dataclass(frozen=True)
class OperationReport:
    """What a report says.

    Attributes:
        administrations: in the order of the report.
        excluded: agents that it names as not given.
        attenuation_level: 1 (little changed) to 4 (no tumour staining left), or None if it does not say.
        outcome: the words that the level was read from.
        notes: what was not certain.
    """

    administrations: tuple[Administration, ...]
    excluded: tuple[str, ...] = ()
    attenuation_level: int | None = None
    outcome: str = ""
    notes: tuple[str, ...] = ()

    @property
    def protocol(self) -> Protocol:
        """The whole treatment: the doses of each agent added up, and its route if there was only one."""
        actions = []
        for name in dict.fromkeys(a.agent for a in self.administrations):
            given = [a for a in self.administrations if a.agent == name]
            doses = [a.dose for a in given if a.dose is not None]
            routes = {a.route for a in given}
            route = routes.pop() if len(routes) == 1 else None
            actions.append(Action(name, round(sum(doses), 6) if doses else None, route))
        return Protocol(tuple(actions))

    def to_json(self) -> dict[str, Any]:
        """The fields, and the protocol as text and as actions."""
        protocol = self.protocol
        return {"protocol": protocol.text, "actions": protocol.to_json(), **record_to_plain(self)}


def parse_report(text: str) -> OperationReport:
    """Read one operation report; see the module for what is understood.

    Raises:
        InputError: it has more than `MOST_REPORT` characters.
    """
    clauses = list(_clauses(text))
    reader = _Reader(as_list=not any(words.ANY_VERB.search(c) for c in clauses))
    for clause in clauses:
        reader.read(clause)
    level, outcome, note = attenuation(clauses)
    notes = [*reader.notes, *([note] if note else [])]
    given = {a.agent for a in reader.given}
    excluded = tuple(n for n in dict.fromkeys(reader.excluded) if n not in given)
    return OperationReport(tuple(reader.given), excluded, level, outcome, tuple(dict.fromkeys(notes)))


def relevant_text(text: str) -> str:
    """The clauses that name an agent or an outcome, one per line: all that a model needs to see of a report."""
    return "\n".join(c for c in _clauses(text) if words.find_names(c) or attenuation([c])[0] is not None)


def _clauses(text: str) -> Iterator[str]:
    """Sentences and parts of sentences that each describe one step of the treatment."""
    require_length(text, MOST_REPORT, "The report")
    plain = (
        single_blanks(text).replace("\u2019", "'").replace("\u00a0", " ").replace("\ufb01", "fi").replace("\r", "\n")
    )
    # a line break inside a sentence ends nothing
    for clause in _CLAUSE_END.split(re.sub(r"(?<=[a-z,])\n(?=[a-z0-9])", " ", plain)):
        yield from _split(clause.strip())


def _split(clause: str) -> Iterator[str]:
    """Split where both sides name an agent and say what was done with it."""
    names = words.find_names(clause)
    done = [match.span() for match in words.DONE.finditer(clause)]
    begin, name, verb = 0, 0, 0  # of the part that is not yet given out: its place, its first name, its first verb
    for match in _SPLIT.finditer(clause) if names and done else ():
        while name < len(names) and names[name].start < begin:
            name += 1
        while verb < len(done) and done[verb][0] < begin:
            verb += 1
        left = name < len(names) and names[name].end <= match.start() and _ends_by(done, verb, match.start())
        if left and names[-1].start >= match.end() and done[-1][0] >= match.end():
            yield clause[begin : match.start()].strip()
            begin = match.end()
    if rest := clause[begin:].strip():
        yield rest


def _ends_by(spans: list[tuple[int, int]], first: int, end: int) -> bool:
    return first < len(spans) and spans[first][1] <= end


class _Reader:
    """Collects what clause after clause says."""

    def __init__(self, as_list: bool) -> None:
        self.given: list[Administration] = []
        self.excluded: list[str] = []
        self.notes: list[str] = []
        self._as_list = as_list
        self._named: set[str] = set()
        self._sums: dict[str, float] = {}  # of the doses of each agent so far

    def read(self, clause: str) -> None:
        names = words.find_names(clause)
        if not names:
            return
        self.notes += [f"{name.slip!r} was read as {name.agent}" for name in names if name.slip]
        if words.ANOTHER_DAY.search(clause):
            self.notes.append(f"left out, since it is about another day: {shortened(clause, _SHOWN)!r}")
            return
        negated = _negated(clause, names)
        self.excluded += [name.agent for name, no in zip(names, negated, strict=True) if no]
        names = [name for name, no in zip(names, negated, strict=True) if not no]
        doses = _bind(clause, names, self.notes)
        mixed = bool(words.MIXED.search(clause))
        routes = _Routes(clause, names)
        for n, name in enumerate(names):
            dose = doses.get(n)
            seen = words.SEEN.match(clause[name.end : name.end + _NEAR])
            if seen and not (mixed and _is_ingredient(seen[0], name, dose)):
                continue
            if dose is None and name.agent in self._named:
                continue  # named again, not given again
            self._add(clause, name, dose, None if self._as_list else routes.of(name))

    def _add(self, clause: str, name: Name, dose: Dose | None, route: str | None) -> None:
        value = dose.value if dose else None
        if dose and value is None:
            self.notes.append(f"{name.agent}: {dose.text!r} is not a single dose")
        elif value is not None and value <= 0:
            self.notes.append(f"{name.agent}: a dose of zero was left out")
            value = None
        elif dose and value is not None and _is_total(clause, dose):
            before = self._sums.get(name.agent, 0.0)
            rest = round(value - before, 6)
            if rest < 0 or (rest > 0 and before):
                self.notes.append(f"{name.agent}: the parts add up to {before:g}, the report says {value:g} in total")
            if name.agent in self._named and rest <= 0:
                return
            value = rest
        self.given.append(Administration(name.agent, value, route, shortened(clause, _SHOWN)))
        self._named.add(name.agent)
        self._sums[name.agent] = self._sums.get(name.agent, 0.0) + (value or 0.0)


def _negated(clause: str, names: list[Name]) -> list[bool]:
    """Whether the clause says of each agent that it was not given."""
    cues = list(words.NOT_BEFORE.finditer(clause))
    ends = [cue.end() for cue in cues]
    # names and joining words alone between a name and the one before it
    gaps = [_is_list(clause[a.end : b.start]) for a, b in itertools.pairwise(names)]
    found: list[bool] = []
    cue, covers, comma = -1, False, -1
    for n, name in enumerate(names):
        last = bisect.bisect_right(ends, name.start) - 1
        if last < 0:
            covers = False
        elif last != cue:  # the first name behind this cue
            cue, comma = last, clause.find(",", ends[last])
            covers = _is_list(clause[ends[last] : name.start])
        else:
            covers = covers and gaps[n - 1]
        # "no tumour staining after Lipiodol": a cue covers a list of names only, not everything that comes later.
        # "without Lipiodol, PVA was injected": after these cues a comma ends the list.
        ended = covers and cues[last][0].lower() in _UNTIL_COMMA and 0 <= comma < name.start
        behind = words.NOT_BEHIND.match(clause[name.end : name.end + _NEAR])
        found.append(bool(behind) or (covers and not ended))
    return found


def _is_ingredient(seen: str, name: Name, dose: Dose | None) -> bool:
    """ "10 ml Lipiodol emulsion" is an amount of emulsion; "Epirubicin-Lipiodol emulsion with ..." names agents."""
    mixture = seen.strip(" -").lower() in ("emulsion", "mixture", "suspension")
    return mixture and (dose is None or dose.start > name.end)


def _is_list(text: str) -> bool:
    """True if the text holds only names, amounts and joining words."""
    rest, end = [], 0
    for name in words.find_names(text):
        rest.append(text[end : name.start])
        end = name.end
    plain = re.sub(
        r"\b(?:or|and|nor|neither|any|the|of|use|using|used|further|additional|either|particles?|a)\b",
        "",
        "".join([*rest, text[end:]]),
    )
    return not re.search(r"[A-Za-z]{3,}|:", plain)


def _bind(clause: str, names: list[Name], notes: list[str]) -> dict[int, Dose]:
    """Which amount belongs to which name (by its index): the nearest one with only filler words in between."""
    doses = words.find_doses(clause)
    if _RESPECTIVELY.search(clause) and len(doses) == len(names):
        return {n: d for n, (name, d) in enumerate(zip(names, doses, strict=True)) if _fits(name, d)}
    starts, ends = [name.start for name in names], [name.end for name in names]
    bound: dict[int, Dose] = {}
    for dose in doses:
        options: list[tuple[int, int]] = []  # distance in characters, index of the name
        behind, before = bisect.bisect_left(starts, dose.end), bisect.bisect_right(ends, dose.start) - 1
        if behind < len(names) and _is_filler(clause, dose.end, starts[behind]):
            options.append((starts[behind] - dose.end, behind))
        if before >= 0 and dose.start - ends[before] <= _FAR:
            if _LINK_BEHIND.match(clause[ends[before] : dose.start]):
                options.append((dose.start - ends[before], before))
        free = [o for o in sorted(options) if o[1] not in bound]
        fitting = [n for _, n in free if _fits(names[n], dose)]
        if fitting:
            bound[fitting[0]] = dose
        elif free:
            name = names[free[0][1]].agent
            notes.append(f"{name}: {dose.text!r} is not a dose in {agent(name).dose_unit}")
        elif dose.unit == "mg":
            notes.append(f"{dose.text!r} belongs to no agent that MeWM knows: {shortened(clause, _SHOWN)!r}")
    return bound


def _is_filler(clause: str, start: int, end: int) -> bool:
    """True if only filler words separate an amount from its agent."""
    if end - start > _FAR:
        return False
    text, at = clause[start:end], 0
    if begin := _LINK_BEGIN.match(text):
        at = begin.end()
    while at < len(text):
        word = _LINK_WORD.match(text, at)
        if word is None:
            return False
        at = word.end()
    return True


def _fits(name: Name, dose: Dose) -> bool:
    return agent(name.agent).dose_unit == dose.unit


def _is_total(clause: str, dose: Dose) -> bool:
    return bool(
        words.TOTAL.search(clause, max(0, dose.start - _NEAR), dose.start)
        or words.TOTAL_BEHIND.match(clause[dose.end : dose.end + _NEAR])
    )


class _Routes:
    """How the agents of one clause were given: what follows from the whole clause is looked for once."""

    def __init__(self, clause: str, names: list[Name]) -> None:
        oil = members("oil")
        known = {name.agent for name in names}
        self._drug = any(agent(name).kind == DRUG for name in known)
        self._bead = any(agent(name).agent_class == "drug-eluting bead" for name in known)
        self._loaded = words.LOADED.search(clause) is not None
        self._infused, self._any = words.INFUSED.search(clause) is not None, words.ANY_VERB.search(clause) is not None
        self._emulsified = re.search(r"\bemulsi", clause, re.I) is not None
        # "50 mg of doxorubicin in 10 ml of Lipiodol" is an emulsion without the word
        self._mixed = not known.isdisjoint(oil) and (
            words.MIXED.search(clause) is not None
            or any(_IN.search(clause, max(0, n.start - _NEAR), n.start) for n in names if n.agent in oil)
        )

    def of(self, name: Name) -> str | None:
        """The route of one of the names; None if it is not stated."""
        known = agent(name.agent)
        is_oil = known.name in members("oil")
        if known.kind != DRUG and not is_oil:
            return known.routes[0]
        if self._emulsified or self._mixed:
            return "emulsion" if self._emulsified or self._drug else "embolised"
        if self._loaded and self._bead:
            # a drug on beads: none of the routes of the vocabulary
            return "embolised" if is_oil else None
        if is_oil:
            return "embolised" if self._any else None
        return "infused" if self._infused else None
