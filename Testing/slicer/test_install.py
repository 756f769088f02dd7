"""Installing packages: asked first, never Slicer's own, without a network if need be, resumed after a restart."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from MeWMLib.core.errors import DependencyError


@pytest.fixture
def lacking(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Choose which modules are missing."""
    from MeWMPanels import install

    absent: list[str] = []
    monkeypatch.setattr(install, "missing", lambda names: [n for n in names if n in absent])

    def choose(*names: str) -> None:
        absent[:] = names

    return choose


@pytest.fixture(autouse=True)
def _clean_settings(host: Any) -> Any:
    import slicer

    yield
    slicer.app.userSettings().remove("MeWM/PendingInstall")


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, user: Any) -> Any:
    """Fakes of pip as old and new Slicers offer it; they record what they are given."""
    import slicer

    given = SimpleNamespace(install=[], ensure=[], asked=[], answer=True)
    monkeypatch.setattr(slicer.util, "pip_install", given.install.append)

    def ask(text: str, title: str | None = None) -> bool:
        given.asked.append(text)
        return bool(given.answer)

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", ask)
    return given


def _new_slicer(monkeypatch: pytest.MonkeyPatch, pip: Any) -> None:
    """`slicer.packaging`, with the arguments that it has in Slicer 5.12."""

    def pip_ensure(
        requirements: Any,
        constraints: Any = None,
        prompt_install: bool = True,
        prompt_restart: bool = True,
        requester: str | None = None,
        skip_in_testing: bool = True,
        show_progress: bool = True,
    ) -> None:
        pip.ensure.append((requirements, Path(constraints), prompt_install, requester))

    module = ModuleType("slicer.packaging")
    module.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", module)


def _pins(path: Path) -> set[str]:
    return set(path.read_text(encoding="utf-8").split())


def test_who_says_no_gets_nothing(user, pip, lacking):
    lacking("monai", "cc3d")
    pip.answer = False
    user.front.refresh()
    user.click("setup", "installButton")
    assert "monai" in pip.asked[0] and pip.install == []


def test_an_older_slicer_installs_with_pip_install_and_pins(user, pip, lacking):
    import numpy as np
    import SimpleITK as sitk

    lacking("monai", "cc3d")
    user.front.refresh()
    user.click("setup", "installButton")
    (arguments,) = pip.install
    assert arguments[:2] == ["connected-components-3d>=3.12", "monai>=1.4"]
    pins = _pins(Path(arguments[arguments.index("-c") + 1]))
    assert f"numpy=={np.__version__}" in pins
    assert f"SimpleITK=={sitk.Version.VersionString()}" in pins
    assert not any("torch" in argument for argument in arguments)


def test_a_newer_slicer_installs_with_pip_ensure(user, pip, lacking, monkeypatch):
    _new_slicer(monkeypatch, pip)
    lacking("monai")
    user.front.refresh()
    user.click("setup", "installButton")
    ((requirements, pins, prompt, requester),) = pip.ensure
    assert requirements == ["monai>=1.4"] and requester == "MeWM" and pip.install == []
    assert len(pip.asked) == 1 and prompt is False, "the user is asked once"
    assert any(pin.startswith("numpy==") for pin in _pins(pins))


def test_a_package_of_slicer_that_pip_cannot_see_is_never_replaced(tmp_path, monkeypatch, user):
    from importlib import metadata

    from MeWMPanels import install

    def version(name: str) -> str:
        if name == "vtk":
            raise metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(install.metadata, "version", version)
    assert _pins(install.constraints(tmp_path)) == {"SimpleITK==1.2.3", "numpy==1.2.3", "vtk<0"}


def test_a_folder_of_wheels_stands_in_for_the_network(user, pip, lacking, monkeypatch, tmp_path):
    _new_slicer(monkeypatch, pip)
    lacking("monai")
    user.front.parameters.computer.wheelhouse = str(tmp_path)
    user.look()
    user.front.refresh()
    user.click("setup", "installButton")
    (arguments,) = pip.install
    assert arguments[-3:] == ["--no-index", "--find-links", str(tmp_path)] and "-c" in arguments


def test_an_offline_folder_that_does_not_exist(user, pip, lacking, tmp_path):
    lacking("monai")
    user.front.refresh()
    user.front.parameters.computer.wheelhouse = str(tmp_path / "absent")
    user.look()
    user.click("setup", "installButton")
    error = user.wait_error()
    assert isinstance(error, DependencyError) and "absent" in error.given and pip.install == []


def test_pip_that_fails_is_told_and_not_tried_again(user, pip, lacking, monkeypatch):
    import slicer
    from MeWMPanels import install

    def fail(_arguments: Any) -> None:
        raise RuntimeError("no route to host")

    lacking("monai")
    monkeypatch.setattr(slicer.util, "pip_install", fail)
    user.front.refresh()
    user.click("setup", "installButton")
    error = user.wait_error()
    assert isinstance(error, DependencyError) and "no route to host" in error.given and "proxy" in error.remedy
    assert install.pending() is None


def test_it_goes_on_after_the_restart_that_torch_needs(user, pip, lacking, monkeypatch):
    import slicer
    from MeWMPanels import install

    # the extension PyTorch is not there: the rest is installed, and Slicer must be restarted
    lacking("monai", "torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    user.front.refresh()
    user.click("setup", "installButton")
    error = user.wait_error()
    assert "PyTorch" in error.what and "restart" in error.remedy and len(pip.install) == 1
    assert install.pending() == (["monai", "torch"], "")

    # Slicer starts again: monai is there, the extension too
    lacking("torch")
    installed: list[bool] = []
    module = ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=lambda askConfirmation: installed.append(True) or 1)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)
    slicer.util.mainWindow().moduleSelector().selectModule("Welcome")
    slicer.app.startupCompleted.emit()
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "MeWM"
    user.loaded.widget._resumed = False
    user.loaded.widget.enter()
    assert installed == [True] and len(pip.install) == 1, "only what is still missing"
    assert not slicer.app.userSettings().contains("MeWM/PendingInstall")

    # and no further start opens the module or installs anything
    slicer.util.mainWindow().moduleSelector().selectModule("Welcome")
    slicer.app.startupCompleted.emit()
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "Welcome"
    user.loaded.widget._resumed = False
    user.loaded.widget.enter()
    assert installed == [True]


def test_a_second_failure_after_the_restart_is_not_tried_for_ever(user, pip, lacking, monkeypatch):
    import slicer
    from MeWMPanels import install

    lacking("torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    install.remember(["torch"], "")
    user.loaded.widget._resumed = False
    user.loaded.widget.enter()
    assert "PyTorch" in user.wait_error().what
    assert not slicer.app.userSettings().contains("MeWM/PendingInstall")


@pytest.mark.parametrize("text", ["{", '{"names": 5, "wheelhouse": ""}', '{"names": ["monai"], "wheelhouse": ""}'])
def test_a_note_that_is_broken_or_done_is_forgotten(user, lacking, text):
    import slicer
    from MeWMPanels import install

    lacking()
    slicer.app.userSettings().setValue("MeWM/PendingInstall", text)
    assert install.pending() is None and not slicer.app.userSettings().contains("MeWM/PendingInstall")


def test_the_requirements_are_those_of_the_package(user):
    """The table of the panel repeats pyproject.toml, which is not installed with the extension."""
    import re

    from MeWMPanels import install

    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    stated = set(re.findall(r'"([A-Za-z0-9_-]+>=[0-9.]+)"', text))
    assert stated >= set(install.REQUIREMENTS.values()), "the same versions"
    # what a panel or worker needs: all of the package's own requirements that Slicer does not bring
    own = set(re.findall(r'"([\w-]+)[>=]', text[text.index("dependencies = [") :].split("]")[0]))
    brought = {"numpy", "pydicom", "SimpleITK", "requests", "torch"}
    panels = {requirement.split(">")[0] for requirement in (install.FOR_PANELS | install.FOR_WORKER).values()}
    assert own - brought - {"rich", "highdicom"} == panels, "these are for the command line only; labels come as nodes"
