"""Where to look: the largest lesion and the liver around it, and the slices that show them."""

from __future__ import annotations

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
        centre: a point inside the largest lesion, near its centroid.
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
        r, a, s = ((low + high) / 2 for low, high in zip(self.liver_low, self.liver_high, strict=True))
        return r, a, s

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
        widest = self.liver_framing(AXIAL).width_mm
        return Framing(AXIAL, self.centre, min(max(1.5 * self.lesion_mm, 70.0), widest))


def find_target(labels: LabelMap) -> Target:
    """Find the largest lesion and the liver; without a lesion the middle of the liver takes its place."""
    liver = labels.liver
    points = _points(liver if liver.any() else np.ones_like(liver))
    ras = labels.geometry.to_ras(points)
    low, high = (tuple(float(v) for v in f(axis=0)) for f in (ras.min, ras.max))
    if not labels.tumour.any():
        middle = tuple(float(v) for v in (np.add(low, high) / 2))
        return Target(middle, 40.0, low, high)
    box = ndimage.find_objects(labels.tumour.astype(np.uint8))[0]
    start = np.array([s.start for s in box])
    components, _ = ndimage.label(labels.tumour[box])
    lesion = components == 1 + int(np.argmax(np.bincount(components.ravel())[1:]))
    inside = np.argwhere(lesion)
    # The centroid of a crescent lies outside of it: take the lesion's voxel that is nearest to it.
    spacing = np.array(labels.geometry.spacing)
    nearest = inside[np.argmin((((inside - inside.mean(axis=0)) * spacing) ** 2).sum(axis=1))]
    centre = tuple(float(v) for v in labels.geometry.to_ras(nearest + start))
    extent = float(((inside.max(axis=0) - inside.min(axis=0) + 1) * spacing).max())
    return Target(centre, extent, low, high)


def _points(mask: NDArray[np.bool_], most: int = 200_000) -> NDArray[np.int64]:
    """Indices (n, 3) of voxels of a mask, thinned out: enough for a box around them."""
    flat = np.flatnonzero(mask)
    flat = flat[:: max(1, len(flat) // most)]
    return np.stack(np.unravel_index(flat, mask.shape), axis=-1)
