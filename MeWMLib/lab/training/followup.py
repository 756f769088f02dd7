"""`mewm train followup`: the network that says what became of a known tumour."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.synthetic.cases import SPLITS, Case, draw_case
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.perception.findings import dice
from MeWMLib.perception.followup import FollowUp, FollowUpConfig, FollowUpNetwork, stack


@dataclass(frozen=True)
class FollowUpTraining:
    """Settings.

    Attributes:
        steps: optimiser steps, unless `minutes` (0: no limit) ends the run first.
        batch: treated tumours a step.
        kept: patients in memory, from which batches are drawn; one is replaced at every second step.
        side: of the cubes that are cut around a place in the tumour, in voxels.
        rim_mm: how far around the tumour the loss looks.
        seed: of weights and draws.
    """

    steps: int = 600
    minutes: float = 0.0
    batch: int = 6
    kept: int = 32
    side: int = 64
    learning_rate: float = 1e-3
    rim_mm: float = 8.0
    average: float = 0.98
    seed: int = 0


@dataclass(frozen=True, eq=False)
class _Kept:
    case: Case
    rim: NDArray[np.bool_]
    latents: Tensor


def _keep(seed: int, codec: Autoencoder, rim_mm: float) -> _Kept:
    case = draw_case(seed)
    near = ndimage.distance_transform_edt(case.before.labels != 2) * case.spacing_mm <= rim_mm
    with torch.inference_mode():
        images = torch.from_numpy(np.stack([case.before.hu, *(a.hu for a in case.after)]))[:, None]
        latents = codec.encode(images)
    return _Kept(case, near, latents)


def example(
    kept: _Kept, which: int, codec: Autoencoder, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """HU after treatment (D, H, W) and the tumour in it; every second image is as blurred as simulated ones are.

    A simulated image is the scan before plus a decoded change, and an unsure network gives something between the
    outcomes that it thinks possible. Both are imitated: the change passes through the codec, mixed with a share of
    another protocol's change.
    """
    truth = kept.case.after[which].labels == 2
    if rng.random() < 0.35:
        return kept.case.after[which].hu, truth
    other = int(rng.integers(len(kept.case.after)))
    share = float(rng.uniform(0, 0.4))
    with torch.inference_mode():
        change = (1 - share) * kept.latents[1 + which] + share * kept.latents[1 + other] - kept.latents[0]
        if rng.random() < 0.5:
            change = change + 0.15 * torch.from_numpy(rng.standard_normal(change.shape).astype(np.float32))
        before = torch.from_numpy(kept.case.before.hu)[None, None]
        hu = codec.decode_change(before, change[None])[0, 0].numpy()
    return hu, truth


def train(
    work: Path,
    settings: FollowUpTraining,
    codec: Autoencoder,
    on_step: Callable[[str, float], None] | None = None,
) -> tuple[FollowUp, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there; returns the averaged network and validation figures."""
    torch.manual_seed(settings.seed)
    model = FollowUpNetwork(FollowUpConfig())
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-4)
    run = Run(work, "followup", model, average, optimiser)
    rng = np.random.default_rng([settings.seed, run.step])
    seeds = SPLITS["train"]
    kept: deque[_Kept] = deque(maxlen=settings.kept)
    losses: list[float] = []
    while (progress := _progress(run, settings)) < 1:
        rate = min(1.0, (run.step + 1) / 30) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * rate
        # One patient comes, one goes: drawing costs as much as a step.
        if run.step % 2 == 0 or not kept:
            kept.append(_keep(seeds[int(rng.integers(len(seeds)))], codec, settings.rim_mm))
        chosen = [kept[int(n)] for n in rng.integers(len(kept), size=settings.batch)]
        loss = _loss(model, chosen, codec, rng, settings.side)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimiser.step()
        average.update(model)
        run.step += 1
        losses.append(float(loss.detach()))
        if run.step % 50 == 0:
            run.log({"loss": float(np.mean(losses))})
            run.save()
            losses = []
        if on_step is not None:
            on_step(f"followup, step {run.step}", progress)
    run.save()
    trained = FollowUp(average.model, torch.device("cpu"))  # type: ignore[arg-type]
    return trained, {**validate(trained, codec), "steps": float(run.step), "seconds": run.elapsed}


def _progress(run: Run, settings: FollowUpTraining) -> float:
    by_steps = run.step / settings.steps
    return max(by_steps, run.elapsed / (60 * settings.minutes)) if settings.minutes else by_steps


def _loss(
    model: FollowUpNetwork, chosen: list[_Kept], codec: Autoencoder, rng: np.random.Generator, side: int
) -> Tensor:
    """Cross-entropy in the tumour's neighbourhood plus one minus the soft Dice, on cubes of `side` voxels."""
    before, after, labels, truth, rim = [], [], [], [], []
    for k in chosen:
        hu, tumour = example(k, int(rng.integers(len(k.case.after))), codec, rng)
        box = _cube(k.case.before.labels == 2, side, rng)
        for parts, array in (
            (before, k.case.before.hu), (after, hu), (labels, k.case.before.labels), (truth, tumour), (rim, k.rim),
        ):  # fmt: skip
            parts.append(torch.from_numpy(np.ascontiguousarray(array[box])))
    known, near = torch.stack(truth).float(), torch.stack(rim).float()
    logits = model(stack(torch.stack(before), torch.stack(after), torch.stack(labels)))
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, known, reduction="none")
    entropy = ((each * near).sum((1, 2, 3)) / near.sum((1, 2, 3)).clamp_min(1)).mean()
    soft = logits.sigmoid() * near
    overlap = 2 * (soft * known).sum((1, 2, 3)) / (soft + known * near).sum((1, 2, 3)).clamp_min(1)
    return entropy + 1 - overlap.mean()


def _cube(tumour: NDArray[np.bool_], side: int, rng: np.random.Generator) -> tuple[slice, ...]:
    """A cube around a random voxel of the tumour, inside the patch."""
    places = np.flatnonzero(tumour)
    middle = np.array(np.unravel_index(int(rng.choice(places)), tumour.shape)) if len(places) else side // 2
    start = np.clip(middle - rng.integers(side // 4, 3 * side // 4, 3), 0, np.array(tumour.shape) - side)
    return tuple(slice(int(n), int(n) + side) for n in start)


def validate(model: FollowUp, codec: Autoencoder, patients: int = 12) -> dict[str, float]:
    """Dice of the tumour after treatment, on true images, through the codec, and of the outline before (baseline)."""
    rng = np.random.default_rng(0)
    scores: dict[str, list[float]] = {"dice_after": [], "dice_after_codec": [], "dice_outline_before": []}
    for seed in list(SPLITS["validation"])[:patients]:
        kept = _keep(seed, codec, 8.0)
        before = kept.case.before
        coded = [example(kept, n, codec, rng)[0] for n in range(4)]
        for name, images in (("dice_after", [a.hu for a in kept.case.after[:4]]), ("dice_after_codec", coded)):
            found = model.tumour_after(before.hu, np.stack(images), before.labels)
            scores[name] += [
                dice(f & kept.rim, (a.labels == 2) & kept.rim) for f, a in zip(found, kept.case.after[:4], strict=True)
            ]
        scores["dice_outline_before"] += [
            dice((before.labels == 2) & kept.rim, (a.labels == 2) & kept.rim) for a in kept.case.after[:4]
        ]
    return {name: float(np.mean(values)) for name, values in scores.items()}
