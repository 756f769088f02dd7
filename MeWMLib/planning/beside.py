"""A physician's protocol beside the first one of a search, over callables: real simulations, with the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from MeWMLib.core.beside import Beside, Swap, swaps, without
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.explain import contributions

#: Simulates and scores protocols, in their order.
Judge = Callable[[Sequence[Protocol]], Sequence[Candidate]]
#: Names of the rules that forbid a protocol; none if it may be simulated.
Forbids = Callable[[Protocol], Sequence[str]]


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
    parts = [without(p, a) for p in (mine, first.protocol) for a in p.actions]
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
