"""A small convolutional autoencoder on blocks: 4^3 voxels become 64 channels first; all work is on the small grid.

Pixel unshuffling after Shi 2016 (arXiv 1609.05158). It is a candidate beside the linear codec of `autoencoder.py`,
which it contains: without its residual branches it is a linear map of blocks to latents and back.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from MeWMLib.core.errors import GeometryError
from MeWMLib.dynamics.autoencoder import BLOCK, from_blocks, to_blocks


@dataclass(frozen=True)
class SpaceToDepthConfig:
    """Channels of the latent, width and number of residual blocks on either side."""

    channels: int = 16
    width: int = 64
    blocks: int = 2


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv3d(width, width, 3, padding=1), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1)
        )
        # Begins as the identity, so that the whole begins as a linear codec.
        nn.init.zeros_(self.body[-1].weight)
        nn.init.zeros_(self.body[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class SpaceToDepth(nn.Module):
    """Autoencoder of companded images (N, 1, D, H, W), sizes divisible by 4."""

    def __init__(self, config: SpaceToDepthConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SpaceToDepthConfig()
        inside = [_Residual(c.width) for _ in range(c.blocks)]
        outside = [_Residual(c.width) for _ in range(c.blocks)]
        self.encoder = nn.Sequential(nn.Conv3d(BLOCK**3, c.width, 1), *inside, nn.Conv3d(c.width, c.channels, 1))
        self.decoder = nn.Sequential(nn.Conv3d(c.channels, c.width, 1), *outside, nn.Conv3d(c.width, BLOCK**3, 1))

    def encode(self, image: Tensor) -> Tensor:
        """(N, 1, D, H, W) to latents (N, C, D/4, H/4, W/4).

        Raises:
            GeometryError: a size is not divisible by 4.
        """
        if any(n % BLOCK for n in image.shape[2:]):
            raise GeometryError(
                what=f"The autoencoder needs sizes divisible by {BLOCK}",
                given=" x ".join(map(str, image.shape[2:])),
                remedy="Cut or pad the patch",
            )
        return self.encoder(to_blocks(image).movedim(-1, 1))

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (N, C, d, h, w) to images (N, 1, 4d, 4h, 4w)."""
        return from_blocks(self.decoder(latent).movedim(1, -1))

    def forward(self, image: Tensor) -> Tensor:
        """Reconstruction (N, 1, D, H, W)."""
        return self.decode(self.encode(image))
