"""What a survival training carries from step to step, and how it is stored and taken up again."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import atomic_path, write_json
from MeWMLib.survival.network import SurvivalNetwork

_ADAM = ("step", "exp_avg", "exp_avg_sq")


@dataclass
class State:
    """Network, optimiser, averaged weights now and at the best validation, and the number of finished steps."""

    network: SurvivalNetwork
    optimiser: torch.optim.AdamW
    average: dict[str, Tensor]
    best: dict[str, Tensor]
    best_c_index: float = -1.0
    step: int = 0

    def assign(self, values: dict[str, Tensor]) -> None:
        """Give the network other weights."""
        with torch.no_grad():
            for name, parameter in self.network.named_parameters():
                parameter.copy_(values[name])


def save_checkpoint(out: Path, settings: dict[str, Any], state: State, curve: Sequence[Sequence[Any]]) -> None:
    """Write curve.csv and a checkpoint: the tensors under the step's name first, then the JSON that points to them.

    Raises:
        OutputError: `out` cannot be written; the checkpoint before is still there.
    """
    tensors = {f"average.{name}": p for name, p in state.average.items()}
    tensors |= {f"best.{name}": p for name, p in state.best.items()}
    for name, parameter in state.network.named_parameters():
        tensors[f"network.{name}"] = parameter.detach()
        tensors |= {f"adam.{name}.{key}": state.optimiser.state[parameter][key] for key in _ADAM}
    file = f"checkpoint-{state.step:06d}.safetensors"
    with atomic_path(out / file) as path:
        safetensors.torch.save_file({name: t.contiguous().cpu() for name, t in tensors.items()}, path)
    with atomic_path(out / "curve.csv") as path, path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, lineterminator="\n").writerows(curve)
    point = {"step": state.step, "file": file, "best_c_index": state.best_c_index, "seed": settings["seed"]}
    write_json({**point, "settings": settings, "curve": list(curve)}, out / "checkpoint.json")
    for old in out.glob("checkpoint-*.safetensors"):
        if old.name != file:
            old.unlink(missing_ok=True)


def load_checkpoint(out: Path, settings: dict[str, Any], state: State) -> list[list[Any]]:
    """Take up the checkpoint in `out`, if there is one; return the rows of the curve until then.

    Raises:
        InputError: the checkpoint was made with other settings.
        UnreadableFileError: the checkpoint is damaged.
    """
    path = out / "checkpoint.json"
    if not path.is_file():
        return []
    try:
        point = json.loads(path.read_text(encoding="utf-8"))
        if point["settings"] != settings:
            raise InputError(
                what="The checkpoint belongs to other settings",
                given=str(path),
                remedy="Give another output folder, or train again without resuming",
            )
        tensors = safetensors.torch.load_file(path.with_name(point["file"]))
        state.assign({name: tensors[f"network.{name}"] for name in state.average})
        for kind in (state.average, state.best):
            prefix = "average." if kind is state.average else "best."
            for name, value in kind.items():
                value.copy_(tensors[prefix + name])
        for name, parameter in state.network.named_parameters():
            # Adam keeps its count of steps on the CPU, its moments beside the parameter.
            kept = {key: tensors[f"adam.{name}.{key}"] for key in _ADAM}
            moved = {key: value.to(parameter.device) for key, value in kept.items() if key != "step"}
            state.optimiser.state[parameter] = {"step": kept["step"], **moved}
        state.step, state.best_c_index = int(point["step"]), float(point["best_c_index"])
        return [list(row) for row in point["curve"][1:]]
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, safetensors.SafetensorError) as error:
        raise UnreadableFileError(
            what="The checkpoint cannot be read", given=f"{path} ({error})", remedy="Train again without resuming"
        ) from error
