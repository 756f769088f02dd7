"""The response head of a map network: trained alone on scans before treatment, and how far the truth lies from it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.errors import InputError, UnreadableFileError
from MeWMLib.core.io import atomic_path
from MeWMLib.dynamics.map_channels import patient_appearance
from MeWMLib.dynamics.map_network import MapNetwork
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.latent_cohort import NOTED
from MeWMLib.lab.training.map_batches import Arrays, read_arrays
from MeWMLib.lab.training.map_settings import MapTraining
from MeWMLib.lab.training.prepare import SCANS
from MeWMLib.lab.training.response_head import measure_head, train_head

#: File of the trained head in the folder of checkpoints.
HEAD = "maps_head.pt"
#: What the appearance is computed from.
_OF_LOOKS = ("hu", "tumour", "liver", "noise", "seed")
_REMEDY = "Give another folder, or delete the file to train the head anew"


@dataclass(frozen=True, eq=False)
class TrainedHead:
    """A response head.

    Attributes:
        weights: of `MapNetwork.head`.
        spread: for `MapConfig.response_spread`.
        figures: of `response_head.measure_head`, on patients who were not trained on.
    """

    weights: dict[str, Tensor]
    spread: tuple[float, ...]
    figures: dict[str, float]

    def put_into(self, network: MapNetwork) -> MapNetwork:
        """Give a network this head and its spread."""
        network.head.load_state_dict(self.weights)
        network.config = replace(network.config, response_spread=self.spread)
        return network


@kept_torch_state()
def trained_head(
    cohort: Path,
    work: Path,
    network: MapNetwork,
    settings: MapTraining,
    device: torch.device,
    on_step: Callable[[str, float], None] | None = None,
) -> TrainedHead:
    """The head for a network; one that is in `work` already is taken as it is.

    It learns from the scans and the training patients of a cohort. Its figures are those of scans for validation where
    there are any, else of the patients for validation. The spread is always that of these patients' sessions, whose
    responses hold what cannot be foreseen; scans note the expected response alone.

    Args:
        cohort: folder of `map_cohort.prepare_maps`.
        work: folder of the checkpoint.
        network: whose sizes it has; it is not changed.

    Raises:
        InputError: no patients to train on or to measure with.
        UnreadableFileError: a damaged file of the cohort or of the checkpoint, or a head of other sizes.
    """
    path = work / HEAD
    if path.exists():
        return _read(path, network)
    torch.manual_seed(settings.seed)
    fresh = MapNetwork(network.config).head.to(device)
    patients = noted_rows(cohort / SCANS["train"]) + noted_rows(cohort / "train")
    held_out = noted_rows(cohort / SCANS["validation"]) or noted_rows(cohort / "validation")
    sessions = session_rows(cohort / "validation")
    for rows, folder in ((patients, "train"), (sessions, "validation")):
        if not rows:
            raise InputError(
                what="There are no patients for the response head",
                given=str(cohort / folder),
                remedy="Make them with `mewm train maps-cohort`",
            )
    rng = np.random.default_rng([settings.seed, 1])
    train_head(fresh, patients, settings.head_steps, settings.head_rate, rng, device, on_step)
    figures = measure_head(fresh, held_out, device)[1]
    spread = measure_head(fresh, sessions, device)[0]
    weights = {name: value.detach().cpu() for name, value in fresh.state_dict().items()}
    work.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        torch.save({"head": weights, "spread": list(spread), "figures": figures}, part)
    return TrainedHead(weights, spread, figures)


def noted_rows(folder: Path) -> list[Arrays]:
    """What the head learns from (`latent_cohort.NOTED`), of the scans or the patients in a folder; none without it."""
    rows = []
    for path in sorted(folder.glob("*.npz")):
        if folder.name in SCANS.values():
            rows.append(read_arrays(path, NOTED))
        else:
            rows.append(_with_looks(read_arrays(path, (*_OF_LOOKS, *NOTED[1:]))))
    return rows


def session_rows(folder: Path) -> list[Arrays]:
    """The same arrays of the sessions that were drawn of each patient, with the responses that were reached."""
    rows = []
    for path in sorted(folder.glob("*.npz")):
        found = _with_looks(read_arrays(path, (*_OF_LOOKS, "actions", "responses")))
        rows.append(found | {"noted_actions": found["actions"], "noted_responses": found["responses"]})
    return rows


def _with_looks(patient: Arrays) -> Arrays:
    """A patient with the appearance of the scan, noise added; the maps themselves are let go."""
    hu, tumour, liver = (np.asarray(patient[name], np.float32) for name in ("hu", "tumour", "liver"))
    rng = np.random.default_rng(derive_seed("seen", int(patient["seed"])))
    noisy = hu + float(patient["noise"]) * rng.standard_normal(hu.shape).astype(np.float32)
    kept = {name: value for name, value in patient.items() if name not in _OF_LOOKS}
    return kept | {"appearance": patient_appearance(noisy, tumour, liver)}


def _read(path: Path, network: MapNetwork) -> TrainedHead:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)  # tensors and numbers only, no code
        head = TrainedHead(state["head"], tuple(map(float, state["spread"])), dict(state.get("figures", {})))
        MapNetwork(network.config).head.load_state_dict(head.weights)
    except (OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, pickle.UnpicklingError) as error:
        raise UnreadableFileError(
            what="The trained response head cannot be used",
            given=f"{path} ({str(error).splitlines()[0][:200]})" if str(error) else str(path),
            remedy=_REMEDY,
        ) from error
    return head
