"""Plans of a drawn trunk whose scan lies as DICOM, and what they become when they are exported."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from MeWMLib.core.comparison import Comparison
from MeWMLib.core.io import read_volume, write_volume
from MeWMLib.core.plan import Plan
from MeWMLib.core.records import to_plain
from MeWMLib.core.volume import Volume
from MeWMLib.exchange.export import Exported, ExportSettings, export_plan


def _plan_folders() -> ModuleType:
    file = Path(__file__).parents[1] / "scene" / "plan_folders.py"
    spec = importlib.util.spec_from_file_location("mewm_plan_folders_of_exchange", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Planned:
    """A plan and the DICOM that it was computed from."""

    plan: Path
    dicom: Path
    ct: Volume
    labels: np.ndarray


Maker = Callable[..., Planned]


@pytest.fixture(scope="session")
def folders() -> ModuleType:
    """Makes folders of plans."""
    return _plan_folders()


@pytest.fixture(scope="session")
def make_plan(folders: ModuleType) -> Maker:
    """Write a plan of a scan that lies as DICOM: a function of its folder or file, its labels and a new folder."""

    def make(dicom: Path, labels: np.ndarray, folder: Path, *, series: str | None = None, keep: int = 1) -> Planned:
        ct = read_volume(dicom, series)
        folders.write_plan_folder(folder, ct.array, labels, ct.geometry, keep=keep)
        _compare(folder / "plan.json")
        scan = Volume(ct.array, ct.geometry, "arterial")
        write_volume(scan, folder / "pre.nrrd")
        return Planned(folder, dicom, scan, labels)

    return make


def _compare(file: Path) -> None:
    """Let a plan know how far its risks are from the truth, as a whole one does."""
    data = json.loads(file.read_text(encoding="utf-8"))
    plan = Plan.from_json(data).compared(Comparison())
    data["comparison"] = to_plain(plan.comparison)
    for entry, candidate in zip(data["candidates"], plan.candidates, strict=True):
        entry["risk_unseen"] = candidate.risk.unseen
    file.write_text(json.dumps(data), encoding="utf-8")


@pytest.fixture(scope="session")
def trunk(phantom: ModuleType) -> tuple[np.ndarray, np.ndarray]:
    """HU and labels of eight slices in the middle of the drawn trunk: all that happens here happens slice by slice."""
    hu, labels = phantom.trunk("arterial", 140)
    return hu[9:17], labels[9:17]


@pytest.fixture(scope="session")
def planned(
    trunk: tuple[np.ndarray, np.ndarray],
    phantom: ModuleType,
    make_plan: Maker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Planned:
    """A plan with two simulated outcomes of an axial scan; only to be read."""
    root = tmp_path_factory.mktemp("planned")
    hu, labels = trunk
    tags = {"Manufacturer": "GE MEDICAL SYSTEMS", "PatientPosition": "FFS", "StudyTime": "112233", "KVP": "120"}
    dicom = phantom.Series(hu, patient="H-4711", name="Müller^Änne", removed=False, tags=tags).write(root / "scan")
    return make_plan(dicom, labels, root / "plan", keep=2)


@pytest.fixture(scope="session")
def exported(planned: Planned, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The export of `planned` into the study of its scan; only to be read."""
    out = tmp_path_factory.mktemp("exported") / "dicom"
    return export_plan(planned.plan, out, ExportSettings(reference=planned.dicom))


@pytest.fixture
def series_of() -> Callable[[Exported, str], list[Any]]:
    """The datasets of an object or a series of an export by the end of its name, in the order of the slices."""
    import pydicom

    def read(one: Exported, ending: str) -> list[Any]:
        (path,) = [p for p in one.folder.iterdir() if p.name.endswith(ending)]
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return [pydicom.dcmread(file) for file in files]

    return read
