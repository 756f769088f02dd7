"""The fast way to a plan against the slow one: the same first ranks, and figures that notice where they are not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.outcome import Risk
from MeWMLib.core.plan import Plan, PlanSettings
from MeWMLib.lab.evaluation.fast_plans import FastPlanSettings, Planner, agreement
from MeWMLib.world.model import WorldModel
from Testing.world.lesions import BALLS, people


@pytest.fixture(scope="module")
def planner(tiny_map_bundle: Bundle) -> Planner:
    return Planner(FastPlanSettings(str(tiny_map_bundle.path), replicas=2, seed=0))


def test_the_slow_way_is_in_float32_and_simulates_everything(planner: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[PlanSettings] = []
    real = WorldModel.plan

    def plan(world: WorldModel, patient: object, space: object, settings: PlanSettings, seed: int) -> Plan:
        asked.append(settings)
        return real(world, patient, space, settings, seed)  # type: ignore[arg-type]

    monkeypatch.setattr(WorldModel, "plan", plan)
    monkeypatch.setattr(Planner, "patient", lambda self, name: people(*BALLS))
    found = planner("anybody")
    assert [s.search for s in asked] == ["best_first", "exhaustive"]
    assert not planner.slow.simulator.maps.mixed and not planner.slow.segmenter.mixed  # type: ignore[attr-defined]
    assert found["same_or_equal"] == 1.0 and found["score_lost"] == pytest.approx(0, abs=0.02)
    assert found["simulations"] < 1 and found["log_risk_apart"] < 0.05


def test_other_ranks_are_noticed(planner: Planner) -> None:
    plan = planner.fast.plan(people(*BALLS), settings=PlanSettings(replicas=2), seed=0)
    one, two, three, *_ = plan.candidates
    assert agreement(planner.fast, plan, plan) == {
        "same": 1, "same_or_equal": 1, "score_lost": 0, "log_risk_apart": 0, "simulations": 1
    }  # fmt: skip

    def raised(by: float) -> Risk:
        return replace(one.risk, replicas=tuple(r + by for r in one.risk.replicas))

    worse = replace(one, risk=raised(9.0), utility=9.0 + (one.utility or 0.0))
    other = replace(plan, candidates=(two, three, worse))
    found = agreement(planner.fast, plan, other)
    assert found["same"] == 0 and found["same_or_equal"] < 1
    assert found["score_lost"] == pytest.approx(9.0 + (one.utility or 0) - (two.utility or 0))
    assert found["log_risk_apart"] == pytest.approx(9.0)
