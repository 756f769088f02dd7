"""Sessions: which lesions are treated, what is fed, what stays to the bit, and what is asked."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.bundles import Bundle
from MeWMLib.core.errors import NoTumourError, TargetError, TerritoryError
from MeWMLib.core.patient import Patient
from MeWMLib.core.targets import Targets
from MeWMLib.core.territory import SEGMENTS, Territory
from MeWMLib.world.model import WorldModel
from MeWMLib.world.treating import question_session, treating
from Testing.world.lesions import BALLS, FAST, SPACE, A, left_half, lesion, people


@pytest.fixture(scope="module")
def three() -> Patient:
    return people(*BALLS)


@pytest.fixture(scope="module")
def world(tiny_bundle: Bundle) -> WorldModel:
    return WorldModel.load(tiny_bundle, "cpu")


def test_by_default_what_is_in_the_cube_is_treated_as_without_a_session(world: WorldModel, three: Patient) -> None:
    session = treating(three).session
    assert session is not None and session.lesions == (1, 2) and session.percent == {1: 100.0, 2: 100.0}
    assert "in the cube" in session.why and not session.beyond
    plain, chosen = world.simulate(three, A, [4], FAST)[0], world.simulate(treating(three), A, [4], FAST)[0]
    assert plain.ct.array.tobytes() == chosen.ct.array.tobytes() and plain.score == chosen.score
    assert plain.labels.array.tobytes() == chosen.labels.array.tobytes()


def test_a_lesion_that_is_no_target_keeps_its_bits_and_counts(world: WorldModel, three: Patient) -> None:
    chosen = treating(three, Targets.parse("1"))
    outcome = world.simulate(chosen, A, [4], FAST)[0]
    other = lesion(three, 2)
    assert (outcome.ct.array[other] == three.ct.array[other]).all()
    assert (outcome.labels.array[other] == 2).all()
    assert (outcome.ct.array[lesion(three, 1)] != three.ct.array[lesion(three, 1)]).any()
    # what the network was shown and may draw, by the mask; what is counted, by all tumour
    ready = world.simulator.prepare(chosen)
    assert ready.treated.tumour_ml == pytest.approx(4 / 3 * np.pi * 12**3 / 1000, rel=0.1)
    both = 4 / 3 * np.pi * (12**3 + 8**3) / 1000
    assert outcome.score is not None and outcome.score.change.volume_ml_before == pytest.approx(both, rel=0.1)
    assert ready.untreated_ml[1] == pytest.approx(4 / 3 * np.pi * 8**3 / 1000, rel=0.15)
    assert outcome.score.change.volume_ml_after >= 0.9 * ready.untreated_ml[1]
    scaled = ready.patch.scale_tumour(0.01)
    assert ready.patch.untreated is not None and (scaled[ready.patch.untreated] == 2).all()
    summary = world.treatment_summary(chosen)
    all_ml = sum(r**3 for _, r in BALLS)
    assert summary.share_of_tumour_percent == pytest.approx(100 * 12**3 / all_ml, abs=4)


def test_tumour_that_is_not_fed_keeps_its_bits(world: WorldModel, three: Patient) -> None:
    fed = left_half(three)
    chosen = treating(three, fed=fed)
    session = chosen.session
    assert session is not None and session.territory == Territory.painted()
    assert session.percent[1] == pytest.approx(50, abs=8) and session.percent[2] == 100.0
    outcome = world.simulate(chosen, A, [4], FAST)[0]
    unfed = three.labels.tumour & ~fed
    assert unfed.any() and (outcome.ct.array[unfed] == three.ct.array[unfed]).all()
    assert (outcome.labels.array[unfed] == 2).all()
    treated = three.labels.tumour & fed
    assert (outcome.ct.array[treated] != three.ct.array[treated]).any()


def test_the_cube_goes_with_the_target(three: Patient) -> None:
    session = treating(three, Targets.parse("3")).session
    assert session is not None and session.lesions == (3,) and session.target == 3
    middle = session.patch.to_ras((np.array(session.patch.shape) - 1) / 2)
    assert middle == pytest.approx(three.ct.geometry.to_ras(BALLS[2][0]), abs=1.5)


def test_the_target_is_the_lesion_of_which_most_is_fed(three: Patient) -> None:
    fed = lesion(three, 2)
    fed[BALLS[0][0]] = True  # one voxel of lesion 1
    chosen = treating(three, fed=fed)
    assert chosen.session is not None and chosen.session.lesions == (1, 2) and chosen.session.target == 2
    assert [one.index for one in chosen.target_findings.lesions] == [2, 1, 3]
    assert treating(three).target_findings.lesions == three.findings.lesions


def test_targets_outside_of_the_cube_are_said_with_their_share(three: Patient) -> None:
    session = treating(three, Targets.parse("all")).session
    assert session is not None and session.lesions == (1, 2) and session.beyond == (3,)
    voxels = [lesion(three, n).sum() for n in (1, 2, 3)]
    assert "Outside of the cube, so not simulated: lesion 3" in session.why
    assert f"That is {100 * sum(voxels[:2]) / sum(voxels):.0f} % of the volume of the targets" in session.why


def segment_codes(patient: Patient) -> np.ndarray:
    """Drawn segments: 8 on the right of a plane between lesions 2 and 3, 2 on its left."""
    codes = np.where(patient.labels.liver, 1 + SEGMENTS.index("8"), 0).astype(np.uint8)
    codes[:, :, 70:][patient.labels.liver[:, :, 70:]] = 1 + SEGMENTS.index("2")
    return codes


def test_drawn_segments_decide(three: Patient) -> None:
    codes = segment_codes(three)
    found = treating(three, Targets.parse("segment:LEFT"), segments=codes)
    assert found.session is not None and found.session.lesions == (3,) and found.session.segments_by == "drawn"
    assert [one.location.split(",")[0] for one in found.findings.lesions] == [
        "segment 8 (right lobe)", "segment 8 (right lobe)", "segment 2 (left lobe)",
    ]  # fmt: skip
    fed = treating(three, territory=Territory.parse("left hepatic artery"), segments=codes).session
    assert fed is not None and fed.lesions == (3,) and "left hepatic artery (segments 2, 3, 4)" in fed.why
    whole = treating(three, territory=Territory.parse("whole liver")).session
    assert whole is not None and whole.lesions == (1, 2) and not whole.segments_by
    with pytest.raises(TargetError, match="No lesion lies in"):
        treating(three, Targets.parse("segment:1"), segments=codes)
    with pytest.raises(NoTumourError, match="feeds no tumour"):
        treating(three, territory=Territory.parse("A6"), segments=codes)


def test_what_cannot_be_treated_is_refused(three: Patient) -> None:
    with pytest.raises(TargetError, match="4; there are 3 lesions"):
        treating(three, Targets.parse("1,4"))
    with pytest.raises(TerritoryError, match="--fed"):
        treating(three, territory=Territory.parse("painted region"))
    with pytest.raises(TerritoryError, match="right inferior phrenic artery.*--fed"):
        treating(three, territory=Territory.parse("A8 and RIPA"))
    known = treating(three, territory=Territory.parse("RIPA"), fed=left_half(three)).session
    assert known is not None and known.territory == Territory.parse("right inferior phrenic artery")
    with pytest.raises(NoTumourError, match="target"):
        treating(three, Targets.parse("1"), fed=lesion(three, 3))


@pytest.mark.parametrize(
    ("radii", "asked"), [((12.0, 9.6), True), ((12.0, 9.2), False), ((12.0, 12.0), True), ((12.0,), False)]
)
def test_rivals_are_asked_for_up_to_a_factor_of_two(radii: tuple[float, ...], asked: bool) -> None:
    patient = people(*[((20, 30, 30 + 50 * n), r) for n, r in enumerate(radii)])
    questions = question_session(treating(patient), chosen=False)
    assert [q.topic for q in questions] == ["target"] * asked
    assert [q.severity for q in questions] == ["severe"] * asked
    assert not question_session(treating(patient, Targets.parse("1")), chosen=True)


def test_where_both_are_treated_nothing_was_chosen() -> None:
    near, far = (people(((20, 30, 30), 12.0), ((20, 30, 30 + gap), 12.0)) for gap in (17, 60))
    assert not question_session(treating(near), chosen=False), "both lie in the cube"
    assert question_session(treating(far), chosen=False)
    assert not question_session(treating(far, whole=True), chosen=False), "lesions are simulated whole, wherever"


def test_only_what_is_fed_is_a_rival() -> None:
    patient = people(((20, 30, 30), 12.0), ((20, 30, 90), 12.0))
    fed = np.zeros(patient.ct.array.shape, bool)
    fed[:, :, :60] = True
    assert not question_session(treating(patient, fed=fed), chosen=False)
    assert question_session(treating(patient), chosen=False)


def test_an_approximate_division_is_said_to_be_one(three: Patient) -> None:
    found = treating(three, territory=Territory.parse("whole liver and A8"))
    assert found.session is not None and not found.session.segments_by  # nothing had to be divided
    lobe = treating(three, Targets.parse("all"), Territory.parse("right lobe"))
    assert lobe.session is not None and lobe.session.segments_by == "approximate"
    (note,) = question_session(lobe, chosen=True)
    assert note.severity == "note" and "APPROXIMATE" in note.text and "not show the whole liver" in note.text


def test_a_protocol_with_a_territory_is_simulated_in_its_session(world: WorldModel, three: Patient) -> None:
    codes = segment_codes(three)
    fed = A.fed(Territory.parse("A8"))
    chosen = treating(three, territory=fed.territory, segments=codes)
    outcome = world.simulate(chosen, fed, [4], FAST)[0]
    assert outcome.ct.simulated is not None and outcome.ct.simulated.protocol.endswith("@ A8")
    with pytest.raises(TerritoryError, match="A2; session: A8"):
        world.simulate(chosen, A.fed(Territory.parse("A2")), [4], FAST)
    whole = A.fed(Territory.parse("whole liver"))
    assert (
        world.simulate(three, whole, [4], FAST)[0].ct.array.tobytes()
        == world.simulate(three, A, [4], FAST)[0].ct.array.tobytes()
    )  # no session: one is made for the protocol
    plan = world.plan(chosen, SPACE, FAST, 1).fed(fed.territory)
    assert plan.candidates and all(c.protocol.territory == fed.territory for c in plan.candidates)
    assert all(s.child.territory == fed.territory for s in plan.tree)
    assert plan.fed(None) is plan
    key = world.journal_key(chosen, SPACE, FAST, 1)
    assert key != world.journal_key(treating(three, Targets.parse("1")), SPACE, FAST, 1)
