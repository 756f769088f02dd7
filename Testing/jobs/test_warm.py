"""The worker that stays: jobs follow one another in one process, and nothing of it is left behind."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from MeWMLib.core import io
from MeWMLib.core.errors import CancelledError, UnknownAgentError, WorkerError, WorkerKilledError
from MeWMLib.core.volume import LabelMap
from MeWMLib.jobs import worker
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.kept import MOST, Latest, key_of
from MeWMLib.jobs.warm import WarmWorker
from MeWMLib.jobs.worker import keeping

pytestmark = pytest.mark.usefixtures("small_bundle")


@pytest.fixture
def warm(fake_script: Path) -> Any:
    made = WarmWorker(lambda: [sys.executable, str(fake_script)])
    yield made
    made.close()
    assert made.pid is None


def _job(out: Path, **changes: Any) -> Job:
    inputs = {"case": "sample:tiny", "protocol": "Cisplatin + Lipiodol", **changes}
    return Job("simulate", inputs, str(out), seed=3)


def _do(warm: WarmWorker, job: Job, events: list[Any] | None = None) -> dict[str, Any]:
    with warm.runner() as runner:
        runner.start(job, (events if events is not None else []).append)
        found = runner.wait(60.0)
        assert found is not None
        return found


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it does not come"
        time.sleep(0.01)


def _gone(pid: int) -> bool:
    until = time.monotonic() + 5.0
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


def test_jobs_share_a_process_until_it_is_closed(warm, tmp_path, monkeypatch):
    events: list[Any] = []
    _do(warm, _job(tmp_path / "a"), events)
    first = warm.pid
    assert first is not None and warm.memory_mb > 1
    # what a user can put right leaves the process as it is
    with pytest.raises(UnknownAgentError):
        _do(warm, _job(tmp_path / "b", protocol="Sugar"))
    _do(warm, _job(tmp_path / "c"), events)
    assert warm.pid == first and (tmp_path / "c" / "plan.json").is_file()
    assert [e.kind for e in events].count("result") == 2
    # another environment is another worker
    monkeypatch.setenv("MEWM_FAKE", "noisy")
    _do(warm, _job(tmp_path / "d"))
    assert warm.pid not in (None, first) and _gone(first)
    last = warm.pid
    warm.close()
    assert _gone(last) and warm.memory_mb == 0


def test_it_stands_back_behind_the_window_that_waits_for_it(warm, tmp_path):
    _do(warm, _job(tmp_path / "a"))
    own, its = psutil.Process().nice(), psutil.Process(warm.pid).nice()
    assert its == (psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else min(19, own + 5))


def test_two_jobs_at_once_have_two_processes_and_one_stays(warm, tmp_path):
    one, other = warm.runner(), warm.runner()
    with one, other:
        one.start(_job(tmp_path / "a"))
        other.start(_job(tmp_path / "b"))
        assert one.pid != other.pid
        pids = {one.pid, other.pid}
        assert one.wait(60) is not None and other.wait(60) is not None
    (ended,) = pids - {warm.pid}
    assert _gone(ended) and warm.pid in pids


@pytest.mark.parametrize(("mishap", "kind"), [("crash", WorkerError), ("kill", WorkerKilledError)])
def test_a_process_in_doubt_is_not_used_again(warm, tmp_path, monkeypatch, mishap, kind):
    monkeypatch.setenv("MEWM_FAKE", mishap)
    with warm.runner() as runner, pytest.raises(kind):
        runner.start(_job(tmp_path / "a"))
        pid = runner.pid
        runner.wait(60)
    assert warm.pid is None and _gone(pid)
    monkeypatch.delenv("MEWM_FAKE")
    _do(warm, _job(tmp_path / "b"))


def test_cancel_is_for_the_job_that_runs(warm, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    seen: list[Any] = []
    with warm.runner() as runner:
        runner.start(Job("plan", {"case": "sample:tiny"}, str(tmp_path / "a"), seed=3), seen.append)
        _until(lambda: any(e.kind == "partial" for e in seen))
        runner.cancel()
        assert runner.wait(60)["stopped_by"] == "cancelled"
    pid = warm.pid
    assert _do(warm, Job("plan", {"case": "sample:tiny"}, str(tmp_path / "b"), seed=3))["stopped_by"] == "finished"
    assert warm.pid == pid


def test_a_stubborn_job_is_ended_with_its_process(warm, tmp_path, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "stubborn")
    with warm.runner(grace_s=0.1) as runner:
        runner.start(Job("plan", {"case": "sample:tiny"}, str(tmp_path / "a"), seed=3))
        _until(lambda: runner._staying is not None and (tmp_path / "a" / "plan.json").is_file())
        pid = runner.pid
        runner.cancel()
        with pytest.raises(CancelledError):
            runner.wait(60)
    assert _gone(pid) and warm.pid is None


def test_closed_while_a_job_ends_it_does_not_come_back(warm, tmp_path):
    with warm.runner() as runner:
        runner.start(_job(tmp_path / "a"))
        pid = runner.pid
        warm.close()
        assert runner.wait(60) is not None
    assert warm.pid is None and _gone(pid)


def test_it_ends_by_itself_when_its_parent_does(fake_script):
    from MeWMLib.jobs.processes import child_environment

    pipe, command = subprocess.PIPE, [sys.executable, str(fake_script), "--stay"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, env=child_environment()) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(30) == 0


# what is kept


def _run(engine: Any, out: Path, **inputs: Any) -> dict[str, Any]:
    job = _job(out, **inputs)
    return worker.run(job, lambda event: None, lambda: False, engine)


def _counting(fake: Any) -> tuple[Any, list[Any]]:
    measured: list[Any] = []
    whole = fake.engine()
    load = whole.load_world

    def load_world(bundle: Any, device: str) -> Any:
        world = load(bundle, device)
        patient = world.patient
        world.patient = lambda *a: measured.append(a) or patient(*a)
        return world

    return keeping(replace(whole, load_world=load_world)), measured


def test_the_world_is_loaded_once_and_a_patient_is_measured_once(fake, tmp_path):
    whole = fake.engine()
    engine = keeping(whole)
    for n in range(3):
        _run(engine, tmp_path / f"{n}")
    assert len(whole.load_world.made) == 1
    engine, measured = _counting(fake)
    first = _run(engine, tmp_path / "a")
    again = _run(engine, tmp_path / "b", protocol="Epirubicin + PVA")
    assert len(measured) == 1 and first["best"]["protocol"] != again["best"]["protocol"]
    same = _run(engine, tmp_path / "c")
    plain = worker.run(_job(tmp_path / "d"), lambda e: None, lambda: False, fake.engine())
    assert same == first == plain, "kept or not, the result is the same"


def test_a_scan_is_segmented_once_and_its_notes_are_told_every_time(fake, tmp_path):
    """A second question about a scan without labels: what the segmenter found is known, and measured against once."""
    from MeWMLib.core.questions import NOTE, Question

    ct, seen = fake.small_ct(), []
    file, whole = tmp_path / "ct.nrrd", fake.engine()

    def load_world(bundle: Any, device: str) -> Any:
        world = whole.load_world(bundle, device)

        def segment(scan: Any, progress: Any = None, cancelled: Any = None, asked: Any = None) -> LabelMap:
            seen.append(scan)
            asked.append(Question("removed", NOTE, "A rib was taken out."))
            return fake.small_labels()

        world.segment = segment
        return world

    engine = keeping(replace(whole, load_world=load_world))
    assert engine.kept is not None

    def told(out: str, **changes: Any) -> bool:
        events: list[Any] = []
        job = _job(tmp_path / out, case=str(file), accept_labels=True, **changes)
        worker.run(job, events.append, lambda: False, engine)
        return any("A rib was taken out" in event.message for event in events)

    io.write_volume(ct, file)
    assert told("a") and told("b", protocol="Epirubicin + PVA") and told("c", goal="prefer PVA")
    assert len(seen) == 1
    array = ct.array.copy()
    array[0, 0, 0] += 1
    io.write_volume(ct.with_array(array), file)
    assert told("d") and len(seen) == 2, "one voxel"
    engine.kept.clear()
    assert told("e") and len(seen) == 3


def test_what_outcomes_are_compared_with_is_measured_once_for_the_last_patient(fake, tmp_path, monkeypatch):
    """The scan before treatment takes as long to measure as the one after; kept or not, the numbers are the same."""
    from MeWMLib.core.plan_folder import PlanFolder
    from MeWMLib.jobs import plan_job

    measured: list[Any] = []
    of = plan_job.Before.of

    class Counting:
        of = staticmethod(lambda *a: measured.append(a) or of(*a))

    monkeypatch.setattr(plan_job, "Before", Counting)
    engine = keeping(fake.engine())
    for n, protocol in enumerate(("Epirubicin + Lipiodol", "Epirubicin + PVA")):
        _run(engine, tmp_path / f"{n}", protocol=protocol)
        assert len(measured) == 1
    worker.run(_job(tmp_path / "plain", protocol="Epirubicin + PVA"), lambda e: None, lambda: False, fake.engine())
    kept, plain = (PlanFolder(tmp_path / name).read().plan.best for name in ("1", "plain"))
    assert len(measured) == 2 and kept is not None and plain is not None and kept.written == plain.written
    _run(engine, tmp_path / "ecog", clinical={"ecog": 1})
    assert len(measured) == 2, "the scan is the same"
    file, drawn = tmp_path / "ct.nrrd", tmp_path / "labels.nrrd"
    io.write_volume(fake.small_ct(), file)
    larger = fake.small_labels().array.copy()
    larger[3, 5:9, 6:11] = 2
    io.write_labels(LabelMap(larger, fake.small_ct().geometry), drawn)
    _run(engine, tmp_path / "other", case=str(file), labels=str(drawn), accept_labels=True)
    _run(engine, tmp_path / "back")
    assert len(measured) == 4, "of the last scan alone: it is as large as one"
    assert engine.kept is not None
    engine.kept.clear()
    _run(engine, tmp_path / "again")
    assert len(measured) == 5


def test_whatever_makes_another_patient_is_measured_again(fake, tmp_path):
    ct, labels = fake.small_ct(), fake.small_labels()
    file, drawn = tmp_path / "ct.nrrd", tmp_path / "labels.nrrd"
    io.write_volume(ct, file)
    io.write_labels(labels, drawn)
    engine, measured = _counting(fake)
    given = {"case": str(file), "labels": str(drawn), "accept_labels": True}

    def runs(**changes: Any) -> bool:
        """True if the patient was measured for this."""
        before = len(measured)
        _run(engine, tmp_path / f"out{before}{len(changes)}{time.monotonic_ns()}", **{**given, **changes})
        return len(measured) > before

    assert runs() and not runs()
    assert runs(clinical={"ecog": 1}) and runs(goal="prefer PVA") and runs(target="1")
    assert runs(territory="right lobe") and not runs(territory="right lobe")
    larger = labels.array.copy()
    larger[3, 5:9, 6:11] = 2
    io.write_labels(LabelMap(larger, labels.geometry), drawn)
    assert runs(territory="right lobe"), "one more slice of tumour"
    array = ct.array.copy()
    array[0, 0, 0] += 1
    io.write_volume(ct.with_array(array), file)
    assert runs(territory="right lobe"), "one voxel"


def test_a_target_that_is_in_question_is_asked_every_time(fake, tmp_path, monkeypatch):
    """A patient that is kept does not skip what a job must ask."""
    from MeWMLib.core.errors import TargetQuestionError
    from MeWMLib.core.questions import SEVERE, Question
    from MeWMLib.world import treating

    engine, measured = _counting(fake)
    file, drawn = tmp_path / "ct.nrrd", tmp_path / "labels.nrrd"
    io.write_volume(fake.small_ct(), file)
    io.write_labels(fake.small_labels(), drawn)
    monkeypatch.setattr(treating, "question_session", lambda p, chosen: (Question("target", SEVERE, "Which?"),))
    given = {"case": str(file), "labels": str(drawn)}
    _run(engine, tmp_path / "a", **given, accept_labels=True)
    with pytest.raises(TargetQuestionError):
        _run(engine, tmp_path / "b", **given)


def test_the_key_is_of_everything(fake):
    ct, labels = fake.small_ct(), fake.small_labels()
    drawn = np.zeros(labels.array.shape, bool)
    keys = {
        key_of(ct, labels), key_of(ct, labels, None), key_of(ct, labels, drawn), key_of(ct, labels, None, drawn),
        key_of(ct, labels, {"a": 1}), key_of(ct, labels, "1", ""), key_of(ct, labels, "", "1"),
        key_of(ct, labels, drawn.astype(np.uint8)),
    }  # fmt: skip
    assert len(keys) == 8 and key_of(ct, labels, drawn) == key_of(ct, labels, drawn.copy())


def test_only_what_was_made_last_is_kept():
    kept, made = Latest(), []
    for key in "abcab":
        kept.get(key, lambda key=key: made.append(key))
    assert MOST == 2 and made == ["a", "b", "c", "a", "b"]
    kept.get("a", lambda: made.append("again"))
    assert "again" not in made


def test_what_stays_is_not_looked_through_again_and_a_former_world_is_given_back(fake, tmp_path):
    """A worker that stays freezes what it has loaded; of a world that another one replaced nothing is left."""
    made: list[Any] = []
    whole = fake.engine()

    def load_world(bundle: Any, device: str) -> Any:
        world = whole.load_world(bundle, device)
        world.itself = world  # a circle, as networks have many
        made.append(weakref.ref(world))
        whole.load_world.made.clear()
        return world

    orders = worker.Orders()
    for n, device in enumerate(("cpu", "cpu", "auto")):
        file = tmp_path / f"{n}.json"
        file.write_text(replace(_job(tmp_path / f"{n}"), device=device).to_json())
        orders.take(json.dumps({"command": "job", "file": str(file)}).encode())
    orders.jobs.put(None)
    frozen: list[int] = []
    said: list[Any] = []

    def channel(event: Any) -> None:
        said.append(event)
        if event.kind == "result":
            frozen.append(gc.get_freeze_count())

    before = gc.get_freeze_count()
    try:
        worker._stay(channel, orders, keeping(replace(whole, load_world=load_world)))
        assert [event.kind for event in said].count("result") == 3
        assert frozen[0] == before and frozen[1] > before + 1000, "from the end of the first job on"
        assert frozen[2] < frozen[1] and gc.get_freeze_count() > before + 1000, "a new world is looked through once"
        assert len(made) == 2 and made[0]() is None
    finally:
        gc.unfreeze()


def test_orders_come_in_order():
    orders = worker.Orders()
    for line in (b'{"command":"job","file":"/a"}', b'{"command":"cancel"}', b'{"command":"job","file":"/b"}', b"noise",
                 b'{"command":"job"}', json.dumps({"command": 3}).encode()):  # fmt: skip
        orders.take(line)
    (first, cancelled), (second, untouched) = orders.jobs.get(), orders.jobs.get()
    assert (first, second) == (Path("/a"), Path("/b")) and cancelled.is_set() and not untouched.is_set()
    orders.end()
    assert orders.jobs.get() is None and untouched.is_set()
