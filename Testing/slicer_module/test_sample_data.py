"""The samples in Slicer's module Sample Data: entries that Slicer takes, at a start that loads nothing of weight."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from MeWMLib.cohorts.sample_table import SAMPLES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def register(user: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[Any]]:
    """Registers as Slicer's start does, twice, and gives the entries of MeWM."""
    import slicer

    monkeypatch.setattr(slicer.modules, "sampleDataSources", {}, raising=False)

    def twice() -> list[Any]:
        for _ in range(2):
            user.loaded.module.register_sample_data()
        assert list(slicer.modules.sampleDataSources) == ["MeWM"], "one category, also after a second time"
        return list(slicer.modules.sampleDataSources["MeWM"])

    return twice


@pytest.fixture
def registered(register: Callable[[], list[Any]]) -> list[Any]:
    """The entries of MeWM, as Slicer's start leaves them."""
    return register()


def test_every_sample_is_an_entry_with_all_its_fields(register):
    try:
        registered = register()
    except TypeError as error:  # Slicer's own, which counts what it is not given
        pytest.fail(f"Slicer's Sample Data does not take the entries: {error}")
    assert [entry.sampleName for entry in registered] == [f"MeWM {name}" for name in SAMPLES]
    for entry in registered:
        for field in (entry.uris, entry.fileNames, entry.nodeNames):
            assert len(field) == 1 and isinstance(field[0], str) and field[0]
        assert Path(entry.thumbnailFileName).is_file() and callable(entry.customDownloader)
        (address,), (checksum,) = entry.uris, entry.checksums
        # what is fetched has a checksum; what is drawn has no file that could have one
        assert bool(re.fullmatch("SHA256:[0-9a-f]{64}", checksum or "")) == address.startswith("https://")


def test_a_click_loads_the_sample(registered, user, monkeypatch):
    import slicer
    from MeWMPanels import samples

    case = user.front.load_sample("synthetic")
    monkeypatch.setattr(samples, "load", lambda _name: (case, None))
    ct, segmentation = registered[-1].customDownloader(registered[-1])
    assert ct.GetScene() is slicer.mrmlScene and segmentation.GetSegmentation().GetNumberOfSegments() == 2


def test_a_click_without_packages_says_what_to_do(registered, monkeypatch):
    import slicer
    from MeWMPanels import install

    told: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_given: told.append(text))
    monkeypatch.setattr(install, "missing", lambda names: [name for name in names if name == "scipy"])
    assert registered[-1].customDownloader(registered[-1]) == []
    assert "scipy" in told[0] and slicer.util.mainWindow().moduleSelector().selectedModule == "MeWM"


def test_a_sample_that_cannot_be_fetched_is_told(registered, monkeypatch):
    import slicer
    from MeWMPanels import samples

    from MeWMLib.core.errors import SampleError

    def fail(_name: str) -> Any:
        raise SampleError(what="No network", given="x", remedy="Plug it in")

    told: list[str] = []
    monkeypatch.setattr(slicer.util, "errorDisplay", lambda text, **_given: told.append(text))
    monkeypatch.setattr(samples, "load", fail)
    assert registered[0].customDownloader(registered[0]) == []
    assert "No network" in told[0] and "Plug it in" in told[0]


#: A Slicer that is starting: as much of its Python as a module file sees, and nothing that MeWM could lean on.
_STARTING = {
    "slicer/__init__.py": """
import types
modules, mrmlScene, fired = types.SimpleNamespace(), None, []
signal = types.SimpleNamespace(connect=fired.append)
settings = types.SimpleNamespace(contains=lambda _name: False)
app = types.SimpleNamespace(startupCompleted=signal, userSettings=lambda: settings, majorVersion=5, minorVersion=10)
""",
    "slicer/i18n.py": "tr = lambda text: text",
    "slicer/ScriptedLoadableModule.py": """
class ScriptedLoadableModule:
    def __init__(self, parent): self.parent = parent
class ScriptedLoadableModuleWidget: pass
class ScriptedLoadableModuleLogic: pass
class ScriptedLoadableModuleTest: pass
""",
    "slicer/util.py": "class VTKObservationMixin: pass",
    "SampleData.py": """
import types
given = []
SampleDataLogic = types.SimpleNamespace(registerCustomSampleDataSource=lambda **fields: given.append(fields))
""",
}


def test_slicers_start_loads_nothing_of_weight(tmp_path):
    for name, text in _STARTING.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    code = (
        "import sys, types; import MeWM, slicer\n"
        "MeWM.MeWM(types.SimpleNamespace(path=MeWM.__file__))\n"
        "[function() for function in slicer.fired]\n"
        "import SampleData; print(len(SampleData.given))\n"
        "print(' '.join(sorted({name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))))"
    )
    path = os.pathsep.join([str(tmp_path), str(REPOSITORY / "MeWM")])
    # -S: nothing of site-packages can be imported, so whatever the start needs is Slicer's, the library's or MeWM's
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
        check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    count, modules = done.stdout.splitlines()
    assert int(count) == len(SAMPLES)
    assert set(modules.split()) - {"__main__"} == {"MeWM", "MeWMLib", "MeWMPanels", "SampleData", "slicer"}


def test_a_treated_sample_brings_its_scan_after_and_what_was_given(monkeypatch):
    from MeWMPanels import samples

    from MeWMLib.cohorts import samples as cohort_samples

    asked: list[str] = []
    after = SimpleNamespace(ct="the scan after")
    monkeypatch.setattr(cohort_samples, "load_treated", lambda name: asked.append(name) or after)
    assert samples.load("synthetic-hcc", lambda name: f"sample {name}") == ("sample synthetic-hcc", "the scan after")
    assert asked == ["synthetic-hcc"] and samples.given("synthetic-hcc") == "Epirubicin 50 mg + Lipiodol 10 ml"
    assert samples.load("lits-117", lambda name: f"sample {name}") == ("sample lits-117", None)
