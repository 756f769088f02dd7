"""Plan directories and a running Slicer core for the tests of the scene."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# With --import-mode=importlib a folder of tests is not on sys.path: its helper is loaded by place.
_SPEC = importlib.util.spec_from_file_location("mewm_plan_folders", Path(__file__).with_name("plan_folders.py"))
assert _SPEC is not None and _SPEC.loader is not None
plan_folders = importlib.util.module_from_spec(_SPEC)
sys.modules["mewm_plan_folders"] = plan_folders
_SPEC.loader.exec_module(plan_folders)


@pytest.fixture(scope="session")
def folders() -> Any:
    """The module that writes plan directories."""
    return plan_folders


@pytest.fixture(scope="session")
def _plans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("plans")
    made = {}
    for name, affine in (("axial", plan_folders.AXIAL), ("oblique", plan_folders.oblique())):
        ct, labels, geometry = plan_folders.small_patient(affine)
        made[name] = plan_folders.write_plan_folder(root / name, ct, labels, geometry)
    return made


@pytest.fixture(scope="session", params=["axial", "oblique"])
def any_plan(request: pytest.FixtureRequest, _plans: dict[str, Path]) -> Path:
    """A plan directory, axial and oblique; only to be read."""
    return _plans[request.param]


@pytest.fixture(scope="session")
def axial_plan(_plans: dict[str, Path]) -> Path:
    """The axial plan directory; only to be read."""
    return _plans["axial"]


@pytest.fixture
def own_plan(_plans: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the axial plan directory that a test may change."""
    return Path(shutil.copytree(_plans["axial"], tmp_path / "plan"))


@pytest.fixture
def core() -> Iterator[Any]:
    """A running core; a test fails on any error that VTK reports meanwhile."""
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    from MeWMLib.scene.core_app import SlicerCore, vtk_errors

    with vtk_errors() as errors:
        with SlicerCore() as running:
            yield running
    assert errors == []


@pytest.fixture(scope="session")
def opengl() -> None:
    """Skip where VTK cannot render."""
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    from MeWMLib.scene.gl import gl_available

    if not gl_available():
        pytest.skip("no OpenGL driver: apt install libegl1 libgl1-mesa-dri")
