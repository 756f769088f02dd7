"""The synthetic TACE world: the same for everybody, lawful, and visible in the image."""

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.fields import Axes, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import (
    LAW,
    LIPIODOL_RETENTION,
    OCCLUSION,
    POTENCY,
    SEEN_RESPONSE,
    SEEN_VOLUME,
    SENSITIVITY,
    TUMOUR_TYPES,
    UNSEEN_RESPONSE,
    UNSEEN_VOLUME,
    LawConstants,
    Response,
    Traits,
    dose_factor,
    respond,
)
from MeWMLib.cohorts.synthetic.world import SyntheticPatient, synthetic_case
from MeWMLib.core.errors import GeometryError
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, Protocol, agent, agents_of
from MeWMLib.core.volume import Geometry
from MeWMLib.lab.synthetic.cases import HABITS, clinicians_choice, drug_twins
from MeWMLib.lab.synthetic.survival import (
    NEW_LESION_WEIGHT,
    REFERENCE_VIABLE_ML,
    WEIBULL_SHAPE,
    attenuation_level,
    survival_months,
    true_log_risk,
)
from MeWMLib.policy import rules

FULL = Protocol.parse("Doxorubicin + Lipiodol")


def small_grid(patient: SyntheticPatient, size: int = 40) -> Geometry:
    nodule = patient.nodules[0]
    spacing = 3.2 * nodule.radius / size
    affine = np.diag([-spacing, -spacing, spacing, 1.0])
    affine[:3, 3] = np.array(nodule.centre)[::-1] + np.array([1, 1, -1]) * (size - 1) / 2 * spacing
    return Geometry((size,) * 3, affine)


def test_a_field_has_unit_variance_and_is_one_function_on_every_grid() -> None:
    x = np.linspace(-150, 150, 61).astype(np.float32)
    field = SmoothField(3, 11.0)
    coarse = field.at(Axes(x, x, x))
    assert coarse.std() == pytest.approx(1, abs=0.08) and abs(coarse.mean()) < 0.1
    assert np.allclose(field.at(Axes(x[10:30:5], x[7:9], x[::3])), coarse[10:30:5, 7:9, ::3], atol=1e-5)


def test_seeds_differ_by_every_part_and_never_by_machine() -> None:
    assert derive_seed("a", 1) != derive_seed("a", 2) != derive_seed("b", 2)
    assert derive_seed("anatomy", 7) == derive_seed("anatomy", 7)


def test_an_oblique_grid_is_refused() -> None:
    affine = np.eye(4)
    affine[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    with pytest.raises(GeometryError, match="axis-aligned"):
        Axes.of(Geometry((4, 4, 4), affine))


def test_a_patient_is_a_seed() -> None:
    one, two = SyntheticPatient.draw(5), SyntheticPatient.draw(5)
    assert one == two
    grid = small_grid(one, 24)
    assert np.array_equal(one.render(grid, FULL).hu, two.render(grid, FULL).hu)
    assert SyntheticPatient.draw(6) != one


@pytest.mark.parametrize("seed", range(4))
def test_lipiodol_is_bright_and_only_there_if_it_was_given(seed: int) -> None:
    patient = SyntheticPatient.draw(seed)
    grid = small_grid(patient)
    before = patient.render(grid, noise=False)
    with_oil = patient.render(grid, FULL, noise=False)
    without = patient.render(grid, Protocol.parse("Doxorubicin + PVA"), noise=False)
    tumour = before.labels == 2
    assert tumour.any() and not before.lipiodol.any() and not without.lipiodol.any()
    core = with_oil.lipiodol & (with_oil.hu > 225)
    assert with_oil.lipiodol.any() and core.sum() > 0.3 * with_oil.lipiodol.sum()
    assert with_oil.hu[with_oil.labels == 2].max() <= 645
    assert before.hu[tumour].max() < 225


@pytest.mark.parametrize("seed", range(3))
def test_the_drawn_tumour_keeps_to_the_law(seed: int) -> None:
    patient = SyntheticPatient.draw(seed)
    grid = small_grid(patient)
    answer = patient.response(FULL)
    before, after = patient.render(grid, noise=False), patient.render(grid, FULL, noise=False)
    lesion = after.labels == 2
    assert lesion.sum() == pytest.approx((1 - answer.shrinkage) * (before.labels == 2).sum(), rel=0.12)
    alive = after.viable.sum() / lesion.sum()
    if patient.kind != "necrotic_core":  # which was partly dead before
        assert alive == pytest.approx(1 - answer.necrosis, abs=0.06)
    assert not (after.viable & ~lesion).any() and not (after.viable & after.lipiodol).any()


def test_tables_cover_the_vocabulary() -> None:
    assert set(OCCLUSION) == set(agents_of(EMBOLIC))
    assert set(SENSITIVITY) == {agent(n).agent_class for n in agents_of(DRUG)}
    for rows in (*OCCLUSION.values(), *SENSITIVITY.values()):
        assert len(rows) == len(TUMOUR_TYPES) and all(0 < v < 1 for v in rows)


def test_potencies_are_of_drugs_and_every_type_keeps_some_lipiodol() -> None:
    assert set(POTENCY) <= set(agents_of(DRUG)) and all(v > 0 for v in POTENCY.values())
    assert len(LIPIODOL_RETENTION) == len(TUMOUR_TYPES) and all(0 < v < 1 for v in LIPIODOL_RETENTION)


def test_traits_are_drawn_within_two_deviations_and_all_types_alike() -> None:
    rng = np.random.default_rng(0)
    drawn = [Traits.draw(rng) for _ in range(1400)]
    counts = [sum(t.kind == kind for t in drawn) for kind in TUMOUR_TYPES]
    assert min(counts) > 140 and max(counts) < 260
    for name in ("perfusion", "response_noise", "volume_noise"):
        values = np.array([getattr(t, name) for t in drawn])
        assert np.abs(values).max() <= 2 and values.std() == pytest.approx(0.96, abs=0.05)
    assert min(t.vascularity for t in drawn) >= 0.75 and max(t.vascularity for t in drawn) <= 1.25
    assert np.corrcoef([[t.perfusion, t.response_noise] for t in drawn], rowvar=False)[0, 1] == pytest.approx(
        0, abs=0.1
    )


def test_what_is_seen_and_unseen_make_up_one_variance() -> None:
    assert SEEN_RESPONSE**2 + UNSEEN_RESPONSE**2 == pytest.approx(1, abs=1e-3)
    assert SEEN_VOLUME**2 + UNSEEN_VOLUME**2 == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", TUMOUR_TYPES)
def test_more_treatment_kills_more_and_harms_more(kind: str) -> None:
    traits = Traits(kind)
    nothing = respond(traits, Protocol(()))
    drug = respond(traits, Protocol.of(["Cisplatin"]))
    both = respond(traits, Protocol.of(["Cisplatin", "Lipiodol"]))
    more = respond(traits, Protocol.of(["Cisplatin", "Doxorubicin", "Lipiodol"]))
    assert nothing.necrosis == 0 and nothing.shrinkage < 0  # it grows
    assert nothing.necrosis < drug.necrosis < both.necrosis < more.necrosis < 1
    assert nothing.shrinkage < drug.shrinkage < both.shrinkage < more.shrinkage
    assert nothing.toxicity < drug.toxicity < both.toxicity < more.toxicity
    assert both.lipiodol > 0 == drug.lipiodol and both.occlusion > 0 == drug.occlusion
    assert nothing.new_lesion > drug.new_lesion > both.new_lesion > more.new_lesion > 0


def test_the_answer_is_the_stated_equation() -> None:
    """Doxorubicin behind Lipiodol in a hypervascular tumour, worked out by hand."""
    law = LawConstants(base=-1, by_occlusion=1, by_drugs=2, by_both=3, spread=0.5, shrink=0.6, growth=0.2)
    traits = Traits("hypervascular", perfusion=1.0, response_noise=-1.0, volume_noise=0.5)
    answer = respond(traits, FULL, law)
    occlusion = 0.60 * 1.125
    killed = 0.80 * 1.05 * (0.5 + 0.5 * occlusion)
    logit = -1 + occlusion + 2 * killed + 3 * occlusion * killed + 0.5 * (0.9 - 0.436)
    dead = 1 / (1 + np.exp(-logit))
    volume = 0.2 * (1 - dead) - 0.6 * dead * (0.3 + 0.7 * killed) + 0.25 * (0.6 * 0.5 - 0.8)
    expected = (occlusion, killed, dead, 1 - np.exp(volume), 0.80 * 1.125, 0.05 + 0.35 * (1 - dead), 0.06)
    found = (
        answer.occlusion, answer.killed, answer.necrosis, answer.shrinkage, answer.lipiodol, answer.new_lesion,
        answer.toxicity,
    )  # fmt: skip
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kind", TUMOUR_TYPES)
def test_well_perfused_tumours_answer_better_and_luck_counts(kind: str) -> None:
    poor, good = respond(Traits(kind, -1.5), FULL), respond(Traits(kind, 1.5), FULL)
    assert good.necrosis > poor.necrosis and good.shrinkage > poor.shrinkage and good.occlusion > poor.occlusion
    lucky, unlucky = respond(Traits(kind, 0, 1.5), FULL), respond(Traits(kind, 0, -1.5), FULL)
    assert lucky.necrosis > unlucky.necrosis and lucky.occlusion == unlucky.occlusion
    swollen = respond(Traits(kind, 0, 0, 1.5), FULL)
    assert swollen.shrinkage < respond(Traits(kind), FULL).shrinkage


def test_every_answer_is_a_share_whatever_is_given() -> None:
    rng = np.random.default_rng(1)
    everything = Protocol.of([*agents_of(DRUG), *agents_of(EMBOLIC)])
    for _ in range(60):
        traits = Traits.draw(rng)
        for protocol in (Protocol(()), FULL, everything):
            a = respond(traits, protocol)
            shares = (a.occlusion, a.killed, a.necrosis, a.lipiodol, a.new_lesion)
            assert all(0 <= v <= 1 for v in shares) and a.shrinkage < 1 and a.toxicity >= 0
            assert attenuation_level(a) in (1, 2, 3, 4)


@pytest.mark.parametrize(("occlusion", "level"), [(0.0, 1), (0.24, 1), (0.26, 2), (0.5, 3), (0.76, 4), (1.0, 4)])
def test_the_report_tells_the_occlusion_in_quarters(occlusion: float, level: int) -> None:
    assert attenuation_level(Response(occlusion, 0, 0, 0, 0, 0, 0)) == level


def test_a_closed_portal_vein_makes_embolics_harmful() -> None:
    def harm(kind: str) -> float:
        return respond(Traits(kind), Protocol.parse("Doxorubicin + Lipiodol + PVA")).toxicity

    assert harm("portal_thrombus") == pytest.approx(harm("capsule") + 2 * 0.06)


def test_clinicians_keep_to_their_habits_but_not_always() -> None:
    habits = {Protocol.parse(text) for text in HABITS}
    chosen = []
    for n in range(200):
        rng = np.random.default_rng(n)
        chosen.append(clinicians_choice(Traits.draw(rng), rng))
    share = np.mean([p in habits for p in chosen])
    assert 0.5 < share < 0.98  # 4 of 20 options: a fifth without habits
    assert all(p.complete and rules.allowed(p) for p in chosen) and len(set(chosen)) > 10
    again = [np.random.default_rng(3), np.random.default_rng(3)]
    assert clinicians_choice(Traits("capsule"), again[0]) == clinicians_choice(Traits("capsule"), again[1])


def test_clinicians_do_not_see_what_is_unseen() -> None:
    plain, lucky = Traits("capsule", 0.5), Traits("capsule", 0.5, 2.0, -2.0)
    for n in range(20):
        one = clinicians_choice(plain, np.random.default_rng(n))
        assert one == clinicians_choice(lucky, np.random.default_rng(n))


def test_drug_twins_share_the_embolics_and_differ_in_the_drug() -> None:
    embolics = set()
    for seed in range(30):
        twins = drug_twins(seed)
        assert len(twins) == 6 == len({p.drugs for p in twins}) and len({p.embolics for p in twins}) == 1
        assert all(len(p.drugs) == 1 == len(p.embolics) and rules.allowed(p) for p in twins)
        assert twins == drug_twins(seed) and drug_twins(seed, 3) == twins[:3]
        embolics.add(twins[0].embolics)
    assert len(embolics) >= 3


def test_each_type_wants_its_own_drug_and_embolic() -> None:
    best = {
        kind: max(
            ((d, e) for d in agents_of(DRUG) for e in agents_of(EMBOLIC)),
            key=lambda pair, kind=kind: respond(Traits(kind), Protocol.of(pair)).necrosis,
        )
        for kind in TUMOUR_TYPES
    }
    assert len({d for d, _ in best.values()}) >= 4 and len({e for _, e in best.values()}) >= 3


def test_dose_acts_and_saturates() -> None:
    assert dose_factor("Cisplatin", None) == 1
    assert dose_factor("Cisplatin", 55) == pytest.approx(1)  # middle of 10 to 100 mg
    low, high = dose_factor("Cisplatin", 10), dose_factor("Cisplatin", 100)
    assert low < 1 < high < 1.5
    assert (
        respond(Traits("capsule"), Protocol((Action("Cisplatin", 10),))).necrosis
        < respond(Traits("capsule"), Protocol((Action("Cisplatin", 90),))).necrosis
    )


def test_the_hazard_grows_with_what_lives_what_is_new_and_what_was_harmed() -> None:
    def answer(new_lesion: float = 0.0, toxicity: float = 0.0) -> Response:
        return Response(0, 0, 0, 0, 0, new_lesion, toxicity)

    assert true_log_risk(REFERENCE_VIABLE_ML, answer()) == 0
    assert true_log_risk(63, answer()) == pytest.approx(0.5 * np.log(64 / 16))
    assert true_log_risk(0, answer()) < 0 < true_log_risk(REFERENCE_VIABLE_ML, answer(new_lesion=0.1))
    assert true_log_risk(15, answer(0.4, 0.2)) == pytest.approx(NEW_LESION_WEIGHT * 0.4 + 0.2)


def test_survival_follows_the_hazard() -> None:
    drawn = {r: [survival_months(r, np.random.default_rng(n)) for n in range(800)] for r in (-1.0, 0.0, 1.0)}
    times = {r: np.median([months for months, _ in rows]) for r, rows in drawn.items()}
    assert times[-1.0] > times[0.0] > times[1.0]
    # Of a Weibull law with shape k, a hazard ratio of e divides times by e^(1/k); follow-up ends few early.
    assert times[1.0] == pytest.approx(LAW.median_months * np.exp(-1 / WEIBULL_SHAPE), rel=0.12)
    assert times[0.0] == pytest.approx(LAW.median_months, rel=0.12)
    assert 0.02 < np.mean([not seen for _, seen in drawn[0.0]]) < 0.3


@pytest.mark.slow
def test_a_whole_abdomen_is_a_ct_with_a_tumour_in_the_liver() -> None:
    ct, labels = synthetic_case(1, (5.0, 2.5, 2.5))
    assert ct.array.dtype == np.int16 and ct.phase in ("portal", "arterial")
    assert ct.array.min() < -900 and ct.array.max() > 250
    liver_ml = labels.liver.sum() * ct.geometry.voxel_ml
    assert 600 < liver_ml < 3500 and 0 < labels.tumour.sum() < labels.liver.sum()
    right = ct.geometry.to_ras(np.argwhere(labels.liver))[:, 0]
    assert right.mean() > 20  # the liver lies on the right
