"""The block codec: exact where it must be, and as good as principal components can be."""

import numpy as np
import pytest
import torch

from MeWMLib.dynamics.autoencoder import Autoencoder, compand, expand, fit, from_blocks, to_blocks


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn((2, 1, 8, 8, 8), generator=generator) * 120 + 100
    return torch.nn.functional.interpolate(coarse, scale_factor=4, mode="trilinear")


def test_companding_is_inverted_inside_the_window_and_lipiodol_does_not_saturate() -> None:
    hu = torch.linspace(-175, 600, 300)
    assert torch.allclose(expand(compand(hu)), hu, atol=1e-2)
    assert compand(torch.tensor(600.0)) > compand(torch.tensor(550.0)) + 0.05
    assert compand(torch.tensor(900.0)) == compand(torch.tensor(600.0))


def test_blocks_are_put_back_where_they_were(image: torch.Tensor) -> None:
    blocks = to_blocks(image)
    assert blocks.shape == (2, 8, 8, 8, 64)
    assert torch.equal(blocks[1, 2, 3, 4].reshape(4, 4, 4), image[1, 0, 8:12, 12:16, 16:20])
    assert torch.equal(from_blocks(blocks), image)


def test_a_codec_of_full_rank_loses_nothing(image: torch.Tensor) -> None:
    codec = fit(to_blocks(compand(image)).reshape(-1, 64), 64)
    assert torch.allclose(codec.decode(codec.encode(image)), image.clamp(-175, 600), atol=0.05)


def test_what_is_lost_is_what_principal_components_lose(image: torch.Tensor) -> None:
    samples = to_blocks(compand(image)).reshape(-1, 64)
    codec = fit(samples, 5)
    blocks = (codec.encode(image).permute(0, 2, 3, 4, 1) * codec.scale) @ codec.basis + codec.mean
    lost = float((blocks.reshape(-1, 64) - samples).square().sum())
    values = np.linalg.svd((samples - samples.mean(0)).double().numpy(), compute_uv=False)
    assert lost == pytest.approx(float((values[5:] ** 2).sum()), rel=1e-3)


def test_no_change_of_latents_gives_the_image_back(image: torch.Tensor) -> None:
    codec = fit(to_blocks(compand(image)).reshape(-1, 64), 4)
    same = codec.decode_change(image, torch.zeros(2, 4, 8, 8, 8))
    assert torch.allclose(same, image.clamp(-175, 600), atol=1e-2)


def test_a_bundle_part_rebuilds_the_codec(image: torch.Tensor) -> None:
    codec = fit(to_blocks(compand(image)).reshape(-1, 64), 6)
    again = Autoencoder.from_part(codec.part_config(), codec.tensors())
    assert torch.equal(again.encode(image), codec.encode(image))
