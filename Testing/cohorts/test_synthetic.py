"""The synthetic TACE world: the same for everybody, lawful, and visible in the image."""

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.fields import Axes, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import (
    OCCLUSION,
    SENSITIVITY,
    TUMOUR_TYPES,
    dose_factor,
    respond,
    survival_months,
    true_log_risk,
)
from MeWMLib.cohorts.synthetic.world import SyntheticPatient, synthetic_case
from MeWMLib.core.errors import GeometryError
from MeWMLib.core.protocol import DRUG, EMBOLIC, Action, Protocol, agent, agents_of
from MeWMLib.core.volume import Geometry

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


@pytest.mark.parametrize("kind", TUMOUR_TYPES)
def test_more_treatment_kills_more_and_harms_more(kind: str) -> None:
    nothing = respond(kind, 1.0, Protocol(()))
    drug = respond(kind, 1.0, Protocol.of(["Cisplatin"]))
    both = respond(kind, 1.0, Protocol.of(["Cisplatin", "Lipiodol"]))
    more = respond(kind, 1.0, Protocol.of(["Cisplatin", "Doxorubicin", "Lipiodol"]))
    assert nothing.necrosis == 0 and nothing.shrinkage < 0  # it grows
    assert nothing.necrosis < drug.necrosis < both.necrosis < more.necrosis < 1
    assert nothing.toxicity < drug.toxicity < both.toxicity < more.toxicity
    assert both.lipiodol > 0 == drug.lipiodol


def test_each_type_wants_its_own_drug_and_embolic() -> None:
    best = {
        kind: max(
            ((d, e) for d in agents_of(DRUG) for e in agents_of(EMBOLIC)),
            key=lambda pair, kind=kind: respond(kind, 1.0, Protocol.of(pair)).necrosis,
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
        respond("capsule", 1, Protocol((Action("Cisplatin", 10),))).necrosis
        < respond("capsule", 1, Protocol((Action("Cisplatin", 90),))).necrosis
    )


def test_survival_follows_the_hazard() -> None:
    assert true_log_risk(15, 0) == 0 and true_log_risk(60, 0) > true_log_risk(15, 0.1) > 0
    times = {
        r: np.median([survival_months(r, np.random.default_rng(n))[0] for n in range(800)]) for r in (-1.0, 0.0, 1.0)
    }
    assert times[-1.0] > times[0.0] > times[1.0]
    # Weibull with shape 1.3 and a median of 22 months: a hazard ratio of e divides times by e^(1/1.3).
    assert times[1.0] == pytest.approx(22 * np.exp(-1 / 1.3), rel=0.12)
    assert 0.05 < np.mean([not survival_months(0.0, np.random.default_rng(n))[1] for n in range(400)]) < 0.5


@pytest.mark.slow
def test_a_whole_abdomen_is_a_ct_with_a_tumour_in_the_liver() -> None:
    ct, labels = synthetic_case(1, (5.0, 2.5, 2.5))
    assert ct.array.dtype == np.int16 and ct.phase in ("portal", "arterial")
    assert ct.array.min() < -900 and ct.array.max() > 250
    liver_ml = labels.liver.sum() * ct.geometry.voxel_ml
    assert 600 < liver_ml < 3500 and 0 < labels.tumour.sum() < labels.liver.sum()
    right = ct.geometry.to_ras(np.argwhere(labels.liver))[:, 0]
    assert right.mean() > 20  # the liver lies on the right
