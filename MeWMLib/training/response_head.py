"""The response head of the denoiser: trained on protocols whose outcome is known as numbers only.

How well a tumour answers differs from patient to patient more than from protocol to protocol, and must be read from the
scan before treatment. That takes more patients than the U-Net needs, but no outcome of theirs has to be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from MeWMLib.dynamics import response
from MeWMLib.dynamics.actions import oil_given
from MeWMLib.dynamics.denoiser import Denoiser
from MeWMLib.training.latent_cohort import LatentCohort

#: Patients a step where the head is trained alone, and protocols of each.
PATIENTS, PROTOCOLS = 16, 24


def head_parts(model: Denoiser) -> tuple[nn.Module, ...]:
    """The parts of a denoiser that decide what an action does to a tumour."""
    return model.actions, model.traits, model.joint, model.response


def head_loss(model: Denoiser, traits: Tensor, actions: Tensor, reached: Tensor) -> Tensor:
    """Error of the head (`response.loss`).

    Args:
        traits: (K, condition) of K patients.
        actions: (K, N, A, 3) of N protocols of each.
        reached: (K, N, 4) their stored responses.
    """
    count = actions.shape[1]
    flat = actions.flatten(0, 1)
    expected = model.response(model.outlook(traits.repeat_interleave(count, 0), flat))
    return response.loss(expected, reached.flatten(0, 1), oil_given(flat, model.config.agents))


def train_head(
    model: Denoiser,
    patients: Sequence[dict[str, NDArray[Any]]],
    steps: int,
    learning_rate: float,
    rng: np.random.Generator,
    device: torch.device,
    on_step: Callable[[str, float], None] | None = None,
) -> float:
    """Train the head, and what it sees of tumour and action, before the U-Net moves; returns the mean loss of the end.

    Args:
        patients: from `latent_cohort.read_scan` or of a `LatentCohort`.
    """
    weights = [w for part in head_parts(model) for w in part.parameters()]
    optimiser = torch.optim.AdamW(weights, learning_rate, weight_decay=1e-3)
    losses: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 50) * (1 - 0.95 * step / steps)
        chosen = [patients[int(n)] for n in rng.integers(len(patients), size=PATIENTS)]
        traits = _traits(model, chosen, device)
        some = rng.permutation(len(chosen[0]["noted_actions"]))[:PROTOCOLS]
        actions = torch.stack([_tensor(p["noted_actions"][some], device) for p in chosen])
        reached = torch.stack([_tensor(p["noted_responses"][some], device) for p in chosen])
        loss = head_loss(model, traits, actions, reached)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if on_step is not None:
            on_step("response head", (step + 1) / steps)
    return float(np.mean(losses[-50:])) if losses else float("nan")


@torch.no_grad()
def judge_head(
    model: Denoiser, held_out: LatentCohort, device: torch.device
) -> tuple[tuple[float, ...], dict[str, float]]:
    """The head on patients that were not trained on.

    Returns:
        `response.spread` of its residuals; and two figures: `head_viable_r2`, the share of the variance of the log of
        the living volume that it explains over all patients and protocols, and `head_viable_rank`, the mean Spearman
        correlation over the protocols of one patient.
    """
    expected, truth, oil, ranks = [], [], [], []
    for p in held_out.patients:
        actions, reached = _tensor(p["noted_actions"], device), _tensor(p["noted_responses"], device)
        traits = _traits(model, [p], device).expand(len(actions), -1)
        told = model.response(model.outlook(traits, actions))
        expected.append(told.cpu())
        truth.append(reached.cpu())
        oil.append(oil_given(actions, model.config.agents).cpu())
        order = response.log_viable(told).cpu().numpy()
        # a head that has learnt nothing says the same of every protocol
        ranks.append(float(spearmanr(order, reached[:, 3].cpu())[0]) if np.ptp(order) > 0 else 0.0)
    said, reached = torch.cat(expected), torch.cat(truth)
    error = (response.log_viable(said) - reached[:, 3]).square().mean()
    explained = 1 - float(error / reached[:, 3].var(unbiased=False))
    figures = {"head_viable_r2": explained, "head_viable_rank": float(np.mean(ranks))}
    return response.spread(said, reached, torch.cat(oil)), figures


def _traits(model: Denoiser, patients: Sequence[dict[str, NDArray[Any]]], device: torch.device) -> Tensor:
    """Traits (K, condition) of encoded patients; their windows may differ in size."""
    side = max(p["before"].shape[-1] for p in patients)

    def stacked(key: str) -> Tensor:
        arrays = [np.asarray(p[key], np.float32) for p in patients]
        return torch.from_numpy(np.stack([np.pad(a, [(0, 0)] + [(0, side - a.shape[-1])] * 3) for a in arrays]))

    spacing = torch.tensor([float(p["spacing"]) for p in patients], device=device)
    return model.tumour_traits(stacked("before").to(device), stacked("masks").to(device), spacing)


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32)).to(device)
