"""Exhaustive search: every protocol of a list, or with 1..Hd drugs and 1..He embolics, under the clinical rules.

For small action spaces, and as the truth that the other searches are measured against. Small protocols come first, and
among those the ones that the policy ranks high, so that a cancel leaves a sensible plan.
"""

from __future__ import annotations

from MeWMLib.core.plan import SearchStep
from MeWMLib.core.protocol import Action, Protocol
from MeWMLib.planning.search import Allowed, Memo, Problem


def exhaustive_search(problem: Problem, memo: Memo) -> None:
    """Judge every complete protocol of the action space that the rules allow.

    In the tree the root is the parent of every protocol; `step` is its number of agents, `beam` is 0, and `kept` marks
    the one of lowest risk once the search is finished.
    """
    protocols = all_protocols(problem)
    memo.expand(SearchStep(len(p.actions), 0, Protocol(()), p, 0.0, kept=False) for p in protocols)
    best = min(protocols, key=memo.key)
    memo.settle([e for e in memo.pending if e.child == best])


def all_protocols(problem: Problem) -> tuple[Protocol, ...]:
    """The protocols to choose from; without a list of them every complete protocol within the horizons and under the
    rules, small ones first, then in the policy's order."""
    if problem.protocols is not None:
        return problem.protocols
    found = [Protocol(())]
    for candidates, horizon in problem.stages:
        found = [p for base in found for p in _grow(base, candidates, horizon, problem.allowed)]
    rank = {action.agent: n for n, action in enumerate(a for candidates, _ in problem.stages for a in candidates)}
    return tuple(sorted(found, key=lambda p: (len(p.actions), sorted(rank[a] for a in p.agents))))


def _grow(base: Protocol, candidates: tuple[Action, ...], horizon: int, allowed: Allowed) -> list[Protocol]:
    """All allowed extensions of `base` by 1 to `horizon` candidates; a forbidden branch is cut for good."""
    bases, grown = [base], []
    for _ in range(min(horizon, len(candidates))):
        children = dict.fromkeys(b.plus(action) for b in bases for action in candidates if action.agent not in b.agents)
        bases = [child for child in children if allowed(child)]
        grown += bases
    return grown


def most_evaluations(problem: Problem) -> int:
    """The number of protocols that `exhaustive_search` judges, and the most that best-first does."""
    return len(all_protocols(problem))
