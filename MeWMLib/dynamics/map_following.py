"""Maps made to hold the response that they were told: the volume that is left, and how much of it lives.

The network is told a response and follows it loosely: it hedges where much dies, so that protocols whose responses
differ were told apart less by their maps than by the response head. What it knows better than a number is the place:
which part dies and where the outline moves. So its shares are moved together, on the scale of their logits, to where
their sums are those that the response stands for; a cube that surely dies or surely lives stays what it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Halvings of the interval in which the common shift of logits lies, and its ends.
_HALVINGS, _FARTHEST = 30, 30.0
#: Shares are moved as if they were at least this far from 0 and 1.
_SURE = 1e-5


@dataclass(frozen=True, eq=False)
class Told:
    """What maps have to hold, for N rows.

    Attributes:
        necrosis: (N,) share that dies of what is fed and lived.
        volume: (N,) volume afterwards over that before.
        fed: (N, d, h, w) or (N, 1, 1, 1) share of each cube that is fed.
        tumour: (d, h, w) share of each cube that is treated tumour.
        alive: (d, h, w) share of the tumour in each cube that lives before treatment.
        fall: (d, h, w) HU by which the density of a cube falls if all of it dies.
        oil: (N,) whether Lipiodol was given; without it none is left.
    """

    necrosis: Tensor
    volume: Tensor
    fed: Tensor
    tumour: Tensor
    alive: Tensor
    fall: Tensor
    oil: Tensor

    @property
    def left(self) -> tuple[Tensor, Tensor]:
        """Sums (N,) of viable tumour and of tumour afterwards."""
        lives = self.tumour * self.alive
        before, fed = lives.sum(), (self.fed * lives).sum((1, 2, 3))
        return self.volume * (before - self.necrosis * fed), self.volume * self.tumour.sum()


def following(
    viable: Tensor, tumour: Tensor, change: Tensor, iodine: Tensor, told: Told
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Viable, tumour, change and iodine (each N, d, h, w) that hold what was told.

    The density of tumour follows too: what dies falls by what dead tissue falls, so that an image that is made of the
    maps shows what they say. Beside the tumour it is the network's.
    """
    goal, whole = told.left
    # most cubes of a region hold no tumour before or after; they stay as they are
    there = (tumour.amax(0) > _SURE) | (told.tumour > 0)
    viable_in, tumour_in, change_in = viable[:, there], tumour[:, there], change[:, there]
    share, alive, fall = told.tumour[there], told.alive[there], told.fall[there]
    after = _summing_to(tumour_in, torch.ones_like(tumour_in), whole)
    lives = (viable_in / tumour_in.clamp_min(_SURE)).clamp(0, 1)
    before = torch.where(share > 0, alive, torch.ones_like(alive)).expand_as(lives)
    lives = _summing_to(lives, after, goal, before)
    # of a cube that was dead in part, what lived falls; what was dead counts for nothing in what is measured
    within, dies = (2 * share).clamp(0, 1), (before - lives) / before.clamp_min(_SURE)
    viable, tumour, change = torch.zeros_like(viable), torch.zeros_like(tumour), change.clone()
    viable[:, there], tumour[:, there] = after * lives, after
    change[:, there] = change_in + within * (-fall * dies - change_in)
    return viable, tumour, change, iodine * told.oil[:, None, None, None]


def _summing_to(share: Tensor, weight: Tensor, goal: Tensor, most: Tensor | None = None) -> Tensor:
    """Shares (N, M) whose logits are shifted by one number a row, so that their weighted sum is the goal (N,).

    Args:
        share: 0 to 1.
        weight: of each.
        goal: what cannot be reached is come near to.
        most: (N, M) no share becomes larger; None for 1, where there is any.
    """
    limit = (share > _SURE).to(share.dtype) if most is None else most
    logit = share.clamp(_SURE, 1 - _SURE).logit()
    low, high = (torch.full_like(goal, end) for end in (-_FARTHEST, _FARTHEST))

    def moved(shift: Tensor) -> Tensor:
        return (logit + shift[:, None]).sigmoid().minimum(limit)

    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        above = (moved(middle) * weight).sum(1, dtype=torch.float64) > goal
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    return moved((low + high) / 2)
