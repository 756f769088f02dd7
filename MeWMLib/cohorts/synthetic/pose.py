"""How a patient lies and breathes in one scan against another: a small turn, a shift, and a higher or lower dome."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes, derive_seed
from MeWMLib.cohorts.synthetic.look import LookConstants
from MeWMLib.core.volume import Geometry

#: Over how many mm below the dome breathing fades.
FADES_MM = 110.0
#: Voxels are drawn so far around what is asked for, since a pose brings them in (mm).
MARGIN_MM = 6.0


@dataclass(frozen=True)
class Pose:
    """The difference of pose between two scans of a patient.

    Attributes:
        turn: rotation about z, y and x, radians.
        shift: mm along z, y, x.
        breath: mm by which the dome is higher.
        centre: about which is turned (z, y, x), RAS mm.
    """

    turn: tuple[float, float, float]
    shift: tuple[float, float, float]
    breath: float
    centre: tuple[float, float, float]

    @classmethod
    def draw(cls, seed: int, centre: tuple[float, float, float], look: LookConstants) -> Pose:
        """Draw what registration leaves of the difference between the scans before and after treatment."""
        rng = np.random.default_rng(derive_seed("pose", seed))
        turn = np.clip(rng.standard_normal(3), -2, 2) * np.deg2rad(look.turn_deg)
        shift = np.clip(rng.standard_normal(3), -2, 2) * look.shift_mm
        breath = float(np.clip(rng.standard_normal(), -2, 2) * look.breath_mm)
        return cls(
            (float(turn[0]), float(turn[1]), float(turn[2])),
            (float(shift[0]), float(shift[1]), float(shift[2])),
            breath,
            centre,
        )

    def displacement(self, axes: Axes) -> list[NDArray[np.float32]]:
        """Millimetres (z, y, x; each (K, J, I)) from a point of the posed scan to the same tissue in the other."""
        z, y, x = (g - np.float32(c) for g, c in zip(axes.grids, self.centre, strict=True))
        a, b, c = self.turn
        sz, sy, sx = self.shift
        shape = np.broadcast_shapes(z.shape, y.shape, x.shape)
        # small turns: the cross product; breathing moves the upper liver most, and forward as well
        rises = self.breath * np.exp(np.minimum(z, 0) / FADES_MM)
        fields = (sz + b * x - c * y + rises, sy + c * z - a * x + 0.4 * rises, sx + a * y - b * z)
        return [np.broadcast_to(np.asarray(f, np.float32), shape) for f in fields]


def padded(geometry: Geometry) -> tuple[Geometry, tuple[int, int, int]]:
    """The grid with `MARGIN_MM` around it, and how many voxels these are along each axis."""
    k, j, i = (int(np.ceil(MARGIN_MM / s)) for s in geometry.spacing)
    shape = (geometry.shape[0] + 2 * k, geometry.shape[1] + 2 * j, geometry.shape[2] + 2 * i)
    return geometry.crop((-k, -j, -i), shape), (k, j, i)


def posed(pose: Pose, geometry: Geometry, margin: tuple[int, int, int]) -> NDArray[np.float32]:
    """Voxel indices (3, K, J, I) in the padded grid for each voxel of `geometry` in the posed scan."""
    axes = Axes.of(geometry)
    moved = pose.displacement(axes)
    steps = [float(a[1] - a[0]) if len(a) > 1 else 1.0 for a in (axes.z, axes.y, axes.x)]
    index = np.indices(geometry.shape, np.float32)
    for n in range(3):
        index[n] += moved[n] / np.float32(steps[n]) + margin[n]
    return index


def warp(values: NDArray[np.float32], index: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values at fractional voxels, linear."""
    return np.asarray(ndimage.map_coordinates(values, index, order=1, mode="nearest"), np.float32)


def warp_code(values: NDArray[np.uint8], index: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values of the nearest voxels."""
    near = [np.clip(np.rint(a).astype(np.int32), 0, n - 1) for a, n in zip(index, values.shape, strict=True)]
    return np.asarray(values[near[0], near[1], near[2]], np.uint8)
