"""The panel Reader study in the stand-in host: a scripted reader completes a study of 12 cases, and it is scored."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from MeWMLib.core.errors import OutputError, StudyError
from MeWMLib.core.reader_study import NOTICE, REAL, read_answers, read_case
from MeWMLib.lab.reader_study.score import score_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A study of 12 cases with its key."""
    file = Path(__file__).resolve().parents[1] / "lab" / "reader_study" / "small_scans.py"
    spec = importlib.util.spec_from_file_location("mewm_small_scans_for_slicer", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    root = tmp_path_factory.mktemp("study")
    made = module.small_study(root)
    return SimpleNamespace(folder=root / "study", key=root / "study_key.json", study=made.study, truth=made.key)


@pytest.fixture(autouse=True)
def no_answers(study: Any) -> None:
    """Every test begins with a study that nobody has read."""
    for path in study.folder.glob("answers_*.json"):
        path.unlink()


def _begin(user: Any, study: Any, reader: str = "R1") -> Any:
    panel = user.front.reader
    user.front.guard(lambda: panel.open(study.folder))
    box = user.widget("reader", "readerBox")
    box.setCurrentIndex(box.findText(reader))
    user.click("reader", "beginButton")
    return panel


def _answer(user: Any, real: bool, confidence: int) -> None:
    from PySide6.QtCore import QPoint, Qt
    from PySide6.QtTest import QTest

    for name in ("realButton" if real else "simulatedButton", f"sure{confidence}Button"):
        button = user.widget("reader", name)
        # a radio button takes clicks on its circle and its text alone
        QTest.mouseClick(button, Qt.LeftButton, Qt.NoModifier, QPoint(8, button.rect.height() // 2))
        user.look()
    user.click("reader", "nextButton")


def _volume() -> Any:
    """The volume that the red view shows, or None."""
    import slicer

    from MeWMLib.scene.comparison import slice_nodes

    found = slice_nodes(slicer.mrmlScene, "Red")[1].GetBackgroundVolumeID()
    return slicer.mrmlScene.GetNodeByID(found) if found else None


def _volumes() -> int:
    import slicer

    return int(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))


def _file(study: Any, reader: str = "R1") -> Path:
    return study.folder / f"answers_{study.study.id}_session1_{reader}.json"


def test_a_scripted_reader_completes_the_study_and_is_scored(user: Any, study: Any) -> None:
    import slicer

    panel = _begin(user, study)
    order = study.study.order("R1", 1)
    for n, case in enumerate(order):
        assert f"Case {n + 1} of 12" in panel.ui.progressLabel.text
        node = _volume()
        assert _volumes() == 1 and node.GetName() == f"Study case {n + 1}"
        shown = slicer.util.arrayFromVolume(node)
        assert (shown == read_case(study.folder, study.study, case).array).all()
        assert node.GetDisplayNode().GetWindow() == 450 and node.GetHideFromEditors()
        # nothing in the node tells what it is, and nobody may save it with a scene
        assert not node.GetSaveWithScene()
        assert set(node.GetAttributeNames()) <= {"MeWM.Phase"} and "SIMULATED" not in node.GetName()
        assert not panel.ui.nextButton.enabled
        if n == 4:
            user.shot("reader")
        _answer(user, study.truth.is_real(case) if n < 8 else not study.truth.is_real(case), 1 + n % 5)
    assert "All 12 cases" in panel.ui.progressLabel.text and _volumes() == 0
    (answers,) = read_answers(_file(study), study.study)
    assert answers.source == "slicer" and [one.case for one in answers.answers] == list(order)
    told = [event.what for event in answers.events]
    assert told.count("shown") == told.count("answered") == 12 and told.count("click") == 24
    scores = score_study(study.folder, study.key, [_file(study)])
    assert scores.figures["mewm"]["R1"].accuracy.right == 8 and scores.clicks["R1"] == len(told)


def test_every_view_has_the_notice_while_a_case_is_shown_and_not_afterwards(user: Any, study: Any) -> None:
    import slicer

    def notices() -> list[bool]:
        found = []
        manager = slicer.app.layoutManager()
        for name in manager.sliceViewNames():
            view = manager.sliceWidget(name).sliceView()
            actors = view.renderWindow().GetRenderers().GetFirstRenderer().GetActors2D()
            texts = [actors.GetItemAsObject(n) for n in range(actors.GetNumberOfItems())]
            shown = [a for a in texts if a.IsA("vtkTextActor") and a.GetInput() == NOTICE and a.GetVisibility()]
            found.append(len(shown) == 1)
        return found

    panel = _begin(user, study)
    assert len(notices()) >= 3 and all(notices())
    user.click("reader", "pauseButton")
    assert not any(notices()) and _volumes() == 0 and "Paused" in panel.ui.progressLabel.text
    user.click("reader", "pauseButton")
    assert all(notices()) and _volumes() == 1
    panel.end()
    assert not any(notices()) and _volumes() == 0


def test_a_pause_stops_the_clock_and_slicer_may_be_closed_meanwhile(user: Any, study: Any, monkeypatch: Any) -> None:
    import slicer
    from MeWMPanels import reader_session

    clock = SimpleNamespace(now=100.0)
    monkeypatch.setattr(reader_session.time, "monotonic", lambda: clock.now)
    panel = _begin(user, study)
    clock.now += 4
    user.click("reader", "pauseButton")
    clock.now += 1000
    user.click("reader", "pauseButton")
    clock.now += 3
    _answer(user, True, 2)
    (answers,) = read_answers(_file(study), study.study)
    assert answers.answers[0].seconds == pytest.approx(7.0)
    slicer.mrmlScene.Clear(0)
    user.look()
    assert panel.session is None and _volumes() == 0
    user.loaded.widget.initialize_parameters()
    _begin(user, study)
    assert "Case 2 of 12" in panel.ui.progressLabel.text
    # another reader has an order and a file of their own
    _begin(user, study, "R2")
    assert "Case 1 of 12" in panel.ui.progressLabel.text and _file(study, "R2").is_file()


def test_another_module_pauses_and_a_view_is_kept(user: Any, study: Any) -> None:
    import slicer

    panel = _begin(user, study)
    slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").SetSliceOffset(7.5)
    panel._look()
    user.front.shown = False
    panel._look()
    assert not panel.session.running and _volumes() == 0
    user.front.shown = True
    (answers,) = read_answers(_file(study), study.study)
    assert any(e.what == "looked at" and "Red 7.5" in e.detail and "W450" in e.detail for e in answers.events)
    panel.end()


def test_a_case_is_not_taken_for_the_ct_of_the_module(user: Any, study: Any) -> None:
    user.load_sample()
    ct = user.front.parameters.ct
    panel = _begin(user, study)
    user.front.refresh()
    assert user.front.parameters.ct is ct and _volume() is not ct
    # whatever else comes into the views pauses, and is left there
    user.front.views.show_ct(ct)
    panel._look()
    assert not panel.session.running and _volume() is ct
    user.click("reader", "pauseButton")
    assert panel.session.running and _volume().GetName() == "Study case 1"
    panel.end()
    user.look()
    assert user.front.parameters.ct is ct and _volume() is ct


def test_what_is_no_study_and_what_cannot_be_written_is_said(user: Any, study: Any, tmp_path: Path) -> None:
    panel = user.front.reader
    assert isinstance(user.error_after(lambda: panel.open(tmp_path)), StudyError)
    user.front.guard(lambda: panel.open(study.folder))
    path = _file(study)
    path.write_text(json.dumps({"format": "mewm-study-answers/1"}))
    assert isinstance(user.error_after(panel._begin), StudyError) and panel.session is None
    path.unlink()
    if os.name == "posix" and os.geteuid() != 0:
        study.folder.chmod(0o500)
        assert isinstance(user.error_after(panel._begin), OutputError)
        study.folder.chmod(0o700)


def test_no_word_of_the_key_is_in_what_the_panel_reads(study: Any) -> None:
    """The folder that is opened holds the study, its pages and its images alone."""
    names = {path.name for path in study.folder.iterdir()}
    assert names == {"study.json", "session_1.html", "cases"}
    text = (study.folder / "study.json").read_text()
    assert REAL not in text.replace("Reader", "") and np.unique(list(study.study.images_sha256.values())).size == 12
