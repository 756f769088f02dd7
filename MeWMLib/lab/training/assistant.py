"""`mewm train assistant`: the segmenter, on drawn scans before and after treatment (`assistant_data.py`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.losses import DiceCELoss, DiceLoss
from numpy.typing import NDArray
from torch import Tensor

from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.lab.torch_state import kept_torch_state
from MeWMLib.lab.training.assistant_crops import Ahead, Mix, Store, crops_of, on_device
from MeWMLib.lab.training.assistant_data import Drawn, truth_of
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.perception.findings import dice, measure
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build, normalise

Part = tuple[dict[str, Any], dict[str, NDArray[Any]]]
#: Volumes measured on simulated outcomes must correlate at least this well with the world's: a segmenter below it
#: ranks protocols by noise, and `mewm train assistant` does not put it into the bundle.
GATE_R = 0.8
#: Steps after which the folder is looked at again for new files.
LOOK = 50


@dataclass(frozen=True)
class AssistantTraining:
    """Settings.

    Attributes:
        steps, minutes: end of the run, whichever comes first (0 minutes: no limit; 0 steps: validate only).
        mix: of the batches, with the seed of every draw.
        config: of a network that starts from random weights.
        learning_rate: peak.
        average: decay of the averaged weights.
        half: compute in bfloat16; weights stay float32.
        readers: threads that read crops.
        channels_last: memory layout; which one is faster depends on the machine.
        validation: files of each kind that are validated on at the end.
        seed: of the weights.
    """

    steps: int = 2000
    minutes: float = 0.0
    mix: Mix = field(default_factory=Mix)
    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    learning_rate: float = 1e-3
    average: float = 0.995
    half: bool = True
    readers: int = 1
    channels_last: bool = True
    validation: int = 60
    seed: int = 0


class Loss:
    """Cross-entropy and Dice over the batch, and Dice of each crop that holds the class.

    Over the batch alone a small lesion beside a large one counts for nothing; per crop alone, a crop without tumour
    has no Dice.
    """

    def __init__(self) -> None:
        self._whole = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False, batch=True)
        self._each = DiceLoss(to_onehot_y=True, softmax=True, include_background=False, reduction="none")

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Of logits (B, 3, D, H, W) and labels (B, 1, D, H, W)."""
        there = torch.stack([(labels == n).flatten(1).any(1) for n in (1, 2)], 1).to(logits.dtype)
        each = self._each(logits, labels).flatten(1)
        whole: Tensor = self._whole(logits, labels)
        return whole + 0.5 * (each * there).sum() / there.sum().clamp(min=1)


@kept_torch_state()
def train(
    work: Path,
    settings: AssistantTraining,
    data: Path,
    codec: Autoencoder | None = None,
    start: Part | None = None,
    device: torch.device | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> tuple[Segmenter, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there.

    Args:
        work: folder of checkpoint and curve.
        settings: see `AssistantTraining`.
        data: folder of `draw_data`; it may grow while training runs.
        codec: through which some images after treatment pass.
        start: bundle part to go on from; random weights if None.
        device: that trains; the CPU if None.
        on_step: called with the stage and its finished share.

    Returns:
        The averaged network and its validation figures.

    Raises:
        InputError: no data.
    """
    device = device or torch.device("cpu")
    torch.manual_seed(settings.seed)
    first = Segmenter.from_part(*start, device) if start is not None else None
    config = first.config if first is not None else settings.config
    network = first.network if first is not None else build(config)
    if not settings.steps:
        segmenter = Segmenter(config, network, device)
        return segmenter, {"steps": 0.0} | validate(segmenter, data, settings.validation)
    store = Store(data, "train")
    layout = torch.channels_last_3d if settings.channels_last else torch.contiguous_format
    model = network.train().to(device, memory_format=layout)  # type: ignore[call-overload]
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-4)
    run = Run(work, "assistant", model, average, optimiser)
    codec = codec.to(device) if codec is not None else None
    loss_of = Loss()
    torch.backends.cudnn.benchmark = True  # crops come in few sizes

    def read(step: int) -> Any:
        if step % LOOK == 0:
            store.look()
        return crops_of(settings.mix, store, codec is not None, step)

    crops = Ahead(read, run.step, settings.readers)
    losses: list[Tensor] = []
    try:
        while (progress := run.progress(settings.steps, settings.minutes)) < 1:
            run.set_rate(settings.learning_rate, 40, progress)
            hu, labels = on_device(crops.get(), codec, settings.mix, run.step, device)
            images = normalise(hu).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.half):
                out = model(images)
            loss = loss_of(out.float(), labels)
            optimiser.zero_grad()
            loss.backward()
            run.take_step(5.0)
            losses.append(loss.detach())
            if run.step % 100 == 0:
                run.log({"loss": torch.stack(losses).mean()})
                losses = []
            if run.step % 500 == 0:
                run.save()
            if on_step is not None:
                on_step(f"assistant, step {run.step}", progress)
    finally:
        crops.close()
    run.save()
    trained = average.model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    segmenter = Segmenter(config, trained, device)
    figures = {"steps": float(run.step), "seconds": run.elapsed}
    return segmenter, figures | validate(segmenter, data, settings.validation)


def validate(segmenter: Segmenter, data: Path, count: int) -> dict[str, float]:
    """Figures on the files of the validation split, NaN for a kind without files.

    `dice_liver`, `dice_tumour`: mean Dice on scenes around held-out label maps; `dice_abdomen_before`, `_after`: of
    tumour in whole synthetic abdomens; `dice_patch_before`, `_after`, `_simulated`: in the treated patch;
    `tumour_volume_r`, `viable_volume_r`: Pearson of log(1 + ml) on simulated outcomes with the world's truth.
    """
    scores: dict[str, list[float]] = {}

    def note(name: str, found: NDArray[np.uint8], labels: NDArray[np.uint8], label: int = 2) -> None:
        if (labels >= label).any():
            scores.setdefault(name, []).append(dice(found >= label, labels >= label))

    rng = np.random.default_rng(0)
    for path in sorted(data.glob("validation-scene-*.safetensors"))[:count]:
        drawn = Drawn.read(path)
        for hu, labels in zip(drawn.hu, drawn.labels, strict=True):
            found = segmenter.segment(hu + rng.normal(0, 12, hu.shape).astype(np.float32))
            note("dice_liver", found, labels, 1)
            note("dice_tumour", found, labels)
    for path in sorted(data.glob("validation-abdomen-*.safetensors"))[:count]:
        drawn = Drawn.read(path)
        for n, (hu, labels) in enumerate(zip(drawn.hu, drawn.labels, strict=True)):
            found = segmenter.segment(hu.astype(np.float32))
            note("dice_abdomen_after" if n else "dice_abdomen_before", found, labels)
    volumes: list[tuple[float, ...]] = []
    for path in sorted(data.glob("validation-patient-*.safetensors"))[:count]:
        drawn = Drawn.read(path)
        labelled = segmenter.segment_patches(drawn.hu.astype(np.float32), drawn.spacing_mm)
        for scan, (hu, found) in enumerate(zip(drawn.hu, labelled, strict=True)):
            truth = truth_of(scan, len(drawn.labels))
            labels = drawn.labels[truth]
            when = "before" if scan == 0 else "after" if scan < len(drawn.labels) else "simulated"
            note(f"dice_patch_{when}", found, labels)
            if when == "simulated":
                true = float((labels == 2).sum()) * drawn.spacing_mm**3 / 1000, float(drawn.viable_ml[truth])
                volumes.append((*_volumes(hu, found, drawn.spacing_mm), *true))
    names = ("liver", "tumour", "abdomen_before", "abdomen_after", "patch_before", "patch_after", "patch_simulated")
    figures = {f"dice_{n}": float(np.mean(scores.get(f"dice_{n}", [np.nan]))) for n in names}
    logs = np.log1p(np.reshape(volumes, (-1, 4)))
    return figures | {
        f"{name}_volume_r": _correlation(logs[:, n], logs[:, n + 2]) for n, name in enumerate(("tumour", "viable"))
    }


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Pearson; NaN for two pairs or fewer, or where one does not vary."""
    return float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 and a.std() > 0 and b.std() > 0 else float("nan")


def _volumes(hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing_mm: float) -> tuple[float, float]:
    """Tumour and viable tumour as they are measured, ml."""
    grid = Geometry(hu.shape, np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0]))
    findings = measure(Volume(hu, grid), LabelMap(labels, grid), sizes_only=True)
    return findings.tumour_ml, findings.viable_ml


def passes_gate(figures: dict[str, float]) -> bool:
    """True if volumes on simulated outcomes can be trusted, or none were drawn; see `GATE_R`."""
    known = [figures[n] for n in ("tumour_volume_r", "viable_volume_r") if np.isfinite(figures[n])]
    return all(r >= GATE_R for r in known)
