"""The closed loop: correlations over patients, and one real turn of it."""

import numpy as np
import pytest

from MeWMLib.core.bundles import Bundle
from MeWMLib.lab.evaluation import closed_study
from MeWMLib.lab.evaluation.closed_loop import ClosedLoopSettings, evaluate_closed_loop, rows_of
from MeWMLib.lab.synthetic.cases import SPLITS


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


def test_what_is_measured_beside_what_was_told() -> None:
    rng = np.random.default_rng(1)
    nothing = np.full(5, np.nan)

    def patient(off: float) -> np.ndarray:
        told = rng.permutation(np.linspace(2, 9, 5))
        return np.column_stack([told, told + off, np.full(5, 10.0), told, told + off])

    rows = closed_study.rows_of([patient(off) for off in (1.0, 1.0, -2.0)], 0)
    assert rows["mean_difference"]["mean"] == pytest.approx((10 + 10 + 20) / 3)
    assert rows["bias"]["mean"] == pytest.approx(0)
    assert rows["beyond_tolerance"]["mean"] == pytest.approx(1 / 3)
    assert rows["kendall_tau"]["mean"] == rows["kendall_tau_risk"]["mean"] == pytest.approx(1)
    assert rows["viable_share_r"]["n"] == 3 and 0.7 < rows["viable_share_r"]["mean"] < 1
    backwards = np.column_stack([np.arange(5), 4 - np.arange(5), np.full(5, 10.0), nothing, nothing])
    assert closed_study.rows_of([backwards], 0)["kendall_tau"]["mean"] == pytest.approx(-1)
    assert "kendall_tau_risk" not in closed_study.rows_of([backwards], 0)


@pytest.mark.slow
def test_a_turn_in_version_3(tiny_map_bundle: Bundle) -> None:
    settings = closed_study.ClosedStudySettings((SPLITS["validation"][11],), str(tiny_map_bundle.path))
    rows = closed_study.evaluate_closed_study(settings)
    assert set(rows) == {"image", "outline_kept", "with_lipiodol", "assistant", "true_scan"}
    assert all(0 <= row["mean_difference"]["mean"] < 300 for row in rows.values())


@pytest.mark.slow
def test_turns_with_the_shipped_weights() -> None:
    """Few patients for the time that they take; docs/SEGMENTER.md has the figures on more."""
    rows = evaluate_closed_loop(ClosedLoopSettings(patients=2, steps=2))
    assert list(rows) == ["simulated", "codec", "true", "product"]
    assert rows["true"]["tumour_dice"]["mean"] >= 0.8
    assert all(rows[r]["tumour_volume_r"]["mean"] > 0.8 for r in rows)
    assert rows["simulated"]["viable_volume_r"]["mean"] > 0.5
