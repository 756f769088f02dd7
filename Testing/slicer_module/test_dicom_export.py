"""DICOM objects written from the panel, in a process of their own."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pydicom
import pytest

from MeWMLib.core.errors import DependencyError, OutputError, SeriesError
from MeWMLib.exchange.verify import verify_export


@pytest.fixture
def compared(user: Any) -> Any:
    """A user before a comparison of two protocols."""
    user.load_sample()
    user.measure()
    user.simulate("Cisplatin + Lipiodol", "Epirubicin + PVA")
    return user


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the user says: folders in turn, and whether the objects belong to the study of the CT."""
    import qt
    import slicer

    said: dict[str, Any] = {"folders": [], "yes": False, "asked": []}

    def folder(_parent: Any, title: str, _start: str) -> str:
        said["asked"].append(title)
        return str(said["folders"].pop(0))

    def confirm(text: str, **_more: Any) -> bool:
        said["asked"].append(text)
        return bool(said["yes"])

    monkeypatch.setattr(qt.QFileDialog, "getExistingDirectory", folder)
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", confirm)
    return said


@pytest.fixture
def chosen(tmp_path: Path) -> Path:
    """An empty folder."""
    (tmp_path / "chosen").mkdir()
    return tmp_path / "chosen"


def _children() -> set[int]:
    return {p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE}


@pytest.mark.slow
def test_objects_are_written_and_said(compared, answers, monkeypatch, chosen, slicer_path):
    monkeypatch.setenv("PYTHONPATH", slicer_path)
    answers["folders"] = [chosen]
    compared.click("outcome", "exportButton")
    assert compared.front.desk.busy and not compared.widget("outcome", "exportButton").enabled
    messages = set()
    compared.wait(lambda: messages.add(compared.front.desk.state.message) or not compared.front.desk.busy, 120)
    (folder,) = chosen.iterdir()
    found = verify_export(folder)
    assert found.listed and found.by_modality["SEG"] >= 3 and found.by_modality["CT"]
    described = {str(pydicom.dcmread(p, stop_before_pixels=True).SeriesDescription) for p in folder.rglob("*.dcm")}
    for candidate in compared.front.comparison.candidates:
        assert any(candidate.protocol.text.split(" ")[0] in text for text in described)
    label = compared.widget("outcome", "exportLabel")
    assert f"{found.objects} DICOM objects" in label.text and "file://" in label.text and "made up" in label.text
    assert "name, the id and the dates" in answers["asked"][1] and len(answers["asked"]) == 2
    assert {"reading the scan", "report"} & messages, "the progress of the process is shown"
    # the study that is named is not that of the CT: one sentence, and nothing is written
    stranger = next(p for p in folder.iterdir() if p.is_dir() and "simulated" in p.name)
    answers |= {"folders": [chosen, stranger], "yes": True}
    compared.click("outcome", "exportButton")
    error = compared.wait_error(120)
    assert isinstance(error, SeriesError) and "not the one that the plan was computed from" in error.what
    assert list(chosen.iterdir()) == [folder]


def test_who_closes_a_dialog_writes_nothing(compared, answers, chosen):
    answers["folders"] = [""]
    compared.click("outcome", "exportButton")
    answers |= {"folders": [chosen, ""], "yes": True}
    compared.click("outcome", "exportButton")
    assert not compared.front.desk.busy and answers["folders"] == [] and list(chosen.iterdir()) == []


def test_without_its_packages_and_where_nothing_can_be_written(compared, answers, monkeypatch, chosen):
    from MeWMPanels import dicom_export, install

    with monkeypatch.context() as patch:
        patch.setattr(install, "missing", lambda names: [n for n in names if n == "highdicom"])
        compared.click("outcome", "exportButton")
        error = compared.wait_error()
    assert isinstance(error, DependencyError) and "highdicom" in error.given and answers["asked"] == []
    (chosen / "file").write_text("in the way")
    answers["folders"] = [chosen / "file"]
    code = (
        "import sys, pathlib; pathlib.Path(sys.argv[1]).mkdir(); "
        """print('{"version":1,"kind":"result","data":{"objects":1,"notes":[]}}')"""
    )
    monkeypatch.setattr(dicom_export, "command", lambda _p, _w, out, _r: [sys.executable, "-c", code, str(out)])
    compared.click("outcome", "exportButton")
    assert isinstance(compared.wait_error(60), OutputError) and not compared.front.desk.busy
    assert (chosen / "file").read_text() == "in the way"


def test_an_export_that_is_cancelled_leaves_no_process_and_no_file(compared, answers, monkeypatch, chosen):
    from MeWMPanels import dicom_export

    before = _children()
    answers["folders"] = [chosen]
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    monkeypatch.setattr(dicom_export, "command", lambda *_arguments: sleeper)
    compared.click("outcome", "exportButton")
    compared.wait(lambda: _children() - before)
    compared.click("progress", "cancelButton")
    until = time.monotonic() + 15.0
    while (_children() - before or compared.front.desk.busy) and time.monotonic() < until:
        compared.look()
        time.sleep(0.02)
    assert _children() - before == set() and not compared.front.desk.busy
    assert compared.front.messages.box is None and list(chosen.iterdir()) == []
