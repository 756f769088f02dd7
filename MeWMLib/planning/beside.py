"""A physician's protocol beside the first one of a search, over callables: real simulations, with the same seeds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from MeWMLib.core.beside import Beside, Swap, swaps, without
from MeWMLib.core.comparison import Comparison
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Candidate
from MeWMLib.core.protocol import Protocol
from MeWMLib.planning.explain import contributions

#: Simulates and scores protocols, in their order.
Judge = Callable[[Sequence[Protocol]], Sequence[Candidate]]
#: Names of the rules that forbid a protocol; none if it may be simulated.
Forbids = Callable[[Protocol], Sequence[str]]


def beside(
    mine: Protocol,
    first: Candidate,
    judge: Judge,
    forbids: Forbids,
    known: Iterable[Candidate] = (),
    comparison: Comparison | None = None,
) -> Beside:
    """Compare a physician's protocol with the first of a search.

    Args:
        mine: the physician's.
        first: of the search.
        judge: simulates what is not known yet.
        forbids: what may not be simulated among the swaps.
        known: candidates that were simulated with the same seeds.
        comparison: how predicted differences relate to true ones; without it nothing is said of the true ones.
    """
    wanted = swaps(mine, first.protocol)
    refused = {s.protocol: tuple(forbids(s.protocol)) for s in wanted}
    parts = [without(p, a) for p in (mine, first.protocol) for a in p.actions]
    ask = [mine, *parts, *(s.protocol for s in wanted if not refused[s.protocol])]
    found = {c.protocol: c for c in (*known, first)}
    new = [p for p in dict.fromkeys(ask) if p.actions and p not in found]
    found |= {c.protocol: c for c in judge(new)}
    risks = {p: c.risk for p, c in found.items()}
    return Beside(
        replace(found[mine], contributions=contributions(mine, risks, comparison), files={}, rank=0),
        replace(first, contributions=contributions(first.protocol, risks, comparison)),
        tuple(
            replace(_judged(s, risks.get(s.protocol), risks[mine], comparison), forbidden=refused[s.protocol])
            for s in wanted
        ),
        None if comparison is None else comparison.difference(risks[mine], first.risk),
    )


def _judged(swap: Swap, risk: Risk | None, mine: Risk, comparison: Comparison | None) -> Swap:
    """A swap with what it does to the risk; as it is where it was not simulated."""
    if risk is None:
        return swap
    told = None if comparison is None else comparison.difference(risk, mine)
    return replace(swap, log_risk=risk.log_risk, risk_change=risk.log_risk - mine.log_risk, difference=told)
