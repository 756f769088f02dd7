"""Cases for training the survival network: what they hold, how batches are drawn and augmented."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import SurvivalDataError


@dataclass(frozen=True, eq=False)
class SurvivalCase:
    """One patient after one treatment, and how long the patient lived.

    Attributes:
        pre, post: (P, 2, D, H, W) float16 [CT in -1..1, tumour mask in 0..1] of P patches; arrays, or what
            numpy can make one of (`survival_cohort.LazyViews`), so that a cohort need not fit into memory.
        covariates: (F,) in the order of the network's config; NaN where not known.
        months: survival or follow-up.
        event: True for a death.
        patient: opaque identifier; cases with one identifier are never in training and validation both.
    """

    pre: Any
    post: Any
    covariates: NDArray[np.float32]
    months: float
    event: bool
    patient: str

    def images(self, count: int | None = None, rng: np.random.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Return the patches before and after as float32 (P, 2, D, H, W).

        Args:
            count: that many patches, repeated where the patient has fewer; None for all.
            rng: draws them; without it they are the first.

        Raises:
            SurvivalDataError: the patches before and after do not fit one another.
        """
        pre, post = np.asarray(self.pre), np.asarray(self.post)
        if pre.shape != post.shape or pre.ndim != 5 or pre.shape[1] != 2:
            raise SurvivalDataError(
                what="The patches before and after must both be (P, 2, D, H, W)",
                given=f"{pre.shape} and {post.shape} of patient {self.patient}",
            )
        total = pre.shape[0]
        order = np.arange(total) if rng is None else rng.permutation(total)
        keep = np.resize(order, total if count is None else count)
        before, after = (torch.from_numpy(x[keep].astype(np.float32)) for x in (pre, post))
        return before, after


def outcomes(cases: Sequence[SurvivalCase]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Months (N,) and events (N,) of cases."""
    return np.array([c.months for c in cases], dtype=np.float64), np.array([c.event for c in cases], dtype=bool)


def one_per_patient(cases: Sequence[SurvivalCase]) -> list[SurvivalCase]:
    """The first case of each patient."""
    return list({c.patient: c for c in reversed(cases)}.values())[::-1]


def batch_of(cases: Sequence[SurvivalCase], size: int, seed: int, step: int) -> list[SurvivalCase]:
    """Choose the patients of a training step, by seed and step alone, so that a resumed run goes on as it was.

    Patients come in the order of a new permutation each epoch. A patient with several cases gives one of them, since
    one patient is one row of a risk set. At least one has died, without which there is no partial likelihood.
    """
    rows: dict[str, list[SurvivalCase]] = {}
    for case in cases:
        rows.setdefault(case.patient, []).append(case)
    names = sorted(rows)
    size = min(size, len(names))
    epoch, place = divmod(step, max(1, len(names) // size))
    order = np.random.default_rng([seed, 2, epoch]).permutation(len(names))
    rng = np.random.default_rng([seed, 3, step])
    chosen = [names[i] for i in order[place * size : (place + 1) * size]]
    batch = [rows[name][rng.integers(len(rows[name]))] for name in chosen]
    if not any(case.event for case in batch):
        dead = [case for case in cases if case.event]
        case = dead[rng.integers(len(dead))]
        batch[chosen.index(case.patient) if case.patient in chosen else 0] = case
    return batch


@dataclass(frozen=True)
class Augmentation:
    """Random changes of training cases (section B.4 of the paper; no mirroring, which would swap left and right).

    Attributes:
        rotate: probability of a rotation by 90, 180 or 270 degrees in the axial plane.
        shift_probability, shift: probability and largest size of an offset of the CT, in units of [-1, 1].
        wobble: probability that a mask is blurred, grown or shrunk by about half a voxel, as an assistant's masks are.
        covariate_noise: standard deviation of noise on the covariates, in their standard deviations.
        covariate_dropout: probability that a covariate is made unknown.
    """

    rotate: float = 0.1
    shift_probability: float = 0.2
    shift: float = 0.1
    wobble: float = 0.3
    covariate_noise: float = 0.05
    covariate_dropout: float = 0.1

    def images(self, pre: Tensor, post: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Change both time points (P, 2, D, H, W); they turn together and keep their alignment."""
        turns = int(rng.integers(1, 4)) if rng.random() < self.rotate else 0
        changed = []
        for image in (pre, post):
            if turns:
                image = rotate_axial(image, turns)
            offset = rng.uniform(-self.shift, self.shift) if rng.random() < self.shift_probability else 0.0
            kind = ("blur", "grow", "shrink")[rng.integers(3)] if rng.random() < self.wobble else None
            changed.append(torch.cat([image[:, :1] + offset, wobble_mask(image[:, 1:], kind)], dim=1))
        return changed[0], changed[1]

    def covariates(self, values: NDArray[Any], scale: NDArray[Any], rng: np.random.Generator) -> NDArray[np.float32]:
        """Change covariates (F,) of standard deviations `scale` (F,)."""
        noisy = values + rng.normal(size=values.shape) * scale * self.covariate_noise
        return np.where(rng.random(values.shape) < self.covariate_dropout, np.nan, noisy).astype(np.float32)


def rotate_axial(image: Tensor, turns: int) -> Tensor:
    """Turn (P, 2, D, H, W) by `turns` times 90 degrees in the axial plane (H, W)."""
    return torch.rot90(image, turns, dims=(-2, -1))


def wobble_mask(mask: Tensor, kind: str | None) -> Tensor:
    """Blur, grow or shrink a mask (P, 1, D, H, W) in [0, 1]; None leaves it."""
    if kind is None:
        return mask
    soft = F.avg_pool3d(mask, 3, stride=1, padding=1, count_include_pad=False)
    return {"blur": soft, "grow": (2 * soft).clamp(max=1), "shrink": (2 * soft - 1).clamp(min=0)}[kind]
