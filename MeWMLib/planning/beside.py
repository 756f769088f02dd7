"""A physician's protocol beside the first one of a search, over callables: real simulations, with the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from MeWMLib.core.beside import ADD, DROP, REPLACE, Beside, Swap
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Action, Protocol, agent
from MeWMLib.planning.explain import contributions

#: Simulates and scores protocols, in their order.
Judge = Callable[[Sequence[Protocol]], Sequence[Candidate]]
#: Names of the rules that forbid a protocol; none if it may be simulated.
Forbids = Callable[[Protocol], Sequence[str]]


def swaps(mine: Protocol, first: Protocol) -> tuple[Swap, ...]:
    """Every single step from one protocol towards another, not yet simulated.

    An action of `first` that `mine` lacks replaces the same agent with another dose or route, else an agent of the same
    class that `first` does without (one anthracycline by another, gelatin sponge by PVA), else it is added. What is
    left of `mine` that `first` does without is dropped.
    """
    spare = [a for a in mine.actions if a.agent not in first.agents]
    found = []
    for action in (a for a in first.actions if a not in mine.actions):
        known = agent(action.agent).agent_class
        same = [a for a in mine.actions if a.agent == action.agent]
        former = next(iter(same or [a for a in spare if agent(a.agent).agent_class == known]), None)
        if former in spare:
            spare.remove(former)
        rest = tuple(a for a in mine.actions if a != former)
        kind, text = (ADD, "") if former is None else (REPLACE, former.text)
        found.append(Swap(kind, action.text, text, Protocol((*rest, action))))
    for action in spare:
        found.append(Swap(DROP, action.text, "", _without(mine, action)))
    return tuple(found)


def beside(mine: Protocol, first: Candidate, judge: Judge, forbids: Forbids, known: Iterable[Candidate] = ()) -> Beside:
    """Compare a physician's protocol with the first of a search.

    Args:
        mine: the physician's.
        first: of the search.
        judge: simulates what is not known yet.
        forbids: what may not be simulated among the swaps.
        known: candidates that were simulated with the same seeds.
    """
    wanted = swaps(mine, first.protocol)
    refused = {s.protocol: tuple(forbids(s.protocol)) for s in wanted}
    parts = [_without(p, a) for p in (mine, first.protocol) for a in p.actions]
    ask = [mine, *parts, *(s.protocol for s in wanted if not refused[s.protocol])]
    found = {c.protocol: c for c in (*known, first)}
    new = [p for p in dict.fromkeys(ask) if p.actions and p not in found]
    found |= {c.protocol: c for c in judge(new)}
    risks = {p: c.risk.log_risk for p, c in found.items()}
    return Beside(
        replace(found[mine], contributions=contributions(mine, risks), files={}, rank=0),
        replace(first, contributions=contributions(first.protocol, risks)),
        tuple(_judged(s, risks, mine, refused[s.protocol]) for s in wanted),
    )


def _judged(swap: Swap, risks: Mapping[Protocol, float], mine: Protocol, forbidden: tuple[str, ...]) -> Swap:
    risk = risks.get(swap.protocol)
    change = None if risk is None else risk - risks[mine]
    return replace(swap, log_risk=risk, risk_change=change, forbidden=forbidden)


def _without(protocol: Protocol, action: Action) -> Protocol:
    return Protocol(tuple(a for a in protocol.actions if a != action))
