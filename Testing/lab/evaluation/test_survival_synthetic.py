"""The survival network on synthetic patients: what is drawn, what is compared, and what is written."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.cohorts.synthetic.law import LAW
from MeWMLib.core.errors import CohortError, InputError
from MeWMLib.lab.evaluation import survival_synthetic
from MeWMLib.lab.evaluation.radiomics import RADIOMICS
from MeWMLib.lab.evaluation.survival_patients import MEASURED, GivenOutcome, given_outcomes
from MeWMLib.lab.evaluation.survival_simulated import _row
from MeWMLib.lab.evaluation.survival_synthetic import (
    AT,
    BASELINES,
    Scored,
    SyntheticSettings,
    choose_ridge,
    evaluate_synthetic,
    figures,
    fit_baseline,
    lives_of,
)
from MeWMLib.lab.synthetic.cases import SPLITS, draw_case
from MeWMLib.lab.synthetic.survival import WEIBULL_SHAPE, survival_months
from MeWMLib.lab.training.prepare import covariates


def _made(seed: int, images: bool = False) -> GivenOutcome:
    """A patient whose risk is that of what lives after treatment; nothing is drawn."""
    rng = np.random.default_rng(seed)
    before = float(np.exp(rng.normal(3.5, 1.0)))
    after, alive = before * rng.uniform(0.6, 1.1), rng.uniform(0.02, 0.9)
    measured = dict.fromkeys(MEASURED, 1.0) | {
        "spacing_mm": 1.2,
        "tumour_ml_before": before,
        "tumour_ml_after": after,
        "viable_ml_before": before,
        "viable_ml_after": after * alive,
        "diameter_mm_before": 12 * before ** (1 / 3),
        "viable_diameter_mm_before": 30.0,
        "viable_diameter_mm_after": 30 * alive ** (1 / 3),
        "liver_ml": rng.normal(1500, 200),
        "nodules_before": float(rng.integers(1, 4)),
    }
    risk = 0.5 * np.log((1 + after * alive) / 16) + rng.normal(0, 0.05)
    months, event = survival_months(risk, rng)
    radio = rng.normal(size=(2, 12))
    radio[:, 0] = np.log(before), np.log(after)
    shape = (2, 2, 48, 48, 48) if images else (2, 0)
    pictures = np.zeros(shape, np.float16)
    if images:
        pictures[:, 1, 16:32, 16:32, 16:32] = 1
    return GivenOutcome(seed, pictures, measured, radio, float(risk), months, event)


@pytest.fixture(scope="module")
def patients() -> list[GivenOutcome]:
    return [_made(n) for n in range(400)]


def _settings(tmp_path, **other) -> SyntheticSettings:
    return SyntheticSettings(None, tuple(range(24)), "made", 60, tmp_path, lives=5, **other)


def test_a_drawn_patient_is_that_of_the_cohort(tmp_path):
    """Survival, risk and measures are those of `draw_case`, and reading gives back what was written."""
    seed = SPLITS["test"][3]
    (path,) = given_outcomes([seed], tmp_path)
    found, case = GivenOutcome.load(path), draw_case(seed)
    assert (found.months, found.event) == pytest.approx((case.months, case.event))
    assert found.true_log_risk == pytest.approx(case.true_log_risk[0])
    ml = case.spacing_mm**3 / 1000
    assert found.measured["tumour_ml_after"] == pytest.approx((case.after[0].labels == 2).sum() * ml)
    assert found.measured["tumour_ml_before"] == pytest.approx(np.exp(found.radiomics[0, 0]), rel=1e-6)
    # the training's own measure of the same image
    trained = np.expm1(covariates(case.before, case.after[0], case.spacing_mm)[1:])
    names = ("tumour_ml_before", "tumour_ml_after", "viable_ml_after")
    assert [found.measured[n] for n in names] == pytest.approx(list(trained), rel=0.02, abs=0.05)
    assert found.images.shape == (2, 2, 48, 48, 48) and found.radiomics.shape == (2, len(RADIOMICS))
    stamp = path.stat().st_mtime_ns
    assert given_outcomes([seed], tmp_path) == [path] and path.stat().st_mtime_ns == stamp


def test_figures_put_models_where_they_belong(patients, tmp_path):
    known, test = patients[:200], patients[200:]
    found = {"mewm": Scored(np.array([p.true_log_risk for p in test]) + 0.2, np.full(200, 0.5))}
    for baseline in BASELINES:
        found[baseline.row] = fit_baseline(baseline, known, test, 0)
    truth = np.array([p.true_log_risk for p in test])
    found["oracle"] = Scored(truth, np.exp(-np.log(2) * (AT / LAW.median_months) ** WEIBULL_SHAPE * np.exp(truth)))
    rows = figures(found, test, _settings(tmp_path))
    assert rows["oracle"]["share_of_oracle"] == {"mean": 1.0, "low": 1.0, "high": 1.0, "n": 200}
    # a constant added to the truth ranks like the truth
    assert rows["mewm"]["share_of_oracle"]["mean"] == 1.0 and rows["mewm"]["c_index_behind_mewm"]["high"] == 0
    order = ["viable_volume_cox", "volume_cox", "clinical_cox"]
    values = [rows[n]["c_index_lives"]["mean"] for n in order]
    assert rows["oracle"]["c_index_lives"]["mean"] > values[0] - 0.005 > values[1] > 0.55 and values[2] > 0.55
    assert rows["volume_cox"]["c_index_behind_mewm"]["low"] > 0
    assert rows["oracle"]["brier_24m"]["mean"] < rows["kaplan_meier"]["brier_24m"]["mean"]
    assert rows["oracle"]["log_rank_p"]["mean"] < 1e-4
    slope = rows["viable_volume_cox"]["calibration_slope"]
    assert 0.6 < slope["mean"] < 1.5 and slope["low"] < slope["mean"] < slope["high"]
    several, one = rows["oracle"]["c_index_lives"], rows["oracle"]["c_index"]
    assert several["high"] - several["low"] < one["high"] - one["low"]


def test_lives_are_repeatable_and_begin_with_the_observed_one(patients):
    lives = lives_of(patients[:30], 3)
    assert lives[0][0].tolist() == [p.months for p in patients[:30]]
    again = lives_of(patients[:30], 3)
    assert all((a[0] == b[0]).all() for a, b in zip(lives, again, strict=True))
    assert (lives[1][0] != lives[2][0]).any()


def test_the_ridge_is_chosen_by_cross_validation():
    """Thirty covariates of noise beside one that tells: a strong ridge is better than none."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 31))
    months = rng.exponential(np.exp(-x[:, 0]))
    assert choose_ridge(x, months, np.ones(120, bool), (1e-4, 0.3), 0) == 0.3
    assert choose_ridge(x, months, np.ones(120, bool), (0.7,), 0) == 0.7


def test_counterfactual_figures_by_hand():
    found = [
        {"true": [0.0, 1.0, 2.0], "m": [0.1, 1.1, 2.1]},
        {"true": [0.0, 1.0, 2.0], "m": [2.0, 1.0, 0.0]},
    ]
    row = _row(found, "m", 0)
    assert row["counterfactual_rank_correlation"]["mean"] == pytest.approx(0.0)
    assert row["order_right"]["mean"] == pytest.approx(0.5)
    same = _row([{"true": [0.0, 1.0, 2.0], "m": [5.0, 5.0, 5.0]}], "m", 0)
    assert same["order_right"]["mean"] == 0.5
    assert same["counterfactual_rank_correlation"]["mean"] == 0 and same["risk_error"]["mean"] == pytest.approx(2 / 3)


@pytest.mark.slow
def test_the_whole_evaluation(tmp_path, monkeypatch, repository):
    """All files are there, with the default bundle on made patients."""
    folder = tmp_path / "made"
    made = {}

    def draw(seeds, cache, workers=1, say=None):
        for seed in seeds:
            if seed not in made:
                made[seed] = folder / f"{seed}.npz"
                _made(seed, images=True).save(made[seed])
        return [made[s] for s in seeds]

    monkeypatch.setattr(survival_synthetic, "given_outcomes", draw)
    settings = replace(
        _settings(tmp_path), seeds=tuple(range(1000, 1130)), bundle=str(repository / "Resources/Bundles/mewm-small")
    )
    rows = evaluate_synthetic(settings, tmp_path / "out")
    assert {"mewm", "oracle", "volume_cox", "clinical_cox", "radiomics_cox"} <= set(rows)
    assert rows["mewm"]["risk_map_mse"]["mean"] > 0
    for name in ("figure5.png", "figure6.png", "reliability.png", "c_index.png"):
        assert (tmp_path / "out" / name).read_bytes()[:4] == b"\x89PNG"
    kept = json.loads((tmp_path / "out" / "survival.json").read_text())
    assert np.array(kept["risk_maps"]["patients"]).sum() == 130


def test_arguments_are_checked(tmp_path):
    args = argparse.Namespace(
        bundle=None, seed=0, out=tmp_path, cohort=None, patients=30, trained_on=60, simulated=0, cache=None, workers=1
    )
    assert SyntheticSettings.of(args).seeds == tuple(SPLITS["test"])[:30]
    assert SyntheticSettings.of(args).cache == tmp_path / "patients"
    with pytest.raises(InputError, match="Too few patients"):
        SyntheticSettings.of(argparse.Namespace(**{**vars(args), "patients": 3}))
    with pytest.raises(CohortError):
        SyntheticSettings.of(argparse.Namespace(**{**vars(args), "cohort": tmp_path / "nothing"}))
