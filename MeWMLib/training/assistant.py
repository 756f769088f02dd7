"""`mewm train assistant`: the segmenter, on drawn scans before and after treatment (`assistant_data.py`)."""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build, normalise
from MeWMLib.training.assistant_data import Drawn, Store, augment, coded, patient_crop, scene_crop
from MeWMLib.training.checkpoint import AveragedModel, Run

Part = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class AssistantTraining:
    """Settings.

    Attributes:
        steps, minutes: end of the run, whichever comes first (0 minutes: no limit).
        batch: crops a step.
        side: of a crop in voxels, divisible by 16.
        scenes: share of steps on scenes around label maps; the others are on patients of the synthetic world.
        learning_rate: peak.
        average: decay of the averaged weights.
        half: compute in bfloat16 where the CPU or GPU has it; weights stay float32.
        seed: of the weights and every draw.
    """

    steps: int = 2000
    minutes: float = 0.0
    batch: int = 2
    side: int = 80
    scenes: float = 0.6
    learning_rate: float = 1e-3
    average: float = 0.995
    half: bool = True
    seed: int = 0


class Crops:
    """Cuts batches in a thread of its own, so that the network does not wait."""

    def __init__(self, settings: AssistantTraining, store: Store, codec: Autoencoder | None, start: int) -> None:
        self._queue: queue.Queue[tuple[Tensor, Tensor] | BaseException] = queue.Queue(maxsize=3)
        self._stop = threading.Event()
        self._settings, self._store, self._codec = settings, store, codec
        self._step = start
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            while not self._stop.is_set():
                if self._step % 50 == 0:
                    self._store.look()
                item = batch_of(self._settings, self._store, self._codec, self._step)
                self._step += 1
                while not self._stop.is_set():
                    try:
                        self._queue.put(item, timeout=0.5)
                        break
                    except queue.Full:
                        continue
        except BaseException as error:  # handed to the training loop, which would wait for ever
            self._queue.put(error)

    def get(self) -> tuple[Tensor, Tensor]:
        """Images (B, 1, S, S, S) in -1..1 and labels of the same shape."""
        found = self._queue.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def close(self) -> None:
        """Stop the thread."""
        self._stop.set()


def batch_of(settings: AssistantTraining, store: Store, codec: Autoencoder | None, step: int) -> tuple[Tensor, Tensor]:
    """The batch of a step; it depends on the step, the seed and the files."""
    rng = np.random.default_rng([settings.seed, step])
    crops = []
    if rng.random() < settings.scenes and store.files["scene"]:
        crops = [scene_crop(store.draw("scene", rng), settings.side, rng) for _ in range(settings.batch)]
    else:
        # Patches come fine or coarse; small crops are doubled in number, so that a step costs the same.
        first = patient_crop(store.draw("patient", rng), settings.side, codec, rng)
        crops = [first]
        side = len(first[0])
        wanted = settings.batch * (2 if side <= 0.7 * settings.side else 1)
        while len(crops) < wanted:
            hu, labels = patient_crop(store.draw("patient", rng), side, codec, rng)
            if len(hu) == side:
                crops.append((hu, labels))
    images = np.stack([augment(hu, rng) for hu, _ in crops])
    labels = np.stack([labels for _, labels in crops])
    return normalise(torch.from_numpy(images))[:, None], torch.from_numpy(labels)[:, None].long()


def train(
    work: Path,
    settings: AssistantTraining,
    data: Path,
    codec: Autoencoder | None = None,
    start: Part | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> tuple[Segmenter, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there.

    Args:
        work: folder of checkpoint and curve.
        settings: see `AssistantTraining`.
        data: folder of `draw_data`.
        codec: through which images after treatment pass.
        start: bundle part to go on from; random weights if None.
        on_step: told the finished share.

    Returns:
        The averaged network and its validation figures.

    Raises:
        InputError: no data.
    """
    torch.manual_seed(settings.seed)
    store = Store(data, "train")
    first = Segmenter.from_part(*start, torch.device("cpu")) if start is not None else None
    config = first.config if first is not None else SegmenterConfig()
    model = (first.network if first is not None else build(config)).train().to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-4)
    run = Run(work, "assistant", model, average, optimiser)
    loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
    crops = Crops(settings, store, codec, run.step)
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
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.half):
                out = model(images.contiguous(memory_format=torch.channels_last_3d))
            loss = loss_of(out.float(), labels)
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimiser.step()
            average.update(model)
            run.step += 1
            losses.append(float(loss.detach()))
            if run.step % 100 == 0:
                run.log({"loss": float(np.mean(losses))})
                losses = []
                run.save()
            if on_step is not None:
                on_step(f"assistant, step {run.step}", progress)
    finally:
        crops.close()
    run.save()
    trained = average.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    segmenter = Segmenter(config, trained, torch.device("cpu"))
    figures = {"steps": float(run.step), "seconds": run.elapsed}
    return segmenter, figures | validate(segmenter, data, codec)


def validate(segmenter: Segmenter, data: Path, codec: Autoencoder | None, count: int = 40) -> dict[str, float]:
    """Mean Dice over the files of the validation split, NaN where there are none of a kind.

    `dice_liver`, `dice_tumour`: scenes around held-out label maps; `dice_patch_before`, `dice_patch_after`,
    `dice_patch_coded`: tumour in the treated patch before treatment, after it, and after it through the codec.
    """
    scores: dict[str, list[float]] = {
        k: [] for k in ("dice_liver", "dice_tumour", "dice_patch_before", "dice_patch_after", "dice_patch_coded")
    }
    for path in sorted(data.glob("validation-scene-*.npz"))[:count]:
        drawn = Drawn.read(path)
        rng = np.random.default_rng(0)
        for hu, labels in zip(drawn.hu, drawn.labels, strict=True):
            found = segmenter.segment(hu.astype(np.float32) + rng.normal(0, 12, hu.shape).astype(np.float32))
            scores["dice_liver"].append(_dice(found >= 1, labels >= 1))
            if (labels == 2).any():
                scores["dice_tumour"].append(_dice(found == 2, labels == 2))
    for path in sorted(data.glob("validation-patient-*.npz"))[:count]:
        drawn = Drawn.read(path)
        rng = np.random.default_rng(1)
        for which in range(len(drawn.hu)):
            images = {"dice_patch_after" if which else "dice_patch_before": drawn.hu[which].astype(np.float32)}
            if which and codec is not None:
                images["dice_patch_coded"] = coded(drawn, which, codec, rng)
            for name, hu in images.items():
                found = segmenter.segment_patches(hu[None], drawn.spacing_mm)[0]
                scores[name].append(_dice(found == 2, drawn.labels[which] == 2))
    return {name: float(np.mean(values)) if values else float("nan") for name, values in scores.items()}


def _dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
