"""The paper's autoencoder: layout, nearest codes, and where the gradients go."""

import pytest
import torch

from MeWMLib.core.errors import GeometryError
from MeWMLib.lab.codecs import vqgan
from MeWMLib.lab.codecs.vqgan import VQGAN, Codebook, VQGANConfig

SMALL = VQGANConfig(base=4, embedding=3, codes=32, groups=4)


@pytest.fixture
def codebook() -> Codebook:
    torch.manual_seed(0)
    return Codebook(codes=50, embedding=3, commitment=0.25)


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
    out, loss = VQGAN(SMALL)(image)
    assert out.shape == image.shape and loss.shape == ()


def test_each_vector_gets_the_nearest_code(codebook, latent, monkeypatch) -> None:
    monkeypatch.setattr(vqgan, "_ROWS", 7)  # several parts, and a last one that is shorter
    found = codebook(latent)
    vectors = latent.detach().permute(0, 2, 3, 4, 1).reshape(-1, 3)
    distances = torch.cdist(vectors.double(), codebook.embedding.weight.detach().double())
    assert torch.equal(found.codes.reshape(-1), distances.argmin(1))
    expected = codebook.embedding.weight[distances.argmin(1)].reshape(2, 4, 5, 6, 3).permute(0, 4, 1, 2, 3)
    assert torch.allclose(found.latent, expected, atol=1e-6)


def test_the_gradient_goes_straight_through(codebook, latent) -> None:
    weight = torch.randn(latent.shape)
    (codebook(latent).latent * weight).sum().backward()
    assert torch.equal(latent.grad, weight)
    assert codebook.embedding.weight.grad is None or not codebook.embedding.weight.grad.any()


def test_the_loss_pulls_codes_fully_and_latents_by_beta(codebook, latent) -> None:
    found = codebook(latent)
    found.loss.backward()
    gap = (latent - found.latent).detach()
    assert torch.allclose(latent.grad, 0.25 * 2 * gap / gap.numel(), atol=1e-7)
    pull = torch.zeros(50, 3).index_add_(0, found.codes.reshape(-1), gap.permute(0, 2, 3, 4, 1).reshape(-1, 3))
    assert torch.allclose(codebook.embedding.weight.grad, -2 * pull / gap.numel(), atol=1e-6)
    assert float(found.loss.detach()) == pytest.approx(1.25 * float(gap.square().mean()), rel=1e-5)


def test_training_reaches_every_weight_and_lowers_the_error() -> None:
    torch.manual_seed(0)
    model = VQGAN(SMALL)
    image = torch.randn(1, 1, 2, 2, 2).repeat_interleave(8, 2).repeat_interleave(8, 3).repeat_interleave(8, 4)
    optimiser = torch.optim.Adam(model.parameters(), 5e-3)
    errors = []
    for _ in range(40):
        out, loss = model(image)
        error = (out - image).square().mean()
        optimiser.zero_grad()
        (error + loss).backward()
        errors.append(float(error.detach()))
        if len(errors) == 1:
            assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
        optimiser.step()
    assert errors[-1] < 0.5 * errors[0]


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(GeometryError, match="8 x 10 x 8"):
        VQGAN(SMALL).encode(torch.zeros(1, 1, 8, 10, 8))
