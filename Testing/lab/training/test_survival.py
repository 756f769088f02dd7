"""Training of the survival network: it learns, it does not learn noise, and it resumes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MeWMLib.core.bundles import open_bundle
from MeWMLib.core.errors import InputError, OutputError, SurvivalDataError, UnreadableFileError
from MeWMLib.lab.training.survival import TrainSurvivalConfig, train
from MeWMLib.lab.training.survival_data import (
    Augmentation,
    SurvivalCase,
    batch_of,
    outcomes,
    rotate_axial,
    wobble_mask,
)
from MeWMLib.survival.config import SurvivalConfig
from MeWMLib.survival.network import Assessor

NETWORK = SurvivalConfig(width=8, hidden=16, heads=4, dropout=0.0, edges_months=(0, 6, 12, 24, 48))
TINY = TrainSurvivalConfig(
    network=NETWORK, steps=6, patients=6, evaluate_every=3, checkpoint_every=3, learning_rate=2e-3, ema=0.9
)


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def cohort(n: int, seed: int = 0, patches: int = 1, side: int = 16, shuffled: bool = False) -> list[SurvivalCase]:
    """Patients whose risk is how bright the tumour is after treatment; the covariates say nothing."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side,) * 3)
    mask[4:12, 4:12, 4:12] = 1
    rows = []
    for _ in range(n):
        signal = rng.uniform(-1, 1)
        images = rng.normal(0, 0.1, (2, patches, 2, side, side, side))
        images[1, :, 0] += 0.7 * signal * mask
        images[:, :, 0] = images[:, :, 0].clip(-1, 1)
        images[:, :, 1] = mask
        months, follow_up = rng.exponential(15 * np.exp(-4 * signal)), rng.uniform(5, 60)
        rows.append((images.astype(np.float16), min(months, follow_up), months <= follow_up))
    order = rng.permutation(n) if shuffled else np.arange(n)
    late = rng.normal(size=(n, 4)).astype(np.float32)
    return [
        SurvivalCase(rows[i][0][0], rows[i][0][1], late[i], rows[k][1], bool(rows[k][2]), f"p{seed}-{i:03d}")
        for i, k in enumerate(order)
    ]


LEARN = replace(TINY, steps=60, patients=16, evaluate_every=30, checkpoint_every=60, learning_rate=4e-3)


@pytest.mark.slow
def test_a_planted_signal_is_learnt(tmp_path):
    metrics = train(LEARN, cohort(120), cohort(60, seed=1), tmp_path, tmp_path / "bundle")
    assert metrics["c_index"]["mean"] > 0.75
    assert metrics["c_index"]["low"] < metrics["c_index"]["mean"] < metrics["c_index"]["high"]
    assert metrics["c_index"]["n"] == 60 and abs(metrics["c_index_volume"]["mean"] - 0.5) < 0.15
    assert json.loads((tmp_path / "metrics.json").read_text()) == metrics
    rows = list(csv.DictReader((tmp_path / "survival.csv").read_text().splitlines()))
    assert len(rows) == 60 and float(rows[-1]["validation_c_index"]) > 0.75 and rows[0]["validation_c_index"] == ""

    # The calibrated curves agree with the deaths: expected and observed survival at 12 months.
    cases = cohort(200, seed=2)
    assessor = Assessor(*open_bundle(tmp_path / "bundle", require=()).part("survival"))
    scored = [assessor.judge(c.pre, c.post, c.covariates) for c in cases]
    months, events = outcomes(cases)
    known = (months > 12) | events
    expected = np.array([p[list(m).index(12)] for _, m, p, _ in scored])[known]
    assert abs(expected.mean() - (months[known] > 12).mean()) < 0.12
    assert abs(np.mean([s[0] for s in scored])) < 0.6


@pytest.mark.slow
def test_shuffled_outcomes_teach_nothing(tmp_path):
    sides = (cohort(120, shuffled=True), cohort(60, seed=1, shuffled=True))
    metrics = train(LEARN, *sides, tmp_path, tmp_path / "bundle")
    assert 0.33 < metrics["c_index"]["mean"] < 0.67
    assert metrics["slope"] < 1


def fitted(config: TrainSurvivalConfig, cases: list[SurvivalCase], out: Path, **more: Any) -> dict[str, Any]:
    """Train on three quarters of the patients, validate on the others."""
    held_out = cases[::4]
    return train(config, [c for n, c in enumerate(cases) if n % 4], held_out, out, out / "bundle", **more)


class Stop(Exception):
    """Ends a run as a lost machine would."""


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_resume_continues_to_the_identical_weights(tmp_path, dropout):
    config = replace(TINY, network=replace(NETWORK, dropout=dropout), patches=2)
    cases = cohort(20, patches=3)
    whole = fitted(config, cases, tmp_path / "whole")

    def stop(stage, fraction):
        if fraction > 0.6:  # after the checkpoint at step 3, in step 4
            raise Stop

    with pytest.raises(Stop):
        fitted(config, cases, tmp_path / "cut", on_step=stop)
    torch.rand(7)  # whatever else draws from the global generator meanwhile
    assert torch.load(tmp_path / "cut" / "survival.pt", weights_only=True)["step"] == 3
    assert fitted(config, cases, tmp_path / "cut") == whole
    states = [torch.load(tmp_path / folder / "survival.pt", weights_only=True) for folder in ("whole", "cut")]
    parts = [open_bundle(tmp_path / folder / "bundle", require=()).part("survival")[1] for folder in ("whole", "cut")]
    for a, b in [*((states[0][kind], states[1][kind]) for kind in ("model", "average")), parts]:
        assert a.keys() == b.keys() and all((a[name] == b[name]).all() for name in a)
    moments = [s["optimiser"]["state"] for s in states]
    assert all(torch.equal(moments[0][n][key], moments[1][n][key]) for n in moments[0] for key in moments[0][n])
    rows = list(csv.DictReader((tmp_path / "cut" / "survival.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == [str(n) for n in range(1, 7)]


def test_training_leaves_the_global_generator_alone(tmp_path):
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    fitted(replace(TINY, steps=1), cohort(20), tmp_path)
    assert torch.equal(torch.rand(3), want)


def test_a_checkpoint_of_other_settings_or_damaged_is_refused(tmp_path):
    cases = cohort(20)
    fitted(replace(TINY, steps=1), cases, tmp_path)
    with pytest.raises(InputError, match="other settings"):
        fitted(replace(TINY, steps=2), cases, tmp_path)
    (tmp_path / "survival.pt").write_bytes(b"half")
    with pytest.raises(UnreadableFileError, match="checkpoint"):
        fitted(replace(TINY, steps=1), cases, tmp_path)
    (tmp_path / "survival.pt").unlink()
    fitted(replace(TINY, steps=1), cases, tmp_path)
    rows = list(csv.DictReader((tmp_path / "survival.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["1"]  # the row of the run before is gone


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError):
        fitted(TINY, cohort(20), tmp_path / "taken" / "work")


def test_cohorts_that_cannot_be_trained_on_are_refused(tmp_path):
    cases = cohort(20)
    with pytest.raises(SurvivalDataError, match="both training and validation"):
        train(TINY, cases, cases[:5], tmp_path, tmp_path)
    with pytest.raises(SurvivalDataError, match="event"):
        fitted(TINY, [replace(c, event=False) for c in cases], tmp_path)
    with pytest.raises(SurvivalDataError, match="covariates"):
        fitted(TINY, [replace(c, covariates=c.covariates[:2]) for c in cases], tmp_path)
    with pytest.raises(SurvivalDataError, match="before and after"):
        fitted(TINY, [replace(c, post=c.post[:, :, :8]) for c in cases], tmp_path)
    for wrong in ({"steps": 0}, {"patients": 1}):
        with pytest.raises(InputError):
            replace(TINY, **wrong)


def test_a_batch_has_each_patient_once_and_a_death():
    cases = [replace(c, event=i == 0, patient=f"{i // 2}") for i, c in enumerate(cohort(40))]
    seen = set()
    for step in range(20):
        batch = batch_of(cases, 4, seed=0, step=step)
        names = [c.patient for c in batch]
        assert len(set(names)) == 4 and any(c.event for c in batch)
        assert names == [c.patient for c in batch_of(cases, 4, seed=0, step=step)]
        seen |= set(names)
    assert len(seen) == 20
    assert len(batch_of(cases[:4], 16, seed=0, step=9)) == 2


def test_augmentation_keeps_alignment_and_ranges():
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 2, 6, 8, 8, generator=generator)
    always = Augmentation(rotate=1.0, shift_probability=1.0, wobble=1.0)
    pre, post = always.images(image, image, np.random.default_rng(0))
    turns = [k for k in range(4) if (rotate_axial(image, k)[:, 0] - pre[:, 0]).std() < 1e-6]
    assert turns and turns[0] and (rotate_axial(image, turns[0])[:, 0] - post[:, 0]).std() < 1e-6
    assert (pre[:, 0] - rotate_axial(image, turns[0])[:, 0]).abs().max() <= 0.1 + 1e-6
    assert pre[:, 1].min() >= 0 and pre[:, 1].max() <= 1
    never = Augmentation(0, 0, 0.1, 0, 0, 0)
    assert torch.equal(never.images(image, image, np.random.default_rng(0))[0], image)
    late = np.arange(3, dtype=np.float32)
    assert (never.covariates(late, late, np.random.default_rng(0)) == late).all()
    assert np.isnan(replace(never, covariate_dropout=1.0).covariates(late, late, np.random.default_rng(0))).all()


def test_masks_grow_and_shrink():
    mask = torch.zeros(1, 1, 9, 9, 9)
    mask[..., 2:7, 2:7, 2:7] = 1
    sizes = [float(wobble_mask(mask, kind).sum()) for kind in ("shrink", None, "grow")]
    assert sizes[0] < sizes[1] < sizes[2]
    assert torch.equal(wobble_mask(torch.ones(1, 1, 4, 4, 4), "blur"), torch.ones(1, 1, 4, 4, 4))
