"""Jobs and commands over the small world; a real server on a thread; and a line tap that keeps what is sent to it."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

TOKEN = "a-token-of-the-tests-0123456789"


class Running:
    """A server on a thread.

    Attributes:
        url: its address.
        store: its jobs.
        data: its folder.
    """

    def __init__(self, data: Path, worker: list[str], **changes: Any) -> None:
        from MeWMLib.jobs import server, server_state
        from MeWMLib.jobs.server_limits import Limits

        limits = Limits(**changes.pop("limits", {}))
        self.data, self.token = data, changes.pop("token", TOKEN)
        # the interpreter that is asked for its devices is none: nobody here waits for torch
        python = "no-such-python"
        settings = server_state.Settings(data, self.token, limits=limits, worker=worker, python=python, **changes)
        self._server, self._socket = server_state.prepared(settings, server.make_app)
        self.state_app = self._server.config.app
        self.state = self.state_app.state.server
        self.jobs = self.state.jobs
        self.store = self.jobs.store
        self.url = f"http{'s' if settings.certificate else ''}://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        until = time.monotonic() + 20.0
        while not self._server.started:
            assert time.monotonic() < until and self._thread.is_alive(), "the server did not start"
            time.sleep(0.01)

    def folders(self) -> list[Path]:
        """The folders of jobs, and what of none is in a slot."""
        jobs = list((self.data / "jobs").iterdir())
        known = {"tmp", *(path.name for path in jobs)}
        return [*jobs, *(path for path in self.data.glob("slots/[0-9]/*") if path.name not in known)]

    @property
    def lives(self) -> bool:
        """True until it was stopped."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End it as SIGTERM does."""
        self._server.should_exit = True
        self._thread.join(40.0)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture
def do(fake, small_bundle):
    """Do a job over the small world, in this process; `do.events` are its events."""

    from MeWMLib.jobs import worker

    def run(job):
        run.events = []
        return worker.run(job, run.events.append, lambda: False, fake.engine())

    return run


@pytest.fixture
def mewm(fake_script, small_bundle, capsys):
    """Run a command over the small world: (exit code, standard output, standard error)."""

    from MeWMLib import cli

    def run(*arguments):
        code = cli.main([str(a) for a in arguments], worker=[sys.executable, str(fake_script)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def serve(tmp_path: Path, fake_script: Path, small_bundle: Path) -> Iterator[Callable[..., Running]]:
    """Start a server; keyword arguments as those of `Running`, with `data` on a folder that was used before."""
    pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')
    running: list[Running] = []

    def start(worker: list[str] | None = None, **changes: Any) -> Running:
        command = worker or [sys.executable, str(fake_script)]
        data = changes.pop("data", tmp_path / f"server-{len(running)}")
        running.append(Running(data, command, **changes))
        return running[-1]

    yield start
    for server in running:
        if server.lives:
            server.stop()


@pytest.fixture
def files(tmp_path: Path, fake: Any) -> dict[str, bytes]:
    """The small patient as files of an upload."""
    from MeWMLib.core import io

    io.write_volume(fake.small_ct(), tmp_path / "case" / "ct.nrrd")
    io.write_labels(fake.small_labels(), tmp_path / "case" / "labels.nrrd")
    return {name: (tmp_path / "case" / name).read_bytes() for name in ("ct.nrrd", "labels.nrrd")}


@pytest.fixture
def script_of(tmp_path):
    """A worker of one line."""

    def make(text: str) -> list[str]:
        head = (
            "import json, os, subprocess, sys, time\n"
            "def say(kind, **more):\n    print(json.dumps({'version': 1, 'kind': kind, **more}), flush=True)\n"
        )
        file = tmp_path / "small_worker.py"
        file.write_text(head + text, encoding="utf-8")
        return [sys.executable, "-S", str(file)]

    return make


@pytest.fixture
def certificate(tmp_path):
    """A certificate that signs itself, for 127.0.0.1."""
    pair = tmp_path / "c.pem", tmp_path / "k.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-out", str(pair[0]), "-keyout", str(pair[1])]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"openssl made no certificate: {error}")
    return pair


class Tap:
    """Passes bytes on to a server and keeps those that are sent to it; can cut the line.

    Attributes:
        url: address of the tap.
        sent: everything that a client has sent.
    """

    def __init__(self, port: int) -> None:
        self._to = port
        self.sent = bytearray()
        self.cuts_left = 0
        self.cut_after = 0
        #: The server cannot be reached: lines are cut as soon as something goes over them.
        self.away = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self.away:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self._to))
            threading.Thread(target=self._pass, args=(near, far, True), daemon=True).start()
            threading.Thread(target=self._pass, args=(far, near, False), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, upwards: bool) -> None:
        seen, watched = 0, False
        try:
            while not self.away and (data := source.recv(65536)):
                if upwards:
                    self.sent += data
                elif b"x-ndjson" in data:
                    watched = True
                target.sendall(data)
                seen += len(data)
                if self.away:
                    break
                if watched and self.cuts_left and seen > self.cut_after:
                    self.cuts_left -= 1
                    break
        except OSError:
            pass
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


@pytest.fixture
def tap() -> Iterator[Callable[[str], Tap]]:
    """Put a tap before a server."""
    taps: list[Tap] = []

    def make(url: str) -> Tap:
        taps.append(Tap(int(url.rpartition(":")[2])))
        return taps[-1]

    yield make
    for one in taps:
        one.close()
