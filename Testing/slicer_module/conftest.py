"""The module, open in the stand-in host, and a user who clicks."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from MeWMLib.core.protocol import Protocol

REPOSITORY = Path(__file__).resolve().parents[2]
OUT = REPOSITORY / "Testing" / "out"
WAIT_S = 60.0
#: The kits remember items of the subject hierarchy by the address of their nodes, in one table for all scenes of a
#: process: whether a new node meets the address of an old one of another test depends on the memory. VTK reports it and
#: then finds the right item. See findings/slicer-core-items-of-removed-nodes.sh.
_OF_ANY_SCENE = "DataNodeCache inconsistency"


class User:
    """Does what a person does: clicks on widgets that can be seen, waits, looks."""

    def __init__(self, loaded: Any, window: Any) -> None:
        self.loaded, self.window = loaded, window
        self.out = OUT
        self.front = loaded.widget.front

    def click(self, panel: str, name: str) -> None:
        """Click a button of a panel with the mouse; it must be seen and enabled."""
        from PySide6.QtCore import Qt
        from PySide6.QtTest import QTest

        button = self.widget(panel, name)
        assert button.enabled, f"{name} is disabled: {button.toolTip}"
        QTest.mouseClick(button, Qt.LeftButton)
        self.look()

    def click_cell(self, panel: str, name: str, row: int, column: int = 0, left: int | None = None) -> None:
        """Click a cell of a table; `left` is the distance to its left side, which is where a check box is."""
        from PySide6.QtCore import QPoint, Qt
        from PySide6.QtTest import QTest

        table = self.widget(panel, name)
        item = table.item(row, column)
        table.scrollToItem(item)
        self.look()
        box = table.visualItemRect(item)
        at = box.center() if left is None else QPoint(box.left() + left, box.center().y())
        QTest.mouseClick(table.viewport(), Qt.LeftButton, Qt.NoModifier, at)
        self.look()

    def widget(self, panel: str, name: str) -> Any:
        """A widget of a panel, unfolded and scrolled into view."""
        if panel in self.front.folds:
            self.front.folds[panel].collapsed = False
        found = getattr(getattr(self.front, panel).ui, name)
        self.look()
        self.window.ensureWidgetVisible(found)
        self.look()
        return found

    def look(self) -> None:
        """Let Qt work off what is pending."""
        for _ in range(3):
            self.window_app.processEvents()
        self._settle()

    def _settle(self) -> None:
        """Until all panels show the state: they are shown anew one in a turn."""
        until = time.monotonic() + WAIT_S
        while not self.front.settled and time.monotonic() < until:
            self.window_app.processEvents()

    @property
    def window_app(self) -> Any:
        import slicer

        return slicer.app

    def wait(self, condition: Callable[[], Any], seconds: float = WAIT_S) -> None:
        """Let Qt run until something is true."""
        until = time.monotonic() + seconds
        while not condition():
            assert self.front.messages.box is None or condition(), f"an error came up: {self.front.messages.last}"
            assert time.monotonic() < until, f"waited {seconds} s; log: {self.front.desk.state.log}"
            self.window_app.processEvents()
            time.sleep(0.005)
        self._settle()

    def wait_idle(self, seconds: float = WAIT_S) -> None:
        """Wait until no job runs."""
        self.wait(lambda: not self.front.desk.busy, seconds)
        self.look()

    def wait_error(self, seconds: float = WAIT_S) -> Any:
        """Wait for the error dialog, close it and return the error."""
        until = time.monotonic() + seconds
        while self.front.messages.box is None:
            assert time.monotonic() < until, "no error came up"
            self.window_app.processEvents()
            time.sleep(0.005)
        error = self.front.messages.last
        self.front.messages.close()
        self.look()
        return error

    def error_after(self, function: Callable[[], Any]) -> Any:
        """Call what a button is linked to and return the error that the dialog shows."""
        self.front.guard(function)
        return self.wait_error()

    def load_sample(self) -> None:
        """Load the sample by its button."""
        self.click("patient", "sampleButton")
        self.wait(lambda: self.front.parameters.ct is not None)
        self.wait_idle()

    def measure(self) -> None:
        """Measure the lesions by the button."""
        self.click("segmentation", "measureButton")
        self.wait(lambda: self.front.parameters.findings)
        self.wait_idle()

    def simulate(self, *protocols: str) -> None:
        """Enter protocols as A, B, ..., simulate them by the button and wait for their comparison."""
        for name, text in zip("ABCDEF", protocols, strict=False):
            self.front.actions.add(name, Protocol.parse(text))
        self.look()
        self.click("simulation", "simulateButton")
        self.wait(lambda: self.front.comparison is not None)
        self.wait_idle()

    def tick(self, name: str) -> None:
        """Tick an agent, or untick it."""
        names = [agent.name for agent in self.front.actions._agents]
        self.click_cell("actions", "agentTable", names.index(name), 0, left=9)

    def shot(self, name: str) -> None:
        """Save a picture of all panels, one below the other."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.look()
        self.loaded.parent.grab().save(str(self.out / f"{name}.png"))


@pytest.fixture(scope="session")
def host() -> Any:
    """The stand-in host, started once."""
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    reason = 'PySide6 cannot be used: pip install -e ".[scene,dev]"; on Debian and Ubuntu also libegl1 and libgl1'
    pytest.importorskip("PySide6.QtWidgets", reason=reason, exc_type=ImportError)
    if str(REPOSITORY / "Testing") not in sys.path:
        sys.path.append(str(REPOSITORY / "Testing"))
    import slicer_host

    slicer_host.start()
    return slicer_host


@pytest.fixture
def sample(fake: Any) -> Any:
    """A small case in the place of the samples."""
    return SimpleNamespace(
        name="small", ct=fake.small_ct(), labels=fake.small_labels(), terms="Be kind.", title="A small case"
    )


@pytest.fixture(scope="session")
def worker_command(fake_script: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """What starts a worker of the small world; where the system can fork, one that begins at once."""
    if not hasattr(os, "fork"):
        yield [sys.executable, str(fake_script)]
        return
    spec = importlib.util.spec_from_file_location("mewm_forked_worker", Path(__file__).with_name("forked_worker.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # the path of a socket may not be long
    with tempfile.TemporaryDirectory(prefix="mewm-w") as folder, module.command(fake_script, Path(folder)) as command:
        yield command


@pytest.fixture
def user(
    host: Any, sample: Any, worker_command: list[str], small_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[User]:
    """A user before the open module; workers run the small world. Errors that VTK reports, and those that are raised
    in what Qt calls, fail the test."""
    import slicer
    from PySide6 import QtCore, QtWidgets

    from MeWMLib.scene.core_app import vtk_errors

    raised: list[Any] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: raised.append(error))
    with vtk_errors() as errors:
        slicer.mrmlScene.Clear(0)
        loaded = host.load_module(REPOSITORY / "MeWM" / "MeWM.py")
        front = loaded.widget.front
        front.command = lambda: worker_command
        front.load_sample = lambda name: sample
        window = QtWidgets.QScrollArea()
        window.setWidgetResizable(True)
        window.setWidget(loaded.parent)
        window.resize(560, 1000)
        window.show()
        yield User(loaded, window)
        front.messages.close()
        loaded.close()
        window.hide()
        window.deleteLater()
        # processEvents alone does not delete what waits for it
        QtCore.QCoreApplication.sendPostedEvents(None, QtCore.QEvent.DeferredDelete)
        slicer.mrmlScene.Clear(0)
        slicer.app.processEvents()
    assert [text for text in errors if _OF_ANY_SCENE not in text] == [] and raised == []


@pytest.fixture
def mishap(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose a mishap of the small world (see fake_worker.py)."""
    return lambda name: monkeypatch.setenv("MEWM_FAKE", name)


@pytest.fixture
def folders_of_scene() -> Any:
    """The helper of the scene's tests that draws a small patient."""
    file = REPOSITORY / "Testing" / "scene" / "plan_folders.py"
    spec = importlib.util.spec_from_file_location("mewm_plan_folders_for_slicer", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
