"""Exploration: Algorithm 1 of arXiv 2506.02327 over whatever can judge a protocol. Networks live elsewhere.

It joins a search, the clinical rules, the journal and the explanation to a `Plan`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import Candidate, Plan, PlanSettings, Risk, RuleFinding, TumourChange
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.planning.explain import Watched, contributions
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import DEFAULT_BATCH, Batch, Cancelled, Hint, SearchCancelled, SearchResult, never
from MeWMLib.planning.searches import expected_evaluations, search
from MeWMLib.planning.utility import score_of
from MeWMLib.policy import rules

__all__ = ["Explorer", "Judge", "SearchCancelled", "ReplicaScore", "explore"]


@dataclass(frozen=True)
class ReplicaScore:
    """What one simulated replica says; a few numbers, so that thousands fit into memory and a journal.

    Attributes:
        log_risk, months, survival: what the survival network says.
        change: what happened to the tumour.
        members: log-risk by each member of the survival ensemble; empty without one.
    """

    log_risk: float
    months: tuple[float, ...]
    survival: tuple[float, ...]
    change: TumourChange
    members: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON-ready form; floats keep all their bits."""
        return {
            "log_risk": self.log_risk,
            "months": list(self.months),
            "survival": list(self.survival),
            "change": self.change.to_json(),
            "members": list(self.members),
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ReplicaScore:
        """Read the form of `to_json`."""
        return cls(
            data["log_risk"],
            tuple(data["months"]),
            tuple(data["survival"]),
            TumourChange.from_json(data["change"]),
            tuple(data.get("members", ())),
        )


#: Takes every batch that is wanted next and answers batch by batch, in order; may raise `SearchCancelled`.
Judge = Callable[[Sequence[Batch]], Iterator[Sequence[ReplicaScore]]]


class Explorer:
    """One search over one patient: keeps every verdict, asks the journal first.

    Args:
        clinical: what the rules look at.
        settings: of the plan.
        judge: simulates and judges.
        journal: of an earlier run with the same key, or None.
    """

    def __init__(
        self, clinical: Clinical, settings: PlanSettings, judge: Judge, journal: Journal | None = None
    ) -> None:
        self._clinical, self._settings, self._judge, self._journal = clinical, settings, judge, journal
        self._known: dict[Protocol, dict[int, ReplicaScore]] = {}
        self._log_risk: dict[Protocol, float] = {}
        self._checked: dict[Protocol, tuple[RuleFinding, ...]] = {}
        self.allowed = Watched(
            lambda p: rules.allowed(p, clinical),
            lambda p: [f.rule for f in rules.check(p, clinical, complete=False) if f.severity == rules.FORBIDDEN],
        )

    def evaluate(self, batches: Sequence[Batch]) -> Iterator[Sequence[float]]:
        """Log-risks of batches, in order, each batch when it is asked for."""
        recalled = {b: self._journal.recall(b) for b in batches} if self._journal else {}
        judged = iter(self._judge([b for b in batches if recalled.get(b) is None]))
        for batch in batches:
            found = recalled.get(batch)
            if found is not None:
                verdicts: Sequence[ReplicaScore] = [ReplicaScore.from_json(v) for v in found]
            else:
                verdicts = next(judged)
                if self._journal is not None:
                    self._journal.record(batch, [v.to_json() for v in verdicts])
            for (protocol, number), verdict in zip(batch, verdicts, strict=True):
                known = self._known.setdefault(protocol, {})
                known[number] = verdict
                if len(known) == self._settings.replicas:
                    self._log_risk[protocol] = self._risk(protocol).log_risk
            yield [v.log_risk for v in verdicts]

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
        return Candidate(
            protocol,
            self._risk(protocol),
            mean_change([v.change for v in self._known[protocol].values()]),
            self._check(protocol),
            utility=utility,
            contributions=contributions(protocol, self._log_risk),
        )

    def _check(self, protocol: Protocol) -> tuple[RuleFinding, ...]:
        if protocol not in self._checked:
            self._checked[protocol] = rules.check(protocol, self._clinical, complete=False)
        return self._checked[protocol]

    def _risk(self, protocol: Protocol) -> Risk:
        known = self._known[protocol]
        return mean_risk([known[n] for n in sorted(known)])


def explore(
    space: ActionSpace,
    settings: PlanSettings,
    clinical: Clinical,
    judge: Judge,
    journal: Journal | None = None,
    on_plan: Callable[[Plan, float], None] | None = None,
    cancelled: Cancelled = never,
    batch: int = DEFAULT_BATCH,
    hint: Hint | None = None,
) -> Plan:
    """Search the protocol of lowest predicted risk.

    Args:
        space: what the policy proposes.
        settings: search, beams, horizons, replicas, weights.
        clinical: what the rules look at.
        judge: simulates and judges batches of protocols and replicas.
        journal: answers what an earlier run has judged, and takes what is judged now.
        on_plan: called with the best plan so far and the finished share after each batch.
        cancelled: asked between batches.
        batch: most simulations in one batch.
        hint: what is known of protocols beforehand.

    Raises:
        RuleError: the rules allow no protocol of this space.
    """
    explorer = Explorer(clinical, settings, judge, journal)
    expected = expected_evaluations(space, settings, explorer.allowed)

    def on_step(found: SearchResult) -> None:
        if on_plan is not None and found.ranked:
            on_plan(explorer.plan(found), min(1.0, found.evaluated / max(1, expected)))

    score = score_of(settings, explorer.warnings)
    found = search(space, settings, explorer.evaluate, explorer.allowed, on_step, cancelled, batch, score, hint)
    return explorer.plan(found)


def mean_risk(judged: Sequence[ReplicaScore]) -> Risk:
    """Risk over replicas."""
    curve = np.mean([j.survival for j in judged], axis=0)
    members = np.mean([j.members for j in judged], axis=0)
    return Risk(
        tuple(j.log_risk for j in judged),
        judged[0].months,
        tuple(float(p) for p in curve),
        tuple(float(m) for m in members),
    )


def mean_change(changes: Sequence[TumourChange]) -> TumourChange:
    """Mean over the replicas, field by field."""
    names = TumourChange.__dataclass_fields__
    return TumourChange(**{name: float(np.mean([getattr(c, name) for c in changes])) for name in names})
