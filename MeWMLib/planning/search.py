"""What both searches share: the callables they work over, their result, and a memo that judges no protocol twice.

A search knows neither networks nor clinical rules: it gets callables. Whatever it stops at, it returns the best so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from MeWMLib.core.errors import MeWMError, PlanSettingsError, RuleError
from MeWMLib.core.plan import PlanSettings, SearchStep
from MeWMLib.core.protocol import Action, ActionSpace, Protocol

FINISHED, CANCELLED = "finished", "cancelled"
#: How many protocols one call of `Evaluate` holds at most: small, so that cancel takes effect soon.
DEFAULT_BATCH = 4


@dataclass(frozen=True)
class SearchResult:
    """What a search found, or has found so far.

    Attributes:
        ranked: complete protocols with their risk (mean log-risk), lowest first, ties by canonical text.
        tree: the expansions in the order in which they were judged.
        stopped_by: "finished", or "cancelled" for a result that does not hold the whole search: what `on_step` sees
            is what a cancel at that moment would leave.
        evaluated: number of different protocols (partial ones included) that were judged.
    """

    ranked: tuple[tuple[Protocol, float], ...]
    tree: tuple[SearchStep, ...]
    stopped_by: str
    evaluated: int

    @property
    def best(self) -> Protocol | None:
        """The complete protocol of lowest risk; None if none was judged before a cancel."""
        return self.ranked[0][0] if self.ranked else None


#: Mean log-risk over the replicas for each protocol, in the order given.
Evaluate = Callable[[Sequence[Protocol]], Sequence[float]]
#: Whether the clinical rules let a (maybe partial) protocol stand. It must be monotone, as `policy.rules.allowed` is.
Allowed = Callable[[Protocol], bool]
#: Called after every batch and at the end of every step, with the result so far.
OnStep = Callable[[SearchResult], None]
#: Asked before every batch; True stops the search.
Cancelled = Callable[[], bool]


class RiskError(MeWMError):
    """The evaluation did not answer with one finite risk for each protocol."""


class SearchCancelled(Exception):
    """No error: it carries a cancel up to where the result is made, and never leaves `planning`."""


def nothing_to_report(_: SearchResult) -> None:
    """An `OnStep` that does nothing."""


def never() -> bool:
    """A `Cancelled` that never stops."""
    return False


class Memo:
    """Judges protocols in small batches, each protocol once, and keeps the result so far.

    Args:
        evaluate: mean log-risk of each of some protocols.
        on_step: told after every batch.
        cancelled: asked before every batch.
        batch: most protocols in one call of `evaluate`, at least 1.

    Attributes:
        tree: the expansions of the steps that are over.
        pending: those of the step that is on; they enter a result as they are judged, none of them kept yet.

    Raises:
        PlanSettingsError: a batch of no protocol.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        on_step: OnStep = nothing_to_report,
        cancelled: Cancelled = never,
        batch: int = DEFAULT_BATCH,
    ) -> None:
        if batch < 1:
            raise PlanSettingsError(what="A batch holds at least one protocol", given=str(batch))
        self._evaluate, self._on_step, self._cancelled, self._batch = evaluate, on_step, cancelled, batch
        self._risks: dict[Protocol, float] = {}
        self.tree: tuple[SearchStep, ...] = ()
        self.pending: tuple[SearchStep, ...] = ()

    def __getitem__(self, protocol: Protocol) -> float:
        """The risk of a protocol that was judged."""
        return self._risks[protocol]

    def key(self, protocol: Protocol) -> tuple[float, str]:
        """Sort key: risk, then canonical text, so that every order is the same on every machine."""
        return self._risks[protocol], protocol.text

    def judge(self, protocols: Iterable[Protocol]) -> None:
        """Judge those of the protocols that are new, in the order given.

        Raises:
            SearchCancelled: stop was asked for; what was judged until then is kept.
            RiskError: the answer is no finite number, or not one for each protocol.
        """
        new = [p for p in dict.fromkeys(protocols) if p not in self._risks]
        for start in range(0, len(new), self._batch):
            batch = new[start : start + self._batch]
            if self._cancelled():
                raise SearchCancelled
            risks = [float(risk) for risk in self._evaluate(tuple(batch))]
            if len(risks) != len(batch):
                raise RiskError(
                    what="The evaluation must answer with one risk for each protocol",
                    given=f"{len(risks)} risks for {len(batch)} protocols",
                )
            for protocol, risk in zip(batch, risks, strict=True):
                if not math.isfinite(risk):
                    raise RiskError(
                        what="The predicted risk of a protocol is no finite number",
                        given=f"{risk} for {protocol.text}",
                        remedy="Check the image and the model bundle; the protocols judged before stand in the plan",
                    )
            self._risks.update(zip(batch, risks, strict=True))
            self.report()

    def report(self) -> None:
        """Tell `on_step` the result so far."""
        self._on_step(self.result(CANCELLED))

    def result(self, stopped_by: str) -> SearchResult:
        """Everything judged so far; partial protocols stand in the tree, never in the ranking."""
        ranked = sorted((p for p in self._risks if p.complete), key=self.key)
        tree = self.tree + tuple(replace(e, risk=self[e.child]) for e in self.pending if e.child in self._risks)
        return SearchResult(tuple((p, self[p]) for p in ranked), tree, stopped_by, len(self._risks))


def actions(space: ActionSpace) -> tuple[tuple[Action, ...], tuple[Action, ...]]:
    """The drugs and the embolics of an action space as actions without dose, best first, each once."""
    return (
        tuple(Action(name) for name in dict.fromkeys(space.drugs)),
        tuple(Action(name) for name in dict.fromkeys(space.embolics)),
    )


def narrowed(space: ActionSpace, settings: PlanSettings) -> ActionSpace:
    """The first D drugs and E embolics of an action space."""
    return ActionSpace(
        space.drugs[: settings.drugs], space.embolics[: settings.embolics], dict(space.reasons), space.policy
    )


def first_protocol(space: ActionSpace, allowed: Allowed) -> Protocol:
    """The policy's first choice: the best-ranked pair of a drug and an embolic that the rules allow.

    As `allowed` is monotone, any complete protocol that is allowed contains such a pair: if there is none, there is
    nothing to search.

    Raises:
        RuleError: the rules allow no complete protocol.
    """
    drugs, embolics = actions(space)
    pairs = [(i + j, i, Protocol((d, e))) for i, d in enumerate(drugs) for j, e in enumerate(embolics)]
    for _, _, protocol in sorted(pairs, key=lambda pair: pair[:2]):
        if allowed(protocol):
            return protocol
    raise RuleError(
        what="The clinical rules leave no complete protocol to choose from",
        given=f"drugs: {', '.join(space.drugs) or 'none'}; embolics: {', '.join(space.embolics) or 'none'}",
        remedy="Offer more agents, or check the patient's clinical data against the contraindications",
    )
