"""Sliding windows with Gaussian weights over an image, of which only those are computed that something is found in.

Places and weights are MONAI's; the sum is our own. MONAI's `SlidingWindowInferer` computes every window, while here the
fewest that cover the image come first, and then those that touch what was found, until no more is: every voxel of an
organ has all of its windows, as by MONAI's inferer (a test compares the two); voxels far from it have one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.volume import TUMOUR

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

    def cover(self) -> list[int]:
        """Numbers of the fewest windows that together hold every voxel."""
        chosen = [set(_fewest(sorted({box[axis].start for box in self.boxes}), self.side)) for axis in range(3)]
        return [n for n, box in enumerate(self.boxes) if all(s.start in c for s, c in zip(box, chosen, strict=True))]

    def inner(self, box: Box) -> tuple[Box, Box]:
        """A box of the padded image in voxels of the image, and the part of the box inside the image."""
        image, part = [], []
        for s, before, n in zip(box, self.before, self.shape, strict=True):
            a, b = max(0, s.start - before), min(n, s.stop - before)
            image.append(slice(a, b))
            part.append(slice(a + before - s.start, b + before - s.start))
        return tuple(image), tuple(part)


def _fewest(starts: Sequence[int], side: int) -> list[int]:
    """The fewest of some intervals along an axis that leave no gap; the last one always ends it."""
    kept = [starts[0]]
    for n, here in enumerate(starts[1:], 1):
        if here == starts[-1] or starts[n + 1] > kept[-1] + side:
            kept.append(here)
    return kept


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


def likeliest(logits: Tensor) -> NDArray[np.uint8]:
    """The class (D, H, W) with the largest of the logits (C, D, H, W), the first one where several are equal.

    Class by class, which takes about a tenth of the time of torch's `argmax` along an axis that is not the last.
    """
    largest, found = logits[0].clone(), torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for number in range(1, len(logits)):
        found.masked_fill_(logits[number] > largest, number)
        torch.maximum(largest, logits[number], out=largest)
    return np.asarray(found.cpu().numpy(), np.uint8)


class Sums:
    """Weighted sums of the logits of windows over a padded image, to which windows are added one after the other.

    Numbers are the same bit for bit if the same windows are added in the same order.

    Attributes:
        total: (C, D, H, W).
        weights: (D, H, W), above 0 wherever a window was added.
    """

    def __init__(self, windows: Windows, channels: int) -> None:
        self.windows = windows
        self.total, self.weights = torch.zeros((channels, *windows.padded)), torch.zeros(windows.padded)
        self._weight = compute_importance_map(
            (windows.side,) * 3, mode="gaussian", sigma_scale=0.125, dtype=torch.float32
        )

    def add(self, logits: dict[int, Tensor]) -> None:
        """Add windows by their numbers, (C, S, S, S) each."""
        for n, one in logits.items():
            box = self.windows.boxes[n]
            self.total[(slice(None), *box)] += one.float() * self._weight
            self.weights[box] += self._weight

    def labels(self) -> NDArray[np.uint8]:
        """The likeliest class (D, H, W) of the padded image."""
        # the sum of the weights is the same for all classes, so it does not change which one is largest
        return likeliest(self.total)

    def probability(self, label: int) -> NDArray[np.float32]:
        """Softmax (D, H, W) of one label over the padded image, of the weighted mean of the logits."""
        return np.asarray((self.total / self.weights).softmax(0)[label].numpy(), np.float32)


@dataclass(frozen=True, eq=False)
class KeptSegmentation:
    """Labels of a CT and what a second run needs to compute only what changed.

    Attributes:
        labels: (D, H, W).
        box: of the body, which the windows cover.
        image: (d, h, w) in the box, -1..1.
        windows: over `image`.
        sums: of the windows that these labels rest on.
        logits: of each window that was ever computed, float16.
        computed: windows that went through the network for these labels.
    """

    labels: NDArray[np.uint8]
    box: Box
    image: Tensor
    windows: Windows
    sums: Sums
    logits: dict[int, Tensor]
    computed: int

    def tumour_probability(self) -> NDArray[np.float32]:
        """(D, H, W), 0 outside of the body."""
        out = np.zeros(self.labels.shape, np.float32)
        place = self.windows.inner(self.windows.whole)[1]
        out[self.box] = self.sums.probability(TUMOUR)[place]
        return out
