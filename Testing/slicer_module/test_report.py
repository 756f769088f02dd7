"""The report written from the panel, in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from MeWMLib.core.errors import DependencyError, OutputError, UnreadableFileError
from MeWMLib.core.protocol import Protocol


@pytest.fixture
def compared(user: Any) -> Any:
    """A user before a comparison of two protocols."""
    user.load_sample()
    user.measure()
    user.simulate("Cisplatin + Lipiodol", "Epirubicin + PVA")
    return user


def _choose_folder(monkeypatch: pytest.MonkeyPatch, folder: Path, asked: list[str] | None = None) -> None:
    import qt

    def ask(_parent: Any, _title: str, start: str) -> str:
        if asked is not None:
            asked.append(start)
        return str(folder)

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", ask)


def _children() -> set[int]:
    return {p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.slow
def test_the_report_is_written_beside_the_scene(compared, monkeypatch, tmp_path, slicer_path):
    import slicer

    monkeypatch.setenv("PYTHONPATH", slicer_path)
    asked: list[str] = []
    _choose_folder(monkeypatch, tmp_path, asked)
    slicer.mrmlScene.SetURL(str(tmp_path / "case.mrml"))
    compared.click("outcome", "reportButton")
    assert compared.front.desk.busy and not compared.widget("outcome", "reportButton").enabled
    compared.wait_idle(120)
    slicer.mrmlScene.SetURL("")
    assert asked == [str(tmp_path)]
    (folder,) = [p for p in tmp_path.iterdir() if p.name.startswith("MeWM report")]
    html = (folder / "report.html").read_text(encoding="utf-8")
    for candidate in compared.front.comparison.candidates:
        assert candidate.protocol.text in html
    assert "Research use only" in html and len(list((folder / "pictures").glob("*.png"))) >= 4
    assert json.loads((folder / "plan.json").read_text(encoding="utf-8"))["candidates"][0]["files"]["ct"]
    assert not list(folder.rglob("*.nrrd")), "no CT is left in the user's folder"
    label = compared.widget("outcome", "reportLabel")
    assert "report.html" in label.text and "file://" in label.text and label.openExternalLinks


def test_the_report_takes_the_segments_that_were_simulated_with(user, fake, tmp_path):
    """A user's own segmentation, whose names say nothing: what was chosen in the panel counts, also after a reload."""
    import slicer
    from MeWMPanels import reports, results

    from MeWMLib.core import io
    from MeWMLib.scene.mrb import write_mrb

    user.load_sample()
    parameters = user.front.parameters
    segmentation = parameters.segmentation.GetSegmentation()
    for old, new in (("liver", "Segment_1"), ("tumour", "Segment_2")):
        segment = slicer.vtkSegment()
        segment.DeepCopy(segmentation.GetSegment(old))
        segment.SetName(new)
        segmentation.RemoveSegment(old)
        segmentation.AddSegment(segment, new)
    user.look()
    parameters.liver_segment, parameters.tumour_segment = "Segment_1", "Segment_2"
    user.front.actions.add("A", Protocol.parse("Cisplatin + Lipiodol"))
    user.look()
    user.click("simulation", "simulateButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    write_mrb(slicer.mrmlScene, tmp_path / "case.mrb")
    slicer.mrmlScene.Clear(0)
    assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
    user.look()
    (comparison,) = results.all_comparisons(slicer.mrmlScene)
    folder = tmp_path / "plan"
    folder.mkdir()
    reports.HeldComparison(comparison).write(folder)
    before = io.read_volume(folder / "pre.nrrd")
    assert (io.read_labels(folder / "pre.seg.nrrd", before.geometry).array == fake.small_labels().array).all()
    after = io.read_volume(folder / "simulated_01.nrrd")
    assert after.simulated is not None and after.simulated.protocol == "Cisplatin + Lipiodol"


def test_a_folder_that_cannot_be_written(compared, monkeypatch, tmp_path):
    from MeWMPanels import reports

    (tmp_path / "file").write_text("in the way")
    _choose_folder(monkeypatch, tmp_path / "file")
    done = [sys.executable, "-c", 'print(\'{"version":1,"kind":"result"}\')']
    monkeypatch.setattr(reports, "command", lambda _python, _work: done)
    compared.click("outcome", "reportButton")
    error = compared.wait_error(60)
    assert isinstance(error, OutputError) and not compared.front.desk.busy
    assert (tmp_path / "file").read_text() == "in the way"


def test_who_closes_the_folder_dialog_writes_nothing(compared, monkeypatch):
    import qt

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", lambda *_arguments: "")
    compared.click("outcome", "reportButton")
    assert not compared.front.desk.busy


def test_a_report_without_its_packages(compared, monkeypatch, tmp_path):
    from MeWMPanels import install

    _choose_folder(monkeypatch, tmp_path)
    monkeypatch.setattr(install, "missing", lambda names: [n for n in names if n == "jinja2"])
    compared.click("outcome", "reportButton")
    error = compared.wait_error()
    assert isinstance(error, DependencyError) and "jinja2" in error.given and "Setup" in error.remedy


def test_a_report_without_its_ct(compared, monkeypatch, tmp_path):
    import slicer

    _choose_folder(monkeypatch, tmp_path)
    slicer.mrmlScene.RemoveNode(compared.front.parameters.ct)
    compared.look()
    compared.click("outcome", "reportButton")
    assert isinstance(compared.wait_error(), UnreadableFileError)


def test_a_report_that_is_cancelled_or_whose_scene_is_closed_leaves_no_process(compared, monkeypatch, tmp_path):
    import slicer
    from MeWMPanels import reports

    before, chosen = _children(), tmp_path / "chosen"
    chosen.mkdir()
    _choose_folder(monkeypatch, chosen)
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(reports, "command", lambda _python, _work: sleeper)
    for stop in (lambda: compared.click("progress", "cancelButton"), lambda: slicer.mrmlScene.Clear(0)):
        compared.click("outcome", "reportButton")
        compared.wait(lambda: _children() - before)
        stop()
        until = time.monotonic() + 15.0
        while (_children() - before or compared.front.desk.busy) and time.monotonic() < until:
            compared.look()
            time.sleep(0.02)
        assert _children() - before == set() and not compared.front.desk.busy
        assert compared.front.messages.box is None and list(chosen.iterdir()) == []
