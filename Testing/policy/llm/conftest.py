"""A chat server on this computer that answers well or badly as a test tells it, and keeps every byte it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from MeWMLib.core.patient import Clinical, Findings, Lesion
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.policy.llm import privacy
from MeWMLib.policy.llm.client import ChatClient
from MeWMLib.policy.llm.endpoints import Endpoint
from MeWMLib.policy.llm.images import slices_png
from MeWMLib.policy.proposal import PolicyInput

#: A fault takes the handler and does what it likes with the connection.
Fault = Callable[[BaseHTTPRequestHandler], None]
GOOD = {
    "drugs": [
        {"agent": "Epirubicin", "reason": "suits the emulsion"},
        {"agent": "Cisplatin", "reason": "another class"},
    ],
    "embolics": [
        {"agent": "Lipiodol", "reason": "hypervascular"},
        {"agent": "Gelatin Sponge", "reason": "completes it"},
    ],
}


def chat(content: Any, usage: dict[str, int] | None = None) -> bytes:
    """The bytes of a chat answer."""
    text = content if isinstance(content, str) else json.dumps(content)
    used = usage or {"prompt_tokens": 120, "completion_tokens": 30}
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": used}).encode()


def reply(status: int, data: bytes, headers: dict[str, str] | None = None) -> Fault:
    """A plain HTTP answer."""

    def send(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return send


def silent(handler: BaseHTTPRequestHandler) -> None:
    """Answer nothing for longer than anybody waits."""
    handler.server.stop_silence.wait(30)  # type: ignore[attr-defined]


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """One byte at a time, for longer than anybody waits; each byte alone comes in time."""
    data = chat(GOOD)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    for byte in data:
        if handler.server.stop_silence.wait(0.05):  # type: ignore[attr-defined]
            return
        handler.wfile.write(bytes([byte]))
        handler.wfile.flush()


def dripping_header(handler: BaseHTTPRequestHandler) -> None:
    """Headers without an end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for n in range(10_000):
        if handler.server.stop_silence.wait(0.05):  # type: ignore[attr-defined]
            return
        handler.wfile.write(f"X-{n % 50}: a\r\n".encode() if n % 60 == 59 else b"X")
        handler.wfile.flush()


def cut(handler: BaseHTTPRequestHandler) -> None:
    """Half an answer, then the connection is gone."""
    data = chat(GOOD)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data[: len(data) // 2])


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """No answer at all."""


def huge(handler: BaseHTTPRequestHandler) -> None:
    """Megabytes without an end."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(4000):
        if handler.server.stop_silence.is_set():  # type: ignore[attr-defined]
            return
        handler.wfile.write(b" " * 65536)


class FaultServer:
    """Plays its script, one entry a request; the last entry is repeated."""

    def __init__(self) -> None:
        self.script: list[Fault] = [reply(200, chat(GOOD))]
        self.requests: list[bytes] = []
        self.bodies: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                head = f"{self.command} {self.path}\n{self.headers}".encode()
                outer.requests.append(head + body)
                outer.bodies.append(json.loads(body))
                fault = outer.script[min(len(outer.requests), len(outer.script)) - 1]
                try:
                    fault(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that left is no error here."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.stop_silence = threading.Event()  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        """Let everybody go."""
        self.server.stop_silence.set()  # type: ignore[attr-defined]
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    """A fault server for one test."""
    made = FaultServer()
    yield made
    made.close()


@pytest.fixture
def client(server: FaultServer) -> Callable[..., ChatClient]:
    """Make a client of the fault server; the user has agreed unless said otherwise; waits take no time."""

    def make(allowed: bool = True, use_cache: bool = False, name: str = "test", **settings: Any) -> ChatClient:
        given = {"timeout_s": 5.0, "images": True, "requests_per_minute": 6000.0, **settings}
        endpoint = Endpoint(name, server.url, "some-model", **given)
        if allowed:
            privacy.grant(endpoint)
        made = ChatClient(endpoint, use_cache)
        made.sleep = lambda seconds: naps.append(seconds)
        made.naps = naps = []  # type: ignore[attr-defined]
        return made

    return make


LESION = Lesion(1, 113.0, 60.0, (12.5, -20.25, 300.125), 118.0, 15.0, 0.0, 0.1, 90.0)


@pytest.fixture
def ct() -> tuple[Volume, LabelMap]:
    """A liver with a tumour in a small CT at a place of its own."""
    affine = np.diag([-1.5, -1.5, 4.0, 1.0])
    affine[:3, 3] = (123.456, 98.765, -1234.5)
    geometry = Geometry((20, 60, 80), affine)
    k, j, i = np.indices(geometry.shape)
    labels = np.zeros(geometry.shape, np.uint8)
    labels[(np.abs(k - 10) < 8) & (np.abs(j - 30) < 20) & (np.abs(i - 40) < 25)] = 1
    labels[(k - 9) ** 2 * 7 + (j - 25) ** 2 + (i - 35) ** 2 < 90] = 2
    rng = np.random.default_rng(0)
    hu = np.where(labels == 2, 110, np.where(labels == 1, 60, -100)) + rng.normal(0, 8, geometry.shape)
    return Volume(hu.astype(np.int16), geometry, "portal"), LabelMap(labels, geometry)


@pytest.fixture
def case(ct: tuple[Volume, LabelMap]) -> PolicyInput:
    """A patient as a policy sees one."""
    findings = Findings(1500.0, 100.0, (LESION,))
    clinical = Clinical(age_years=93, child_pugh_class="A", afp_ng_per_ml=412.5, bclc_stage="B")
    return PolicyInput(findings, clinical, "longest survival, no mitomycin", slices_png(*ct, 3))


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that another thread does."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)
