"""The paper's preset of the autoencoder: a 3D vector-quantised autoencoder, 4x down, written from the papers.

MeWM takes over the autoencoder of DiffTumor (Chen 2024, arXiv 2402.19470), a VQGAN (Esser 2021, arXiv 2012.09841) in
3D: convolutions down by 4, a codebook of 16,384 vectors of 8 numbers, convolutions up again. Only the network is here,
with random weights, so that its time can be measured beside MeWM's codec (Testing/benchmarks/simulation.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from MeWMLib.core.errors import GeometryError

#: Vectors whose distances to all codes are held at once: 2048 x 16,384 floats are 134 MB.
_ROWS = 2048


@dataclass(frozen=True)
class VQGANConfig:
    """Sizes; the default is the published configuration of DiffTumor.

    Attributes:
        base: channels at full resolution; twice as many after each halving.
        halvings: 2 is 4x down.
        embedding: numbers in a code, channels of the latent.
        codes: in the codebook.
        groups: of the group norms, at most.
    """

    base: int = 16
    halvings: int = 2
    embedding: int = 8
    codes: int = 16384
    groups: int = 32


class Codebook(nn.Module):
    """Replaces each vector by the nearest code."""

    def __init__(self, codes: int, embedding: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, embedding)
        nn.init.normal_(self.embedding.weight)

    def forward(self, latent: Tensor) -> Tensor:
        """(N, C, d, h, w) to codes of the same shape."""
        vectors = latent.movedim(1, -1)  # (N, d, h, w, C)
        rows = vectors.reshape(-1, vectors.shape[-1]).split(_ROWS)
        codes = torch.cat([self._nearest(part) for part in rows]).reshape(vectors.shape[:-1])
        return self.embedding(codes).movedim(-1, 1)

    def _nearest(self, vectors: Tensor) -> Tensor:
        weight = self.embedding.weight
        return (weight.square().sum(1) - 2 * vectors @ weight.T).argmin(1)


class _Residual(nn.Module):
    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*_conv(width, width, groups), *_conv(width, width, groups))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


def _conv(inputs: int, outputs: int, groups: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv3d(inputs, outputs, 3, padding=1, padding_mode="replicate")
    return nn.GroupNorm(min(groups, inputs), inputs), nn.SiLU(), conv


class VQGAN(nn.Module):
    """Encoder, codebook and decoder on images of about unit range, (N, 1, D, H, W), sizes divisible by 4."""

    def __init__(self, config: VQGANConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or VQGANConfig()
        widths = [c.base * 2**n for n in range(c.halvings + 1)]
        down: list[nn.Module] = [nn.Conv3d(1, c.base, 3, padding=1, padding_mode="replicate")]
        for fine, coarse in zip(widths[:-1], widths[1:], strict=True):
            shrink = nn.Conv3d(fine, coarse, 4, stride=2, padding=1, padding_mode="replicate")
            down += [shrink, _Residual(coarse, c.groups)]
        down += [nn.GroupNorm(min(c.groups, widths[-1]), widths[-1]), nn.SiLU(), nn.Conv3d(widths[-1], c.embedding, 1)]
        self.encoder = nn.Sequential(*down)
        self.codebook = Codebook(c.codes, c.embedding)
        up: list[nn.Module] = [nn.Conv3d(c.embedding, widths[-1], 1), _Residual(widths[-1], c.groups)]
        for coarse, fine in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [nn.ConvTranspose3d(coarse, fine, 4, stride=2, padding=1), _Residual(fine, c.groups)]
        up += [nn.Conv3d(c.base, 1, 3, padding=1, padding_mode="replicate")]
        self.decoder = nn.Sequential(*up)

    def encode(self, image: Tensor) -> Tensor:
        """(N, 1, D, H, W) to latents before the codebook (N, C, D/4, H/4, W/4); diffusion runs on these.

        Raises:
            GeometryError: a size is not divisible by the factor.
        """
        factor = 2**self.config.halvings
        if any(n % factor for n in image.shape[2:]):
            raise GeometryError(
                what=f"The autoencoder needs sizes divisible by {factor}",
                given=" x ".join(map(str, image.shape[2:])),
                remedy="Cut or pad the patch",
            )
        return self.encoder(image)

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (N, C, d, h, w), quantised here, to images (N, 1, 4d, 4h, 4w)."""
        return self.decoder(self.codebook(latent))
