"""Readers of a study on the page of `mewm reproduce`: what `mewm study score` wrote, counted by hand."""

import json
from pathlib import Path

import pytest

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.lab.reader_study.key import read_key
from MeWMLib.lab.reader_study.score import score_study
from MeWMLib.lab.reader_study.score_files import write_scores
from MeWMLib.lab.reproduce.readers import read_readers
from Testing.lab.reader_study import small_scans


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two readers of six real and six simulated cases: one is always right, one calls all of them real."""
    root = tmp_path_factory.mktemp("study")
    study = small_scans.small_study(root).study
    key = read_key(root / "study_key.json", study)
    files = [
        small_scans.answer_all(study, "R1", root / "one.json", lambda case: (key.is_real(case), 5)),
        small_scans.answer_all(study, "R2", root / "two.json", lambda case: (True, 3)),
    ]
    write_scores(score_study(root / "study", root / "study_key.json", files), root / "scores")
    return root / "scores"


def test_figures_are_those_that_were_counted(scores: Path) -> None:
    found = read_readers(scores)
    assert found == read_readers(scores / "scores.json")
    assert (found["readers"], found["cases"]) == (2, 12)
    row = found["rows"]["mewm"]
    assert row["sensitivity"]["readers"] == [100.0, 100.0]
    assert row["specificity"]["readers"] == [100.0, 0.0]
    assert row["accuracy"]["readers"] == [100.0, 50.0] and row["accuracy"]["mean"] == pytest.approx(75.0)
    assert row["accuracy"]["low"] <= 75.0 <= row["accuracy"]["high"] and row["accuracy"]["n"] == 12


def test_one_reader_has_no_mean_over_readers(scores: Path, tmp_path: Path) -> None:
    data = json.loads((scores / "scores.json").read_text(encoding="utf-8"))
    data["comparison"] = None
    (tmp_path / "scores.json").write_text(json.dumps(data), encoding="utf-8")
    accuracy = read_readers(tmp_path)["rows"]["mewm"]["accuracy"]
    assert accuracy["mean"] is None and accuracy["readers"] == [100.0, 50.0]


@pytest.mark.parametrize("text", ["{}", '{"figures": {"a": {"R1": {}}}, "comparison": null}', "[]"])
def test_what_are_no_scores_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "scores.json").write_text(text, encoding="utf-8")
    with pytest.raises((InputError, UnreadableFileError), match=r"scores|scores\.json"):
        read_readers(tmp_path)
    with pytest.raises(UnreadableFileError):
        read_readers(tmp_path / "absent")
