"""The segmenter on the outlined scans of a cohort, beside drawn ones where there are any."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.layout import POST, POST_LABELS, PRE, PRE_LABELS, CohortCase
from MeWMLib.cohorts.splits import TRAIN, VALIDATION
from MeWMLib.core.bundles import write_part
from MeWMLib.core.errors import MeWMError, OutputError
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.training.assistant import AssistantTraining, train, validate
from MeWMLib.lab.training.assistant_data import Drawn
from MeWMLib.lab.training.assistant_patients import AFTER, BEFORE
from MeWMLib.lab.training.distributed import Ranks
from MeWMLib.lab.training.map_bundle import take_over
from MeWMLib.lab.training.own.cohort import Own, Tell, start_part
from MeWMLib.lab.training.own.files import files_key
from MeWMLib.perception.preprocess import body_box, isotropic_geometry, patch_geometry, resample
from MeWMLib.perception.segmenter import Segmenter
from MeWMLib.world.patch import TreatedPatch

#: Folder of the run for the scans as the training reads them; raised with what is written.
DATA, VERSION = "data", 1
#: Least voxels along a side: the largest crop.
_LEAST = 96
_AIR = -1000


def write_scans(own: Own, folder: Path, side: str, spacing_mm: float, tell: Tell | None = None) -> list[Path]:
    """Write the outlined scans of a side as `assistant_data.Drawn`: whole ones, and treated patches.

    Files that are there stay; their names follow from the contents of the scans and labels.

    Args:
        own: the cohort.
        folder: that is written to.
        side: `TRAIN` or `VALIDATION`.
        spacing_mm: at which whole scans are segmented.
        tell: progress.
    """
    found: list[Path] = []
    ids = own.ids(side)
    for n, name in enumerate(ids):
        images = ((PRE, PRE_LABELS, BEFORE), (POST, POST_LABELS, AFTER))
        kept: list[tuple[int, dict[str, Path]]] = []
        for scan, labels, origin in images:
            if own.cohort.file(name, scan) is None or own.cohort.file(name, labels) is None:
                continue
            key = int(files_key(own.cohort, name, (scan, labels), VERSION, spacing_mm)[:12], 16)
            kinds = ("abdomen", "patient")
            kept.append((origin, {kind: folder / f"{side}-{kind}-{key:015d}.safetensors" for kind in kinds}))
        if any(not paths["abdomen"].exists() for _, paths in kept):
            try:
                _write(own.cohort.case(name), kept, spacing_mm)
            except OutputError:
                raise
            except MeWMError as error:
                own.leave_out(name, error)
                continue
        found += [path for _, paths in kept for path in paths.values() if path.exists()]
        if tell is not None:
            tell(f"{side} scans", (n + 1) / len(ids))
    return found


def _write(case: CohortCase, wanted: Sequence[tuple[int, dict[str, Path]]], spacing_mm: float) -> None:
    for origin, paths in wanted:
        ct, labels = (case.before, case.before_labels) if origin == BEFORE else (case.after, case.after_labels)
        if ct is None or labels is None:
            continue
        if labels.tumour.any():
            patch = TreatedPatch.at(patch_geometry(labels), ct, labels)
            seed = int(paths["patient"].stem.rsplit("-", 1)[1])
            Drawn.of([patch.hu], [patch.labels], patch.spacing_mm, seed, origins=[origin]).write(paths["patient"])
        whole = _whole(ct, labels, spacing_mm, int(paths["abdomen"].stem.rsplit("-", 1)[1]), origin)
        whole.write(paths["abdomen"])  # last: it says that the scan is done


def _whole(ct: Volume, labels: LabelMap, spacing_mm: float, seed: int, origin: int) -> Drawn:
    """The body on the segmenter's own voxels, with air around it where it is smaller than a crop."""
    grid = isotropic_geometry(ct.geometry, spacing_mm)
    hu = resample(ct.array, ct.geometry, grid)
    found: NDArray[np.uint8] = resample(labels.array, labels.geometry, grid, "nearest", 0)
    box = body_box(hu)
    hu, found = hu[box], found[box]
    room = [(0, max(0, _LEAST - size)) for size in hu.shape]
    hu, found = np.pad(hu, room, constant_values=_AIR), np.pad(found, room)
    return Drawn.of([hu], [found], spacing_mm, seed, origins=[origin], whole=True)


def train_segmenter(
    own: Own,
    bundle: Path,
    work: Path,
    settings: AssistantTraining,
    drawn: Sequence[Path] = (),
    tell: Tell | None = None,
    ranks: Ranks | None = None,
    on_keep: Callable[[Segmenter], None] | None = None,
) -> dict[str, Any]:
    """Train the start's segmenter on the training side and write it as the part of a bundle.

    Args:
        own: the cohort.
        bundle: that is written to; a new one takes over the other parts of the start.
        work: folder of the run: scans, checkpoint, curve.
        settings: of the training; `config` counts where nothing is started from.
        drawn: folders of `mewm train assistant-data` whose training files are learnt beside the cohort's.
        tell: progress.
        ranks: this process among those that train together.
        on_keep: see `assistant.train`.

    Returns:
        Figures of `assistant.validate` on the validation side that could be measured, those of the start there with
        `start_` before, and `steps`, `seconds`; nothing for ranks that do not write.

    Raises:
        InputError: a checkpoint of another run, or nobody who can be read.
        BundleError: the start has no segmenter.
    """
    ranks = ranks or Ranks()
    part = start_part(own, "assistant")
    first = None if part is None else Segmenter.from_part(*part, ranks.device)
    spacing = (first.config if first is not None else settings.config).spacing_mm
    data = work / DATA
    if ranks.first:
        data.mkdir(parents=True, exist_ok=True)
        written = [p for side in (TRAIN, VALIDATION) for p in write_scans(own, data, side, spacing, tell)]
        for path in set(data.glob("*.safetensors")) - set(written):
            path.unlink()  # of a patient who is no longer there, or whose labels were changed
    own.agree(ranks)
    names = ranks.from_first(sorted(path.name for path in data.glob("*.safetensors")))
    of_run = own.of_run(files=names, seed=settings.seed, drawn=[str(folder) for folder in drawn])
    before = {}
    if first is not None and ranks.first:
        before = {f"start_{name}": value for name, value in validate(first, data, settings.validation).items()}
    model, figures = train(
        work, settings, [data, *drawn], None, part, None, tell, on_keep, of_run, ranks
    )  # fmt: skip
    if not ranks.first:
        return {}
    figures = {name: value for name, value in (figures | before).items() if np.isfinite(value)}
    for name in ("dice_abdomen_before", "dice_patch_before"):
        if figures.get(name, 1.0) < figures.get(f"start_{name}", -1.0):
            told = f"{figures[name]:.3f}, start {figures[f'start_{name}']:.3f}"
            sys.stderr.write(f"\non held-out patients the segmenter is worse than its start: {name} {told}\n")
    if first is not None and first.finder is None:
        model.finder = None  # one that begins at random would have seen too little
        figures.pop("dice_coarse", None)
    if own.start is not None:
        take_over(own.start, bundle, "assistant")
    write_part(bundle, "assistant", model.part_config(), model.tensors())
    own.finish(bundle, work, own.ids(TRAIN), own.ids(VALIDATION), figures)
    return figures
