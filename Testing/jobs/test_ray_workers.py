"""The workers of a server on Ray: the same jobs and results; a job whose worker's computer is lost is done again."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from MeWMLib.core.errors import DependencyError, InputError
from MeWMLib.core.living import born
from MeWMLib.jobs import ray_workers
from MeWMLib.jobs.ray_workers import Cluster, sweep
from Testing.jobs.asking import ask, begin, lines, said, until


def folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("mewm-node-*"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_jobs_on_ray_survive_the_loss_of_their_worker(serve, files, monkeypatch, tmp_path):
    ray = pytest.importorskip("ray", reason='Ray is not installed: pip install "mewm[ray]"')
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # as the tests beside them; 15 is Ray's own
    monkeypatch.setenv("MEWM_FAKE", "slow")
    local = serve()
    here = begin(local, files=files)
    lines(local, here)
    expected = ask(local, "GET", f"/jobs/{here}/files/plan.json").json()
    names = {one["name"] for one in ask(local, "GET", f"/jobs/{here}/files").json()["files"]}
    local.stop()
    running = serve(engine="ray")
    try:
        job_id = begin(running, files=files)
        until(lambda: [one for one in said(running, job_id) if one["kind"] == "partial"])
        # what the job has to show is here before it says so
        assert "plan.json" in {one["name"] for one in ask(running, "GET", f"/jobs/{job_id}/files").json()["files"]}
        (folder,) = folders()
        os.kill(int(folder.name.split("-")[2]), signal.SIGKILL)
        told = lines(running, job_id)
        assert told[-1]["kind"] == "result" and any("interrupted" in one["message"] for one in told)
        assert str(folder) not in json.dumps(told) and str(running.data) not in json.dumps(told)
        assert running.store.get(job_id).attempts == 2
        found = ask(running, "GET", f"/jobs/{job_id}/files/plan.json").json()
        assert {one["name"] for one in ask(running, "GET", f"/jobs/{job_id}/files").json()["files"]} == names
        for key in ("candidates", "evaluated_protocols", "stopped_by"):
            assert found[key] == expected[key]
        assert folder not in folders(), "what the lost worker left is swept by the next one"
        stopped = begin(running, files=files)
        until(lambda: [one for one in said(running, stopped) if one["kind"] == "partial"])
        ask(running, "POST", f"/jobs/{stopped}/cancel")
        assert lines(running, stopped)[-1]["kind"] == "result", "cancel keeps what is finished"
    finally:
        running.stop()
    assert folders() == [] and not ray.is_initialized()


def test_an_engine_that_is_none_or_not_there_is_a_sentence(monkeypatch):
    with pytest.raises(InputError, match="Unknown engine"):
        Cluster("spark://x")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DependencyError, match=r"pip install.*\[ray\]"):
        Cluster("ray://somewhere:10001")


def test_a_file_of_a_worker_stays_in_the_folder_of_its_slot(tmp_path):
    (tmp_path / "slot").mkdir()
    (tmp_path / "slot" / "link").symlink_to(tmp_path)
    for name in ("../x", "/etc/x", "a/../../x", "link/x"):
        with pytest.raises(InputError, match="impossible name"):
            ray_workers._below(tmp_path / "slot", name)
    assert ray_workers._below(tmp_path / "slot", "job/out/plan.json").name == "plan.json"


def test_only_the_folders_of_dead_actors_are_swept(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    names = (f"mewm-node-{os.getpid()}-{born(os.getpid()):.2f}-a", f"mewm-node-{os.getpid()}-1.00-b", "mewm-node-mine")
    for name in names:
        (tmp_path / name).mkdir()
    sweep()
    assert {path.name for path in tmp_path.iterdir()} == {names[0], names[2]}
