"""The server by plain HTTP: who may ask, what is refused, that nothing escapes its folder and nothing is left."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

import MeWMLib
from MeWMLib.core import bundles
from MeWMLib.jobs.job import Job
from MeWMLib.jobs.processes import child_environment
from MeWMLib.jobs.server_state import probe_device
from MeWMLib.jobs.wire import PROTOCOL
from Testing.jobs.asking import PLAN, ask, begin, body, error_of, lines, said, until


def test_version_says_what_the_server_is(serve, small_bundle):
    server = serve()
    said = ask(server, "GET", "/version").json()
    assert said["mewm_protocol"] == PROTOCOL and said["mewm"] == MeWMLib.__version__
    own = next(b for b in said["bundles"] if b["name"] == small_bundle.name)
    assert own["sha256"] == bundles.open_bundle(small_bundle).sha256
    until(lambda: "not known" in ask(server, "GET", "/version").json()["device"])


def test_the_device_is_asked_for_in_a_child():
    pytest.importorskip("torch")
    said: list[str] = []
    probe_device(sys.executable, said.append)
    until(lambda: said, 120.0)
    assert "cpu (" in said[0]


@pytest.mark.parametrize("token", [None, "", "wrong", "a-token-of-the-tests-012345678", "\u00e4".encode()])
def test_without_the_token_everything_is_refused(serve, token):
    server = serve()
    headers = (
        {} if token is None else {"Authorization": b"Bearer " + (token if isinstance(token, bytes) else token.encode())}
    )
    for method, path in (
        ("GET", "/version"),
        ("POST", "/jobs"),
        ("GET", "/metrics"),
        ("GET", "/openapi.json"),
        ("GET", "/jobs/x/files/a"),
    )[: 4 if token else 5]:
        answer = requests.request(method, server.url + path, headers=headers, timeout=30, proxies={"http": None})
        assert error_of(answer, 401)["type"] == "ServerTokenError"
        assert answer.headers["WWW-Authenticate"] == "Bearer" and server.token not in answer.text


def test_every_route_asks_for_a_token(serve):
    """Taken from the routes themselves, so that a new one cannot be forgotten."""
    server = serve()
    free = {"/healthz", "/readyz"}
    seen = 0
    for route in server.state_app.routes:
        for method in route.methods:
            answer = ask(server, method, route.path.replace("{", "").replace("}", ""), token=None)
            assert (answer.status_code == 401) == (route.path not in free), (method, route.path)
            seen += 1
    assert seen > 15


def test_nothing_describes_the_interface_to_strangers(serve):
    server = serve()
    for path in ("/docs", "/redoc", "/"):
        assert ask(server, "GET", path, token=None).status_code == 404
    assert "/jobs/{job_id}/events" in ask(server, "GET", "/openapi.json").json()["paths"]


def test_a_plan_from_upload_to_removal(serve, files):
    server = serve()
    job_id = begin(server, files=files)
    assert len(job_id) >= 32
    events = lines(server, job_id)
    assert events[-1]["kind"] == "result" and events[-1]["data"]["candidates"] == 6
    assert {e["kind"] for e in events} == {"progress", "partial", "result"}
    listed = {f["name"]: f for f in ask(server, "GET", f"/jobs/{job_id}/files").json()["files"]}
    assert {"plan.json", "run.json", "pre.nrrd", "simulated_01.nrrd"} <= set(listed)
    for name, entry in listed.items():
        content = ask(server, "GET", f"/jobs/{job_id}/files/{name}").content
        assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    folders = server.folders()
    assert len(folders) == 1 and job_id not in folders[0].name
    assert ask(server, "DELETE", f"/jobs/{job_id}").json() == {"removed": True}
    assert server.folders() == []
    assert error_of(ask(server, "GET", f"/jobs/{job_id}/files"), 404)["type"] == "UnknownJobError"


def test_the_events_can_be_read_again_from_any_place(serve, files):
    server = serve()
    job_id = begin(server, files=files)
    whole = lines(server, job_id)
    assert lines(server, job_id, 4) == whole[4:] and lines(server, job_id, len(whole)) == []
    assert error_of(ask(server, "GET", f"/jobs/{job_id}/events?offset=-1"), 400)["type"] == "InputError"


def test_the_stream_shows_signs_of_life(serve, script_of):
    server = serve(worker=script_of("sys.stdin.readline(); say('result', data={})"))
    job_id = begin(server, Job("propose", {"case": "sample:tiny"}))
    with ask(server, "GET", f"/jobs/{job_id}/events", stream=True) as answer:
        assert next(answer.iter_lines()) == b""
    ask(server, "POST", f"/jobs/{job_id}/cancel")
    assert lines(server, job_id)[-1]["kind"] == "result"


@pytest.mark.parametrize("end", ["cancel", "delete", "stop"])
def test_the_whole_tree_of_a_worker_is_ended(serve, script_of, end):
    child = "[sys.executable, '-c', 'import time; time.sleep(600)']"
    text = f"p = subprocess.Popen({child})\nsay('log', data={{'pids': [os.getpid(), p.pid]}})\ntime.sleep(600)"
    server = serve(worker=script_of(text), limits={"grace_s": 0.2})
    job_id = begin(server, Job("propose", {"case": "sample:tiny"}))
    until(lambda: said(server, job_id))
    pids = said(server, job_id)[0]["data"]["pids"]
    if end == "cancel":
        ask(server, "POST", f"/jobs/{job_id}/cancel")
        assert lines(server, job_id)[-1]["data"]["type"] == "CancelledError"
    elif end == "delete":
        ask(server, "DELETE", f"/jobs/{job_id}")
    else:
        server.stop()
    gone = lambda p: not psutil.pid_exists(p) or psutil.Process(p).status() == psutil.STATUS_ZOMBIE  # noqa: E731
    until(lambda: all(map(gone, pids)))


def test_a_busy_server_says_so_after_the_whole_upload(serve, files, monkeypatch):
    monkeypatch.setenv("MEWM_FAKE", "slow")
    server = serve(limits={"max_queued": 0})
    first = begin(server, files=files)
    error = error_of(ask(server, "POST", "/jobs", data=body(PLAN, files)), 503)
    assert error["type"] == "ServerBusyError" and "0 of at most 0 wait" in error["given"]
    until(lambda: ask(server, "GET", "/version").json()["jobs"] == 1)
    ask(server, "DELETE", f"/jobs/{first}")
    begin(server, files=files)


@pytest.mark.parametrize(
    "job",
    [
        Job("plan", {"case": "/etc/passwd"}, out="plan"),
        Job("plan", {"case": "../ct.nrrd"}, out="plan"),
        Job("plan", {"case": "ct.nrrd", "labels": "/etc/passwd"}, out="plan"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd"}, out="/tmp/plan"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd"}, out="../plan"),
        Job("segment", {"case": "ct.nrrd", "labels": "labels.nrrd"}, out="../labels.nrrd"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd"}, out="plan", bundle="../bundle"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd"}, out="plan", bundle="/elsewhere/bundle"),
        Job("plan", {"case": "sample:../x", "labels": "labels.nrrd"}, out="plan"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd", "series": "1"}, out="plan"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd", "policy": "llm:openai"}, out="plan"),
        Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd", "preview": "/tmp/x"}, out="plan"),
        Job("segment", {"case": "ct.nrrd", "labels": "labels.nrrd", "post": "/etc/passwd"}, out="labels.nrrd"),
        Job("plan", {"case": "ct.nrrd"}, out="plan"),
    ],
)
def test_a_job_that_names_anything_but_its_own_files_is_refused(serve, files, job):
    server = serve()
    error = error_of(ask(server, "POST", "/jobs", data=body(job, files)), 400)
    assert error["type"] == "InputError"
    assert server.folders() == [] and server.jobs.running == 0


@pytest.mark.parametrize(
    "change",
    [
        {"entry": {"name": "../ct.nrrd"}},
        {"entry": {"name": "/tmp/ct.nrrd"}},
        {"entry": {"name": ".."}},
        {"entry": {"name": "a\\b"}},
        {"entry": {"bytes": -1}},
        {"entry": {"bytes": 10**6}},
        {"entry": {"bytes": 3}},
        {"entry": {"sha256": "0" * 64}},
        {"head": {"protocol": "0.9"}},
        {"head": {"files": "all"}},
        {"head": {"job": {"version": 1, "kind": "paint"}}},
    ],
)
def test_an_upload_that_does_not_fit_its_header_is_refused(serve, files, change):
    server = serve()
    answer = ask(server, "POST", "/jobs", data=body(PLAN, files, **change))
    assert error_of(answer, 400)["type"] == "InputError"
    assert server.folders() == [] and server.jobs.running == 0


@pytest.mark.parametrize("content", [b"", b"no json\n", b"[1]\n", b"{", b"\x80\x04pickle\n"])
def test_garbage_is_refused(serve, content):
    assert error_of(ask(serve(), "POST", "/jobs", data=content), 400)["type"] == "InputError"


def test_a_nrrd_that_points_at_another_file_is_refused(serve, tmp_path):
    secret = tmp_path / "secret.raw"
    secret.write_bytes(bytes(2 * 4 * 4 * 4))
    for key in ("data file", "datafile", "Data File"):
        head = f"NRRD0004\ntype: short\ndimension: 3\nsizes: 4 4 4\nencoding: raw\nendian: little\n{key}: {secret}\n\n"
        job = Job("segment", {"case": "ct.nrrd"}, out="labels.nrrd")
        error = error_of(ask(serve(), "POST", "/jobs", data=body(job, {"ct.nrrd": head.encode()})), 400)
        assert "its own voxels" in error["what"]


def test_uploads_are_limited_by_what_they_say_and_by_what_they_are(serve, files):
    server = serve(limits={"max_upload_bytes": 1000})
    big = {"ct.nrrd": b"NRRD0004" + bytes(2000), "labels.nrrd": files["labels.nrrd"]}
    assert error_of(ask(server, "POST", "/jobs", data=body(PLAN, big)), 413)["type"] == "UploadTooLargeError"
    # without a length, as a stream
    pieces = iter([body(PLAN, big)])
    assert ask(server, "POST", "/jobs", data=pieces).status_code == 413
    assert error_of(ask(server, "POST", "/jobs", data=b"x" * 300_000), 413)["type"] == "UploadTooLargeError"
    assert server.jobs.running == 0


@pytest.mark.parametrize("name", ["../in/ct.nrrd", "..%2Fin%2Fct.nrrd", "%2Fetc%2Fpasswd", ".hidden", "nothing.nrrd"])
def test_no_name_leads_out_of_the_folder_of_results(serve, files, name):
    server = serve()
    job_id = begin(server, files=files)
    lines(server, job_id)
    outputs = server.jobs.folder(server.store.get(job_id)).outputs
    (outputs / ".hidden").write_text("x")
    (outputs / "link.nrrd").symlink_to(outputs.parent / "in" / "ct.nrrd")
    answer = ask(server, "GET", f"/jobs/{job_id}/files/{name}")
    assert answer.status_code in (400, 404) and b"NRRD" not in answer.content
    assert ask(server, "GET", f"/jobs/{job_id}/files/link.nrrd").status_code == 400
    listed = [f["name"] for f in ask(server, "GET", f"/jobs/{job_id}/files").json()["files"]]
    assert "link.nrrd" not in listed and ".hidden" not in listed


def test_events_name_no_folder_of_the_server(serve, files):
    server = serve()
    # of the grammar, and no CT: a voxel of 0 mm
    files["ct.nrrd"] = re.sub(rb"space directions: .*", b"space directions: (0,0,0) (0,0,0) (0,0,0)", files["ct.nrrd"])
    job_id = begin(server, files=files)
    text = json.dumps(lines(server, job_id))
    assert '"error"' in text and "in/ct.nrrd" in text and str(server.data) not in text


def test_what_is_over_is_removed_after_a_while(serve, files):
    server = serve(limits={"retention_s": 1000.0})
    job_id = begin(server, files=files)
    lines(server, job_id)
    server.store.age(900.0)
    server.jobs.sweep()
    assert server.store.get(job_id) and server.folders()
    server.store.age(101.0)
    server.jobs.sweep()
    assert server.store.get(job_id) is None and server.folders() == []


def test_the_worker_does_not_see_the_token(tmp_path):
    command = [
        sys.executable,
        "-c",
        "import sys; from MeWMLib.cli import main; sys.exit(main(['serve', '--port', '0', '--data', sys.argv[1]], "
        "worker=[sys.executable, '-S', '-c', "
        "\"import json, os; print(json.dumps({'version': 1, 'kind': 'result', 'data': {'v': "
        "os.environ.get('MEWM_SERVER_TOKEN', 'none')}}))\"]))",
        str(tmp_path / "data"),
    ]
    environment = {**child_environment(), "MEWM_SERVER_TOKEN": "token-from-the-environment"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        url = next(word for word in process.stdout.readline().split() if word.startswith("http://"))

        class Server:
            token = "token-from-the-environment"

        Server.url = url
        events = lines(Server, begin(Server, Job("propose", {"case": "sample:tiny"})))
        assert events[-1]["data"] == {"v": "none"}
        process.terminate()
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode in (0, -15) and "token-from" not in out + err
    assert not (tmp_path / "data" / "token").exists()


def test_the_first_start_makes_a_token_that_only_its_owner_reads(tmp_path, capsys, monkeypatch):
    from argparse import Namespace

    from MeWMLib.cli.output import Output
    from MeWMLib.cli.serve import _with_token
    from MeWMLib.jobs.server_state import Settings

    given = Namespace(token_file=None, check=False)
    data = tmp_path / "d"
    first = _with_token(Settings(data), given, data, Output()).token
    err = capsys.readouterr().err
    assert first not in err and str(data / "token") in err and len(first) > 30, "a service's journal never holds it"
    if os.name == "posix":
        assert (data / "token").stat().st_mode & 0o077 == 0
    assert _with_token(Settings(data), given, data, Output()).token == first
    assert first not in capsys.readouterr().err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    shown = _with_token(Settings(tmp_path / "e"), given, tmp_path / "e", Output()).token
    assert shown in capsys.readouterr().err, "shown once to a person"


@pytest.fixture
def mewm(capsys):
    from MeWMLib import cli

    def run(*arguments: str) -> tuple[int, str]:
        return cli.main(list(arguments)), capsys.readouterr().err

    return run


def test_a_bad_start_is_a_sentence(mewm, tmp_path, monkeypatch):
    data = ("--data", str(tmp_path))
    monkeypatch.setenv("MEWM_SERVER_TOKEN", "short")
    assert mewm("serve", *data)[0] == 2
    monkeypatch.setenv("MEWM_SERVER_TOKEN", "x" * 20)
    code, said = mewm("serve", *data, "--port", "99999")
    assert code == 2 and "cannot listen" in said
    monkeypatch.setenv("MEWM_SERVER_TOKEN", "x" * 20)
    code, said = mewm("serve", *data, "--certificate", "a.pem")
    assert code == 2 and "belong together" in said
    monkeypatch.setenv("MEWM_SERVER_TOKEN", "x" * 20)
    code, said = mewm("serve", *data, "--certificate", "a.pem", "--key", "b.pem")
    assert code == 2 and "certificate" in said
    code, said = mewm("serve", *data, "--token-file", str(tmp_path / "absent"))
    assert code == 2 and "absent" in said
    code, said = mewm("serve", *data, "--max-jobs", "0")
    assert code == 2 and "max_jobs" in said


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "gpu-box"])
def test_an_open_address_without_certificate_is_refused(mewm, tmp_path, monkeypatch, host):
    from MeWMLib.jobs import server_state

    seen = []
    monkeypatch.setattr(server_state, "serve", lambda settings, make, on_ready: seen.append(settings))
    code, said = mewm("serve", "--data", str(tmp_path), "--host", host)
    assert code == 2 and "unencrypted" in said and "--insecure" in said and not seen
    assert list(tmp_path.iterdir()) == [], "nothing is made for a start that is refused"
    assert "--insecure" in mewm("serve", "--data", str(tmp_path), "--host", host, "--insecure")[1]
    assert "Warning" not in mewm("serve", "--data", str(tmp_path))[1]
    pair = ("--certificate", "c.pem", "--key", "k.pem")
    assert "Warning" not in mewm("serve", "--data", str(tmp_path), "--host", host, *pair)[1]
    assert [s.host for s in seen] == [host, "127.0.0.1", host] and seen[2].key == Path("k.pem")


def test_without_its_packages_the_command_says_what_to_install(mewm, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastapi", None)
    monkeypatch.delitem(sys.modules, "MeWMLib.jobs.server", raising=False)
    monkeypatch.delattr("MeWMLib.jobs.server", raising=False)
    code, said = mewm("serve", "--data", str(tmp_path))
    assert code == 3 and "pip install" in said and "[server]" in said
