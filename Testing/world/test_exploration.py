"""Exploration over a toy in place of the networks: a plan says why, a journal saves the work and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from MeWMLib.core.outcome import ReplicaScore, TumourChange
from MeWMLib.core.patient import Clinical
from MeWMLib.core.plan import SEARCH_NAMES, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import Batch, SearchCancelled
from MeWMLib.world.exploration import explore

SPACE = ActionSpace(("Cisplatin", "Oxaliplatin", "Mitomycin"), ("Lipiodol", "PVA", "Gelatin Sponge"), {}, "test")


class Toy:
    """Scores by the lengths of names; counts."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.trials: list[tuple[str, int]] = []
        self.stop_after = stop_after

    def __call__(self, batches: Sequence[Batch]) -> Iterator[list[ReplicaScore]]:
        for batch in batches:
            if self.stop_after is not None and len(self.trials) >= self.stop_after:
                raise SearchCancelled
            self.trials += [(p.text, n) for p, n in batch]
            yield [self.score(len(p.text), n) for p, n in batch]

    @staticmethod
    def score(length: int, replica: int) -> ReplicaScore:
        risk = 1.0 / length + 0.01 * replica
        return ReplicaScore(risk, (0.0, 12.0), (1.0, 0.9 - risk), TumourChange(9, 8, 7, 6 * risk, 0, 30, 20))


@pytest.mark.parametrize("name", SEARCH_NAMES)
def test_a_journal_saves_all_the_work_and_changes_nothing(name: str, tmp_path: Path) -> None:
    settings = PlanSettings(search=name, replicas=2)
    plain = explore(SPACE, settings, Clinical(), Toy())
    first, second = Toy(), Toy()
    with Journal(tmp_path / "j", {}) as journal:
        assert explore(SPACE, settings, Clinical(), first, journal) == plain
    with Journal(tmp_path / "j", {}) as journal:
        assert explore(SPACE, settings, Clinical(), second, journal) == plain
    assert first.trials and not second.trials


def test_a_cancel_inside_a_batch_leaves_the_best_so_far_and_can_be_gone_on_with(tmp_path: Path) -> None:
    settings = PlanSettings(replicas=2)
    seen: list[Plan] = []
    with Journal(tmp_path / "j", {}) as journal:
        cut_short = explore(SPACE, settings, Clinical(), Toy(8), journal, lambda p, f: seen.append(p))
    assert cut_short.stopped_by == "cancelled" and cut_short.candidates
    assert replace(cut_short, pruned=()) == replace(seen[-1], pruned=()), "more may have been pruned since"
    rest = Toy()
    with Journal(tmp_path / "j", {}) as journal:
        whole = explore(SPACE, settings, Clinical(), rest, journal)
    assert whole == explore(SPACE, settings, Clinical(), Toy())
    assert len(rest.trials) == whole.simulations - cut_short.simulations


def test_a_plan_says_what_moved_the_risk_and_what_was_pruned() -> None:
    plan = explore(SPACE, PlanSettings(search="beam", replicas=1), Clinical(), Toy())
    assert any("at-most-one-platinum" in r or "platinum" in r for p in plan.pruned for r in p.rules)
    longest = max(plan.candidates, key=lambda c: len(c.protocol.actions))
    known = [c for c in longest.contributions if c.risk_change is not None]
    assert known and all(c.risk_change == pytest.approx(longest.risk.log_risk - c.risk_without) for c in known)
    assert {c.action for c in longest.contributions} == {a.text for a in longest.protocol.actions}
    written = plan.to_json()
    assert written["pruned"] and written["simulations"] == plan.simulations == plan.evaluated


def test_a_weight_changes_the_ranking_and_is_shown() -> None:
    plain = explore(SPACE, PlanSettings(search="exhaustive", space="free", replicas=1), Clinical(), Toy())
    settings = PlanSettings(search="exhaustive", space="free", replicas=1, complexity_weight=1.0)
    short = explore(SPACE, settings, Clinical(), Toy())
    assert len(plain.candidates[0].protocol.actions) == 4 and plain.candidates[0].utility is None
    best = short.candidates[0]
    assert len(best.protocol.actions) == 2 and best.utility == pytest.approx(best.risk.log_risk)
    assert [c.utility for c in short.candidates] == sorted(c.utility for c in short.candidates if c.utility is not None)
