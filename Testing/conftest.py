"""Fixtures that all tests share."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from Testing.browsers import driven

if TYPE_CHECKING:
    from MeWMLib.core.bundles import Bundle
    from MeWMLib.dynamics.map_network import MapNetwork

REPOSITORY = Path(__file__).resolve().parents[1]

# Before torch is imported: tests share a machine, and sums over threads differ from machine to machine. Where xdist
# runs a process for each core, one thread each is all that there is.
for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1" if "PYTEST_XDIST_WORKER" in os.environ else "2")

#: Files whose tests take more than some seconds together (`pytest --durations=0`): `make quick` leaves them out.
SLOW_FILES = (
    "app/test_server.py", "app/test_folder.py", "app/test_browser.py",
    "cohorts/test_dicom_import.py", "cohorts/test_real_import.py", "dynamics/test_model.py", "jobs/test_remote.py",
    "jobs/test_runner.py", "jobs/test_server.py", "jobs/test_warm.py", "jobs/test_worker_process.py",
    "lab/cohort_plans", "lab/evaluation",
    "lab/synthetic", "lab/training", "planning/test_best_first.py", "policy/llm/test_local_model.py", "properties",
    "scene/test_main.py", "scene/test_mrb.py", "scene/test_pictures.py", "scene/test_report.py", "slicer",
    "survival/test_network.py", "test_cli.py", "test_documents.py", "world",
    "exchange",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of slow files, and take them first: what runs beside a slow file then ends with it."""
    for item in items:
        if item.path.relative_to(REPOSITORY / "Testing").as_posix().startswith(SLOW_FILES):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window, for one file of tests."""
    with driven() as running:
        yield running


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


@pytest.fixture(params=["slicer-core", "kits only"])
def slicer_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of a process that needs Slicer's core: as it is, and as PythonSlicer sees Slicer."""
    pytest.importorskip("slicer_core", reason='slicer-core is not installed: pip install "mewm[scene]"')
    usual = os.environ.get("PYTHONPATH", "")
    if request.param == "slicer-core":
        return usual
    file = REPOSITORY / "Testing" / "slicer_host" / "kits.py"
    spec = importlib.util.spec_from_file_location("mewm_slicer_kits", file)
    assert spec is not None and spec.loader is not None
    kits = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kits)
    path: str = kits.environment(kits.write_kits(tmp_path_factory.mktemp("python") / "kits"))["PYTHONPATH"]
    return path


@pytest.fixture(autouse=True)
def _own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's own data folder out of the tests."""
    home = tmp_path_factory.mktemp("home")
    # on Windows the system is asked for the folder, whatever the environment says
    monkeypatch.setenv("MEWM_DATA" if os.name == "nt" else "XDG_DATA_HOME", str(home))


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


@pytest.fixture(scope="session")
def phantom() -> ModuleType:
    """Drawn trunks and how to write them as DICOM: `core/dicom/builders.py`."""
    file = REPOSITORY / "Testing" / "core" / "dicom" / "builders.py"
    spec = importlib.util.spec_from_file_location("mewm_dicom_builders", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def small_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A complete bundle of a few numbers, found under the default name."""
    from MeWMLib.core import bundles

    folder = tmp_path / "bundles" / bundles.DEFAULT_BUNDLE
    for n, part in enumerate(bundles.PARTS):
        bundles.write_part(folder, part, {"width": n}, {"weight": np.full((2, 3), n + 0.5, dtype=np.float32)})
    monkeypatch.setenv("MEWM_BUNDLES", str(folder.parent))
    return folder


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """All four parts, untrained and very small: real networks for tests that need no trained ones."""
    import torch

    from MeWMLib.core.bundles import find_bundle, write_part
    from MeWMLib.dynamics.autoencoder import fit
    from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
    from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build
    from MeWMLib.survival.config import SurvivalConfig
    from MeWMLib.survival.network import SurvivalNetwork

    folder = tmp_path_factory.mktemp("tiny")
    torch.manual_seed(0)
    codec = fit(torch.randn(2000, 64), 4)
    write_part(folder, "autoencoder", codec.part_config(), codec.tensors())
    config = DenoiserConfig(latent=4, widths=(8, 8), condition=16, change_scale=(0.5,) * 4)
    denoiser = Denoiser(config)
    for parameter in denoiser.parameters():
        if not parameter.any():  # layers that begin at zero would hide the action
            torch.nn.init.normal_(parameter, std=0.1)
    entry = {**config.__dict__, "widths": [8, 8], "agents": list(config.agents), "change_scale": [0.5] * 4}
    write_part(folder, "dynamics", entry, {k: v.numpy() for k, v in denoiser.state_dict().items()})
    small = SegmenterConfig(filters=(4, 4, 4, 8, 8), spacing_mm=4.0, window=32)
    segmenter = Segmenter(small, build(small), torch.device("cpu"))
    write_part(folder, "assistant", segmenter.part_config(), segmenter.tensors())
    survival = SurvivalNetwork(SurvivalConfig(width=8))
    tensors = {k: v.detach().numpy() for k, v in survival.state_dict().items()}
    write_part(folder, "survival", survival.config.to_json(), tensors)
    return find_bundle(folder)


@pytest.fixture(scope="session")
def map_network() -> MapNetwork:
    """A small map network with weights by chance, those included that begin at zero."""
    import torch

    from MeWMLib.dynamics.map_network import MapConfig, MapNetwork

    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = MapNetwork(MapConfig((8, 16), 16, response_spread=(0.5, 0.1, 0.4, 0.0, 0.1, 0.3)))
        for name, weight in network.named_parameters():
            if not weight.any():
                torch.nn.init.normal_(weight, std=0.05)
            if name == "out.2.weight":
                weight.data *= 3
    return network.eval()


@pytest.fixture(scope="session")
def tiny_map_bundle(tiny_bundle: Bundle, map_network: MapNetwork, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The parts of `tiny_bundle` with a dynamics model on coarse maps."""
    from MeWMLib.core.bundles import find_bundle, write_part
    from MeWMLib.dynamics.map_model import network_part

    folder = tmp_path_factory.mktemp("tiny-maps") / "tiny"
    shutil.copytree(tiny_bundle.path, folder)
    write_part(folder, "dynamics", *network_part(map_network))
    return find_bundle(folder)
