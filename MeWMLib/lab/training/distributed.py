"""Several processes that train one network, as `torchrun` starts them: gloo on CPUs, nccl on NVIDIA GPUs.

    torchrun --nproc-per-node 4 -m -- MeWMLib.lab.training dynamics --config FILE.json ...

Every process draws its own batches; gradients are averaged, so all hold the same weights. The first one (rank 0)
writes the checkpoints, the curve and the bundle; the others only need to read the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from MeWMLib.core.errors import DeviceError, InputError
from MeWMLib.core.precision import computes_bfloat16, multiplies_bfloat16
from MeWMLib.world.machine import choose_device

_NEEDED = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes:
        rank: 0 to size - 1.
        size: number of processes; 1 is training without torchrun, where nothing below does anything.
        device: where this process computes.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @property
    def first(self) -> bool:
        """Whether this process writes files and reports progress."""
        return self.rank == 0

    def average_gradients(self, model: nn.Module) -> None:
        """Put the mean over all processes in place of each gradient."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.flatten() for g in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))

    def from_first(self, value: Any) -> Any:
        """What rank 0 holds: numbers, or anything else that can be pickled."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def share_weights(self, model: nn.Module) -> None:
        """Give all processes the parameters and buffers of rank 0."""
        if self.size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, src=0)

    def require_same(self, value: int, what: str) -> None:
        """Refuse to go on if the processes do not agree on a number.

        Raises:
            InputError: they differ; every process raises it.
        """
        if self.size == 1:
            return
        found = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        dist.all_gather(found, torch.tensor([value], device=self.device))
        values = [int(v) for v in found]
        if len(set(values)) > 1:
            raise InputError(
                what=f"The training processes differ in {what}",
                given=", ".join(map(str, values)),
                remedy="Give all of them the same --work and --cohort on a disk that they share",
            )


@contextmanager
def ranks(device: str = "auto", environment: Mapping[str, str] | None = None) -> Iterator[Ranks]:
    """Join the processes that torchrun started; without torchrun there is only this one.

    The group is left on the way out, after an error too.

    Args:
        device: see `choose_device`; each of several processes takes a GPU of its own.
        environment: in place of that of this process (the rendezvous reads the address from `os.environ`).

    Raises:
        InputError: only a part of what torchrun sets is there, or it is not a number.
        DeviceError: the device is not available, or there are fewer GPUs than processes on this machine.
    """
    names = os.environ if environment is None else environment
    chosen = choose_device(device)
    if "WORLD_SIZE" not in names and "RANK" not in names:
        yield Ranks(device=chosen)
        return
    missing = [name for name in _NEEDED if name not in names]
    numbers = [names.get(name, "") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")]
    if missing or not all(n.isdecimal() for n in numbers) or not int(numbers[0]) < int(numbers[1]):
        raise InputError(
            what="The environment of a distributed training is not complete",
            given=f"missing {', '.join(missing)}" if missing else f"RANK, WORLD_SIZE, LOCAL_RANK = {numbers}",
            remedy="Start it with `torchrun --nproc-per-node N -m -- MeWMLib.lab.training dynamics ...`",
        )
    rank, size, local = (int(n) for n in numbers)
    gpus = torch.cuda.device_count() if chosen.type == "cuda" else 0
    if gpus and local >= gpus:
        raise DeviceError(
            what="There are fewer GPUs than training processes on this machine",
            given=f"{gpus} GPUs, process {local + 1}",
            remedy=f"Use `--nproc-per-node {gpus}`, or train on CPUs with `--device cpu`",
        )
    mine = torch.device("cuda", local) if gpus else torch.device("cpu")
    if gpus:
        torch.cuda.set_device(mine)
    dist.init_process_group("nccl" if gpus else "gloo", rank=rank, world_size=size)
    try:
        yield Ranks(rank, size, mine)
    finally:
        dist.destroy_process_group()


def mixed_precision(precision: str, device: torch.device) -> bool:
    """True if a training with a setting `precision` (`dynamics_settings.PRECISIONS`) computes in bfloat16.

    Raises:
        DeviceError: see `require_precision`.
    """
    require_precision(precision, device)
    return precision == "bfloat16" or (precision == "auto" and computes_bfloat16(device))


def require_precision(precision: str, device: torch.device) -> None:
    """Refuse mixed precision where the hardware would only emulate it.

    Raises:
        DeviceError: bfloat16 on a device that does not compute in it.
    """
    if precision == "bfloat16" and not multiplies_bfloat16(device):
        raise DeviceError(
            what="Mixed precision in bfloat16 needs hardware that computes in it",
            given=f"device {device}",
            remedy='Set "precision": "auto" or "float32", or train on an NVIDIA GPU (Ampere or later) or a CPU with '
            "AVX512-BF16 or AMX",
        )
