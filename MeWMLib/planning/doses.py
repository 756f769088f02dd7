"""The optional second stage: doses for the best protocols, one agent at a time.

The searches choose agents; the paper's actions carry no dose. Here each of the best protocols gets doses at evenly
spaced levels of each agent's usual range: agents are varied in turn, the others held fixed, and a dose is kept where it
lowers the score; this is repeated until a whole round changes nothing. "No dose stated" stays possible. It finds a
local optimum over the levels, with levels x agents simulations in each round instead of levels ^ agents.
"""

from __future__ import annotations

from collections.abc import Iterable

from MeWMLib.core.plan import SearchStep
from MeWMLib.core.protocol import Action, Protocol, agent
from MeWMLib.planning.search import Allowed, Memo

#: Rounds over the agents of one protocol, at most.
ROUNDS = 3


def levels(name: str, count: int) -> tuple[float, ...]:
    """`count` evenly spaced doses over the usual range of an agent, ends included; the middle for one."""
    known = agent(name)
    if count == 1:
        return (0.5 * (known.dose_low + known.dose_high),)
    step = (known.dose_high - known.dose_low) / (count - 1)
    return tuple(known.dose_low + n * step for n in range(count))


def refine(memo: Memo, protocols: Iterable[Protocol], count: int, allowed: Allowed, step: int) -> None:
    """Judge dosed versions of some protocols; they enter the memo's ranking and its tree.

    Args:
        memo: of the finished search.
        protocols: whose doses to look for, all of them judged.
        count: dose levels of each agent.
        allowed: the clinical rules.
        step: number of this stage in the tree.

    Raises:
        SearchCancelled: stop was asked for; what was judged until then is kept.
        RiskError: see `Memo.judge`.
    """
    for number, start in enumerate(protocols, start=1):
        best = start
        for _ in range(ROUNDS):
            before = best
            for name in start.agents:
                options = [p for p in _dosed(best, name, count) if allowed(p)]
                memo.expand(SearchStep(step, number, best, p, 0.0, kept=False) for p in options if p != best)
                best = min([best, *options], key=memo.key)
                memo.settle([e for e in memo.pending if e.child == best])
            if best == before:
                break


def _dosed(protocol: Protocol, name: str, count: int) -> list[Protocol]:
    others = tuple(a for a in protocol.actions if a.agent != name)
    route = next(a.route for a in protocol.actions if a.agent == name)
    return [protocol.of_actions((*others, Action(name, dose, route))) for dose in levels(name, count)]
