"""The searches by name, with the optional second stage for doses behind each."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.planning import beam, doses, exhaustive
from MeWMLib.planning.best_first import best_first_search
from MeWMLib.planning.search import (
    CANCELLED,
    DEFAULT_BATCH,
    FINISHED,
    Allowed,
    Cancelled,
    Evaluate,
    Hint,
    Memo,
    OnStep,
    Problem,
    Score,
    SearchCancelled,
    SearchResult,
    mean_risk,
    never,
)

#: Name to the search, which fills a memo, and to the most protocols that it judges.
SEARCHES: dict[str, tuple[Callable[[Problem, Memo], None], Callable[[Problem], int]]] = {
    "beam": (beam.beam_search, beam.most_evaluations),
    "exhaustive": (exhaustive.exhaustive_search, exhaustive.most_evaluations),
    "best_first": (best_first_search, exhaustive.most_evaluations),
}


def search(
    space: ActionSpace,
    settings: PlanSettings,
    evaluate: Evaluate,
    allowed: Allowed,
    on_step: OnStep | None = None,
    cancelled: Cancelled = never,
    batch: int = DEFAULT_BATCH,
    score: Score = mean_risk,
    hint: Hint | None = None,
    protocols: Sequence[Protocol] | None = None,
) -> SearchResult:
    """Run the search that the settings name, then the stage for doses if they ask for it.

    Args:
        space: candidates; only the first D drugs and E embolics count.
        settings: search, B (`beams`), D, E, Hd, He and T (`replicas`).
        evaluate: log-risks of batches of trials; never asked twice for one.
        allowed: the clinical rules; must be monotone.
        on_step: called with the result so far after every batch and every step.
        cancelled: asked before every batch; True ends the search with what it has.
        batch: most trials in one batch.
        score: what to rank by; by default the mean log-risk, as printed in the paper.
        hint: what is known of protocols beforehand; best-first simulates less with it, the others do not ask.
        protocols: those to choose from, in place of all combinations; a beam search does not ask.

    Returns:
        Every complete protocol that was judged, by rising risk, and the search tree.

    Raises:
        RuleError: the rules allow no complete protocol.
        RiskError: `evaluate` answered with something that is not a risk.
    """
    problem = Problem(space, settings, allowed, hint, protocols)
    memo = Memo(evaluate, settings.replicas, on_step, cancelled, batch, score)
    run, _ = SEARCHES[settings.search]
    try:
        run(problem, memo)
        if settings.dose_levels:
            best = [p for p, _ in memo.result(FINISHED).ranked[: settings.keep]]
            last = max((e.step for e in memo.tree), default=0)
            doses.refine(memo, best, settings.dose_levels, allowed, last + 1)
    except SearchCancelled:
        return memo.result(CANCELLED)
    memo.report()
    return memo.result(FINISHED)


def expected_evaluations(
    space: ActionSpace, settings: PlanSettings, allowed: Allowed, protocols: Sequence[Protocol] | None = None
) -> int:
    """Upper bound (doses: a guess) for the number of protocols that `search` judges, for showing progress.

    Raises:
        RuleError: the rules allow no complete protocol.
    """
    problem = Problem(space, settings, allowed, None, protocols)
    agents = sum(horizon for _, horizon in problem.stages)
    return SEARCHES[settings.search][1](problem) + 2 * settings.keep * settings.dose_levels * agents
