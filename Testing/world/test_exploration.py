"""Exploration over a toy in place of the networks: a plan says why, a journal saves the work and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from MeWMLib.core.comparison import Comparison, Difference
from MeWMLib.core.errors import RuleError
from MeWMLib.core.goal import Goal
from MeWMLib.core.outcome import ReplicaScore, TumourChange
from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.plan import SEARCH_NAMES, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.planning.journal import Journal
from MeWMLib.planning.search import Batch, SearchCancelled
from MeWMLib.world.exploration import count_warnings, explore

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
    assert not any(c.difference for c in known), "nobody said how far predictions are from the truth"
    comparison = Comparison(gain=0.5, error=0.2, spread=0.0)
    told = explore(SPACE, PlanSettings(search="beam", replicas=1), Clinical(), Toy(), comparison=comparison)
    moved = [c for one in told.candidates for c in one.contributions if c.risk_change is not None]
    assert moved and all(c.difference == Difference(c.risk_change, 0.2, 0.5, 0.9) for c in moved)
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


def test_goal_and_findings_count_in_the_search() -> None:
    lesion = Lesion(1, 900.0, 120.0, (0.0, 0.0, 0.0), 60.0, 10.0, 0.0, 0.0, 900.0)
    findings, goal = Findings(1500.0, 100.0, (lesion,)), Goal(excluded=("Cisplatin",))
    settings = PlanSettings(space="free", replicas=1, search="exhaustive")
    plan = explore(SPACE, settings, Clinical(), Toy(), findings=findings, goal=goal)
    assert plan.candidates and all("Cisplatin" not in c.protocol.agents for c in plan.candidates)
    assert all([w.rule for w in c.warnings] == ["tumour-burden"] for c in plan.candidates)
    assert all(c.unjudged and "tumour_burden_percent" not in c.unjudged for c in plan.candidates)
    assert {rule for pruned in plan.pruned for rule in pruned.rules} >= {"goal-excludes"}


def test_a_note_costs_nothing_and_a_limit_does() -> None:
    beads, much = Protocol.parse("Doxorubicin 50 mg + LC beads 2 ml"), Protocol.parse("Epirubicin + Lipiodol 18 ml")
    assert count_warnings(beads, Clinical()) == 0 < count_warnings(much, Clinical())
    lesion = Lesion(1, 900.0, 120.0, (0.0, 0.0, 0.0), 60.0, 10.0, 0.0, 0.0, 900.0)
    assert count_warnings(beads, Clinical(), Findings(1500.0, 100.0, (lesion,))) == 1


def test_embolisation_alone_is_noted_in_a_plan() -> None:
    space = ActionSpace((), ("PVA",), {}, "test")
    plan = explore(space, PlanSettings(replicas=1), Clinical(), Toy(), dose=lambda slot, name: None)
    assert [w.rule for w in plan.candidates[0].warnings] == ["bland-embolisation"]


def test_a_contraindication_stops_a_search_unless_the_user_insists_and_marks_what_is_found() -> None:
    moribund, settings = Clinical(bclc_stage="D"), PlanSettings(search="exhaustive", space="free", replicas=1)
    with pytest.raises(RuleError, match="contraindications"):
        explore(SPACE, settings, moribund, Toy())
    plan = explore(SPACE, settings, moribund, Toy(), goal=Goal(insists=True))
    assert plan.candidates and all("bclc-d" in candidate.forbidden for candidate in plan.candidates)
    # in all else it is the plan of a patient in whom nothing forbids it
    plain = explore(SPACE, settings, Clinical(), Toy())
    assert [c.protocol for c in plan.candidates] == [c.protocol for c in plain.candidates]
