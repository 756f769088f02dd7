"""What all training loops share: averaged weights, checkpoints that a killed run resumes from, curves as CSV."""

from __future__ import annotations

import copy
import csv
import time
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class AveragedModel:
    """Exponential moving average of weights; the decay warms up, so that the random start does not linger."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.updates = 0

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the current weights."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        pairs = list(zip(self.model.state_dict().values(), model.state_dict().values(), strict=True))
        # some networks list a tensor under two names; it is averaged once
        floats = list({mean.data_ptr(): (mean, value) for mean, value in pairs if mean.is_floating_point()}.values())
        # all at once: on a GPU hundreds of small calls would take longer than the step
        get_ema_multi_avg_fn(decay)([mean for mean, _ in floats], [value for _, value in floats], self.updates)
        for mean, value in pairs:
            if not mean.is_floating_point():
                mean.copy_(value)


class Run:
    """One training run in a folder: checkpoint, curve and clock."""

    def __init__(
        self, folder: Path, name: str, model: nn.Module, average: AveragedModel, optimiser: torch.optim.Optimizer
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}.pt"
        self.curve = folder / f"{name}.csv"
        self.model, self.average, self.optimiser = model, average, optimiser
        self.step = 0
        self.seconds = 0.0
        self._since = time.monotonic()
        self._resume()

    def _resume(self) -> None:
        if not self.path.exists():
            return
        state = torch.load(self.path, map_location="cpu", weights_only=True)  # tensors and numbers only, no code
        self.model.load_state_dict(state["model"])
        self.average.model.load_state_dict(state["average"])
        self.average.updates = state["step"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.seconds = state["step"], state["seconds"]

    @property
    def elapsed(self) -> float:
        """Seconds of training, earlier sessions of the same run counted in."""
        return self.seconds + time.monotonic() - self._since

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        part = self.path.with_suffix(".part")
        torch.save(
            {
                "model": self.model.state_dict(),
                "average": self.average.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "step": self.step,
                "seconds": self.elapsed,
            },
            part,
        )
        part.replace(self.path)

    def log(self, values: dict[str, float | Tensor]) -> None:
        """Append one row to the curve."""
        row = {"step": self.step, "seconds": round(self.elapsed, 1), **{k: float(v) for k, v in values.items()}}
        new = not self.curve.exists()
        with self.curve.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
