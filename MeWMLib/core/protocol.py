"""The vocabulary of agents, actions and protocols. One canonical name for each agent; synonyms are mapped."""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from MeWMLib.core.errors import ProtocolError, UnknownAgentError
from MeWMLib.core.records import from_plain, read_json, record_to_plain
from MeWMLib.core.territory import Territory
from MeWMLib.core.texts import MOST_PROTOCOL, require_length
from MeWMLib.core.treatment import DRUG as DRUG
from MeWMLib.core.treatment import EMBOLIC as EMBOLIC
from MeWMLib.core.treatment import TACE


@dataclass(frozen=True)
class Agent:
    """A drug or an embolic material.

    Attributes:
        name: canonical name.
        kind: "drug" or "embolic".
        agent_class: platinum, anthracycline, oil, particle, glue, ...
        dose_unit: "mg" or "ml".
        dose_low, dose_high: usual range in `dose_unit`.
        routes: how it may be given; the first is the default.
        synonyms: other names that are understood.
        source: where the range comes from.
    """

    name: str
    kind: str
    agent_class: str
    dose_unit: str
    dose_low: float
    dose_high: float
    routes: tuple[str, ...]
    synonyms: tuple[str, ...]
    source: str


@cache
def vocabulary() -> dict[str, Agent]:
    """All agents by canonical name, drugs first, in the fixed order that the networks use."""
    data = read_json(Path(__file__).with_name("vocabulary.json"), require={"agents": list})
    return {known.name: known for known in (from_plain(Agent, entry) for entry in data["agents"])}


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


@cache
def _by_any_name() -> dict[str, str]:
    return {_key(n): a.name for a in vocabulary().values() for n in (a.name, *a.synonyms)}


def agent(name: str) -> Agent:
    """Return the agent of this name or synonym; case, spaces and hyphens are ignored.

    Raises:
        UnknownAgentError: the vocabulary has no such agent; similar names are suggested.
    """
    canonical = _by_any_name().get(_key(name))
    if canonical is None:
        near = difflib.get_close_matches(_key(name), list(_by_any_name()), n=1, cutoff=0.6)
        hint = f"Did you mean {_by_any_name()[near[0]]}? " if near else ""
        raise UnknownAgentError(
            what="Unknown drug or embolic agent",
            given=repr(name),
            remedy=hint + "Known agents: " + ", ".join(vocabulary()),
        )
    return vocabulary()[canonical]


def agents_of(kind: str) -> tuple[str, ...]:
    """Canonical names of all drugs or all embolics, in vocabulary order."""
    return tuple(a.name for a in vocabulary().values() if a.kind == kind)


@dataclass(frozen=True)
class Action:
    """One agent, with an optional dose (in the agent's unit) and route. Synonyms are accepted as `agent`."""

    agent: str
    dose: float | None = None
    route: str | None = None

    def __post_init__(self) -> None:
        known = agent(self.agent)
        object.__setattr__(self, "agent", known.name)
        if self.dose is not None:
            if isinstance(self.dose, bool) or not isinstance(self.dose, int | float):
                raise ProtocolError(what=f"The dose of {known.name} is not a number", given=repr(self.dose))
            if not (math.isfinite(self.dose) and self.dose > 0):
                raise ProtocolError(
                    what=f"The dose of {known.name} must be positive",
                    given=f"{self.dose} {known.dose_unit}",
                    remedy=f"Usual range: {known.dose_low:g} to {known.dose_high:g} {known.dose_unit}",
                )
            object.__setattr__(self, "dose", float(self.dose))
        if self.route is not None and self.route not in known.routes:
            raise ProtocolError(
                what=f"{known.name} is not given by this route",
                given=self.route,
                remedy="Possible: " + ", ".join(known.routes),
            )

    @property
    def kind(self) -> str:
        """ "drug" or "embolic"."""
        return agent(self.agent).kind

    @property
    def text(self) -> str:
        """Canonical text, such as "Epirubicin 30 mg (emulsion)"."""
        parts = [self.agent]
        if self.dose is not None:
            parts.append(f"{self.dose:g} {agent(self.agent).dose_unit}")
        if self.route is not None:
            parts.append(f"({self.route})")
        return " ".join(parts)


_ACTION = re.compile(
    r"^(?P<name>.+?)(?:\s+(?P<dose>-?[\d.]+)\s*(?P<unit>mg|ml))?(?:\s*\((?P<route>\w+)\))?$", re.IGNORECASE
)

#: A dose with a decimal comma; "5" of "Lipiodol 10 ml,5-FU" belongs to a name.
_COMMA = re.compile(r"(?<![\w.])\d+,\d+(?![\d,]*-)")
_NUMBER = r"(?P<dose>\d+(?:\.\d+)?)"
#: An agent with a dose behind it that has no unit or another one, and one with the dose before it.
_BEHIND = re.compile(rf"^(?P<name>.*?[^\d.\s])\s*{_NUMBER}\s*(?P<unit>[^\s\d()]*[^()]*?)\s*(?:\(\w*\))?$")
_IN_FRONT = re.compile(rf"^{_NUMBER}\s*(?P<unit>[a-zA-Z]*)\s+(?:of\s+)?(?P<name>\S.*)$")


def _require_readable_dose(part: str) -> None:
    """Say what is wrong with the dose of an agent that is known; an unknown agent is another fault.

    Raises:
        ProtocolError: no unit, another unit, or the dose stands before the agent.
    """
    for pattern in (_BEHIND, _IN_FRONT):
        match = pattern.match(part)
        canonical = _by_any_name().get(_key(match["name"])) if match else None
        if match is None or canonical is None:
            continue
        known = vocabulary()[canonical]
        if match["unit"].lower() == known.dose_unit and pattern is _IN_FRONT:
            written = f"{known.name} {match['dose']} {known.dose_unit}"
            raise ProtocolError(what="The dose stands before the agent", given=repr(part), remedy=f"Write {written}")
        if match["unit"]:
            raise _other_unit(known, part)
        raise ProtocolError(
            what=f"The dose of {known.name} has no unit",
            given=repr(part),
            remedy=f"Write the unit: {known.name} {match['dose']} {known.dose_unit}",
        )


def _other_unit(known: Agent, part: str) -> ProtocolError:
    return ProtocolError(
        what=f"{known.name} is dosed in {known.dose_unit}",
        given=repr(part),
        remedy=f"Give the dose in {known.dose_unit}; usual are {known.dose_low:g} to {known.dose_high:g} "
        f"{known.dose_unit}",
    )


@dataclass(frozen=True)
class Protocol:
    """A set of actions, and what they are given into.

    Order does not matter: two protocols with the same actions and the same territory are equal and hash alike. A
    protocol may be partial (drugs only) while a search builds it; see `complete`.

    Attributes:
        actions: in vocabulary order.
        territory: what the treated artery feeds, the same for all actions; None where it was not stated, and for the
            empty protocol.
    """

    actions: tuple[Action, ...]
    territory: Territory | None = None

    def __post_init__(self) -> None:
        order = {name: n for n, name in enumerate(vocabulary())}
        actions = tuple(sorted(self.actions, key=lambda a: order[a.agent]))
        for one, following in itertools.pairwise(actions):
            if one.agent == following.agent:
                raise ProtocolError(what="A protocol names an agent twice", given=one.agent, remedy="Add up its doses")
        object.__setattr__(self, "actions", actions)
        if not actions:
            object.__setattr__(self, "territory", None)

    @classmethod
    def of(cls, names: Iterable[str]) -> Protocol:
        """Protocol of agents without doses."""
        return cls(tuple(Action(n) for n in names))

    @classmethod
    def parse(cls, text: str) -> Protocol:
        """Read "Epirubicin 30 mg + Lipiodol 10 ml (emulsion) @ segments 5, 8".

        "+", ";" and "," separate actions; everything behind the first "@" is the territory.

        Raises:
            UnknownAgentError: an unknown name.
            TerritoryError: an unknown territory.
            ProtocolError: an empty or too long text, a wrong unit, dose or route.
        """
        require_length(text, MOST_PROTOCOL, "The protocol", ProtocolError)
        given, at, fed = text.partition("@")
        territory = Territory.parse(fed) if at else None
        if comma := _COMMA.search(given):
            raise ProtocolError(
                what="A comma stands between the digits of a dose, where it separates agents",
                given=comma[0],
                remedy=f"Write {comma[0].replace(',', '.')} with a decimal point, and thousands without a mark",
            )
        actions = []
        for part in re.split(r"[+;,]", " ".join(given.split())):
            match = _ACTION.match(part.strip())
            if match is None:
                raise ProtocolError(what="A part of the protocol is empty", given=repr(text), remedy="Write A + B + C")
            try:
                known = agent(match["name"])
            except UnknownAgentError:
                _require_readable_dose(part.strip())
                raise
            if match["unit"] and match["unit"].lower() != known.dose_unit:
                raise _other_unit(known, part.strip())
            try:
                dose = float(match["dose"]) if match["dose"] else None
            except ValueError:
                raise ProtocolError(what=f"The dose of {known.name} is not a number", given=match["dose"]) from None
            actions.append(Action(known.name, dose, match["route"].lower() if match["route"] else None))
        return cls(tuple(actions), territory)

    @property
    def text(self) -> str:
        """The one canonical text, which `parse` reads back."""
        return f"{self.agents_text} @ {self.territory.text}" if self.territory else self.agents_text

    @property
    def agents_text(self) -> str:
        """The canonical text of the actions alone."""
        return " + ".join(a.text for a in self.actions)

    @property
    def agents(self) -> tuple[str, ...]:
        """Canonical names in vocabulary order."""
        return tuple(a.agent for a in self.actions)

    @property
    def drugs(self) -> tuple[str, ...]:
        """Names of the drugs."""
        return self.of_kind(DRUG)

    @property
    def embolics(self) -> tuple[str, ...]:
        """Names of the embolics."""
        return self.of_kind(EMBOLIC)

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Names of the agents of one kind, in vocabulary order."""
        return tuple(a.agent for a in self.actions if a.kind == kind)

    @property
    def complete(self) -> bool:
        """True if nothing is lacking: there is at least one embolic."""
        return not self.lacking

    @property
    def lacking(self) -> tuple[str, ...]:
        """The kinds of agents without which the protocol is not complete: "embolic", or none."""
        return TACE.lacking(a.kind for a in self.actions)

    def plus(self, action: Action) -> Protocol:
        """Return this protocol with one more action."""
        return self.of_actions((*self.actions, action))

    def of_actions(self, actions: Iterable[Action]) -> Protocol:
        """Other actions into the same territory."""
        return Protocol(tuple(actions), self.territory)

    def fed(self, territory: Territory | None) -> Protocol:
        """The same actions into a territory."""
        return self if territory == self.territory else Protocol(self.actions, territory)

    def to_json(self) -> list[dict[str, Any]] | dict[str, Any]:
        """JSON-ready form: a list of actions; with a territory an object that holds both."""
        actions = [record_to_plain(action) for action in self.actions]
        return {"actions": actions, "territory": self.territory.text} if self.territory else actions

    @classmethod
    def from_json(cls, data: Any) -> Protocol:
        """Read the form of `to_json`, or a canonical text; "" is the empty protocol.

        Raises:
            ProtocolError: it is not one.
        """
        if isinstance(data, str):
            return cls.parse(data) if data else cls(())
        fed = None
        if isinstance(data, dict) and set(data) <= {"actions", "territory"}:
            fed, data = data.get("territory"), data.get("actions")
        if not isinstance(data, list | tuple):
            raise ProtocolError(what="A protocol is a list of actions", given=repr(data)[:80])
        actions = (from_plain(Action, entry, "An action", ProtocolError, strict=False) for entry in data)
        return cls(tuple(actions), None if fed is None else Territory.from_json(fed))

    def __repr__(self) -> str:
        return f"Protocol({self.text!r})"


@dataclass(frozen=True)
class ActionSpace:
    """What a policy proposes for one patient: candidate drugs and embolics, best first, and why.

    Attributes:
        drugs, embolics: canonical names, best first.
        reasons: one sentence for each agent.
        policy: name of the policy that proposed it.
        sources: where the reasons come from, for the agents of which that is known.
    """

    drugs: tuple[str, ...]
    embolics: tuple[str, ...]
    reasons: dict[str, str]
    policy: str
    sources: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for stage in TACE.stages:
            for name in self.of_kind(stage.kind):
                if agent(name).kind != stage.kind:
                    raise ProtocolError(what="An agent is listed under the wrong kind", given=f"{name} as {stage.kind}")

    def of_kind(self, kind: str) -> tuple[str, ...]:
        """Candidates of one kind, best first."""
        return {DRUG: self.drugs, EMBOLIC: self.embolics}[kind]
