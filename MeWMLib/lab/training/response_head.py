"""The response head of the denoiser: trained on protocols whose outcome is known as numbers only.

How well a tumour responds differs from patient to patient more than from protocol to protocol, and must be read from
the scan before treatment. That takes more patients than the U-Net needs, but none of their outcomes has to be drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor

from MeWMLib.dynamics import response
from MeWMLib.dynamics.response_head import ResponseHead
from MeWMLib.lab.training.latent_cohort import NOTED

#: Patients a step where the head is trained alone, and protocols of each.
PATIENTS, PROTOCOLS = 48, 8
WEIGHT_DECAY = 1e-2


def head_loss(head: ResponseHead, patients: Mapping[str, Tensor]) -> Tensor:
    """Error of the head (`response.loss`).

    Args:
        patients: appearance (K, F) of K patients, noted_actions (K, N, A, 3) of N protocols of each, and their
            noted_responses (K, N, 4).
    """
    actions = patients["noted_actions"]
    expected = head(patients["appearance"], actions)
    oil = head.has_lipiodol(actions.flatten(0, 1))
    return response.loss(expected, patients["noted_responses"].flatten(0, 1), oil)


def train_head(
    head: ResponseHead,
    patients: Sequence[Mapping[str, NDArray[Any]]],
    steps: int,
    learning_rate: float,
    rng: np.random.Generator,
    device: torch.device,
    on_step: Callable[[str, float], None] | None = None,
) -> float:
    """Train the head alone; returns the mean loss of the end.

    Args:
        patients: with the arrays `latent_cohort.NOTED`.
    """
    everyone = {k: torch.from_numpy(np.stack([np.asarray(p[k], np.float32) for p in patients])) for k in NOTED}
    head.train()
    head.fit_scale(everyone["appearance"].to(device))
    optimiser = torch.optim.AdamW(head.parameters(), learning_rate, weight_decay=WEIGHT_DECAY)
    losses: list[float] = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 50) * (1 - 0.98 * step / steps)
        chosen = torch.from_numpy(rng.integers(len(patients), size=PATIENTS))
        some = torch.from_numpy(rng.permutation(everyone["noted_actions"].shape[1])[:PROTOCOLS])
        batch = {"appearance": everyone["appearance"][chosen].to(device)}
        batch |= {k: everyone[k][chosen][:, some].to(device) for k in NOTED[1:]}
        loss = head_loss(head, batch)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        losses.append(float(loss.detach()))
        if on_step is not None:
            on_step("response head", (step + 1) / steps)
    head.eval()
    return float(np.mean(losses[-50:])) if losses else float("nan")


@torch.no_grad()
def measure_head(
    head: ResponseHead, patients: Sequence[Mapping[str, NDArray[Any]]], device: torch.device
) -> tuple[tuple[float, ...], dict[str, float]]:
    """The head on patients that were not trained on.

    Returns:
        `response.spread` of its residuals; and two figures: `head_viable_r2`, the share of the variance of the log of
        the viable volume that it explains over all patients and protocols, and `head_viable_rank`, the mean Spearman
        correlation over the protocols of one patient.
    """
    was_training = head.training
    head.eval()
    expected, truth, oil, ranks = [], [], [], []
    for p in patients:
        actions, reached = _tensor(p["noted_actions"], device), _tensor(p["noted_responses"], device)
        said = head(_tensor(p["appearance"], device)[None], actions[None])
        expected.append(said.cpu())
        truth.append(reached.cpu())
        oil.append(head.has_lipiodol(actions).cpu())
        order = response.log_viable(said).cpu().numpy()
        # a head that has learnt nothing predicts the same for every protocol
        ranks.append(float(spearmanr(order, reached[:, 3].cpu())[0]) if np.ptp(order) > 0 else 0.0)
    head.train(was_training)
    predicted, reached = torch.cat(expected), torch.cat(truth)
    error = (response.log_viable(predicted) - reached[:, 3]).square().mean()
    explained = 1 - float(error / reached[:, 3].var(unbiased=False))
    figures = {"head_viable_r2": explained, "head_viable_rank": float(np.mean(ranks))}
    return response.spread(predicted, reached, torch.cat(oil)), figures


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32)).to(device)
