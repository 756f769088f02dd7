"""`mewm train assistant-data`: the volumes that the segmenter learns from, drawn once into a folder.

Three kinds: scenes around real outlines (`scenes`), treated patches of patients of the synthetic TACE world before
treatment, after it, and as the dynamics simulate it, and whole abdomens of such patients (`assistant_patients.py`).
Crops are cut out of them by `assistant_crops.py`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.io import atomic_path
from MeWMLib.core.records import parse_json
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.training.assistant_patients import AFTER, BEFORE, Simulators, draw_abdomen, draw_patch
from MeWMLib.lab.training.scenes.draw import draw_scenes
from MeWMLib.lab.training.scenes.outlines import label_maps, read_map
from MeWMLib.perception.liver_finder import SPACING_MM, block_means

#: One label map in this many is kept for validation, so that no liver is in both.
HELD_OUT = 11
#: Points kept of the lesions, of the liver, and of what is dense beside the liver in a scan.
POINTS = 48
#: How far from the liver that is looked for, at least how dense it is, and the steps in which voxels are looked at.
BESIDE_MM, DENSE_HU, STEP = 30.0, 15.0, 3
KINDS = ("patient", "abdomen", "scene")

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One file.

    Attributes:
        hu: N scans (N, D, H, W), HU.
        labels: (N, D, H, W) of each.
        points: (N, 3, P, 3) voxels in tumours, in the liver and in what is dense beside it, around which crops are cut;
            -1 where there are none.
        viable_ml: (N,) viable tumour as the world or the simulation knows it, NaN where it is not known.
        origins: (N,) `assistant_patients.BEFORE` and so on.
        spacing_mm: edge of a voxel.
        coarse_hu, coarse_liver: (N, d, h, w) means of blocks of about `liver_finder.SPACING_MM` in HU, and the share of
            liver in them in 255ths; of whole scans only.
    """

    hu: NDArray[np.int16]
    labels: Labels
    points: NDArray[np.int16]
    viable_ml: NDArray[np.float32]
    origins: NDArray[np.uint8]
    spacing_mm: float
    coarse_hu: NDArray[np.int16]
    coarse_liver: NDArray[np.uint8]

    @classmethod
    def of(
        cls,
        hu: Sequence[NDArray[Any]],
        labels: Sequence[Labels],
        spacing_mm: float,
        seed: int,
        viable_ml: Sequence[float] | None = None,
        origins: Sequence[int] | None = None,
        whole: bool = False,
    ) -> Drawn:
        """Round the HU, draw the points, and of `whole` scans make the coarse ones.

        Without origins the first scan is one before treatment, and the others are true ones after it.
        """
        rng = np.random.default_rng(derive_seed("points", seed))
        points = np.stack([_points(h, found, spacing_mm, rng) for h, found in zip(hu, labels, strict=True)])
        viable = np.full(len(labels), np.nan) if viable_ml is None else np.asarray(viable_ml)
        if origins is None:
            origins = [BEFORE, *[AFTER] * (len(hu) - 1)]
        images = np.rint(np.stack(hu)).astype(np.int16)
        block = max(1, round(SPACING_MM / spacing_mm))
        some, liver = (images, labels) if whole else (images[:, :0], [found[:0] for found in labels])
        return cls(
            images,
            np.stack(labels),
            points,
            viable.astype(np.float32),
            np.asarray(origins, np.uint8),
            spacing_mm,
            np.stack([np.rint(block_means(h, (block,) * 3)) for h in some]).astype(np.int16),
            np.stack([np.rint(255 * block_means(found > 0, (block,) * 3)) for found in liver]).astype(np.uint8),
        )

    @classmethod
    def read(cls, path: Path) -> Drawn:
        """Read a file whole.

        Raises:
            UnreadableFileError: not a file of `draw_data`.
        """
        with opened(path) as file:
            tensors = {name: file.get_tensor(name) for name in TENSORS}
            told = (file.metadata() or {}).get("spacing_mm", "")
            return cls(**tensors, spacing_mm=parse_json(told, "The voxel size", UnreadableFileError))

    def write(self, path: Path) -> None:
        """Write it whole, so that parts of it can be read."""
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in TENSORS}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"spacing_mm": json.dumps(self.spacing_mm)})


#: What a file holds.
TENSORS = ("hu", "labels", "points", "viable_ml", "origins", "coarse_hu", "coarse_liver")


def _points(hu: NDArray[Any], labels: Labels, spacing_mm: float, rng: np.random.Generator) -> NDArray[np.int16]:
    """(3, POINTS, 3) voxels: in lesions, of which a small one counts as much as a large one, in the liver, near it."""
    out = np.full((3, POINTS, 3), -1, np.int16)
    parts = cc3d.connected_components(labels == 2, connectivity=26).ravel()
    lesion = np.flatnonzero(parts)
    if len(lesion):
        order = lesion[np.argsort(parts[lesion], kind="stable")]
        sizes = np.bincount(parts[lesion])[1:]
        which = rng.integers(len(sizes), size=POINTS)
        within = (rng.random(POINTS) * sizes[which]).astype(np.int64)
        chosen = order[np.concatenate([[0], np.cumsum(sizes)[:-1]])[which] + within]
        out[0] = np.stack(np.unravel_index(chosen, labels.shape), 1)
    liver = np.flatnonzero(labels)
    if len(liver):
        out[1] = np.stack(np.unravel_index(rng.choice(liver, POINTS), labels.shape), 1)
        some = labels[::STEP, ::STEP, ::STEP]
        if (some > 0).any():
            near = ndimage.distance_transform_edt(some == 0) * STEP * spacing_mm <= BESIDE_MM
            beside = np.argwhere(near & (some == 0) & (np.asarray(hu)[::STEP, ::STEP, ::STEP] >= DENSE_HU))
            if len(beside):
                out[2] = STEP * beside[rng.integers(len(beside), size=POINTS)]
    return out


def opened(path: Path) -> Any:
    """A file of `draw_data` for reading in parts.

    Raises:
        UnreadableFileError: not such a file.
    """
    try:
        return safe_open(path, framework="np")
    except Exception as error:  # the library has no base class of its errors
        raise UnreadableFileError(
            what="A drawn scan cannot be read", given=str(path), remedy="Delete it and draw it again"
        ) from error


def split_maps(folder: Path, split: str) -> list[Path]:
    """Label maps of a split, "train" or "validation".

    Raises:
        InputError: no label maps.
    """
    return [p for n, p in enumerate(label_maps(folder)) if (n % HELD_OUT == 0) == (split == "validation")]


def draw_data(
    out: Path,
    labels: Path | None,
    split: str,
    counts: dict[str, int],
    start: int = 0,
    simulators: Simulators | None = None,
    on_step: Callable[[str, float], None] | None = None,
    seconds: float = 0.0,
) -> None:
    """Draw files into a folder; those that are there stay, so that a stopped run goes on.

    Args:
        out: the folder.
        labels: folder of label maps; None draws no scenes.
        split: "train" or "validation".
        counts: how many of each of `KINDS`.
        start: number of the first, so that several processes can share the work.
        simulators: of outcomes of patients; None leaves them out.
        on_step: called with the stage and its finished share.
        seconds: no file is begun after so many; 0 draws all.

    Raises:
        InputError: no label maps.
    """
    since = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    maps = split_maps(labels, split) if labels is not None else []
    wanted = {kind: counts.get(kind, 0) for kind in KINDS if kind != "scene" or maps}
    jobs = [(kind, n) for kind, count in wanted.items() for n in range(start, start + count)]
    jobs.sort(key=lambda job: (job[1] - start) / wanted[job[0]])  # all kinds in turn
    for done, (kind, n) in enumerate(jobs):
        if seconds and time.monotonic() - since > seconds:
            break
        path = out / f"{split}-{kind}-{n:06d}.safetensors"
        if not path.exists():
            _draw(kind, split, n, maps, simulators).write(path)
        if on_step is not None:
            on_step("drawing", (done + 1) / len(jobs))


def _draw(kind: str, split: str, number: int, maps: Sequence[Path], simulators: Simulators | None) -> Drawn:
    if kind == "scene":
        rng = np.random.default_rng(derive_seed("map", split, number))
        array, spacing = read_map(maps[int(rng.integers(len(maps)))])
        drawn = draw_scenes(array, spacing, derive_seed(split, number))
        return Drawn.of([d.hu for d in drawn], [d.labels for d in drawn], drawn[0].spacing_mm, number, whole=True)
    seed, whole = SPLITS[split][number], kind == "abdomen"
    if split != "train" and simulators is not None:
        simulators = replace(simulators, deviating=0.0)
    known = (draw_abdomen if whole else draw_patch)(seed, simulators)
    return Drawn.of(known.hu, known.labels, known.spacing_mm, seed, known.viable_ml, known.origins, whole)
