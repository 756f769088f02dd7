"""The follow-up network: what became of a known tumour, from the CT before, its outline, and the CT after.

The assistant (segmenter.py) looks at one image. After a treatment much more is known: where the tumour was. A network
that sees both images and the outline need not find the lesion again, only say which part of it and of its rim is
tumour now; it is small, and it is trained on treated tumours, also on such as pass through the codec, as simulated
images do.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

BLOCK = 4
IMAGES = 4


@dataclass(frozen=True)
class FollowUpConfig:
    """Channels at each resolution, finest (blocks of 4^3 voxels) first."""

    widths: tuple[int, ...] = (48, 96)


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv3d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class FollowUpNetwork(nn.Module):
    """Logits of tumour after treatment, one a voxel."""

    def __init__(self, config: FollowUpConfig) -> None:
        super().__init__()
        self.config = config
        fine, coarse = config.widths
        self.stem = nn.Conv3d(IMAGES * BLOCK**3, fine, 1)
        self.first = nn.Sequential(_Block(fine), _Block(fine))
        self.shrink = nn.Conv3d(fine, coarse, 2, stride=2)
        self.bottom = nn.Sequential(_Block(coarse), _Block(coarse))
        self.grow = nn.Conv3d(coarse, fine, 1)
        self.last = nn.Sequential(_Block(fine), nn.GroupNorm(8, fine), nn.SiLU())
        self.head = nn.Conv3d(fine, BLOCK**3, 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 4, D, H, W) from `stack`, sizes divisible by 8, to logits (N, D, H, W)."""
        x = self.first(self.stem(_to_channels(images)))
        deep = self.grow(self.bottom(self.shrink(x)))
        x = self.last(x + nn.functional.interpolate(deep, scale_factor=2.0, mode="nearest"))
        return _to_voxels(self.head(x))


def _to_channels(images: Tensor) -> Tensor:
    """(N, C, D, H, W) to (N, C * 64, D/4, H/4, W/4)."""
    n, c, d, h, w = images.shape
    b = BLOCK
    parts = images.reshape(n, c, d // b, b, h // b, b, w // b, b).permute(0, 1, 3, 5, 7, 2, 4, 6)
    return parts.reshape(n, c * b**3, d // b, h // b, w // b)


def _to_voxels(blocks: Tensor) -> Tensor:
    """(N, 64, d, h, w) to (N, 4d, 4h, 4w)."""
    n, _, d, h, w = blocks.shape
    b = BLOCK
    return blocks.reshape(n, b, b, b, d, h, w).permute(0, 4, 1, 5, 2, 6, 3).reshape(n, d * b, h * b, w * b)


def stack(before: Tensor, after: Tensor, labels: Tensor) -> Tensor:
    """Input of the network.

    Args:
        before, after: HU (N, D, H, W).
        labels: (N, D, H, W) before treatment, 1 liver, 2 tumour.

    Returns:
        (N, 4, D, H, W): both images companded, tumour and liver.
    """
    images = [torch.asinh((hu.clamp(-175, 600) - 60) / 50) for hu in (before, after)]
    return torch.stack([*images, (labels == 2).float(), (labels >= 1).float()], 1)


class FollowUp:
    """The network in inference."""

    def __init__(self, network: FollowUpNetwork, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device

    @classmethod
    def from_part(cls, config: dict[str, Any], tensors: dict[str, NDArray[Any]], device: torch.device) -> FollowUp:
        """Rebuild from a bundle part."""
        network = FollowUpNetwork(FollowUpConfig(tuple(config["widths"])))
        network.load_state_dict({k: torch.from_numpy(np.asarray(v, np.float32)) for k, v in tensors.items()})
        return cls(network, device)

    def part_config(self) -> dict[str, Any]:
        """Config for a bundle."""
        return {k: list(v) for k, v in asdict(self.network.config).items()}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Weights for a bundle."""
        return {k: v.detach().cpu().numpy() for k, v in self.network.state_dict().items()}

    @torch.inference_mode()
    def tumour_after(self, before: NDArray[Any], after: NDArray[Any], labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Tumour after treatment.

        Args:
            before: HU (D, H, W), sizes divisible by 8.
            after: HU (N, D, H, W) in the same place.
            labels: (D, H, W) before treatment.

        Returns:
            (N, D, H, W), in the liver only.
        """
        n = len(after)
        first = torch.from_numpy(np.asarray(before, np.float32)).to(self.device)[None].expand(n, -1, -1, -1)
        then = torch.from_numpy(np.asarray(after, np.float32)).to(self.device)
        known = torch.from_numpy(np.asarray(labels)).to(self.device)[None].expand(n, -1, -1, -1)
        found = self.network(stack(first, then, known)) > 0
        return np.asarray((found & (known >= 1)).cpu().numpy())
