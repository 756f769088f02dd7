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

from MeWMLib.dynamics.actions import has_lipiodol
from MeWMLib.dynamics.response import MIDDLE, SCALE, natural
from MeWMLib.dynamics.response_head import ResponseHead
from MeWMLib.lab.training.latent_cohort import NOTED

#: What a cohort stores of each outcome: dead share of the viable tissue, log of the volume over that before, share
#: of the dead part that holds Lipiodol times the dead share, log of 0.02 plus the viable volume over that before.
RESPONSES = ("necrosis", "log_volume", "lipiodol", "viable")
#: A dead share or uptake closer than this to 0 or 1 is drawn the same.
_EDGE = 0.01
VIABLE_FLOOR = 0.02
#: Patients a step where the head is trained alone, and protocols of each.
PATIENTS, PROTOCOLS = 48, 8
WEIGHT_DECAY = 1e-2


def standardise(responses: Tensor) -> Tensor:
    """Stored responses (..., 4) to the head's standardised scales (..., 3)."""
    necrosis = responses[..., 0].clamp(_EDGE, 1 - _EDGE)
    uptake = (responses[..., 2] / responses[..., 0].clamp_min(1e-3)).clamp(_EDGE, 1 - _EDGE)
    raw = torch.stack([necrosis.logit(), responses[..., 1], uptake.logit()], -1)
    return (raw - raw.new_tensor(MIDDLE)) / raw.new_tensor(SCALE)


def log_viable(standardised: Tensor) -> Tensor:
    """Log of 0.02 plus the viable volume over the volume before (...), as `RESPONSES` has it."""
    necrosis, log_volume, _ = natural(standardised)
    return (log_volume.exp() * (1 - necrosis) + VIABLE_FLOOR).log()


def loss(predicted: Tensor, truth: Tensor, oil: Tensor) -> Tensor:
    """Mean squared error of the head.

    The viable volume counts separately: the risk follows it, and near complete death the logit alone would weigh
    differences that nobody sees.

    Args:
        predicted: (N, 3) standardised.
        truth: (N, 4) stored responses.
        oil: (N,) bool, Lipiodol was given; otherwise the uptake does not count.

    Returns:
        Scalar.
    """
    errors = (predicted - standardise(truth)).square()
    given = oil.to(predicted.dtype)
    uptake = (errors[..., 2] * given).sum() / given.sum().clamp_min(1.0)
    viable = (log_viable(predicted) - truth[..., 3]).square().mean()
    return errors[..., 0].mean() + errors[..., 1].mean() + uptake + viable


def spread(predicted: Tensor, truth: Tensor, oil: Tensor) -> tuple[float, ...]:
    """Deviation of the truth around the head, to be measured on patients that were not trained on.

    Args:
        predicted, truth, oil: as in `loss`.

    Returns:
        Lower triangle, row by row, of the Cholesky factor of the residuals' second moments (3 x 3); six numbers.
    """
    residual = (standardise(truth) - predicted).double()
    moments = residual[..., :2].T @ residual[..., :2] / len(residual)
    whole = torch.eye(3, dtype=torch.float64) * 1e-6
    whole[:2, :2] += moments
    if oil.any():
        held = residual[oil]
        whole[2] += torch.cat([(held[:, :2] * held[:, 2:]).mean(0), held[:, 2:].square().mean(0)])
        whole[:2, 2] = whole[2, :2]
    factor, failed = torch.linalg.cholesky_ex(whole)
    if int(failed):  # the two samples of moments need not fit together
        factor = torch.diag(whole.diagonal().sqrt())
    return tuple(round(float(factor[row, column]), 5) for row in range(3) for column in range(row + 1))


def head_loss(head: ResponseHead, patients: Mapping[str, Tensor]) -> Tensor:
    """Error of the head (`loss`).

    Args:
        patients: appearance (K, F) of K patients, noted_actions (K, N, A, 3) of N protocols of each, and their
            noted_responses (K, N, 4).
    """
    actions = patients["noted_actions"]
    expected = head(patients["appearance"], actions)
    oil = has_lipiodol(actions.flatten(0, 1), head.agents)
    return loss(expected, patients["noted_responses"].flatten(0, 1), oil)


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
        error = head_loss(head, batch)
        optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimiser.step()
        losses.append(float(error.detach()))
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
        `spread` of its residuals; and two figures: `head_viable_r2`, the share of the variance of the log of
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
        oil.append(has_lipiodol(actions, head.agents).cpu())
        order = log_viable(said).cpu().numpy()
        # a head that has learnt nothing predicts the same for every protocol
        ranks.append(float(spearmanr(order, reached[:, 3].cpu())[0]) if np.ptp(order) > 0 else 0.0)
    head.train(was_training)
    predicted, reached = torch.cat(expected), torch.cat(truth)
    error = (log_viable(predicted) - reached[:, 3]).square().mean()
    explained = 1 - float(error / reached[:, 3].var(unbiased=False))
    figures = {"head_viable_r2": explained, "head_viable_rank": float(np.mean(ranks))}
    return spread(predicted, reached, torch.cat(oil)), figures


def _tensor(array: NDArray[Any], device: torch.device) -> Tensor:
    return torch.from_numpy(np.asarray(array, np.float32)).to(device)
