"""Installing packages: asked first, never Slicer's own, without a network if need be, resumed after a restart."""

from __future__ import annotations

import sys
from importlib import metadata
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
    # an older Slicer, also where the host runs the Python files of a newer one
    monkeypatch.setitem(sys.modules, "slicer.packaging", None)
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


def torch_version() -> str:
    return metadata.version("torch")


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
    assert f"torch=={torch_version()}" in pins, "the PyTorch that is there stays"


def test_a_newer_slicer_installs_with_pip_ensure(user, pip, lacking, monkeypatch):
    _new_slicer(monkeypatch, pip)
    lacking("monai")
    user.front.refresh()
    user.click("setup", "installButton")
    ((requirements, pins, prompt, requester),) = pip.ensure
    assert requirements == ["monai>=1.4"] and requester == "MeWM" and pip.install == []
    assert len(pip.asked) == 1 and prompt is False, "the user is asked once"
    assert any(pin.startswith("numpy==") for pin in _pins(pins))


def test_what_pip_cannot_see_is_never_replaced(tmp_path, monkeypatch, user):
    from MeWMPanels import install

    def version(name: str) -> str:
        if name in ("vtk", "torch"):
            raise metadata.PackageNotFoundError(name)
        return "1.2.3"

    monkeypatch.setattr(install.metadata, "version", version)
    assert _pins(install.constraints(tmp_path)) == {"SimpleITK==1.2.3", "numpy==1.2.3", "vtk<0", "torch<0"}


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


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A Python without PyTorch; what is called puts a version there."""
    from MeWMPanels import install

    real, versions = metadata.version, {}

    def version(name: str) -> str:
        if name != "torch":
            return versions.get(name) or real(name)
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return str(versions[name])

    monkeypatch.setattr(install.metadata, "version", version)
    return versions


def _extension(monkeypatch: pytest.MonkeyPatch, install_torch: Any) -> None:
    """The module PyTorchUtils, with the arguments that its `installTorch` has."""

    def installTorch(  # noqa: N802 - its own name
        askConfirmation: bool = False,
        forceComputationBackend: str | None = None,
        torchVersionRequirement: str | None = None,
        torchvisionVersionRequirement: str | None = None,
    ) -> Any:
        return install_torch(askConfirmation, torchVersionRequirement)

    module = ModuleType("PyTorchUtils")
    module.PyTorchUtilsLogic = lambda: SimpleNamespace(installTorch=installTorch)
    monkeypatch.setitem(sys.modules, "PyTorchUtils", module)


@pytest.mark.parametrize("new", [False, True])
def test_torch_comes_first_and_is_pinned_from_then_on(user, pip, lacking, monkeypatch, no_torch, new):
    if new:
        _new_slicer(monkeypatch, pip)
    lacking("monai", "scipy", "torch")
    told: list[Any] = []

    def install_torch(ask: bool, requirement: str | None) -> Any:
        assert pip.install == [] and pip.ensure == [], "nothing was installed before"
        told.append((ask, requirement))
        no_torch["torch"] = "2.9.1+cu126"
        return object()

    _extension(monkeypatch, install_torch)
    user.front.refresh()
    user.click("setup", "installButton")
    assert told == [(True, ">=2.4")]
    pins = pip.ensure[0][1] if new else Path(pip.install[0][pip.install[0].index("-c") + 1])
    assert "torch==2.9.1+cu126" in _pins(pins)
    assert {"monai>=1.4", "scipy>=1.11"} <= set(pip.ensure[0][0] if new else pip.install[0])


def test_it_goes_on_after_the_restart_that_torch_needs(user, pip, lacking, monkeypatch, no_torch):
    import slicer
    from MeWMPanels import install

    # the extension PyTorch is not there: what needs PyTorch waits, and pip may not take one from the index
    lacking("monai", "psutil", "torch")
    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    user.front.refresh()
    user.click("setup", "installButton")
    error = user.wait_error()
    assert "PyTorch" in error.what and "restart" in error.remedy
    (arguments,) = pip.install
    assert arguments[0] == "psutil>=5.9" and not any("monai" in argument for argument in arguments)
    assert "torch<0" in _pins(Path(arguments[arguments.index("-c") + 1]))
    lacking("monai", "torch")
    assert install.pending() == (["monai", "torch"], "")

    # Slicer starts again: psutil is there, the extension too
    installed: list[bool] = []

    def install_torch(_ask: bool, _requirement: str | None) -> Any:
        installed.append(True)
        no_torch["torch"] = "2.9.1"
        return object()

    _extension(monkeypatch, install_torch)
    slicer.util.mainWindow().moduleSelector().selectModule("Welcome")
    slicer.app.startupCompleted.emit()
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "MeWM"
    user.loaded.widget._resumed = False
    user.loaded.widget.enter()
    assert installed == [True] and len(pip.install) == 2 and pip.install[1][0] == "monai>=1.4"
    assert not slicer.app.userSettings().contains("MeWM/PendingInstall")

    # and no further start opens the module or installs anything
    slicer.util.mainWindow().moduleSelector().selectModule("Welcome")
    slicer.app.startupCompleted.emit()
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "Welcome"
    user.loaded.widget._resumed = False
    user.loaded.widget.enter()
    assert installed == [True]


def test_a_torch_that_is_too_old_is_not_replaced(user, pip, lacking, monkeypatch, no_torch):
    no_torch["torch"] = "2.1.0"
    lacking("monai", "torch")
    _extension(monkeypatch, lambda *_given: pytest.fail("the extension would replace it"))
    user.front.refresh()
    user.click("setup", "installButton")
    error = user.wait_error()
    assert "too old" in error.what and "2.1.0" in error.given and "PyTorch Utils" in error.remedy
    assert pip.install == []


@pytest.mark.parametrize(("pip_version", "word"), [("26.1.1", "light-the-torch"), ("25.1.1", "proxy")])
def test_the_obstacle_of_a_new_pip_is_named_with_its_way_round(
    user, pip, lacking, monkeypatch, no_torch, pip_version, word
):
    def fail(*_given: Any) -> Any:
        raise RuntimeError("ResolutionImpossible")

    no_torch["pip"] = pip_version
    lacking("torch")
    _extension(monkeypatch, fail)
    user.front.refresh()
    user.click("setup", "installButton")
    error = user.wait_error()
    assert "ResolutionImpossible" in error.given and word in error.remedy
    assert ("pip<26.1" in error.remedy) == (word == "light-the-torch")


def test_a_folder_of_wheels_holds_torch_too(user, pip, lacking, monkeypatch, no_torch, tmp_path):
    """The extension would ask an index, and the doc says that none is asked."""
    lacking("monai", "torch")
    _extension(monkeypatch, lambda *_given: pytest.fail("asks an index"))
    user.front.parameters.computer.wheelhouse = str(tmp_path)
    user.look()
    user.front.refresh()
    user.click("setup", "installButton")
    assert [arguments[0] for arguments in pip.install] == ["torch>=2.4", "monai>=1.4"]
    assert all("--no-index" in arguments for arguments in pip.install)


@pytest.mark.parametrize("new", [False, True])
@pytest.mark.parametrize(
    ("version", "works"), [("1.6.1", True), ("1.4", True), ("1.3.2", False), (None, False), ("1.4rc1", False)]
)
def test_installed_means_installed_in_a_version_that_works(host, monkeypatch, version, works, new):
    """By `slicer.packaging` where there is one, and the same without it."""
    # no module is opened here, which would make its panels importable
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "MeWM")
    from MeWMPanels import install

    if new:
        module = ModuleType("slicer.packaging")
        module.pip_check = lambda requirement: {"monai>=1.4": works}[requirement]
        monkeypatch.setitem(sys.modules, "slicer.packaging", module)
    else:
        monkeypatch.setitem(sys.modules, "slicer.packaging", None)

    def version_of(name: str) -> str:
        if new:
            # what the metadata say is not asked then
            return "1.3.2" if works else "1.6.1"
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(install.metadata, "version", version_of)
    assert (install.missing(["monai"]) == []) is works


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
    assert install.requirement_of("torch") in stated
    assert stated >= set(install.REQUIREMENTS.values()), "the same versions"
    # what a panel or worker needs: all of the package's own requirements that Slicer does not bring
    own = set(re.findall(r'"([\w-]+)[>=]', text[text.index("dependencies = [") :].split("]")[0]))
    brought = {"numpy", "pydicom", "SimpleITK", "requests", "torch"}
    panels = {requirement.split(">")[0] for requirement in (install.FOR_PANELS | install.FOR_WORKER).values()}
    # for the command line only; labels come as nodes; OpenVINO brings a TBB of its own, which was never tried beside
    # Slicer's
    assert own - brought - {"rich", "highdicom", "openvino"} == panels


def test_of_monai_only_the_submodules_that_are_needed_are_imported(repository):
    """Where a job runs, MONAI is these names and no package that imports many more."""
    import re

    found = set()
    for path in (repository / "MeWMLib").rglob("*.py"):
        if "lab" not in path.relative_to(repository).parts:
            found |= set(
                re.findall(r"^\s*(?:from|import) (monai[\w.]*)", path.read_text(encoding="utf-8"), re.MULTILINE)
            )
    assert found == {"monai.networks.nets.dynunet", "monai.data.utils"}
