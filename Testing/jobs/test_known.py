"""Jobs of this computer: what a killed command line left is listed, taken up, removed; `mewm jobs`, `mewm token`."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from MeWMLib import cli
from MeWMLib.core.errors import InputError
from MeWMLib.core.folders import data_folder
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.known import KEPT_S, KnownJobs
from MeWMLib.jobs.processes import child_environment
from MeWMLib.jobs.remote import RemoteRunner
from MeWMLib.jobs.remote_files import pack
from MeWMLib.jobs.remote_http import ServerClient
from MeWMLib.jobs.server_users import Tokens
from MeWMLib.jobs.wire import Address, upload_header
from Testing.jobs.asking import until

_RUN = """
import json, os, sys
from MeWMLib.jobs import runner
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.remote import RemoteRunner
from MeWMLib.jobs.remote_files import pack
from MeWMLib.jobs.remote_http import ServerClient
from MeWMLib.jobs.wire import Address, upload_header
job, worker, url, token = Job.from_json(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
make = (lambda: RemoteRunner(ServerClient(Address.parse(url), lambda: token))) if url else None
runner.run(job, lambda event: print(event.kind, flush=True), command=[sys.executable, worker], make=make)
"""


def known() -> list:
    with KnownJobs() as jobs:
        return jobs.all()


def killed(job: Job, worker: Path, url: str = "", token: str = "") -> None:
    """Run a job in another process and kill that in the middle."""
    command = [sys.executable, "-c", _RUN, job.to_json(), str(worker), url, token]
    environment = {**child_environment(), "MEWM_FAKE": "slow"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "partial":
                break
        os.kill(process.pid, signal.SIGKILL)


@pytest.fixture
def mewm(capsys, monkeypatch, fake_script):
    """Run a command: (exit code, standard output, standard error)."""
    monkeypatch.delenv("MEWM_SERVER_TOKEN", raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli.main([str(a) for a in arguments], worker=[sys.executable, str(fake_script)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_job_that_is_over_leaves_nothing(tmp_path, fake_script, small_bundle):
    seen = []

    def look(event):
        if not seen:
            seen.extend(known())

    job = Job("propose", {"case": "sample:tiny", "goal": "no PVA, spare SMITH"})
    runner.run(job, look, command=[sys.executable, str(fake_script)])
    assert [one.state for one in seen] == ["at work"] and seen[0].row.kind == "propose"
    assert known() == [] and b"SMITH" not in b"".join(p.read_bytes() for p in data_folder().rglob("*") if p.is_file())


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_what_a_killed_command_line_left_is_listed_and_taken_up(tmp_path, fake_script, small_bundle, mewm):
    out = tmp_path / "out"
    killed(Job("plan", {"case": "sample:tiny", "goal": "spare the liver"}, str(out)), fake_script)
    (one,) = known()
    assert one.state == "interrupted"
    assert stat.S_IMODE((one.folder / "job.json").stat().st_mode) == 0o600
    code, said, _ = mewm("jobs", "list", "--json")
    assert code == 0 and [(j["kind"], j["state"], j["out"]) for j in json.loads(said)] == [
        ("plan", "interrupted", str(out))
    ]
    assert "interrupted" in mewm("jobs", "list")[1]
    code, said, err = mewm("jobs", "attach", one.row.id[:8])
    assert code == 0 and str(out) in said, err
    assert json.loads((out / "plan.json").read_text())["stopped_by"] == "finished" and known() == []
    assert "There is none" in mewm("jobs", "list")[1]


def test_a_job_that_was_half_sent_is_sent_anew(tmp_path, serve, mewm, files, monkeypatch):
    """The client was killed between two pieces of the upload; what is there of it would never begin."""
    server, out = serve(), tmp_path / "out"
    case, labels = (str(tmp_path / "case" / name) for name in files)
    job = Job("plan", {"case": case, "labels": labels}, str(out))
    packed = pack(job, tmp_path)
    client = ServerClient(Address.parse(server.url), lambda: server.token)
    sent = client.begin(upload_header(packed.job, tuple(entry for entry, _path in packed.files), "k" * 32))
    with KnownJobs() as jobs:
        one = jobs.begin(job, server.url, {"app": "somebody"})
        jobs.change(one.row.id, far_id=sent.id, pid=0)
    assert known()[0].about() == {"app": "somebody"}
    monkeypatch.setenv("MEWM_SERVER_TOKEN", server.token)
    code, _, err = mewm("jobs", "attach", one.row.id[:8])
    assert code == 0, err
    assert json.loads((out / "plan.json").read_text())["stopped_by"] == "finished"
    assert known() == [] and server.folders() == []


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_job_on_a_server_outlives_its_client(tmp_path, serve, fake_script, mewm, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, out = serve(), tmp_path / "out"
    killed(Job("plan", {"case": "sample:tiny"}, str(out)), fake_script, server.url, server.token)
    (one,) = known()
    assert one.state == "on the server" and one.row.place == server.url
    until(lambda: server.store.find(states=("done",)))
    token = tmp_path / "token"
    token.write_text(server.token)
    token.chmod(0o600)
    said = json.loads(mewm("jobs", "list", "--server", server.url, "--token-file", token, "--json")[1])
    assert [(j["kind"], j["state"]) for j in said] == [("plan", "done")]
    code, _, err = mewm("jobs", "attach", one.row.id[:8], "--token-file", token)
    assert code == 0, err
    assert json.loads((out / "plan.json").read_text())["stopped_by"] == "finished"
    assert known() == [] and server.folders() == []


def test_a_job_of_another_computer_is_fetched_from_the_server(tmp_path, serve, mewm, monkeypatch):
    server = serve()
    token = tmp_path / "token"
    token.write_text(server.token)
    token.chmod(0o600)
    from Testing.jobs.asking import begin

    job_id = begin(server, Job("plan", {"case": "sample:tiny"}, "plan"))
    there = ("--server", server.url, "--token-file", token)
    assert mewm("jobs", "attach", job_id[:8], *there)[0] == 2, "it must be told where to"
    code, _, err = mewm("jobs", "attach", job_id[:8], *there, "--out", tmp_path / "fetched")
    assert code == 0, err
    assert json.loads((tmp_path / "fetched" / "plan.json").read_text())["candidates"]
    assert mewm("jobs", "cancel", job_id[:8], *there)[0] == 0 and server.folders() == []
    assert "No job on the server" in mewm("jobs", "cancel", job_id[:8], *there)[2]


def test_a_job_that_lost_its_server_says_how_to_attach(tmp_path, serve, monkeypatch, mewm):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server, events = serve(), []
    client = ServerClient(Address.parse(server.url), lambda: server.token)
    remote = RemoteRunner(client, retry_s=(0.01,))
    remote.start(Job("plan", {"case": "sample:tiny"}, str(tmp_path / "out")), events.append)
    until(lambda: any(e.kind == "partial" for e in events))
    server.stop()
    with pytest.raises(Exception, match="mewm jobs attach"):
        remote.wait(60.0)
    (one,) = known()
    assert one.state == "on the server"
    code, _, err = mewm("jobs", "cancel", one.row.id[:8], "--token-file", "absent")
    assert code == 2 and len(known()) == 1, "what could not be ended there is not forgotten here"


def test_what_nobody_takes_up_is_removed_after_a_week(tmp_path, mewm):
    with KnownJobs() as jobs:
        kept = jobs.begin(Job("propose", {"case": "sample:tiny"}))
        jobs.change(kept.row.id, pid=0)
        assert [one.row.id for one in jobs.all()] == [kept.row.id]
        # made by a clock that was set back since
        jobs.change(kept.row.id, created=kept.row.created + 10 * KEPT_S)
        assert [one.row.id for one in jobs.all()] == [kept.row.id]
        jobs.change(kept.row.id, created=kept.row.created - KEPT_S - 60.0)
        assert jobs.all() == [] and not kept.folder.exists()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("jobs", "attach"), "needs the id"),
        (("jobs", "cancel", "nothing"), "No job has this id"),
        (("token", "create"), "needs a name"),
        (("token", "revoke", "nobody"), "no token of this name"),
        (("token", "create", "a", "--scopes", "root"), "Unknown scope"),
        (("token", "create", "a", "--days", "-1"), "cannot expire"),
    ],
)
def test_what_is_wrong_is_a_sentence(mewm, tmp_path, words, text):
    data = ("--data", str(tmp_path)) if words[0] == "token" else ()
    code, _, err = mewm(*words, *data)
    assert code == 2 and text in err


def test_a_job_that_is_followed_is_not_followed_twice(mewm):
    with KnownJobs() as jobs:
        mine = jobs.begin(Job("propose", {"case": "sample:tiny"}))
    for action in ("attach", "cancel"):
        code, _, err = mewm("jobs", action, mine.row.id)
        assert code == 2 and "another program" in err and str(os.getpid()) in err
    with pytest.raises(InputError, match="No job"), KnownJobs() as jobs:
        jobs.find("")


def test_tokens_are_made_listed_and_revoked(mewm, tmp_path):
    data = ("--data", tmp_path)
    code, out, _ = mewm("token", "create", "anna", "--days", "2", *data)
    assert code == 0 and Tokens(tmp_path).user(out.split()[-1]).name == "anna"
    file = tmp_path / "ben.token"
    code, out, _ = mewm("token", "create", "ben", "--scopes", "jobs, metrics", "--out", file, *data)
    token = file.read_text().strip()
    assert code == 0 and token not in out and Tokens(tmp_path).user(token).scopes == ("jobs", "metrics")
    assert os.name != "posix" or stat.S_IMODE(file.stat().st_mode) == 0o600
    assert mewm("token", "create", "carl", "--out", file, *data)[0] == 2 and len(Tokens(tmp_path).all()) == 2
    listed = json.loads(mewm("token", "list", "--json", *data)[1])
    assert [(one["name"], one["expires"] > 0) for one in listed] == [("anna", True), ("ben", False)]
    out = mewm("token", "list", *data)[1]
    assert "anna" in out and "never" in out and token not in out
    assert mewm("token", "revoke", "ben", *data)[0] == 0 and Tokens(tmp_path).user(token) is None


def test_the_check_starts_nothing_and_says_what_holds(mewm, tmp_path, small_bundle):
    data = tmp_path / "data"
    code, out, _ = mewm("serve", "--check", "--port", "0", "--data", data)
    assert code == 2 and "BAD  0 tokens" in out and "worker, files:" in out and "mewm-small" in out
    Tokens(data).create("anna")
    code, out, _ = mewm("serve", "--check", "--port", "0", "--data", data, "--json")
    assert code == 0 and json.loads(out)["ready"] is True
    assert not (data / "server.lock").exists() and not (data / "token").exists()
