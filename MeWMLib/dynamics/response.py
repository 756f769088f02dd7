"""The response of a tumour as three numbers: how much of it dies, how its volume changes, how much Lipiodol stays.

The denoiser works in two stages. The response head says what an action does to a tumour, as numbers; the U-Net draws
the CT that has this response. In training the U-Net is told the response that was really reached, so that it learns to
draw without guessing, and the head learns from many protocols whose outcome was never drawn. In inference the response
is drawn around what the head expects; the deviation follows from the replica's seed alone, so that protocols that are
compared share it (common random numbers).

A response can be measured on any pair of scans with outlines, so nothing here needs the synthetic world.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: What a cohort stores of each outcome: dead share of the tissue that lived, log of the volume over that before, share
#: of the dead part that holds Lipiodol times the dead share, log of 0.02 plus the viable volume over that before.
RESPONSES = ("necrosis", "log_volume", "lipiodol", "viable")
#: What the head estimates, on scales without bounds: logit of the dead share, log-volume, logit of the uptake (the
#: share of the dead part that holds Lipiodol; it means nothing where no Lipiodol was given).
HEAD = ("necrosis_logit", "log_volume", "uptake_logit")
#: Typical middle and deviation of each, so that all errors count alike.
MIDDLE = (0.4, -0.2, 0.0)
SCALE = (1.5, 0.28, 0.8)
#: Numbers that the U-Net is given: dead share, log-volume, Lipiodol's share of the dead part, whether Lipiodol was
#: given, and whether the action is known at all.
FEATURES = 5
#: A dead share or uptake nearer to 0 or 1 than this is drawn the same.
_EDGE = 0.01
VIABLE_FLOOR = 0.02


def standardise(responses: Tensor) -> Tensor:
    """Stored responses (..., 4) to the head's standardised scales (..., 3)."""
    necrosis = responses[..., 0].clamp(_EDGE, 1 - _EDGE)
    uptake = (responses[..., 2] / responses[..., 0].clamp_min(1e-3)).clamp(_EDGE, 1 - _EDGE)
    raw = torch.stack([necrosis.logit(), responses[..., 1], uptake.logit()], -1)
    return (raw - _of(MIDDLE, raw)) / _of(SCALE, raw)


def natural(standardised: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The head's scales (..., 3) to dead share, log-volume and uptake, each (...)."""
    raw = standardised * _of(SCALE, standardised) + _of(MIDDLE, standardised)
    return raw[..., 0].sigmoid(), raw[..., 1], raw[..., 2].sigmoid()


def log_viable(standardised: Tensor) -> Tensor:
    """Log of 0.02 plus the viable volume over the volume before (...), as `RESPONSES` has it."""
    necrosis, log_volume, _ = natural(standardised)
    return (log_volume.exp() * (1 - necrosis) + VIABLE_FLOOR).log()


def features(standardised: Tensor, oil: Tensor, dropped: Tensor | None = None) -> Tensor:
    """What the U-Net is given of a response.

    Args:
        standardised: (N, 3).
        oil: (N,) bool, Lipiodol was given.
        dropped: (N,) bool; True hides the response, as it hides the action.

    Returns:
        (N, FEATURES), zero where it is hidden.
    """
    necrosis, log_volume, uptake = natural(standardised)
    given = oil.to(standardised.dtype)
    known = torch.ones_like(given)
    out = torch.stack([2 * necrosis - 1, log_volume / SCALE[1], 2 * uptake * given, given, known], -1)
    return out if dropped is None else torch.where(dropped[:, None], torch.zeros_like(out), out)


def loss(predicted: Tensor, truth: Tensor, oil: Tensor) -> Tensor:
    """Mean squared error of the head.

    The viable volume counts by itself: it is what the risk follows, and near complete death the logit alone would
    weigh differences that nobody sees.

    Args:
        predicted: (N, 3) standardised.
        truth: (N, 4) stored responses.
        oil: (N,) bool, Lipiodol was given; elsewhere the uptake does not count.

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
        told = residual[oil]
        whole[2] += torch.cat([(told[:, :2] * told[:, 2:]).mean(0), told[:, 2:].square().mean(0)])
        whole[:2, 2] = whole[2, :2]
    factor, failed = torch.linalg.cholesky_ex(whole)
    if int(failed):  # the two samples of moments need not fit together
        factor = torch.diag(whole.diagonal().sqrt())
    return tuple(round(float(factor[row, column]), 5) for row in range(3) for column in range(row + 1))


def deviation(factor: Sequence[float], generators: Sequence[torch.Generator]) -> Tensor:
    """Deviation (N, 3) of each replica from what the head expects.

    Args:
        factor: six numbers from `spread`; none means no deviation.
        generators: one a replica.
    """
    drawn = torch.cat([torch.randn((1, len(HEAD)), generator=g) for g in generators])
    if not factor:
        return torch.zeros_like(drawn)
    lower = torch.zeros(3, 3)
    lower[tuple(torch.tril_indices(3, 3))] = torch.tensor(list(factor), dtype=torch.float32)
    return drawn @ lower.T


def _of(values: Sequence[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device)
