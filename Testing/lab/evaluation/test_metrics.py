"""Intervals and the files that figures are written to."""

import argparse
import json
import re

import numpy as np
import pytest

import MeWMLib
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.errors import BundleError
from MeWMLib.lab.evaluation.metrics import (
    bootstrap,
    bootstrap_mean,
    exact,
    jsonable,
    rows_of,
    shown,
    stamp,
    table,
    write_metrics,
)
from MeWMLib.lab.evaluation.perceptual import fid


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


def test_a_wide_table_is_turned_round() -> None:
    """More metrics than a page shows beside one another stand below one another; long tables of few metrics stay."""
    many = [f"m{n}" for n in range(8)]
    rows = {"mewm": {m: exact(float(n)) for n, m in enumerate(many)}, "copy_pre": {"m3": exact(5.0)}}
    lines = table(rows).splitlines()
    assert lines[0] == "| metric | mewm | copy_pre |" and len(lines) == 2 + len(many)
    assert lines[2] == "| m0 | 0 | - |" and lines[5] == "| m3 | 3 | 5 |"
    narrow = {row: {m: f for m, f in figures.items() if m != "m7"} for row, figures in rows.items()}
    assert table(narrow).splitlines()[0] == "| row | " + " | ".join(many[:7]) + " |"
    assert table({f"r{n}": rows["mewm"] for n in range(8)}).startswith("| row | m0 |")


def test_a_bootstrap_of_the_mean_is_that_of_any_statistic() -> None:
    values = np.random.default_rng(1).exponential(2.0, 300)
    mean = bootstrap(lambda chosen: float(values[chosen].mean()), 300, seed=0, draws=2000)
    known = bootstrap_mean(values)
    assert mean["mean"] == pytest.approx(known["mean"]) and mean["n"] == 300
    assert (mean["low"], mean["high"]) == pytest.approx((known["low"], known["high"]), abs=0.03)
    # a statistic that some draws do not have is left out of the interval
    odd = bootstrap(lambda chosen: float("nan") if 0 in chosen else 1.0, 5, seed=0)
    assert np.isnan(odd["mean"]) and odd["low"] == odd["high"] == 1.0


def test_an_interval_of_a_distance_between_distributions_holds_the_distance() -> None:
    """Two samples of one distribution: repeated patients are further apart than patients that are all different."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 40, 12))

    def distance(chosen: np.ndarray) -> float:
        return fid(first[chosen], second[chosen])[0]

    plain, centred = (bootstrap(distance, 40, 3, 200, centred=centred) for centred in (False, True))
    assert plain["mean"] == centred["mean"] < plain["low"]
    assert 0 <= centred["low"] < centred["mean"] < centred["high"]
    assert centred["high"] - centred["low"] == pytest.approx(plain["high"] - plain["low"], rel=0.2)
    without = bootstrap(lambda chosen: float("nan") if len(set(chosen)) < 40 else 1.0, 40, 3, 5, centred=True)
    assert without["mean"] == 1.0 and np.isnan(without["low"])


def test_rows_hold_every_metric_of_any_patient() -> None:
    patients = [{"a": {"x": 1.0, "y": 4.0}}, {"a": {"x": 3.0}, "b": {"x": 7.0}}]
    rows = rows_of(patients, 0)
    assert {row: {m: (f["mean"], f["n"]) for m, f in metrics.items()} for row, metrics in rows.items()} == {
        "a": {"x": (2.0, 2), "y": (4.0, 1)}, "b": {"x": (7.0, 1)},
    }  # fmt: skip


def test_json_knows_no_infinity() -> None:
    found = jsonable({"a": np.array([[1.0, np.nan]]), "b": [np.inf, "text", None], "c": 2, "d": np.float64(0.5)})
    assert json.loads(json.dumps(found, allow_nan=False)) == {
        "a": [[1.0, None]], "b": [None, "text", None], "c": 2, "d": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("form", "text"),
    [(".3g", "0.5 (0.25 to 0.75)"), (".2f:mean", "0.50"), (".0%", "50 % (25 % to 75 %)"), ("+.1f:mean", "+0.5")],
)
def test_how_a_figure_is_shown(form: str, text: str) -> None:
    assert shown({"mean": 0.5, "low": 0.25, "high": 0.75, "n": 9}, form) == text
    assert shown(exact(0.5), ".3g") == shown({"mean": 0.5}, ".3g") == "0.5"  # one patient has no interval


def test_a_stamp_says_where_figures_come_from_without_folders() -> None:
    args = argparse.Namespace(bundle=None, seed=4)
    rows = {"a": {"x": bootstrap_mean([1.0, 2.0]), "y": bootstrap_mean([1.0])}}
    argv = ["generation", "--row", "blind=/home/someone/blind", "--out", "/data/out", "--protocol", "A + B"]
    found = stamp(args, argv, ("survival", "dynamics"), rows)
    assert found["command"] == 'mewm evaluate generation --row blind=blind --out out --protocol "A + B"'
    bundle = find_bundle(None)
    parts = {name: bundle.manifest.parts[name].sha256 for name in ("survival", "dynamics")}
    version = bundle.manifest.version
    assert found["bundle"] == {"name": "mewm-small", "version": version, "sha256": bundle.sha256, "parts": parts}
    assert (found["mewm"], found["seed"], found["device"], found["patients"]) == (MeWMLib.__version__, 4, "cpu", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["date"])
    assert stamp(args, ["policy"], (), rows)["bundle"] is None
    with pytest.raises(BundleError):
        stamp(argparse.Namespace(bundle="nothing-there", seed=0), [], ("survival",), rows)


def test_the_stamp_is_in_the_file(tmp_path) -> None:
    write_metrics(tmp_path, "made up", 3, {"a": {"x": exact(1.0)}}, {"command": "mewm evaluate made-up"})
    data = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert data["stamp"] == {"command": "mewm evaluate made-up"}
