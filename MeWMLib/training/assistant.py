"""`mewm train assistant`: the segmenter, on synthetic abdomens before and after treatment, drawn while it trains."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from MeWMLib.cohorts.synthetic.cases import SPLITS, draw_protocol
from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.cohorts.synthetic.world import SyntheticPatient
from MeWMLib.core.volume import Geometry
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build, normalise
from MeWMLib.training.checkpoint import AveragedModel, Run


@dataclass(frozen=True)
class AssistantTraining:
    """Settings.

    Attributes:
        steps, minutes: end of the run, whichever comes first (0 minutes: no limit).
        batch: crops a step.
        side: of a crop in voxels, divisible by 16.
        learning_rate: peak.
        average: decay of the averaged weights.
        seed: of the weights and every draw.
    """

    steps: int = 2000
    minutes: float = 0.0
    batch: int = 4
    side: int = 48
    learning_rate: float = 1.5e-3
    average: float = 0.995
    seed: int = 0


def draw_crop(
    number: int, side: int, codec: Autoencoder | None = None, split: str = "train", spacing: float | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """HU and labels (side, side, side) of a random place in a random patient, before or after a random protocol.

    Args:
        number: of the draw; the same number gives the same crop.
        side: of the cube in voxels.
        codec: where given, some post-treatment crops pass through it, as simulated images do.
        split: whose patients.
        spacing: voxel size in mm; drawn from 1.5 to 2.4 by default.
    """
    rng = np.random.default_rng(derive_seed("crop", split, number))
    seeds = SPLITS[split]
    patient = SyntheticPatient.draw(seeds[int(rng.integers(len(seeds)))])
    size_mm = float(rng.uniform(1.5, 2.4)) if spacing is None else spacing
    if rng.random() < 0.65:
        nodule = patient.nodules[int(rng.integers(len(patient.nodules)))]
        reach = 0.3 * side * size_mm + 0.5 * nodule.radius
        centre = np.array(nodule.centre) + rng.uniform(-reach, reach, 3)
    else:
        centre = np.array([rng.uniform(-90, 110), rng.uniform(-90, 90), rng.uniform(-110, 130)])
    half = 0.5 * (side - 1) * size_mm
    affine = np.diag([-size_mm, -size_mm, size_mm, 1.0])
    affine[:3, 3] = [centre[2] + half, centre[1] + half, centre[0] - half]
    geometry = Geometry((side,) * 3, affine)
    if rng.random() < 0.4:
        drawn = patient.render(geometry)
        hu = drawn.hu
    elif codec is None or rng.random() < 0.5:
        drawn = patient.render(geometry, draw_protocol(rng))
        hu = drawn.hu
    else:
        before, drawn = patient.render_all(geometry, [None, draw_protocol(rng)])
        with torch.inference_mode():
            images = torch.from_numpy(np.stack([before.hu, drawn.hu]))[:, None]
            first, second = codec.encode(images).split(1)
            hu = codec.decode_change(images[:1], second - first)[0, 0].numpy()
    return augment(hu, rng), drawn.labels


def augment(hu: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Change contrast, brightness, sharpness and noise: what scanners and protocols of contrast differ in."""
    out = hu
    if rng.random() < 0.3:
        out = ndimage.gaussian_filter(out, rng.uniform(0.3, 1.1))
    if rng.random() < 0.3:
        thick = float(rng.uniform(0.8, 2.0))
        out = ndimage.gaussian_filter1d(out, thick, axis=0)  # thick slices
    soft = np.clip((out + 150) / 100, 0, 1)  # air and lungs keep their values
    out = out + soft * ((out - 60) * (rng.uniform(0.75, 1.35) - 1) + rng.normal(0, 15))
    out = out + rng.normal(0, 1, out.shape) * rng.uniform(0, 22)
    return np.asarray(out, np.float32)


class Crops:
    """Draws batches in threads of their own, so that the network does not wait."""

    def __init__(self, settings: AssistantTraining, codec: Autoencoder | None, start: int, workers: int = 1) -> None:
        self._queue: queue.Queue[tuple[Tensor, Tensor]] = queue.Queue(maxsize=4)
        self._stop = threading.Event()
        self._next = start * settings.batch
        self._lock = threading.Lock()
        self._settings, self._codec = settings, codec
        for _ in range(workers):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                first = self._next
                self._next += self._settings.batch
            drawn = [
                draw_crop(derive_seed(self._settings.seed, n), self._settings.side, self._codec)
                for n in range(first, first + self._settings.batch)
            ]
            images = normalise(torch.from_numpy(np.stack([hu for hu, _ in drawn])))[:, None]
            labels = torch.from_numpy(np.stack([lab for _, lab in drawn]))[:, None].long()
            while not self._stop.is_set():
                try:
                    self._queue.put((images, labels), timeout=0.5)
                    break
                except queue.Full:
                    continue

    def get(self) -> tuple[Tensor, Tensor]:
        """Images (B, 1, S, S, S) in -1..1 and labels of the same shape."""
        return self._queue.get()

    def close(self) -> None:
        """Stop the threads."""
        self._stop.set()


def train(
    work: Path,
    settings: AssistantTraining,
    codec: Autoencoder | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> tuple[Segmenter, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there; returns the averaged network and its validation figures."""
    torch.manual_seed(settings.seed)
    config = SegmenterConfig()
    model = build(config)
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-4)
    run = Run(work, "assistant", model, average, optimiser)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    crops = Crops(settings, codec, run.step)
    losses: list[float] = []
    try:
        while True:
            progress = run.step / settings.steps
            if settings.minutes:
                progress = max(progress, run.elapsed / (60 * settings.minutes))
            if progress >= 1:
                break
            rate = min(1.0, (run.step + 1) / 40) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * rate
            images, labels = crops.get()
            loss = loss_of(model(images), labels)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            average.update(model)
            run.step += 1
            losses.append(float(loss.detach()))
            if run.step % 100 == 0:
                run.log({"loss": float(np.mean(losses)), **validate(average.model, 8, settings.side)})
                losses = []
                run.save()
            if on_step is not None:
                on_step(f"assistant, step {run.step}", progress)
    finally:
        crops.close()
    run.save()
    figures = validate(average.model, 60, 64)
    return Segmenter(config, average.model, torch.device("cpu")), {
        **figures,
        "steps": float(run.step),
        "seconds": run.elapsed,
    }


@torch.no_grad()
def validate(model: torch.nn.Module, count: int, side: int) -> dict[str, float]:
    """Dice over all voxels of `count` validation crops, liver (tumour included) and tumour."""
    model.eval()
    both = np.zeros((2, 3))
    for n in range(count):
        hu, labels = draw_crop(n, side, split="validation")
        found = model(normalise(torch.from_numpy(hu))[None, None])[0].argmax(0).numpy()
        for row, least in zip(both, (1, 2), strict=True):
            a, b = found >= least, labels >= least
            row += (a & b).sum(), a.sum(), b.sum()
    model.train()
    dice = 2 * both[:, 0] / np.maximum(both[:, 1] + both[:, 2], 1)
    return {"dice_liver": float(dice[0]), "dice_tumour": float(dice[1])}
