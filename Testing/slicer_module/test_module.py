"""The module among others: an old Slicer, scenes that come and go while another module is open."""

from __future__ import annotations

import ast
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FILE = Path(__file__).resolve().parents[2] / "MeWM" / "MeWM.py"


def test_no_folder_of_tests_is_taken_for_the_package_slicer():
    """With Testing on the path, as `python -m slicer_host` needs it, `slicer` must be Slicer's or be absent.

    slicer-core's package `slicer` even imports every file of every folder of that name on the path.
    """
    assert not list(FILE.parents[1].glob("Testing/**/slicer"))
    code = "import importlib.util as i; raise SystemExit(0 if i.find_spec('slicer') is None else 1)"
    testing = str(FILE.parents[1] / "Testing")
    # -S: without site-packages, so that only a folder of ours could be found
    done = subprocess.run([sys.executable, "-S", "-c", code], env={**os.environ, "PYTHONPATH": testing}, check=False)
    assert done.returncode == 0


def test_errors_are_logged_as_errors(user, caplog):
    from MeWMLib.core.errors import InputError

    with caplog.at_level(logging.DEBUG):
        user.front.messages.show(InputError(what="What was wrong", remedy="Do this"))
        user.front.messages.show(RuntimeError("unforeseen"))
    found = [record for record in caplog.records if record.getMessage().startswith("MeWM:")]
    assert [record.levelno for record in found] == [logging.ERROR] * 2
    assert "What was wrong" in found[0].getMessage() and found[1].exc_info


def test_an_old_slicer_is_told_in_one_sentence_and_nothing_else_happens(host, user, monkeypatch, caplog):
    import slicer
    from PySide6 import QtWidgets

    monkeypatch.setattr(type(slicer.app), "minorVersion", 8)
    module, fired = user.loaded.module, []
    monkeypatch.setattr(module, "find_library", lambda: fired.append("library"))
    parent = slicer.qMRMLWidget()
    parent.setLayout(QtWidgets.QVBoxLayout())
    sentence = "MeWM needs Slicer 5.10 or later; this is Slicer 5.8."
    with caplog.at_level(logging.ERROR):
        instance = module.MeWM(user.loaded)
    assert sentence in caplog.text and instance.parent.helpText == sentence
    widget = module.MeWMWidget(parent)
    widget.setup()
    widget.enter()
    widget.exit()
    assert [label.text for label in parent.findChildren(QtWidgets.QLabel)] == [sentence] and fired == []
    widget.cleanup()
    parent.deleteLater()


@pytest.mark.parametrize(("major", "minor", "fine"), [(5, 10, True), (5, 12, True), (6, 0, True), (5, 9, False)])
def test_which_slicers_are_old_enough(user, monkeypatch, major, minor, fine):
    import slicer

    monkeypatch.setattr(type(slicer.app), "majorVersion", major)
    monkeypatch.setattr(type(slicer.app), "minorVersion", minor)
    assert (user.loaded.module.too_old() == "") is fine


def test_the_file_that_an_old_slicer_reads_is_understood_by_its_python():
    ast.parse(FILE.read_text(encoding="utf-8"), feature_version=(3, 9))


def _of_mewm() -> list[str]:
    import slicer

    scene = slicer.mrmlScene
    nodes = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    return [n.GetID() for n in nodes if "MeWM" in f"{n.GetID()} {n.GetSingletonTag()} {n.GetName()}"]


def _views() -> Any:
    import slicer

    from MeWMLib.scene.comparison import slice_nodes

    found = []
    for name in ("Red", "Green", "Yellow"):
        node, composite = slice_nodes(slicer.mrmlScene, name)
        layers = (
            composite.GetBackgroundVolumeID(),
            composite.GetForegroundVolumeID(),
            composite.GetForegroundOpacity(),
        )
        found.append((*layers, node.GetFieldOfView(), node.GetXYZOrigin()))
    return found, slicer.app.layoutManager().layoutLogic().GetLayoutNode().GetViewArrangement()


@pytest.mark.parametrize("layout", ["overlay", "side by side"])
def test_a_scene_that_is_closed_under_another_module_keeps_nothing_of_mewm(user, layout):
    import slicer

    user.load_sample()
    user.simulate("Cisplatin + Lipiodol")
    user.front.parameters.view.layout = layout
    user.look()
    assert _of_mewm()
    user.loaded.widget.exit()
    slicer.mrmlScene.Clear(0)
    user.look()
    assert _of_mewm() == []
    # opened again it works as at first
    user.loaded.widget.enter()
    assert user.front.parameters is not None
    user.load_sample()


def test_a_scene_that_is_read_under_another_module_leaves_the_views_alone(user, tmp_path):
    import slicer

    from MeWMLib.scene.comparison import slice_nodes
    from MeWMLib.scene.mrb import write_mrb

    user.load_sample()
    user.simulate("Cisplatin + Lipiodol")
    user.front.parameters.view.fade = 0.25
    user.look()
    write_mrb(slicer.mrmlScene, tmp_path / "case.mrb")
    slicer.mrmlScene.Clear(0)
    user.look()
    user.loaded.widget.exit()
    # the scene brings its own views; what MeWM would do to them is seen after they were put to other things
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), False)
    for name in ("Red", "Green", "Yellow"):
        composite = slice_nodes(slicer.mrmlScene, name)[1]
        composite.SetForegroundVolumeID(None)
        composite.SetForegroundOpacity(0.0)
    before = _views()
    slicer.mrmlScene.InvokeEvent(slicer.mrmlScene.EndImportEvent)
    user.look()
    assert _views() == before and user.front.comparison is None
    user.loaded.widget.enter()
    user.look()
    assert user.front.comparison is not None
    assert _views()[0][0][1] == user.front.comparison.node("simulated").GetID()


def test_a_job_survives_a_scene_that_is_read_under_another_module(user, tmp_path):
    import slicer

    from MeWMLib.scene.mrb import write_mrb

    user.load_sample()
    write_mrb(slicer.mrmlScene, tmp_path / "case.mrb")
    user.click("segmentation", "measureButton")
    user.loaded.widget.exit()
    slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), False)
    user.wait_idle()
    user.loaded.widget.enter()
    user.look()
    assert user.front.messages.box is None and user.front.parameters.ct is not None


def test_what_has_piled_up_takes_turns_with_panels_and_nodes(user, monkeypatch):
    """After a thread has held up the window for a while, its news must not hold it up once more."""
    from MeWMPanels import background

    poller, panel, done, now = user.front.desk.poller, user.front.panels[0], [], [0.0]
    user.wait(lambda: not poller._waiting)  # what the module asks threads for when it is opened
    monkeypatch.setattr(background.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(panel, "refresh", lambda: done.append("panel"))

    def news(n):
        done.append(n)
        now[0] += 0.75 * background._TURN_S

    def nodes():
        for n in "ab":
            done.append(n)
            yield

    for n in range(5):
        poller.post(news, n)
    user.front.refresh_soon(panel)
    poller.slices(nodes(), lambda: True, lambda _result: done.append("end"), done.append)
    turns, kinds = [], set(poller._kinds)
    for _ in range(12):
        before = len(done)
        poller._next_turn()
        turns.append(done[before:])
    turns = [turn for turn in turns if turn]
    assert sorted(map(str, turns)) == sorted(map(str, ([0, 1], [2, 3], [4], ["panel"], ["a"], ["b"], ["end"])))
    assert done.index(0) < done.index(2) < done.index(4) and done.index("a") < done.index("b") < done.index("end")
    # no kind comes twice while another one has something to do
    assert len({type(turn[0]) is int for turn in turns[:2]}) == 2 and set(poller._kinds) == kinds


def test_a_search_that_tells_faster_than_it_is_shown_is_read_once(user):
    """Candidates are read on a thread; of what is told meanwhile only the newest is read."""
    import threading

    desk, read, shown, may = user.front.desk, [], [], threading.Event()

    def look(n):
        def work():
            read.append((n, threading.current_thread() is threading.main_thread()))
            assert may.wait(10)
            return n

        return work

    desk.beside(look(0), shown.append)
    assert read == [], "nothing is looked for where no task is under way"
    desk.begin("a search")
    for n in range(1, 5):
        desk.beside(look(n), shown.append)
    user.wait(lambda: read)
    may.set()
    user.wait(lambda: len(shown) == 2)
    assert read == [(1, False), (4, False)] and shown == [1, 4]
    # what is read when the task is over is not shown
    may.clear()
    desk.beside(look(5), shown.append)
    user.wait(lambda: len(read) == 3)
    desk.end()
    may.set()
    user.wait(lambda: not desk._looking)
    assert shown == [1, 4]


def test_a_turn_shows_one_panel_anew_and_none_waits_for_ever(user, monkeypatch):
    front, shown = user.front, []
    user.wait(lambda: not front.desk.poller._waiting)  # what the module asks threads for when it is opened
    for panel in front.panels:
        monkeypatch.setattr(panel, "refresh", lambda name=panel.ui_name: shown.append(name))
    names = [panel.ui_name for panel in front.panels]
    front.refresh_soon()
    for n in range(len(names)):
        front._turns._next()
        assert shown == names[: n + 1]
        # a change that comes meanwhile is shown after what waits, and progress alone is shown once
        front.desk.on_progress()
    assert not front.settled
    user.look()
    assert front.settled and shown.count("Progress") == 2 and len(shown) == len(names) + 1
    front.refresh_soon()
    front.refresh()
    assert front.settled and len(shown) == 2 * len(names) + 1, "what was shown at once does not wait any more"


def test_panels_let_go_of_a_node_that_slicer_5_10_would_keep_observing(user):
    """Its `disconnectGui` forgets the observer that `connectGui` has added; with it panels that are gone live on."""

    class Old:
        def __init__(self):
            self.observed = []

        def AddObserver(self, event, function):  # noqa: N802
            self.observed.append(len(self.observed))
            return self.observed[-1]

        def RemoveObserver(self, tag):  # noqa: N802
            self.observed.remove(tag)

        def connectGui(self, widget):  # noqa: N802
            self.AddObserver("ModifiedEvent", widget)
            return 7

        def disconnectGui(self, tag):  # noqa: N802
            assert tag == 7

    old, panel = Old(), user.front.outcome
    former = panel.parameters
    panel.connect_parameters(old)
    assert old.observed == [0] and "AddObserver" not in vars(old), "the node's own method is back"
    panel.connect_parameters(former)
    assert old.observed == []
