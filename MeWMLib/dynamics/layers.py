"""Layers that the networks of the dynamics model share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_ONE_DNN = torch.backends.mkldnn.is_available()


class Conv3d(nn.Conv3d):
    """A convolution that takes no slow path for a lone small image.

    torch computes one image in float32 on a CPU without oneDNN where samples, channels, slices and rows multiply to
    20,480 or less; a U-Net's coarse levels then take twice as long. In training all stays as it is.
    """

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        lone = len(input) == 1 and input.device.type == "cpu" and input.dtype == torch.float32
        if lone and torch.is_inference_mode_enabled() and not torch.is_autocast_enabled("cpu") and _ONE_DNN:
            sizes = self.padding, self.stride, self.dilation, self.groups
            found: Tensor = torch.ops.aten.mkldnn_convolution(input, weight, bias, *sizes)
            return found
        return super()._conv_forward(input, weight, bias)


class Block(nn.Module):
    """Residual block with feature-wise modulation by the condition."""

    def __init__(self, inputs: int, outputs: int, condition: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(8, inputs)
        self.conv1 = Conv3d(inputs, outputs, 3, padding=1)
        self.modulate = nn.Linear(condition, 2 * outputs)
        self.norm2 = nn.GroupNorm(8, outputs)
        self.conv2 = Conv3d(outputs, outputs, 3, padding=1)
        self.skip = Conv3d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv1(nn.functional.silu(self.norm1(x)))
        gain, shift = self.modulate(condition)[:, :, None, None, None].chunk(2, 1)
        h = self.norm2(h) * (1 + gain) + shift
        return self.skip(x) + self.conv2(nn.functional.silu(h))


class Attention(nn.Module):
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


def u_net(network: nn.Module, x: Tensor, condition: Tensor) -> Tensor:
    """The body of a U-Net: down, across the coarsest level, and up again, each block told the condition.

    Args:
        network: with the modules `down`, `shrink`, `middle`, `bottom`, `grow` and `up`.
        x: (N, C, d, h, w) of the finest level.
        condition: (N, W).
    """
    kept = []
    for n, block in enumerate(network.down):
        x = block(x, condition)
        if n < len(network.shrink):
            kept.append(x)
            x = network.shrink[n](x)
    x = network.bottom(network.middle(x), condition)
    for grow, block in zip(network.grow, network.up, strict=True):
        x = nn.functional.interpolate(grow(x), scale_factor=2.0, mode="nearest")
        x = block(torch.cat([x, kept.pop()], 1), condition)
    return x


def time_features(time: Tensor, width: int) -> Tensor:
    """Sinusoidal features (N, width) of times (N,) in 0..1."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), width // 2, device=time.device))
    angles = time[:, None] * frequencies[None]
    return torch.cat([angles.sin(), angles.cos()], 1)
