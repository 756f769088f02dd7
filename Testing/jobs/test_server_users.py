"""Who may use a server: named tokens, scopes, their end, back-off, and that nobody sees the jobs of others."""

from __future__ import annotations

import json
import os
import stat
import time

import pytest
import requests

from MeWMLib.core.errors import InputError
from MeWMLib.jobs.server_users import BackOff, Tokens
from Testing.jobs.asking import PLAN, begin, error_of, lines
from Testing.jobs.asking import ask as ask_with


def ask(server, token: str, method: str, path: str, **more) -> requests.Response:
    """One request with a token of somebody's."""
    return ask_with(server, method, path, token=token, **more)


def of(server, token: str):
    """The same server for somebody else."""
    return type("As", (), {"url": server.url, "token": token, "jobs": server.jobs, "store": server.store})


def test_a_user_sees_and_touches_their_own_jobs_alone(serve, files):
    server = serve()
    anna, ben = (Tokens(server.data).create(name) for name in ("anna", "ben"))
    job_id = begin(of(server, anna), files=files)
    lines(of(server, anna), job_id)
    assert [one["id"] for one in ask(server, anna, "GET", "/jobs").json()["jobs"]] == [job_id]
    assert ask(server, ben, "GET", "/jobs").json()["jobs"] == []
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/files"),
        ("GET", "/files/plan.json"),
        ("GET", "/upload"),
        ("PUT", "/upload/ct.nrrd?offset=0"),
        ("POST", "/upload"),
        ("POST", "/cancel"),
        ("DELETE", ""),
    ):
        error = error_of(ask(server, ben, method, f"/jobs/{job_id}{path}"), 404)
        assert error["type"] == "UnknownJobError", "as unknown as one that never was"
        assert error == error_of(ask(server, ben, method, f"/jobs/{'x' * 32}{path}"), 404)
    assert ask(server, anna, "GET", f"/jobs/{job_id}/files/plan.json").status_code == 200


def test_the_same_key_of_two_users_makes_two_jobs(serve, files):
    from Testing.jobs.asking import body

    server = serve()
    anna, ben = (Tokens(server.data).create(name) for name in ("anna", "ben"))
    content = body(PLAN, files, head={"key": "the-same-key"})
    ids = [ask(server, token, "POST", "/jobs", data=content).json()["id"] for token in (anna, ben)]
    assert ids[0] != ids[1]


def test_a_token_counts_at_once_and_is_refused_at_once(serve):
    server = serve()
    tokens = Tokens(server.data)
    anna = tokens.create("anna")
    assert ask(server, anna, "GET", "/version").json()["user"] == "anna"
    tokens.revoke("anna")
    assert error_of(ask(server, anna, "GET", "/version"), 401)["type"] == "ServerTokenError"


def test_a_token_expires(serve, monkeypatch):
    server = serve()
    anna = Tokens(server.data).create("anna", days=2.0)
    assert ask(server, anna, "GET", "/version").status_code == 200
    really = time.time
    monkeypatch.setattr(time, "time", lambda: really() + 1.9 * 86400)
    assert ask(server, anna, "GET", "/version").status_code == 200
    monkeypatch.setattr(time, "time", lambda: really() + 2.1 * 86400)
    assert ask(server, anna, "GET", "/version").status_code == 401


def test_a_scope_is_for_what_it_says(serve):
    server = serve()
    watcher, anna = Tokens(server.data).create("prometheus", scopes=("metrics",)), Tokens(server.data).create("anna")
    assert "mewm_jobs_queued 0" in ask(server, watcher, "GET", "/metrics").text
    assert error_of(ask(server, watcher, "GET", "/jobs"), 401)["what"].startswith("This token is not for jobs")
    assert error_of(ask(server, anna, "GET", "/metrics"), 401)["what"].startswith("This token is not for metrics")


def test_tokens_are_hashed_at_rest_and_for_their_owner_alone(tmp_path):
    token = Tokens(tmp_path / "d").create("anna")
    file = tmp_path / "d" / "tokens.json"
    assert token not in file.read_text() and len(token) >= 43
    if os.name == "posix":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [p.name for p in file.parent.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda t: t.create("anna"), "of this name"),
        (lambda t: t.create("operator"), "of this name"),
        (lambda t: t.create("a b"), "not a name"),
        (lambda t: t.create(""), "not a name"),
        (lambda t: t.create("x" * 65), "not a name"),
        (lambda t: t.create("ben", scopes=("root",)), "Unknown scope"),
        (lambda t: t.create("ben", scopes=()), "Unknown scope"),
        (lambda t: t.revoke("ben"), "no token of this name"),
    ],
)
def test_what_is_no_token_is_a_sentence(tmp_path, call, text):
    tokens = Tokens(tmp_path)
    tokens.create("anna")
    with pytest.raises(InputError, match=text):
        call(tokens)
    assert [one.name for one in tokens.all()] == ["anna"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"tokens": [{"name": "a"}]}', '{"tokens": 3}'])
def test_a_damaged_file_of_tokens_lets_nobody_in(tmp_path, content):
    (tmp_path / "tokens.json").write_text(content)
    with pytest.raises(InputError):
        Tokens(tmp_path).user("x" * 20)


def test_an_address_waits_longer_after_each_wrong_token():
    now = [0.0]
    back_off = BackOff(lambda: now[0])
    waits = []
    for _ in range(16):
        now[0] += back_off.wait_s("1.2.3.4")
        back_off.wrong("1.2.3.4")
        waits.append(back_off.wait_s("1.2.3.4"))
    assert waits[:4] == [0.0] * 4 and waits[4:8] == [2.0, 4.0, 8.0, 16.0] and max(waits) == waits[-1] == 300.0
    assert back_off.wait_s("1.2.3.5") == 0.0
    # who gives a right one there never waits again, and others there still do
    back_off.right("1.2.3.4", "anna")
    assert back_off.wait_s("1.2.3.4", "anna") == 0.0 and back_off.wait_s("1.2.3.4", "ben") > 0.0
    now[0] += 1801.0 + 300.0
    back_off.wrong("1.2.3.4")
    assert back_off.wait_s("1.2.3.4") == 0.0


def test_who_was_there_before_is_not_locked_out_by_others(serve):
    server = serve()
    anna, ben = (Tokens(server.data).create(name) for name in ("anna", "ben"))
    assert ask(server, anna, "GET", "/version").status_code == 200
    answers = [ask(server, f"guess-number-{n:08d}", "GET", "/version").status_code for n in range(8)]
    assert answers[:5] == [401] * 5 and set(answers[5:]) == {429}
    assert ask(server, anna, "GET", "/version").status_code == 200
    error = error_of(ask(server, ben, "GET", "/version"), 429)
    assert error["type"] == "ServerLockedError" and "wait" in error["given"]


def test_the_audit_log_says_who_did_what_and_nothing_of_a_patient(serve, files):
    from dataclasses import replace

    server = serve()
    anna = Tokens(server.data).create("anna")
    secret = replace(PLAN, inputs={**PLAN.inputs, "goal": "no PVA, spare SMITH", "clinical": {"age_years": 71.25}})
    job_id = begin(of(server, anna), secret, files)
    lines(of(server, anna), job_id)
    ask(server, anna, "GET", f"/jobs/{job_id}/files/plan.json")
    ask(server, "a-wrong-token-of-somebody", "GET", "/version")
    ask(server, anna, "DELETE", f"/jobs/{job_id}")
    text = (server.data / "audit.log").read_text()
    told = [json.loads(line) for line in text.splitlines()]
    assert [one["what"] for one in told] == [
        "server started", "submitted", "done", "fetched", "token refused", "removed",
    ]  # fmt: skip
    assert {one["who"] for one in told} == {"", "anna"} and told[1]["kind"] == "plan" and told[1]["bytes"] > 1000
    for word in ("SMITH", "71.25", anna, "a-wrong-token", job_id, "ct.nrrd"):
        assert word not in text
    if os.name == "posix":
        assert stat.S_IMODE((server.data / "audit.log").stat().st_mode) == 0o600


def test_the_audit_log_is_rotated(tmp_path, monkeypatch):
    from MeWMLib.jobs import server_notes

    monkeypatch.setattr(server_notes, "_AUDIT_BYTES", 2000)
    notes = server_notes.Notes(tmp_path / "audit.log")
    for n in range(400):
        notes.audit("submitted", "anna", number=n)
    notes.close()
    found = sorted(tmp_path.iterdir())
    assert len(found) == server_notes._AUDIT_FILES + 1 and all(p.stat().st_size <= 2000 for p in found)
    assert '"number": 399' in (tmp_path / "audit.log").read_text()
    if os.name == "posix":
        assert all(stat.S_IMODE(p.stat().st_mode) == 0o600 for p in found)


def test_the_measures_are_in_prometheus_own_form(serve, files):
    """Read by a parser written here from the description of the text format."""
    import re

    server = serve()
    lines(server, begin(server, files=files))
    text = ask_with(server, "GET", "/metrics").text
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"\n]*"(,[a-z]+="[^"\n]*")*\})? [-+0-9.e]+(inf)?')
    typed = {}
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            typed[line.split()[2]] = line.split()[3]
        elif not line.startswith("#"):
            assert sample.fullmatch(line), line
            name = re.sub("_(bucket|sum|count)$", "", line.split("{")[0].split()[0])
            assert name in typed or line.split("{")[0].split()[0] in typed, line
    assert 'mewm_jobs_ended_total{kind="plan",state="done"} 1' in text
    assert 'mewm_stage_seconds_count{kind="plan",stage="plan"} 1' in text
    assert 'mewm_job_seconds_bucket{kind="plan",le="+Inf"} 1' in text
    assert set(typed.values()) == {"gauge", "counter", "histogram"}


def test_health_needs_no_token_and_says_nothing(serve, monkeypatch):
    server = serve()
    for path in ("/healthz", "/readyz"):
        answer = ask_with(server, "GET", path, token=None)
        assert answer.status_code == 200 and answer.text == "ok\n"
    from MeWMLib.core import bundles

    monkeypatch.setattr(bundles, "list_bundles", list)
    assert ask_with(server, "GET", "/readyz", token=None).status_code == 503
