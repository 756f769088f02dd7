"""The paper's autoencoder: its layout, and the nearest codes."""

import pytest
import torch

from MeWMLib.core.errors import GeometryError
from MeWMLib.lab.codecs import vqgan
from MeWMLib.lab.codecs.vqgan import VQGAN, Codebook, VQGANConfig

SMALL = VQGANConfig(base=4, embedding=3, codes=32, groups=4)


@pytest.fixture
def codebook() -> Codebook:
    torch.manual_seed(0)
    return Codebook(codes=50, embedding=3)


@pytest.fixture
def latent() -> torch.Tensor:
    return torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_the_default_is_the_papers_layout() -> None:
    model = VQGAN()
    assert model.codebook.embedding.weight.shape == (16384, 8)
    with torch.no_grad():
        latent = model.encode(torch.zeros(1, 1, 16, 16, 32))
    assert latent.shape == (1, 8, 4, 4, 8)


def test_a_reconstruction_has_the_shape_of_the_image() -> None:
    image = torch.randn(2, 1, 8, 12, 16)
    model = VQGAN(SMALL)
    assert model.decode(model.encode(image)).shape == image.shape


def test_each_vector_gets_the_nearest_code(codebook, latent, monkeypatch) -> None:
    monkeypatch.setattr(vqgan, "_ROWS", 7)  # several parts, and a last one that is shorter
    found = codebook(latent)
    vectors = latent.detach().permute(0, 2, 3, 4, 1).reshape(-1, 3)
    distances = torch.cdist(vectors.double(), codebook.embedding.weight.detach().double())
    expected = codebook.embedding.weight[distances.argmin(1)].reshape(2, 4, 5, 6, 3).permute(0, 4, 1, 2, 3)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(GeometryError, match="8 x 10 x 8"):
        VQGAN(SMALL).encode(torch.zeros(1, 1, 8, 10, 8))
