"""Evaluation of generation on two known patients with a model on a cube: every row is there and says the truth."""

import numpy as np
import pytest

from MeWMLib.core.bundles import Bundle
from MeWMLib.lab.evaluation import generation, generation_cube
from MeWMLib.lab.evaluation.generation_figures import GenerationSettings
from MeWMLib.lab.evaluation.known_patients import KnownPatient
from MeWMLib.world.model import WorldModel

TEST_PATIENT = 200_002


@pytest.fixture(scope="module")
def known(tiny_bundle: Bundle) -> KnownPatient:
    return KnownPatient.draw(WorldModel.load(tiny_bundle), TEST_PATIENT)


@pytest.mark.slow
def test_a_known_patient_has_the_truth_of_every_protocol(known: KnownPatient) -> None:
    assert len(known.truths) == len(known.protocols) >= 5 and len(known.twin_truths) == len(known.twins) >= 3
    assert len({p.embolics for p in known.twins}) == 1 and all(len(p.drugs) == 1 for p in known.twins)
    assert all(p.complete for p in known.protocols)
    truth = known.truths[0].hu
    assert truth.shape == known.patch.hu.shape and known.error(truth, truth) == 0
    # what lies outside the dilated tumour is no error, what lies inside is
    worse = np.where(known.inside, truth, truth + 50).astype(np.float32)
    assert known.error(worse, truth) == 0 and known.error(np.clip(truth, -175, 500) + 50, truth) > 30
    # the patch is drawn in the same place as it was cut
    liver = known.patch.labels == 1
    far = liver & ~known.inside
    assert np.abs((known.patch.hu - truth)[far]).mean() < 15


@pytest.mark.slow
def test_risks_of_the_truth_rise_with_what_is_left_alive(known: KnownPatient) -> None:
    alive = [known.viable_ml(t) for t in known.truths]
    risks = known.true_risks()
    assert risks[int(np.argmax(alive))] > risks[int(np.argmin(alive))]


@pytest.mark.slow
def test_the_rows_of_the_table(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation_cube, "FITTED_ON", 2)
    settings = GenerationSettings((200_000, 200_001), str(tiny_bundle.path), steps=1, montage=1)
    rows, tiles, about = generation.evaluate_generation(settings)
    assert list(rows) == [
        "mewm", "mewm_shuffled_actions", "copy_pre", "mewm_action_dropped", "syntumor", "pixel2cancer",
    ]  # fmt: skip
    for figures in rows.values():
        for name in ("tumour_mae_hu", "lipiodol_volume_error", "fid", "lpips"):
            assert figures[name]["low"] <= figures[name]["mean"] <= figures[name]["high"] or name == "fid"
    ratio = rows["mewm_shuffled_actions"]["tumour_mae_hu"]["mean"] / rows["mewm"]["tumour_mae_hu"]["mean"]
    assert rows["mewm"]["shuffled_action_ratio"]["mean"] == pytest.approx(ratio, rel=0.2)
    assert -1 <= rows["mewm"]["counterfactual_rank_correlation"]["mean"] <= 1
    assert len(tiles) == 2 and "segmenter encoder" in about["network"]
    above, below = tiles
    assert len(above) == len(below) and not above[0].simulated and below[0] is None
    assert all(tile.simulated for tile in above[1:]) and not any(tile.simulated for tile in below[1:])
