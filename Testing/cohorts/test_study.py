"""Version 3 of the world: iodine is conserved, territories confine, oil washes out; version 2 stays as it was."""

from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.law import TUMOUR_TYPES, Traits, respond
from MeWMLib.cohorts.synthetic.law3 import LABILITY, labile
from MeWMLib.cohorts.synthetic.look import LOOK, LookConstants
from MeWMLib.cohorts.synthetic.outcome import MOST_RETAINED, Session, Tissue, injected_ml, left_ml
from MeWMLib.cohorts.synthetic.patients import WORLD, WORLDS, draw_patient
from MeWMLib.cohorts.synthetic.study import Scan, StudyPatient
from MeWMLib.cohorts.synthetic.territories import FedMask, HalfSpace, WholeLiver, lobe
from MeWMLib.cohorts.synthetic.tissue_look import DeathLook, contrast
from MeWMLib.cohorts.synthetic.world import SyntheticPatient, lps_grid
from MeWMLib.core.errors import GeometryError, InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.synthetic.cases import draw_case
from MeWMLib.rendering.iodine import LIPIODOL_MG_ML, lipiodol_ml, retained_share

FULL = Protocol.parse("Cisplatin + Doxorubicin + Mitomycin + Lipiodol")
WHOLE = Session(fed=WholeLiver())
#: A patient with a middling tumour in which Lipiodol stays.
SEED = 200_004


def grid(patient: SyntheticPatient, size: int = 40) -> Geometry:
    spacing = 3.4 * patient.nodules[0].radius / size
    z, y, x = patient.nodules[0].centre
    half = 0.5 * (size - 1) * spacing
    return lps_grid((size,) * 3, (spacing,) * 3, (x + half, y + half, z - half))


@pytest.fixture(scope="module")
def patient() -> StudyPatient:
    return StudyPatient.draw(SEED)


@pytest.fixture(scope="module")
def after(patient: StudyPatient) -> Scan:
    return patient.render_all(grid(patient), [FULL], noise=False, session=WHOLE, phase="portal")[0]


PINNED = {
    (5, False): ([73.99, 73.16, 143.19, 147.81, 62.03], 628, 628, 0, -233.244),
    (5, True): ([75.93, 76.27, 29.60, 445.12, 80.49], 528, 87, 311, -227.499),
    (200_001, False): ([122.36, 137.18, 26.68, 41.32, 136.66], 4312, 3646, 0, -106.153),
    (200_001, True): ([125.22, 29.90, 29.62, 55.36, 35.22], 3506, 285, 1296, -89.145),
}


@pytest.mark.parametrize(("seed", "treated"), PINNED)
def test_version_2_is_what_it_was(seed: int, treated: bool) -> None:
    """Voxels, counts and the mean as version 2 drew them when the shipped weights were trained."""
    drawn = SyntheticPatient.draw(seed)
    z, y, x = drawn.nodules[0].centre
    found = drawn.render(lps_grid((24,) * 3, (4.0,) * 3, (x + 46, y + 46, z - 46)), FULL if treated else None)
    line, tumour, viable, oil, mean = PINNED[seed, treated]
    assert found.hu[12, 12, ::5].tolist() == pytest.approx(line, abs=0.02)
    assert found.hu.mean() == pytest.approx(mean, abs=0.01)
    counts = [int((found.labels == 2).sum()), int(found.viable.sum()), int(found.lipiodol.sum())]
    assert counts == pytest.approx([tumour, viable, oil], abs=2)


def test_versions_stand_side_by_side() -> None:
    assert WORLD == 2 and type(draw_patient(5)) is SyntheticPatient
    two, three = draw_patient(5, 2), draw_patient(5, 3)
    assert isinstance(three, StudyPatient) and set(WORLDS) == {2, 3}
    assert (two.traits, two.nodules, two.anatomy, two.new_lesion) == (
        three.traits, three.nodules, three.anatomy, three.new_lesion,
    )  # fmt: skip
    with pytest.raises(InputError, match="no such version.*4.*2 or 3"):
        draw_patient(5, 4)
    with pytest.raises(InputError, match="no such version"):
        draw_case(0, 8, world=1)


def test_a_patient_is_a_seed() -> None:
    shape = grid(StudyPatient.draw(11), 20)
    one, two = (StudyPatient.draw(11).render_all(shape, [None, FULL]) for _ in range(2))
    assert all(np.array_equal(a.hu, b.hu) for a, b in zip(one, two, strict=True))
    assert not np.array_equal(one[1].hu, StudyPatient.draw(12).render_all(shape, [FULL])[0].hu)


def test_iodine_is_conserved_from_what_was_injected_to_what_the_scan_shows(patient: StudyPatient) -> None:
    """Injected ml x 480 x retained share = sum of the rise in HU / k, here by two scans with and without oil."""
    geometry = patient.scan_geometry(12.0)
    sharp = StudyPatient.draw(SEED, replace(LOOK, edge=(0.0, 0.0), oil_share=0.3 * LOOK.oil_share))
    (scan,) = sharp.render_all(geometry, [FULL], noise=False, session=WHOLE, phase="portal")
    # a scanner that saturates loses iodine, so that only unclipped scans can be held to it
    assert scan.hu.max() < 3071
    shown = lipiodol_ml(scan.hu - scan.tissue, geometry.voxel_ml)
    left = scan.grains.mg.sum() / LIPIODOL_MG_ML
    assert left > 0.02 and shown == pytest.approx(left, rel=1e-3)
    share = retained_share(left, injected_ml(FULL))
    assert share * injected_ml(FULL) * LIPIODOL_MG_ML == pytest.approx(scan.grains.mg.sum())
    assert scan.iodine.sum() * geometry.voxel_ml == pytest.approx(scan.grains.mg.sum(), rel=1e-3)


def test_never_more_is_left_than_was_injected() -> None:
    greedy = replace(LOOK, oil_share=50.0, oil_none=0.0)
    several = next(
        p for p in (StudyPatient.draw(s, greedy) for s in range(99)) if len(p.nodules) > 2 and p.oil_luck > 0
    )
    protocol = Protocol.parse("Doxorubicin + Lipiodol 5 ml")
    (scan,) = several.render_all(grid(several, 12), [protocol], session=Session(1.0, WholeLiver()))
    assert scan.grains.mg.sum() / LIPIODOL_MG_ML == pytest.approx(MOST_RETAINED * 5, rel=1e-5)
    for weeks in (1.0, 5.0, 26.0):
        assert sum(left_ml([1.0, 3.0], 9.0, 0.5, weeks, LOOK)) <= 0.5
    assert left_ml([1.0, 3.0], 0.0, 5.0, 5.0, LOOK) == [0.0, 0.0]
    assert injected_ml(protocol) == 5 and injected_ml(Protocol.parse("Doxorubicin + PVA")) == 0


def test_lipiodol_washes_out_week_by_week(patient: StudyPatient) -> None:
    amounts = []
    for weeks in (1, 2, 5, 11, 26):
        (scan,) = patient.render_all(grid(patient, 10), [FULL], session=Session(weeks, WholeLiver()))
        amounts.append(scan.grains.mg.sum())
        assert scan.weeks == weeks
    assert all(a > b > 0 for a, b in zip(amounts, amounts[1:], strict=False))
    assert amounts[0] / amounts[-1] == pytest.approx(2 ** (25 / LOOK.oil_half_life), rel=1e-6)
    assert Session().weeks == 5
    for weeks in (0.5, 27, float("nan")):
        with pytest.raises(InputError, match="1 to 26 weeks"):
            Session(weeks)


def test_there_is_lipiodol_only_where_it_was_given(patient: StudyPatient) -> None:
    before, without, with_oil = patient.render_all(
        grid(patient, 24), [None, Protocol.parse("Doxorubicin + PVA"), FULL], noise=False, session=WHOLE
    )
    assert before.weeks is None and not before.grains.mg.sum() and not before.lipiodol.any()
    assert (
        not without.grains.mg.sum()
        and not without.lipiodol.any()
        and np.allclose(without.hu, np.maximum(without.tissue, -1024))
    )
    assert with_oil.lipiodol.any() and not (with_oil.lipiodol & (with_oil.labels != 2)).any()
    assert with_oil.hu.max() > 300 > before.hu[before.labels == 2].max()


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_territory_confines_death_and_deposits(patient: StudyPatient, side: float) -> None:
    centre = patient.nodules[0].centre
    fed = HalfSpace(centre, (0.0, side, 0.0), seed=1)
    geometry = grid(patient)
    (whole,), (half,) = (
        patient.render_all(geometry, [FULL], noise=False, session=Session(fed=f), phase="arterial")
        for f in (WholeLiver(), fed)
    )
    away = side * (Axes.of(geometry).y - centre[1])  # positive on the fed side
    # ten mm beyond a border that wanders by some mm nothing is treated
    beyond = np.broadcast_to((away < -10)[None, :, None], geometry.shape)
    tumour = half.labels == 2
    assert (tumour & beyond).any() and half.viable[tumour & beyond].all()
    assert side * (half.grains.place[:, 1] - centre[1]).min() > -12 if side > 0 else True
    assert (side * (half.grains.place[:, 1] - centre[1])).min() > -12
    fed_part = tumour & np.broadcast_to((away > 10)[None, :, None], geometry.shape)
    assert half.viable[fed_part].mean() < 0.5 and whole.viable[tumour & beyond].mean() < 0.5
    assert half.viable.sum() > whole.viable.sum()


def test_a_painted_region_and_lobes_are_territories(patient: StudyPatient) -> None:
    shape, line = (20, 20, 20), np.arange(-20, 20, 2.0, dtype=np.float32)
    geometry = Geometry(shape, np.array([[2, 0, 0, -20], [0, 2, 0, -20], [0, 0, 2, -20], [0, 0, 0, 1.0]]))
    mask = np.zeros(shape, bool)
    mask[5:15, 5:15, 5:15] = True
    share = FedMask(mask, geometry).share(Axes(line, line, line))
    assert share[10, 10, 10] == pytest.approx(1, abs=0.01) and share[0, 0, 0] < 0.01 < share[10, 10, 4] < 0.6
    assert FedMask(~mask, geometry).share(Axes(line + 500, line, line)).max() == 0
    axes = Axes(line, line, line)
    right, left = (lobe(s, (0.0, 0.0, 0.0), 3).share(axes) for s in ("right", "left"))
    assert np.allclose(right + left, 1, atol=1e-5) or (right.mean() + left.mean()) == pytest.approx(1, abs=0.3)
    assert right[:, :, -1].mean() > 0.9 and left[:, :, 0].mean() > 0.9
    with pytest.raises(InputError, match="no such lobe"):
        lobe("middle", (0, 0, 0))
    with pytest.raises(InputError, match="side that is fed"):
        HalfSpace((0, 0, 0), (0, 0, 0))
    with pytest.raises(GeometryError, match="fed region and its grid differ"):
        FedMask(mask[1:], geometry)


def test_the_dead_share_is_that_of_the_law(patient: StudyPatient, after: Scan) -> None:
    tumour = after.labels == 2
    assert patient.kind != "necrotic_core"
    assert 1 - after.viable.sum() / tumour.sum() == pytest.approx(patient.response(FULL).necrosis, abs=0.06)
    before = patient.render_all(grid(patient), [None], noise=False)[0]
    left = tumour.sum() / (before.labels == 2).sum()
    assert left == pytest.approx(1 - patient.response(FULL).shrinkage, rel=0.12)
    assert before.viable.sum() == (before.labels == 2).sum()


def test_death_comes_in_parts_and_not_in_shells() -> None:
    """Of the tissue that dies by half, little is explained by depth and much hangs together."""
    ties, depths = [], []
    for seed in range(6):
        drawn = StudyPatient.draw(seed)
        tissue = Tissue.of(drawn.nodules[0], "hypovascular", drawn.anatomy)
        answer = replace(respond(Traits("hypovascular"), FULL), necrosis=0.5)
        dead = tissue.dying(answer, np.ones(tissue.shape.shape, np.float32)) > 0
        inside = tissue.mask
        assert dead[inside].mean() == pytest.approx(0.5, abs=0.01)
        depths.append(abs(np.corrcoef(dead[inside], tissue.shape[inside])[0, 1]))
        both = inside[:, 2:] & inside[:, :-2]
        ties.append(np.corrcoef(dead[:, 2:][both], dead[:, :-2][both])[0, 1])
    assert np.mean(depths) < 0.35 and np.mean(ties) > 0.4


def test_dead_tissue_loses_enhancement_in_the_arterial_phase_and_little_in_the_portal_one() -> None:
    drops = np.array([DeathLook.draw(seed, LOOK).drop for seed in range(400)])
    assert (drops < 5).mean() == pytest.approx(LOOK.death_none, abs=0.12) and drops.max() > 50
    drawn = StudyPatient.draw(SEED)
    protocol = Protocol.parse("Doxorubicin + PVA")
    for phase, most in (("arterial", 55.0), ("portal", 140.0)):
        (scan,) = drawn.render_all(grid(drawn), [protocol], noise=False, session=WHOLE, phase=phase)
        dead = (scan.labels == 2) & ~scan.viable
        assert scan.phase == phase and np.median(scan.hu[dead]) < most
        (alive,) = drawn.render_all(grid(drawn), [Protocol(())], noise=False, session=WHOLE, phase=phase)
        inside = dead & alive.viable
        assert alive.hu[inside].mean() > scan.hu[inside].mean() + (10 if phase == "arterial" else 0)


def test_contrast_lies_within_the_measured_ranges() -> None:
    for seed in range(60):
        drawn = StudyPatient.draw(seed)
        portal, arterial = drawn.in_phase("portal").liver_hu, drawn.in_phase("arterial").liver_hu
        assert 92 <= portal <= 143 and 50 <= arterial <= 67
    rng = np.random.default_rng(0)
    for traits in (*map(Traits, TUMOUR_TYPES), *(Traits.draw(rng) for _ in range(60))):
        assert -51 <= contrast(traits, "portal", LOOK) <= 19 and 8 <= contrast(traits, "arterial", LOOK) <= 28
    with pytest.raises(InputError, match="does not draw this phase"):
        StudyPatient.draw(0).in_phase("delayed")


def test_both_phases_show_one_patient(patient: StudyPatient) -> None:
    shape = grid(patient, 20)
    portal, arterial = (patient.render_all(shape, [FULL], session=WHOLE, phase=p)[0] for p in ("portal", "arterial"))
    assert np.array_equal(portal.labels, arterial.labels) and np.array_equal(portal.viable, arterial.viable)
    assert np.array_equal(portal.grains.mg, arterial.grains.mg)
    liver = portal.labels == 1
    assert np.median(portal.hu[liver]) > np.median(arterial.hu[liver]) + 20
    # the noise of two scans has nothing in common
    scans = [patient.render_all(shape, [None], phase=p)[0] for p in ("portal", "arterial")]
    rest = [(s.hu - s.tissue)[liver] for s in scans]
    assert abs(np.corrcoef(rest)[0, 1]) < 0.15


def test_scans_differ_by_pose_and_one_grid_shows_what_another_shows() -> None:
    still = StudyPatient.draw(7, replace(LOOK, shift_mm=0.0, turn_deg=0.0, breath_mm=0.0))
    moving = StudyPatient.draw(7)
    shape = grid(moving, 30)
    (a,), (b,) = (p.render_all(shape, [None], noise=False, phase="portal") for p in (still, moving))
    assert 0.6 < 2 * ((a.labels == 2) & (b.labels == 2)).sum() / ((a.labels == 2).sum() + (b.labels == 2).sum()) < 1
    far = [np.abs(d).max() for d in moving.pose.displacement(Axes.of(shape))]
    assert 0 < max(far) < 12 and not any(np.abs(d).max() for d in still.pose.displacement(Axes.of(shape)))
    part = shape.crop((4, 5, 6), (20, 18, 16))
    (c,) = moving.render_all(part, [None], noise=False, phase="portal")
    assert np.array_equal(c.labels[2:-2, 2:-2, 2:-2], b.labels[6:22, 7:21, 8:20])


def test_lipiodol_left_is_log_normal_and_in_some_patients_nothing() -> None:
    patient = StudyPatient.draw(0)
    luck = np.array([replace(patient, seed=seed).oil_luck for seed in range(1000)])
    assert (luck == 0).mean() == pytest.approx(LOOK.oil_none, abs=0.04)
    logs = np.log(luck[luck > 0])
    assert logs.mean() == pytest.approx(0, abs=0.1) and logs.std() == pytest.approx(LOOK.oil_spread, abs=0.07)


def test_noise_of_a_scan_is_that_of_its_scanner(patient: StudyPatient) -> None:
    geometry = patient.scan_geometry(4.0)
    noisy, plain = (patient.render_all(geometry, [None], noise=n)[0].hu for n in (True, False))
    assert (noisy - plain).std() == pytest.approx(patient.scanner.noise_hu, rel=0.05)
    levels = [StudyPatient.draw(s).scanner.noise_hu for s in range(100)]
    assert 8 <= min(levels) and max(levels) <= 35 and np.std(levels) > 1
    fine = (
        patient.render_all(grid(patient, 40), [None])[0].hu - patient.render_all(grid(patient, 40), [None], False)[0].hu
    )
    assert 0.3 * patient.scanner.noise_hu < fine.std() < patient.scanner.noise_hu


def test_coarse_maps_keep_amounts(after: Scan) -> None:
    maps = after.coarse(2 * after.geometry.spacing[0])
    assert maps.viable.shape == (20, 20, 20) and maps.spacing == pytest.approx([2 * s for s in after.geometry.spacing])
    assert maps.viable.mean() == pytest.approx(after.viable.mean(), rel=1e-5)
    assert maps.attenuation.mean() == pytest.approx(after.tissue.mean(), rel=1e-4)
    assert (maps.viable <= maps.tumour + 1e-6).all()
    assert maps.iodine.sum() * np.prod(maps.spacing) / 1000 == pytest.approx(after.grains.mg.sum(), rel=0.02)
    with pytest.raises(InputError, match="no blocks of this size"):
        after.coarse(1e4)


def test_every_constant_of_the_look_has_an_origin() -> None:
    origins = LookConstants.origins()
    assert set(origins) == set(LookConstants.__dataclass_fields__)
    assert all(text.split()[0].strip(":,") in {"measured", "fitted", "assumed"} for text in origins.values())


def test_labile_sizes_keep_the_middle_and_lengthen_the_tails() -> None:
    rng = np.random.default_rng(0)
    factors = np.array([LABILITY.draw(rng) for _ in range(2000)])
    assert np.median(factors) == pytest.approx(1, rel=0.08)
    answer = respond(Traits("capsule"), FULL)
    assert labile(answer, 1.0).shrinkage == pytest.approx(answer.shrinkage)
    assert replace(labile(answer, 3.0), shrinkage=answer.shrinkage) == answer
    log = [np.log(1 - labile(answer, f).shrinkage) - LABILITY.middle for f in (1.0, 2.0)]
    assert log[1] == pytest.approx(2 * log[0])
    assert np.log(1 - labile(answer, 1e6).shrinkage) in (
        pytest.approx(LABILITY.limits[0]),
        pytest.approx(LABILITY.limits[1]),
    )


def test_cases_of_both_worlds_have_one_form() -> None:
    two, three = (draw_case(3, 24, world=w) for w in (2, 3))
    assert two.protocols == three.protocols and two.spacing_mm == three.spacing_mm and len(three.after) == 8
    assert three.before.hu.shape == (24, 24, 24) and isinstance(three.after[0], Scan)
    assert all(scan.weeks == StudyPatient.draw(3).session.weeks for scan in three.after if isinstance(scan, Scan))


@pytest.mark.parametrize("number", [0, 1])
def test_what_lives_after_a_session_is_told_as_a_drawn_scan_has_it(number: int) -> None:
    person = StudyPatient.draw(200_000 + number)
    axes = Axes.of(grid(person, 24))
    scan = person.render_all(grid(person, 24), [FULL], noise=False, session=person.session)[0]
    liver = person.anatomy.liver(axes) > 0
    assert scan.viable.any()
    assert np.array_equal(person.viable_after(axes, liver, FULL, person.session), scan.viable)
