"""Exploration: Algorithm 1 of arXiv 2506.02327 over any function that scores protocols. The networks live elsewhere.

It joins a search, the clinical rules, the journal and the explanation to a `Plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from MeWMLib.core.comparison import Comparison
from MeWMLib.core.goal import Goal
from MeWMLib.core.outcome import CrossCheck, ReplicaScore, Risk, TumourChange
from MeWMLib.core.patient import Clinical, Findings
from MeWMLib.core.plan import Candidate, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.records import to_plain
from MeWMLib.core.templates import DoseOf, completions
from MeWMLib.planning.explain import Watched, contributions
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import DEFAULT_BATCH, Batch, Cancelled, Hint, SearchResult, narrowed, never
from MeWMLib.planning.searches import expected_evaluations, search
from MeWMLib.planning.utility import score_of
from MeWMLib.policy import rules

#: Takes every batch that is wanted next and answers batch by batch, in order; may raise `SearchCancelled`.
ScoreBatches = Callable[[Sequence[Batch]], Iterator[Sequence[ReplicaScore]]]


class Explorer:
    """One search over one patient: keeps every score, asks the journal first.

    Args:
        clinical: what the rules look at.
        settings: of the plan.
        score: simulates and scores.
        journal: of an earlier run with the same key, or None.
        findings, goal: what else the rules look at.
        comparison: how predicted differences relate to true ones.
    """

    def __init__(
        self,
        clinical: Clinical,
        settings: PlanSettings,
        score: ScoreBatches,
        journal: Journal | None = None,
        findings: Findings | None = None,
        goal: Goal | None = None,
        comparison: Comparison | None = None,
    ) -> None:
        self._comparison = comparison
        self._settings, self._score, self._journal = settings, score, journal
        self._known: dict[Protocol, dict[int, ReplicaScore]] = {}
        self._risks: dict[Protocol, Risk] = {}
        self._rules: dict[str, Any] = {"clinical": clinical, "findings": findings, "goal": goal}
        self._check = cache(lambda p: rules.check(p, complete=False, **self._rules))
        self.allowed = Watched(
            lambda p: not rules.blocking(self._check(p), goal),
            lambda p: [f.rule for f in rules.blocking(self._check(p), goal)],
        )

    def evaluate(self, batches: Sequence[Batch]) -> Iterator[Sequence[float]]:
        """Log-risks of batches, in order, each batch when it is asked for."""
        recalled = {b: self._journal.recall(b) for b in batches} if self._journal else {}
        fresh = iter(self._score([b for b in batches if recalled.get(b) is None]))
        for batch in batches:
            found = recalled.get(batch)
            if found is not None:
                scores: Sequence[ReplicaScore] = [ReplicaScore.from_json(s) for s in found]
            else:
                scores = next(fresh)
                if self._journal is not None:
                    self._journal.record(batch, to_plain(scores))
            for (protocol, number), score in zip(batch, scores, strict=True):
                known = self._known.setdefault(protocol, {})
                known[number] = score
                if len(known) == self._settings.replicas:
                    self._risks[protocol] = Risk.over(self._scores(protocol))
            yield [s.log_risk for s in scores]

    def warnings(self, protocol: Protocol) -> int:
        """How many rules warn of a protocol."""
        return sum(f.severity == rules.WARNING for f in self._check(protocol))

    def plan(self, found: SearchResult) -> Plan:
        """The result of a search as a plan."""
        weighted = any(self._settings.weights.values())
        candidates = tuple(self._candidate(p, score if weighted else None) for p, score in found.ranked)
        return Plan(
            candidates,
            found.tree,
            found.stopped_by,
            found.evaluated,
            found.simulations,
            found.ruled_out,
            self.allowed.pruned(),
        )

    def _candidate(self, protocol: Protocol, utility: float | None) -> Candidate:
        scores = self._scores(protocol)
        return Candidate(
            protocol,
            Risk.over(scores),
            TumourChange.mean([s.change for s in scores]),
            rules.check(protocol, **self._rules),
            utility=utility,
            contributions=contributions(protocol, self._risks, self._comparison),
            unjudged=rules.unjudged(rules.explain(protocol, **self._rules)),
            viable=CrossCheck.over(scores),
        )

    def _scores(self, protocol: Protocol) -> list[ReplicaScore]:
        """Its replicas in the order of their seeds."""
        known = self._known[protocol]
        return [known[n] for n in sorted(known)]


def count_warnings(
    protocol: Protocol, clinical: Clinical, findings: Findings | None = None, goal: Goal | None = None
) -> int:
    """How many rules and limits warn of a protocol: the term "toxicity" of the utility. A note is no warning."""
    found = rules.check(protocol, clinical, complete=False, findings=findings, goal=goal)
    return sum(f.severity == rules.WARNING for f in found)


def explore(
    space: ActionSpace,
    settings: PlanSettings,
    clinical: Clinical,
    score: ScoreBatches,
    journal: Journal | None = None,
    on_plan: Callable[[Plan, float], None] | None = None,
    cancelled: Cancelled = never,
    batch: int = DEFAULT_BATCH,
    hint: Hint | None = None,
    dose: DoseOf | None = None,
    findings: Findings | None = None,
    goal: Goal | None = None,
    comparison: Comparison | None = None,
) -> Plan:
    """Search the protocol of lowest predicted risk.

    Args:
        space: what the policy proposes.
        settings: search, beams, horizons, replicas, weights.
        clinical: what the rules look at.
        score: simulates and scores batches of protocols and replicas.
        journal: answers what an earlier run has simulated, and takes what is simulated now.
        on_plan: called with the best plan so far and the finished share after each batch.
        cancelled: asked between batches.
        batch: most simulations in one batch.
        hint: what is known of protocols beforehand.
        dose: of an agent in a slot; only protocols that fill a template with the agents of the space are searched then
            (`core.templates`). None for all combinations, without doses.
        findings, goal: what else the rules look at.
        comparison: how predicted differences relate to true ones, for what each action moved.

    Raises:
        RuleError: the rules allow no protocol of this space.
    """
    explorer = Explorer(clinical, settings, score, journal, findings, goal, comparison)
    protocols = None
    if dose is not None:
        most = settings.drug_horizon, settings.embolic_horizon
        protocols = completions(narrowed(space, settings), explorer.allowed, dose, *most)
    expected = expected_evaluations(space, settings, explorer.allowed, protocols)

    def on_step(found: SearchResult) -> None:
        if on_plan is not None and found.ranked:
            on_plan(explorer.plan(found), min(1.0, found.evaluated / max(1, expected)))

    utility = score_of(settings, explorer.warnings)
    found = search(
        space, settings, explorer.evaluate, explorer.allowed, on_step, cancelled, batch, utility, hint, protocols
    )
    return explorer.plan(found)
