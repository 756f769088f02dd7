"""Where the outline of the tumour moves, the picture moves: liver where tumour was, tumour where liver was.

Maps of cubes say how tissue changes that stays what it was. What shrinks is replaced by liver beside it, and what grows
replaces liver; labels alone that say so would contradict the picture. The density of the tissue on the other side comes
in place of what was there, and the scan's own noise stays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Volume
from MeWMLib.rendering.grains import FloatArray
from MeWMLib.rendering.scan_estimate import Box

Mask = NDArray[np.bool_]
#: Width (sigma, mm) over which the density of tumour is averaged: wider than vessels and noise.
LEVEL_MM = 8.0
#: What varies over more than this (a window's side, mm) is tissue and goes with it; what varies over less is noise.
GRAIN_MM = 5.0
#: Width (sigma, mm) of the edge of what moved, about that of the scanner.
EDGE_MM = 0.8
#: Densities (HU) that count as soft tissue: gas, fat, contrast medium and bone are no liver and no tumour.
SOFT_HU = (-20.0, 250.0)
#: The rim takes part in full while the weight is above this.
FADE = 0.15
_LITTLE = 1e-3


@dataclass(frozen=True, eq=False)
class MovedBorder:
    """What the tissue on the other side of the outline would be, for every voxel of what is treated.

    Attributes:
        was: (K, J, I) treated tumour before treatment.
        free: (K, J, I) how far a voxel may change, 0 to 1.
        towards: (K, J, I) HU: in tumour, the liver's density less its own; in liver, the tumour's less its own.
        edge: width (sigma) of the border in voxels.
        near: (K, J, I) share of the surroundings, `edge` wide, that was treated tumour.
    """

    was: Mask
    free: FloatArray
    towards: FloatArray
    edge: tuple[float, ...]
    near: FloatArray

    @classmethod
    def of(cls, before: Volume, labels: LabelMap, box: Box, weight: FloatArray) -> MovedBorder:
        """Measure a scan.

        Args:
            before: the scan before treatment.
            labels: of it.
            box, weight: of `painter.treated_weight`.
        """
        spacing = before.geometry.spacing
        hu, part = np.asarray(before.array[box], np.float32), labels.array[box]
        soft = (hu > SOFT_HU[0]) & (hu < SOFT_HU[1])
        was = np.asarray((part == TUMOUR) & (weight > 0))
        liver = before.array[labels.array == LIVER]
        liver = liver[(liver > SOFT_HU[0]) & (liver < SOFT_HU[1])]
        beside, tumour = soft & ~was, soft & was
        if len(liver) and tumour.any():
            # of the liver as a whole: what is called liver beside a mass may be a part of it that nobody outlined
            towards = np.where(was, np.float32(np.median(liver)), _level(hu, tumour, spacing))
            towards -= np.where(was, _grainless(hu, was, spacing), _grainless(hu, beside, spacing))
        else:
            towards = np.zeros_like(hu)  # nothing tells what would be there
        edge = tuple(EDGE_MM / s for s in spacing)
        free = np.where(part >= LIVER, np.minimum(weight * np.float32(1 / FADE), 1), 0)
        return cls(was, np.asarray(free, np.float32), np.asarray(towards, np.float32), edge, _soft(was, edge))

    def change(self, after: Mask, tissue: FloatArray, of_tumour: float) -> FloatArray | None:
        """What is added to the change of the tissue where the outline moved; None where it stays.

        Args:
            after: (K, J, I) treated tumour after treatment, in the box.
            tissue: (K, J, I) HU by which tissue changes that stays what it was.
            of_tumour: mean HU by which tissue changes that stays tumour.
        """
        gone, grown = self.was & ~after, after & ~self.was
        out: FloatArray | None = None
        for moved, inside, near, change in (
            (gone, self.was, self.near, 0.0),
            # what grows is tumour as it is after treatment
            (grown, ~self.was, 1 - self.near, of_tumour),
        ):
            if not moved.any():
                continue
            share = np.where(inside, _soft(moved, self.edge) / np.maximum(near, _LITTLE), 0)
            np.clip(share, 0, 1, out=share)
            share *= self.free
            share *= self.towards + np.float32(change) - tissue
            out = np.asarray(share, np.float32) if out is None else out + share
        return out


def _soft(mask: Mask, edge: tuple[float, ...]) -> FloatArray:
    return np.asarray(ndimage.gaussian_filter(mask.astype(np.float32), edge, truncate=3), np.float32)


def _level(hu: FloatArray, inside: Mask, spacing: tuple[float, ...]) -> FloatArray:
    """Density (HU) of the tumour, averaged over some mm, everywhere.

    Blocks of voxels are averaged first: a tenth of the time, and no difference over such widths.
    """
    blocks = [max(1, int(LEVEL_MM / 3 / s)) for s in spacing]
    pad = [(0, -n % b) for n, b in zip(hu.shape, blocks, strict=True)]
    (d, a), (h, b), (w, c) = ((-(-n // k), k) for n, k in zip(hu.shape, blocks, strict=True))

    def summed(values: FloatArray) -> FloatArray:
        return np.asarray(np.pad(values, pad).reshape(d, a, h, b, w, c).sum((1, 3, 5)), np.float32)

    weight, total = summed(inside.astype(np.float32)), summed(np.where(inside, hu, 0).astype(np.float32))
    sigma = [LEVEL_MM / (s * n) for s, n in zip(spacing, blocks, strict=True)]
    whole, few = float(hu[inside].mean()), _LITTLE * a * b * c
    near, mean = (ndimage.gaussian_filter(one, sigma, truncate=3) for one in (weight, total))
    # far from all of it: its mean as a whole
    level = (mean + few * whole) / (near + few)
    scale = 1 / np.array(blocks, float)
    found = ndimage.affine_transform(level, scale, 0.5 * scale - 0.5, hu.shape, order=1, mode="nearest")
    return np.asarray(found, np.float32)


def _grainless(hu: FloatArray, inside: Mask, spacing: tuple[float, ...]) -> FloatArray:
    """The scan without its noise: the mean over a window, of voxels on one side of the outline."""
    size = [max(1, 2 * round(0.5 * GRAIN_MM / s) + 1) for s in spacing]
    near = ndimage.uniform_filter(inside.astype(np.float32), size, mode="constant")
    total = ndimage.uniform_filter(np.where(inside, hu, 0).astype(np.float32), size, mode="constant")
    return np.asarray(np.where(near > _LITTLE, total / np.maximum(near, _LITTLE), hu), np.float32)
