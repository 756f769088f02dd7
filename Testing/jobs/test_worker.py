"""The worker over a small world: what it writes, when it writes nothing, and how errors come out of it."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import (
    CancelledError,
    ClinicalDataError,
    DeviceError,
    GeometryMismatchError,
    GoalQuestionError,
    InputError,
    MeWMError,
    NoTumourError,
    OutOfMemoryError,
    OutputError,
    PlanSettingsError,
    ProtocolError,
    UnknownAgentError,
    UnreadableFileError,
    WorkerError,
)
from MeWMLib.core.image_files import read_image_file
from MeWMLib.core.plan import Plan, SearchStep
from MeWMLib.core.plan_folder import RESEARCH_USE_ONLY, PlanFolder
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.jobs import plan_job, worker
from MeWMLib.jobs.job import Job

pytestmark = pytest.mark.usefixtures("small_bundle")


def _never() -> bool:
    return False


def _job(kind: str = "plan", out: Path | None = None, settings: dict | None = None, **inputs) -> Job:
    return Job(kind, {"case": "sample:tiny", **inputs}, str(out) if out else None, seed=3, settings=settings or {})


@pytest.fixture
def do(fake):
    """Do a job over the small world, in this process; `do.events` are its events."""

    def run(job, cancelled=_never, mishap="", engine=None):
        run.events = []
        return worker.run(job, run.events.append, cancelled, engine or fake.engine(mishap))

    return run


@pytest.fixture
def case(tmp_path, fake):
    """The small patient as files of a user."""
    io.write_volume(fake.small_ct(), tmp_path / "in" / "ct.nrrd")
    io.write_labels(fake.small_labels(), tmp_path / "in" / "labels.seg.nrrd")
    return tmp_path / "in"


def test_a_goal_that_leaves_a_question_open_stops_before_any_work(do, tmp_path):
    with pytest.raises(GoalQuestionError, match="Cisplatin: is wanted or ruled out"):
        do(_job(out=tmp_path / "out", goal="cisplatin"))
    assert not (tmp_path / "out").exists()
    do(_job(out=tmp_path / "out", goal="cisplatin", accept_goal=True, settings={"replicas": 1}))
    plan = json.loads((tmp_path / "out" / "plan.json").read_text(encoding="utf-8"))
    assert plan["goal_reading"]["questions"] and plan["goal_reading"]["wanted"] == []


def test_what_a_goal_rules_out_and_states_is_in_no_plan(do, tmp_path):
    do(_job(out=tmp_path, goal="allergic to epirubicin, NYHA II", settings={"replicas": 1}))
    document = PlanFolder(tmp_path).read()
    assert document.goal_reading.excluded == ("Epirubicin",) and document.clinical.heart_failure == "II"
    assert document.clinical.allergies == ("Epirubicin",)
    with pytest.raises(ClinicalDataError, match="heart_failure"):
        do(_job(out=tmp_path, clinical={"heart_failure": "V"}))


def test_a_plan_has_all_that_is_promised(do, fake, tmp_path):
    out = tmp_path / "deep" / "out"
    result = do(_job(out=out, goal="shrink it", clinical={"age_years": 60}, settings={"replicas": 2, "keep": 2}))
    plan = json.loads((out / "plan.json").read_text(encoding="utf-8"))
    assert list(plan)[:6] == ["mewm", "schema", "research_use_only", "kind", "forbidden", "case"]
    assert plan["kind"] == "searched" and plan["forbidden"] == [] and plan["beside"] is None
    assert (plan["schema"], plan["case"], plan["goal"], plan["seed"]) == (1, "sample:tiny", "shrink it", 3)
    assert plan["clinical"] == {"age_years": 60} and plan["settings"]["keep"] == 2
    assert plan["stopped_by"] == "finished" and plan["evaluated_protocols"] == 6 == result["candidates"]
    assert set(plan["bundle"]["parts"]) == {"autoencoder", "dynamics", "assistant", "survival"}
    assert plan["policy"]["drugs"][0] == "Epirubicin" and plan["treated"]["lesions"] == 1
    risks = [c["risk"] for c in plan["candidates"]]
    assert risks == sorted(risks) and [c["rank"] for c in plan["candidates"]] == [1, 2, 3, 4, 5, 6]
    assert plan["files"] == {"pre": "pre.nrrd", "pre_labels": "pre.seg.nrrd"}
    assert [bool(c["files"]) for c in plan["candidates"]] == [True, True, False, False, False, False]
    best = plan["candidates"][0]
    assert best["files"] == {"ct": "simulated_01.nrrd", "labels": "simulated_01.seg.nrrd", "sd": "simulated_01_sd.nrrd"}
    ct = io.read_volume(out / "simulated_01.nrrd")
    assert ct.simulated is not None and ct.simulated.protocol == best["protocol"] and ct.simulated.seed == 3
    assert ct.array.dtype == np.int16 and ct.geometry.same_as(fake.GEOMETRY)
    np.testing.assert_array_equal(io.read_volume(out / "pre.nrrd").array, fake.small_ct().array)
    timings = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert timings["peak_memory_mb"] > 1 and set(timings["stages_s"]) >= {"read", "load", "segment", "plan", "simulate"}
    names = {p.name for p in out.iterdir()}
    assert names == {"plan.json", "run.json", "pre.nrrd", "pre.seg.nrrd", "ranking.csv", "lesions.csv"} | {
        f"simulated_0{n}{tail}" for n in (1, 2) for tail in (".nrrd", ".seg.nrrd", "_sd.nrrd")
    }


def test_the_scene_can_read_the_plan(do, tmp_path):
    do(_job(out=tmp_path / "out"))
    folder = PlanFolder(tmp_path / "out")
    document = folder.read()
    before, _ = folder.read_before(document)
    kept = folder.read_kept(document, before, deviations=1)
    assert len(kept) == 3 and [one.sd is not None for one in kept] == [True, False, False]
    written = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert len(written.pop("sha256")) == 64 and document.to_json() == written


def test_the_same_job_writes_the_same_plan_and_no_path(do, case, tmp_path):
    for name in ("a", "b"):
        do(_job(case=str(case / "ct.nrrd"), labels=str(case / "labels.seg.nrrd"), out=tmp_path / name))
    text = (tmp_path / "a" / "plan.json").read_text(encoding="utf-8")
    assert text == (tmp_path / "b" / "plan.json").read_text(encoding="utf-8")
    assert str(tmp_path) not in text and json.loads(text)["case"] == "ct.nrrd"


def test_expert_labels_are_used_and_the_assistant_is_measured(do, tmp_path):
    do(_job(out=tmp_path / "out"))
    labels = json.loads((tmp_path / "out" / "plan.json").read_text())["labels"]
    assert (
        labels["source"] == "expert"
        and labels["dice_liver"] == 1.0
        and labels["dice_tumour"] == pytest.approx(6 / 7, abs=1e-4)
    )
    assert "expert" in labels["note"]
    do(_job(out=tmp_path / "out2", segment=False))
    labels = json.loads((tmp_path / "out2" / "plan.json").read_text())["labels"]
    assert labels["source"] == "expert" and labels["dice_liver"] is None
    assert not [e for e in do.events if e.stage == "segment"]


def test_the_users_labels_are_used_without_the_assistant(do, case, tmp_path):
    do(_job(case=str(case / "ct.nrrd"), labels=str(case / "labels.seg.nrrd"), out=tmp_path / "out"))
    labels = json.loads((tmp_path / "out" / "plan.json").read_text())["labels"]
    assert labels["source"] == "user" and "labels.seg.nrrd" in labels["note"]
    assert not [e for e in do.events if e.stage == "segment"]


def test_without_labels_the_assistants_are_used_and_it_is_said(do, case, tmp_path):
    do(_job(case=str(case / "ct.nrrd"), out=tmp_path / "out"))
    labels = json.loads((tmp_path / "out" / "plan.json").read_text())["labels"]
    assert labels["source"] == "assistant" and "before you trust" in labels["note"]


def test_events_tell_stage_fraction_memory_terms_and_the_best_so_far(do, tmp_path):
    do(_job(out=tmp_path / "out"))
    progress = [e for e in do.events if e.kind == "progress"]
    stages = ["read", "load", "segment", "propose", "plan", "beside", "simulate"]
    assert list(dict.fromkeys(e.stage for e in progress)) == stages
    assert all(e.memory_mb > 1 for e in progress) and progress[-1].fraction == 1.0
    assert [e.message for e in do.events if e.kind == "log"] == ["Be kind."]
    partial = [e for e in do.events if e.kind == "partial"]
    assert partial[-1].data["best"]["protocol"]


def test_cancel_midway_keeps_the_best_so_far(do, tmp_path):
    out = tmp_path / "out"
    seen: list[bool] = []

    def cancelled() -> bool:
        if (out / "plan.json").exists():
            seen.append(json.loads((out / "plan.json").read_text())["evaluated_protocols"] >= 2)
        return any(seen)

    result = do(_job(out=out), cancelled)
    plan = json.loads((out / "plan.json").read_text())
    assert plan["stopped_by"] == result["stopped_by"] == "cancelled" and len(plan["candidates"]) == 2
    assert plan["candidates"][0]["files"] == {"ct": "simulated_01.nrrd", "labels": "simulated_01.seg.nrrd"}
    assert (out / "simulated_01.nrrd").is_file()


def test_after_a_cancel_saving_does_not_take_long(do, tmp_path, monkeypatch):
    monkeypatch.setattr(plan_job, "SAVE_AFTER_CANCEL_S", -1.0)
    out = tmp_path / "out"
    do(_job(out=out), lambda: len([e for e in do.events if e.kind == "partial"]) >= 3)
    plan = json.loads((out / "plan.json").read_text())
    assert plan["stopped_by"] == "cancelled" and plan["candidates"][0]["files"]
    assert not (out / "simulated_02.nrrd").exists()


def test_a_plan_is_there_at_any_moment(do, fake, tmp_path):
    out = tmp_path / "out"
    states = []

    def look() -> bool:
        if (out / "plan.json").exists():
            states.append(json.loads((out / "plan.json").read_text()))
        return False

    do(_job(out=out), look)
    assert {len(s["candidates"]) for s in states} >= {1, 2, 3}
    assert all(s["stopped_by"] == "cancelled" and s["files"]["pre"] for s in states if len(s["candidates"]) < 6)


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4])
def test_cancel_before_anything_was_evaluated_writes_nothing(do, tmp_path, calls):
    asked = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > calls

    with pytest.raises(CancelledError):
        do(_job(out=tmp_path / "out"), cancelled)
    assert not (tmp_path / "out").exists()


def test_a_new_plan_replaces_the_old_one(do, tmp_path):
    out = tmp_path / "out"
    do(_job(out=out, settings={"keep": 3}))
    (out / "scene.mrb").write_bytes(b"old")
    (out / "notes.txt").write_text("the user's own")
    do(_job(out=out, settings={"keep": 1}))
    names = {p.name for p in out.iterdir()}
    assert "simulated_02.nrrd" not in names and "scene.mrb" not in names and "notes.txt" in names


BAD = [
    ({"case": "nonesuch.nrrd"}, {}, UnreadableFileError),
    ({"case": ""}, {}, InputError),
    ({"labels": "nonesuch.nrrd"}, {}, UnreadableFileError),
    ({"clinical": {"shoe_size": 44}}, {}, ClinicalDataError),
    ({"colour": "red"}, {}, InputError),
    ({"goal": 3}, {}, InputError),
    ({}, {"beams": 0}, PlanSettingsError),
    ({}, {"wings": 2}, PlanSettingsError),
]


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize(("inputs", "settings", "error"), BAD)
def test_bad_inputs_leave_the_folder_untouched_and_load_nothing(do, fake, tmp_path, there, inputs, settings, error):
    out, engine = tmp_path / "out", fake.engine()
    if there:
        do(_job(out=out))
    before = {p.name: p.read_bytes() for p in out.glob("*")}
    with pytest.raises(error) as caught:
        do(_job(out=out, settings=settings, **inputs), engine=engine)
    assert caught.value.exit_code == 2 and engine.load_world.made == []
    assert {p.name: p.read_bytes() for p in out.glob("*")} == before and out.exists() == there


def test_labels_of_another_grid_or_without_tumour_are_refused(do, fake, case, tmp_path):
    labels = fake.small_labels()
    moved = LabelMap(labels.array, Geometry(fake.SHAPE, np.diag([-1.4, -1.5, 2.0, 1.0])))
    bad = tmp_path / "bad.nrrd"
    io.write_labels(moved, bad)
    for reason in (GeometryMismatchError, NoTumourError):
        with pytest.raises(reason):
            do(_job(case=str(case / "ct.nrrd"), labels=str(bad), out=tmp_path / "out"))
        io.write_labels(labels.with_array(np.minimum(labels.array, 1)), bad)
    assert not (tmp_path / "out").exists()


def test_a_case_without_tumour_writes_nothing(do, fake, tmp_path):
    ct = fake.small_ct()
    io.write_volume(ct.with_array(np.minimum(ct.array, 60)), tmp_path / "healthy.nrrd")
    with pytest.raises(NoTumourError):
        do(_job(case=str(tmp_path / "healthy.nrrd"), out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_file_in_the_way_and_no_folder_are_refused(do, tmp_path):
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OutputError, match="already exists"):
            do(_job(out=out))
    with pytest.raises(InputError, match="No output folder"):
        do(_job())


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused_before_the_work(do, fake, tmp_path):
    tmp_path.chmod(0o500)
    engine = fake.engine()
    try:
        with pytest.raises(OutputError, match="No permission to write"):
            do(_job(out=tmp_path / "out"), engine=engine)
    finally:
        tmp_path.chmod(0o700)
    assert engine.load_world.made == []


@pytest.mark.parametrize("failing", [0, 1, 2, 3, 4, 5, 6])
def test_a_full_disk_leaves_nothing_half_written(do, tmp_path, monkeypatch, failing):
    """The move into place fails at the n-th file, as on a full disk."""
    out, moves = tmp_path / "out", []
    real = Path.replace, os.replace

    def full(source, target):
        if Path(target).parent == out:
            moves.append(target)
            if len(moves) > failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        return real[1](source, target)

    monkeypatch.setattr(os, "replace", full)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="disk is full") as caught:
        do(_job(out=out, settings={"keep": 1}))
    assert caught.value.exit_code == 2
    if failing == 0:
        assert not out.exists()
        return
    for file in out.iterdir():
        assert not file.name.startswith("."), "no temporary file"
        if file.suffix == ".json":
            json.loads(file.read_text())
        else:
            read_image_file(file)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ZeroDivisionError("x"), WorkerError),
        (MemoryError(), OutOfMemoryError),
        (RuntimeError("CUDA error: out of memory"), OutOfMemoryError),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), OutOfMemoryError),
        (OSError(errno.ENOSPC, "No space left on device", "a/b"), OutputError),
        (OSError(errno.ENOENT, "No such file", "a/b"), WorkerError),
        (KeyboardInterrupt(), CancelledError),
        (NoTumourError("none"), NoTumourError),
    ],
)
def test_every_error_becomes_one_of_ours(error, expected):
    ours = worker.translated(error)
    assert type(ours) is expected and ours.what


def test_simulate_writes_a_plan_of_one_candidate(do, tmp_path):
    result = do(_job("simulate", tmp_path / "out", {"replicas": 2}, protocol="THP 30 mg + Lipiodol 10 ml"))
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert [c["protocol"] for c in plan["candidates"]] == ["Pirarubicin 30 mg + Lipiodol 10 ml"]
    assert plan["kind"] == "named" and plan["policy"]["name"] == "named by the user" and result["candidates"] == 1
    assert (tmp_path / "out" / "simulated_01_sd.nrrd").is_file()


@pytest.mark.parametrize(
    ("text", "error"),
    [("Aspirin + Lipiodol", UnknownAgentError), ("", InputError), ("Lipiodol + Lipiodol", ProtocolError)],
)
def test_simulate_refuses_a_bad_protocol(do, tmp_path, text, error):
    with pytest.raises(error):
        do(_job("simulate", tmp_path / "out", protocol=text))
    assert not (tmp_path / "out").exists()


def test_segment_propose_and_assess(do, case, tmp_path):
    result = do(_job("segment", tmp_path / "found.seg.nrrd"))
    assert result["labels"]["dice_tumour"] == pytest.approx(6 / 7, abs=1e-4) and (tmp_path / "found.seg.nrrd").is_file()
    result = do(_job("propose", settings={"drugs": 2}))
    assert result["drugs"] == ["Epirubicin", "Cisplatin"] and result["reasons"]["PVA"] == "because"
    result = do(_job("assess", tmp_path / "risk.json", post=str(case / "ct.nrrd")))
    written = json.loads((tmp_path / "risk.json").read_text())
    assert result["risk"] == 0.5 and {k: v for k, v in written.items() if "sha256" not in k} == result


@pytest.mark.parametrize(("out", "error"), [("", InputError), ("labels.txt", InputError), ("folder", OutputError)])
def test_segment_refuses_a_bad_file_before_the_work(do, tmp_path, out, error):
    (tmp_path / "folder").mkdir()
    with pytest.raises(error):
        do(_job("segment", tmp_path / out if out else None))


def test_an_unknown_device_is_refused(do, tmp_path):
    job = Job("plan", {"case": "sample:tiny"}, str(tmp_path / "out"), device="quantum")
    with pytest.raises(DeviceError, match="quantum"):
        do(job)


def test_research_use_only_is_said(do, tmp_path):
    do(_job(out=tmp_path / "out"))
    assert json.loads((tmp_path / "out" / "plan.json").read_text())["research_use_only"] == RESEARCH_USE_ONLY
    shutil.rmtree(tmp_path / "out")


def test_the_errors_all_say_what_to_do(do, tmp_path):
    with pytest.raises(MeWMError) as caught:
        do(_job(out=tmp_path / "out", case=str(tmp_path / "none.nrrd")))
    assert caught.value.remedy and str(tmp_path / "none.nrrd") in caught.value.given


def test_cancel_among_partial_protocols_leaves_the_search_tree(do, fake, tmp_path, monkeypatch):
    """Algorithm 1 judges drugs first: a cancel then leaves a valid plan without candidates."""
    tree = (SearchStep(1, 0, Protocol(()), Protocol.of(("Cisplatin",)), 0.1, True),)
    monkeypatch.setattr(fake.FakeWorld, "plan", lambda *a: Plan((), tree, "cancelled", 1))
    result = do(_job(out=tmp_path / "out"), lambda: (tmp_path / "out" / ".mewm-journal.jsonl").exists())
    plan = json.loads((tmp_path / "out" / "plan.json").read_text())
    assert result["candidates"] == 0 and plan["candidates"] == [] and len(plan["search_tree"]) == 1
    assert plan["stopped_by"] == "cancelled"


def test_a_second_run_in_the_same_folder_is_refused(do, tmp_path):
    """The first one's result stays; both ended with success before, and one result was gone."""
    from MeWMLib.core.locks import writing

    job = Job("simulate", {"case": "sample:tiny", "protocol": "Cisplatin + Lipiodol"}, str(tmp_path / "out"))
    with writing(tmp_path / "out"), pytest.raises(OutputError, match="Another run"):
        do(job)
    with writing(tmp_path / "l.nrrd", ()), pytest.raises(OutputError, match="Another run"):
        do(Job("segment", {"case": "sample:tiny"}, str(tmp_path / "l.nrrd")))
    do(job)
    assert not [p for p in (tmp_path / "out").iterdir() if p.name.startswith(".")]


def test_a_plan_is_finished_only_when_its_volumes_are_there(do, tmp_path, monkeypatch):
    from MeWMLib.core.plan_folder import PlanFolder

    seen = []
    write = PlanFolder.write_kept

    def looking(self, rank, *given):
        seen.append(json.loads((self.path / "plan.json").read_text())["stopped_by"])
        return write(self, rank, *given)

    monkeypatch.setattr(PlanFolder, "write_kept", looking)
    for job in (
        Job("plan", {"case": "sample:tiny"}, str(tmp_path / "a")),
        Job("simulate", {"case": "sample:tiny", "protocol": "Cisplatin + Lipiodol"}, str(tmp_path / "b")),
    ):
        do(job)
        assert json.loads((Path(str(job.out)) / "plan.json").read_text())["stopped_by"] == "finished"
    assert seen and set(seen) == {"cancelled"}
