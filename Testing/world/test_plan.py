"""What a plan costs: nothing is simulated twice, memory that runs out halves a chunk, a cancel acts inside a batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.plan import PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.planning.journal import Journal
from MeWMLib.world.model import WorldModel

FAST = PlanSettings(
    space="free", beams=2, drugs=2, embolics=2, drug_horizon=1, embolic_horizon=1, replicas=3, steps=1, keep=2
)
SPACE = ActionSpace(("Cisplatin", "Doxorubicin"), ("Lipiodol", "PVA"), {}, "test")
A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Doxorubicin + PVA")


@pytest.fixture
def world(tiny_bundle: Bundle) -> WorldModel:
    return WorldModel.load(tiny_bundle, "cpu")


@pytest.fixture
def patient(world: WorldModel) -> Patient:
    geometry = Geometry((20, 40, 40), np.diag([-1.6, -1.6, 3.0, 1.0]))
    distance = np.linalg.norm(np.stack(np.indices(geometry.shape), -1) * [3.0, 1.6, 1.6] - [30, 32, 32], axis=-1)
    labels = LabelMap(np.where(distance < 10, 2, 1).astype(np.uint8), geometry)
    ct = Volume(np.random.default_rng(0).normal(100, 15, geometry.shape).astype(np.int16), geometry)
    return world.patient(ct, labels, Clinical())


@pytest.fixture
def chunks(world: WorldModel, monkeypatch: pytest.MonkeyPatch) -> list[list[tuple[str, int]]]:
    """What went through the networks together, without what only fills a chunk."""
    seen: list[list[tuple[str, int]]] = []
    real = world.simulator._chunk

    def counted(ready: Any, trials: Any, asked: Any, *more: Any) -> Any:
        seen.append([(p.text, s) for p, s in trials[: len(asked)]])
        return real(ready, trials, asked, *more)

    monkeypatch.setattr(world.simulator, "_chunk", counted)
    return seen


def test_nothing_is_simulated_twice_not_even_for_writing(
    world: WorldModel, patient: Patient, chunks: list[list[tuple[str, int]]]
) -> None:
    plan = world.plan(patient, SPACE, FAST, 1)
    asked = [trial for chunk in chunks for trial in chunk]
    assert len(asked) == len(set(asked)) == plan.simulations
    assert max(map(len, chunks)) <= world.simulator.chunk == 2
    before = len(chunks)
    for candidate in plan.candidates[: FAST.keep]:
        outcomes = world.simulate(patient, candidate.protocol, [1, 2, 3], FAST)
        risks = [r.score.log_risk for r in world.on_patch(patient, [candidate.protocol] * 3, [1, 2, 3], FAST)[1]]
        assert tuple(risks) == candidate.risk.replicas and len(outcomes) == 3
    assert len(chunks) == before, "the volumes of the best were kept"
    world.simulate(patient, A, [77], FAST)
    assert len(chunks) == before + 1, "another seed is another simulation"


def test_neighbours_in_a_batch_change_no_bit(world: WorldModel, patient: Patient) -> None:
    together = world.on_patch(patient, [A, B, A, B, B], [0, 0, 1, 1, 2], FAST)[1]
    alone = [world.on_patch(patient, [p], [s], FAST)[1][0] for p, s in ((A, 0), (B, 0), (A, 1), (B, 1), (B, 2))]
    for one, other in zip(together, alone, strict=True):
        assert one.change_hu.tobytes() == other.change_hu.tobytes() and one.score == other.score


def test_memory_that_runs_out_halves_the_chunk_and_the_plan_goes_on(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = world.plan(patient, SPACE, FAST, 1)
    world.simulator.prepare.cache_clear()
    real, refused = world.simulator._chunk, []

    def scarce(ready: Any, trials: Any, *more: Any) -> Any:
        if len(trials) > 1:
            refused.append(len(trials))
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 GB")
        return real(ready, trials, *more)

    monkeypatch.setattr(world.simulator, "_chunk", scarce)
    world.simulator.chunk = 4
    plan = world.plan(patient, SPACE, FAST, 1)
    assert refused == [4, 2] and world.simulator.chunk == 1
    assert [c.protocol for c in plan.candidates] == [c.protocol for c in expected.candidates]
    for mine, theirs in zip(plan.candidates, expected.candidates, strict=True):
        assert mine.risk.replicas == pytest.approx(theirs.risk.replicas, abs=1e-3)

    def broken(*_: Any) -> Any:
        raise RuntimeError("a mistake in the code")

    monkeypatch.setattr(world.simulator, "_chunk", broken)
    world.simulator.prepare.cache_clear()
    with pytest.raises(RuntimeError, match="mistake"):
        world.plan(patient, SPACE, FAST, 1)


def test_not_even_one_simulation_fits(world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_fits(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(world.simulator, "_chunk", nothing_fits)
    with pytest.raises(MemoryError):
        world.plan(patient, SPACE, FAST, 1)


def test_a_cancel_acts_between_two_steps_of_the_sampler(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.treatment_summary(patient)
    real, steps = world.simulator.dynamics.denoiser.forward, []

    def counted(*arguments: Any) -> Any:
        steps.append(1)
        return real(*arguments)

    monkeypatch.setattr(world.simulator.dynamics.denoiser, "forward", counted)
    plan = world.plan(patient, SPACE, replace(FAST, steps=50), 1, cancelled=lambda: len(steps) >= 7)
    assert plan.stopped_by == "cancelled" and not plan.candidates
    assert len(steps) == 7


def test_a_journal_of_the_same_plan_saves_every_simulation(
    world: WorldModel, patient: Patient, chunks: list[list[tuple[str, int]]], tmp_path: Path
) -> None:
    key = world.journal_key(patient, SPACE, FAST, 1)
    with Journal(tmp_path / "j", key) as journal:
        first = world.plan(patient, SPACE, FAST, 1, journal=journal)
    before = len(chunks)
    world.simulator.prepare.cache_clear()
    with Journal(tmp_path / "j", key) as journal:
        assert world.plan(patient, SPACE, FAST, 1, journal=journal).to_json() == first.to_json()
    assert len(chunks) == before
    assert key != world.journal_key(patient, SPACE, FAST, 2)
    assert key != world.journal_key(patient, SPACE, replace(FAST, steps=2), 1)
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(threads + 1)
        assert key != world.journal_key(patient, SPACE, FAST, 1), "last digits differ with the number of threads"
    finally:
        torch.set_num_threads(threads)
