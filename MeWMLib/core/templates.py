"""Protocols that are given: templates with slots, in `templates.json`, for a physician to read and to change.

A search fills slots instead of combining any drugs with any embolics, and a protocol that somebody writes is recognised
by the template that it fits. The doses that a search puts in are those of `core.dosing`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from MeWMLib.core.errors import ProtocolError, RuleError
from MeWMLib.core.protocol import Action, ActionSpace, Protocol, agent
from MeWMLib.core.records import from_plain, read_json

#: Dose of an agent in a slot (names of the slot and of the agent), or None for "as much as stops the flow".
DoseOf = Callable[[str, str], "float | None"]


@dataclass(frozen=True)
class Slot:
    """One place in a template.

    Attributes:
        name: what the agents do there: "emulsion", "infused", "loaded", "oil", "beads" or "particles".
        agents: canonical names of what may be put there.
        fewest, most: how many agents make a protocol fit.
        proposed: how many a search puts there, one protocol for each number; none for a template that is only
            recognised.
        route: that the agents have there; "" where a route says nothing.
        before, after: words around the agents in `described`.
    """

    name: str
    agents: tuple[str, ...]
    fewest: int
    most: int
    proposed: tuple[int, ...]
    route: str = ""
    before: str = ""
    after: str = ""

    def takes(self, action: Action) -> bool:
        """True if the agent may be here; an action without a route may be anywhere."""
        return action.agent in self.agents and (not self.route or action.route in (None, self.route))


@dataclass(frozen=True)
class Template:
    """One kind of protocol.

    Attributes:
        name: its unique name, as in plan.json.
        title: for people, such as "cTACE".
        text: what it is, in a sentence.
        source: who describes it.
        slots: in the order in which they are given.
    """

    name: str
    title: str
    text: str
    source: str
    slots: tuple[Slot, ...]

    def fit(self, protocol: Protocol) -> tuple[tuple[Action, ...], ...] | None:
        """The actions of a protocol by slot, or None if it does not fit."""
        places = [[n for n, slot in enumerate(self.slots) if slot.takes(action)] for action in protocol.actions]
        for chosen in itertools.product(*places):
            if all(slot.fewest <= chosen.count(n) <= slot.most for n, slot in enumerate(self.slots)):
                given = list(zip(chosen, protocol.actions, strict=True))
                return tuple(tuple(a for n, a in given if n == place) for place in range(len(self.slots)))
        return None


@cache
def templates() -> tuple[Template, ...]:
    """All templates, in the order in which they are tried.

    Raises:
        MeWMError: the table cannot be read, or names an agent that the vocabulary does not hold.
    """
    data = read_json(Path(__file__).with_name("templates.json"), require={"templates": list})
    found = tuple(from_plain(Template, entry, "a template") for entry in data["templates"])
    for slot in (slot for template in found for slot in template.slots):
        known = [agent(name) for name in slot.agents]
        if any(
            name != a.name or (slot.route and slot.route not in a.routes)
            for name, a in zip(slot.agents, known, strict=True)
        ):
            raise ProtocolError(what="A slot of a template holds an agent that cannot be there", given=slot.name)
    return found


@lru_cache(maxsize=4096)
def _fitted(protocol: Protocol) -> tuple[Template, tuple[tuple[Action, ...], ...]] | None:
    fits = ((template, template.fit(protocol)) for template in templates())
    return next(((template, places) for template, places in fits if places is not None), None)


def template_of(protocol: Protocol) -> str | None:
    """Name of the template that a protocol fits, or None; `title_of` gives its title."""
    found = _fitted(protocol)
    return found[0].name if found else None


def title_of(protocol: Protocol) -> str:
    """Title of the template that a protocol fits, such as "cTACE"; else "fits no template"."""
    found = _fitted(protocol)
    return found[0].title if found else "fits no template"


def described(protocol: Protocol) -> str:
    """A protocol as a sentence: "cTACE: Epirubicin 50 mg in Lipiodol 10 ml, then Gelatin Sponge".

    One that fits no template is its canonical text with a remark; doses that are not stated are left out. A territory
    comes last: "..., into segments 5, 8".
    """
    found = _fitted(protocol)
    fed = f", into {protocol.territory.described}" if protocol.territory else ""
    if found is None:
        return f"{protocol.agents_text} (fits no template){fed}"
    text = ""
    for slot, actions in zip(found[0].slots, found[1], strict=True):
        if actions:
            names = [Action(a.agent, a.dose).text for a in actions]
            listed = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
            text += (slot.before if text else "") + listed + slot.after
    return f"{found[0].title}: {text}{fed}"


def completions(
    space: ActionSpace, allowed: Callable[[Protocol], bool], dose: DoseOf, drugs: int = 3, embolics: int = 2
) -> tuple[Protocol, ...]:
    """Every protocol that fills a template with agents of an action space and that the rules allow.

    Args:
        space: what a policy proposes, best first.
        allowed: the clinical rules.
        dose: of an agent in a slot.
        drugs, embolics: the most of each in a protocol.

    Returns:
        Template by template, each in the order of the policy. Two protocols of the same agents would be the same to
        the networks, which see no route: the first of them stays. Particles are left out only where a template allows
        no protocol with them under the rules and with so many agents.

    Raises:
        RuleError: nothing of the space fills a template, or the rules allow nothing of it.
    """
    order = {name: n for n, name in enumerate((*space.drugs, *space.embolics))}
    found: dict[frozenset[str], Protocol] = {}
    filled = False
    for template in templates():
        for counts in (tuple(s.proposed for s in template.slots), tuple((s.fewest,) for s in template.slots)):
            possible = [
                p for p in _fill(template, counts, order, dose) if len(p.drugs) <= drugs and len(p.embolics) <= embolics
            ]
            filled = filled or bool(possible)
            possible = [p for p in possible if allowed(p)]
            for protocol in possible:
                found.setdefault(frozenset(protocol.agents), protocol)
            # a template that is only recognised has no second form either
            if possible or not all(s.proposed for s in template.slots):
                break
    if not found:
        raise RuleError(
            what="The clinical rules forbid every protocol that fills a template"
            if filled
            else "No template can be filled with the agents that were proposed",
            given=", ".join(order) or "no agent",
            remedy="Check the patient's clinical data against the contraindications, or offer more agents"
            if filled
            else "Offer more agents, or search all combinations with --space free",
        )
    return tuple(found.values())


def _fill(
    template: Template, counts: Sequence[Sequence[int]], order: dict[str, int], dose: DoseOf
) -> Iterator[Protocol]:
    """Protocols of a template with the given numbers of agents in each slot, best agents first."""
    choices: list[list[tuple[Action, ...]]] = []
    for slot, numbers in zip(template.slots, counts, strict=True):
        names = sorted((name for name in slot.agents if name in order), key=order.__getitem__)
        actions = [Action(name, dose(slot.name, name), slot.route or None) for name in names]
        choices.append([c for number in numbers for c in itertools.combinations(actions, number)])
    filled = [tuple(itertools.chain(*parts)) for parts in itertools.product(*choices)]
    filled = [actions for actions in filled if len({a.agent for a in actions}) == len(actions)]
    filled.sort(key=lambda actions: (len(actions), sorted(order[a.agent] for a in actions)))
    yield from map(Protocol, filled)
