"""The app on a thread over the small world of the tests of jobs, and how it is asked."""

from __future__ import annotations

import json
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import requests

TOKEN = "a-token-of-the-tests-0123456789"


class RunningApp:
    """An app on a thread; `ask` sends it a request as its own page would."""

    def __init__(self, folder: Path, worker: list[str] | None, scene: list[str] | None = None, **limits) -> None:
        from MeWMLib.app.server import AppSettings, make_app
        from MeWMLib.jobs import server_state
        from MeWMLib.jobs.server_limits import Limits

        settings = server_state.Settings(folder / "server", TOKEN, limits=Limits(**limits), worker=worker, python=None)
        make = partial(make_app, settings=AppSettings(folder, scene=scene))
        self._server, self._socket = server_state.prepared(settings, make)
        self.folder, self.app = folder, self._server.config.app
        while not hasattr(self.app, "state"):
            self.app = self.app.app
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        until = time.monotonic() + 20.0
        while not self._server.started:
            assert time.monotonic() < until and self._thread.is_alive(), "the app did not start"
            time.sleep(0.01)

    def ask(self, method: str, path: str, data=None, token: str | None = TOKEN, **headers) -> requests.Response:
        body = data if isinstance(data, bytes) or data is None else json.dumps(data).encode()
        sent = {**({"Authorization": f"Bearer {token}"} if token else {}), **headers}
        session = requests.Session()
        session.trust_env = False
        with session:
            return session.request(method, self.url + path, data=body, headers=sent, timeout=60)

    def get(self, path: str):
        answer = self.ask("GET", path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def do(self, method: str, path: str, data=None):
        answer = self.ask(method, path, data)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def error(self, method: str, path: str, data=None, status: int = 400):
        answer = self.ask(method, path, data)
        assert answer.status_code == status, answer.text
        told = answer.json()["error"]
        assert told["what"] and str(self.folder) not in answer.text
        return told

    def open_files(self, files: dict[str, bytes], after_of: str = "") -> dict:
        """A case of files, sent and read as the page does it."""
        listed = [{"name": name, "bytes": len(content)} for name, content in files.items()]
        one = self.do("POST", "/app/cases", {"files": listed, "after_of": after_of})
        for number, content in enumerate(files.values()):
            self.do("PUT", f"/app/cases/{one['id']}/files/{number}", content)
        return self.do("POST", f"/app/cases/{one['id']}/read", {})

    def finished(self, case: str, run: str, seconds: float = 60.0) -> dict:
        until = time.monotonic() + seconds
        while (told := self.get(f"/app/cases/{case}/runs/{run}"))["state"] != "ended":
            assert time.monotonic() < until, told
            time.sleep(0.05)
        return told

    def labels(self, case: str, shape) -> np.ndarray:
        return np.frombuffer(self.ask("GET", f"/app/cases/{case}/outline").content, np.uint8).reshape(shape)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(40.0)
        self._socket.close()
        assert not self._thread.is_alive()


@pytest.fixture
def start_app(tmp_path, fake_script, small_bundle):
    """Start apps; all of them end with the test."""
    pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')
    import sys

    running = []

    def start(**more) -> RunningApp:
        folder = more.pop("folder", tmp_path / f"app-{len(running)}")
        folder.mkdir(exist_ok=True)
        running.append(RunningApp(folder, [sys.executable, str(fake_script)], **more))
        return running[-1]

    yield start
    for one in running:
        if one._thread.is_alive():
            one.stop()


@pytest.fixture
def app(start_app):
    return start_app()


@pytest.fixture
def small_files(tmp_path, fake) -> dict[str, bytes]:
    """The small patient: a CT and its labels as files."""
    from MeWMLib.core import io

    io.write_volume(fake.small_ct(), tmp_path / "small" / "ct.nrrd")
    io.write_labels(fake.small_labels(), tmp_path / "small" / "labels.seg.nrrd")
    return {name: (tmp_path / "small" / name).read_bytes() for name in ("ct.nrrd", "labels.seg.nrrd")}


@pytest.fixture
def opened(app, small_files) -> dict:
    """The small patient, opened."""
    return app.open_files({"Mueller^Anna.nrrd": small_files["ct.nrrd"]})
