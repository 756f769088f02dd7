"""The samplers against a case whose answer is known: Gaussian data, whose best predictor has a closed form."""

import pytest
import torch

from MeWMLib.core.errors import PlanSettingsError
from MeWMLib.dynamics.sampling import SAMPLERS, ddim, ddpm, rectified_flow, sampler_named

MEAN, SPREAD = 2.0, 0.5


def gaussian(x: torch.Tensor, t: float) -> torch.Tensor:
    """E[x1 | x_t] for x_t = (1 - t) e + t x1, e ~ N(0, 1), x1 ~ N(MEAN, SPREAD^2)."""
    gain = t * SPREAD**2 / (t**2 * SPREAD**2 + (1 - t) ** 2)
    return MEAN + gain * (x - t * MEAN)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_certain_prediction_is_reached_whatever_the_steps(name: str, steps: int) -> None:
    goal = torch.randn(3, 2, 4, 4, 4, generator=generator())
    seen: list[int] = []
    out = SAMPLERS[name](lambda x, t: goal, torch.randn_like(goal), steps, seen.append, generator())
    assert torch.equal(out, goal)
    assert seen == list(range(1, steps + 1))


@pytest.mark.parametrize("name", SAMPLERS)
def test_gaussian_data_come_out_with_their_mean_and_spread(name: str) -> None:
    noise = torch.randn(20_000, generator=generator(1))
    out = SAMPLERS[name](gaussian, noise, 400, None, generator(2))
    # Four standard errors of 20,000 draws are 0.014 (mean) and 0.010 (spread); the rest is for the finite steps.
    assert float(out.mean()) == pytest.approx(MEAN, abs=0.02)
    assert float(out.std()) == pytest.approx(SPREAD, abs=0.015)


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_gives_what_is_expected_of_pure_noise(name: str) -> None:
    noise = torch.randn(50, generator=generator(1))
    assert torch.equal(SAMPLERS[name](lambda x, t: gaussian(x, t) + 0.1 * x, noise, 1), MEAN + 0.1 * noise)


@pytest.mark.parametrize("name", ["rectified_flow", "ddim"])
def test_the_network_is_asked_on_the_straight_path_it_was_trained_on(name: str) -> None:
    """If all steps agree on x1 and nothing is added, x_t = (1 - t) noise + t x1 at every step, t rising from 0."""
    goal, noise = torch.randn(2, 64, generator=generator())
    times: list[float] = []

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        assert torch.allclose(x, (1 - t) * noise + t * goal, atol=1e-5)
        times.append(t)
        return goal

    SAMPLERS[name](predict, noise, 9)
    assert times[0] == 0.0 and times == sorted(set(times)) and times[-1] < 1.0 and len(times) == 9


def test_noisy_steps_stay_on_paths_of_the_right_spread() -> None:
    """DDPM with x1 known: what remains after taking t x1 away is noise of standard deviation 1 - t."""
    goal = torch.tensor(3.0)

    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        rest = x - t * goal
        assert float(rest.mean()) == pytest.approx(0.0, abs=0.03 * (1 - t))
        assert float(rest.std()) == pytest.approx(1 - t, rel=0.03)
        return goal.expand_as(x)

    ddpm(predict, torch.randn(20_000, generator=generator(1)), 10, None, generator(2))


def test_ddim_with_eta_one_is_ddpm() -> None:
    noise = torch.randn(100, generator=generator(1))
    one = ddim(gaussian, noise, 12, None, generator(5), eta=1.0)
    assert torch.allclose(one, ddpm(gaussian, noise, 12, None, generator(5)), atol=1e-5)
    assert not torch.allclose(one, ddim(gaussian, noise, 12), atol=0.01)


@pytest.mark.parametrize("sampler", [rectified_flow, ddim])
def test_the_noise_decides_the_sample(sampler) -> None:
    def predict(x: torch.Tensor, t: float) -> torch.Tensor:
        return 0.5 * x

    a = sampler(predict, torch.ones(4), 4)
    assert torch.equal(a, sampler(predict, torch.ones(4), 4))
    assert not torch.equal(a, sampler(predict, -torch.ones(4), 4))


def test_the_seed_decides_a_stochastic_sample() -> None:
    noise = torch.randn(8, generator=generator(1))
    a = ddpm(gaussian, noise, 4, None, generator(3))
    assert torch.equal(a, ddpm(gaussian, noise, 4, None, generator(3)))
    assert not torch.equal(a, ddpm(gaussian, noise, 4, None, generator(4)))


def test_with_a_generator_each_a_replica_does_not_depend_on_its_neighbours() -> None:
    noise = torch.randn(3, 5, generator=generator(1))
    together = ddpm(gaussian, noise, 6, None, [generator(7), generator(8), generator(9)])
    alone = ddpm(gaussian, noise[1:2], 6, None, [generator(8)])
    assert torch.equal(together[1:2], alone)


def test_noise_without_a_generator_is_refused() -> None:
    with pytest.raises(PlanSettingsError, match="needs a generator"):
        ddpm(gaussian, torch.zeros(3), 2)
    with pytest.raises(PlanSettingsError, match="needs a generator"):
        ddim(gaussian, torch.zeros(3), 3, eta=0.5)


def test_the_wrong_number_of_generators_is_refused() -> None:
    with pytest.raises(PlanSettingsError, match="2 generators for 3 replicas"):
        ddpm(gaussian, torch.zeros(3, 2), 2, None, [generator(), generator()])


@pytest.mark.parametrize("name", SAMPLERS)
def test_no_steps_are_refused(name: str) -> None:
    with pytest.raises(PlanSettingsError, match="at least one step"):
        SAMPLERS[name](gaussian, torch.zeros(3), 0, None, generator())


def test_a_sampler_is_found_by_name_and_a_wrong_name_says_which_there_are() -> None:
    assert sampler_named("ddpm") is ddpm
    with pytest.raises(PlanSettingsError, match="rectified_flow, ddim, ddpm"):
        sampler_named("euler")
