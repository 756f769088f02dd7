"""Targets and territory on their way through a job: options, questions, plan.json, what is sent to a server."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import MeWMError, TargetError, TargetQuestionError, TerritoryError
from MeWMLib.core.plan_folder import PLAN, PlanFolder
from MeWMLib.core.questions import NOTE, SEVERE, WARNING, Question, require_target
from MeWMLib.core.regions import read_region, read_segments, write_region, write_segments
from MeWMLib.core.territory import SEGMENTS, Territory
from MeWMLib.core.volume import LabelMap
from MeWMLib.jobs.inputs import territory_of
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.remote_files import pack


def written(folder: Path, fake, second: int = 0) -> dict[str, str]:
    """The small patient as files; `second` voxels of another lesion in the corner of the liver."""
    labels = fake.small_labels()
    array = labels.array.copy()
    array[8, 2, 2 : 2 + second] = 2
    io.write_volume(fake.small_ct(), folder / "ct.nrrd")
    io.write_labels(LabelMap(array, labels.geometry), folder / "labels.nrrd")
    return {"case": str(folder / "ct.nrrd"), "labels": str(folder / "labels.nrrd")}


def drawn(folder: Path, fake) -> dict[str, Path]:
    """A painted region that holds the first slices of the tumour, and segments: all is 8."""
    labels = fake.small_labels()
    mask = np.zeros(labels.array.shape, bool)
    mask[:6] = True
    write_region(mask, labels.geometry, folder / "fed.nrrd")
    write_segments(np.full(mask.shape, 1 + SEGMENTS.index("8"), np.uint8), labels.geometry, folder / "segments.nrrd")
    return {"fed": folder / "fed.nrrd", "segments": folder / "segments.nrrd"}


def accepts(job, do):
    do(job)
    return PlanFolder(job.out).read()


def refused(job, do) -> dict:
    with pytest.raises(MeWMError) as raised:
        do(job)
    return raised.value.to_json()


def test_a_plan_says_what_was_treated_and_reads_it_back(do, fake, tmp_path):
    given = {**written(tmp_path, fake), "target": "1", "territory": "whole liver"}
    job = Job("plan", given, str(tmp_path / "plan"), device="cpu")
    document = accepts(job, do)
    assert document.treated.targets == (1,) and document.treated.target_percent == (100.0,)
    assert document.treated.territory == "whole liver" and "targets that you chose (1)" in document.treated.why
    assert {c.protocol.territory for c in document.plan.candidates} == {Territory.parse("whole liver")}
    data = json.loads((tmp_path / "plan" / PLAN).read_text())
    assert all(c["protocol"].endswith(" @ whole liver") for c in data["candidates"])
    assert data["treated"]["targets"] == [1]


def test_a_plan_without_a_territory_has_none(do, fake, tmp_path):
    document = accepts(Job("plan", written(tmp_path, fake), str(tmp_path / "plan"), device="cpu"), do)
    assert document.treated.territory == "" and document.treated.targets == (1,)
    assert all(c.protocol.territory is None for c in document.plan.candidates)


def test_the_territory_of_a_protocol_is_that_of_the_session(do, fake, tmp_path):
    files = drawn(tmp_path, fake)
    given = {**written(tmp_path, fake), "segments": str(files["segments"]), "protocol": "Cisplatin + Lipiodol @ A8"}
    document = accepts(Job("simulate", given, str(tmp_path / "one"), device="cpu"), do)
    assert document.treated.territory == "A8" and document.treated.segments_by == "drawn"
    assert document.plan.candidates[0].protocol.text == "Cisplatin + Lipiodol @ A8"
    plan = {**written(tmp_path, fake), "segments": str(files["segments"]), "mine": "Cisplatin + PVA @ A8"}
    document = accepts(Job("plan", plan, str(tmp_path / "two"), device="cpu"), do)
    assert document.beside is not None and document.beside.mine.protocol.territory == Territory.parse("A8")
    assert {c.protocol.territory for c in document.plan.candidates} == {Territory.parse("A8")}
    assert all(s.protocol.territory == Territory.parse("A8") for s in document.beside.swaps)


def test_a_painted_region_is_a_territory(do, fake, tmp_path):
    given = {**written(tmp_path, fake), "fed": str(drawn(tmp_path, fake)["fed"]), "protocol": "Cisplatin + Lipiodol"}
    document = accepts(Job("simulate", given, str(tmp_path / "one"), device="cpu"), do)
    assert document.plan.candidates[0].protocol.text == "Cisplatin + Lipiodol @ painted region"
    assert document.treated.target_percent == (50.0,)  # slices 4 and 5 of 4 to 7


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"target": "2"}, TargetError, "there is 1 lesion"),
        ({"target": "everything"}, TargetError, "segment:RIGHT"),
        ({"territory": "the spleen"}, TerritoryError, "Known: segments"),
        ({"territory": "painted region"}, TerritoryError, "--fed"),
        ({"territory": "RIPA"}, TerritoryError, "--fed"),
        ({"territory": "A5", "protocol": "Cisplatin + Lipiodol @ A8"}, TerritoryError, "Two territories"),
        ({"protocol": "Cisplatin + Lipiodol @ nowhere"}, TerritoryError, "Known"),
        ({"fed_segment": "A8"}, None, "--fed"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(do, fake, tmp_path, given, error, said):
    inputs = {**written(tmp_path, fake), "protocol": "Cisplatin + Lipiodol", **given}
    data = refused(Job("simulate", inputs, str(tmp_path / "out"), device="cpu"), do)
    assert error is None or data["type"] == error.__name__
    assert said in f"{data['what']} {data['given']} {data['remedy']}"


def test_two_lesions_alike_are_asked_for_and_the_answer_is_a_target(do, fake, tmp_path):
    given = written(tmp_path, fake)
    # two lesions of the same size: the tumour cut in two by a slice of liver
    labels = fake.small_labels()
    array = labels.array.copy()
    array[:, :, 8] = np.minimum(array[:, :, 8], 1)
    io.write_labels(LabelMap(array, labels.geometry), tmp_path / "labels.nrrd")
    job = Job("plan", given, str(tmp_path / "plan"), device="cpu")
    # both are treated where nothing is said, so that there is nothing to choose
    for answer in ({}, {"target": "2"}, {"target": "largest"}, {"target": "all"}):
        document = accepts(replace(job, inputs={**given, **answer}), do)
        assert [q.topic for q in document.questions if q.topic == "target"] == []
    result = do(Job("propose", given, device="cpu"))
    assert result["treated"]["targets"] == [1, 2] and "target" not in [q["topic"] for q in result["questions"]]


def test_only_severe_questions_ask_for_a_target():
    asked = [Question("target", severity, "Two lesions.") for severity in (NOTE, WARNING)]
    require_target(asked, False)
    asked.append(Question("target", SEVERE, "Lesion 2 is as large."))
    require_target(asked, True)
    with pytest.raises(TargetQuestionError, match="Lesion 2 is as large") as stopped:
        require_target(asked, False)
    assert "Two lesions" not in str(stopped.value)


def test_the_command_prints_what_is_treated(mewm, fake, tmp_path):
    given, files = written(tmp_path, fake), drawn(tmp_path, fake)
    common = (given["case"], "--labels", given["labels"], "--device", "cpu", "--quiet")
    where = ("--out", tmp_path / "plan", "--no-report", "--no-scene")
    code, out, err = mewm("plan", *common, *where, "--target", "1", "--fed", files["fed"])
    assert code == 0, err
    told = " ".join(out.split())
    assert "Treated: lesion 1 (50 %) of 1" in told and "painted region" in told
    code, out, _ = mewm("propose", *common)
    assert code == 0 and "Lesions, largest first" in out and "Treated is all tumour" in " ".join(out.split())
    code, _, err = mewm("plan", *common, *where, "--territory", "nowhere")
    assert code == 2 and "Unknown territory" in err


def test_regions_go_to_a_server_without_names_of_this_computer(fake, tmp_path):
    given, files = written(tmp_path, fake), drawn(tmp_path, fake)
    fed = tmp_path / "private name.seg.nrrd"
    mask = np.zeros(fake.small_labels().array.shape, np.uint8)
    mask[2:4], mask[4:6] = 1, 2
    keys = {"Segment0_Name": "A", "Segment0_LabelValue": "1", "Segment1_Name": "B", "Segment1_LabelValue": "2"}
    io.write_values(mask, fake.GEOMETRY, keys, fed)
    job = Job(
        "plan",
        {**given, "fed": str(fed), "fed_segment": "B", "segments": str(files["segments"]), "target": "1"},
        str(tmp_path / "out"),
    )
    (folder := tmp_path / "packed").mkdir()
    packed = pack(job, folder)
    assert {entry.name for entry, _ in packed.files} == {"ct.nrrd", "labels.nrrd", "fed.nrrd", "segments.nrrd"}
    sent = packed.job.inputs
    assert sent["fed"] == "fed.nrrd" and sent["segments"] == "segments.nrrd" and sent["target"] == "1"
    assert "fed_segment" not in sent and "private" not in json.dumps(sent)
    np.testing.assert_array_equal(read_region(folder / "fed.nrrd", fake.GEOMETRY), mask == 2)
    assert (read_segments(folder / "segments.nrrd", fake.GEOMETRY) == 1 + SEGMENTS.index("8")).all()
    assert territory_of(packed.job) == Territory.painted()
