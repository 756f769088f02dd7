"""`mewm train dynamics`: the map network, by rectified flow on coarse maps, and their mean by the same network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from MeWMLib.dynamics.map_channels import DRAWN, to_cells
from MeWMLib.dynamics.map_network import MapConfig, MapNetwork
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.lab.training.distributed import Ranks, mixed_precision
from MeWMLib.lab.training.map_ahead import batches
from MeWMLib.lab.training.map_batches import CROPS, Batch, MapCohort
from MeWMLib.lab.training.map_settings import MapTraining

#: How much each channel counts: viable, tumour, change, companded iodine, iodine itself.
CHANNELS = (0.5, 0.3, 1.0, 1.0, 0.15)


def maps_loss(
    network: MapNetwork, batch: Batch, generator: torch.Generator, settings: MapTraining
) -> tuple[Tensor, dict[str, Tensor]]:
    """Loss of a batch, and its parts: of rows with noise (`flow`) and of rows that ask for the mean (`mean`).

    Args:
        generator: on the CPU.
    """
    clean, n = batch.clean, len(batch)
    mean = torch.rand(n, generator=generator) < settings.mean_share
    time = torch.where(mean, 0.0, torch.rand(n, generator=generator) ** settings.time_power)
    # noise is drawn where it is needed: on the CPU it would take longer than a step of a GPU
    here = torch.Generator(clean.device).manual_seed(int(torch.randint(2**62, (), generator=generator)))
    noise = torch.randn((n, DRAWN, *clean.shape[2:]), generator=here, device=clean.device)
    mean, time = mean.to(clean.device), time.to(clean.device)
    t = time[:, None, None, None, None]
    noisy = torch.where(mean[:, None, None, None, None], 0.0, (1 - t) * noise + t * clean[:, :DRAWN])
    predicted = network(to_cells(noisy), time, batch.given).float()
    weight = to_cells(batch.weight * clean.new_tensor(CHANNELS)[None, :, None, None, None])
    rows = ((predicted - to_cells(clean)).square() * weight).sum((1, 2, 3, 4))
    parts = {"flow": rows[~mean], "mean": rows[mean]}
    return rows.mean(), {k: v.detach().mean() for k, v in parts.items() if len(v)}


@kept_torch_state()
def train_maps(
    cohort: Path,
    work: Path,
    settings: MapTraining,
    on_step: Callable[[str, float], None] | None = None,
    start: MapNetwork | None = None,
    ranks: Ranks | None = None,
) -> tuple[MapNetwork, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there. The response head stays as it is (`map_head`).

    Args:
        cohort: folder with `train/` and `validation/` of `map_cohort.prepare_maps`.
        work: folder of the checkpoint and the curve.
        start: the network that is trained on, with its sizes, for `known_agents`; None begins with random weights.
        ranks: this process among those that train together; None is alone on the CPU. Rank 0 writes and validates.

    Returns:
        The averaged network, and the figures of the last row of its curve (rank 0's).

    Raises:
        InputError: no patients, or processes that do not read the same checkpoint.
        DeviceError: a precision that the device does not have.
    """
    ranks = ranks or Ranks()
    mixed = mixed_precision(settings.precision, ranks.device)
    torch.manual_seed(settings.seed)
    data, held_out = MapCohort(cohort / "train"), MapCohort(cohort / "validation")
    network = start or MapNetwork(MapConfig(widths=settings.widths, condition=settings.condition))
    network.head.requires_grad_(False)
    network = network.to(ranks.device)
    ranks.share_weights(network)
    average = AveragedModel(network, settings.average)
    free = [w for w in network.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(free, settings.learning_rate, weight_decay=1e-3)
    run = Run(work, "maps", network, average, optimiser)
    ranks.require_same(run.step, "the step of their checkpoint")
    # every process draws its own batches and noise
    coming = batches(data, settings, run.step, ranks)
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step + ranks.rank * 1_000_000_007)
    check: list[Batch] = []
    losses: list[dict[str, Tensor]] = []
    figures: dict[str, float] = {}
    while (progress := ranks.from_first(run.progress(settings.steps, settings.minutes))) < 1:
        run.set_rate(settings.learning_rate, 100, progress)
        network.train()
        optimiser.zero_grad()
        batch = next(coming).to(ranks.device)
        with torch.autocast(ranks.device.type, torch.bfloat16, enabled=mixed):
            loss, parts = maps_loss(network, batch, generator, settings)
        loss.backward()  # type: ignore[no-untyped-call]
        ranks.average_gradients(network)
        run.take_step(1.0)
        losses.append({"loss": loss.detach(), **parts})  # read later: a GPU goes on meanwhile
        if run.step % settings.every == 0:
            if ranks.first:
                check = check or fixed_batches(held_out, ranks.device)
                rows = {k: [x[k] for x in losses if k in x] for k in ("loss", "flow", "mean")}
                means = {k: float(torch.stack(v).mean()) for k, v in rows.items() if v}
                figures = means | validate_maps(average.model, check, settings, mixed)
                run.log(figures)
                run.save()
            losses = []
        if on_step is not None:
            on_step(f"maps, step {run.step}", progress)
    if ranks.first:
        run.save()
    trained = average.model.cpu()
    assert isinstance(trained, MapNetwork)
    return trained, {**figures, "steps": float(run.step), "seconds": run.elapsed}


def fixed_batches(held_out: MapCohort, device: torch.device) -> list[Batch]:
    """The rows that a run is validated on, always the same."""
    rng = np.random.default_rng(1)
    return [held_out.batch(16, rng, 1, CROPS[0]).to(device) for _ in range(4)]


@torch.no_grad()
def validate_maps(
    network: torch.nn.Module, batches: Sequence[Batch], settings: MapTraining, mixed: bool
) -> dict[str, float]:
    """Losses on held-out rows with true and with shuffled sessions (`shuffled`), same noise.

    Args:
        batches: on the network's device.
        mixed: compute in bfloat16.
    """
    out: dict[str, list[float]] = {}
    for batch in batches:
        for name, rows in (("", batch), ("_shuffled", shuffled(batch))):
            with torch.autocast(batch.clean.device.type, torch.bfloat16, enabled=mixed):
                _, parts = maps_loss(network, rows, torch.Generator().manual_seed(7), settings)  # type: ignore[arg-type]
            for k, v in parts.items():
                out.setdefault(f"validation_{k}{name}", []).append(float(v))
    return {k: float(np.mean(v)) for k, v in out.items()}


def shuffled(batch: Batch) -> Batch:
    """The same patients, each told the protocol and the response of another row."""
    g = batch.given
    other = replace(g, actions=g.actions.roll(1, 0), response=g.response.roll(1, 0), hidden=g.hidden.roll(1, 0))
    return Batch(other, batch.clean, batch.weight)
