"""Samplers, all with one signature, chosen by name from `SAMPLERS`.

The network predicts the clean data x1 from (x_t, t) on straight paths x_t = (1 - t) eps + t x1, t = 0 noise, t = 1
data. Rectified flow walks these paths. DDPM and DDIM walk variance-preserving ones,

    v = a x1 + b eps,   a = sqrt(abar), b = sqrt(1 - abar),

and ask the same network, since dividing by a + b makes the weights add up to one:

    v / (a + b) = x_t   with   t = a / (a + b),   1 - t = b / (a + b).

This is exact: the two variables carry the same information, so E[x1 | v] = E[x1 | x_t].

The schedule is the cosine of Nichol 2021 (arXiv 2102.09672, eq. 17) without its offset, a = sin(pi n / 2N): it begins
at pure noise (abar = 0) and ends at data (abar = 1) for any number N of steps.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from MeWMLib.core.errors import PlanSettingsError

Predict = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int], None]
#: One generator for the whole batch, or one for each replica: then no replica depends on its neighbours in the batch.
Chance = torch.Generator | Sequence[torch.Generator]


class Sampler(typing.Protocol):
    """What every sampler is.

    Args:
        predict: maps (x_t, t) to an estimate of the clean data x1 of the same shape.
        noise: (N, ...) standard normal, where the path begins.
        steps: at least 1; each calls `predict` once.
        on_step: called with the number of finished steps.
        generator: of the noise that is added on the way; only stochastic samplers with more than one step need it.

    Raises:
        PlanSettingsError: fewer steps than one, or a generator is needed and absent.
    """

    def __call__(
        self,
        predict: Predict,
        noise: Tensor,
        steps: int,
        on_step: OnStep | None = None,
        generator: Chance | None = None,
    ) -> Tensor:
        """Return a sample of the shape of `noise`."""
        ...


def rectified_flow(
    predict: Predict, noise: Tensor, steps: int, on_step: OnStep | None = None, generator: Chance | None = None
) -> Tensor:
    """Euler steps along straight paths (Liu 2022, arXiv 2209.03003, eq. 1); deterministic. Arguments: see `Sampler`.

    The velocity is (x1 - x_t) / (1 - t) with x1 predicted.
    """

    def step(x: Tensor, n: int) -> Tensor:
        t, after = n / steps, (n + 1) / steps
        clean = predict(x, t)
        return clean if n + 1 == steps else x + (after - t) / (1 - t) * (clean - x)

    return _walk(step, noise, steps, on_step)


def ddim(
    predict: Predict,
    noise: Tensor,
    steps: int,
    on_step: OnStep | None = None,
    generator: Chance | None = None,
    eta: float = 0.0,
) -> Tensor:
    """Steps of Song 2021 (arXiv 2010.02502), eq. 12 with the sigma of eq. 16. Arguments: see `Sampler`.

    Args:
        eta: 0 is deterministic, 1 is `ddpm`.
    """

    def step(v: Tensor, n: int) -> Tensor:
        (a, b), (a_next, b_next) = _level(n, steps), _level(n + 1, steps)
        clean = predict(v / (a + b), a / (a + b))
        if n + 1 == steps:
            return clean
        eps = (v - a * clean) / b
        sigma = eta * (b_next / b) * math.sqrt(1 - (a / a_next) ** 2)
        v = a_next * clean + math.sqrt(max(b_next**2 - sigma**2, 0.0)) * eps
        return v + sigma * _draw(v, generator) if sigma > 0 else v

    return _walk(step, noise, steps, on_step)


def ddpm(
    predict: Predict, noise: Tensor, steps: int, on_step: OnStep | None = None, generator: Chance | None = None
) -> Tensor:
    """Ancestral sampling from the posterior of Ho 2020 (arXiv 2006.11239), eq. 6-7. Arguments: see `Sampler`.

    The posterior is the step of `ddim` with eta = 1. With few steps the samples are too alike, since eq. 7 takes the
    predicted x1 for certain; it is made for hundreds of steps.
    """
    return ddim(predict, noise, steps, on_step, generator, eta=1.0)


def _walk(step: Callable[[Tensor, int], Tensor], noise: Tensor, steps: int, on_step: OnStep | None) -> Tensor:
    """Take all steps from the noise."""
    if steps < 1:
        raise PlanSettingsError(
            what="A sampler needs at least one step", given=str(steps), remedy="Give 1 step or more"
        )
    x = noise
    for n in range(steps):
        x = step(x, n)
        if on_step is not None:
            on_step(n + 1)
    return x


def _level(n: int, steps: int) -> tuple[float, float]:
    """Weights (a, b) of data and noise after n steps; a^2 + b^2 = 1."""
    angle = math.pi / 2 * n / steps
    return math.sin(angle), math.cos(angle)


def _draw(like: Tensor, generator: Chance | None) -> Tensor:
    """Standard normal noise in the shape of `like`, drawn on the generator's device: one seed, one noise everywhere."""
    if generator is None:
        raise PlanSettingsError(
            what="This sampler adds noise at every step and needs a generator",
            given="none",
            remedy="Pass generator=torch.Generator().manual_seed(seed), or take rectified_flow or ddim",
        )
    if isinstance(generator, torch.Generator):
        drawn = torch.randn(like.shape, generator=generator, device=generator.device)
    elif len(generator) == len(like):
        shape = (1, *like.shape[1:])
        drawn = torch.cat([torch.randn(shape, generator=g, device=g.device) for g in generator])
    else:
        raise PlanSettingsError(
            what="There must be one generator for each replica",
            given=f"{len(generator)} generators for {len(like)} replicas",
            remedy="Pass one generator for all, or as many as replicas",
        )
    return drawn.to(like)


SAMPLERS: dict[str, Sampler] = {"rectified_flow": rectified_flow, "ddim": ddim, "ddpm": ddpm}


def sampler_named(name: str) -> Sampler:
    """The sampler of this name.

    Raises:
        PlanSettingsError: there is none.
    """
    if name not in SAMPLERS:
        raise PlanSettingsError(what="There is no such sampler", given=name, remedy=f"Use one of {', '.join(SAMPLERS)}")
    return SAMPLERS[name]
