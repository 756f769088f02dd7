"""What organs are drawn on: HU around a liver, with distances from what bounds it, and shapes of a few kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray

#: A point (z, y, x) in RAS mm, or three radii in that order.
Triple = tuple[float, float, float]
Box = tuple[slice, slice, slice]
Mask = NDArray[np.bool_]
#: Where no tube is near.
FAR = -99.0


@dataclass(frozen=True)
class Piece:
    """A straight piece of a vessel or bowel: from one point to another, with a radius at each (mm)."""

    start: Triple
    stop: Triple
    first: float
    last: float


@dataclass(frozen=True, eq=False)
class Canvas:
    """An abdomen that is being drawn.

    Attributes:
        axes: of the grid.
        hu: (K, J, I), drawn into.
        liver: (K, J, I) signed mm, positive inside the liver as it is labelled; holes may be drawn into it.
        outline: (K, J, I) signed mm of the liver's outline before diaphragm and chest wall cut it.
        wall, dome: (K, J, I) mm inside the chest wall, and below the diaphragm.
        fine, wide: (K, J, I) random fields of 3.5 and 16 mm, deviation 1.
        tissue: HU of organs by name, with "liver".
        phase: "portal", "inflow" (portal vein enhanced, hepatic veins not yet), "arterial" or "none".
        size: of the trunk, 1 is the mean.
        rng: of everything that is drawn.
    """

    axes: Axes
    hu: FloatArray
    liver: FloatArray
    outline: FloatArray
    wall: FloatArray
    dome: FloatArray
    fine: FloatArray
    wide: FloatArray
    tissue: Mapping[str, float]
    phase: str
    size: float
    rng: np.random.Generator

    @property
    def everywhere(self) -> Box:
        """All of the grid."""
        k, j, i = self.hu.shape
        return slice(0, k), slice(0, j), slice(0, i)

    @property
    def enhanced(self) -> bool:
        """True if contrast medium was given."""
        return self.phase != "none"

    def below(self, box: Box) -> Mask:
        """Where the abdominal cavity is, liver included."""
        return np.asarray((self.wall[box] > 1) & (self.dome[box] > 1))

    def put(self, box: Box, where: Mask, value: FloatArray | float) -> None:
        """Draw HU outside of the liver."""
        np.copyto(self.hu[box], value, where=where & (self.liver[box] <= 0), casting="unsafe")

    def put_inside(self, box: Box, where: Mask, value: FloatArray | float) -> None:
        """Draw HU into the liver only."""
        np.copyto(self.hu[box], value, where=where & (self.liver[box] > 0), casting="unsafe")

    def around(self, centre: Sequence[float], reach: Sequence[float]) -> Box:
        """The part of the grid within some mm of a point; empty where it lies beyond."""
        sides = []
        for axis, c, r in zip((self.axes.z, self.axes.y, self.axes.x), centre, reach, strict=True):
            near = np.flatnonzero(np.abs(axis - c) <= r)
            sides.append(slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0))
        return sides[0], sides[1], sides[2]

    def part(self, box: Box) -> Axes:
        """Axes of a part of the grid."""
        return Axes(self.axes.z[box[0]], self.axes.y[box[1]], self.axes.x[box[2]])

    def grids(self, box: Box) -> tuple[FloatArray, FloatArray, FloatArray]:
        """z, y, x of a part of the grid, shaped to broadcast."""
        return self.part(box).grids

    def egg(self, centre: Triple, radii: Triple, rough: float = 2.5) -> tuple[Box, FloatArray]:
        """A lumpy ellipsoid: the part of the grid that it reaches, and about mm inside its surface."""
        box = self.around(centre, [r + 3 * rough for r in radii])
        z, y, x = self.grids(box)
        (cz, cy, cx), (rz, ry, rx) = centre, radii
        r = np.sqrt(((z - cz) / rz) ** 2 + ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2)
        return box, np.asarray((1 - r) * min(radii) + rough * self.wide[box], np.float32)

    def tubes(self, pieces: Iterable[Piece]) -> FloatArray:
        """(K, J, I) mm inside the nearest tube; `FAR` where none is near."""
        out = np.full(self.hu.shape, FAR, np.float32)
        for piece in pieces:
            a, b = np.array(piece.start), np.array(piece.stop)
            reach = 0.5 * np.abs(b - a) + max(piece.first, piece.last) + 4
            box = self.around(0.5 * (a + b), reach)
            z, y, x = (g - c for g, c in zip(self.grids(box), a, strict=True))
            way = b - a
            along = np.clip((z * way[0] + y * way[1] + x * way[2]) / max(float(way @ way), 1e-6), 0, 1)
            off = (z - along * way[0]) ** 2 + (y - along * way[1]) ** 2 + (x - along * way[2]) ** 2
            inside = piece.first + (piece.last - piece.first) * along - np.sqrt(off)
            np.maximum(out[box], inside, out=out[box], casting="unsafe")
        return out

    def at(self, values: FloatArray, point: ArrayLike) -> float:
        """The value at the voxel that is nearest to a point."""
        index = tuple(
            int(np.abs(axis - c).argmin())
            for axis, c in zip((self.axes.z, self.axes.y, self.axes.x), three(point), strict=True)
        )
        return float(values[index])

    def surface(self, way: ArrayLike) -> Triple:
        """Where one leaves the liver from its middle in a direction."""
        spots = np.argwhere(self.outline > 0)
        axes = (self.axes.z, self.axes.y, self.axes.x)
        middle = np.array([axis[int(n)] for axis, n in zip(axes, np.median(spots, 0), strict=True)])
        step = np.array(way, float)
        step /= np.linalg.norm(step)
        reach = np.arange(0, 160, 2.0)
        left = [n for n in reach if self.at(self.outline, middle + n * step) < 0]
        return three(middle + (left[0] if left else 0.0) * step)


def three(values: ArrayLike) -> Triple:
    """Three numbers as plain ones."""
    z, y, x = np.asarray(values, float)
    return float(z), float(y), float(x)
