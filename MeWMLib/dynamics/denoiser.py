"""The conditional denoiser: a small 3D U-Net on latents, modulated by the action, the time and the voxel size."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from MeWMLib.dynamics.actions import ActionEncoder, known_agents


@dataclass(frozen=True)
class DenoiserConfig:
    """Sizes of the denoiser.

    Attributes:
        latent: channels of the latent.
        widths: channels at each resolution, finest first.
        condition: width of the condition vector.
        agents: the agents that it knows, in order.
        change_scale: standard deviation of each latent channel's change inside treated tumours, by which changes are
            divided.
    """

    latent: int = 16
    widths: tuple[int, ...] = (32, 64, 128)
    condition: int = 96
    agents: tuple[str, ...] = field(default_factory=lambda: tuple(known_agents()))
    change_scale: tuple[float, ...] = ()


class _Block(nn.Module):
    """Residual block with feature-wise modulation by the condition."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(condition, 2 * outputs)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.conv2 = nn.Conv3d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        gain, shift = self.modulate(condition)[:, :, None, None, None].chunk(2, 1)
        h = self.norm2(h) * (1 + gain) + shift
        return self.skip(x) + self.conv2(nn.functional.silu(h))


class _Attention(nn.Module):
    """Self-attention over all positions of the coarsest level."""

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(8, width)
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        n, c = x.shape[:2]
        tokens = self.norm(x).flatten(2).transpose(1, 2)  # (N, L, C)
        q, k, v = self.qkv(tokens).reshape(n, -1, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)  # (N, heads, L, C / heads)
        return x + self.out(mixed.transpose(1, 2).reshape(n, -1, c)).transpose(1, 2).reshape(x.shape)


def time_features(time: Tensor, width: int) -> Tensor:
    """Sinusoidal features (N, width) of times (N,) in 0..1."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), width // 2, device=time.device))
    angles = time[:, None] * frequencies[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


class Denoiser(nn.Module):
    """Predicts the clean change of latents z1 - z0 from its noisy version.

    Condition: the pre-treatment latent z0, the tumour and liver masks, tau(a), time and voxel size.
    """

    def __init__(self, config: DenoiserConfig) -> None:
        super().__init__()
        self.config = config
        w, c = config.widths, config.condition
        self.actions = ActionEncoder(len(config.agents), c)
        self.time = nn.Sequential(nn.Linear(64 + 1, c), nn.SiLU(), nn.Linear(c, c))
        self.stem = nn.Conv3d(2 * config.latent + 2, w[0], 3, padding=1)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        for n, width in enumerate(w):
            self.down.append(_Block(width, width, c))
            if n + 1 < len(w):
                self.shrink.append(nn.Conv3d(width, w[n + 1], 2, stride=2))
        self.middle = _Attention(w[-1])
        self.bottom = _Block(w[-1], w[-1], c)
        self.grow = nn.ModuleList()
        self.up = nn.ModuleList()
        for n in reversed(range(len(w) - 1)):
            self.grow.append(nn.Conv3d(w[n + 1], w[n], 1))
            self.up.append(_Block(2 * w[n], w[n], c))
        self.head = nn.Sequential(nn.GroupNorm(8, w[0]), nn.SiLU(), nn.Conv3d(w[0], config.latent, 3, padding=1))
        nn.init.zeros_(self.head[-1].weight)
        nn.init.zeros_(self.head[-1].bias)

    def condition(self, actions: Tensor, spacing_mm: Tensor, time: Tensor, dropped: Tensor | None = None) -> Tensor:
        """Condition vectors (N, condition) of actions (N, A, 3), voxel sizes (N,) and times (N,)."""
        extra = torch.cat([time_features(time, 64), spacing_mm.log()[:, None]], 1)
        return nn.functional.silu(self.actions(actions, dropped) + self.time(extra))

    def forward(
        self,
        noisy: Tensor,
        before: Tensor,
        masks: Tensor,
        actions: Tensor,
        spacing_mm: Tensor,
        time: Tensor,
        dropped: Tensor | None = None,
    ) -> Tensor:
        """Predict the clean, scaled change.

        Args:
            noisy: (N, C, d, h, w) noisy scaled change at `time`.
            before: (N, C, d, h, w) latent of the pre-treatment CT.
            masks: (N, 2, d, h, w) share of tumour and of liver in each block.
            actions: (N, A, 3).
            spacing_mm: (N,) voxel size of the patch.
            time: (N,) 0 is noise, 1 is data.
            dropped: (N,) bool, action dropped.

        Returns:
            (N, C, d, h, w).
        """
        condition = self.condition(actions, spacing_mm, time, dropped)
        x = self.stem(torch.cat([noisy, before, masks], 1))
        kept = []
        for n, block in enumerate(self.down):
            x = block(x, condition)
            if n < len(self.shrink):
                kept.append(x)
                x = self.shrink[n](x)
        x = self.bottom(self.middle(x), condition)
        for grow, block in zip(self.grow, self.up, strict=True):
            x = nn.functional.interpolate(grow(x), scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, kept.pop()], 1), condition)
        return self.head(x)
