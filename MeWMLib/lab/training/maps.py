"""Training of the map network: rectified flow on coarse maps, and their mean, by one network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from MeWMLib.dynamics.map_channels import DRAWN, to_cells
from MeWMLib.dynamics.map_network import MapConfig, MapNetwork
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.lab.training.map_batches import Batch, MapCohort

#: How much each channel counts: viable, tumour, change, companded iodine, iodine itself.
CHANNELS = (0.5, 0.3, 1.0, 1.0, 0.15)


@dataclass(frozen=True)
class MapTraining:
    """Settings of a training.

    Attributes:
        minutes, steps: where it ends; 0 minutes for no limit.
        rows, sessions: of a batch, and how many sessions of each patient.
        learning_rate, average: AdamW, and decay of the averaged weights.
        mean_share: share of rows that are asked for the mean of all outcomes.
        time_power: times are drawn as u^time_power; more than 1 for more early ones.
        widths: of the network.
        seed: of everything that is drawn.
    """

    minutes: float = 0.0
    steps: int = 20000
    rows: int = 16
    sessions: int = 2
    learning_rate: float = 6e-4
    average: float = 0.998
    mean_share: float = 0.35
    time_power: float = 1.5
    widths: tuple[int, ...] = (48, 96, 192)
    seed: int = 0


def maps_loss(
    network: MapNetwork, batch: Batch, generator: torch.Generator, settings: MapTraining
) -> tuple[Tensor, dict[str, float]]:
    """Loss of a batch, and its parts: of rows with noise (`flow`) and of rows that ask for the mean (`mean`)."""
    clean, n = batch.clean, len(batch)
    mean = torch.rand(n, generator=generator) < settings.mean_share
    time = torch.where(mean, 0.0, torch.rand(n, generator=generator) ** settings.time_power)
    noise = torch.randn((n, DRAWN, *clean.shape[2:]), generator=generator)
    t = time[:, None, None, None, None]
    noisy = torch.where(mean[:, None, None, None, None], 0.0, (1 - t) * noise + t * clean[:, :DRAWN])
    predicted = network(to_cells(noisy), time, batch.given).float()
    weight = to_cells(batch.weight * clean.new_tensor(CHANNELS)[None, :, None, None, None])
    rows = ((predicted - to_cells(clean)).square() * weight).sum((1, 2, 3, 4))
    parts = {"flow": rows[~mean], "mean": rows[mean]}
    return rows.mean(), {k: float(v.detach().mean()) for k, v in parts.items() if len(v)}


@kept_torch_state()
def train_maps(
    cohort: Path,
    work: Path,
    settings: MapTraining,
    on_step: Callable[[str, float], None] | None = None,
    start: MapNetwork | None = None,
    agents: Sequence[str] | None = None,
) -> MapNetwork:
    """Train, resuming from `work` if a checkpoint is there; returns the averaged network.

    Args:
        cohort: folder with `train/` and `validation/`.
        work: folder of the checkpoint and the curve.
        start: weights to begin with.
        agents: that a new network knows.

    Raises:
        InputError: no patients.
    """
    torch.manual_seed(settings.seed)
    data, held_out = MapCohort(cohort / "train"), MapCohort(cohort / "validation")
    known = {} if agents is None else {"agents": tuple(agents)}
    network = start or MapNetwork(replace(MapConfig(widths=settings.widths), **known))
    network.head.requires_grad_(False)
    average = AveragedModel(network, settings.average)
    free = [w for w in network.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(free, settings.learning_rate, weight_decay=1e-3)
    run = Run(work, "maps", network, average, optimiser)
    rng = np.random.default_rng([settings.seed, run.step])
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step)
    fixed = np.random.default_rng(1)
    check = [held_out.batch(16, fixed, 1, 24) for _ in range(4)]
    losses: list[dict[str, float]] = []
    while (progress := run.progress(settings.steps, settings.minutes)) < 1:
        run.set_rate(settings.learning_rate, 100, progress)
        network.train()
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss, parts = maps_loss(network, data.batch(settings.rows, rng, settings.sessions), generator, settings)
        loss.backward()  # type: ignore[no-untyped-call]
        run.take_step(1.0)
        losses.append({"loss": float(loss.detach()), **parts})
        if run.step % 100 == 0:
            means = {k: float(np.mean([x[k] for x in losses if k in x])) for k in ("loss", "flow", "mean")}
            run.log(means | validate_maps(average.model, check, settings))
            run.save()
            losses = []
            data.refresh()
        if on_step is not None:
            on_step(f"maps, step {run.step}", progress)
    run.save()
    return average.model


@torch.no_grad()
def validate_maps(network: torch.nn.Module, batches: Sequence[Batch], settings: MapTraining) -> dict[str, float]:
    """Losses on held-out rows with true and with shuffled sessions (`_shuffled`), same noise."""
    out: dict[str, list[float]] = {}
    for batch in batches:
        for name, rows in (("", batch), ("_shuffled", shuffled(batch))):
            with torch.autocast("cpu", torch.bfloat16):
                _, parts = maps_loss(network, rows, torch.Generator().manual_seed(7), settings)  # type: ignore[arg-type]
            for k, v in parts.items():
                out.setdefault(f"validation_{k}{name}", []).append(v)
    return {k: float(np.mean(v)) for k, v in out.items()}


def shuffled(batch: Batch) -> Batch:
    """The same patients, each told the protocol and the response of another row."""
    g = batch.given
    other = replace(g, actions=g.actions.roll(1, 0), response=g.response.roll(1, 0), hidden=g.hidden.roll(1, 0))
    return Batch(other, batch.clean, batch.weight)
