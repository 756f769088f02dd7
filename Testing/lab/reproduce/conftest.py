"""What the tests of `mewm reproduce` share: phantoms on disk, and a server that replays recorded answers."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture(scope="session")
def phantoms() -> ModuleType:
    """`phantoms.py` beside this file."""
    file = Path(__file__).with_name("phantoms.py")
    spec = importlib.util.spec_from_file_location("mewm_phantoms", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


class Recorded:
    """An endpoint that answers with recorded texts in turn, the last one for ever, and keeps what it was asked."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked: list[dict[str, Any]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(body)
                text = outer.answers[min(len(outer.asked), len(outer.answers)) - 1]
                usage = {"prompt_tokens": 500, "completion_tokens": 40}
                answer = {"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)


@pytest.fixture
def recorded() -> Iterator[Any]:
    """Make recorded endpoints; they end with the test."""
    made: list[Recorded] = []

    def make(*answers: str) -> Recorded:
        made.append(Recorded(*answers))
        return made[-1]

    yield make
    for one in made:
        one.close()
