"""Where to look: the lesion that is treated and the liver around it, and the slices that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import LabelMap
from MeWMLib.scene.views import AXIAL, Framing

MARGIN_MM = 12.0
#: Height of the lowest picture as a share of its width: there must be room for what is written on it.
_LOWEST = 0.78


@dataclass(frozen=True)
class Target:
    """Where to look, all in RAS mm.

    Attributes:
        centre: a point inside the lesion, near its centroid.
        lesion_mm: its largest extent along an axis.
        liver_low, liver_high: corners of the box around the liver.
    """

    centre: tuple[float, float, float]
    lesion_mm: float
    liver_low: tuple[float, float, float]
    liver_high: tuple[float, float, float]

    @property
    def liver_centre(self) -> tuple[float, float, float]:
        """Middle of the box around the liver."""
        return _point(np.add(self.liver_low, self.liver_high) / 2)

    def liver_framing(self, orientation: str) -> Framing:
        """The slice through the lesion, cropped to the liver."""
        r, a, s = self.liver_centre
        right, anterior, superior = np.subtract(self.liver_high, self.liver_low) + 2 * MARGIN_MM
        centre, height = (
            ((r, a, self.centre[2]), anterior) if orientation == AXIAL else ((r, self.centre[1], s), superior)
        )
        width = float(max(right, height))
        return Framing(orientation, centre, width, max(float(height), _LOWEST * width))

    def lesion_framing(self) -> Framing:
        """The axial slice through the lesion, cropped to the lesion and its surroundings."""
        return Framing(AXIAL, self.centre, min(max(1.5 * self.lesion_mm, 70.0), self.liver_framing(AXIAL).width_mm))


def find_target(labels: LabelMap, near: Sequence[float] | None = None) -> Target:
    """Find a lesion and the liver; where there is no lesion, the middle of the liver is the target.

    Args:
        labels: liver and tumour.
        near: the lesion nearest to this point (RAS mm); the largest one without it.
    """
    liver = labels.liver
    ras = labels.geometry.to_ras(_points(liver if liver.any() else np.ones_like(liver)))
    low, high = ras.min(axis=0), ras.max(axis=0)
    if not labels.tumour.any():
        return Target(_point((low + high) / 2), 40.0, _point(low), _point(high))
    box = ndimage.find_objects(labels.tumour.astype(np.uint8))[0]
    components, _ = ndimage.label(labels.tumour[box])
    start = [side.start for side in box]
    if near is None:
        chosen = 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    else:
        tumour = np.argwhere(components)
        away = np.linalg.norm(labels.geometry.to_ras(tumour + start) - np.asarray(near), axis=1)
        chosen = components[tuple(tumour[np.argmin(away)])]
    inside = np.argwhere(components == chosen)
    # The centroid of a crescent is outside it: take the lesion's voxel that is nearest to it.
    spacing = np.array(labels.geometry.spacing)
    nearest = inside[np.argmin((((inside - inside.mean(axis=0)) * spacing) ** 2).sum(axis=1))]
    centre = labels.geometry.to_ras(nearest + start)
    extent = float(((np.ptp(inside, axis=0) + 1) * spacing).max())
    return Target(_point(centre), extent, _point(low), _point(high))


def _point(ras: NDArray[np.float64]) -> tuple[float, float, float]:
    r, a, s = ras.tolist()
    return r, a, s


def _points(mask: NDArray[np.bool_], most: int = 200_000) -> NDArray[np.int64]:
    """Indices (n, 3) of voxels of a mask, thinned out: enough for a box around them."""
    flat = np.flatnonzero(mask)
    flat = flat[:: max(1, len(flat) // most)]
    return np.stack(np.unravel_index(flat, mask.shape), axis=-1)
