"""Random changes of CT crops for training the segmenter: place, sharpness, contrast and noise, a batch at once.

Everything runs where the images are, so that a GPU does not wait for the CPU. What scanners and contrast protocols
differ in is imitated; left and right are not exchanged, since a liver is known by its side.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

#: Taps of the Gaussian on each side: three standard deviations of the widest.
REACH = 5


def augment(
    hu: Tensor, labels: Tensor, rng: np.random.Generator, generator: torch.Generator, noisy: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Change a batch at random.

    Args:
        hu: (B, 1, D, H, W), HU.
        labels: same shape, integers.
        rng: of the few numbers of each crop.
        generator: of the noise, on the device of the images.
        noisy: factor of its strength.

    Returns:
        HU (B, 1, D, H, W) float32, and labels (B, 1, D, H, W) int64.
    """
    count = len(hu)
    moving = rng.random(count) < 0.6
    if moving.any():
        some = torch.from_numpy(np.flatnonzero(moving)).to(hu.device)
        hu, labels = hu.clone(), labels.clone()
        hu[some], labels[some] = moved(hu[some], labels[some], rng)
    sigma = np.where(rng.random((count, 1)) < 0.3, rng.uniform(0.3, 1.0, (count, 1)), 0) * np.ones(3)
    thick = np.where(rng.random(count) < 0.4, rng.uniform(0.5, 1.7, count), 0)  # slices
    sigma[:, 0] = np.hypot(sigma[:, 0], thick)
    out = stepped(blurred(hu, sigma), np.where(rng.random(count) < 0.25, rng.integers(2, 4, count), 1))
    gain, shift = (_spread(v, out) for v in (rng.uniform(0.7, 1.4, count), rng.normal(0, 14, count)))
    soft = ((out + 150) / 100).clamp(0, 1)  # air and lungs keep their values
    out = out + soft * ((out - 60) * (gain - 1) + shift)
    strength = noisy * np.minimum(rng.gamma(1.6, 8.0, count), 45.0)
    # the grain of reconstructed scans is coarser than a voxel
    grain = np.stack([rng.uniform(0, 0.8, count), *rng.uniform(0.4, 1.1, (2, count))], 1)
    grain[rng.random(count) < 0.25] = 0
    noise = blurred(torch.randn(out.shape, generator=generator, device=out.device), grain)
    noise = noise / noise.std((1, 2, 3, 4), keepdim=True).clamp(min=1e-3)
    return out + _spread(strength, out) * noise, labels.long()


def _spread(values: NDArray[np.float64], like: Tensor) -> Tensor:
    """One number a crop, to be multiplied with (B, 1, D, H, W)."""
    return torch.from_numpy(values.astype(np.float32)).to(like.device).view(-1, 1, 1, 1, 1)


def moved(hu: Tensor, labels: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Turn by some degrees and stretch by some per cent, each axis by its own; beyond the border it repeats.

    Args:
        hu, labels: (B, 1, D, H, W).
        rng: of the angles and sizes.
    """
    count = len(hu)
    angles = rng.normal(0, 0.1, (count, 3))
    size = np.exp(np.clip(rng.normal(0, 0.13, (count, 1)), -0.25, 0.25) + rng.normal(0, 0.05, (count, 3)))
    matrices = np.stack([rotation(a) @ np.diag(s) for a, s in zip(angles, size, strict=True)])
    theta = np.concatenate([matrices, np.zeros((count, 3, 1))], 2).astype(np.float32)
    grid = torch.nn.functional.affine_grid(torch.from_numpy(theta).to(hu.device), list(hu.shape), align_corners=False)

    def sample(image: Tensor, mode: str) -> Tensor:
        return torch.nn.functional.grid_sample(image, grid, mode, padding_mode="border", align_corners=False)

    return sample(hu, "bilinear"), sample(labels.to(hu.dtype), "nearest").round().to(labels.dtype)


def rotation(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """(3, 3) of turns by angles (3,) in radians about each axis of an array in turn."""
    out = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        step = np.eye(3)
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        out = out @ step
    return out


def blurred(image: Tensor, sigma: NDArray[np.float64]) -> Tensor:
    """Gaussian of its own width for each crop and axis; the border repeats.

    Args:
        image: (B, 1, D, H, W).
        sigma: (B, 3) voxels, at most `REACH` / 3; 0 leaves an axis as it is.
    """
    for axis in range(3):
        widths, size = sigma[:, axis], image.shape[2 + axis]
        if not (widths > 0).any():
            continue
        reach = int(min(np.ceil(3 * widths.max()), REACH, size - 1))
        weight = np.exp(-0.5 * (np.arange(-reach, reach + 1)[None] / np.maximum(widths, 1e-3)[:, None]) ** 2)
        weight /= weight.sum(1, keepdims=True)
        pad = [0] * 6
        pad[2 * (2 - axis)] = pad[2 * (2 - axis) + 1] = reach
        wide = torch.nn.functional.pad(image, pad, mode="replicate")
        image = torch.zeros_like(image)
        for n in range(2 * reach + 1):
            image += _spread(weight[:, n], wide) * wide.narrow(2 + axis, n, size)
    return image


def stepped(image: Tensor, thick: NDArray[np.int64]) -> Tensor:
    """Repeat one slice of each `thick` (B,) along the first axis, as where thick slices were resampled."""
    if (thick <= 1).all():
        return image
    size = image.shape[2]
    index = np.minimum(thick[:, None] * (np.arange(size)[None] // thick[:, None]), size - 1)
    chosen = torch.from_numpy(index).to(image.device)[:, None, :, None, None].expand_as(image)
    return image.gather(2, chosen)
