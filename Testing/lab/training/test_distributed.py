"""Training in several processes, as torchrun starts them: two real ones on the CPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from MeWMLib.core import bundles
from MeWMLib.core.errors import DeviceError, InputError
from MeWMLib.lab.training.distributed import Ranks, ranks, require_precision

WORKER = Path(__file__).with_name("rank_worker.py")
COMPLETE = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "29555"}


def torchrun(repository: Path, *program: object) -> subprocess.CompletedProcess[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if k not in COMPLETE},
        "PYTHONPATH": str(repository),
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*start, *map(str, program)], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done


def both(folder: Path) -> tuple[list[dict], list[dict[str, np.ndarray]]]:
    seen = [json.loads((folder / f"{n}.json").read_text()) for n in (0, 1)]
    weights = []
    for n in (0, 1):
        with np.load(folder / f"{n}.npz") as data:
            weights.append({k: data[k] for k in data.files})
    return seen, weights


@pytest.mark.slow
def test_two_processes_train_one_network_and_resume(repository: Path, planted: Path, tmp_path: Path) -> None:
    kept = []
    for steps in (2, 4):
        out = tmp_path / str(steps)
        out.mkdir()
        done = torchrun(repository, WORKER, planted, tmp_path / "work", out, steps)
        assert done.returncode == 0, done.stderr[-3000:]
        seen, weights = both(out)
        kept.append(weights[0])
        assert [s["rank"] for s in seen] == [0, 1] and all(s["size"] == 2 and s["backend"] == "gloo" for s in seen)
        assert weights[0].keys() == weights[1].keys()
        assert all(np.array_equal(weights[0][k], weights[1][k]) for k in weights[0])
        assert seen[0]["drawn"] != seen[1]["drawn"] and len(seen[0]["drawn"]) == 4  # 2 steps of 2 batches
        assert all(s["mean"] == [[2.0, 2.0]] and s["from_first"] == "rank 0" and s["left"] for s in seen)
        assert all("differ in their rank" in s["refused"] for s in seen)
        assert seen[0]["saved"] == 1 and seen[1]["saved"] == 0
        assert [s["figures"]["steps"] for s in seen] == [steps, steps]
        state = torch.load(tmp_path / "work" / "dynamics.pt", weights_only=True)
        assert state["step"] == steps == state["optimiser"]["state"][0]["step"]
    assert [s["first_step"] for s in seen] == ["dynamics, step 3"] * 2
    assert any(not np.array_equal(kept[0][k], kept[1][k]) for k in kept[0])


@pytest.mark.slow
def test_the_program_under_torchrun_writes_one_bundle_and_speaks_once(repository: Path, planted: Path) -> None:
    config = planted / "small.json"
    config.write_text(json.dumps({"widths": [8, 8], "condition": 16, "batch": 2, "pairs": 1, "steps": 1}))
    folders = ("--bundle", planted / "bundle", "--cohort", planted, "--work", planted / "work")
    done = torchrun(
        repository,
        "-m",
        "MeWMLib.lab.training",
        "--threads",
        1,
        "dynamics",
        "--model",
        "latent",
        *folders,
        "--config",
        config,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["steps"] == 1
    assert "destroy_process_group" not in done.stderr
    part = bundles.find_bundle((planted / "bundle").resolve(), require=("dynamics",)).part("dynamics")
    assert part[0]["widths"] == [8, 8]


def test_one_process_alone_shares_nothing() -> None:
    with ranks("cpu", {}) as mine:
        assert mine.first and mine.size == 1
    alone = Ranks()
    layer = torch.nn.Linear(2, 1)
    layer.weight.grad = torch.tensor([[1.0, 2.0]])
    alone.average_gradients(layer)
    alone.share_weights(layer)
    alone.require_same(3, "anything")
    assert layer.weight.grad.tolist() == [[1.0, 2.0]] and alone.from_first("x") == "x"


@pytest.mark.parametrize("name", [n for n in COMPLETE if n != "RANK"])
def test_a_part_of_the_environment_is_refused_with_what_is_missing(name: str) -> None:
    with (
        pytest.raises(InputError, match=rf"missing {name}\. Start it with `torchrun"),
        ranks("cpu", {k: v for k, v in COMPLETE.items() if k != name}),
    ):
        pass


@pytest.mark.parametrize("wrong", [{"RANK": "one"}, {"WORLD_SIZE": ""}, {"RANK": "2"}, {"LOCAL_RANK": "-1"}])
def test_an_environment_that_cannot_be_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(InputError, match="not complete"), ranks("cpu", {**COMPLETE, **wrong}):
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="1 GPUs, process 2"), ranks("cuda", {**COMPLETE, "LOCAL_RANK": "1"}):
        pass


def test_bfloat16_asks_for_hardware_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False}, raising=False)
    require_precision("float32", torch.device("cpu"))
    require_precision("auto", torch.device("cpu"))
    with pytest.raises(DeviceError, match="device cpu"):
        require_precision("bfloat16", torch.device("cpu"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True}, raising=False)
    require_precision("bfloat16", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    with pytest.raises(DeviceError, match="device cuda"):  # it would only be emulated
        require_precision("bfloat16", torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    require_precision("bfloat16", torch.device("cuda"))
