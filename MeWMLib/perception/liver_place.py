"""Where in the liver a lesion is: distance to the surface and to vessels, and words.

The words name Couinaud's segments where a division of the liver is known: one that somebody drew, or else the
APPROXIMATE one of `perception.segments`, said as "about". A part of a liver shows no landmarks to divide it by; there
the words divide the liver's own box into right, middle, left. Front, back, upper, middle and lower are always those of
the box.
"""
# mypy: allow-untyped-calls
# scipy carries no types.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.perception.segments import Division, SegmentMap, place_in_words, shares_of

Mask = NDArray[np.bool_]
Points = NDArray[np.float64]

#: A lesion nearer to the surface than this is called at the surface.
SUBCAPSULAR_MM = 5.0
#: RAS axis to the words from its low to its high end.
_WORDS = (("left", "middle", "right"), ("back", "front"), ("lower", "middle", "upper"))


@dataclass(frozen=True, eq=False)
class LiverPlace:
    """The liver as a frame of reference.

    Attributes:
        geometry: grid.
        surface, vessels: search trees of points (RAS mm); None where there are none.
        low, high: box of the liver along the RAS axes (mm); None without a liver.
        segments: those that somebody drew, or None.
        division: the approximate one where nobody did; None where the liver shows no landmarks.
    """

    geometry: Geometry
    surface: Any
    vessels: Any
    low: Points | None
    high: Points | None
    segments: SegmentMap | None = None
    division: Division | None = None

    @classmethod
    def of(cls, labels: LabelMap, vessels: Mask | None = None, segments: SegmentMap | None = None) -> LiverPlace:
        """Make it from labels and, where known, a mask of the main vessels (K, J, I), and segments.

        The border of the field of view is not a surface of the liver.

        Raises:
            GeometryMismatchError: the mask of the vessels has another shape.
        """
        geometry = labels.geometry
        if vessels is not None and vessels.shape != geometry.shape:
            raise GeometryMismatchError(
                what="The vessels are not on the grid of the labels", given=f"{vessels.shape} and {geometry.shape}"
            )
        tree = None
        if vessels is not None and vessels.any():
            tree = cKDTree(geometry.to_ras(np.argwhere(vessels)))
        liver = labels.liver
        if not liver.any():
            return cls(geometry, None, tree, None, None)
        box = ndimage.find_objects(liver.astype(np.uint8))[0]
        wider = tuple(slice(max(s.start - 1, 0), s.stop + 1) for s in box)
        start = np.array([s.start for s in wider])
        inside = liver[wider]
        edge = inside & ~ndimage.binary_erosion(inside, border_value=1)
        points = geometry.to_ras(np.argwhere(edge) + start)
        corners = points if len(points) else geometry.to_ras(np.argwhere(inside) + start)
        surface = cKDTree(points) if len(points) else None
        division = Division.of(labels) if segments is None else None
        if division is not None and not division.found:
            division = None
        return cls(geometry, surface, tree, corners.min(axis=0), corners.max(axis=0), segments, division)

    def describe(self, mask: Mask, start: NDArray[np.intp]) -> tuple[float | None, float | None, str]:
        """Distances (mm) of a lesion to the liver's surface and to a main vessel, and its place in words.

        Args:
            mask: the lesion, a part of the grid that begins at voxel `start` (k, j, i).

        Returns:
            None for a distance that cannot be known; "" without a liver. A lesion at the surface voxel has 0 mm.
        """
        outline = mask & ~ndimage.binary_erosion(mask)
        points = self.geometry.to_ras(np.argwhere(outline) + start)
        edge = _nearest(self.surface, points)
        vessel = _nearest(self.vessels, points)
        if self.low is None or self.high is None:
            return edge, vessel, ""
        places = np.argwhere(mask) + start
        points, segments = self.geometry.to_ras(places), ""
        if self.segments is not None:
            codes = self.segments.codes[tuple(places.T)]
            segments = place_in_words(shares_of(codes), self.segments.is_approximate)
        elif self.division is not None:
            segments = place_in_words(shares_of(self.division.at(points)))
        return edge, vessel, self._words(points, edge, segments)

    def _words(self, points: Points, edge: float | None, segments: str) -> str:
        assert self.low is not None and self.high is not None
        shares = (points - self.low) / np.maximum(self.high - self.low, 1e-6)
        parts = []
        # the middle 80 % of the voxels: a spur makes no lesion reach over the whole liver
        for axis, words in enumerate(_WORDS):
            ends = np.clip(np.percentile(shares[:, axis], (10, 90)), 0, 0.999)
            first, last = (words[int(end * len(words))] for end in (ends[1], ends[0]))
            parts.append(first if first == last else f"{first} to {last}")
        side, depth, height = parts
        text = f"{segments or f'{side} part of the liver'}, {depth}, {height}"
        if edge is None:
            return text
        return f"{text}; at its surface" if edge < SUBCAPSULAR_MM else f"{text}; {edge:.0f} mm below its surface"


def _nearest(tree: Any, points: Points) -> float | None:
    if tree is None or not len(points):
        return None
    return float(tree.query(points)[0].min())
