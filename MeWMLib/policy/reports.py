"""TACE operation reports to protocols: agents, doses, routes, and the level of attenuation. No model, no network.

Figure 3 (a) of arXiv 2506.02327 asks language models for this; here a grammar of English sentences does it, and says
what it was not sure of. What is understood: amounts before and behind a name, units, number words, "respectively",
emulsions, agents that are given several times, totals, negation ("PVA was not used"), other days ("previous TACE with
..."), misspelt names, and bare lists of names. Everything else is ignored; a report never causes an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.protocol import DRUG, Action, Protocol, agent
from MeWMLib.core.records import record_to_plain
from MeWMLib.policy import report_words as words
from MeWMLib.policy.agent_names import members
from MeWMLib.policy.report_outcome import attenuation
from MeWMLib.policy.report_words import Dose, Name

_CLAUSE_END = re.compile(r"[;\n]|(?<!\bDr)(?<!\bca)(?<!\bapprox)\.(?=\s|$)|[!?](?=\s|$)")
_SPLIT = re.compile(
    r",?\s+and then\s+|,?\s+then\s+|,?\s+followed by\s+|,?\s+after which\s+|,\s+(?:and|but|while)\s+|"
    r"\s+(?:and|but|while)\s+|,\s*", re.I
)  # fmt: skip
#: Filler words that may separate an amount from its agent.
_LINK_BEFORE = re.compile(
    r"^\s*(?:\([^)]*\)\s*)?(?:of\s+)?(?:(?:pure|plain|ultra|liquid|fluid|fluide|the|additional|further|more|small|"
    r"powdered|dissolved|a|solution|hydrochloride|hcl|[a-z]*-?eluting|loaded|into|of|super|amount|pre-?loaded)[\s-]+)*$",
    re.I,
)
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
        text: the clause that says so.
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
    """Read one operation report; see the module for what is understood."""
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
    plain = text.replace("\u2019", "'").replace("\u00a0", " ").replace("\ufb01", "fi").replace("\r", "\n")
    # a line break inside a sentence ends nothing
    for clause in _CLAUSE_END.split(re.sub(r"(?<=[a-z,])\n(?=[a-z0-9])", " ", plain)):
        yield from _split(clause.strip())


def _split(clause: str) -> Iterator[str]:
    """Split where both sides name an agent and say what was done with it."""
    for match in _SPLIT.finditer(clause):
        left, right = clause[: match.start()], clause[match.end() :]
        if all(words.find_names(side) and words.DONE.search(side) for side in (left, right)):
            yield left.strip()
            yield from _split(right.strip())
            return
    if clause:
        yield clause


class _Reader:
    """Collects what clause after clause says."""

    def __init__(self, as_list: bool) -> None:
        self.given: list[Administration] = []
        self.excluded: list[str] = []
        self.notes: list[str] = []
        self._as_list = as_list

    def read(self, clause: str) -> None:
        names = words.find_names(clause)
        if not names:
            return
        self.notes += [f"{name.slip!r} was read as {name.agent}" for name in names if name.slip]
        if words.ANOTHER_DAY.search(clause):
            self.notes.append(f"left out, since it is about another day: {clause!r}")
            return
        negated = [n for n in names if _negated(clause, n)]
        self.excluded += [n.agent for n in negated]
        names = [n for n in names if n not in negated]
        doses = _bind(clause, names, self.notes)
        mixed = bool(words.MIXED.search(clause))
        for n, name in enumerate(names):
            dose = doses.get(n)
            seen = words.SEEN.match(clause[name.end :])
            if seen and not (mixed and _is_ingredient(seen[0], name, dose)):
                continue
            if dose is None and any(a.agent == name.agent for a in self.given):
                continue  # named again, not given again
            self._add(clause, name, dose, None if self._as_list else _route(clause, name, names))

    def _add(self, clause: str, name: Name, dose: Dose | None, route: str | None) -> None:
        value = dose.value if dose else None
        if dose and value is None:
            self.notes.append(f"{name.agent}: {dose.text!r} is not a single dose")
        elif value is not None and value <= 0:
            self.notes.append(f"{name.agent}: a dose of zero was left out")
            value = None
        elif dose and value is not None and _is_total(clause, dose):
            parts = [a.dose or 0.0 for a in self.given if a.agent == name.agent]
            before = sum(parts)
            rest = round(value - before, 6)
            if rest < 0 or (rest > 0 and before):
                self.notes.append(f"{name.agent}: the parts add up to {before:g}, the report says {value:g} in total")
            if parts and rest <= 0:
                return
            value = rest
        self.given.append(Administration(name.agent, value, route, clause))


def _negated(clause: str, name: Name) -> bool:
    """True if the clause says that the agent was not given."""
    if words.NOT_BEHIND.match(clause[name.end :]):
        return True
    cues = list(words.NOT_BEFORE.finditer(clause, 0, name.start))
    if not cues:
        return False
    # "no tumour staining after Lipiodol": a cue covers a list of names only, not everything that comes later
    between = clause[cues[-1].end() : name.start]
    # "without Lipiodol, PVA was injected": after these cues a comma ends the list
    ended = cues[-1][0].lower() in ("without", "instead of", "rather than") and "," in between
    return not ended and _is_list(between)


def _is_ingredient(seen: str, name: Name, dose: Dose | None) -> bool:
    """ "10 ml Lipiodol emulsion" is an amount of emulsion; "Epirubicin-Lipiodol emulsion with ..." names agents."""
    mixture = seen.strip(" -").lower() in ("emulsion", "mixture", "suspension")
    return mixture and (dose is None or dose.start > name.end)


def _is_list(text: str) -> bool:
    """True if the text holds only names, amounts and joining words."""
    rest = text
    for name in reversed(words.find_names(text)):
        rest = rest[: name.start] + rest[name.end :]
    rest = re.sub(
        r"\b(?:or|and|nor|neither|any|the|of|use|using|used|further|additional|either|particles?|a)\b", "", rest
    )
    return not re.search(r"[A-Za-z]{3,}|:", rest)


def _bind(clause: str, names: list[Name], notes: list[str]) -> dict[int, Dose]:
    """Which amount belongs to which name (by its index): the nearest one with only filler words in between."""
    doses = words.find_doses(clause)
    if _RESPECTIVELY.search(clause) and len(doses) == len(names):
        return {n: d for n, (name, d) in enumerate(zip(names, doses, strict=True)) if _fits(name, d)}
    bound: dict[int, Dose] = {}
    for dose in doses:
        options: list[tuple[int, int]] = []  # distance in characters, index of the name
        behind = next((n for n, name in enumerate(names) if name.start >= dose.end), None)
        before = next((n for n in reversed(range(len(names))) if names[n].end <= dose.start), None)
        if behind is not None and _LINK_BEFORE.match(clause[dose.end : names[behind].start]):
            options.append((names[behind].start - dose.end, behind))
        if before is not None and _LINK_BEHIND.match(clause[names[before].end : dose.start]):
            options.append((dose.start - names[before].end, before))
        free = [o for o in sorted(options) if o[1] not in bound]
        fitting = [n for _, n in free if _fits(names[n], dose)]
        if fitting:
            bound[fitting[0]] = dose
        elif free:
            name = names[free[0][1]].agent
            notes.append(f"{name}: {dose.text!r} is not a dose in {agent(name).dose_unit}")
        elif dose.unit == "mg":
            notes.append(f"{dose.text!r} belongs to no agent that MeWM knows: {clause!r}")
    return bound


def _fits(name: Name, dose: Dose) -> bool:
    return agent(name.agent).dose_unit == dose.unit


def _is_total(clause: str, dose: Dose) -> bool:
    return bool(words.TOTAL.search(clause[: dose.start]) or words.TOTAL_BEHIND.match(clause[dose.end :]))


def _route(clause: str, name: Name, names: list[Name]) -> str | None:
    known = agent(name.agent)
    oil = members("oil")
    is_oil = known.name in oil
    if known.kind != DRUG and not is_oil:
        return known.routes[0]
    others = [agent(n.agent) for n in names]
    emulsified = re.search(r"\bemulsi", clause, re.I) is not None
    # "50 mg of doxorubicin in 10 ml of Lipiodol" is an emulsion without the word
    mixed = words.MIXED.search(clause) or any(_IN.search(clause[: n.start]) for n in names if n.agent in oil)
    if emulsified or (mixed and any(a.name in oil for a in others)):
        return "emulsion" if emulsified or any(a.kind == DRUG for a in others) else "embolised"
    if words.LOADED.search(clause) and any(a.agent_class == "drug-eluting bead" for a in others):
        # a drug on beads: none of the routes of the vocabulary
        return "embolised" if is_oil else None
    if is_oil:
        return "embolised" if words.ANY_VERB.search(clause) else None
    return "infused" if words.INFUSED.search(clause) else None
