"""Fixtures that all tests share."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

# Before torch is imported: tests share a machine, and sums over threads differ from machine to machine.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "2")


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data; tests are skipped where it is absent."""
    folder = Path(os.environ.get("MEWM_SHARED_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is absent (set MEWM_SHARED_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own data folder out of the tests."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(home))


@pytest.fixture(scope="session")
def fake_script() -> Path:
    """Script of a worker with a small world in place of the networks."""
    return REPOSITORY / "Testing" / "jobs" / "fake_worker.py"


@pytest.fixture(scope="session")
def fake(fake_script: Path) -> ModuleType:
    """The same script as a module."""
    spec = importlib.util.spec_from_file_location("mewm_fake_worker", fake_script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete bundle of a few numbers, found under the default name."""
    from MeWMLib import bundles

    folder = tmp_path / "bundles" / bundles.DEFAULT_BUNDLE
    for n, part in enumerate(bundles.PARTS):
        bundles.write_part(folder, part, {"width": n}, {"weight": np.full((2, 3), n + 0.5, dtype=np.float32)})
    monkeypatch.setenv("MEWM_BUNDLES", str(folder.parent))
    return folder
