"""The block autoencoder: it contains the linear codec, learns more, and refuses what does not fit."""

import pytest
import torch

from MeWMLib.core.errors import GeometryError
from MeWMLib.dynamics.autoencoder import compand, expand, fit, to_blocks
from MeWMLib.lab.codecs.space_to_depth import SpaceToDepth, SpaceToDepthConfig


@pytest.fixture
def hu() -> torch.Tensor:
    coarse = torch.randn((2, 1, 4, 4, 4), generator=torch.Generator().manual_seed(0)) * 120 + 100
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="trilinear")


def test_it_is_four_times_down() -> None:
    model = SpaceToDepth(SpaceToDepthConfig(channels=5, width=8))
    image = torch.randn(2, 1, 8, 12, 16)
    assert model.encode(image).shape == (2, 5, 2, 3, 4)
    assert model(image).shape == image.shape


def test_it_contains_the_linear_codec(hu: torch.Tensor) -> None:
    """With the codec's basis in its outer layers and the residual branches as they begin, both give the same."""
    codec = fit(to_blocks(compand(hu)).reshape(-1, 64), 6)
    model = SpaceToDepth(SpaceToDepthConfig(channels=6, width=64))
    first, last, begin, end = model.encoder[0], model.encoder[-1], model.decoder[0], model.decoder[-1]
    project = codec.basis / codec.scale[:, None]
    with torch.no_grad():
        for identity in (first, end):
            identity.weight.copy_(torch.eye(64)[:, :, None, None, None])
        first.bias.zero_()
        last.weight.copy_(project[:, :, None, None, None])
        last.bias.copy_(-project @ codec.mean)
        begin.weight.copy_((codec.basis * codec.scale[:, None]).T[:, :, None, None, None])
        begin.bias.copy_(codec.mean)
        end.bias.zero_()
        assert torch.allclose(model.encode(compand(hu)), codec.encode(hu), atol=1e-3)
        assert torch.allclose(expand(model(compand(hu))), codec.decode(codec.encode(hu)), atol=0.5)


def test_training_lowers_the_error_and_reaches_every_weight(hu: torch.Tensor) -> None:
    torch.manual_seed(0)
    model = SpaceToDepth(SpaceToDepthConfig(channels=4, width=16, blocks=1))
    image = compand(hu)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    errors = []
    for _ in range(60):
        error = (model(image) - image).square().mean()
        optimiser.zero_grad()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    assert errors[-1] < 0.5 * errors[0]


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(GeometryError, match="8 x 8 x 9"):
        SpaceToDepth().encode(torch.zeros(1, 1, 8, 8, 9))
