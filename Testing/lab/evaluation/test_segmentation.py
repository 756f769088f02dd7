"""`mewm evaluate segmentation`: cases, rows, and the classical baseline on a drawn abdomen."""

import json

import numpy as np
import pytest

from MeWMLib.cohorts.samples import load_sample
from MeWMLib.cohorts.synthetic.patients import WORLDS
from MeWMLib.cohorts.synthetic.world import synthetic_case, whole_geometry
from MeWMLib.core.errors import InputError, SampleError
from MeWMLib.core.io import write_labels, write_volume
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation import known_patients, segmentation
from MeWMLib.lab.evaluation.__main__ import main
from MeWMLib.lab.evaluation.baselines import region_growing
from MeWMLib.lab.synthetic.cases import SPLITS, protocols_for
from MeWMLib.perception.findings import dice


def test_the_figure_of_a_patient_is_the_mean_over_its_scans() -> None:
    figures = [
        ("mewm", "a", "before", {"dice_liver": 0.8}),
        ("mewm", "a", "after", {"dice_liver": 0.6}),
        ("mewm", "b", "before", {"dice_liver": 0.9}),
        ("mewm", "b", "after", {"dice_liver": float("nan")}),
    ]
    rows = segmentation.scan_rows(figures, 0)
    assert list(rows) == ["mewm", "mewm_before", "mewm_after"]
    assert rows["mewm"]["dice_liver"]["mean"] == pytest.approx(0.8) and rows["mewm"]["dice_liver"]["n"] == 2
    assert rows["mewm_after"]["dice_liver"]["mean"] == pytest.approx(0.6) and rows["mewm_after"]["dice_liver"]["n"] == 1
    assert list(segmentation.scan_rows(figures[:1], 0)) == ["mewm"]


def test_nothing_to_evaluate_on_is_said(tmp_path) -> None:
    with pytest.raises(InputError, match="nothing to evaluate"):
        next(segmentation.known_cases(segmentation.SegmentationSettings()))
    assert main(["segmentation", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize(("asked", "world"), [({}, 3), ({"world": 3}, 3), ({"world": 2}, 2)])
def test_drawn_patients_are_those_of_the_world_asked_for(asked, world, monkeypatch) -> None:
    """By default the newest; both scans are what the world itself draws of the session that the patient had."""
    grid = whole_geometry((12.0, 6.0, 6.0))
    monkeypatch.setattr(known_patients, "whole_geometry", lambda spacing: grid)
    settings = segmentation.SegmentationSettings(patients=1, **asked)
    before, after = segmentation.known_cases(settings)
    assert (before.when, after.when) == ("before", "after") and before.patient == after.patient
    patient = WORLDS[world].draw(SPLITS["test"][0])
    expected = patient.observed(grid, [None, protocols_for(patient)[0]])
    for case, scan in zip((before, after), expected, strict=True):
        assert np.array_equal(case.ct.array, np.rint(scan.hu).astype(np.int16))
        assert np.array_equal(case.labels.array, scan.labels) and case.labels.tumour.any()
    others = WORLDS[5 - world].draw(SPLITS["test"][0]).observed(grid, [None])
    assert not np.array_equal(before.ct.array, np.rint(others[0].hu).astype(np.int16))


def test_a_world_that_there_is_not_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="no such version"):
        next(segmentation.known_cases(segmentation.SegmentationSettings(patients=1, world=4)))
    with pytest.raises(SystemExit):
        main(["segmentation", "--patients", "1", "--world", "4", "--out", str(tmp_path)])


def test_region_growing_finds_a_liver_and_not_air() -> None:
    ct, labels = synthetic_case(200_001, (4.0, 2.5, 2.5))
    found = region_growing.segment(ct)
    assert found.geometry.same_as(ct.geometry)
    assert dice(found.liver, labels.liver) > 0.6
    geometry = Geometry((20, 20, 20), np.diag([-3.0, -3.0, 3.0, 1.0]))
    assert not region_growing.segment(Volume(np.full((20, 20, 20), -1000, np.int16), geometry)).array.any()


@pytest.mark.slow
def test_the_shipped_weights_hold_on_a_real_scan_that_they_never_saw() -> None:
    try:
        sample = load_sample("lits-117")
    except SampleError as error:
        pytest.skip(f"the sample cannot be fetched: {error}")
    found = segmentation._segmenter(None)(sample.ct)
    assert dice(found.liver, sample.labels.liver) >= 0.90
    assert dice(found.tumour, sample.labels.tumour) >= 0.50


@pytest.mark.slow
def test_the_command_writes_a_table_and_pictures(tmp_path, capsys) -> None:
    ct, labels = synthetic_case(200_001, (5.0, 3.0, 3.0))
    write_volume(ct, tmp_path / "ct.nrrd")
    write_labels(labels, tmp_path / "labels.nrrd")
    out = tmp_path / "out"
    case = ["--case", str(tmp_path / "ct.nrrd"), str(tmp_path / "labels.nrrd")]
    assert main(["segmentation", *case, "--out", str(out)]) == 0
    rows = json.loads((out / "metrics.json").read_text())["rows"]
    assert set(rows) == {"mewm", "region_growing"}
    assert rows["mewm"]["dice_liver"]["mean"] > 0.8
    assert rows["mewm"]["dice_liver"]["mean"] > rows["region_growing"]["dice_liver"]["mean"]
    assert (out / "overlay.png").stat().st_size > 10_000 and "region_growing" in capsys.readouterr().out
    assert LabelMap(labels.array, labels.geometry).tumour.any()
