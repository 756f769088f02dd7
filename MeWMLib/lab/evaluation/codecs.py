"""`mewm evaluate codecs`: what linear block codecs keep of the real scan after treatment, and how large they are.

Codecs over blocks of 2^3 voxels with some channels stand beside the 4^3 codec of the bundle and one with as many
channels that is fitted as they are: principal components of companded blocks (`dynamics.autoencoder`) of drawn
patients before and after treatment. Nothing is fitted on the real scans that are measured.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.core.bundles import find_bundle
from MeWMLib.core.coarse_maps import CELL, MAP_MM
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import centred_grid
from MeWMLib.dynamics.autoencoder import BLOCK, Autoencoder, compand, expand
from MeWMLib.lab.evaluation.cohort_pairs import listed_pairs
from MeWMLib.lab.evaluation.metrics import Rows
from MeWMLib.lab.evaluation.pair_prepared import PreparedPair
from MeWMLib.lab.evaluation.pairs import chosen, log_judging
from MeWMLib.lab.evaluation.real_pair import as_rows, psnr
from MeWMLib.lab.synthetic.cases import SPLITS, case_geometry
from MeWMLib.perception.deposits import DENSE_HU, lipiodol_look
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import Registration

if TYPE_CHECKING:
    from MeWMLib.lab.evaluation.work import Say

#: Channels of the codecs over 2^3 voxels; of the one over 4^3 as the bundle has them.
FINE, CHANNELS = 2, (4, 6, 8)
#: Edge (mm) of the patch of the product and of a region that is treated whole, at voxels of 1 mm.
PATCH_MM, REGION_MM = 96, 180
#: Blocks of one drawn patient at most.
BLOCKS = 20_000

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BlockCodec:
    """A linear codec over cubic blocks of voxels.

    Attributes:
        block: voxels of an edge.
        basis: (C, block^3) orthonormal rows.
        mean: (block^3,) companded.
    """

    block: int
    basis: FloatArray
    mean: FloatArray

    @classmethod
    def fit(cls, samples: FloatArray, block: int, channels: int) -> BlockCodec:
        """Principal components of companded blocks (M, block^3)."""
        mean = samples.mean(0)
        centred = (samples - mean).astype(np.float64)
        _, vectors = np.linalg.eigh(centred.T @ centred)
        return cls(block, np.ascontiguousarray(vectors[:, ::-1][:, :channels].T, np.float32), mean)

    @classmethod
    def of(cls, codec: Autoencoder) -> BlockCodec:
        """The codec of a bundle; whitening changes nothing of what it keeps."""
        return cls(BLOCK, codec.basis.numpy(), codec.mean.numpy())

    def alone(self, hu: FloatArray) -> FloatArray:
        """A scan (K, J, I) of whole blocks, encoded and decoded."""
        parts = blocks_of(_compand(hu), self.block) - self.mean
        return _expand(self._back(parts, hu.shape, self.mean))

    def change(self, before: FloatArray, after: FloatArray) -> FloatArray:
        """The scan after as a dynamics model can give it at best: before, and the change that the codec keeps."""
        start = _compand(before)
        parts = blocks_of(_compand(after) - start, self.block)
        return _expand(start + self._back(parts, before.shape, 0.0))

    def numbers(self, edge_mm: float) -> float:
        """Numbers of the latent of a cube at voxels of 1 mm."""
        return len(self.basis) * (edge_mm / self.block) ** 3

    def _back(self, parts: FloatArray, shape: tuple[int, ...], mean: Any) -> FloatArray:
        kept = (parts @ self.basis.T) @ self.basis + mean
        b, (d, h, w) = self.block, shape
        split = kept.reshape(d // b, h // b, w // b, b, b, b).transpose(0, 3, 1, 4, 2, 5)
        return np.asarray(split.reshape(d, h, w), np.float32)


def blocks_of(values: FloatArray, block: int) -> FloatArray:
    """Blocks (M, block^3) of an array whose sides are multiples of it."""
    d, h, w = (n // block for n in values.shape)
    split = values.reshape(d, block, h, block, w, block).transpose(0, 2, 4, 1, 3, 5)
    return np.asarray(split.reshape(d * h * w, block**3), np.float32)


def _compand(hu: FloatArray) -> FloatArray:
    return np.asarray(compand(torch.from_numpy(np.ascontiguousarray(hu, np.float32))).numpy())


def _expand(values: FloatArray) -> FloatArray:
    return np.asarray(expand(torch.from_numpy(values)).numpy())


def drawn_blocks(seeds: Sequence[int], protocol: Protocol) -> Iterator[dict[int, FloatArray]]:
    """For each drawn patient companded blocks of 2^3 and 4^3 voxels: all that touch tumour, and as many others."""
    for seed in seeds:
        patient, rng = StudyPatient.draw(seed), np.random.default_rng(seed)
        scans = patient.render_all(case_geometry(patient), [None, protocol], session=patient.session)
        found = {}
        for block in (FINE, BLOCK):
            parts = []
            for scan in scans:
                blocks = blocks_of(_compand(scan.hu), block)
                tumour = np.flatnonzero(blocks_of((scan.labels == 2).astype(np.float32), block).any(1))
                tumour = rng.permutation(tumour)[: BLOCKS // 4]
                parts += [blocks[tumour], blocks[rng.integers(0, len(blocks), len(tumour))]]
            found[block] = np.concatenate(parts)
        yield found


def figures(
    codec: BlockCodec | None, before: FloatArray | None, after: FloatArray, tumour: Mask, mm: tuple[float, float, float]
) -> dict[str, float]:
    """What a codec keeps of one scan; of the scan as it is without a codec.

    `tumour_psnr_db`, `lipiodol_psnr_db` (voxels of `DENSE_HU` and more): of the change if the scan before is given, of
    the scan alone if not, within the codec's window; and `lipiodol_look` of the result.
    """
    if codec is None:
        return lipiodol_look(after, tumour, mm)
    image = codec.alone(after) if before is None else codec.change(before, after)
    return {
        "tumour_psnr_db": psnr(image, after, tumour),
        "lipiodol_psnr_db": psnr(image, after, tumour & (after >= DENSE_HU)),
        **lipiodol_look(image, tumour, mm),
    }


def sizes(codec: BlockCodec) -> dict[str, float]:
    """Numbers that a network draws, and voxels of its finest level by those on cells of the coarse maps.

    A convolution costs as many multiplications at each voxel: with channels alike, a step of a U-Net costs in
    proportion to the voxels of its finest level.
    """
    return {
        "latent_patch": codec.numbers(PATCH_MM),
        "latent_region": codec.numbers(REGION_MM),
        "step_by_coarse": (CELL * MAP_MM / codec.block) ** 3,
    }


def run(args: argparse.Namespace, say: Say) -> tuple[Rows, str]:
    """Fit on drawn patients and measure on the pairs that the arguments name; rows, and on whom."""
    pairs = chosen(listed_pairs(args), args.judging, args.patient)
    for line in log_judging(args.out, pairs, "mewm evaluate codecs"):
        say(f"judging, {line}", 0.0)
    bundled = Autoencoder.from_part(*find_bundle(args.bundle, require=("autoencoder",)).part("autoencoder"))
    parts: dict[int, list[FloatArray]] = {FINE: [], BLOCK: []}
    for n, found in enumerate(drawn_blocks(SPLITS["train"][: args.drawn], Protocol.parse(args.protocol))):
        say("drawn patients", (n + 1) / args.drawn)
        for block, blocks in found.items():
            parts[block].append(blocks)
    samples = {block: np.concatenate(some) for block, some in parts.items()}
    codecs: dict[str, BlockCodec | None] = {"real": None, "bundle_4x": BlockCodec.of(bundled)}
    codecs[f"4x_{bundled.channels}"] = BlockCodec.fit(samples[BLOCK], BLOCK, bundled.channels)
    codecs |= {f"2x_{c}": BlockCodec.fit(samples[FINE], FINE, c) for c in CHANNELS}
    rows = {f"size/{name}": sizes(codec) for name, codec in codecs.items() if codec is not None}
    for n, files in enumerate(pairs):
        say(f"real scans, {files.patient}", n / len(pairs))
        rows |= pair_rows(PreparedPair.read(files, Registration()), codecs)
    return as_rows(rows), f"{', '.join(p.patient for p in pairs)}; fitted on {args.drawn} drawn patients"


def pair_rows(pair: PreparedPair, codecs: dict[str, BlockCodec | None]) -> dict[str, dict[str, float]]:
    """Rows of one pair: on the patch of 1 mm that holds most Lipiodol, and on native voxels of the scan after."""
    before, after, tumour = patch(pair)
    native, outline = pair.native_after, pair.native_after_inside
    box = _whole_blocks(outline)
    name, one = pair.files.patient, (1.0, 1.0, 1.0)
    rows = {}
    for what, codec in codecs.items():
        rows[f"{name}/1mm/{what}"] = figures(codec, before, after, tumour, one)
        image = native.array[box].astype(np.float32)
        rows[f"{name}/native/{what}"] = figures(codec, None, image, outline[box], native.geometry.spacing)
    return rows


def patch(pair: PreparedPair) -> tuple[FloatArray, FloatArray, Mask]:
    """The patch about the middle of the Lipiodol: HU before and after (from native voxels), what is judged."""
    truth = pair.truth
    oil = truth.inside & (truth.after >= DENSE_HU)
    middle = truth.geometry.to_ras(np.argwhere(oil if oil.any() else truth.inside).mean(0))
    grid = centred_grid(middle, (PATCH_MM,) * 3, 1.0)
    before = resample(truth.before, truth.geometry, grid)
    after, through = pair.native_after, pair.moved.transform
    reached = resample(np.ones(after.array.shape, np.uint8), after.geometry, grid, "nearest", 0, through) > 0
    fine = resample(after.array.astype(np.float32), after.geometry, grid, through=through)
    coarse = resample(truth.after, truth.geometry, grid)
    inside = resample(truth.inside, truth.geometry, grid, "nearest", 0) & reached
    return before, np.where(reached, fine, coarse).astype(np.float32), inside


def _whole_blocks(mask: Mask) -> tuple[slice, ...]:
    """The box of a mask, made of whole blocks of every codec."""
    (box,) = ndimage.find_objects(mask.astype(np.uint8))
    starts = [s.start for s in box]
    ends = [
        min(s.start + BLOCK * -(-(s.stop - s.start) // BLOCK), s.start + BLOCK * ((n - s.start) // BLOCK))
        for s, n in zip(box, mask.shape, strict=True)
    ]
    return tuple(slice(a, b) for a, b in zip(starts, ends, strict=True))
