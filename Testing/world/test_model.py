"""The five parts joined: on networks of a few numbers, and on the default bundle where its trained weights matter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from MeWMLib.core.bundles import Bundle, find_bundle
from MeWMLib.core.errors import DeviceError, GeometryMismatchError, NoTumourError, PlanSettingsError
from MeWMLib.core.outcome import ReplicaScore
from MeWMLib.core.patient import Clinical, Patient
from MeWMLib.core.plan import ASSISTANT, IMAGE, MODEL, Plan, PlanSettings
from MeWMLib.core.protocol import ActionSpace, Protocol
from MeWMLib.core.templates import template_of
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.planning.search import SearchCancelled
from MeWMLib.world import simulator as simulator_module
from MeWMLib.world.machine import choose_device
from MeWMLib.world.model import WorldModel
from MeWMLib.world.response_prediction import PredictedResponse

FAST = PlanSettings(space="free", beams=2, drugs=2, embolics=2, drug_horizon=1, embolic_horizon=1, replicas=2, steps=1)
SPACE = ActionSpace(("Cisplatin", "Doxorubicin"), ("Lipiodol", "PVA"), {}, "test")
A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Doxorubicin + PVA")


@pytest.fixture(scope="module")
def world(tiny_bundle: Bundle) -> WorldModel:
    return WorldModel.load(tiny_bundle, "cpu")


def make_case(rotation: float = 0.0) -> tuple[Volume, LabelMap]:
    shape = (24, 50, 50)
    turn = np.array([[np.cos(rotation), -np.sin(rotation), 0], [np.sin(rotation), np.cos(rotation), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([-1.6, -1.6, 3.0])
    affine[:3, 3] = [30, 20, -40]
    geometry = Geometry(shape, affine)
    rng = np.random.default_rng(0)
    ct = Volume((rng.normal(100, 15, shape)).astype(np.int16), geometry, "portal")
    index = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), -1)
    points = geometry.to_ras(index)
    near = np.linalg.norm(points - geometry.to_ras([12, 25, 25]), axis=-1) < 11
    far = np.linalg.norm(points - geometry.to_ras([4, 6, 6]), axis=-1) < 5
    return ct, LabelMap(np.where(near | far, 2, 1).astype(np.uint8), geometry)


@pytest.fixture(scope="module")
def patient(world: WorldModel) -> Patient:
    return world.patient(*make_case(), Clinical())


def test_no_tumour_is_said(world: WorldModel) -> None:
    ct, labels = make_case()
    with pytest.raises(NoTumourError, match="--labels"):
        world.patient(ct, labels.with_array(np.ones_like(labels.array)), Clinical())


def test_a_model_on_a_cube_says_what_it_takes_no_notice_of(world: WorldModel) -> None:
    told = MODEL if world.simulator.dynamics.tells_response else IMAGE
    assert world.settled(PlanSettings()).judge == told
    assert world.settled(PlanSettings(guidance=0.5)).judge == IMAGE
    for given in ({"weeks": 12.0}, {"judge": ASSISTANT}):
        with pytest.raises(PlanSettingsError, match="works on a cube"):
            world.settled(PlanSettings(**given))


def test_an_absent_device_is_said() -> None:
    absent = "mps" if not torch.backends.mps.is_available() else "cuda"
    with pytest.raises(DeviceError, match="--device auto"):
        choose_device(absent)
    with pytest.raises(DeviceError):
        choose_device("abacus")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


def test_segmenting_gives_labels_on_the_grid_of_the_ct(world: WorldModel) -> None:
    ct, _ = make_case(0.4)
    seen: list[float] = []
    labels = world.segment(ct, seen.append)
    assert labels.geometry is ct.geometry and seen and seen[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("rotation", [0.0, 0.35])
def test_a_simulated_outcome_is_marked_and_changes_only_the_dilated_tumour(world: WorldModel, rotation: float) -> None:
    ct, labels = make_case(rotation)
    someone = world.patient(ct, labels, Clinical())
    outcome = world.simulate(someone, A, [5], FAST)[0]
    assert outcome.ct.simulated is not None
    assert outcome.ct.simulated.protocol == A.text and outcome.ct.simulated.seed == 5
    assert outcome.ct.simulated.bundle_sha256 == world.bundle.sha256
    assert outcome.ct.geometry is ct.geometry and outcome.ct.array.dtype == ct.array.dtype
    changed = outcome.ct.array != ct.array
    assert changed.any()
    reach = np.argwhere(labels.tumour)
    points, lesion = ct.geometry.to_ras(np.argwhere(changed)), ct.geometry.to_ras(reach)
    nearest = np.array([np.linalg.norm(lesion - p, axis=1).min() for p in points[:: max(1, len(points) // 300)]])
    assert nearest.max() < 6.0
    assert ((outcome.labels.array == 0) == (labels.array == 0)).all()


def test_one_seed_two_protocols_two_tumours_and_the_same_again(world: WorldModel, patient: Patient) -> None:
    one, again = (world.simulate(patient, A, [3], FAST)[0].ct.array for _ in range(2))
    other = world.simulate(patient, B, [3], FAST)[0].ct.array
    assert one.tobytes() == again.tobytes()
    assert (one != other).any()


def test_spread_is_the_standard_deviation_over_replicas(world: WorldModel, patient: Patient) -> None:
    outcomes = world.simulate(patient, A, [0, 1, 2], FAST)
    spread = world.spread(outcomes)
    assert spread.array.dtype == np.float32 and spread.simulated is not None
    expected = np.std([o.ct.array for o in outcomes], axis=0)
    assert np.allclose(spread.array, expected, atol=1e-3) and spread.array.max() > 0


def test_the_assistant_is_asked_only_if_it_knows_the_lesion(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DynamicsModel, "tells_response", property(lambda self: False))  # as bundles of version 2
    assert (
        world.treatment_summary(patient).outline_after_by == "outline before treatment"
    )  # untrained: it finds nothing right
    same = world.simulate(patient, A, [0], FAST)[0]
    assert np.array_equal(same.labels.array, patient.labels.array)
    ready = world.simulator.prepare(patient)
    monkeypatch.setattr(simulator_module, "SEGMENTER_GATE", -1.0)
    monkeypatch.setitem(ready.__dict__, "segmented_before", ready.patch.labels)  # as if it had seen what the user drew
    monkeypatch.setattr(world.segmenter, "segment_patches", lambda images, spacing: np.zeros(images.shape, np.uint8))
    cured = world.simulate(patient, A, [0], FAST)[0]
    assert cured.labels.tumour.sum() < 0.2 * patient.labels.tumour.sum()
    assert (cured.labels.array[patient.labels.tumour] >= 1).all()  # what was tumour is liver, never background
    assert ready.on_scan.treated_percent > 50


def test_the_outline_follows_the_simulated_response(world: WorldModel, patient: Patient) -> None:
    """The volume after treatment is the one that the denoiser was told, seed by seed."""
    assert world.treatment_summary(patient).outline_after_by == "simulated response"
    ready = world.simulator.prepare(patient)
    told = world.simulator.dynamics.responses(ready.encoded, [A, A, B], [0, 1, 0])
    assert told.shape == (3, 3) and told[2, 2] == 0 and told[0, 2] > 0  # no Lipiodol, no uptake
    assert np.array_equal(told, world.simulator.dynamics.responses(ready.encoded, [A, A, B], [0, 1, 0]))
    patch, judged = world.on_patch(patient, [A, A, B], [0, 1, 0], FAST)
    before = (patch.labels == 2).sum()
    room = ((patch.weight > 0) & (patch.labels >= 1)).sum()
    for one, ratio in zip(judged, told[:, 1], strict=True):
        assert (one.labels == 2).sum() == pytest.approx(min(ratio * before, room), rel=0.1)


def test_risk_and_change_follow_the_viable_volume_that_was_told(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def simulated(viable_ml: float) -> ReplicaScore:
        monkeypatch.setattr(
            simulator_module,
            "predicted_responses",
            lambda *_: [PredictedResponse(1.0, viable_ml)] * world.simulator.chunk,
        )
        return world.on_patch(patient, [A], [0], FAST)[1][0].score

    little, much = simulated(0.0), simulated(1.0)
    assert (little.predicted_viable_ml, little.change.viable_ml_after) == (0.0, 0.0)
    ready = world.simulator.prepare(patient)
    assert much.change.viable_ml_after == pytest.approx(ready.on_scan.viable_ml / ready.before.viable_ml)
    assert little.log_risk != much.log_risk
    assert little.measured_viable_ml == much.measured_viable_ml
    monkeypatch.setattr(simulator_module, "predicted_responses", lambda *_: None)
    measured = world.on_patch(patient, [A], [0], FAST)[1][0].score
    assert measured.predicted_viable_ml is None
    assert measured.change.viable_ml_after == measured.measured_viable_ml > 0


def test_an_outline_grows_and_shrinks_evenly(world: WorldModel, patient: Patient) -> None:
    patch = world.simulator.prepare(patient).patch
    volume = (patch.labels == 2).sum()
    assert np.array_equal(patch.scale_tumour(1.0), patch.labels)
    last = np.zeros(patch.labels.shape, bool)
    for ratio in (0.0, 0.5, 0.8, 1.2):
        tumour = patch.scale_tumour(ratio) == 2
        assert (last <= tumour).all()  # each holds the smaller one
        assert tumour.sum() == pytest.approx(max(1, ratio * volume), rel=0.1, abs=30)
        assert (patch.weight[tumour] > 0).all() and (patch.labels[tumour] >= 1).all()
        last = tumour
    assert (patch.scale_tumour(1e6) == 2).sum() <= ((patch.weight > 0) & (patch.labels >= 1)).sum()


def test_where_a_tumour_recedes_the_image_becomes_liver(world: WorldModel, patient: Patient) -> None:
    patch = world.simulator.prepare(patient).patch
    drawn = np.full(patch.hu.shape, 25.0, np.float32)  # whatever a network drew
    for ratio in (1.0, 1.3):
        assert patch.fill_shrunken_rim(drawn, ratio) is drawn
    liver = patch.hu[patch.labels == 1]
    for ratio in (0.3, 0.6):
        image = patch.simulated(patch.fill_shrunken_rim(drawn, ratio))
        left = patch.scale_tumour(ratio) == 2
        inner = ndimage.binary_erosion(left, iterations=2)
        assert np.allclose(image[inner], (patch.hu + 25)[inner], atol=1e-3)  # what stays is the network's
        rim = (patch.labels == 2) & ~ndimage.binary_dilation(left, iterations=2)
        assert rim.sum() > 100 and abs(image[rim].mean() - liver.mean()) < 8
        assert 0.4 < image[rim].std() / liver.std() < 1.6  # with a grain, as the scan has
        assert np.array_equal(image[patch.weight == 0], patch.hu[patch.weight == 0])
    # hardly any change of volume changes hardly anything
    little = np.abs(patch.fill_shrunken_rim(drawn, 0.995) - drawn)
    assert little.mean() < 0.2 * np.abs(patch.fill_shrunken_rim(drawn, 0.7) - drawn).mean()


def test_a_simulated_outcome_has_no_tumour_left_where_its_outline_went(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        simulator_module, "predicted_responses", lambda *_: [PredictedResponse(0.4, 1.0)] * world.simulator.chunk
    )
    patch, (one,) = world.on_patch(patient, [A], [7], FAST)
    rim = (patch.labels == 2) & ~ndimage.binary_dilation(one.labels == 2, iterations=2)
    image = patch.simulated(one.change_hu)
    assert rim.sum() > 100 and abs(image[rim].mean() - patch.hu[patch.labels == 1].mean()) < 8


def test_what_the_assistant_misses_twice_is_neither_cured_nor_new(world: WorldModel, patient: Patient) -> None:
    patch = world.simulator.prepare(patient).patch
    blind = np.ones_like(patch.labels)
    assert np.array_equal(patch.labels_after(blind, blind), patch.labels)
    wrong = np.where(patch.labels == 1, 2, 1).astype(np.uint8)
    assert np.array_equal(patch.labels_after(wrong, wrong), patch.labels)
    grown = patch.labels_after(blind, np.full_like(blind, 2))
    assert (grown == 2).sum() > (patch.labels == 2).sum()
    assert np.array_equal(grown[patch.weight == 0], patch.labels[patch.weight == 0])


def test_a_plan_is_ranked_complete_reported_and_repeatable(world: WorldModel, patient: Patient) -> None:
    seen: list[tuple[Plan, float]] = []
    plan = world.plan(patient, SPACE, FAST, 1, lambda p, f: seen.append((p, f)))
    risks = [c.risk.log_risk for c in plan.candidates]
    assert risks == sorted(risks) and plan.stopped_by == "finished"
    assert all(c.protocol.complete and len(c.risk.replicas) == 2 for c in plan.candidates)
    assert seen and seen[-1][1] == pytest.approx(1.0, abs=0.5) and seen[0][0].candidates
    again = world.plan(patient, SPACE, FAST, 1)
    assert again.to_json() == plan.to_json()
    assert world.plan(patient, SPACE, FAST, 2).to_json() != plan.to_json()


def test_the_exhaustive_search_sees_every_pair(world: WorldModel, patient: Patient) -> None:
    plan = world.plan(patient, SPACE, replace(FAST, search="exhaustive"), 1)
    assert {c.protocol for c in plan.candidates} == {Protocol.of((d, e)) for d in SPACE.drugs for e in SPACE.embolics}


def test_a_cancelled_plan_keeps_the_best_so_far(world: WorldModel, patient: Patient) -> None:
    seen: list[Plan] = []
    plan = world.plan(patient, SPACE, FAST, 1, lambda p, f: seen.append(p), cancelled=lambda: bool(seen))
    assert plan.stopped_by == "cancelled" and plan.candidates
    assert plan.evaluated < world.plan(patient, SPACE, FAST, 1).evaluated


def test_plan_and_simulate_say_the_same_to_the_bit_and_score_once(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.plan(patient, SPACE, FAST, 1)
    best = plan.candidates[0]
    world.simulator.prepare.cache_clear()  # what the plan has kept is simulated anew
    calls: list[int] = []
    real = world.simulator.assessor.judge
    monkeypatch.setattr(world.simulator.assessor, "judge", lambda *a: calls.append(1) or real(*a))
    outcomes = world.simulate(patient, best.protocol.text, 1, FAST)
    assert len(calls) == len(outcomes) == 2
    again = world.candidate(patient, best.protocol, outcomes)
    assert again.risk == best.risk and again.risk.interval == best.risk.interval
    assert again.tumour_change == best.tumour_change and again.warnings == best.warnings
    assert world.assess(patient, outcomes) == replace(best.risk, untreated=None, unseen=None)
    assert [world.change(patient, o) for o in outcomes] == [o.score.change for o in outcomes if o.score]
    assert len(calls) == 3, "nothing is scored twice; the third is the tumour as it is, which the risk is held against"
    assert "hazard ratio" in repr(outcomes[0]) and best.protocol.text in repr(plan)


def test_an_outcome_from_elsewhere_is_scored_on_its_image(world: WorldModel, patient: Patient) -> None:
    """The full CT, cut out again, must agree with what was scored on the patch; its viable volume is measured."""
    (outcome,) = world.simulate(patient, A, [1], FAST)
    assert outcome.score is not None
    foreign = replace(outcome, score=None)
    risk, change = world.assess(patient, [foreign]), world.change(patient, foreign)
    assert risk.log_risk == pytest.approx(outcome.score.log_risk, abs=0.25)
    assert change.volume_ml_before == pytest.approx(outcome.score.change.volume_ml_before, rel=1e-6)
    assert change.viable_ml_after == pytest.approx(outcome.score.measured_viable_ml, rel=0.2, abs=0.3)


def test_defaults_segment_propose_and_draw_the_expected_outcome(
    world: WorldModel, patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "segment", lambda ct: patient.labels)
    again = world.patient(patient.ct)
    assert again.id == "patient" and again.findings == patient.findings and "tumour" in repr(again)
    (expected,) = world.simulate(again, "Cisplatin + Lipiodol", settings=FAST, replicas=1)
    alone = replace(FAST, replicas=1)
    assert expected.ct.array.tobytes() == world.simulate(again, A, 0, alone)[0].ct.array.tobytes()
    small = replace(FAST, replicas=1, search="beam", beams=1)
    assert (
        world.plan(again, settings=small).to_json()
        == world.plan(again, world.propose(again, "", small), small).to_json()
    )


def test_a_real_scan_after_treatment_is_judged_where_the_lesion_was(world: WorldModel, patient: Patient) -> None:
    ct, labels = make_case()
    risk = world.assess_scan(patient, ct, labels)
    assert len(risk.replicas) == 1 and risk.survival[0] == pytest.approx(1.0)
    affine = np.array(ct.geometry.affine)
    affine[:3, 3] += 900
    elsewhere = Volume(ct.array, Geometry(ct.geometry.shape, affine))
    with pytest.raises(GeometryMismatchError, match="Register"):
        world.assess_scan(patient, elsewhere, None)


def test_the_default_bundle_answers_to_the_action(repository: Path) -> None:
    """On a drawn tumour, with the trained weights: Lipiodol turns it bright, and no other embolic does."""
    from MeWMLib.cohorts.synthetic.world import SyntheticPatient
    from MeWMLib.lab.synthetic.cases import target_geometry

    someone = SyntheticPatient.draw(200_000)
    geometry = target_geometry(someone)
    drawn = someone.render(geometry)
    trained = WorldModel.load(find_bundle(repository / "Resources" / "Bundles" / "mewm-small"), "cpu")
    case = trained.patient(Volume(drawn.hu, geometry), LabelMap(drawn.labels, geometry), Clinical())
    settings = PlanSettings()
    oil = trained.simulate(case, Protocol.parse("Doxorubicin + Lipiodol"), [0], settings)[0]
    dry = trained.simulate(case, Protocol.parse("Doxorubicin + PVA"), [0], settings)[0]
    tumour = case.labels.tumour
    bright = [float((o.ct.array[tumour] >= 200).mean()) for o in (oil, dry)]
    assert bright[0] > 0.05 and bright[0] > 5 * bright[1]


def test_by_default_a_plan_fills_templates_with_doses_and_ranks_by_weights(world: WorldModel, patient: Patient) -> None:
    settings = replace(FAST, space="templates", drug_horizon=2, embolic_horizon=2)
    space = ActionSpace(("Cisplatin", "Doxorubicin"), ("Lipiodol", "PVA", "LC beads"), {}, "test")
    settings = replace(settings, embolics=3, complexity_weight=0.05, toxicity_weight=0.1)
    plan = world.plan(patient, space, settings, 1)
    assert PlanSettings().space == "templates" and PlanSettings().weights == settings.weights
    for candidate in plan.candidates:
        name = template_of(candidate.protocol)
        assert name in ("ctace", "deb_tace", "tae")
        lipiodol = [a.dose for a in candidate.protocol.actions if a.agent == "Lipiodol"]
        assert lipiodol in ([], [5.0]), "a small lesion"
        warnings = sum(w.severity == "warning" for w in candidate.warnings)
        weighed = candidate.risk.log_risk + 0.1 * warnings + 0.05 * max(0, len(candidate.protocol.actions) - 2)
        assert candidate.utility == pytest.approx(weighed)
    scores = [c.utility for c in plan.candidates]
    assert scores == sorted(scores)  # type: ignore[type-var]


def test_protocols_are_judged_as_a_plan_judges_them(world: WorldModel, patient: Patient) -> None:
    plan = world.plan(patient, SPACE, FAST, 1)
    protocols = [c.protocol for c in plan.candidates]
    judged = world.judge(patient, protocols, (1, 2), FAST)
    assert [c.risk for c in judged] == [c.risk for c in plan.candidates]
    with pytest.raises(SearchCancelled):
        world.judge(patient, [Protocol.parse("Mitomycin + PVA")], (1, 2), FAST, lambda: True)
