"""Twenty jobs of four users while server and worker are killed; `make soak` does it with the real networks."""

from __future__ import annotations

import os

import pytest

from Testing.jobs import soak


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_twenty_jobs_survive_two_kills(tmp_path, fake_script, small_bundle, monkeypatch):
    pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')
    # what matters is what is killed when, not how long a job takes
    monkeypatch.setenv("MEWM_FAKE", "brisk")
    plan = soak.Plan(4, 20, 1, 1, 7, str(fake_script), 3, soak.small_job)
    figures = soak.run(plan, tmp_path)
    assert figures["server_kills"] == figures["worker_kills"] == 1 and figures["right"] == 20
