"""The volumes that the assistant learns from, drawn once into a folder, and the crops that are cut out of them.

Two kinds: scenes around real outlines (`assistant_scenes.py`) and patients of the synthetic TACE world, before
treatment and after four protocols. Contrast, noise, sharpness and the place of a crop are drawn anew each time; images
after treatment are passed through the latent codec in every second crop, as simulated ones are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.cases import SPLITS, draw_case
from MeWMLib.cohorts.synthetic.fields import derive_seed
from MeWMLib.core.errors import InputError
from MeWMLib.core.io import atomic_path
from MeWMLib.dynamics.autoencoder import Autoencoder
from MeWMLib.training.assistant_scenes import draw_scenes, label_maps, read_map

#: Outcomes kept of each patient.
OUTCOMES = 4
#: One label map in this many is kept for validation, so that no liver is in both.
HELD_OUT = 11

FloatArray = NDArray[np.float32]
Labels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Drawn:
    """One file: scans (N, D, H, W) as HU and labels, and the edge of a voxel; the first is before treatment."""

    hu: NDArray[np.int16]
    labels: Labels
    spacing_mm: float

    @classmethod
    def read(cls, path: Path) -> Drawn:
        """Read a file of `draw_data`."""
        with np.load(path, allow_pickle=False) as stored:
            return cls(stored["hu"], stored["labels"], float(stored["spacing_mm"]))

    def write(self, path: Path) -> None:
        """Write it whole."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, hu=self.hu, labels=self.labels, spacing_mm=self.spacing_mm)


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
    patients: int,
    scenes: int,
    start: int = 0,
    on_step: Callable[[str, float], None] | None = None,
) -> None:
    """Draw files into a folder; those that are there stay, so that a stopped run goes on.

    Args:
        out: the folder.
        labels: folder of label maps; None draws patients only.
        split: "train" or "validation".
        patients, scenes: how many of each.
        start: number of the first, so that several processes can share the work.
        on_step: told the finished share.

    Raises:
        InputError: no label maps.
    """
    out.mkdir(parents=True, exist_ok=True)
    maps = split_maps(labels, split) if labels is not None else []
    jobs = [("patient", n) for n in range(start, start + patients)]
    jobs += [("scene", n) for n in range(start, start + scenes) if maps]
    jobs.sort(key=lambda job: (job[1] - start) / max(1, patients if job[0] == "patient" else scenes))  # both in turn
    for done, (kind, n) in enumerate(jobs):
        path = out / f"{split}-{kind}-{n:06d}.npz"
        if not path.exists():
            drawn = _patient(split, n) if kind == "patient" else _scene(maps, split, n)
            drawn.write(path)
        if on_step is not None:
            on_step("drawing", (done + 1) / len(jobs))


def _patient(split: str, number: int) -> Drawn:
    case = draw_case(SPLITS[split][number])
    rng = np.random.default_rng(derive_seed("kept outcomes", case.seed))
    chosen = rng.permutation(len(case.after))[:OUTCOMES]
    drawn = [case.before, *(case.after[n] for n in chosen)]
    return Drawn(_whole([d.hu for d in drawn]), np.stack([d.labels for d in drawn]), case.spacing_mm)


def _scene(maps: Sequence[Path], split: str, number: int) -> Drawn:
    rng = np.random.default_rng(derive_seed("map", split, number))
    array, spacing = read_map(maps[int(rng.integers(len(maps)))])
    drawn = draw_scenes(array, spacing, derive_seed(split, number))
    return Drawn(_whole([d.hu for d in drawn]), np.stack([d.labels for d in drawn]), drawn[0].spacing_mm)


def _whole(images: Sequence[FloatArray]) -> NDArray[np.int16]:
    return np.rint(np.stack(images)).astype(np.int16)


class Store:
    """The files of one split in a folder; files that come while training runs are seen."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder, self.split = folder, split
        self.look()
        if not self.files["patient"]:
            raise InputError(
                what="There is nothing to train the assistant on",
                given=f"{folder} without files {split}-patient-*.npz",
                remedy="Draw them with `mewm train assistant-data`",
            )

    def look(self) -> None:
        """Look for files again."""
        kinds = ("patient", "scene")
        self.files = {k: sorted(self.folder.glob(f"{self.split}-{k}-[0-9]*.npz")) for k in kinds}

    def draw(self, kind: str, rng: np.random.Generator) -> Drawn:
        """A random file of a kind; a patient where there are no scenes."""
        files = self.files[kind] or self.files["patient"]
        return Drawn.read(files[int(rng.integers(len(files)))])


def coded(drawn: Drawn, which: int, codec: Autoencoder, rng: np.random.Generator) -> FloatArray:
    """Scan `which` (1 or more) as a simulated image looks: the scan before plus a decoded change of the latent.

    A network that is not sure gives something between outcomes and some noise; both are imitated, as in
    `training/followup.py`.
    """
    other = int(rng.integers(1, len(drawn.hu)))
    share = float(rng.uniform(0, 0.35))
    with torch.inference_mode():
        images = torch.from_numpy(drawn.hu[[0, which, other]].astype(np.float32))[:, None]
        first, then, mixed = codec.encode(images).split(1)
        change = (1 - share) * then + share * mixed - first
        if rng.random() < 0.5:
            noise = torch.from_numpy(rng.standard_normal(change.shape).astype(np.float32))
            change = change + float(rng.uniform(0, 0.2)) * noise
        return np.asarray(codec.decode_change(images[:1], change)[0, 0].numpy(), np.float32)


def patient_crop(
    drawn: Drawn, side: int, codec: Autoencoder | None, rng: np.random.Generator
) -> tuple[FloatArray, Labels]:
    """A crop of the treated patch before or after treatment, on the grid on which patches are segmented.

    Fine patches are segmented at half their resolution (`Segmenter.segment_patches`); they give `side` / 2 and more.
    """
    which = int(rng.integers(1, len(drawn.hu))) if rng.random() < 0.75 else 0
    if which and codec is not None and rng.random() < 0.55:
        hu = coded(drawn, which, codec, rng)
    else:
        hu = drawn.hu[which].astype(np.float32)
    labels = drawn.labels[which]
    if drawn.spacing_mm <= 1.2 and rng.random() < 0.8:
        hu, labels = halved(hu, labels)
    return _cut(hu, labels, side, rng)


def halved(hu: FloatArray, labels: Labels) -> tuple[FloatArray, Labels]:
    """Two voxels as one along each axis: mean HU, and the label that half of the eight voxels have at least."""
    n = tuple(s // 2 for s in hu.shape)
    blocks = (n[0], 2, n[1], 2, n[2], 2)
    mean = hu.reshape(blocks).mean((1, 3, 5), dtype=np.float32)
    share = [(labels >= least).reshape(blocks).mean((1, 3, 5)) >= 0.5 for least in (1, 2)]
    return mean, (share[0].astype(np.uint8) + (share[0] & share[1])).astype(np.uint8)


def scene_crop(drawn: Drawn, side: int, rng: np.random.Generator) -> tuple[FloatArray, Labels]:
    """A crop of a scene, around a tumour as often as not."""
    which = int(rng.integers(len(drawn.hu)))
    return _cut(drawn.hu[which].astype(np.float32), drawn.labels[which], side, rng)


def _cut(hu: FloatArray, labels: Labels, side: int, rng: np.random.Generator) -> tuple[FloatArray, Labels]:
    shape = np.array(hu.shape)
    side = int(min(side, *shape))
    start = rng.integers(0, shape - side + 1)
    wanted = rng.random()
    if wanted < 0.8:  # a tumour, or else the liver
        places = np.flatnonzero(labels == 2) if wanted < 0.6 else np.flatnonzero(labels >= 1)
        if len(places):
            at = np.array(np.unravel_index(int(rng.choice(places)), labels.shape))
            start = np.clip(at - rng.integers(side // 8, side - side // 8, 3), 0, shape - side)
    box = tuple(slice(int(a), int(a) + side) for a in start)
    return hu[box].copy(), labels[box].copy()


def augment(hu: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Change contrast, brightness, sharpness and noise: what scanners and protocols of contrast differ in."""
    out = hu
    if rng.random() < 0.3:
        out = ndimage.gaussian_filter(out, rng.uniform(0.3, 1.0))
    if rng.random() < 0.4:
        out = ndimage.gaussian_filter1d(out, float(rng.uniform(0.5, 1.8)), axis=0)  # thick slices
    if rng.random() < 0.25:  # steps between thick slices
        thick = int(rng.integers(2, 4))
        index = np.minimum(thick * (np.arange(len(out)) // thick), len(out) - 1)
        out = out[index]
    soft = np.clip((out + 150) / 100, 0, 1)  # air and lungs keep their values
    out = out + soft * ((out - 60) * (rng.uniform(0.7, 1.4) - 1) + rng.normal(0, 14))
    strength = rng.gamma(1.6, 8.0)
    noise = rng.standard_normal(out.shape, dtype=np.float32)
    if rng.random() < 0.75:  # grain of reconstructed scans is coarser than a voxel
        noise = ndimage.gaussian_filter(noise, (rng.uniform(0, 0.8), *[rng.uniform(0.4, 1.1)] * 2))
        noise /= max(1e-3, float(noise.std()))
    return np.asarray(out + min(strength, 45.0) * noise, np.float32)
