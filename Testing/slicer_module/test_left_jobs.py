"""A Slicer that is killed leaves a job: the next one offers it and ends with the same overlay; lines that are cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MeWMLib.core.errors import ConsentError, InputError
from MeWMLib.core.protocol import Protocol
from MeWMLib.jobs.known import KnownJobs
from MeWMLib.jobs.processes import child_environment
from MeWMLib.jobs.wire import Address
from Testing.jobs.asking import until
from Testing.jobs.conftest import serve, tap  # noqa: F401

REPOSITORY = Path(__file__).resolve().parents[2]
NAMED = (("A", "Cisplatin + Lipiodol"), ("B", "Epirubicin + PVA"))

#: Another Slicer: it opens the module, loads the small case, begins something, and says when it is in the middle.
_HOST = r"""
import json, os, sys, time
from types import SimpleNamespace
root, worker, what, url, token_file, named = sys.argv[1:7]
sys.path[:0] = [root, root + "/Testing"]
import slicer_host
slicer_host.start()
import slicer
sys.path.append(os.path.dirname(worker))
import fake_worker
from MeWMLib.core.protocol import Protocol
front = slicer_host.load_module(root + "/MeWM/MeWM.py").widget.front
front.command = lambda: [sys.executable, worker]
slicer.util.confirmOkCancelDisplay = lambda *a: True
case = SimpleNamespace(name="small", ct=fake_worker.small_ct(), labels=fake_worker.small_labels(), terms="", title="")
front.load_sample = lambda name: case

def turn_until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end and front.messages.box is None, front.messages.last
        slicer.app.processEvents()
        time.sleep(0.002)

front.patient.ui.sampleButton.click()
turn_until(lambda: front.parameters.ct is not None and not front.desk.busy and front.settled)
front.parameters.clinical.age_years = 61.0
if url:
    from MeWMLib.jobs.wire import Address
    from MeWMPanels import server_section
    front.parameters.computer.place, front.parameters.computer.server = "server", url
    server_section._keep("token_file", Address.parse(url), token_file)
if what == "plan for this CT":
    slicer.mrmlScene.RemoveNode(front.parameters.segmentation)
    front.plan()
elif what == "explore":
    front.tasks.explore()
else:
    front.tasks.simulate([(name, Protocol.parse(text)) for name, text in json.loads(named)])
kinds = []
on_event = front.desk._on_event
def seen(number, event, kind, more):
    if event.stage != "upload":  # on a server it is at work
        kinds.append((kind, event.kind))
    on_event(number, event, kind, more)
front.desk._on_event = seen
wanted = {"explore": ("plan", "partial"), "simulate": ("simulate", "progress")}.get(what, ("segment", "progress"))
turn_until(lambda: wanted in kinds)
print(json.dumps({"ready": True}), flush=True)
while True:
    slicer.app.processEvents()
    time.sleep(0.01)
"""


@pytest.fixture
def killed(fake_script: Path, small_bundle: Path, tmp_path: Path, host: Any) -> Callable[..., None]:
    """Begin something in another Slicer and kill that in the middle."""

    def run(what: str, url: str = "", token: str = "", mishap: str = "slow") -> None:
        file = tmp_path / "killed-token"
        file.write_text(token)
        file.chmod(0o600)
        command = [sys.executable, "-c", _HOST, str(REPOSITORY), str(fake_script), what, url, str(file)]
        environment = {**child_environment(), "MEWM_FAKE": mishap, "QT_QPA_PLATFORM": "offscreen"}
        with subprocess.Popen(
            [*command, json.dumps(NAMED)], stdout=subprocess.PIPE, text=True, env=environment
        ) as process:
            assert process.stdout is not None
            assert any(line.startswith('{"ready"') for line in process.stdout), "the other Slicer failed"
            os.kill(process.pid, signal.SIGKILL)

    return run


@pytest.fixture
def agreeing(user: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A user who agrees, and what was asked."""
    import slicer

    slicer.app.userSettings().remove("MeWM/server")
    user.asked, user.answer = [], True
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, *_: user.asked.append(text) or user.answer)
    monkeypatch.delenv("MEWM_SERVER_TOKEN", raising=False)
    return user


def offered(user: Any) -> str:
    """What is offered, once it is."""
    user.wait(lambda: user.front.left.jobs)
    user.look()
    assert user.front.left.widget.isVisible()
    return str(user.widget("left", "leftLabel").text)


def result(user: Any) -> tuple[Any, ...]:
    """What a user sees of a comparison."""
    from MeWMLib.scene.nodes import node_to_volume

    comparison = user.front.comparison
    volumes = {rank: node_to_volume(node).array for rank, node in comparison.simulated_nodes.items()}
    risks = [(c.rank, c.protocol.text, c.risk.log_risk) for c in comparison.candidates]
    return volumes, risks, comparison.node("simulated").GetName(), user.front.comparison_outdated


def same(one: tuple[Any, ...], other: tuple[Any, ...]) -> None:
    assert one[1:] == other[1:] and one[0].keys() == other[0].keys()
    for rank, array in one[0].items():
        np.testing.assert_array_equal(array, other[0][rank])


def overlaid(user: Any) -> Any:
    """The CT under the overlay in the red slice view, and what lies over it."""
    import slicer

    from MeWMLib.scene.comparison import slice_nodes

    views = slice_nodes(slicer.mrmlScene, "Red")[1]
    return views.GetBackgroundVolumeID(), views.GetForegroundVolumeID()


def take_up(user: Any) -> tuple[Any, ...]:
    user.click("left", "takeButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    assert overlaid(user) == (user.front.parameters.ct.GetID(), user.front.comparison.node("simulated").GetID())
    assert not user.front.left.widget.isVisible()
    with KnownJobs() as jobs:
        assert jobs.all() == [], "nothing is left of the job"
    return result(user)


def uninterrupted(user: Any, panel: str, button: str) -> tuple[Any, ...]:
    before = user.front.comparison
    user.click(panel, button)
    user.wait(lambda: user.front.comparison is not before)
    user.wait_idle()
    return result(user)


pytestmark = pytest.mark.skipif(os.name != "posix", reason="POSIX signals")


def test_an_exploration_here_goes_on_and_ends_with_the_same_overlay(killed, user):
    """The CT is not in the scene: the job's own copy is shown, and what was known of its patient."""
    killed("explore")
    user.front.left.look()  # as the first time that the module is opened
    text = offered(user)
    assert "Exploring protocols: a job for Sample small, begun 20" in text and "cut off when Slicer ended" in text
    user.shot("left-job")
    found = take_up(user)
    front = user.front
    assert front.parameters.ct.GetName() == "Sample small" and front.parameters.clinical.age_years == 61.0
    assert any("job's own copy was added" in line for line in front.desk.state.log)
    assert len(front.exploration.candidates) == 6 and not front.comparison.document.plan.cancelled
    same(found, uninterrupted(user, "exploration", "exploreButton"))


def test_what_a_server_goes_on_with_is_taken_up_on_the_ct_of_the_scene(killed, agreeing, serve, tmp_path, sample):  # noqa: F811
    """Two protocols: the first is on the server while Slicer is killed, the second is begun by the next Slicer."""
    import slicer

    user, server = agreeing, serve()
    killed("simulate", server.url, server.token)
    user.load_sample()
    mine, nodes = user.front.parameters.ct, slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    user.front.left.look()
    assert "goes on at 127.0.0.1" in offered(user)

    # who does not agree to the address contacts nobody, and keeps the offer
    user.answer = False
    user.click("left", "takeButton")
    assert isinstance(user.wait_error(), ConsentError) and user.front.left.jobs
    user.answer = True
    from MeWMPanels import server_section

    token = tmp_path / "token"
    token.write_text(server.token)
    token.chmod(0o600)
    server_section._keep("token_file", Address.parse(server.url), str(token))
    found = take_up(user)
    assert server.url in user.asked[-1]
    parameters = user.front.parameters
    assert parameters.ct is mine and parameters.segmentation.GetName() == "Sample small: liver and tumour"
    volumes = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    assert volumes > nodes and len(found[1]) == 2 and server.folders() == []
    assert user.front.parameters.computer.place == "this computer"
    user.front.parameters.clinical.age_years = 61.0
    for name, text in NAMED:
        user.front.actions.add(name, Protocol.parse(text))
    user.look()
    same(found, uninterrupted(user, "simulation", "simulateButton"))


def test_a_whole_plan_goes_on_to_its_overlay_and_never_on_another_ct(killed, user, sample, fake):
    """Killed while liver and tumour were looked for; the scene holds the scan of somebody else by now."""
    from MeWMLib.scene.nodes import node_to_volume

    killed("plan for this CT", mishap="slow segment")
    other = fake.small_ct().with_array(fake.small_ct().array + np.int16(1))
    sample.ct = other
    user.load_sample()
    user.front.parameters.clinical.age_years = 33.0
    theirs = user.front.parameters.ct
    user.front.left.look()
    assert "Finding liver and tumour" in offered(user)
    take_up(user)
    front = user.front
    assert front.parameters.ct is not theirs and front.comparison.ct is front.parameters.ct
    np.testing.assert_array_equal(node_to_volume(front.comparison.ct).array, fake.small_ct().array)
    np.testing.assert_array_equal(node_to_volume(theirs).array, other.array)
    assert front.parameters.clinical.age_years != 33.0, "the age of somebody else"
    assert front.parameters.findings and front.actions.named[0][1].complete and not front.comparison_outdated


def test_where_the_copy_is_gone_the_scene_must_hold_the_ct(killed, user, sample, fake):
    """A restart of the computer empties the temporary folder."""
    import shutil

    import slicer

    killed("explore")
    user.front.left.look()
    offered(user)
    left = user.front.left.jobs[0]
    shutil.rmtree(Path(left.job.out).parent)
    sample.ct = fake.small_ct().with_array(fake.small_ct().array + np.int16(1))
    user.load_sample()
    count = slicer.mrmlScene.GetNumberOfNodes()
    user.click("left", "takeButton")
    error = user.wait_error()
    assert isinstance(error, InputError) and "not in the scene" in error.what and error.given == "Sample small"
    assert slicer.mrmlScene.GetNumberOfNodes() == count and user.front.comparison is None
    # with the CT in the scene it goes on, from the start since what it had saved is gone
    sample.ct = fake.small_ct()
    user.click("patient", "sampleButton")
    user.wait_idle()
    offered(user)
    take_up(user)
    assert len(user.front.exploration.candidates) == 6


def test_a_job_is_left_or_cancelled(killed, agreeing, serve, monkeypatch):  # noqa: F811
    user, server = agreeing, serve()
    killed("simulate", server.url, server.token)
    until(lambda: server.store.find())
    user.front.left.look()
    offered(user)
    left = user.front.left.jobs[0]
    user.click("left", "leaveButton")
    assert not user.front.left.widget.isVisible()
    user.front.left.look()
    user.look()
    user.wait_idle()
    assert not user.front.left.jobs, "not asked again in this Slicer"
    user.front.left._left.clear()
    user.front.left.look()
    offered(user)
    monkeypatch.setenv("MEWM_SERVER_TOKEN", server.token)
    user.click("left", "dropButton")
    user.wait_idle()
    until(lambda: server.folders() == [])
    assert not user.front.left.widget.isVisible() and not left.known.folder.exists()
    assert any("was cancelled" in line for line in user.front.desk.state.log)


def test_a_line_that_is_cut_in_the_middle_changes_nothing(agreeing, serve, tap, monkeypatch, mishap):  # noqa: F811
    from MeWMLib.jobs import remote

    user, server = agreeing, serve()
    monkeypatch.setattr(remote, "RETRY_S", (0.05, 0.05, 0.1))
    line = tap(server.url)
    monkeypatch.setenv("MEWM_SERVER_TOKEN", server.token)
    user.load_sample()
    near = uninterrupted(user, "exploration", "exploreButton")
    computer = user.front.parameters.computer
    computer.place, computer.server = "server", line.url
    line.cuts_left, line.cut_after = 2, 900
    far = uninterrupted(user, "exploration", "exploreButton")
    assert line.cuts_left == 0 and any("connection to the server broke" in text for text in user.front.desk.state.log)
    same(near, far)


def test_a_server_that_was_away_too_long_is_offered_at_once(agreeing, serve, tap, monkeypatch, mishap):  # noqa: F811
    """The job goes on there; the same Slicer takes it up."""
    from MeWMLib.jobs import remote

    monkeypatch.setattr(remote, "RETRY_S", (0.01,))
    mishap("slow")
    user, server = agreeing, serve()
    monkeypatch.setenv("MEWM_SERVER_TOKEN", server.token)
    line = tap(server.url)
    user.load_sample()
    computer = user.front.parameters.computer
    computer.place, computer.server = "server", line.url
    user.click("exploration", "exploreButton")
    user.wait(lambda: user.front.exploration.candidates)
    line.away = True
    until(lambda: user.look() or user.front.messages.box is not None)
    assert "press Take it up" in user.front.messages.box.informativeText
    user.front.messages.close()
    line.away = False
    assert "goes on at 127.0.0.1" in offered(user)
    take_up(user)
    assert len(user.front.exploration.candidates) == 6


def test_folders_of_runs_that_are_over_are_swept_but_what_a_job_needs(tmp_path):
    sys.path.append(str(REPOSITORY / "MeWM"))
    from MeWMPanels.session_folders import SessionFolders

    with subprocess.Popen([sys.executable, "-S", "-c", ""]) as over:
        pass
    folders = SessionFolders(lambda: tmp_path)
    mine = folders.new()
    assert mine.stat().st_mode & 0o77 == 0
    gone, needed = (folders.root / f"session-{over.pid}-1-{name}" for name in ("gone", "needed"))
    for folder in (gone, needed):
        folder.mkdir()
    other = folders.root / "of-somebody-else"
    other.mkdir()
    folders.sweep([needed / "task-1" / "ct.nrrd"])
    assert not gone.exists() and needed.exists() and mine.exists() and other.exists()
    folders.adopt([needed / "task-1" / "ct.nrrd"])
    folders.sweep([])
    assert needed.exists(), "it is used"
    folders.discard()
    assert sorted(folders.root.iterdir()) == [other]
    # two runs at once never share a folder
    assert folders.new().parent != SessionFolders(lambda: tmp_path).new().parent
