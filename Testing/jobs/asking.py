"""Ask a server by plain HTTP, from the description in docs/SERVER.md."""

from __future__ import annotations

import hashlib
import json
import time

import requests

from MeWMLib.jobs.job import Job
from MeWMLib.jobs.wire import PROTOCOL

PLAN = Job("plan", {"case": "ct.nrrd", "labels": "labels.nrrd"}, out="plan", seed=3)


def ask(server, method: str, path: str, token: str | None = "right", **more) -> requests.Response:
    """One request."""
    headers = {"Authorization": f"Bearer {server.token if token == 'right' else token}"} if token else {}
    return requests.request(
        method, server.url + path, headers=headers, timeout=30, proxies={"http": None, "all": None}, **more
    )


def body(job: Job, files: dict[str, bytes] | None = None, **changes) -> bytes:
    """An upload, written here by hand from the description in docs/SERVER.md."""
    listed = [
        {"name": n, "bytes": len(c), "sha256": hashlib.sha256(c).hexdigest(), **changes.get("entry", {})}
        for n, c in (files or {}).items()
    ]
    head = {"protocol": PROTOCOL, "job": json.loads(job.to_json()), "files": listed, **changes.get("head", {})}
    return json.dumps(head).encode() + b"\n" + b"".join((files or {}).values())


def begin(server, job: Job = PLAN, files: dict[str, bytes] | None = None) -> str:
    answer = ask(server, "POST", "/jobs", data=body(job, files))
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def lines(server, job_id: str, offset: int = 0) -> list[dict]:
    answer = ask(server, "GET", f"/jobs/{job_id}/events?offset={offset}")
    assert answer.status_code == 200
    return [json.loads(line) for line in answer.iter_lines() if line]


def said(server, job_id: str) -> list[dict]:
    """What the worker of a job has said so far."""
    file = server.jobs.folder(server.store.get(job_id)).events
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def error_of(answer: requests.Response, status: int) -> dict:
    assert answer.status_code == status, answer.text
    return answer.json()["error"]


def until(condition, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
