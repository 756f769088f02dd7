"""The worker as a whole process over the small world: noise, mishaps, cancel, bad job files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from MeWMLib.core.errors import CancelledError, DeviceError, WorkerError
from MeWMLib.core.locks import LOCK
from MeWMLib.core.plan_folder import JOURNAL
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Job

pytestmark = pytest.mark.usefixtures("small_bundle")


def _never() -> bool:
    return False


def _job(out: Path) -> Job:
    return Job("plan", {"case": "sample:tiny"}, str(out), seed=3)


def _run(fake_script, job, mishap="", events=None, cancelled=_never, grace_s=30.0):
    os.environ["MEWM_FAKE"] = mishap
    try:
        on_event = events.append if events is not None else None
        return runner.run(job, on_event, cancelled, command=[sys.executable, str(fake_script)], grace_s=grace_s)
    finally:
        del os.environ["MEWM_FAKE"]


def test_a_noisy_library_does_not_disturb_the_events(fake_script, tmp_path):
    events: list = []
    result = _run(fake_script, _job(tmp_path / "out"), "noisy", events)
    assert result["candidates"] == 6 and [e for e in events if e.stage == "worker"] == []


@pytest.mark.parametrize(
    ("mishap", "error", "text"),
    [
        ("crash", WorkerError, "unexpected ZeroDivisionError.*a mistake in the code.*fake_worker"),
        ("oom", DeviceError, "ran out of memory.*--device cpu"),
        ("kill", WorkerError, "SIGKILL"),
    ],
)
def test_mishaps_of_the_process(fake_script, tmp_path, mishap, error, text):
    events: list = []
    with pytest.raises(error, match=text):
        _run(fake_script, _job(tmp_path / "out"), mishap, events)
    if mishap == "crash":
        assert "Traceback" in events[-1].data["traceback"]
    if mishap == "kill":  # nobody could tidy up, and a plan that is started again goes on from the journal
        assert {p.name for p in (tmp_path / "out").iterdir()} == {JOURNAL, LOCK}  # which nobody holds any more
    else:
        assert not (tmp_path / "out").exists()


def test_cancel_of_the_process_keeps_the_best_so_far(fake_script, tmp_path):
    out = tmp_path / "out"
    result = _run(fake_script, _job(out), "slow", None, (out / "plan.json").exists)
    assert result["stopped_by"] == "cancelled"
    assert json.loads((out / "plan.json").read_text())["candidates"][0]["files"]


def test_a_stubborn_process_is_ended_and_its_plan_is_valid(fake_script, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(CancelledError):
        _run(fake_script, _job(out), "stubborn", None, (out / "plan.json").exists, grace_s=0.2)
    plan = json.loads((out / "plan.json").read_text())
    assert plan["stopped_by"] == "cancelled" and plan["candidates"]


@pytest.mark.parametrize("content", [None, "no json", '{"version":1,"kind":"paint"}'])
def test_a_bad_job_file_is_a_typed_error(tmp_path, content):
    file = tmp_path / "job.json"
    if content is not None:
        file.write_text(content)
    done = subprocess.run(
        [sys.executable, "-m", "MeWMLib.jobs.worker", str(file)],
        stdin=subprocess.PIPE,
        capture_output=True,
        check=False,
        env=runner.child_environment(),
    )
    event = json.loads(done.stdout)
    assert done.returncode == 2 and event["kind"] == "error" and event["data"]["type"] == "InputError"
