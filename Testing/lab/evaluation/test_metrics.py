"""Intervals and the files that figures are written to."""

import json

import numpy as np
import pytest

from MeWMLib.lab.evaluation.metrics import bootstrap_mean, table, write_metrics


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    figure = bootstrap_mean(values)
    assert figure["mean"] == pytest.approx(values.mean()) and figure["n"] == 400
    half = 1.96 * values.std() / 20
    assert figure["low"] == pytest.approx(values.mean() - half, abs=0.05)
    assert figure["high"] == pytest.approx(values.mean() + half, abs=0.05)


def test_what_is_not_known_is_left_out() -> None:
    assert bootstrap_mean([1.0, float("nan"), 3.0])["n"] == 2
    empty = bootstrap_mean([float("nan")])
    assert empty["n"] == 0 and np.isnan(empty["mean"])


def test_the_files_hold_every_row(tmp_path) -> None:
    rows = {"mewm": {"f1": bootstrap_mean([0.5, 0.5])}, "copy_pre": {"regret": bootstrap_mean([float("nan")])}}
    write_metrics(tmp_path, "made up", 3, rows)
    data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert data["cohort"] == "made up" and data["seed"] == 3
    assert data["rows"]["mewm"]["f1"] == {"mean": 0.5, "low": 0.5, "high": 0.5, "n": 2}
    assert data["rows"]["copy_pre"]["regret"]["mean"] is None
    text = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert text == table(rows) and "| mewm | 0.5 (0.5 to 0.5) | - |" in text and "| copy_pre | - | - |" in text
