"""The response of a tumour as three numbers: how much of it dies, how its volume changes, how much Lipiodol stays.

The denoiser works in two stages. The response head predicts what an action does to a tumour, as numbers; the U-Net
draws the CT that has this response. In training the U-Net is conditioned on the response that was really reached, so
that it learns to draw without guessing, and the head learns from many protocols whose outcome was never drawn. In
inference the response is drawn around the head's prediction; the deviation follows from the replica's seed alone, so
that protocols that are compared share it (common random numbers).

A response can be measured on any pair of scans with outlines, so nothing here needs the synthetic world.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

#: The head predicts `TACE.response` on scales without bounds: logit of the dead share, log of the volume ratio, logit
#: of the uptake (the share of the dead part that holds Lipiodol; meaningless where no Lipiodol was given). Typical
#: middle and deviation of each, so that all errors count alike.
MIDDLE = (0.4, -0.2, 0.0)
SCALE = (1.5, 0.28, 0.8)
#: Numbers that the U-Net is given: dead share, log-volume, Lipiodol's share of the dead part, whether Lipiodol was
#: given, and whether the action is known at all.
FEATURES = 5


def natural(standardised: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The head's scales (..., 3) to dead share, log-volume and uptake, each (...)."""
    raw = standardised * standardised.new_tensor(SCALE) + standardised.new_tensor(MIDDLE)
    return raw[..., 0].sigmoid(), raw[..., 1], raw[..., 2].sigmoid()


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


def deviation(factor: Sequence[float], generators: Sequence[torch.Generator]) -> Tensor:
    """Deviation (N, 3) of each replica from what the head predicts.

    Args:
        factor: lower triangle, row by row, of the Cholesky factor of the residuals' second moments (3 x 3), measured on
            patients that were not trained on; six numbers, or none for no deviation.
        generators: one for each replica.
    """
    drawn = torch.cat([torch.randn((1, len(MIDDLE)), generator=g) for g in generators])
    if not factor:
        return torch.zeros_like(drawn)
    lower = torch.zeros(3, 3)
    lower[tuple(torch.tril_indices(3, 3))] = torch.tensor(list(factor), dtype=torch.float32)
    return drawn @ lower.T
