"""Whole lesions by coarse maps: what changes, what stays to the bit, territories, scores, and the expected scan."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.coarse_maps import MAP_MM, OutcomeMaps
from MeWMLib.core.errors import BundleError
from MeWMLib.core.outcome import CrossCheck, Outcome, ReplicaScore, SampleLook
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import ASSISTANT, IMAGE, MODEL, PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.targets import Targets
from MeWMLib.core.territory import Territory
from MeWMLib.core.volume import LIVER, TUMOUR, Volume
from MeWMLib.rendering.painter import RIM_MM
from MeWMLib.rendering.self_check import MEASURED
from MeWMLib.world import outcomes
from MeWMLib.world.abreast import Abreast
from MeWMLib.world.map_simulator import MapSimulator, PreparedRegion
from MeWMLib.world.model import WorldModel
from MeWMLib.world.region import TreatedRegion
from Testing.world.lesions import BALLS, FAST, SPACE, A, left_half, lesion, people

B = Protocol.parse("Doxorubicin + PVA")


@pytest.fixture(scope="module")
def three() -> Patient:
    return people(*BALLS)


@pytest.fixture(scope="module")
def world(tiny_map_bundle: Bundle) -> WorldModel:
    return WorldModel.load(tiny_map_bundle, "cpu")


def prepared(world: WorldModel, patient: Patient) -> PreparedRegion:
    found = world.simulator.prepare(patient)
    assert isinstance(found, PreparedRegion)
    return found


def apart_mm(patient: Patient, *numbers: int) -> np.ndarray:
    """Distance of each voxel to the surfaces of balls, straight from their definition."""
    index = np.stack(np.indices(patient.ct.array.shape), -1)
    each = [np.linalg.norm(2.0 * (index - BALLS[n - 1][0]), axis=-1) - BALLS[n - 1][1] for n in numbers]
    return np.min(each, axis=0)


def test_all_lesions_are_simulated_whole_and_all_else_stays_to_the_bit(world: WorldModel, three: Patient) -> None:
    assert isinstance(world.simulator, MapSimulator)
    outcome = world.simulate(three, A, [4], FAST)[0]
    changed = outcome.ct.array != three.ct.array
    away = apart_mm(three, 1, 2, 3)
    assert not changed[away > RIM_MM + 2].any()
    for n in (1, 2, 3):
        assert changed[lesion(three, n)].mean() > 0.5
    relabelled = outcome.labels.array != three.labels.array
    assert set(np.unique(outcome.labels.array[relabelled])) <= {LIVER, TUMOUR}
    assert not relabelled[away > RIM_MM + 2].any()
    assert outcome.ct.simulated is not None


def test_lesions_that_are_no_target_keep_their_bits(world: WorldModel, three: Patient) -> None:
    chosen = world.treating(three, targets=Targets.parse("1"))
    session = chosen.session
    assert session is not None
    assert np.array_equal(session.targets, lesion(three, 1))
    outcome = world.simulate(chosen, A, [4], FAST)[0]
    changed = outcome.ct.array != three.ct.array
    assert changed[lesion(three, 1)].any()
    for n in (2, 3):
        assert not changed[lesion(three, n)].any()
        assert (outcome.labels.array[lesion(three, n)] == TUMOUR).all()
    region = prepared(world, chosen).region
    assert region.targets.sum() < region.tumour.sum()
    assert region.untreated.sum() > 0


def test_the_largest_alone_and_all_by_default(world: WorldModel, three: Patient) -> None:
    everything, largest = world.treating(three).session, world.treating(three, targets=Targets.parse("largest")).session
    assert everything is not None
    assert largest is not None
    assert everything.lesions == (1, 2, 3)
    assert everything.why == "Treated is all tumour."
    assert largest.lesions == (1,)
    assert "cube" not in everything.why + largest.why


def test_a_territory_reaches_the_network_and_a_lesion_is_simulated_whole(world: WorldModel, three: Patient) -> None:
    half = left_half(three)
    told = world.treating(three, fed=half, targets=Targets.parse("1"))
    region = prepared(world, told).region
    assert region.fed is not None
    assert 0.3 < region.fed.mean() < 0.7
    outcome = world.simulate(told, A, [4], FAST)[0]
    changed = outcome.ct.array != three.ct.array
    assert changed[lesion(three, 1) & ~half].any()
    other = world.simulate(world.treating(three, targets=Targets.parse("1")), A, [4], FAST)[0]
    assert not np.array_equal(other.ct.array, outcome.ct.array)
    whole = world.treating(three, territory=Territory.parse("whole liver"))
    assert np.array_equal(TreatedRegion.of(whole).fed, np.ones(TreatedRegion.of(whole).geometry.shape))
    assert TreatedRegion.of(three).fed is None


def test_numbers_of_a_replica_are_measured_in_its_image_and_those_of_its_maps_are_beside(
    world: WorldModel, three: Patient
) -> None:
    ready = prepared(world, three)
    none = np.zeros(ready.region.geometry.shape, np.float32)
    iodine = np.where(ready.region.targets > 0.5, 4.8, 0).astype(np.float32)
    half = 0.5 * ready.region.targets
    whole = ready.before.tumour_ml

    def judged(change: float, judge: str = "image") -> ReplicaScore:
        fall = np.full_like(none, change)
        maps = OutcomeMaps(half, ready.region.targets, fall, iodine, ready.region.geometry)
        found: ReplicaScore = world.simulator.replica(ready, None, maps, judge).score  # type: ignore[attr-defined]
        return found

    same, fallen = judged(0.0), judged(-60.0)
    for score in (same, fallen):
        assert score.change.volume_ml_after == pytest.approx(whole, rel=0.02)
        assert score.predicted_viable_ml == pytest.approx(0.5 * whole, rel=0.02)
        assert score.change.lipiodol_ml_after is None  # an expected image has no deposits
        assert score.change.diameter_mm_after is None  # and lesions that lie side by side merge in it
        assert score.change.oil_ml_after == pytest.approx(float(iodine.sum()) * MAP_MM**3 / 1000 / 480, rel=1e-3)
    # an image in which nothing falls shows a living tumour, whatever the model says of it
    assert same.change.viable_ml_after == same.measured_viable_ml == pytest.approx(whole, rel=0.05)
    assert fallen.change.viable_ml_after == fallen.measured_viable_ml == pytest.approx(0, abs=0.05 * whole)
    assert same.log_risk != fallen.log_risk
    told = judged(-60.0, "model")
    assert told.change.viable_ml_after == told.predicted_viable_ml == same.predicted_viable_ml
    assert told.measured_viable_ml == fallen.measured_viable_ml
    check = CrossCheck.over([same])
    assert check is not None and check.differ
    assert "which DIFFER by more than 1.5 ml" in check.text
    assert CrossCheck.over([replace(same, measured_viable_ml=None)]) is None


def test_tumour_that_is_not_treated_counts_as_it_was(world: WorldModel, three: Patient) -> None:
    ready = prepared(world, world.treating(three, targets=Targets.parse("1")))
    none, share = np.zeros(ready.region.geometry.shape, np.float32), ready.region.targets
    maps = OutcomeMaps(0 * share, share, none - 60, none, ready.region.geometry)
    score = world.simulator.replica(ready, None, maps).score  # type: ignore[attr-defined]
    # lesion 3 is outside of the region, and counts as much
    other = (lesion(three, 2) | lesion(three, 3)).sum() * three.ct.geometry.voxel_ml
    assert ready.on_scan.outside_ml == pytest.approx(lesion(three, 3).sum() * three.ct.geometry.voxel_ml)
    whole = (three.labels.array == TUMOUR).sum() * three.ct.geometry.voxel_ml
    assert score.change.volume_ml_before == pytest.approx(whole)
    assert score.measured_viable_ml == pytest.approx(other, rel=0.15)
    assert score.predicted_viable_ml == pytest.approx(other, rel=0.15)


def test_the_assistant_outlines_the_image_where_that_is_asked_for(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = prepared(world, three)
    none, share = np.zeros(ready.region.geometry.shape, np.float32), ready.region.targets
    maps = OutcomeMaps(share, share, none, none, ready.region.geometry)
    empty = np.where(ready.patch.labels == TUMOUR, LIVER, ready.patch.labels)
    monkeypatch.setattr(world.simulator, "labels_after", lambda ready, images: [empty for _ in images])
    seen = world.simulator.replica(ready, None, maps, "assistant").score  # type: ignore[attr-defined]
    assert (seen.change.volume_ml_after, seen.change.viable_ml_after) == (0, 0)
    assert seen.predicted_viable_ml == pytest.approx(ready.before.tumour_ml, rel=0.02)


@pytest.mark.parametrize(("phase", "lives"), [("portal", 0.5), ("unknown", 1.0)])
def test_what_lives_is_told_against_the_liver_of_the_scan(world: WorldModel, phase: str, lives: float) -> None:
    one = people(BALLS[0])
    dead = lesion(one, 1) & left_half(one)
    # noise brings single voxels of any tissue under any limit, and dead tissue over it
    hu = np.random.default_rng(3).normal(np.where(dead, 45, 110), 25).astype(np.int16)
    ready = prepared(world, Patient("p", Volume(hu, one.ct.geometry, phase), one.labels, one.findings))
    assert ready.before.viable_ml == pytest.approx(lives * ready.before.tumour_ml, rel=0.1)


def test_a_plan_is_made_and_its_replicas_are_kept(world: WorldModel, three: Patient) -> None:
    plan = world.plan(three, SPACE, FAST, seed=3)
    assert plan.best is not None
    assert len(plan.candidates) >= 4
    ready = prepared(world, three)
    assert ready.kept
    assert not any(replica.drawn for replica in ready.kept.values())  # a search draws nothing
    again = world.simulate(three, plan.best.protocol, 3, FAST)
    assert [o.score.log_risk for o in again if o.score] == pytest.approx([s for s in plan.best.risk.replicas], abs=1e-6)
    key = world.journal_key(three, SPACE, FAST, 3)
    assert key != world.journal_key(world.treating(three, fed=left_half(three)), SPACE, FAST, 3)


def test_what_a_search_has_judged_is_drawn_but_not_judged_again(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = world.simulator
    assert isinstance(simulator, MapSimulator)
    plan = world.plan(three, SPACE, FAST, seed=5)
    first, second = plan.candidates[:2]
    assert set(first.viable.risk_by if first.viable else ()) == {IMAGE, MODEL}
    judged: list[str] = []
    times: list[float] = []
    scores, predict = simulator.scores, simulator.maps._predict

    def counted(ready: PreparedRegion, mean: OutcomeMaps, judges: list[str], *more: object) -> dict[str, ReplicaScore]:
        judged.extend(judges)
        return scores(ready, mean, judges, *more)  # type: ignore[arg-type]

    def timed(noisy: torch.Tensor, time: torch.Tensor, given: object) -> torch.Tensor:
        times.extend(time.tolist())
        return predict(noisy, time, given)  # type: ignore[arg-type]

    monkeypatch.setattr(simulator, "scores", counted)
    monkeypatch.setattr(simulator.maps, "_predict", timed)
    monkeypatch.setattr(type(prepared(world, three)), "segmenter_counts", True)
    drawn = world.simulate(three, second.protocol, 5, FAST, compared=False)
    # the steps of the samples alone: what is expected is known
    assert judged == [] and len(times) == FAST.steps * FAST.replicas
    assert [o.score.log_risk for o in drawn if o.score] == list(second.risk.replicas)
    with_segmenter = world.simulate(three, first.protocol, 5, FAST)
    assert judged == [ASSISTANT] and len(times) == 2 * FAST.steps * FAST.replicas
    assert [set(o.score.risk_by) for o in with_segmenter if o.score] == [
        {IMAGE, MODEL, ASSISTANT}, *[{IMAGE, MODEL}] * (FAST.replicas - 1)
    ]  # fmt: skip
    monkeypatch.undo()
    # one that no search has judged is judged, and has the same numbers
    world.simulator.prepare.cache_clear()
    afresh = world.simulate(three, second.protocol, 5, FAST, compared=False)
    for mine, other in zip(drawn, afresh, strict=True):
        assert mine.score == other.score and np.array_equal(mine.ct.array, other.ct.array)


def test_replicas_beside_one_another_are_the_same_to_the_bit_as_alone(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    trials = [(p, seed) for p in (A, B) for seed in (1, 2)]
    monkeypatch.setattr(world.simulator, "abreast", Abreast(2))
    monkeypatch.setattr(world.simulator, "chunk", 1)
    ready = prepared(world, three)
    together = world.simulator.replicas(ready, trials, FAST)
    alone = [world.simulator.replicas(ready, [trial], FAST)[0] for trial in trials]
    for one, other in zip(together, alone, strict=True):
        assert one.score == other.score and one.change_hu.tobytes() == other.change_hu.tobytes()


def test_what_was_drawn_ahead_is_what_a_simulation_draws(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = world.simulate(three, A, (11, 12), FAST)
    world.simulator.prepare.cache_clear()
    ready = world.simulator.prepare(world.in_session(three, A))
    world.simulator.draw(ready, [(A, 11), (A, 12)], FAST)
    monkeypatch.setattr(world.simulator, "_chunk", lambda *_: pytest.fail("it was drawn again"))
    after = world.simulate(three, A, (11, 12), FAST)
    for mine, other in zip(after, alone, strict=True):
        assert mine.score == other.score and mine.ct.array.tobytes() == other.ct.array.tobytes()


def test_where_memory_runs_out_fewer_are_at_work(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator, alone = world.simulator, threading.get_ident()
    monkeypatch.setattr(simulator, "abreast", Abreast(2))
    monkeypatch.setattr(simulator, "chunk", 1)
    real = simulator._chunk

    def scarce(*given: object) -> object:
        if threading.get_ident() != alone:
            raise MemoryError
        return real(*given)

    monkeypatch.setattr(simulator, "_chunk", scarce)
    assert len(simulator.replicas(prepared(world, three), [(A, 8), (B, 8)], FAST)) == 2
    assert (simulator.abreast.count, simulator.chunk) == (1, 1)


def test_all_settings_are_known(world: WorldModel) -> None:
    asked = PlanSettings(weeks=12.0, judge=ASSISTANT)
    assert world.settled(asked) == asked


def test_a_scan_from_elsewhere_is_scored(world: WorldModel, three: Patient) -> None:
    risk = world.assess_scan(three, three.ct, three.labels)
    assert np.isfinite(risk.log_risk)
    assert np.isfinite(world.assess_scan(three, three.ct).log_risk)
    summary = world.treatment_summary(world.treating(three))
    assert summary.share_of_tumour_percent == pytest.approx(100, abs=0.5)
    assert summary.outline_after_by == "simulated response"


def test_the_expected_scan_is_smooth_and_marked(world: WorldModel, three: Patient, tiny_bundle: Bundle) -> None:
    expected = world.expected(three, A, 4, FAST)
    assert expected.simulated is not None
    changed = expected.array != three.ct.array
    assert not changed[apart_mm(three, 1, 2, 3) > RIM_MM + 2].any()
    inside = apart_mm(three, 1) < -4
    noise = three.ct.array[inside].astype(float).std()
    assert expected.array[inside].astype(float).std() < noise
    with pytest.raises(BundleError, match="tells no expected outcome"):
        WorldModel.load(tiny_bundle, "cpu").expected(three, A, 4, FAST)


def test_the_shown_sample_is_held_against_real_scans(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulated() -> list[Outcome]:
        """The shown one, nearest to the mean of the replicas, first."""
        return sorted(world.simulate(three, A, 4, FAST), key=lambda one: not one.nearest)

    one, other = simulated()
    assert one.look is None  # voxels of 2 mm show no grain as a scanner's do
    monkeypatch.setattr(outcomes, "LOOK_SPACING_MM", (3.0, 3.0, 3.0))
    seen: list[float] = []

    def look(hu: np.ndarray, *_: object) -> dict[str, float]:
        seen.append(float(hu.sum()))
        fits = dict.fromkeys(MEASURED, 0.0)
        return fits | {"share_200_percent": 0.0 if len(seen) == 2 else 50.0}

    monkeypatch.setattr(outcomes, "deposit_look", look)
    again, beside = simulated()
    assert again.look == SampleLook(2, 1)
    assert beside.look is None
    assert len(set(seen)) == 2  # other grains
    assert again.score == one.score
    assert np.array_equal(beside.ct.array, other.ct.array)
    monkeypatch.setattr(outcomes, "deposit_look", lambda *_: dict.fromkeys(MEASURED, 0.0) | {"share_200_percent": 50.0})
    flagged = simulated()[0].look
    assert flagged is not None
    assert flagged.attempts == 3
    assert "share_200_percent" in flagged.outside
    assert "leaves the range of real scans" in flagged.text


def test_the_segmenter_is_asked_when_its_answer_is_needed(
    world: WorldModel, three: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.simulator.prepare.cache_clear()
    asked: list[tuple[int, ...]] = []
    real = world.simulator.segmenter.segment_patches

    def seen(images: np.ndarray, spacing: float) -> np.ndarray:
        asked.append(images.shape)
        found: np.ndarray = real(images, spacing)
        return found

    monkeypatch.setattr(world.simulator.segmenter, "segment_patches", seen)
    world.plan(three, SPACE, FAST, seed=9)
    assert world.treatment_summary(three, ask=False).assistant_dice_on_patch is None
    assert not asked
    told = world.treatment_summary(three).assistant_dice_on_patch
    assert told is not None and len(asked) == 1
    assert world.treatment_summary(three, ask=False).assistant_dice_on_patch == told and len(asked) == 1
