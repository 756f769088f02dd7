"""The searches by name, with the optional second stage for doses behind each."""

from __future__ import annotations

import typing
from collections.abc import Callable
from functools import partial

from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.planning import beam, best_first, doses, exhaustive
from MeWMLib.planning.search import (
    DEFAULT_BATCH,
    Allowed,
    Cancelled,
    Evaluate,
    Further,
    Hint,
    Memo,
    OnStep,
    Score,
    SearchResult,
    mean_risk,
    never,
    nothing_further,
    nothing_to_report,
)


class Search(typing.Protocol):
    """What every search is; see `beam.beam_search` for the arguments."""

    def __call__(
        self,
        space: ActionSpace,
        settings: PlanSettings,
        evaluate: Evaluate,
        allowed: Allowed,
        on_step: OnStep = nothing_to_report,
        cancelled: Cancelled = never,
        batch: int = DEFAULT_BATCH,
        score: Score = mean_risk,
        further: Further = nothing_further,
    ) -> SearchResult: ...


#: Name to the search, and to the upper bound of the protocols that it judges.
SEARCHES: dict[str, tuple[Search, Callable[[ActionSpace, PlanSettings, Allowed], int]]] = {
    "beam": (beam.beam_search, beam.expected_evaluations),
    "exhaustive": (exhaustive.exhaustive_search, exhaustive.expected_evaluations),
    "best_first": (best_first.best_first_search, best_first.expected_evaluations),
}


def search(
    space: ActionSpace,
    settings: PlanSettings,
    evaluate: Evaluate,
    allowed: Allowed,
    on_step: OnStep = nothing_to_report,
    cancelled: Cancelled = never,
    batch: int = DEFAULT_BATCH,
    score: Score = mean_risk,
    hint: Hint | None = None,
) -> SearchResult:
    """Run the search that the settings name, then the stage for doses if they ask for it; see `Search`.

    Args:
        hint: what is known of protocols beforehand; best-first simulates less with it, the others do not ask.
    """
    run, _ = SEARCHES[settings.search]
    if settings.search == "best_first":
        run = partial(best_first.best_first_search, hint=hint)

    def second_stage(memo: Memo) -> None:
        if settings.dose_levels:
            best = [p for p, _ in memo.result("finished").ranked[: settings.keep]]
            last = max((e.step for e in memo.tree), default=0)
            doses.refine(memo, best, settings.dose_levels, allowed, last + 1)

    return run(space, settings, evaluate, allowed, on_step, cancelled, batch, score, second_stage)


def expected_evaluations(space: ActionSpace, settings: PlanSettings, allowed: Allowed) -> int:
    """Upper bound (doses: a guess) for the number of protocols that `search` judges, for showing progress.

    Raises:
        RuleError: the rules allow no complete protocol.
    """
    total = SEARCHES[settings.search][1](space, settings, allowed)
    agents = settings.drug_horizon + settings.embolic_horizon
    return total + 2 * settings.keep * settings.dose_levels * agents
