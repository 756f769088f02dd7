"""Layers of the survival network: residual blocks, tokens with their place and densities, exchange and pooling."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from MeWMLib.survival.config import GROUP

#: Densities that are distinguished inside the tumour: 70 HU from one to the next.
_BINS = 12


class Residual(nn.Module):
    """Basic block of two convolutions, over the volume or over axial planes (Tran et al., CVPR 2018: MC3)."""

    def __init__(self, inputs: int, outputs: int, *, volumetric: bool, halve: bool) -> None:
        super().__init__()
        kernel, padding = ((3, 3, 3), (1, 1, 1)) if volumetric else ((1, 3, 3), (0, 1, 1))
        # The mean over 2^3 voxels before the block halves the depth too, which a planar convolution cannot do
        # without dropping slices; ceil_mode lets every size pass.
        self.halve = nn.AvgPool3d(2, ceil_mode=True) if halve else nn.Identity()
        self.conv1 = nn.Conv3d(inputs, outputs, kernel, padding=padding, bias=False)
        self.norm1 = nn.GroupNorm(outputs // GROUP, outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, kernel, padding=padding, bias=False)
        self.norm2 = nn.GroupNorm(outputs // GROUP, outputs)
        self.skip = nn.Identity() if inputs == outputs else nn.Conv3d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.halve(x)
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        return F.relu(self.norm2(self.conv2(y)) + self.skip(x), inplace=True)


class Positions(nn.Module):
    """Adds to each token its position in the cube, for any size: a linear map of sines and cosines."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.project = nn.Linear(18, features, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        axes = [(torch.arange(n, device=x.device, dtype=x.dtype) + 0.5) / n * 2 - 1 for n in x.shape[2:]]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).flatten(0, 2)  # (T, 3)
        angles = torch.cat([places * np.pi / 2 * 2**k for k in range(3)], dim=1)  # (T, 9)
        waves = self.project(torch.cat([angles.sin(), angles.cos()], dim=1))  # (T, C)
        return x.flatten(2).transpose(1, 2) + waves  # (M, T, C)


class Densities(nn.Module):
    """Which share of a token's place is tumour of which density: a soft histogram of the CT inside the mask.

    The normalisation in the residual stages removes absolute brightness, by which necrosis, viable tumour and Lipiodol
    differ; this path keeps it.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.project = nn.Linear(_BINS, features, bias=False)

    def forward(self, ct: Tensor, mask: Tensor, grid: tuple[int, ...]) -> Tensor:
        # Hat functions of neighbouring centres sum to one; what is beyond the window counts at its ends.
        place = (ct.clamp(-1, 1) + 1) * ((_BINS - 1) / 2)  # (M, 1, D, H, W)
        shares = [
            F.adaptive_avg_pool3d((1 - (place - n).abs()).clamp(min=0) * mask, grid).flatten(2) for n in range(_BINS)
        ]
        # A tumour fills about a tenth of its cube: times ten, the shares weigh as much as the other features.
        return self.project(10 * torch.cat(shares, dim=1).transpose(1, 2))  # (M, T, C)


class TwoWay(nn.Module):
    """Before looks at after, then after looks at before, each with a residual (the paper's two-way transformer)."""

    def __init__(self, features: int, heads: int) -> None:
        super().__init__()
        self.before_looks = nn.MultiheadAttention(features, heads, batch_first=True)
        self.after_looks = nn.MultiheadAttention(features, heads, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(features) for _ in range(4))
        self.mix = nn.Sequential(nn.Linear(features, features), nn.GELU(), nn.Linear(features, features))

    def forward(self, before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
        b, a = self.norms[0](before), self.norms[1](after)
        before = before + self.before_looks(b, a, a, need_weights=False)[0]
        b = self.norms[0](before)
        after = after + self.after_looks(a, b, b, need_weights=False)[0]
        return before + self.mix(self.norms[2](before)), after + self.mix(self.norms[3](after))


class GatedAttention(nn.Module):
    """Attention pooling: weights softmax(w (tanh(V h) * sigmoid(U h))) over the instances (Ilse, ICML 2018, eq. 9)."""

    def __init__(self, features: int, hidden: int) -> None:
        super().__init__()
        self.value = nn.Linear(features, hidden)
        self.gate = nn.Linear(features, hidden)
        # A bias here would add the same to every instance and vanish in the softmax.
        self.score = nn.Linear(hidden, 1, bias=False)

    def forward(self, instances: Tensor) -> tuple[Tensor, Tensor]:
        """Pool (..., K, E) over K; return (..., E) and the weights (..., K)."""
        scores = self.score(torch.tanh(self.value(instances)) * torch.sigmoid(self.gate(instances)))
        weights = torch.softmax(scores.squeeze(-1), dim=-1)  # (..., K)
        return (weights.unsqueeze(-1) * instances).sum(dim=-2), weights
