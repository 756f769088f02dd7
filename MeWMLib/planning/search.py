"""What all searches share: the callables they work over, the problem, the result, and a memo of what was judged.

A search knows neither networks nor clinical rules: it is given callables. Whenever it stops, it returns the best so
far. What is judged is a *trial*: one protocol with one of the T replicas. Replica n has the same seed for every
protocol (common random numbers), so that two protocols differ by their actions alone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import MeWMError, PlanSettingsError, RuleError
from MeWMLib.core.plan import PlanSettings, SearchStep
from MeWMLib.core.protocol import Action, ActionSpace, Protocol
from MeWMLib.core.treatment import TACE

FINISHED, CANCELLED = "finished", "cancelled"
#: The most trials in one batch: two protocols of three replicas.
DEFAULT_BATCH = 6

#: A protocol and the number of a replica, 0 to T - 1.
Trial = tuple[Protocol, int]
Batch = tuple[Trial, ...]
#: Takes every batch that is wanted next and answers batch by batch, in order, with one log-risk for each trial. It may
#: be lazy (one process) or work ahead (several workers). It may raise `SearchCancelled` in the middle of a batch.
Evaluate = Callable[[Sequence[Batch]], Iterator[Sequence[float]]]
#: Whether the clinical rules allow a (perhaps partial) protocol. It must be monotone, as `policy.rules.allowed` is.
Allowed = Callable[[Protocol], bool]
#: What is known of N protocols before anything is simulated: numbers (N, F) that the risk may follow, the first of them
#: rising with it. A search may use them to simulate less; it never ranks by them.
Hint = Callable[[Sequence[Protocol]], NDArray[np.float64]]
#: What a protocol is ranked by, from the log-risks of its replicas; lower is better.
Score = Callable[[Protocol, Sequence[float]], float]


@dataclass(frozen=True)
class SearchResult:
    """What a search found, or has found so far.

    Attributes:
        ranked: complete protocols, all of whose replicas were judged, with their score, lowest first, ties by
            canonical text.
        tree: the expansions in the order in which they were judged; `risk` is the score.
        stopped_by: "finished", or "cancelled" for the result of an incomplete search: what `on_step` gets is what a
            cancel at that moment would leave.
        evaluated: number of different protocols (partial ones included) of which at least one replica was judged.
        simulations: number of trials.
        ruled_out: protocols that a bound or a race excluded before all their replicas were judged.
    """

    ranked: tuple[tuple[Protocol, float], ...]
    tree: tuple[SearchStep, ...]
    stopped_by: str
    evaluated: int
    simulations: int = 0
    ruled_out: int = 0

    @property
    def best(self) -> Protocol | None:
        """The complete protocol of lowest score; None if none was judged before a cancel."""
        return self.ranked[0][0] if self.ranked else None


#: Called after every batch and at the end of every step, with the result so far.
OnStep = Callable[[SearchResult], None]
#: Asked before every batch; True stops the search.
Cancelled = Callable[[], bool]


class RiskError(MeWMError):
    """The evaluation did not answer with one finite risk for each trial."""


class SearchCancelled(Exception):
    """Not an error: it carries a cancel up to where the result is made."""


def never() -> bool:
    """A `Cancelled` that never stops."""
    return False


def mean_risk(_: Protocol, replicas: Sequence[float]) -> float:
    """The plain `Score`: mean log-risk over the replicas (lines 9 and 17 of Algorithm 1)."""
    return float(np.mean(replicas))


def in_turn(judge: Callable[[Batch], Sequence[float]]) -> Evaluate:
    """An `Evaluate` that judges one batch at a time, each when it is asked for."""
    return lambda batches: map(judge, batches)


class Problem:
    """What a search is about.

    Args:
        space: candidates; only the first D drugs and E embolics count.
        settings: beams, horizons, D and E.
        allowed: the clinical rules.
        hint: what is known of protocols beforehand, or None.
        protocols: the protocols to choose from, best guess first, all of them allowed; None for every combination.

    Attributes:
        first: the first choice: of the protocols, or of the policy, see `first_protocol`.
        stages: candidates of each stage, best first, with the largest number of them.

    Raises:
        RuleError: the rules allow no complete protocol.
    """

    def __init__(
        self,
        space: ActionSpace,
        settings: PlanSettings,
        allowed: Allowed,
        hint: Hint | None = None,
        protocols: Sequence[Protocol] | None = None,
    ) -> None:
        space = narrowed(space, settings)
        self.settings, self.allowed, self.hint = settings, allowed, hint
        self.protocols = None if protocols is None else tuple(protocols)
        self.first = self.protocols[0] if self.protocols else first_protocol(space, allowed)
        horizons: list[int] = [getattr(settings, stage.horizon) for stage in TACE.stages]
        self.stages = tuple(zip(actions(space), horizons, strict=True))


class Memo:
    """Judges trials in small batches, each trial once, and keeps the result so far.

    Args:
        evaluate: log-risk of each trial of some batches.
        replicas: T.
        on_step: called after every batch.
        cancelled: asked before every batch.
        batch: most trials in one batch, at least 1. The replicas of a protocol stay in one batch where they fit.
        score: what to rank by.

    Attributes:
        batch, score: as given.
        tree: the expansions of the steps that are over.
        pending: those of the current step; they enter a result as they are judged, none of them kept yet.
        ruled_out: see `SearchResult`.

    Raises:
        PlanSettingsError: a batch for not even one trial.
    """

    def __init__(
        self,
        evaluate: Evaluate,
        replicas: int,
        on_step: OnStep | None = None,
        cancelled: Cancelled = never,
        batch: int = DEFAULT_BATCH,
        score: Score = mean_risk,
    ) -> None:
        if batch < 1:
            raise PlanSettingsError(what="A batch holds at least one simulation", given=str(batch))
        self._evaluate, self._on_step, self._cancelled = evaluate, on_step, cancelled
        self.batch, self.score = batch, score
        self.replicas = replicas
        self._risks: dict[Protocol, dict[int, float]] = {}
        self._scores: dict[Protocol, float] = {}
        self.tree: tuple[SearchStep, ...] = ()
        self.pending: tuple[SearchStep, ...] = ()
        self.ruled_out = 0

    def __getitem__(self, protocol: Protocol) -> float:
        """The score of a protocol all of whose replicas were judged."""
        return self._scores[protocol]

    def __contains__(self, protocol: Protocol) -> bool:
        """True if all replicas of the protocol were judged."""
        return protocol in self._scores

    def key(self, protocol: Protocol) -> tuple[float, int, str]:
        """Sort key: score, then fewer agents, then canonical text, so that every order is the same on every machine."""
        return self._scores[protocol], len(protocol.actions), protocol.text

    def risks(self, protocol: Protocol) -> dict[int, float]:
        """Log-risk of each replica that was judged so far."""
        return self._risks.get(protocol, {})

    def judge(self, protocols: Iterable[Protocol], replicas: Iterable[int] | None = None) -> None:
        """Judge those trials that are new, in the order given.

        Args:
            protocols: any.
            replicas: numbers of replicas; None for all T.

        Raises:
            SearchCancelled: stop was asked for; what was judged until then is kept.
            RiskError: an answer is not a finite number, or there is not one for each trial.
        """
        wanted = range(self.replicas) if replicas is None else tuple(replicas)
        new = [[(p, r) for r in wanted if r not in self.risks(p)] for p in dict.fromkeys(protocols)]
        batches = list(cut([trials for trials in new if trials], self.batch))
        if not batches:
            return
        answers = iter(self._evaluate(batches))
        for batch in batches:
            if self._cancelled():
                raise SearchCancelled
            self._enter(batch, [float(risk) for risk in next(answers)])
            self.report()

    def _enter(self, batch: Batch, risks: Sequence[float]) -> None:
        if len(risks) != len(batch):
            raise RiskError(
                what="The evaluation must answer with one risk for each simulation",
                given=f"{len(risks)} risks for {len(batch)} simulations",
            )
        for (protocol, _), risk in zip(batch, risks, strict=True):
            if not math.isfinite(risk):
                raise RiskError(
                    what="The predicted risk of a protocol is not a finite number",
                    given=f"{risk} for {protocol.text}",
                    remedy="Check the image and the model bundle; the plan holds the protocols judged before",
                )
        for (protocol, number), risk in zip(batch, risks, strict=True):
            known = self._risks.setdefault(protocol, {})
            known[number] = risk
            if len(known) == self.replicas:
                self._scores[protocol] = self.score(protocol, [known[n] for n in range(self.replicas)])

    def expand(self, steps: Iterable[SearchStep]) -> None:
        """Judge the children of a step of the search; until `settle` they are pending."""
        self.pending = tuple(steps)
        self.judge(step.child for step in self.pending)

    def settle(self, kept: Collection[SearchStep] = ()) -> None:
        """End the step: what was pending enters the tree with its score; the search goes on with those `kept`."""
        self.tree += tuple(replace(step, risk=self[step.child], kept=step in kept) for step in self.pending)
        self.pending = ()

    def report(self) -> None:
        """Call `on_step` with the result so far."""
        if self._on_step is not None:
            self._on_step(self.result(CANCELLED))

    def result(self, stopped_by: str) -> SearchResult:
        """Everything judged so far; partial protocols are in the tree, never in the ranking."""
        ranked = sorted((p for p in self._scores if p.complete), key=self.key)
        tree = self.tree + tuple(replace(e, risk=self[e.child]) for e in self.pending if e.child in self)
        simulations = sum(map(len, self._risks.values()))
        return SearchResult(
            tuple((p, self[p]) for p in ranked), tree, stopped_by, len(self._risks), simulations, self.ruled_out
        )


def cut(trials: Sequence[Sequence[Trial]], size: int) -> Iterator[Batch]:
    """Cut the trials of some protocols into batches of at most `size`, those of one protocol together if they fit."""
    batch: list[Trial] = []
    for group in trials:
        if batch and len(batch) + len(group) > size:
            yield tuple(batch)
            batch = []
        batch += group
        while len(batch) > size:
            yield tuple(batch[:size])
            batch = batch[size:]
    if batch:
        yield tuple(batch)


def actions(space: ActionSpace) -> tuple[tuple[Action, ...], ...]:
    """The candidates of each stage (drugs, then embolics) as actions without dose, best first, each once."""
    return tuple(tuple(Action(name) for name in dict.fromkeys(space.of_kind(stage.kind))) for stage in TACE.stages)


def narrowed(space: ActionSpace, settings: PlanSettings) -> ActionSpace:
    """The first D drugs and E embolics of an action space."""
    return replace(space, drugs=space.drugs[: settings.drugs], embolics=space.embolics[: settings.embolics])


def first_protocol(space: ActionSpace, allowed: Allowed) -> Protocol:
    """The policy's first choice: the best-ranked pair of a drug and an embolic that the rules allow.

    As `allowed` is monotone, any complete protocol that is allowed contains such a pair: if there is none, there is
    nothing to search.

    Raises:
        RuleError: the rules allow no complete protocol, or no drug is offered, as where a goal asks for none.
    """
    if not space.drugs:
        raise RuleError(
            what="A search of all combinations needs a drug, and none is offered",
            given=f"embolics: {', '.join(space.embolics) or 'none'}",
            remedy="Search among the templates, which hold bland embolisation (--space templates), or offer a drug",
        )
    ranked = itertools.product(*(enumerate(candidates) for candidates in actions(space)))
    for pair in sorted(ranked, key=lambda pair: (sum(rank for rank, _ in pair), pair[0][0])):
        protocol = Protocol(tuple(action for _, action in pair))
        if allowed(protocol):
            return protocol
    raise RuleError(
        what="The clinical rules forbid every complete protocol",
        given=f"drugs: {', '.join(space.drugs) or 'none'}; embolics: {', '.join(space.embolics) or 'none'}",
        remedy="Offer more agents, or check the patient's clinical data against the contraindications",
    )
