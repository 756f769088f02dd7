"""Baselines that MeWM is measured against, written from their papers.

`syntumor` and `pixel2cancer` are made by hand and know no action; each offers `simulate(hu, labels, spacing_mm, seed,
weight=None, parameters=...)` and `fit(pairs)`. `difftumor` and `textomorph` are MeWM's own network, trained in another
way; each states its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.core.volume import TUMOUR

__all__ = [
    "ACTIONLESS",
    "DILATION_MM",
    "HU_RANGE",
    "Pair",
    "blend",
    "box_of",
    "noise_field",
    "require_pairs",
    "require_same_shape",
    "require_tumour",
    "rim_weight",
]

FloatArray = NDArray[np.float32]
Labels = NDArray[np.uint8]

#: Rows of MeWM's own network that were never told the action; they are simulated without it.
ACTIONLESS = ("action_blind", "difftumor")
#: A baseline changes the tumour dilated by this much, like the dynamics model.
DILATION_MM = 6.0
#: What a CT can hold.
HU_RANGE = (-1024.0, 3071.0)


@dataclass(frozen=True, eq=False)
class Pair:
    """A training pair on one grid.

    Attributes:
        before, after: (D, H, W) HU.
        labels: (D, H, W) before treatment.
        spacing_mm: edge of a voxel.
        labels_after: (D, H, W) after treatment; None if they are not known.

    Raises:
        GeometryMismatchError: the arrays are not of one shape.
        NoTumourError: the labels hold no tumour.
    """

    before: FloatArray
    after: FloatArray
    labels: Labels
    spacing_mm: float
    labels_after: Labels | None = None

    def __post_init__(self) -> None:
        require_same_shape(
            self.before, self.after, self.labels, *([] if self.labels_after is None else [self.labels_after])
        )
        if not (self.labels == TUMOUR).any():
            raise NoTumourError(
                what="A training pair holds no tumour",
                given=f"labels of shape {self.labels.shape}",
                remedy="Leave this pair out",
            )


def require_same_shape(*arrays: NDArray[Any]) -> None:
    """Raise `GeometryMismatchError` unless all arrays are of one shape."""
    shapes = [a.shape for a in arrays]
    if len(set(shapes)) != 1:
        raise GeometryMismatchError(
            what="The image, the labels and the weight are not of one shape",
            given=" and ".join(str(s) for s in shapes),
            remedy="Resample them to one grid first",
        )


def require_tumour(labels: Labels) -> NDArray[np.bool_]:
    """The tumour's mask.

    Raises:
        NoTumourError: it is empty.
    """
    tumour = np.asarray(labels == TUMOUR)
    if not tumour.any():
        raise NoTumourError(
            what="There is no tumour to treat",
            given=f"labels of shape {labels.shape}",
            remedy="Give labels with value 2",
        )
    return tumour


def require_pairs(pairs: Sequence[Pair]) -> None:
    """Raise `NoTumourError` if there is nothing to fit on."""
    if not pairs:
        raise NoTumourError(
            what="A baseline cannot be fitted on no pairs",
            given="0 training pairs",
            remedy="Give at least one pair of scans before and after treatment",
        )


def rim_weight(labels: Labels, spacing_mm: float) -> FloatArray:
    """Weight (D, H, W): 1 in the tumour, falling to 0 at `DILATION_MM` from it; stands in where none is given."""
    distance = ndimage.distance_transform_edt(labels != TUMOUR, sampling=spacing_mm)
    return np.asarray(np.clip(1.0 - distance / DILATION_MM, 0.0, 1.0), np.float32)


def blend(hu: FloatArray, change: FloatArray, weight: FloatArray) -> FloatArray:
    """Add a weighted change; where the weight is 0 every voxel keeps its bits."""
    after = np.clip(hu + weight * change, *HU_RANGE)
    return np.where(weight > 0, after, hu).astype(np.float32)


def noise_field(
    shape: tuple[int, ...], grain_voxels: float, blur_voxels: float, rng: np.random.Generator
) -> FloatArray:
    """Gaussian noise scaled up by cubic splines and blurred (SynTumor, arXiv 2303.14869, section 3.1, texture).

    Args:
        shape: (D, H, W).
        grain_voxels: factor by which the noise is scaled up.
        blur_voxels: deviation of the Gaussian that is laid over it.
        rng: source of chance.

    Returns:
        (D, H, W) of mean 0 and deviation 1 over the array.
    """
    factor = max(1.0, grain_voxels)
    # Two more knots than needed, cut off below: at the ends a spline has too little to go by.
    knots = tuple(int(np.ceil(n / factor)) + 3 for n in shape)
    coarse = rng.standard_normal(knots, dtype=np.float32)
    fine = ndimage.zoom(coarse, factor, order=3, mode="reflect") if factor > 1 else coarse
    start = [(have - want) // 2 for have, want in zip(fine.shape, shape, strict=True)]
    field = fine[tuple(slice(s, s + n) for s, n in zip(start, shape, strict=True))]
    field = ndimage.gaussian_filter(field, blur_voxels)
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), np.float32)


def box_of(mask: NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    """The box around a mask with a margin in voxels; the whole array if the mask is empty."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return tuple(slice(0, n) for n in mask.shape)
    return tuple(
        slice(max(0, s.start - margin), min(n, s.stop + margin)) for s, n in zip(found[0], mask.shape, strict=True)
    )
