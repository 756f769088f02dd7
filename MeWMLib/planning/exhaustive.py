"""Exhaustive search: every protocol with 1..Hd drugs and 1..He embolics under the clinical rules.

For small action spaces, and as the truth that the beam search is measured against. Same signature and result as
`beam_search`. Small protocols come first, and among those the ones that the policy ranks high, so that a cancel leaves
a sensible plan.
"""

from __future__ import annotations

from dataclasses import replace

from MeWMLib.core.plan import PlanSettings, SearchStep
from MeWMLib.core.protocol import Action, ActionSpace, Protocol
from MeWMLib.planning.search import (
    CANCELLED,
    DEFAULT_BATCH,
    FINISHED,
    Allowed,
    Cancelled,
    Evaluate,
    Further,
    Memo,
    OnStep,
    Score,
    SearchCancelled,
    SearchResult,
    actions,
    first_protocol,
    mean_risk,
    narrowed,
    never,
    nothing_further,
    nothing_to_report,
)


def exhaustive_search(
    space: ActionSpace,
    settings: PlanSettings,
    evaluate: Evaluate,
    allowed: Allowed,
    on_step: OnStep = nothing_to_report,
    cancelled: Cancelled = never,
    batch: int = DEFAULT_BATCH,
    score: Score = mean_risk,
    further: Further = nothing_further,
) -> SearchResult:
    """Judge every complete protocol of the action space that the rules allow.

    Args, Returns and Raises as for `beam_search`. In the tree every protocol hangs on the root; `step` is its number
    of agents, `beam` is 0, and `kept` marks the one of lowest risk once the search is finished.
    """
    protocols = all_protocols(space, settings, allowed)
    memo = Memo(evaluate, settings.replicas, on_step, cancelled, batch, score)
    root = Protocol(())
    memo.pending = tuple(SearchStep(len(p.actions), 0, root, p, 0.0, kept=False) for p in protocols)
    try:
        memo.judge(protocols)
        best = min(protocols, key=memo.key)
        memo.tree = tuple(replace(e, risk=memo[e.child], kept=e.child == best) for e in memo.pending)
        memo.pending = ()
        further(memo)
    except SearchCancelled:
        return memo.result(CANCELLED)
    memo.report()
    return memo.result(FINISHED)


def all_protocols(space: ActionSpace, settings: PlanSettings, allowed: Allowed) -> tuple[Protocol, ...]:
    """Every complete protocol within the horizons and under the rules, small ones first, then in the policy's order.

    Raises:
        RuleError: there is none.
    """
    space = narrowed(space, settings)
    first_protocol(space, allowed)
    drugs, embolics = actions(space)
    found = [
        protocol
        for base in _grow([Protocol(())], drugs, settings.drug_horizon, allowed)
        for protocol in _grow([base], embolics, settings.embolic_horizon, allowed)
    ]
    rank = {action.agent: n for n, action in enumerate((*drugs, *embolics))}
    return tuple(sorted(found, key=lambda p: (len(p.actions), sorted(rank[a] for a in p.agents))))


def _grow(bases: list[Protocol], candidates: tuple[Action, ...], horizon: int, allowed: Allowed) -> list[Protocol]:
    """All allowed extensions of `bases` by 1 to `horizon` candidates; a forbidden branch is cut for good."""
    grown: list[Protocol] = []
    for _ in range(min(horizon, len(candidates))):
        children = {
            base.plus(action): None for base in bases for action in candidates if action.agent not in base.agents
        }
        bases = [child for child in children if allowed(child)]
        grown += bases
    return grown


def expected_evaluations(space: ActionSpace, settings: PlanSettings, allowed: Allowed) -> int:
    """The number of protocols that `exhaustive_search` judges, for showing progress.

    Raises:
        RuleError: the rules allow no complete protocol.
    """
    return len(all_protocols(space, settings, allowed))
