"""Fine-tuning of a map network on real pairs (`mewm train maps --cohort DIR --start BUNDLE`).

Real pairs are few, so that half of every batch stays synthetic, the rate is low, and the run ends where the error on
real pairs that are held out is least. What the network is told of the response is what its own head predicts, as in the
product: a real response is known to nobody beforehand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.map_channels import patient_appearance, to_cells
from MeWMLib.dynamics.map_network import MapNetwork
from MeWMLib.dynamics.response import natural
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.checkpoint import AveragedModel
from MeWMLib.lab.training.map_batches import Arrays, Batch, MapCohort, joined, whole_row
from MeWMLib.lab.training.maps import CHANNELS, MapTraining, maps_loss


@dataclass(frozen=True)
class FineTuning:
    """Settings of a fine-tuning.

    Attributes:
        steps: at most.
        every: steps between two looks at the held-out pairs.
        rows, drawn_rows: of a batch from real pairs and from drawn patients.
        learning_rate, average: AdamW, and decay of the averaged weights.
        seed: of everything that is drawn.
    """

    steps: int = 300
    every: int = 20
    rows: int = 8
    drawn_rows: int = 8
    learning_rate: float = 1e-4
    average: float = 0.97
    seed: int = 0


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
def real_error(network: torch.nn.Module, batches: Sequence[Batch]) -> float:
    """Error of what is expected of real pairs: mean square in the units of the loss, change and iodine alone."""
    found = []
    for batch in batches:
        zeros = torch.zeros_like(to_cells(batch.clean[:, :4]))
        said = network(zeros, torch.zeros(len(batch)), batch.given)
        weight = batch.weight * batch.clean.new_tensor((0, 0, *CHANNELS[2:]))[None, :, None, None, None]
        found.append(float(((said - to_cells(batch.clean)).square() * to_cells(weight)).sum()))
    return float(np.mean(found))


@kept_torch_state()
def fine_tune(
    network: MapNetwork,
    train: Sequence[Arrays],
    held_out: Sequence[Arrays],
    drawn: Path,
    settings: FineTuning,
    on_step: Callable[[str, float], None] | None = None,
) -> tuple[MapNetwork, dict[str, Any]]:
    """Go on with a trained network on real pairs.

    Args:
        network: to begin with; it is not changed.
        train, held_out: real pairs of different patients. Without held-out pairs the run takes all its steps.
        drawn: folder of drawn patients.
        settings: of the run.

    Returns:
        The averaged network where the held-out error was least, and the curve: `error` by step, `best_step`.

    Raises:
        InputError: no pairs, or no drawn patients.
    """
    torch.manual_seed(settings.seed)
    network = deepcopy(network)
    data, world = RealPairs(train, network), MapCohort(drawn)
    check = RealPairs(held_out, network).whole() if held_out else []
    network.head.requires_grad_(False)
    average = AveragedModel(network, settings.average)
    free = [w for w in network.parameters() if w.requires_grad]
    optimiser = torch.optim.AdamW(free, settings.learning_rate, weight_decay=1e-3)
    rng, generator = np.random.default_rng(settings.seed), torch.Generator().manual_seed(settings.seed)
    shares = MapTraining(mean_share=0.6)
    curve: dict[int, float] = {0: real_error(average.model, check)} if check else {}
    best, best_step = deepcopy(average.model), 0
    network.train()
    for step in range(1, settings.steps + 1):
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, step / 20)
        batch = joined(data.batch(settings.rows, rng), world.batch(settings.drawn_rows, rng, 2, 24))
        optimiser.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = maps_loss(network, batch, generator, shares)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(free, 1.0)
        optimiser.step()
        average.update(network)
        if check and step % settings.every == 0:
            curve[step] = real_error(average.model, check)
            if curve[step] < min(v for k, v in curve.items() if k < step):
                best, best_step = deepcopy(average.model), step
        if on_step is not None:
            on_step(f"fine-tuning, step {step}", step / settings.steps)
    found = best if check else average.model
    assert isinstance(found, MapNetwork)
    return found.eval(), {"error": curve, "best_step": best_step if check else settings.steps}


def known_pair(path: Path) -> dict[str, NDArray[Any]]:
    """Arrays of a pair from its file."""
    with np.load(path, allow_pickle=False) as file:
        return {k: file[k] for k in file.files}
