"""`mewm train dynamics`: the action-conditioned denoiser, by rectified flow on encoded changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.bundles import find_bundle
from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.model import denoiser_from_part, treated_window
from MeWMLib.training.checkpoint import AveragedModel, Run

KEYS = ("before", "changes", "masks", "actions", "spacing")


@dataclass(frozen=True)
class DynamicsTraining:
    """Settings.

    Attributes:
        steps: optimiser steps, unless `minutes` ends the run first.
        minutes: 0 means no limit.
        batch: outcomes a step.
        learning_rate: peak; warms up over 50 steps and falls by a cosine (over the steps, or the minutes where they
            are given).
        action_dropout: share of outcomes whose action is hidden (classifier-free guidance).
        outside_weight: loss weight of blocks that touch no tumour (they are cut away when the patch is composed).
        seed: of the weights and every draw.
        start: bundle whose denoiser is trained on; None starts from random weights.
    """

    steps: int = 2000
    minutes: float = 0.0
    batch: int = 8
    learning_rate: float = 6e-4
    action_dropout: float = 0.1
    outside_weight: float = 0.05
    average: float = 0.995
    seed: int = 0
    start: Path | None = None


class LatentCohort:
    """Encoded patients in memory; `refresh` takes in files that were written since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: set[Path] = set()
        self.patients: list[dict[str, NDArray[Any]]] = []
        self.refresh()
        if not self.patients:
            raise InputError(
                what="No encoded patients to train on", given=str(folder), remedy="Run `mewm train cohort` first"
            )

    def refresh(self) -> None:
        """Load new files."""
        for path in sorted(set(self.folder.glob("*.npz")) - self._files):
            with np.load(path) as data:
                arrays = {k: data[k] for k in KEYS}
            window = treated_window(arrays["masks"][0])
            for key in ("before", "changes", "masks"):
                arrays[key] = np.ascontiguousarray(arrays[key][(..., *window)])
            self.patients.append(arrays)
            self._files.add(path)

    def change_scale(self, patients: int = 100) -> tuple[float, ...]:
        """Standard deviation of each latent channel's change in the blocks of tumours."""
        values = []
        for p in self.patients[:patients]:
            tumour = p["masks"][0] > 0.5
            if tumour.any():
                values.append(
                    p["changes"][:, :, tumour].astype(np.float32).transpose(1, 0, 2).reshape(p["changes"].shape[1], -1)
                )
        return tuple(float(v) for v in np.concatenate(values, 1).std(1).clip(1e-3))

    def batch(self, size: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """A random batch of pairs: two protocols of one patient, so that actions are what differs.

        All patients of a batch have a window of one size, that of the patient who is drawn first.
        """
        rows: dict[str, list[NDArray[Any]]] = {k: [] for k in ("before", "change", "masks", "actions", "spacing")}
        shape = None
        while len(rows["before"]) < size:
            p = self.patients[int(rng.integers(len(self.patients)))]
            shape = shape or p["before"].shape
            if p["before"].shape != shape:
                continue
            for which in rng.permutation(len(p["changes"]))[: min(2, size - len(rows["before"]))]:
                rows["before"].append(p["before"])
                rows["change"].append(p["changes"][which])
                rows["masks"].append(p["masks"])
                rows["actions"].append(p["actions"][which])
                rows["spacing"].append(p["spacing"])
        return {k: torch.from_numpy(np.stack(v).astype(np.float32)) for k, v in rows.items()}


def flow_loss(
    model: Denoiser, batch: dict[str, Tensor], scale: Tensor, generator: torch.Generator, settings: DynamicsTraining
) -> Tensor:
    """Mean squared error of the predicted clean change at a random time, weighted to the tumour and its rim."""
    clean = batch["change"] / scale
    n = len(clean)
    # More of the early times, where the network decides what will happen, than of the late ones, where it sharpens.
    time = torch.rand(n, generator=generator) ** 1.5
    noise = torch.randn(clean.shape, generator=generator)
    t = time[:, None, None, None, None]
    dropped = torch.rand(n, generator=generator) < settings.action_dropout
    predicted = model(
        (1 - t) * noise + t * clean, batch["before"], batch["masks"], batch["actions"], batch["spacing"], time, dropped
    )
    tumour = torch.nn.functional.max_pool3d(batch["masks"][:, :1], 3, stride=1, padding=1) > 0.02
    weight = torch.where(tumour, 1.0, settings.outside_weight)
    # Every patient counts alike, whatever the size of the tumour.
    weight = weight / weight.sum((1, 2, 3, 4), keepdim=True)
    return ((predicted - clean).square().mean(1, keepdim=True) * weight).sum((1, 2, 3, 4)).mean()


def train(
    cohort: Path, work: Path, settings: DynamicsTraining, on_step: Callable[[str, float], None] | None = None
) -> tuple[TrainedDenoiser, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there.

    Args:
        cohort: folder with `train/` (and `validation/`) of `mewm train cohort`.
        work: folder of the checkpoint and the curve.

    Returns:
        The averaged denoiser and the figures of the last rows of its curve.
    """
    torch.manual_seed(settings.seed)
    data = LatentCohort(cohort / "train")
    held_out = LatentCohort(cohort / "validation")
    latent = data.patients[0]["before"].shape[0]
    if settings.start is None:
        model = Denoiser(DenoiserConfig(latent=latent, change_scale=data.change_scale()))
    else:
        part = find_bundle(settings.start.resolve(), require=("dynamics",)).part("dynamics")
        model = denoiser_from_part(*part).train()
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-3)
    run = Run(work, "dynamics", model, average, optimiser)
    # The scale is part of the config: a resumed run must use the one it began with.
    scale = _kept_scale(work / "dynamics_scale.npy", model.config.change_scale)
    scale_tensor = torch.tensor(scale)[None, :, None, None, None]
    rng = np.random.default_rng([settings.seed, run.step])
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step)
    check = held_out.batch(24, np.random.default_rng(1))
    losses: list[float] = []
    figures: dict[str, float] = {}
    while (progress := _progress(run, settings)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = (
                settings.learning_rate
                * min(1.0, (run.step + 1) / 50)
                * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
        model.train()
        loss = flow_loss(model, data.batch(settings.batch, rng), scale_tensor, generator, settings)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model)
        run.step += 1
        losses.append(float(loss.detach()))
        if run.step % 50 == 0:
            figures = {"loss": float(np.mean(losses)), **validate(average.model, check, scale_tensor, settings)}
            losses = []
            run.log(figures)
            run.save()
            data.refresh()
        if on_step is not None:
            on_step(f"dynamics, step {run.step}", progress)
    run.save()
    return TrainedDenoiser(average.model, scale), {**figures, "steps": float(run.step), "seconds": run.elapsed}


@torch.no_grad()
def validate(model: Denoiser, batch: dict[str, Tensor], scale: Tensor, settings: DynamicsTraining) -> dict[str, float]:
    """Validation loss with true and with shuffled actions, same noise: the gap is what the model learnt of actions."""
    shuffled = {**batch, "actions": batch["actions"].roll(1, 0)}
    quiet = DynamicsTraining(action_dropout=0.0, outside_weight=settings.outside_weight)
    out = {}
    for name, rows in (("validation", batch), ("validation_shuffled", shuffled)):
        out[name] = float(flow_loss(model, rows, scale, torch.Generator().manual_seed(7), quiet))
    return out


class TrainedDenoiser:
    """What a bundle stores of the denoiser."""

    def __init__(self, model: Denoiser, scale: tuple[float, ...]) -> None:
        self.model, self.scale = model, scale

    def part_config(self) -> dict[str, Any]:
        """Config with the scale of this run."""
        config = self.model.config
        return {
            "latent": config.latent,
            "widths": list(config.widths),
            "condition": config.condition,
            "agents": list(config.agents),
            "change_scale": list(self.scale),
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Averaged weights."""
        return {k: v.detach().cpu().numpy() for k, v in self.model.state_dict().items()}


def _progress(run: Run, settings: DynamicsTraining) -> float:
    by_steps = run.step / settings.steps
    return max(by_steps, run.elapsed / (60 * settings.minutes)) if settings.minutes else by_steps


def _kept_scale(path: Path, scale: tuple[float, ...]) -> tuple[float, ...]:
    if path.exists():
        return tuple(float(v) for v in np.load(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(scale))
    return scale
