"""Where to look: the lesion that is treated and the liver around it, and the slices that show them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from MeWMLib.core.volume import LabelMap
from MeWMLib.scene.views import AXIAL, CORONAL, Framing

MARGIN_MM = 12.0
#: Height of the lowest picture as a share of its width: there must be room for what is written on it.
LOWEST = 0.78


@dataclass(frozen=True)
class Target:
    """Where to look, all in RAS mm.

    Attributes:
        centre: a point inside the lesion, near the middle of its longest axial diameter.
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
        centre, across, height = {
            AXIAL: ((r, a, self.centre[2]), right, anterior),
            CORONAL: ((r, self.centre[1], s), right, superior),
        }.get(orientation, ((self.centre[0], a, s), anterior, superior))
        width = float(max(across, height))
        return Framing(orientation, centre, width, max(float(height), LOWEST * width))

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
    spacing = np.array(labels.geometry.spacing)
    axes = np.abs(labels.geometry.affine[2, 2::-1]) / spacing
    middle = _middle_of_longest(inside, spacing, int(np.argmax(axes)))
    # the middle of a crescent is outside it: take the lesion's voxel that is nearest
    nearest = inside[np.argmin((((inside - middle) * spacing) ** 2).sum(axis=1))]
    centre = labels.geometry.to_ras(nearest + start)
    extent = float(((np.ptp(inside, axis=0) + 1) * spacing).max())
    return Target(_point(centre), extent, _point(low), _point(high))


def _middle_of_longest(inside: NDArray[np.int64], spacing: NDArray[np.float64], axial: int) -> NDArray[np.float64]:
    """Middle (k, j, i) of the longest diameter in any slice across an axis; among equals that nearest to the centroid.

    Args:
        inside: (n, 3) indices of a lesion's voxels.
        spacing: of the grid.
        axial: the axis along which slices lie.
    """
    plane = [axis for axis in range(3) if axis != axial]
    found: list[tuple[float, float, NDArray[np.float64]]] = []
    centroid = inside.mean(axis=0)
    for number in np.unique(inside[:, axial]):
        points = inside[inside[:, axial] == number]
        places = points[:, plane] * spacing[plane]
        hull = np.arange(len(places))
        if len(places) > 3 and (np.ptp(places, axis=0) > 0).all():
            with contextlib.suppress(QhullError):  # all in one line
                hull = ConvexHull(places).vertices
        apart = squareform(pdist(places[hull])) if len(hull) > 1 else np.zeros((1, 1))
        first, second = np.unravel_index(int(apart.argmax()), apart.shape)
        middle = (points[hull[first]] + points[hull[second]]) / 2
        off = float(np.linalg.norm((middle - centroid) * spacing))
        found.append((round(float(apart.max()), 3), -off, middle))
    return max(found, key=lambda one: one[:2])[2]


def _point(ras: NDArray[np.float64]) -> tuple[float, float, float]:
    r, a, s = ras.tolist()
    return r, a, s


def _points(mask: NDArray[np.bool_], most: int = 200_000) -> NDArray[np.int64]:
    """Indices (n, 3) of voxels of a mask, thinned out: enough for a box around them."""
    flat = np.flatnonzero(mask)
    flat = flat[:: max(1, len(flat) // most)]
    return np.stack(np.unravel_index(flat, mask.shape), axis=-1)
