"""The closed loop: correlations over patients, and one real turn of it."""

import numpy as np
import pytest

from MeWMLib.lab.evaluation.closed_loop import ClosedLoopSettings, evaluate_closed_loop, rows_of


def test_volumes_that_follow_the_truth_correlate_and_constant_ones_do_not() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(1, 80, (6, 4, 2))
    good = [np.column_stack([2 * t[:, 0], t[:, 1], t, np.full(4, 0.9)]) for t in true]
    rows = rows_of(good, 0)
    assert rows["viable_volume_r"]["mean"] == pytest.approx(1) and rows["tumour_volume_r"]["mean"] > 0.99
    assert rows["viable_volume_r"]["low"] == pytest.approx(1) and rows["viable_volume_r"]["n"] == 6
    assert rows["tumour_dice"]["mean"] == pytest.approx(0.9)
    noise = [np.column_stack([rng.uniform(1, 80, (4, 2)), t, np.zeros(4)]) for t in true]
    assert abs(rows_of(noise, 0)["viable_volume_r"]["mean"]) < 0.6
    flat = [np.column_stack([np.ones((4, 2)), t, np.zeros(4)]) for t in true]
    assert np.isnan(rows_of(flat, 0)["viable_volume_r"]["mean"])


@pytest.mark.slow
def test_turns_with_the_shipped_weights() -> None:
    """Few patients for the time that they take; docs/SEGMENTER.md has the figures on more."""
    rows = evaluate_closed_loop(ClosedLoopSettings(patients=2, steps=2))
    assert list(rows) == ["simulated", "codec", "true", "product"]
    assert rows["true"]["tumour_dice"]["mean"] >= 0.8
    assert all(rows[r]["tumour_volume_r"]["mean"] > 0.8 for r in rows)
    assert rows["simulated"]["viable_volume_r"]["mean"] > 0.5
