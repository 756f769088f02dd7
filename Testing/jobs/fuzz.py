"""Requests that nobody means, from the server's own OpenAPI page: no 5xx, no traceback, no other user's data.

`make fuzz` sends 5,000; `test_fuzz.py` some hundred. Each route of the page is taken with parameters and bodies that
hypothesis makes up, among ids of jobs that are there, and bodies that nearly are uploads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st

from MeWMLib.jobs.server_users import Tokens
from MeWMLib.jobs.wire import PROTOCOL

SECRET = "the-goal-of-another-user"
#: What an answer may be; 408, 413, 429, 503 and 507 are refusals that a server at its limits gives.
_ALLOWED = {200, 202, 206, 400, 401, 404, 405, 408, 409, 411, 413, 415, 422, 429, 503, 507}
_TRACES = (b"Traceback (most recent", b'.py", line', b"site-packages")

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)
_NAMES = st.sampled_from(
    ["ct.nrrd", "labels.nrrd", "../job.json", "..%2fjob.json", "plan.json", ".mewm-job", "%00", ""]
)


def _header(draw: Any) -> bytes:
    """Nearly the first line of an upload."""
    job = {"version": 1, "kind": draw(st.sampled_from(["plan", "segment", "propose", "assess", "simulate", "x"]))}
    job["inputs"] = draw(
        st.dictionaries(
            st.sampled_from(["case", "labels", "post", "goal", "clinical", "protocol", "target", "policy", "fed"]),
            st.sampled_from(["ct.nrrd", "labels.nrrd", "sample:tiny", "/etc/passwd", "../x", "a goal", {}, None, 3]),
            max_size=4,
        )
    )
    job["out"] = draw(st.sampled_from(["plan", "labels.nrrd", "../plan", "/tmp/x", None]))
    job |= draw(st.dictionaries(st.sampled_from(["seed", "settings", "bundle", "device", "more"]), _JSON, max_size=2))
    entry = st.fixed_dictionaries(
        {
            "name": _NAMES,
            "bytes": st.integers(-1, 400) | st.just(10**15),
            "sha256": st.sampled_from(["0" * 64, "x", "0" * 63]),
        }
    )
    head: dict[str, Any] = {"protocol": PROTOCOL, "job": job, "files": draw(st.lists(entry, max_size=3))}
    head |= draw(
        st.dictionaries(st.sampled_from(["key", "priority", "protocol", "job", "files", "z"]), _JSON, max_size=1)
    )
    return json.dumps(head).encode()


@st.composite
def requests_of(draw: Any, page: dict[str, Any], ids: list[str]) -> tuple[str, str, bytes, dict[str, str]]:
    """A request of a route of the page: method, path with query, body, headers."""
    path = draw(st.sampled_from(sorted(page["paths"])))
    method = draw(
        st.sampled_from(sorted(page["paths"][path])) | st.sampled_from(["get", "post", "put", "delete", "patch"])
    )
    wanted = page["paths"][path].get(method, {}).get("parameters", [])
    query = []
    for one in wanted:
        if one["in"] == "path":
            value = draw(st.sampled_from(ids) | _TEXT) if one["name"] == "job_id" else draw(_NAMES | _TEXT)
            path = path.replace("{" + one["name"] + "}", quote(value, safe="%"))
        elif draw(st.booleans()):
            value = draw(st.integers(-3, 10**20) | st.integers(0, 30) | _TEXT)
            query.append(f"{one['name']}={quote(str(value))}")
    body = draw(st.binary(max_size=200) | _JSON.map(lambda one: json.dumps(one).encode()))
    if draw(st.booleans()):
        body = _header(draw) + draw(st.sampled_from([b"", b"\n", b"\n" + bytes(64)]))
    headers = draw(
        st.dictionaries(
            st.sampled_from(["Range", "X-MeWM-SHA256", "Content-Type", "Accept"]),
            st.sampled_from(
                ["bytes=0-", "bytes=99999999999999-", "bytes=-5", "0" * 64, "x", "application/json", "*/*"]
            ),
            max_size=3,
        )
    )
    return method.upper(), path + ("?" + "&".join(query) if query else ""), body, headers


def fuzz(url: str, data: Path, number: int, seed: int, own: list[str], others: list[str]) -> Counter[int]:
    """Send requests; returns how often each status came.

    Args:
        url, data: of the server.
        number: of requests.
        seed: of hypothesis.
        own, others: ids of jobs of the one who asks, and of somebody else.

    Raises:
        AssertionError: a 5xx, a traceback, or something of somebody else's.
    """
    token = Tokens(data).create(f"fuzz{seed}", scopes=("jobs", "metrics"))
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {token}"
        page = session.get(f"{url}/openapi.json", timeout=30).json()

        @seeded(seed)
        @settings(max_examples=number, database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(requests_of(page, [*own, *others, "x" * 32]))
        def check(request: tuple[str, str, bytes, dict[str, str]]) -> None:
            method, path, body, headers = request
            answer = session.request(method, url + path, data=body, headers=headers, timeout=60)
            content = answer.content
            statuses[answer.status_code] += 1
            assert answer.status_code in _ALLOWED, (answer.status_code, request, content[:300])
            assert SECRET.encode() not in content, request
            for trace in _TRACES:
                assert trace not in content, (request, content[:300])
            if any(one in path for one in others):
                assert answer.status_code not in (200, 202, 206), request

        check()
    return statuses


def main() -> None:
    """`make fuzz`."""
    from Testing.jobs.asking import begin
    from Testing.jobs.conftest import Running

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    from MeWMLib.jobs.job import Job

    with tempfile.TemporaryDirectory(prefix="mewm-fuzz-") as folder:
        os.environ["MEWM_DATA"] = str(Path(folder) / "home")
        worker = [sys.executable, str(Path(__file__).with_name("fake_worker.py"))]
        server = Running(Path(folder) / "data", worker)
        try:
            other = begin(server, Job("propose", {"case": "sample:tiny", "goal": SECRET}))
            found = fuzz(server.url, server.data, given.requests, given.seed, [], [other])
        finally:
            server.stop()
    print(json.dumps({"requests": sum(found.values()), "seed": given.seed, "statuses": dict(sorted(found.items()))}))


if __name__ == "__main__":
    main()
