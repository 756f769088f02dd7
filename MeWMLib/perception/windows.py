"""Sliding windows with Gaussian weights over a whole image, and over only those windows that a change touches.

Places and weights are MONAI's; the sum is our own. MONAI's `SlidingWindowInferer` returns sums over the whole image
alone, while here a part of the image must be summed again to exactly the same numbers: every voxel adds up the same
windows, in the same order, from the logits that were kept. A full run by MONAI's inferer beside it would be a second
path whose labels had to agree with this one at every voxel; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from numpy.typing import NDArray
from torch import Tensor

Box = tuple[slice, ...]
#: A single small 3D convolution takes a slow path on CPUs: two windows at a time.
AT_A_TIME = 2


@dataclass(frozen=True)
class Windows:
    """Windows over an image.

    Attributes:
        shape: (D, H, W) of the image.
        side: of a window; an image that is smaller is padded by its border.
        boxes: of each window in the padded image.
        before: how many voxels are padded in front of each axis.
        padded: shape with padding.
    """

    shape: tuple[int, ...]
    side: int
    boxes: tuple[Box, ...]
    before: tuple[int, ...]
    padded: tuple[int, ...]

    @classmethod
    def over(cls, shape: Sequence[int], side: int, overlap: float) -> Windows:
        """Windows of `side` voxels that overlap by a share of their side."""
        padded = tuple(max(n, side) for n in shape)
        before = tuple((p - n) // 2 for p, n in zip(padded, shape, strict=True))
        step = max(1, int(side * (1 - overlap)))
        boxes = tuple(tuple(b) for b in dense_patch_slices(padded, (side,) * 3, (step,) * 3))
        return cls(tuple(shape), side, boxes, before, padded)

    @property
    def whole(self) -> Box:
        """All of the padded image."""
        return tuple(slice(0, n) for n in self.padded)

    def pad(self, image: Tensor) -> Tensor:
        """(D, H, W) to the padded shape; the border is repeated."""
        sides = [(b, p - n - b) for b, p, n in zip(self.before, self.padded, self.shape, strict=True)]
        flat = [n for pair in reversed(sides) for n in pair]
        return torch.nn.functional.pad(image[None, None], flat, mode="replicate")[0, 0]

    def touched(self, changed: NDArray[np.bool_]) -> list[int]:
        """Numbers of the windows that hold a changed voxel of the image (D, H, W)."""
        whole = self.pad(torch.from_numpy(np.ascontiguousarray(changed)).float()).numpy() > 0
        return [n for n, box in enumerate(self.boxes) if whole[box].any()]

    def around(self, numbers: Sequence[int]) -> tuple[Box, list[int]]:
        """The smallest box that holds some windows, and the numbers of all windows that reach into it, in order."""
        starts = np.array([[s.start for s in self.boxes[n]] for n in numbers]).min(0)
        stops = np.array([[s.stop for s in self.boxes[n]] for n in numbers]).max(0)
        box = tuple(slice(int(a), int(b)) for a, b in zip(starts, stops, strict=True))
        return box, [n for n, other in enumerate(self.boxes) if _meet(box, other) is not None]

    def inner(self, box: Box) -> tuple[Box, Box]:
        """A box of the padded image in voxels of the image, and the part of the box inside the image."""
        image, part = [], []
        for s, before, n in zip(box, self.before, self.shape, strict=True):
            a, b = max(0, s.start - before), min(n, s.stop - before)
            image.append(slice(a, b))
            part.append(slice(a + before - s.start, b + before - s.start))
        return tuple(image), tuple(part)


def _meet(a: Box, b: Box) -> Box | None:
    out = tuple(slice(max(x.start, y.start), min(x.stop, y.stop)) for x, y in zip(a, b, strict=True))
    return None if any(s.start >= s.stop for s in out) else out


def predict(
    windows: Windows,
    image: Tensor,
    numbers: Sequence[int],
    network: Callable[[Tensor], Tensor],
    device: torch.device,
    at_a_time: int,
    before_each: Callable[[int], None],
) -> dict[int, Tensor]:
    """Logits (C, S, S, S) of some windows as float16 on the CPU.

    Args:
        windows: of the image.
        image: padded (D, H, W).
        numbers: of the windows; several go through the network at once, always the same number of them, so that the
            network computes the same sums whichever window is beside it.
        network: (B, 1, S, S, S) to (B, C, S, S, S).
        device: of the network.
        at_a_time: windows in a batch.
        before_each: called with the number of finished windows before each batch.
    """
    out: dict[int, Tensor] = {}
    for first in range(0, len(numbers), at_a_time):
        before_each(first)
        chosen = list(numbers[first : first + at_a_time])
        full = [*chosen, *[chosen[-1]] * (at_a_time - len(chosen))]
        batch = torch.stack([image[windows.boxes[n]] for n in full])[:, None].to(device)
        logits = network(batch).to("cpu", torch.float16)
        out |= {n: logits[i].clone() for i, n in enumerate(chosen)}
    return out


def add_up(windows: Windows, logits: dict[int, Tensor], box: Box) -> NDArray[np.uint8]:
    """Labels (D, H, W) of a box of the padded image from the logits of its windows.

    Args:
        windows: of the image.
        logits: of every window that reaches into the box.
        box: in the padded image.
    """
    # the sum of the weights is the same for all classes, so it does not change which one is largest
    labels: NDArray[np.uint8] = _sums(windows, logits, box)[0].argmax(0).to(torch.uint8).numpy()
    return labels


def probability(windows: Windows, logits: dict[int, Tensor], label: int) -> NDArray[np.float32]:
    """Softmax (D, H, W) of one label over the padded image, of the weighted mean of the logits."""
    total, weights = _sums(windows, logits, windows.whole)
    return np.asarray((total / weights).softmax(0)[label].numpy(), np.float32)


def _sums(windows: Windows, logits: dict[int, Tensor], box: Box) -> tuple[Tensor, Tensor]:
    """Weighted sum of the logits (C, D, H, W) in a box of the padded image, and the sum of the weights (D, H, W)."""
    weight = compute_importance_map((windows.side,) * 3, mode="gaussian", sigma_scale=0.125, dtype=torch.float32)
    channels = len(next(iter(logits.values())))
    shape = tuple(s.stop - s.start for s in box)
    total, weights = torch.zeros((channels, *shape)), torch.zeros(shape)
    for n in sorted(logits):
        here = windows.boxes[n]
        both = _meet(box, here)
        if both is None:
            continue
        inside = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(both, here, strict=True))
        place = tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(both, box, strict=True))
        total[(slice(None), *place)] += logits[n][(slice(None), *inside)].float() * weight[inside]
        weights[place] += weight[inside]
    return total, weights
