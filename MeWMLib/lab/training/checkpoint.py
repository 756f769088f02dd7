"""What all training loops share: averaged weights, a checkpoint to resume from, the curve as CSV, clock and rate."""

from __future__ import annotations

import copy
import csv
import math
import pickle
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from MeWMLib.core.errors import InputError, UnreadableFileError, output_error
from MeWMLib.core.io import atomic_path


class AveragedModel:
    """Exponential moving average of weights; the decay warms up, so that the random start is soon forgotten."""

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
    """One training run in a folder: NAME.pt is its checkpoint, NAME.csv its curve.

    Args:
        folder: where both are kept; made where it is missing.
        name: of the part that is trained.
        model, average, optimiser: what is trained; a checkpoint in the folder is loaded into them.
        settings: JSON-ready; a checkpoint of other settings is refused. None lets a run resume under any.

    Attributes:
        step: finished steps.
        extra: tensors and numbers that a training keeps beside its networks.

    Raises:
        InputError: the checkpoint was made with other settings.
        UnreadableFileError: the checkpoint is damaged.
        OutputError: the folder cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        model: nn.Module,
        average: AveragedModel,
        optimiser: torch.optim.Optimizer,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(error, folder) from error
        self.path = folder / f"{name}.pt"
        self.curve = folder / f"{name}.csv"
        self.model, self.average, self.optimiser = model, average, optimiser
        self.settings = None if settings is None else dict(settings)
        self.step = 0
        self.seconds = self.processor = 0.0
        self.extra: dict[str, Any] = {}
        self._since, self._processor_since = time.monotonic(), time.process_time()
        self._rows_checked = False
        if self.path.exists():
            self._resume()

    def _resume(self) -> None:
        try:
            state = torch.load(self.path, map_location="cpu", weights_only=True)  # tensors and numbers only, no code
            if self.settings is not None and state["settings"] != self.settings:
                raise InputError(
                    what="The checkpoint belongs to other settings",
                    given=str(self.path),
                    remedy="Give another folder, or delete the file to begin anew",
                )
            self.model.load_state_dict(state["model"])
            self.average.model.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.average.updates = self.step = state["step"]
            self.seconds, self.extra = state["seconds"], state["extra"]
            self.processor = state.get("processor_seconds", 0.0)  # older checkpoints did not count them
        except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
            raise UnreadableFileError(
                what="The checkpoint cannot be read",
                given=f"{self.path} ({error})",
                remedy="Give another folder, or delete the file to begin anew",
            ) from error

    def _cut_curve(self) -> None:
        """Drop rows of steps beyond the last finished one: an interrupted run made them after its checkpoint."""
        with self.curve.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        with atomic_path(self.curve) as part, part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *(row for row in rows if int(row[0]) < self.step)])

    @property
    def elapsed(self) -> float:
        """Seconds of training, earlier sessions of the same run counted in."""
        return self.seconds + time.monotonic() - self._since

    @property
    def processor_seconds(self) -> float:
        """Seconds of the processor, over all threads of this process, counted in the same way."""
        return self.processor + time.process_time() - self._processor_since

    def progress(self, steps: int, minutes: float) -> float:
        """Finished share of a run that ends after `steps` or `minutes` (0: no limit), whichever comes first."""
        by_steps = self.step / steps if steps else 1.0
        return max(by_steps, self.elapsed / (60 * minutes)) if minutes else by_steps

    def set_rate(self, rate: float, warm_up: int = 0, progress: float | None = None) -> None:
        """Set the learning rate; with `progress` it warms up over so many steps and falls by a cosine to a fiftieth."""
        if progress is not None:
            rate *= min(1.0, (self.step + 1) / warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = float(rate)  # a number of numpy could not be read back

    def take_step(self, most: float) -> None:
        """Move the weights along their gradient, of norm `most` at most, and average them."""
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), most)
        self.optimiser.step()
        self.average.update(self.model)
        self.step += 1

    def save(self) -> None:
        """Write the checkpoint, whole or not at all."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "seconds": self.elapsed,
            "processor_seconds": self.processor_seconds,
            "extra": self.extra,
            "settings": self.settings,
        }
        with atomic_path(self.path) as part:
            torch.save(state, part)

    def log(self, values: Mapping[str, float | Tensor | None]) -> None:
        """Append one row to the curve; None is an empty cell."""
        numbers = {name: "" if value is None else float(value) for name, value in values.items()}
        row = {"step": self.step, "seconds": round(self.elapsed, 1), **numbers}
        new = not self.curve.exists()
        if not new and not self._rows_checked:
            self._cut_curve()
        self._rows_checked = True
        with self.curve.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)
