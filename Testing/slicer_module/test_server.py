"""Jobs of the panels on a server: a real `mewm serve` process over the small world, and every way it can fail."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import requests

from MeWMLib.core.errors import (
    ConsentError,
    InputError,
    ServerBusyError,
    ServerTokenError,
    ServerUnreachableError,
    WorkerKilledError,
)
from MeWMLib.core.protocol import Protocol
from MeWMLib.jobs.processes import child_environment, end_tree, own_group

TOKEN = "a-token-of-the-panel-tests-42"
PAIR = Protocol.parse("Cisplatin + Lipiodol")
_SERVE = "import sys; from MeWMLib.cli import main; sys.exit(main(sys.argv[2:], worker=[sys.executable, sys.argv[1]]))"


class ServerProcess:
    """`mewm serve` as a process of its own.

    Attributes:
        url: its address.
    """

    def __init__(self, fake_script: Path, folder: Path, mishap: str, *more: str) -> None:
        folder.mkdir()
        token = folder / "token.txt"
        token.write_text(TOKEN + "\n")
        token.chmod(0o600)
        arguments = ["serve", "--port", "0", "--data", str(folder), "--token-file", str(token), *more]
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(fake_script), *arguments],
            stdout=subprocess.PIPE,
            env={**child_environment(), "MEWM_FAKE": mishap},
            **own_group(),
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        self.url = next(word for word in line.split() if word.startswith("http://"))

    def jobs(self) -> int:
        """Jobs at work; their worker stays for the next one."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = requests.get(f"{self.url}/version", headers=headers, timeout=30, proxies={"http": None})
        return int(answer.json()["jobs"])

    def workers(self) -> list[int]:
        """Process ids of the workers that live."""
        alive = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "fake_worker" in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    alive.append(child.pid)
            except psutil.Error:
                continue
        return alive

    def stop(self) -> None:
        """End it and whatever it started."""
        end_tree(self.process)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def server(fake_script: Path, small_bundle: Path, tmp_path: Path) -> Iterator[Callable[[str], ServerProcess]]:
    """Start a server whose workers have a mishap."""
    pytest.importorskip("fastapi", reason='the server is not installed: pip install "mewm[server]"')
    started: list[ServerProcess] = []

    def start(mishap: str = "", *more: str) -> ServerProcess:
        started.append(ServerProcess(fake_script, tmp_path / f"server-{len(started)}", mishap, *more))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.fixture
def away(user: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A user with sample and protocol who has agreed to whatever is asked; nothing may run on this computer."""
    import slicer

    slicer.app.userSettings().remove("MeWM/server")
    user.asked = []
    user.answer = True

    def confirm(text, title=None):
        user.asked.append(text)
        return user.answer

    def no_local_worker():
        raise AssertionError("a job was started on this computer")

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    monkeypatch.delenv("MEWM_SERVER_TOKEN", raising=False)
    user.load_sample()
    user.front.actions.add("A", PAIR)
    user.look()
    user.front.command = no_local_worker
    user.token_file = tmp_path / "my-token.txt"
    user.token_file.write_text(TOKEN)
    user.token_file.chmod(0o600)
    return user


def choose(user: Any, url: str, token_file: Path | None = None) -> None:
    """Choose a server in Setup with the keyboard, as a person does."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    box = user.widget("setup", "placeBox")
    box.setCurrentText("server")
    user.look()
    for name, text in (("addressEdit", url), ("tokenEdit", str(token_file or user.token_file))):
        edit = user.widget("setup", name)
        edit.selectAll()
        edit.setFocus()
        QTest.keyClicks(edit, text)
        QTest.keyClick(edit, Qt.Key_Return)
        user.look()
        edit.clearFocus()


def answer_to_test(user: Any) -> str:
    """Press Test connection and return what is shown in the end."""
    user.click("setup", "testButton")
    user.wait(lambda: user.widget("setup", "testButton").enabled)
    return user.widget("setup", "serverLabel").text


def until(user: Any, condition: Callable[[], Any], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        user.look()
        time.sleep(0.02)


def node_ids() -> set[str]:
    import slicer

    scene = slicer.mrmlScene
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def test_the_server_part_is_hidden_until_it_is_chosen(user):
    user.widget("setup", "placeBox")
    assert not user.front.setup.ui.serverWidget.isVisible()
    assert "sends nothing" in user.widget("setup", "privacyLabel").text
    user.widget("setup", "placeBox").setCurrentText("server")
    user.look()
    assert user.front.setup.ui.serverWidget.isVisible()
    button = user.widget("setup", "testButton")
    assert not button.enabled and "address" in button.toolTip
    assert "nothing is sent until" in user.widget("setup", "privacyLabel").text


def test_test_connection_shows_version_device_and_models(away, server):
    process = server()
    choose(away, process.url)
    text = answer_to_test(away)
    assert text.startswith("Connected.") and "mewm-small (" in text and "0 / 1" in text and "Device:" in text
    assert len(away.asked) == 1 and process.url in away.asked[0] and "What leaves this computer" in away.asked[0]
    away.shot("setup-server")
    assert answer_to_test(away) and len(away.asked) == 1, "asked once for an address"
    box = away.widget("setup", "bundleBox")
    assert "mewm-small" in [box.itemText(n) for n in range(box.count)]
    assert not away.widget("setup", "importButton").enabled


def test_simulate_and_explore_through_the_server_give_the_same_nodes(away, server, fake_script):
    from MeWMLib.scene.nodes import node_to_volume

    def found() -> tuple:
        comparison = away.front.comparison
        array = node_to_volume(comparison.node("simulated")).array
        risks = [(c.rank, c.protocol.text, c.risk.log_risk) for c in comparison.candidates]
        roles = [r for r in ("table", "difference", "uncertainty", "plan", "survival chart") if comparison.node(r)]
        names = comparison.node("simulated").GetName(), comparison.node("labels").GetName()
        return array, risks, roles, names, comparison.kept

    def both() -> list[tuple]:
        results = []
        for panel, button in (("simulation", "simulateButton"), ("exploration", "exploreButton")):
            before = away.front.comparison
            away.click(panel, button)
            away.wait(lambda before=before: away.front.comparison is not before)
            away.wait_idle()
            results.append(found())
        return results

    process = server()
    choose(away, process.url)
    far = both()
    assert any(f"Sent to {process.url}: ct.nrrd, labels.nrrd" in line for line in away.front.desk.state.log)
    assert process.url in away.widget("setup", "privacyLabel").text
    away.front.command = lambda: [sys.executable, str(fake_script)]
    away.widget("setup", "placeBox").setCurrentText("this computer")
    away.look()
    near = both()
    for one, other in zip(far, near, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1:] == other[1:]
    left = [*(process.folder / "jobs").iterdir(), *(process.folder / "slots").glob("*/*/in")]
    assert left == [], "nothing is left on the server"


def test_the_assistant_and_the_findings_come_from_the_server(away, server):
    choose(away, server().url)
    away.front.parameters.segmentation = None
    away.look()
    away.click("segmentation", "findButton")
    away.wait(lambda: away.front.parameters.findings)
    away.wait_idle()
    assert away.front.parameters.segmentation.GetSegmentation().GetSegment("tumour") is not None
    assert json.loads(away.front.parameters.proposal)["policy"] == "fake"


def test_cancel_ends_the_worker_on_the_server_and_keeps_the_best_so_far(away, server):
    process = server("slow")
    choose(away, process.url)
    away.click("exploration", "exploreButton")
    away.wait(lambda: len(away.front.exploration.candidates) >= 2)
    assert process.workers()
    assert away.front.desk.state.event.eta_s is not None or away.front.desk.state.event.fraction
    away.click("progress", "cancelButton")
    away.wait(lambda: away.front.comparison is not None)
    away.wait_idle()
    until(away, lambda: process.jobs() == 0)
    assert away.front.comparison.document.plan.cancelled
    assert 2 <= len(away.front.comparison.candidates) < 6


def test_closing_the_scene_ends_the_worker_on_the_server(away, server):
    import slicer

    process = server("slow")
    choose(away, process.url)
    away.click("exploration", "exploreButton")
    until(away, process.workers)
    slicer.mrmlScene.Clear(0)
    away.look()
    until(away, lambda: not process.workers(), 10.0)
    assert away.front.messages.box is None and not away.front.desk.busy


def test_a_server_that_stops_is_one_dialog_and_no_node(away, server, monkeypatch):
    from MeWMLib.jobs import remote

    monkeypatch.setattr(remote, "RETRY_S", (0.05, 0.1))
    process = server("slow")
    choose(away, process.url)
    shown = []
    show = away.front.messages.show
    monkeypatch.setattr(away.front.desk, "on_error", lambda error: (shown.append(error), show(error)))
    away.click("exploration", "exploreButton")
    away.wait(lambda: len(away.front.exploration.candidates) >= 1)
    before = node_ids()
    process.stop()
    error = away.wait_error()
    until(away, lambda: not away.front.desk.busy)
    assert isinstance(error, ServerUnreachableError) and "server is unreachable" in error.what
    assert process.url in error.given and error.remedy and len(shown) == 1
    assert node_ids() == before and away.front.comparison is None
    assert away.widget("exploration", "exploreButton").enabled


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_a_worker_that_is_killed_there_offers_the_processor(away, server):
    process = server("slow")
    choose(away, process.url)
    before = node_ids()
    away.click("exploration", "exploreButton")
    # the server begins a job three times whose worker dies; one that dies before it had the job does not count
    killed = []

    def kill() -> Any:
        for number in set(process.workers()) - set(killed):
            os.kill(number, signal.SIGKILL)
            killed.append(number)
        return away.front.messages.box

    until(away, kill, 60.0)
    assert len(killed) >= 3
    box, error = away.front.messages.box, away.front.messages.last
    assert isinstance(error, WorkerKilledError) and "Device: cpu" in box.informativeText
    next(b for b in box.buttons() if "CPU" in b.text).click()
    assert away.front.parameters.computer.device == "cpu" and node_ids() == before


def test_a_busy_server(away, server, monkeypatch):
    from MeWMLib.jobs.job import Job
    from MeWMLib.jobs.remote import RemoteRunner
    from MeWMLib.jobs.remote_http import ServerClient
    from MeWMLib.jobs.wire import Address

    process = server("slow", "--max-queue", "0")
    other = RemoteRunner(ServerClient(Address.parse(process.url), lambda: TOKEN))
    other.start(Job("plan", {"case": "sample:tiny"}, str(process.folder / "other")))
    until(away, process.workers)
    choose(away, process.url)
    away.click("simulation", "simulateButton")
    error = away.wait_error()
    assert isinstance(error, ServerBusyError) and not away.front.desk.busy
    other.close()


def test_a_wrong_token_a_missing_file_and_no_token(away, server, tmp_path):
    process = server()
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("this-is-not-the-token-at-all")
    wrong.chmod(0o600)
    choose(away, process.url, wrong)
    assert "does not know this token" in answer_to_test(away)
    away.click("simulation", "simulateButton")
    error = away.wait_error()
    assert isinstance(error, ServerTokenError) and "this-is-not" not in str(error)
    away.front.messages.show(error)
    assert "Open Setup" in [b.text for b in away.front.messages.box.buttons()]
    away.front.messages.close()
    choose(away, process.url, tmp_path / "absent.txt")
    assert "cannot be read" in answer_to_test(away)
    away.widget("setup", "tokenEdit").setText("")
    away.front.setup.server._keep_token_file()
    assert "There is no token" in answer_to_test(away) and "Token file (Setup)" in answer_to_test(away)


def test_nobody_listens(away):
    choose(away, "http://127.0.0.1:9")
    assert "nothing answers" in answer_to_test(away)
    away.click("simulation", "simulateButton")
    assert isinstance(away.wait_error(), ServerUnreachableError)


class _Web(BaseHTTPRequestHandler):
    answer = (404, b"no")

    def do_GET(self):
        status, content = self.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        """Silence."""


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ((404, b"<html>no</html>"), "This is not a MeWM server"),
        ((200, b'{"mewm_protocol": "0.3", "mewm": "7.7.7"}'), "another version of the protocol"),
    ],
)
def test_something_else_answers(away, answer, text):
    web = HTTPServer(("127.0.0.1", 0), type("Web", (_Web,), {"answer": answer}))
    threading.Thread(target=web.serve_forever, daemon=True).start()
    try:
        choose(away, f"http://127.0.0.1:{web.server_port}")
        shown = answer_to_test(away)
        assert text in shown and (answer[0] == 404 or "7.7.7" in shown)
        away.click("simulation", "simulateButton")
        assert text in away.wait_error().what
    finally:
        web.shutdown()
        web.server_close()


def test_who_does_not_agree_sends_nothing(away, server):
    process = server()
    away.answer = False
    choose(away, process.url)
    for panel, name in (("setup", "testButton"), ("simulation", "simulateButton")):
        away.click(panel, name)
        error = away.wait_error()
        assert isinstance(error, ConsentError) and process.url in error.given
    assert len(away.asked) == 2 and not away.front.desk.busy and away.front.comparison is None
    # the sample needs no server, so nobody is asked
    away.click("patient", "sampleButton")
    away.wait_idle()
    assert len(away.asked) == 2


def test_consent_can_be_withdrawn(away, server):
    choose(away, server().url)
    assert not away.widget("setup", "withdrawButton").enabled
    answer_to_test(away)
    away.click("setup", "withdrawButton")
    assert not away.widget("setup", "withdrawButton").enabled
    away.answer = False
    away.click("simulation", "simulateButton")
    assert isinstance(away.wait_error(), ConsentError) and len(away.asked) == 2


def test_a_scene_from_elsewhere_cannot_choose_the_server(away, server):
    """The address comes with a scene, the consent does not: it belongs to this installation and to one address."""
    process = server()
    choose(away, process.url)
    answer_to_test(away)
    away.front.parameters.computer.server = "http://127.0.0.1:9"
    away.look()
    assert away.widget("setup", "tokenEdit").text == "", "nor does the token of another address"
    away.answer = False
    away.click("simulation", "simulateButton")
    assert isinstance(away.wait_error(), ConsentError)


def test_an_open_line_is_said(away):
    choose(away, "gpu-box")
    assert "not encrypted" in away.widget("setup", "privacyLabel").text
    away.answer = False
    away.click("setup", "testButton")
    assert isinstance(away.wait_error(), ConsentError) and "NOT encrypted" in away.asked[0]


def test_an_address_that_is_none(away):
    choose(away, "ftp://somewhere")
    assert not away.widget("setup", "testButton").enabled
    away.click("simulation", "simulateButton")
    error = away.wait_error()
    assert isinstance(error, InputError) and "not the address" in error.what


def test_the_token_is_in_no_scene_log_or_setting(away, server, tmp_path, caplog):
    import slicer

    from MeWMLib.scene.mrb import write_mrb

    caplog.set_level("DEBUG")
    choose(away, server().url)
    answer_to_test(away)
    away.click("simulation", "simulateButton")
    away.wait(lambda: away.front.comparison is not None)
    away.wait_idle()
    file = tmp_path / "scene.mrb"
    write_mrb(slicer.mrmlScene, file)
    with zipfile.ZipFile(file) as scene:
        parts = {name: scene.read(name) for name in scene.namelist()}
    whole = b"".join(parts.values())
    assert any(name.endswith(".mrml") for name in parts) and b"computer.server" in whole, "the search finds the address"
    assert TOKEN.encode() not in whole and str(away.token_file).encode() not in whole
    settings = slicer.app.userSettings()
    kept = " ".join(str(settings.value(key)) for key in settings.allKeys())
    assert str(away.token_file) in kept and TOKEN not in kept
    shown = "\n".join(away.front.desk.state.log) + caplog.text + away.widget("setup", "serverLabel").text
    assert TOKEN not in shown


def test_place_and_address_survive_saving(away, tmp_path):
    import slicer

    from MeWMLib.scene.mrb import write_mrb

    choose(away, "https://mewm.example.org")
    write_mrb(slicer.mrmlScene, tmp_path / "s.mrb")
    slicer.mrmlScene.Clear(0)
    away.look()
    assert away.widget("setup", "placeBox").currentText == "this computer"
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "s.mrb"), True)
    away.look()
    assert away.widget("setup", "placeBox").currentText == "server"
    assert away.widget("setup", "addressEdit").text == "https://mewm.example.org"
    assert away.widget("setup", "tokenEdit").text == str(away.token_file), "known by this installation"


def test_cancel_does_not_wait_for_a_server_that_does_not_answer(away):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        choose(away, f"http://127.0.0.1:{silent.getsockname()[1]}")
        away.click("simulation", "simulateButton")
        until(away, lambda: "Asking" in away.front.desk.state.message)
        away.click("progress", "cancelButton")
        # the answer would be awaited for half a minute
        away.wait_idle(20.0)
    assert away.front.messages.box is None and away.front.comparison is None
