"""Questions on the way of a job: what stops it, what lets it go on, and where they are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MeWMLib.core import io
from MeWMLib.core.errors import LabelQuestionError
from MeWMLib.core.plan_folder import PlanFolder
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.jobs.job import Job


def written(folder: Path, fake, array: np.ndarray | None = None) -> tuple[str, str]:
    """The small patient as files; with its labels swapped, or with others."""
    labels = fake.small_labels()
    array = np.array([0, 2, 1], np.uint8)[labels.array] if array is None else array
    io.write_volume(fake.small_ct(), folder / "ct.nrrd")
    io.write_labels(LabelMap(array.astype(np.uint8), labels.geometry), folder / "labels.nrrd")
    return str(folder / "ct.nrrd"), str(folder / "labels.nrrd")


KINDS = {
    "plan": {},
    "simulate": {"protocol": "Epirubicin + Lipiodol"},
    "propose": {},
    "segment": {},
    "assess": {"post": ""},
}


@pytest.mark.parametrize("kind", KINDS)
def test_swapped_values_stop_every_kind_of_job_unless_they_are_accepted(do, fake, tmp_path, small_bundle, kind):
    ct, labels = written(tmp_path, fake)
    inputs = {"case": ct, "labels": labels, **KINDS[kind]}
    if kind == "assess":
        inputs["post"] = ct
    out = {"plan": "out", "simulate": "out", "segment": "found.nrrd"}.get(kind)
    path = str(tmp_path / out) if out else None
    with pytest.raises(LabelQuestionError, match="swapped.*--accept-labels"):
        do(Job(kind, inputs, path))
    assert path is None or not Path(path).exists()
    result = do(Job(kind, {**inputs, "accept_labels": True}, path))
    said = [event.message for event in do.events if event.kind == "log" and event.data.get("notice")]
    assert any(text.startswith("severe: ") and "swapped" in text for text in said)
    if out == "out":
        plan = PlanFolder(path).read()
        assert [q.topic for q in plan.questions] == ["swapped"]
        assert json.loads((Path(path) / "plan.json").read_text())["questions"][0]["severity"] == "severe"
    else:
        # the segmenter of this small world outlines the CT after treatment as the user did the one before
        assert [q["topic"] for q in result["questions"] if not q["topic"].startswith("after-")] == ["swapped"]


def test_what_the_segmenter_alone_calls_tumour_is_asked_about_where_it_is_too_dense(do, fake, tmp_path, small_bundle):
    """Contrast agent in the stomach: nobody has looked at these outlines, so that a person must."""
    # voxels of 6 mm: what is dense is more than a speck
    grid = Geometry(fake.SHAPE, np.diag([-6.0, -6.0, 6.0, 1.0]))
    bright = fake.small_ct().array.copy()
    bright[4:8, 5:9, 6:11] = 250
    ct, labels = str(tmp_path / "ct.nrrd"), str(tmp_path / "labels.nrrd")
    io.write_volume(Volume(bright, grid), Path(ct))
    io.write_labels(LabelMap(fake.small_labels().array, grid), Path(labels))
    for kind in ("plan", "simulate", "propose"):
        out = str(tmp_path / kind) if kind != "propose" else None
        with pytest.raises(LabelQuestionError, match=r"200 HU or denser.*ml at \(.*--accept-labels"):
            do(Job(kind, {"case": ct, **KINDS[kind]}, out))
    result = do(Job("propose", {"case": ct, "accept_labels": True}))
    assert ("bright-lesion", "severe") in [(q["topic"], q["severity"]) for q in result["questions"]]
    # whoever gives labels has seen them
    result = do(Job("propose", {"case": ct, "labels": labels}))
    assert "severe" not in [q["severity"] for q in result["questions"]]


@pytest.mark.parametrize(("bilirubin", "asked"), [(17, "write 1.0."), (4.9, None)])
def test_a_bilirubin_in_another_unit_is_asked(do, small_bundle, bilirubin, asked):
    result = do(Job("propose", {"case": "sample:tiny", "clinical": {"bilirubin_mg_per_dl": bilirubin}}))
    found = [q["text"] for q in result["questions"] if q["topic"] == "bilirubin-unit"]
    assert [text.endswith(asked) for text in found] == ([True] if asked else [])


def test_a_plan_of_an_older_version_has_no_questions(do, tmp_path, small_bundle):
    out = tmp_path / "out"
    do(Job("plan", {"case": "sample:tiny"}, str(out)))
    data = json.loads((out / "plan.json").read_text())
    assert data.pop("questions") == []
    del data["files_sha256"], data["sha256"]
    data["findings"]["liver_mean_hu"] = None
    (out / "plan.json").write_text(json.dumps(data))
    read = PlanFolder(out).read()
    assert read.questions == () and read.findings.liver_mean_hu is None


def test_a_border_that_cuts_does_not_stop(do, fake, tmp_path, small_bundle):
    labels = fake.small_labels().array.copy()
    labels[-2:] = 1
    ct, path = written(tmp_path, fake, labels)
    result = do(Job("propose", {"case": ct, "labels": path}))
    assert [(q["topic"], q["severity"]) for q in result["questions"]] == [("liver-cut", "warning")]


def test_tumour_alone_takes_the_liver_from_the_segmenter_and_says_so(do, fake, tmp_path, small_bundle):
    truth = fake.small_labels()
    ct, path = written(tmp_path, fake, np.where(truth.tumour, 2, 0))
    out = tmp_path / "out"
    do(Job("plan", {"case": ct, "labels": path}, str(out)))
    document = PlanFolder(out).read()
    assert document.labels.source == "user" and "that of the segmenter" in document.labels.note
    assert any("that of the segmenter" in event.message for event in do.events if event.kind == "log")
    _ct, used = PlanFolder(out).read_before(document)
    assert np.array_equal(used.tumour, truth.tumour)  # the user's own
    assert (used.array == 1).sum() == (truth.array == 1).sum()
    scores = do(Job("segment", {"case": ct, "labels": path}, str(tmp_path / "found.nrrd")))["labels"]
    assert scores["dice_liver"] is None and scores["dice_tumour"] > 0.5


def test_the_command_asks_names_and_goes_on(mewm, fake, tmp_path):
    ct, _ = written(tmp_path, fake)
    array = fake.small_labels().array.copy()
    array[9, 2:4, 2:4] = 3
    image = io.image_of(array, fake.GEOMETRY)
    for n, name in enumerate(("liver", "liver_tumor", "kidney_tumor_left")):
        image.SetMetaData(f"Segment{n}_Name", name)
        image.SetMetaData(f"Segment{n}_LabelValue", str(n + 1))
        image.SetMetaData(f"Segment{n}_Layer", "0")
    sitk.WriteImage(image, str(tmp_path / "s.seg.nrrd"))
    command = ("propose", ct, "--labels", tmp_path / "s.seg.nrrd")
    code, _out, err = mewm(*command)
    assert code == 2 and "kidney_tumor_left" in err
    option = err.split('--label-values "')[1].split('"')[0]  # as the message tells it
    code, out, _err = mewm(*command, "--label-values", option)
    assert code == 0 and "Epirubicin" in out


def test_the_command_stops_and_goes_on_with_accept_labels(mewm, fake, tmp_path):
    ct, labels = written(tmp_path, fake)
    command = ("plan", ct, "--labels", labels, "--out", tmp_path / "out", "--no-report", "--no-scene")
    code, out, err = mewm(*command)
    assert code == 2 and "swapped" in err and "--accept-labels" in err and not (tmp_path / "out").exists()
    code, out, err = mewm(*command, "--accept-labels")
    assert code == 0 and "severe: " in err and "Accepted: " in out and "swapped" in out


def test_segments_that_are_left_out_are_said(do, fake, tmp_path, small_bundle):
    ct, _ = written(tmp_path, fake)
    array = fake.small_labels().array.copy()
    array[9, 2:4, 2:4] = 3
    image = io.image_of(array, fake.GEOMETRY)
    for n, name in enumerate(("liver", "tumor", "spleen")):
        image.SetMetaData(f"Segment{n}_Name", name)
        image.SetMetaData(f"Segment{n}_LabelValue", str(n + 1))
    sitk.WriteImage(image, str(tmp_path / "s.seg.nrrd"))
    result = do(Job("propose", {"case": ct, "labels": str(tmp_path / "s.seg.nrrd")}))
    (note,) = result["questions"]
    assert note["severity"] == "note" and "spleen" in note["text"]
