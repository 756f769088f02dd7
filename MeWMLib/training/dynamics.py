"""`mewm train dynamics`: the action-conditioned denoiser, by rectified flow on encoded changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.bundles import find_bundle
from MeWMLib.core.errors import InputError
from MeWMLib.core.protocol import EMBOLIC, Protocol, agent
from MeWMLib.dynamics.actions import known_agents
from MeWMLib.dynamics.attenuation import expected_level
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.maps import tumour_maps
from MeWMLib.dynamics.model import denoiser_from_part, treated_window
from MeWMLib.dynamics.text import cached_embeddings
from MeWMLib.training.checkpoint import AveragedModel, Run
from MeWMLib.training.contrastive import combo_contrastive, tumour_features

KEYS = ("before", "changes", "attenuated", "masks", "actions", "levels", "responses", "spacing")
NOTED = ("noted_actions", "noted_responses")
#: Edge of the crop, in blocks, on which the U-Net trains; what a tumour is, is read from its whole window.
CROP = 16
#: Means and deviations of the responses over a cohort, so that the response head's errors count alike.
RESPONSE_MEAN = (0.55, -0.2, 0.15, -1.1)
RESPONSE_SCALE = (0.29, 0.28, 0.2, 0.9)


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
        pairs: patients in a batch; each gives batch / pairs protocols, so that actions are what differs.
        response_weight: of the response head's error; 0 turns the head off.
        contrastive_weight: of combo contrastive learning; 0 turns it off (ablation).
        time_power: times are drawn as u ** time_power, u uniform; above 1 most of them are early.
        action_blind: hide every action, text and attenuation level (the baseline `action_blind`).
        text, attenuation: False trains without that input (ablations).
        image_share: how far the channels of the latent count by what they mean in the image (the first one, the mean of
            a block, holds four fifths of the change of HU) and not all alike.
        outside_weight: loss weight of blocks that touch no tumour (they are cut away when the patch is composed).
        seed: of the weights and every draw.
        start: bundle whose denoiser is trained on; None starts from random weights.
    """

    steps: int = 2000
    minutes: float = 0.0
    batch: int = 12
    pairs: int = 4
    learning_rate: float = 1e-3
    action_dropout: float = 0.1
    response_weight: float = 0.3
    contrastive_weight: float = 0.02
    time_power: float = 3.0
    action_blind: bool = False
    text: bool = True
    attenuation: bool = True
    image_share: float = 0.8
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
                arrays = {k: data[k] for k in (*KEYS, *NOTED)}
            window = treated_window(arrays["masks"][0])
            arrays["masks"] = tumour_maps(arrays["before"][0], arrays["masks"]).astype(np.float16)
            for key in ("before", "changes", "attenuated", "masks"):
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

    def occlusion(self, agents: Sequence[str]) -> dict[str, float]:
        """Share of the flow that each embolic stops on average, from the levels where it was the only one."""
        found: dict[str, list[float]] = {}
        for p in self.patients:
            for actions, level in zip(p["actions"], p["levels"], strict=True):
                given = [a for n, a in enumerate(agents) if actions[n, 0] > 0 and agent(a).kind == EMBOLIC]
                if len(given) == 1:
                    found.setdefault(given[0], []).append((float(level) - 0.5) / 4)
        return {name: round(float(np.mean(shares)), 4) for name, shares in sorted(found.items())}

    def batch(self, size: int, rng: np.random.Generator, pairs: int = 4) -> dict[str, Tensor]:
        """A random batch: `pairs` patients with several protocols each.

        All patients of a batch have a window of one size, that of the patient who is drawn first. Half of the levels
        are those that the report states, half those expected of the embolics, as at the time of planning.
        """
        rows: dict[str, list[Any]] = {
            k: [] for k in ("before", "change", "attenuated", "masks", "actions", "responses", "spacing", "pair")
        }
        whole: dict[str, list[Any]] = {k: [] for k in (*NOTED, "whole_before", "whole_masks")}
        shape = None
        while len(rows["before"]) < size:
            p = self.patients[int(rng.integers(len(self.patients)))]
            shape = shape or p["before"].shape
            if p["before"].shape != shape:
                continue
            each = min(-(-size // pairs), size - len(rows["before"]))
            crop = _crop(p["masks"][0], rng)
            for which in rng.permutation(len(p["changes"]))[:each]:
                level = int(p["levels"][which])
                if level and rng.random() < 0.5:
                    level = int(p["expected"][which]) if "expected" in p else level
                before = p["before"][crop]
                rows["before"].append(before)
                rows["change"].append(p["changes"][which][crop])
                rows["attenuated"].append(p["attenuated"][level - 1][crop] if level else np.zeros_like(before))
                rows["masks"].append(p["masks"][crop])
                rows["actions"].append(p["actions"][which])
                rows["responses"].append(p["responses"][which])
                rows["spacing"].append(p["spacing"])
                rows["pair"].append(len(whole["whole_before"]))
            chosen = rng.permutation(len(p["noted_actions"]))[:24]
            for key in NOTED:
                whole[key].append(p[key][chosen])
            whole["whole_before"].append(p["before"])
            whole["whole_masks"].append(p["masks"])
        out = {k: torch.from_numpy(np.stack(v).astype(np.float32)) for k, v in (rows | whole).items()}
        out["attenuated"] += out["before"]
        return out

    def expect(self, agents: Sequence[str], occlusion: Mapping[str, float]) -> None:
        """Note the level that is expected of each protocol (attenuation.expected_level)."""
        for p in self.patients:
            if "expected" not in p:
                names = [[a for n, a in enumerate(agents) if row[n, 0] > 0] for row in p["actions"]]
                p["expected"] = np.array([expected_level(Protocol.of(given), occlusion) for given in names])


def _crop(tumour_share: NDArray[Any], rng: np.random.Generator) -> tuple[slice, ...]:
    """A cube of `CROP` blocks around a random block of the tumour, or the whole window if that is no larger."""
    size = np.array(tumour_share.shape)
    if (size <= CROP).all():
        return (slice(None),) * 4
    touched = np.argwhere(tumour_share > 0)
    middle = touched[int(rng.integers(len(touched)))] if len(touched) else size // 2
    start = np.clip(middle - rng.integers(4, CROP - 3, 3), 0, size - CROP)
    return (slice(None), *(slice(int(n), int(n) + CROP) for n in start))


def flow_loss(
    model: Denoiser,
    batch: dict[str, Tensor],
    scale: Tensor,
    generator: torch.Generator,
    settings: DynamicsTraining,
    channels: Tensor | None = None,
) -> tuple[Tensor, dict[str, float]]:
    """Loss at a random time, and its parts.

    `channels` (C,) weighs the channels of the latent (mean 1; all alike if left out).

    Parts: mean squared error of the predicted clean change, weighted to the tumour and its rim (`flow`); error of the
    response head on the batch's own and on the noted protocols (`response`); `contrastive` (eq. 3 of arXiv 2506.02327).
    """
    clean = batch["change"] / scale
    n = len(clean)
    # Late times show the answer through the noise; what an action does is decided, and learnt, at the early ones.
    time = torch.rand(n, generator=generator) ** settings.time_power
    noise = torch.randn(clean.shape, generator=generator)
    t = time[:, None, None, None, None]
    dropped = torch.rand(n, generator=generator) < (1.0 if settings.action_blind else settings.action_dropout)
    attenuated = torch.where(dropped[:, None, None, None, None], batch["before"], batch["attenuated"])
    pair = batch["pair"].long()
    first = torch.stack([(pair == k).float().argmax() for k in range(len(batch["whole_before"]))])
    traits = model.tumour_traits(batch["whole_before"], batch["whole_masks"], batch["spacing"][first])  # of each pair
    outlook = model.outlook(traits[pair], batch["actions"], dropped)
    predicted = model(
        (1 - t) * noise + t * clean, batch["before"], attenuated, batch["masks"], outlook, batch["spacing"], time
    )
    tumour = torch.nn.functional.max_pool3d(batch["masks"][:, :1], 3, stride=1, padding=1) > 0.02
    weight = torch.where(tumour, 1.0, settings.outside_weight)
    # Every patient counts alike, whatever the size of the tumour.
    weight = weight / weight.sum((1, 2, 3, 4), keepdim=True)
    squares = (predicted - clean).square()
    if channels is not None:
        squares = squares * channels[None, :, None, None, None]
    loss = (squares.mean(1, keepdim=True) * weight).sum((1, 2, 3, 4)).mean()
    parts = {"flow": float(loss.detach())}
    if settings.response_weight and not settings.action_blind:
        response = _response_loss(model, batch, traits, outlook)
        parts["response"] = float(response.detach())
        loss = loss + settings.response_weight * response
    if settings.contrastive_weight and not settings.action_blind:
        features = tumour_features(predicted, batch["masks"])
        contrast = combo_contrastive(features, batch["actions"][..., 0] > 0, pair)
        parts["contrastive"] = float(contrast.detach())
        loss = loss + settings.contrastive_weight * contrast
    return loss, parts


def _response_loss(model: Denoiser, batch: dict[str, Tensor], traits: Tensor, outlook: Tensor) -> Tensor:
    """Squared error of the response head; both sides are standardised by `RESPONSE_MEAN` and `RESPONSE_SCALE`."""
    centre = torch.tensor(RESPONSE_MEAN, device=traits.device)
    scale = torch.tensor(RESPONSE_SCALE, device=traits.device)
    own = (model.response(outlook) - (batch["responses"] - centre) / scale).square().mean()
    count = batch["noted_actions"].shape[1]
    noted = model.outlook(traits.repeat_interleave(count, 0), batch["noted_actions"].flatten(0, 1))
    truth = (batch["noted_responses"].flatten(0, 1) - centre) / scale
    return own + (model.response(noted) - truth).square().mean()


def train(
    cohort: Path,
    work: Path,
    settings: DynamicsTraining,
    on_step: Callable[[str, float], None] | None = None,
    codec_scale: Sequence[float] | None = None,
) -> tuple[TrainedDenoiser, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there.

    Args:
        cohort: folder with `train/` (and `validation/`) of `mewm train cohort`.
        work: folder of the checkpoint and the curve.
        codec_scale: deviation of each channel of the codec, by which its latents were divided.

    Returns:
        The averaged denoiser and the figures of the last rows of its curve.
    """
    torch.manual_seed(settings.seed)
    data = LatentCohort(cohort / "train")
    held_out = LatentCohort(cohort / "validation")
    latent = data.patients[0]["before"].shape[0]
    if settings.start is None:
        agents = known_agents()
        phi = torch.from_numpy(cached_embeddings(agents)) if settings.text else None
        config = DenoiserConfig(
            latent=latent,
            agents=tuple(agents),
            change_scale=data.change_scale(),
            text=phi.shape[1] if phi is not None else 0,
            attenuation=settings.attenuation,
            occlusion=data.occlusion(agents),
        )
        model = Denoiser(config, phi)
    else:
        part = find_bundle(settings.start.resolve(), require=("dynamics",)).part("dynamics")
        model = denoiser_from_part(*part).train()
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-3)
    run = Run(work, "dynamics", model, average, optimiser)
    # The scale is part of the config: a resumed run must use the one it began with.
    scale = _kept_scale(work / "dynamics_scale.npy", model.config.change_scale)
    scale_tensor = torch.tensor(scale)[None, :, None, None, None]
    channels = _channel_weights(scale, codec_scale, settings.image_share)
    rng = np.random.default_rng([settings.seed, run.step])
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step)
    for cohort_part in (data, held_out):
        cohort_part.expect(model.config.agents, model.config.occlusion)
    check = held_out.batch(24, np.random.default_rng(1), pairs=8)
    losses: list[dict[str, float]] = []
    figures: dict[str, float] = {}
    while (progress := _progress(run, settings)) < 1:
        for group in optimiser.param_groups:
            group["lr"] = (
                settings.learning_rate
                * min(1.0, (run.step + 1) / 50)
                * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            )
        model.train()
        rows = data.batch(settings.batch, rng, settings.pairs)
        loss, parts = flow_loss(model, rows, scale_tensor, generator, settings, channels)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        average.update(model)
        run.step += 1
        losses.append({"loss": float(loss.detach()), **parts})
        if run.step % 50 == 0:
            means = {k: float(np.mean([x[k] for x in losses])) for k in losses[0]}
            figures = {**means, **validate(average.model, check, scale_tensor, settings, channels)}
            losses = []
            run.log(figures)
            run.save()
            data.refresh()
            data.expect(model.config.agents, model.config.occlusion)
        if on_step is not None:
            on_step(f"dynamics, step {run.step}", progress)
    run.save()
    return TrainedDenoiser(average.model, scale), {**figures, "steps": float(run.step), "seconds": run.elapsed}


@torch.no_grad()
def validate(
    model: Denoiser,
    batch: dict[str, Tensor],
    scale: Tensor,
    settings: DynamicsTraining,
    channels: Tensor | None = None,
) -> dict[str, float]:
    """Validation loss with true and with shuffled actions, same noise: the gap is what the model learnt of actions."""
    shuffled = {**batch, "actions": batch["actions"].roll(1, 0)}
    quiet = replace(settings, action_dropout=0.0)
    out = {}
    for name, rows in (("validation", batch), ("validation_shuffled", shuffled)):
        _, parts = flow_loss(model, rows, scale, torch.Generator().manual_seed(7), quiet, channels)
        out[name] = parts["flow"]
        if "response" in parts:
            out[f"{name}_response"] = parts["response"]
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
            "text": config.text,
            "attenuation": config.attenuation,
            "occlusion": config.occlusion,
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Averaged weights."""
        return {k: v.detach().cpu().numpy() for k, v in self.model.state_dict().items()}


def _progress(run: Run, settings: DynamicsTraining) -> float:
    by_steps = run.step / settings.steps
    return max(by_steps, run.elapsed / (60 * settings.minutes)) if settings.minutes else by_steps


def _channel_weights(
    change_scale: Sequence[float], codec_scale: Sequence[float] | None, image_share: float
) -> Tensor | None:
    """Weights (C,) of mean 1: a share by the squared size of a channel's change in the image, the rest alike."""
    if codec_scale is None or image_share == 0:
        return None
    size = (torch.tensor(change_scale) * torch.tensor(codec_scale)).square()
    return image_share * size / size.mean() + (1 - image_share)


def _kept_scale(path: Path, scale: tuple[float, ...]) -> tuple[float, ...]:
    if path.exists():
        return tuple(float(v) for v in np.load(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.array(scale))
    return scale
