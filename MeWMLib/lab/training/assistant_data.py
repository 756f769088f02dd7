"""`mewm train assistant-data`: the volumes that the segmenter learns from, drawn once into a folder.

Three kinds: scenes around real outlines (`assistant_scenes.py`), treated patches of patients of the synthetic TACE
world before treatment, after it, and as the dynamics simulate it, and whole abdomens of such patients
(`assistant_patients.py`). Crops are cut out of them by `assistant_crops.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save_file

from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.io import atomic_path
from MeWMLib.core.records import parse_json
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.synthetic.cases import SPLITS
from MeWMLib.lab.training.assistant_patients import draw_abdomen, draw_patch
from MeWMLib.lab.training.assistant_scenes import draw_scenes, label_maps, read_map

#: One label map in this many is kept for validation, so that no liver is in both.
HELD_OUT = 11
#: Points kept of the lesions and of the liver of a scan.
POINTS = 48
#: Share of training patients whose simulated responses deviate from the expected one.
DEVIATING = 0.5
KINDS = ("patient", "abdomen", "scene")

Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One file.

    Attributes:
        hu: N scans (N, D, H, W), HU. The first M have labels of their own; the others are simulated outcomes of which
            labels 1, 2, ... are the truth.
        labels: (M, D, H, W).
        points: (M, 2, P, 3) voxels in tumours and in the liver, around which crops are cut; -1 where there are none.
        viable_ml: (M,) viable tumour as the world knows it, NaN where it does not.
        spacing_mm: edge of a voxel.
    """

    hu: NDArray[np.int16]
    labels: Labels
    points: NDArray[np.int16]
    viable_ml: NDArray[np.float32]
    spacing_mm: float

    @classmethod
    def of(
        cls,
        hu: Sequence[NDArray[Any]],
        labels: Sequence[Labels],
        spacing_mm: float,
        seed: int,
        viable_ml: Sequence[float] | None = None,
    ) -> Drawn:
        """Round the HU and draw the points."""
        rng = np.random.default_rng(derive_seed("points", seed))
        points = np.stack([_points(found, rng) for found in labels])
        viable = np.full(len(labels), np.nan) if viable_ml is None else np.asarray(viable_ml)
        return cls(
            np.rint(np.stack(hu)).astype(np.int16), np.stack(labels), points, viable.astype(np.float32), spacing_mm
        )

    @classmethod
    def read(cls, path: Path) -> Drawn:
        """Read a file whole.

        Raises:
            UnreadableFileError: not a file of `draw_data`.
        """
        with opened(path) as file:
            tensors = [file.get_tensor(name) for name in ("hu", "labels", "points", "viable_ml")]
            told = (file.metadata() or {}).get("spacing_mm", "")
            return cls(*tensors, spacing_mm=parse_json(told, "The voxel size", UnreadableFileError))

    def write(self, path: Path) -> None:
        """Write it whole, so that parts of it can be read."""
        tensors = {"hu": self.hu, "labels": self.labels, "points": self.points, "viable_ml": self.viable_ml}
        with atomic_path(path) as temporary:
            save_file(tensors, temporary, {"spacing_mm": json.dumps(self.spacing_mm)})


def _points(labels: Labels, rng: np.random.Generator) -> NDArray[np.int16]:
    """(2, POINTS, 3) voxels: in lesions, of which a small one counts as much as a large one, and in the liver."""
    out = np.full((2, POINTS, 3), -1, np.int16)
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
    return out


def truth_of(scan: int, labels: int) -> int:
    """Which of the `labels` belong to a scan: its own, or of a simulated one those of the outcome that it simulates."""
    return scan if scan < labels else scan - labels + 1


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
    dynamics: DynamicsModel | None = None,
    on_step: Callable[[str, float], None] | None = None,
) -> None:
    """Draw files into a folder; those that are there stay, so that a stopped run goes on.

    Args:
        out: the folder.
        labels: folder of label maps; None draws no scenes.
        split: "train" or "validation".
        counts: how many of each of `KINDS`.
        start: number of the first, so that several processes can share the work.
        dynamics: simulates the outcomes too; None leaves them out.
        on_step: called with the stage and its finished share.

    Raises:
        InputError: no label maps.
    """
    out.mkdir(parents=True, exist_ok=True)
    maps = split_maps(labels, split) if labels is not None else []
    wanted = {kind: counts.get(kind, 0) for kind in KINDS if kind != "scene" or maps}
    jobs = [(kind, n) for kind, count in wanted.items() for n in range(start, start + count)]
    jobs.sort(key=lambda job: (job[1] - start) / wanted[job[0]])  # all kinds in turn
    for done, (kind, n) in enumerate(jobs):
        path = out / f"{split}-{kind}-{n:06d}.safetensors"
        if not path.exists():
            _draw(kind, split, n, maps, dynamics).write(path)
        if on_step is not None:
            on_step("drawing", (done + 1) / len(jobs))


def _draw(kind: str, split: str, number: int, maps: Sequence[Path], dynamics: DynamicsModel | None) -> Drawn:
    if kind == "scene":
        rng = np.random.default_rng(derive_seed("map", split, number))
        array, spacing = read_map(maps[int(rng.integers(len(maps)))])
        drawn = draw_scenes(array, spacing, derive_seed(split, number))
        return Drawn.of([d.hu for d in drawn], [d.labels for d in drawn], drawn[0].spacing_mm, number)
    seed = SPLITS[split][number]
    deviating = DEVIATING if split == "train" else 0.0
    known = draw_patch(seed, dynamics, deviating) if kind == "patient" else draw_abdomen(seed)
    return Drawn.of(known.hu, known.labels, known.spacing_mm, seed, known.viable_ml)
