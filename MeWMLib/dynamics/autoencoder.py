"""The 3D autoencoder: 4x down, a linear codec over blocks of 4^3 voxels whose basis is found by principal components.

On tumours with Lipiodol it beat a trained convolutional autoencoder, and it needs no training. The intensities are
companded first, so that the contrast between necrosis and viable tumour (80 HU) is not lost beside Lipiodol (400 HU):

    y = asinh((HU - 60) / 100),   HU clipped to -175..600
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.bundle import rebuilding, require_sizes
from MeWMLib.core.errors import BundleError
from MeWMLib.core.records import from_plain
from MeWMLib.core.structures import CT_WINDOW_HU

CENTRE_HU, WIDTH_HU = 60.0, 100.0
BLOCK = 4


def compand(hu: Tensor) -> Tensor:
    """HU, any shape, to companded intensities of the same shape."""
    return torch.asinh((hu.clamp(*CT_WINDOW_HU) - CENTRE_HU) / WIDTH_HU)


def expand(companded: Tensor) -> Tensor:
    """Inverse of `compand`; the result lies within the window."""
    return (torch.sinh(companded) * WIDTH_HU + CENTRE_HU).clamp(*CT_WINDOW_HU)


@dataclass(frozen=True)
class AutoencoderConfig:
    """What is stored with the weights: channels of the latent."""

    channels: int = 16

    def __post_init__(self) -> None:
        require_sizes(self, {"channels": (1, BLOCK**3)}, "the autoencoder")


class Autoencoder(torch.nn.Module):
    """Linear block codec. Latents are whitened: about unit variance in each channel on the data that it was fitted on.

    Buffers: basis (C, 64) orthonormal rows, mean (64,), scale (C,).

    Args:
        channels: of the latent, C.
    """

    basis: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("basis", torch.zeros(channels, BLOCK**3))
        self.register_buffer("mean", torch.zeros(BLOCK**3))
        self.register_buffer("scale", torch.ones(channels))

    def encode(self, hu: Tensor) -> Tensor:
        """HU (N, 1, D, H, W) to latents (N, C, D/4, H/4, W/4)."""
        blocks = to_blocks(compand(hu)) - self.mean  # (N, d, h, w, 64)
        latent = (blocks @ self.basis.T) / self.scale  # (N, d, h, w, C)
        return latent.permute(0, 4, 1, 2, 3).contiguous()

    def decode_change(self, hu: Tensor, change: Tensor) -> Tensor:
        """Apply a change of latents to an image: x_pre + Dec(z - z_pre), in companded intensities.

        Args:
            hu: (N or 1, 1, D, H, W) the image before.
            change: (N, C, D/4, H/4, W/4), z - z_pre.

        Returns:
            HU (N, 1, D, H, W). What the codec cannot represent (fine texture, edges) is kept from `hu`.
        """
        blocks = (change.permute(0, 2, 3, 4, 1) * self.scale) @ self.basis  # (N, d, h, w, 64)
        return expand(compand(hu) + from_blocks(blocks))

    def decode(self, latent: Tensor) -> Tensor:
        """Latents (N, C, d, h, w) alone to HU (N, 1, 4d, 4h, 4w)."""
        blocks = (latent.permute(0, 2, 3, 4, 1) * self.scale) @ self.basis + self.mean
        return expand(from_blocks(blocks))

    @property
    def ten_hu(self) -> float:
        """Factor that makes a difference of the first channel (the mean of a block) a multiple of 10 HU.

        Near `CENTRE_HU`, where the companding is straight: one unit of it is `WIDTH_HU`.
        """
        per_unit = float(self.scale[0]) * float(self.basis[0].mean())  # of the companded mean of the block
        return per_unit * WIDTH_HU / 10

    def tensors(self) -> dict[str, NDArray[Any]]:
        """State for a bundle."""
        return {k: v.detach().cpu().numpy() for k, v in self.state_dict().items()}

    @classmethod
    def from_part(cls, config: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Autoencoder:
        """Rebuild from a bundle part.

        Raises:
            BundleError: the configuration is not possible, or the weights do not fit it.
        """
        remedy = "Import the bundle again"
        settings = from_plain(AutoencoderConfig, config, "the autoencoder of this bundle", BundleError, remedy)
        with rebuilding("The weights of the autoencoder do not fit its configuration", remedy):
            model = cls(settings.channels)
            model.load_state_dict({k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in tensors.items()})
        return model.eval()

    def part_config(self) -> dict[str, Any]:
        """Config for a bundle."""
        return {"channels": self.channels}


def to_blocks(image: Tensor) -> Tensor:
    """(N, 1, D, H, W) to (N, D/4, H/4, W/4, 64)."""
    n, _, d, h, w = image.shape
    b = BLOCK
    parts = image.reshape(n, d // b, b, h // b, b, w // b, b)
    return parts.permute(0, 1, 3, 5, 2, 4, 6).reshape(n, d // b, h // b, w // b, b**3)


def from_blocks(blocks: Tensor) -> Tensor:
    """Inverse of `to_blocks`."""
    n, d, h, w, _ = blocks.shape
    b = BLOCK
    parts = blocks.reshape(n, d, h, w, b, b, b).permute(0, 1, 4, 2, 5, 3, 6)
    return parts.reshape(n, 1, d * b, h * b, w * b)


def fit(samples: Tensor, channels: int) -> Autoencoder:
    """Fit the codec by principal components.

    Args:
        samples: (M, 64) companded blocks; blocks of tumours should be drawn more often than others.
        channels: of the latent.
    """
    model = Autoencoder(channels)
    mean = samples.mean(0)
    centred = (samples - mean).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(samples))
    order = torch.argsort(values, descending=True)[:channels]
    basis = vectors[:, order].T
    # The sign of a principal component is arbitrary: fix it, so that two fits agree.
    basis = basis * torch.sign(basis.gather(1, basis.abs().argmax(1, keepdim=True)))
    model.basis.copy_(basis.float())
    model.mean.copy_(mean)
    model.scale.copy_(values[order].clamp_min(1e-8).sqrt().float())
    return model.eval()
