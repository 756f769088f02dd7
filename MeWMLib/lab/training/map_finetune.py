"""Fine-tuning of a map network on real pairs (`mewm train dynamics --pairs FOLDER --start BUNDLE`).

Real pairs are few, so that half of every batch stays synthetic, the rate is low, and the run ends where the error on
real pairs that are held out is least. What the network is told of the response is what its own head predicts, as in the
product: a real response is known to nobody beforehand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch

from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.map_channels import DRAWN, patient_appearance, to_cells
from MeWMLib.dynamics.map_network import MapNetwork
from MeWMLib.dynamics.response import natural
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.lab.training.distributed import Ranks, mixed_precision
from MeWMLib.lab.training.map_batches import CROPS, Arrays, Batch, MapCohort, joined, whole_row
from MeWMLib.lab.training.map_settings import FineTuning, MapTraining
from MeWMLib.lab.training.maps import CHANNELS, maps_loss

#: Steps over which the rate warms up.
WARM_UP = 20
#: Share of rows that are asked for the mean: more than in the first training, since the mean is what is judged.
MEAN_SHARE = 0.6
#: Name of the checkpoint and the curve.
RUN = "real_pairs"


class RealPairs:
    """Arrays of real pairs, ready for one network: with the response that its head predicts.

    What the contrast medium's timing changes in the whole liver is taken away from the change of tissue: it comes from
    no treatment, and nobody can foresee it.

    Args:
        patients: of `map_pairs.encode_pair`.
        network: whose head tells the responses.

    Raises:
        InputError: there is none.
    """

    def __init__(self, patients: Sequence[Arrays], network: MapNetwork) -> None:
        if not patients:
            raise InputError(
                what="There are no real pairs to train on", given="0 pairs", remedy="Give a list with one pair or more"
            )
        self.patients = [_ready(p, network) for p in patients]

    def batch(self, rows: int, rng: np.random.Generator) -> Batch:
        """Crops of real pairs."""
        return MapCohort.draw(self.patients, rows, rng, sessions=1)

    def whole(self) -> list[Batch]:
        """Each pair as one batch of its whole region, nothing hidden that is known."""
        return [Batch.of([whole_row(p)], None) for p in self.patients]


def _ready(patient: Arrays, network: MapNetwork) -> Arrays:
    hu, tumour, liver = (np.asarray(patient[n], np.float32) for n in ("hu", "tumour", "liver"))
    with torch.inference_mode():
        looks = torch.from_numpy(patient_appearance(hu, tumour, liver))[None]
        said = network.head(looks, torch.from_numpy(patient["actions"])[None])
        necrosis, log_volume, uptake = (v.numpy() for v in natural(said))
    timing = float(patient.get("liver_change", 0.0))
    change = np.asarray(patient["change"], np.float32) - timing * liver[None]
    told = np.stack([necrosis, log_volume, necrosis * uptake, np.zeros_like(necrosis)], -1).astype(np.float32)
    liver_alone = (liver > 0.5)[None]
    return patient | {
        "change": change,
        "responses": told,
        "noise": np.float32(0),  # the scan's own is there
        # outside of the liver the registration is off; what a CT shows as viable is no truth to train on
        "known_change": patient["known_change"] & liver_alone,
        "known_iodine": patient["known_iodine"] & liver_alone,
        "known_viable": np.zeros_like(patient["known_viable"]),
    }


@torch.no_grad()
def pair_errors(network: torch.nn.Module, batches: Sequence[Batch], device: torch.device | None = None) -> list[float]:
    """Error of what is expected of each real pair: mean square in the units of the loss, change and iodine alone.

    Args:
        network: on `device` (the CPU if left out).
        batches: of `RealPairs.whole`.
    """
    found = []
    for one in batches:
        batch = one.to(device or torch.device("cpu"))
        zeros = torch.zeros_like(to_cells(batch.clean[:, :DRAWN]))
        said = network(zeros, torch.zeros(len(batch), device=zeros.device), batch.given)
        weight = batch.weight * batch.clean.new_tensor((0, 0, *CHANNELS[2:]))[None, :, None, None, None]
        found.append(float(((said - to_cells(batch.clean)).square() * to_cells(weight)).sum()))
    return found


@kept_torch_state()
def fine_tune(
    network: MapNetwork,
    train: Mapping[str, Arrays],
    held_out: Mapping[str, Arrays],
    drawn: Path,
    settings: FineTuning,
    work: Path,
    on_step: Callable[[str, float], None] | None = None,
    device: torch.device | None = None,
    ranks: Ranks | None = None,
) -> tuple[MapNetwork, dict[str, Any]]:
    """Go on with a trained network on real pairs, resuming from `work` if a checkpoint of the same pairs is there.

    Args:
        network: to begin with, for `known_agents`; it is not changed.
        train, held_out: arrays of real pairs by name, of different patients. Without held-out pairs the run takes all
            its steps.
        drawn: folder of drawn patients.
        settings: of the run.
        work: folder of the checkpoint and the curve.
        device: the CPU if left out.
        ranks: this process among those that train together, whose device counts; rank 0 writes and looks at the
            held-out pairs.

    Returns:
        The averaged network where the mean error of the held-out pairs was least, and figures: that `error` by step,
        `best_step`, `pairs` (of each held-out pair its error at the start and at the best step), `steps`, `seconds`;
        no figures for ranks that do not write.

    Raises:
        InputError: no pairs, no drawn patients, or a checkpoint of other pairs or of another network.
        DeviceError: a precision that the device does not have.
    """
    ranks = ranks or Ranks(device=device or torch.device("cpu"))
    where = ranks.device
    mixed = mixed_precision(settings.precision, where)
    torch.manual_seed(settings.seed)
    begun_with = _checksum(network)
    network = deepcopy(network)
    data, world = RealPairs(list(train.values()), network), MapCohort(drawn)
    check = RealPairs(list(held_out.values()), network).whole() if held_out else []
    network.head.requires_grad_(False)
    network = network.to(where)
    average = AveragedModel(network, settings.average)
    free = [w for w in network.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(free, settings.learning_rate, weight_decay=1e-3)
    of_run = {"train": sorted(train), "held_out": sorted(held_out), "network": begun_with, "seed": settings.seed}
    run = Run(work, RUN, network, average, optimiser, of_run)
    ranks.require_same(run.step, "the step of their checkpoint")
    shares = MapTraining(mean_share=MEAN_SHARE)
    losses: list[float] = []

    def look() -> None:
        if not ranks.first:
            losses.clear()
            return
        errors = dict(zip(held_out, pair_errors(average.model, check, where), strict=True))
        seen: dict[int, float] = run.extra.setdefault("error", {})
        mean = float(np.mean(list(errors.values()))) if errors else None
        if mean is not None and (not seen or mean < min(seen.values())):
            best = {name: value.cpu().clone() for name, value in average.model.state_dict().items()}
            run.extra |= {"best": best, "best_step": run.step, "best_errors": errors}
        if mean is not None:
            run.extra.setdefault("first_errors", errors)
            seen[run.step] = mean
        run.log({"loss": float(np.mean(losses)) if losses else None, "held_out_error": mean})
        run.save()
        losses.clear()

    if run.step == 0:
        look()
    looked = run.step
    while (progress := ranks.from_first(run.progress(settings.steps, settings.minutes))) < 1:
        run.set_rate(settings.learning_rate * min(1.0, (run.step + 1) / WARM_UP))
        network.train()
        # drawn by the step, so that a run that was stopped goes on as it would have; every process draws its own
        rng = np.random.default_rng([settings.seed, run.step, ranks.rank])
        generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + run.step + ranks.rank * 1_000_000_007)
        batch = joined(data.batch(settings.rows, rng), world.batch(settings.drawn_rows, rng, 2, CROPS[0])).to(where)
        optimiser.zero_grad()
        with torch.autocast(where.type, torch.bfloat16, enabled=mixed):
            loss, _ = maps_loss(network, batch, generator, shares)
        loss.backward()  # type: ignore[no-untyped-call]
        ranks.average_gradients(network)
        run.take_step(1.0)
        losses.append(float(loss.detach()))
        if run.step % settings.every == 0:
            look()
            looked = run.step
        if on_step is not None:
            on_step(f"fine-tuning, step {run.step}", progress)
    if run.step > looked:
        look()
    found = average.model.cpu()
    assert isinstance(found, MapNetwork)
    if not ranks.first:
        return found.eval(), {}
    if check:
        found.load_state_dict(run.extra["best"])
    return found.eval(), {
        "error": dict(run.extra["error"]),
        "best_step": run.extra["best_step"] if check else run.step,
        "pairs": {n: {"start": run.extra["first_errors"][n], "best": run.extra["best_errors"][n]} for n in held_out},
        "steps": run.step,
        "seconds": run.elapsed,
    }


def _checksum(network: MapNetwork) -> str:
    digest = hashlib.sha256()
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
