"""Crops that the segmenter learns from, cut out of what `assistant_data.py` drew.

Host and device share the work: crops are read from files as whole HU, and everything else (the passage through the
codec, bending, contrast, noise) is done on the device that trains, for a batch at once.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.errors import InputError
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.training.assistant_data import KINDS, opened
from MeWMLib.lab.training.assistant_patients import AFTER, BEFORE
from MeWMLib.lab.training.augment import augment

#: Crops begin at multiples of this, so that the codec sees the blocks that it sees in the whole patch.
BLOCK = 4
#: Files that are kept open.
OPEN_FILES = 512
#: Shares of crops around a point in a lesion, in the liver, and in what is dense beside it.
NEAR = (0.45, 0.2, 0.2)
#: Shares of scans before treatment, and of true outcomes in a patch that pass through the codec.
UNTREATED, CODED = 0.4, 0.25
#: Noise of a block beside that of a voxel.
COARSE_NOISE = 0.3
#: Kinds that show a whole field of view, and the blocks (k, j, i) of a piece for the coarse network.
WHOLE, COARSE_SHAPE = ("abdomen", "scene"), (48, 56, 72)


@dataclass(frozen=True, eq=False)
class Crop:
    """HU (D, H, W) and labels; and, if it shall pass through the codec, the scan before and another outcome."""

    hu: NDArray[np.int16]
    labels: NDArray[np.uint8]
    others: NDArray[np.int16] | None = None


class Store:
    """The files of one split in a folder or several; files that are added while training runs are used too."""

    def __init__(self, folders: Path | Sequence[Path], split: str) -> None:
        self.folders, self.split = [folders] if isinstance(folders, Path) else list(folders), split
        self._open = lru_cache(OPEN_FILES)(opened)
        self.look()
        if not any(self.files.values()):
            raise InputError(
                what="There is nothing to train the segmenter on",
                given=f"{', '.join(map(str, self.folders))} without files {split}-*.safetensors",
                remedy="Draw them with `mewm train assistant-data`",
            )

    def look(self) -> None:
        """Look for files again."""
        names = {k: f"{self.split}-{k}-[0-9]*.safetensors" for k in KINDS}
        self.files = {k: [p for f in self.folders for p in sorted(f.glob(name))] for k, name in names.items()}

    def crop(self, kind: str, side: int, codec: bool, rng: np.random.Generator) -> Crop:
        """A random crop of a random file.

        Crops are around points of the file in shares of `NEAR`: in a lesion, every lesion counting the same, in the
        liver, beside it; the others are anywhere.

        Args:
            kind: one of `KINDS`.
            side: voxels along each side, less where the scan is smaller.
            codec: pass some of the true outcomes through the codec.
            rng: of the choice.
        """
        files = self.files[kind]
        file = self._open(files[int(rng.integers(len(files)))])
        hu, labels, origins = file.get_slice("hu"), file.get_slice("labels"), file.get_tensor("origins")
        scan = _scan(origins, rng)
        wanted = int(np.searchsorted(np.cumsum(NEAR), rng.random()))
        near = None
        if wanted < len(NEAR):
            points = file.get_slice("points")[scan, wanted]
            near = points[points[:, 0] >= 0]
        box = _box(np.array(hu.get_shape()[1:]), side, near, rng)
        others = None
        after = np.flatnonzero(origins == AFTER)
        if codec and kind == "patient" and origins[scan] == AFTER and rng.random() < CODED:
            others = np.stack([hu[(n, *box)] for n in (int(np.argmax(origins == BEFORE)), int(rng.choice(after)))])
        return Crop(hu[(scan, *box)], labels[(scan, *box)], others)

    def coarse(self, rng: np.random.Generator) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
        """A random piece of a coarse scan: HU (d, h, w) padded with air to `COARSE_SHAPE`, and what is mostly liver."""
        kinds = [k for k in WHOLE if self.files[k]]
        files = self.files[kinds[int(rng.integers(len(kinds)))]]
        file = self._open(files[int(rng.integers(len(files)))])
        hu, liver = file.get_slice("coarse_hu"), file.get_slice("coarse_liver")
        count, *shape = hu.get_shape()
        scan = int(rng.integers(count))
        image, share = np.full(COARSE_SHAPE, -1000, np.int16), np.zeros(COARSE_SHAPE, bool)
        there, place = [], []
        for size, room in zip(shape, COARSE_SHAPE, strict=True):
            # fields of view differ: some begin above the liver, some end in the middle of it
            part = min(size, room) if rng.random() < 0.5 else int(rng.integers(min(size, 20), min(size, room) + 1))
            first, at = int(rng.integers(size - part + 1)), int(rng.integers(room - part + 1))
            there.append(slice(first, first + part))
            place.append(slice(at, at + part))
        image[tuple(place)] = hu[(scan, *there)]
        share[tuple(place)] = liver[(scan, *there)] > 127
        return image, share


def _scan(origins: NDArray[np.uint8], rng: np.random.Generator) -> int:
    """A scan: one before treatment in `UNTREATED` of the cases, else each origin that the file has as often."""
    if len(origins) == 1 or rng.random() < UNTREATED:
        return int(np.argmax(origins == BEFORE))
    later = origins[origins != BEFORE]
    return int(rng.choice(np.flatnonzero(origins == rng.choice(np.unique(later)))))


def _box(
    shape: NDArray[np.int64], side: int, near: NDArray[np.int16] | None, rng: np.random.Generator
) -> tuple[slice, ...]:
    side = int(min(side, *shape))
    start = rng.integers(0, shape - side + 1)
    if near is not None and len(near):
        at = near[int(rng.integers(len(near)))].astype(np.int64)
        start = np.clip(at - rng.integers(side // 8, side - side // 8, 3), 0, shape - side)
    start = start // BLOCK * BLOCK
    return tuple(slice(int(a), int(a) + side) for a in start)


@dataclass(frozen=True)
class Mix:
    """What batches are made of.

    Attributes:
        batch: crops of the largest side; of smaller ones as many more as take the same memory.
        coarse: pieces of whole scans for the coarse network.
        sides: voxels along a crop's side, divisible by 16; one of them a step.
        shares: of `KINDS` among the crops.
        seed: of every draw.
    """

    batch: int = 2
    coarse: int = 4
    sides: tuple[int, ...] = (96, 64)
    shares: tuple[float, ...] = (0.4, 0.25, 0.35)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Batch:
    """What one step reads: crops for the fine network, and coarse pieces (C, d, h, w) of HU and liver."""

    crops: list[Crop]
    coarse_hu: NDArray[np.int16]
    coarse_liver: NDArray[np.bool_]


def batch_of(mix: Mix, store: Store, codec: bool, step: int) -> Batch:
    """The crops and pieces of a step; they depend on the step, the seed and the files."""
    rng = np.random.default_rng([mix.seed, step])
    side = mix.sides[step % len(mix.sides)]
    count = max(1, round(mix.batch * (max(mix.sides) / side) ** 3))
    kinds = [k for k in KINDS if store.files[k]]
    shares = np.array([mix.shares[KINDS.index(k)] for k in kinds])
    chosen = rng.choice(kinds, count, p=shares / shares.sum()) if shares.sum() else rng.choice(kinds, count)
    crops = [store.crop(str(kind), side, codec, rng) for kind in chosen]
    pieces = mix.coarse if any(store.files[k] for k in WHOLE) else 0
    found = [store.coarse(rng) for _ in range(pieces)]
    none = np.zeros((0, *COARSE_SHAPE))
    return Batch(
        crops,
        np.stack([hu for hu, _ in found]) if found else none.astype(np.int16),
        np.stack([liver for _, liver in found]) if found else none.astype(bool),
    )


def on_device(
    crops: list[Crop], codec: Autoencoder | None, mix: Mix, step: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """The crops of a step as a batch: passed through the codec where they ask for it, and changed at random.

    Returns:
        HU (B, 1, S, S, S) and labels of the same shape, on the device.
    """
    rng = np.random.default_rng([mix.seed, step, 1])
    hu, labels = _sent(np.stack([c.hu for c in crops]), np.stack([c.labels for c in crops]), device)
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    coding = [n for n, c in enumerate(crops) if c.others is not None]
    if coding and codec is not None:
        others = torch.from_numpy(np.stack([crops[n].others for n in coding])).to(device).float()  # type: ignore[misc]
        hu[coding] = coded(others[:, :1], hu[coding], others[:, 1:], codec, rng, generator)
    return augment(hu, labels, rng, generator)


def coarse_on_device(batch: Batch, mix: Mix, step: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The coarse pieces of a step, changed at random: HU (C, 1, d, h, w) and liver of the same shape, 0 or 1."""
    rng = np.random.default_rng([mix.seed, step, 2])
    hu, liver = _sent(batch.coarse_hu, batch.coarse_liver.astype(np.uint8), device)
    generator = torch.Generator(device).manual_seed(int(rng.integers(2**62)))
    return augment(hu, liver, rng, generator, COARSE_NOISE)


def _sent(hu: NDArray[np.int16], labels: NDArray[np.uint8], device: torch.device) -> tuple[Tensor, Tensor]:
    """Images and labels (B, 1, D, H, W) on a device."""
    images, found = (torch.from_numpy(a[:, None]) for a in (hu, labels))
    if device.type == "cuda":
        images, found = images.pin_memory(), found.pin_memory()
    return images.to(device, non_blocking=True).float(), found.to(device, non_blocking=True)


@torch.inference_mode()
def coded(
    before: Tensor,
    then: Tensor,
    other: Tensor,
    codec: Autoencoder,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    """Outcomes as an unsure network would draw them: the scan before plus a decoded change of the latent.

    Such a network gives something between outcomes and some noise; both are imitated.

    Args:
        before, then, other: HU (B, 1, D, H, W) of the scan before, of the outcome and of another one.
        codec: on the same device.
        rng: of the shares.
        generator: of the noise.

    Returns:
        HU (B, 1, D, H, W).
    """
    first = codec.encode(before)
    count = len(before)
    shape = (count,) + (1,) * (first.ndim - 1)
    share = torch.from_numpy(rng.uniform(0, 0.35, shape).astype(np.float32)).to(first.device)
    strength = rng.uniform(0, 0.2, shape) * (rng.random(shape) < 0.5)
    change = (1 - share) * codec.encode(then) + share * codec.encode(other) - first
    noise = torch.randn(change.shape, generator=generator, device=change.device)
    change = change + torch.from_numpy(strength.astype(np.float32)).to(first.device) * noise
    return codec.decode_change(before, change)


class Ahead:
    """Makes what the next steps need in threads of its own, in the order of the steps, ahead of the training."""

    def __init__(self, make: Callable[[int], Any], start: int, workers: int = 1, depth: int = 4) -> None:
        self._make, self._workers = make, workers
        self._queues = [queue.Queue[Any](maxsize=depth) for _ in range(workers)]
        self._stop = threading.Event()
        self._next = start
        self._start = start
        for n in range(workers):
            threading.Thread(target=self._work, args=(n,), daemon=True).start()

    def _work(self, which: int) -> None:
        step = self._start + which
        try:
            while not self._stop.is_set():
                item = self._make(step)
                step += self._workers
                self._put(which, item)
        except BaseException as error:  # handed to the reader, which would wait without end
            self._put(which, error)

    def _put(self, which: int, item: Any) -> None:
        while not self._stop.is_set():
            try:
                self._queues[which].put(item, timeout=0.5)
                return
            except queue.Full:
                continue

    def get(self) -> Any:
        """What was made for the next step."""
        found = self._queues[(self._next - self._start) % self._workers].get()
        self._next += 1
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Stop the threads."""
        self._stop.set()
