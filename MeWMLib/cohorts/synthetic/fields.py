"""Smooth random fields in patient space, so that every grid laid over one patient shows the same anatomy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError
from MeWMLib.core.volume import Geometry

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Axes:
    """The coordinates (RAS mm) of an axis-aligned grid, one vector for each array axis.

    Attributes:
        z, y, x: (K,) to superior, (J,) to anterior, (I,) to right; mm, in the order of the array.
    """

    z: FloatArray
    y: FloatArray
    x: FloatArray

    @classmethod
    def of(cls, geometry: Geometry) -> Axes:
        """Axes of a grid.

        Raises:
            GeometryError: the grid is not aligned with the patient's axes.
        """
        matrix = geometry.affine[:3, :3]
        if np.abs(matrix - np.diag(np.diag(matrix))).max() > 1e-6:
            raise GeometryError(
                what="The synthetic world draws on axis-aligned grids only",
                given=geometry.describe(),
                remedy="Draw on an aligned grid and resample",
            )
        k, j, i = geometry.shape
        origin = geometry.affine[:3, 3]
        return cls(
            (origin[2] + matrix[2, 2] * np.arange(k)).astype(np.float32),
            (origin[1] + matrix[1, 1] * np.arange(j)).astype(np.float32),
            (origin[0] + matrix[0, 0] * np.arange(i)).astype(np.float32),
        )

    @property
    def grids(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """z, y, x shaped to broadcast to (K, J, I)."""
        return self.z[:, None, None], self.y[None, :, None], self.x[None, None, :]

    def shifted(self, centre: tuple[float, float, float], scale: float = 1.0) -> Axes:
        """Coordinates relative to `centre` (z, y, x) and divided by `scale`."""
        z, y, x = centre
        return Axes((self.z - z) / scale, (self.y - y) / scale, (self.x - x) / scale)


def spline_weights(t: NDArray[np.floating], knots: NDArray[np.int64], count: int) -> FloatArray:
    """Weights (n, count) of a uniform cubic B-spline at `t` (n,), 0 to 1 behind the second of four knots (4, n)."""
    values = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6.0
    weights = np.zeros((len(t), count), np.float32)
    for knot, value in zip(knots, values, strict=True):
        np.add.at(weights, (np.arange(len(t)), knot), value)
    return weights


#: The four knots about a point, counted from the one before it.
FOUR = np.arange(-1, 3)[:, None]


def _periodic_weights(places: FloatArray, knots: int) -> FloatArray:
    base = np.floor(places)
    return spline_weights(places - base, (base.astype(np.int64) + FOUR) % knots, knots)


@dataclass(frozen=True, eq=False)
class SmoothField:
    """A random field of mean 0 and deviation 1, smooth over `scale_mm`; it repeats after `knots` scales."""

    seed: int
    scale_mm: float
    knots: int = 24

    def at(self, axes: Axes) -> FloatArray:
        """Values (K, J, I) at the points of `axes`."""
        lattice = np.random.default_rng(self.seed).standard_normal((self.knots,) * 3, dtype=np.float32)
        wz, wy, wx = (_periodic_weights(a / self.scale_mm, self.knots) for a in (axes.z, axes.y, axes.x))
        out = np.tensordot(wz, lattice, 1)  # (K, knots, knots)
        out = np.matmul(wy[None], out)  # (K, J, knots)
        out = out @ wx.T  # (K, J, I)
        # A cubic B-spline over white noise has the variance (sum of squared weights)^3; on average 0.4794 an axis.
        return np.asarray(out / np.float32(0.4794**1.5))


def derive_seed(*parts: int | str) -> int:
    """A seed that depends on every part, the same on every machine."""
    words = [int.from_bytes(str(p).encode(), "little") % (2**63) for p in parts]
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1)
