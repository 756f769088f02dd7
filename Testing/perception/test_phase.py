"""The contrast phase: drawn trunks, drawn patients of the synthetic world, and one real patient."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.world import SyntheticPatient, whole_geometry
from MeWMLib.core.volume import PHASES, Geometry, Volume
from MeWMLib.perception.phase import TYPICAL_HU, guess_phase, phase_chances

LPS = np.array([[-4.0, 0, 0, 190], [0, -4, 0, 190], [0, 0, 5, 0], [0, 0, 0, 1]])


@pytest.mark.parametrize("phase", ["non-contrast", "arterial", "portal", "delayed"])
def test_a_drawn_trunk_is_measured_and_named(phantom, phase):
    guess = guess_phase(Volume(phantom.trunk(phase)[0], Geometry(phantom.SHAPE, LPS)))
    aorta, liver = phantom.PHASES[phase]
    assert guess.phase == phase and guess.confidence > 0.9 and guess.phase in PHASES
    assert guess.aorta_hu == pytest.approx(aorta, abs=4) and guess.liver_hu == pytest.approx(liver, abs=4)
    assert np.allclose(guess.liver_centre_ras, (70, 5, 62), atol=6)
    assert f"aorta {guess.aorta_hu:.0f} HU" in guess.reason and guess.to_json()["phase"] == phase


def test_an_image_that_was_stored_upside_down_is_the_same_patient(phantom):
    hu = phantom.trunk("portal")[0]
    turned = LPS.copy()
    turned[:3, 0] *= -1
    turned[:3, 2] *= -1
    turned[0, 3] -= 95 * 4
    turned[2, 3] += 25 * 5
    guess = guess_phase(Volume(hu[::-1, :, ::-1].copy(), Geometry(phantom.SHAPE, turned)))
    assert guess.phase == "portal" and np.allclose(guess.liver_centre_ras, (70, 5, 62), atol=6)


def test_no_aorta_no_liver_and_no_body_are_unknown_and_said(phantom):
    geometry = Geometry(phantom.SHAPE, LPS)
    hu = phantom.trunk("portal")[0]
    assert guess_phase(Volume(np.full_like(hu, -1000), geometry)).reason == "not found: the aorta and the liver"
    fat = np.where((hu > 80) & (hu < 140), -95, hu).astype(np.int16)  # a trunk without a liver
    guess = guess_phase(Volume(fat, geometry))
    assert guess.phase == "unknown" and guess.confidence == 0.0 and "the liver" in guess.reason
    short = Geometry((5, 96, 96), LPS)
    assert "the aorta" in guess_phase(Volume(hu[:5], short)).reason


def test_chances_are_bayes_under_even_priors():
    chances, stray = phase_chances(130.0, 102.0)
    assert sum(chances.values()) + stray == pytest.approx(1.0)
    assert max(chances.values()) < 0.8  # between portal and delayed nobody can be sure
    for phase, ((aorta, _), (liver, _)) in TYPICAL_HU.items():
        typical, _ = phase_chances(aorta, liver)
        assert max(typical, key=typical.get) == phase and typical[phase] > 0.9
    assert phase_chances(600.0, 250.0)[1] > 0.5  # nothing looks like that


@pytest.mark.slow
def test_synthetic_patients_are_named_by_their_own_phase():
    geometry = whole_geometry((5.0, 2.5, 2.5))
    seen = set()
    for seed in (200_000, 200_003, 200_004, 200_009):
        patient = SyntheticPatient.draw(seed)
        hu = patient.render_all(geometry, [None])[0].hu
        guess = guess_phase(Volume(np.round(hu).astype(np.int16), geometry))
        assert guess.phase == patient.anatomy.phase and guess.confidence > 0.8, guess.reason
        seen.add(guess.phase)
    assert seen == {"portal", "arterial"}


@pytest.mark.parametrize("shape", [(2, 8, 8), (3, 12, 10), (1, 512, 512), (200, 4, 4), (5, 60, 60)])
@pytest.mark.parametrize("spacing", [(0.7, 0.8, 2.5), (8.0, 8.0, 8.0), (0.1, 0.1, 15.0)])
def test_whatever_a_grid_is_there_is_a_guess(shape, spacing):
    affine = np.diag([*spacing, 1.0])
    array = np.random.default_rng(0).integers(-1000, 1000, shape).astype(np.int16)
    assert guess_phase(Volume(array, Geometry(shape, affine))).phase in PHASES


def test_spongy_bone_in_the_way_of_the_tube_is_not_blood(phantom):
    hu = phantom.trunk("non-contrast")[0]
    j, i = np.ogrid[:96, :96]
    disc = np.hypot((i - 47.5) * 4 - 10, (j - 47.5) * 4 - 30) < 10  # where the aorta runs
    for k in range(10):
        hu[k][disc] = 115 + (hu[k][disc] - 42)
    guess = guess_phase(Volume(hu, Geometry(phantom.SHAPE, LPS)))
    assert guess.phase == "non-contrast" and guess.aorta_hu == pytest.approx(42, abs=4)
