"""`mewm evaluate comparisons` on patients whose predictions err by known amounts."""

import json
from dataclasses import replace

import numpy as np
import pytest

from MeWMLib.core.comparison import ComparedPatient, Comparison
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.outcome import Risk
from MeWMLib.core.records import to_plain
from MeWMLib.lab.evaluation import comparisons
from MeWMLib.lab.evaluation.__main__ import main

ERROR, SPREAD = 0.25, 0.15


def drawn(count: int, start: int, protocols: int = 20) -> list[ComparedPatient]:
    """Patients whose predictions are the truth, half as far apart, with two kinds of error."""
    out = []
    for seed in range(start, start + count):
        rng = np.random.default_rng(seed)
        truth = 0.5 * rng.standard_normal(protocols)
        said = (truth + ERROR / np.sqrt(2) * rng.standard_normal(protocols)) / 0.5
        replicas = said[:, None] + SPREAD / np.sqrt(2) * rng.standard_normal((protocols, 3))
        risks = tuple(Risk(tuple(map(float, row))) for row in replicas)
        out.append(ComparedPatient(seed, tuple(map(float, truth)), risks))
    return out


def test_what_was_put_in_is_found_and_well_calibrated() -> None:
    found = comparisons.fit(drawn(150, 0))
    assert found.measured and found.spread == pytest.approx(SPREAD, rel=0.1)
    rows = comparisons.measure(
        found, drawn(150, 1000), comparisons.base_rate(drawn(150, 0)), comparisons.zero(drawn(150, 0)), 0
    )["mewm"]
    assert rows["calibration_error"]["mean"] < 0.03
    assert rows["brier_saved"]["low"] > 0
    assert rows["told_apart_right"]["mean"] > 0.9
    assert rows["interval_coverage"]["mean"] == pytest.approx(0.95, abs=0.03)
    assert rows["replica_coverage"]["mean"] < 0.5
    # a model that is far too sure of itself is found out
    sure = replace(found, error=0.02, gain=3.0)
    worse = comparisons.measure(sure, drawn(150, 1000), 0.8, 0.0, 0)["mewm"]
    assert worse["calibration_error"]["low"] > rows["calibration_error"]["high"]
    assert worse["equal_bracketed"]["mean"] < rows["equal_bracketed"]["mean"]


def test_pairs_have_the_better_prediction_first_and_come_from_all_ranks() -> None:
    patient = drawn(1, 0)[0]
    pairs = comparisons.pairs_of(patient)
    assert len(pairs) == 66 and all(a.log_risk <= b.log_risk for a, b, _ in pairs)
    used = {r for a, b, _ in pairs for r in (a, b)}
    ranked = sorted(patient.risks, key=lambda r: r.log_risk)
    assert set(ranked[: comparisons.BEST]) < used and ranked[-1] in used
    truth = dict(zip(patient.risks, patient.truth, strict=True))
    assert all(gap == truth[b] - truth[a] for a, b, gap in pairs)


def test_the_calibration_error_is_that_of_the_bins() -> None:
    said, won = np.array([0.95, 0.95, 0.55, 0.55]), np.array([True, False, True, True])
    assert comparisons.calibration_error(said, won) == pytest.approx((abs(1.9 - 1) + abs(1.1 - 2)) / 4)


def test_the_command_reads_two_runs_and_writes_what_a_bundle_keeps(tmp_path, capsys) -> None:
    for name, start in (("validation", 0), ("test", 1000)):
        (tmp_path / name).mkdir()
        content = {"patients": [to_plain(p) for p in drawn(8, start, 10)]}
        (tmp_path / name / comparisons.RISKS).write_text(json.dumps(content))
    words = ["comparisons", "--risks", tmp_path / "test", "--fit", tmp_path / "validation", "--out", tmp_path / "out"]
    assert main([str(w) for w in words]) == 0
    assert "equal_bracketed" in capsys.readouterr().out
    written = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert Comparison.of_settings({"comparison": written}).measured
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["rows"]["mewm"]["brier"]["n"] == 8
    assert main([str(tmp_path / "test") if w == tmp_path / "validation" else str(w) for w in words]) != 0
    assert "were fitted on" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "error"),
    [("[]", UnreadableFileError), ("{", UnreadableFileError), ('{"patients": []}', InputError),
     ('{"patients": [{"seed": 1, "truth": [0.0], "risks": [{"replicas": [1.0]}]}]}', InputError),
     ('{"patients": [{"seed": 1}]}', UnreadableFileError)],
)  # fmt: skip
def test_files_of_something_else_are_refused(tmp_path, content, error) -> None:
    file = tmp_path / "risks.json"
    file.write_text(content)
    with pytest.raises(error):
        comparisons.read_compared(file)
