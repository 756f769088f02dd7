"""The sampler against a case whose answer is known: Gaussian data, whose best predictor has a closed form."""

import pytest
import torch

from MeWMLib.dynamics.sampling import rectified_flow


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_certain_prediction_is_reached_whatever_the_steps(steps: int) -> None:
    goal = torch.randn(3, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    seen: list[int] = []
    out = rectified_flow(lambda x, t: goal, torch.randn_like(goal), steps, seen.append)
    assert torch.equal(out, goal)
    assert seen == list(range(1, steps + 1))


def test_gaussian_data_come_out_with_their_mean_and_spread() -> None:
    mean, spread = 2.0, 0.5

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        # E[x1 | x_t] for x_t = (1 - t) e + t x1, e ~ N(0, 1), x1 ~ N(mean, spread^2)
        gain = t * spread**2 / (t**2 * spread**2 + (1 - t) ** 2)
        return mean + gain * (x - t * mean)

    noise = torch.randn(20_000, generator=torch.Generator().manual_seed(1))
    out = rectified_flow(predict, noise, 200)
    assert float(out.mean()) == pytest.approx(mean, abs=0.02)
    assert float(out.std()) == pytest.approx(spread, rel=0.03)


def test_the_noise_decides_the_sample() -> None:
    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        return 0.5 * x

    a = rectified_flow(predict, torch.ones(4), 4)
    assert torch.equal(a, rectified_flow(predict, torch.ones(4), 4))
    assert not torch.equal(a, rectified_flow(predict, -torch.ones(4), 4))
