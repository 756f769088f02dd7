"""`mewm train assistant`: the segmenter, on drawn scans before and after treatment (`assistant_data.py`)."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from MeWMLib.lab.training.assistant_crops import Ahead, Batch, Mix, Store, batch_of, coarse_on_device, on_device
from MeWMLib.lab.training.assistant_data import Drawn
from MeWMLib.lab.training.assistant_patients import AFTER, BEFORE, BY_LATENT, BY_MAPS
from MeWMLib.lab.training.checkpoint import AveragedModel, Run
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.perception.findings import dice, measure
from MeWMLib.perception.intensity import normalise
from MeWMLib.perception.liver_finder import LIKELY, FinderConfig, LiverFinder, build_finder
from MeWMLib.perception.segmenter import Segmenter, SegmenterConfig, build

Part = tuple[dict[str, Any], dict[str, NDArray[Any]]]
#: Volumes measured on simulated outcomes must correlate at least this well with what was simulated: a segmenter below
#: it ranks protocols by noise, and `mewm train assistant` does not put it into the bundle.
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
        finder: of the network that finds the liver, where the bundle that is started from has none.
        learning_rate: peak.
        average: decay of the averaged weights.
        half: compute in bfloat16; weights stay float32.
        readers: threads that read crops.
        channels_last: memory layout; which one is faster depends on the machine.
        validation: files of each kind that are validated on at the end.
        keep_seconds: from one call of `on_keep` to the next.
        save: steps between two checkpoints.
        seed: of the weights.
    """

    steps: int = 2000
    minutes: float = 0.0
    mix: Mix = field(default_factory=Mix)
    config: SegmenterConfig = field(default_factory=SegmenterConfig)
    finder: FinderConfig = field(default_factory=FinderConfig)
    learning_rate: float = 1e-3
    average: float = 0.995
    half: bool = True
    readers: int = 1
    channels_last: bool = True
    validation: int = 60
    keep_seconds: float = 60.0
    save: int = 500
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


class Both(torch.nn.Module):
    """The fine and the coarse network as one, so that they share optimiser, average and checkpoint."""

    def __init__(self, fine: torch.nn.Module, coarse: torch.nn.Module) -> None:
        super().__init__()
        self.fine, self.coarse = fine, coarse

    def segmenter(self, config: SegmenterConfig, finder: FinderConfig, device: torch.device) -> Segmenter:
        """Both in inference."""
        layout: Any = {"memory_format": torch.contiguous_format}
        found = LiverFinder(finder, self.coarse.to(**layout), device)  # type: ignore[arg-type]
        return Segmenter(config, self.fine.to(**layout), device, found)  # type: ignore[arg-type]


def coarse_loss(logits: Tensor, liver: Tensor) -> Tensor:
    """Cross-entropy and Dice over the batch, of logits and liver (C, 1, d, h, w)."""
    wanted = liver.to(logits.dtype)
    share = logits.sigmoid()
    overlap = (2 * (share * wanted).sum() + 1) / (share.sum() + wanted.sum() + 1)
    return torch.nn.functional.binary_cross_entropy_with_logits(logits, wanted) + 1 - overlap


@kept_torch_state()
def train(
    work: Path,
    settings: AssistantTraining,
    data: Path | Sequence[Path],
    codec: Autoencoder | None = None,
    start: Part | None = None,
    device: torch.device | None = None,
    on_step: Callable[[str, float], None] | None = None,
    on_keep: Callable[[Segmenter], None] | None = None,
    of_run: Mapping[str, Any] | None = None,
    ranks: Ranks | None = None,
) -> tuple[Segmenter, dict[str, float]]:
    """Train, resuming from `work` if a checkpoint is there.

    Args:
        work: folder of checkpoint and curve.
        settings: see `AssistantTraining`.
        data: folder of `draw_data`, which may grow while training runs; or several, of which the first is validated on.
        codec: through which some images after treatment pass.
        start: bundle part to go on from; random weights if None.
        device: that trains; the CPU if None.
        on_step: called with the stage and its finished share.
        on_keep: given the averaged networks of the moment every `keep_seconds`, so that a run that is cut off loses
            little.
        of_run: what a checkpoint belongs to; one of another run is refused. None lets a run resume whatever changed.
        ranks: this process among those that train together, whose device counts; rank 0 writes and validates.

    Returns:
        The averaged networks and their validation figures.

    Raises:
        InputError: no data, or a checkpoint of another run.
    """
    ranks = ranks or Ranks(device=device or torch.device("cpu"))
    device, folders = ranks.device, [data] if isinstance(data, Path) else list(data)
    torch.manual_seed(settings.seed)
    first = Segmenter.from_part(*start, device) if start is not None else None
    config = first.config if first is not None else settings.config
    network = first.network if first is not None else build(config)
    if not settings.steps:
        segmenter = first or Segmenter(config, network, device)
        return segmenter, {"steps": 0.0} | validate(segmenter, folders[0], settings.validation)
    finder = settings.finder
    coarse = build_finder(finder)
    if first is not None and first.finder is not None:
        finder, coarse = first.finder.config, first.finder.network
    store = Store(folders, "train")
    layout = torch.channels_last_3d if settings.channels_last else torch.contiguous_format
    model = Both(network, coarse).train().to(device, memory_format=layout)  # type: ignore[call-overload]
    average = AveragedModel(model, settings.average)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=1e-4)
    run = Run(work, "assistant", model, average, optimiser, of_run)
    ranks.require_same(run.step, "the step of their checkpoint")
    mix = replace(settings.mix, seed=settings.mix.seed + ranks.rank * 1_000_003)  # every process draws its own crops
    codec = codec.to(device) if codec is not None else None
    loss_of = Loss()
    torch.backends.cudnn.benchmark = True  # crops come in few sizes

    def read(step: int) -> Batch:
        if step % LOOK == 0:
            store.look()
        return batch_of(mix, store, codec is not None, step)

    def kept() -> Segmenter:
        return copy.deepcopy(average.model).segmenter(config, finder, device)

    crops = Ahead(read, run.step, settings.readers)
    losses: list[Tensor] = []
    waited, since = 0.0, time.monotonic()
    try:
        while (progress := ranks.from_first(run.progress(settings.steps, settings.minutes))) < 1:
            run.set_rate(settings.learning_rate, 40, progress)
            asked = time.monotonic()
            batch = crops.get()
            waited += time.monotonic() - asked
            hu, labels = on_device(batch.crops, codec, mix, run.step, device)
            images = normalise(hu).contiguous(memory_format=layout)
            with torch.autocast(device.type, torch.bfloat16, enabled=settings.half):
                out = model.fine(images)
            loss = loss_of(out.float(), labels)
            coarse_part = loss.new_zeros(())
            if len(batch.coarse_hu):
                hu, labels = coarse_on_device(batch, mix, run.step, device)
                with torch.autocast(device.type, torch.bfloat16, enabled=settings.half):
                    out = model.coarse(normalise(hu).contiguous(memory_format=layout))
                coarse_part = coarse_loss(out.float(), labels)
            optimiser.zero_grad()
            (loss + coarse_part).backward()
            ranks.average_gradients(model)
            run.take_step(5.0)
            losses.append(torch.stack([loss.detach(), coarse_part.detach()]))
            if run.step % 100 == 0:
                fine, rough = torch.stack(losses).mean(0)
                if ranks.first:
                    run.log({"loss": fine, "coarse_loss": rough, "waited": waited})
                losses, waited = [], 0.0
            if run.step % settings.save == 0 and ranks.first:
                run.save()
            if on_keep is not None and ranks.first and time.monotonic() - since > settings.keep_seconds:
                on_keep(kept())
                since = time.monotonic()
            if on_step is not None:
                on_step(f"assistant, step {run.step}", progress)
    finally:
        crops.close()
    if ranks.first:
        run.save()
    segmenter = average.model.segmenter(config, finder, device)
    if on_keep is not None and ranks.first:
        on_keep(segmenter)
    figures = {"steps": float(run.step), "seconds": run.elapsed}
    if not ranks.first:
        return segmenter, figures
    return segmenter, figures | validate(segmenter, folders[0], settings.validation)


#: Words for where a scan comes from, in the names of figures.
_WHEN = {BEFORE: "before", AFTER: "after", BY_MAPS: "painted", BY_LATENT: "simulated"}
#: Figures of `validate` that are means over scans.
FIGURES = (
    "dice_liver", "dice_tumour", "false_ml", "dice_coarse", "dice_abdomen_before", "dice_abdomen_after",
    "dice_abdomen_painted", "dice_patch_before", "dice_patch_after", "dice_patch_painted", "dice_patch_simulated",
)  # fmt: skip


def validate(segmenter: Segmenter, data: Path, count: int) -> dict[str, float]:
    """Figures on the files of the validation split, NaN for a kind without files.

    `dice_liver`, `dice_tumour`: mean Dice on scenes around held-out label maps; `false_ml`: tumour found in scenes that
    have none, mean of log(1 + ml); `dice_abdomen_before`, `_after`, `_painted`: of tumour in whole synthetic abdomens;
    `dice_patch_before`, `_after`, `_painted`, `_simulated`: in the treated patch; `tumour_volume_r`, `viable_volume_r`:
    Pearson of log(1 + ml) on simulated outcomes with what was simulated, by the maps and by the latent model;
    `dice_coarse`: of the liver on coarse voxels.
    """
    scores: dict[str, list[float]] = {}
    volumes: list[tuple[float, ...]] = []

    def note(name: str, found: NDArray[np.bool_], labels: NDArray[np.bool_]) -> None:
        if labels.any():
            scores.setdefault(f"dice_{name}", []).append(dice(found, labels))

    def files(kind: str) -> Iterator[Drawn]:
        for path in sorted(data.glob(f"validation-{kind}-*.safetensors"))[:count]:
            drawn = Drawn.read(path)
            if segmenter.finder is not None:
                for hu, liver in zip(drawn.coarse_hu, drawn.coarse_liver, strict=True):
                    if liver.size:
                        note("coarse", segmenter.finder.probability(hu) >= LIKELY, liver > 127)
            yield drawn

    rng = np.random.default_rng(0)
    for drawn in files("scene"):
        for hu, labels in zip(drawn.hu, drawn.labels, strict=True):
            found = segmenter.segment(hu + rng.normal(0, 12, hu.shape).astype(np.float32))
            note("liver", found >= 1, labels >= 1)
            note("tumour", found == 2, labels == 2)
            if not (labels == 2).any():
                false_ml = float((found == 2).sum()) * drawn.spacing_mm**3 / 1000
                scores.setdefault("false_ml", []).append(float(np.log1p(false_ml)))
    for drawn in files("abdomen"):
        for hu, labels, origin in zip(drawn.hu, drawn.labels, drawn.origins, strict=True):
            note(f"abdomen_{_WHEN[int(origin)]}", segmenter.segment(hu.astype(np.float32)) == 2, labels == 2)
    for drawn in files("patient"):
        labelled = segmenter.segment_patches(drawn.hu.astype(np.float32), drawn.spacing_mm)
        rows = zip(drawn.hu, labelled, drawn.labels, drawn.origins, drawn.viable_ml, strict=True)
        for hu, found, labels, origin, viable_ml in rows:
            note(f"patch_{_WHEN[int(origin)]}", found == 2, labels == 2)
            if origin >= BY_MAPS and np.isfinite(viable_ml):
                true = float((labels == 2).sum()) * drawn.spacing_mm**3 / 1000, float(viable_ml)
                volumes.append((*_volumes(hu, found, drawn.spacing_mm), *true))
    figures = {name: float(np.mean(scores.get(name, [np.nan]))) for name in FIGURES}
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
