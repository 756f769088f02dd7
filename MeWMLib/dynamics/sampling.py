"""Samplers, all with one signature: a function that predicts clean data, noise to start from, steps, `on_step`."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Predict = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int], None]


def rectified_flow(predict: Predict, noise: Tensor, steps: int, on_step: OnStep | None = None) -> Tensor:
    """Euler steps along straight paths x_t = (1 - t) noise + t x1 (Liu 2022, arXiv 2209.03003, eq. 1).

    The velocity is (x1 - x_t) / (1 - t) with x1 predicted.

    Args:
        predict: maps (x_t, t) to an estimate of the clean data x1.
        noise: x_0, standard normal.
        steps: at least 1.
        on_step: called with the number of finished steps.
    """
    x = noise
    for n in range(steps):
        t, after = n / steps, (n + 1) / steps
        clean = predict(x, t)
        x = clean if n + 1 == steps else x + (after - t) / (1 - t) * (clean - x)
        if on_step is not None:
            on_step(n + 1)
    return x


SAMPLERS: dict[str, Callable[[Predict, Tensor, int, OnStep | None], Tensor]] = {
    "rectified_flow": rectified_flow,
}
