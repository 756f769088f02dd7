"""The dynamics model: it answers to the action, repeats itself, and changes nothing where it may not."""

import numpy as np
import pytest
import torch

from MeWMLib.core.protocol import Protocol
from MeWMLib.dynamics.autoencoder import compand, fit, to_blocks
from MeWMLib.dynamics.denoiser import Denoiser, DenoiserConfig
from MeWMLib.dynamics.model import DynamicsModel, EncodedPatch, denoiser_from_part, treated_window

A, B = Protocol.parse("Cisplatin + Lipiodol"), Protocol.parse("Doxorubicin + PVA")


def tiny_denoiser() -> Denoiser:
    torch.manual_seed(0)
    denoiser = Denoiser(DenoiserConfig(latent=6, widths=(8, 16, 16), condition=16, change_scale=(0.5,) * 6))
    for parameter in denoiser.parameters():  # layers that begin at zero would hide the action
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.1)
    return denoiser


@pytest.fixture(scope="module")
def model() -> DynamicsModel:
    blocks = torch.randn((4000, 64), generator=torch.Generator().manual_seed(0))
    return DynamicsModel(fit(blocks, 6), tiny_denoiser(), torch.device("cpu"))


@pytest.fixture(scope="module")
def patch(model: DynamicsModel) -> EncodedPatch:
    rng = np.random.default_rng(0)
    labels = np.ones((96, 96, 96), np.uint8)
    labels[40:60, 30:50, 44:64] = 2
    return model.encode(rng.normal(100, 20, labels.shape), labels, 1.2)


def test_one_seed_and_one_action_give_the_same_bits(model: DynamicsModel, patch: EncodedPatch) -> None:
    assert model.simulate(patch, [A], [7]).tobytes() == model.simulate(patch, [A], [7]).tobytes()


def test_one_seed_and_two_actions_give_two_tumours(model: DynamicsModel, patch: EncodedPatch) -> None:
    first, second = model.simulate(patch, [A, B], [7, 7])
    assert np.abs(first - second).max() > 1


def test_two_seeds_give_two_replicas(model: DynamicsModel, patch: EncodedPatch) -> None:
    first, second = model.simulate(patch, [A, A], [7, 8])
    assert np.abs(first - second).max() > 1


def test_a_replica_does_not_depend_on_what_is_simulated_beside_it(model: DynamicsModel, patch: EncodedPatch) -> None:
    alone = model.simulate(patch, [A], [7])[0]
    beside = model.simulate(patch, [B, A, A], [3, 7, 8])[1]
    assert np.allclose(alone, beside, atol=0.05)


def test_guidance_one_is_the_conditional_and_zero_the_unconditional(model: DynamicsModel, patch: EncodedPatch) -> None:
    blind = model.simulate(patch, [A, B], [7, 7], guidance=0.0)
    assert np.allclose(blind[0], blind[1], atol=1e-3)
    strong = model.simulate(patch, [A, B], [7, 7], guidance=3.0)
    plain = model.simulate(patch, [A, B], [7, 7], guidance=1.0)
    assert np.abs(strong[0] - strong[1]).mean() > np.abs(plain[0] - plain[1]).mean()


def test_only_the_window_of_the_tumour_changes(model: DynamicsModel, patch: EncodedPatch) -> None:
    change = model.simulate(patch, [A], [7])[0]
    inside = np.zeros(change.shape, bool)
    inside[tuple(slice(4 * s.start, 4 * s.stop) for s in patch.window)] = True
    assert (change[~inside] == 0).all() and (change[inside] != 0).any()


@pytest.mark.parametrize(("size", "expected"), [(3, 16), (14, 16), (15, 24), (22, 24), (24, 24)])
def test_the_window_is_the_smallest_that_holds_the_tumour_with_a_margin(size: int, expected: int) -> None:
    share = np.zeros((24, 24, 24))
    share[:size, 24 - size :, :size] = 0.25
    window = treated_window(share)
    assert [s.stop - s.start for s in window] == [expected] * 3
    assert share[window].sum() == share.sum()
    assert all(0 <= s.start and s.stop <= 24 for s in window)


def test_no_tumour_gives_the_whole_grid() -> None:
    assert treated_window(np.zeros((24, 24, 24))) == (slice(0, 24),) * 3


def test_the_loss_reaches_every_weight() -> None:
    denoiser = tiny_denoiser()
    latent = torch.randn(2, 6, 16, 16, 16)
    actions = torch.zeros(2, len(denoiser.config.agents), 3)
    actions[:, :3, 0] = 1
    out = denoiser(
        latent, latent, torch.rand(2, 2, 16, 16, 16), actions, torch.ones(2), torch.rand(2), torch.tensor([True, False])
    )
    out.square().mean().backward()
    silent = [name for name, p in denoiser.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []


def test_a_bundle_part_rebuilds_the_denoiser() -> None:
    denoiser = tiny_denoiser().eval()
    c = denoiser.config
    config = {
        "latent": 6,
        "widths": list(c.widths),
        "condition": 16,
        "agents": list(c.agents),
        "change_scale": [0.5] * 6,
    }
    again = denoiser_from_part(config, {k: v.numpy() for k, v in denoiser.state_dict().items()})
    assert again.config == c
    for one, two in zip(denoiser.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_encoding_keeps_hounsfield_units(model: DynamicsModel, patch: EncodedPatch) -> None:
    assert patch.latent.shape == (1, 6, 24, 24, 24)
    blocks = to_blocks(compand(patch.hu)) - model.autoencoder.mean
    expected = (blocks @ model.autoencoder.basis.T / model.autoencoder.scale)[0, 3, 4, 5]
    assert torch.allclose(patch.latent[0, :, 3, 4, 5], expected, atol=1e-5)
