"""Where the iodine of a coarse map is expected: in what is treated, and as much as the map holds.

A cube at the border of a tumour holds the mean over treated and other tissue. Its iodine is given to the part that has
weight, so that none is lost to what cannot change; a quadratic B-spline takes the blocks away.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.volume import Geometry
from MeWMLib.rendering.grains import FloatArray, GrainConstants, Grains, draw_grains
from MeWMLib.rendering.upsampling import between, spline_along, upsampled

#: Points of a cube along each of its axes, on which grains are drawn.
POINTS = 2
#: Cubes of which less than this has weight give only part of their iodine: so much of it as they have of this share.
LEAST = 0.25
#: Grains may lie where the weight is this or more; below it they become fewer.
ALLOWED = 0.3
#: Vessels: how wide they bend (cubes), and how strongly they run inwards at the surface.
BEND, INWARDS = 1.3, 0.8


@dataclass(frozen=True, eq=False)
class IodineField:
    """Expected iodine of a region.

    Attributes:
        treated: (k, j, i) mg/ml of what has weight, on the cubes.
        weight: on the lattice, `POINTS` in a cube along each axis.
        density: mg/ml on the lattice, weight included.
        cubes: grid of the cubes.
    """

    treated: NDArray[np.float64]
    weight: FloatArray
    density: NDArray[np.float64]
    cubes: Geometry

    @classmethod
    def of(cls, maps: OutcomeMaps, weight: FloatArray, target: Geometry) -> IodineField:
        """Bring the iodine of maps to what has weight.

        Args:
            maps: of the region.
            weight: (K, J, I) on `target`.
            target: part of a scan.
        """
        cubes = maps.geometry
        lattice = _lattice(cubes)
        matrix, offset = between(lattice, target)
        fine = ndimage.affine_transform(weight, matrix, offset, lattice.shape, order=1, mode="constant", cval=0.0)
        fine = np.asarray(fine, np.float32)
        ways = [_splines(n) for n in cubes.shape]
        # what of each cube's spline has weight: its iodine goes there
        share = _along(fine.astype(np.float64), [w.T for w in ways]) / POINTS**3
        iodine = np.maximum(maps.iodine, 0).astype(np.float64)
        treated = np.where(share > 1e-6, iodine / np.maximum(share, LEAST), 0)
        # rounded, so that the last bits of another machine's sums move no grain
        density = np.round(_along(treated, ways), 9) * fine
        return cls(treated, fine, density, cubes)

    @property
    def total_mg(self) -> float:
        """Iodine (mg) in the region."""
        return float(self.density.sum()) * self.cubes.voxel_ml / POINTS**3

    def on(self, target: Geometry) -> FloatArray:
        """Iodine (K, J, I), mg/ml, of tissue of weight 1."""
        return upsampled(self.treated.astype(np.float32), self.cubes, target)

    def grains(self, constants: GrainConstants, rng: np.random.Generator) -> Grains:
        """Grains of all the iodine; places in mm along the axes of the cubes, from the middle of the first one."""
        if self.total_mg <= 0:
            return Grains.none()
        k, j, i = (
            ((np.arange(n * POINTS) + 0.5) / POINTS - 0.5) * s
            for n, s in zip(self.cubes.shape, self.cubes.spacing, strict=True)
        )
        allowed = np.minimum(self.weight / np.float32(ALLOWED), np.float32(1))
        return draw_grains(self.density.astype(np.float32), (k, j, i), self._vessels(rng), constants, rng, allowed)

    def _vessels(self, rng: np.random.Generator) -> FloatArray:
        """Directions (k, j, i, 3) of vessels on the lattice: from the surface inwards, bent at random."""
        d, h, w = self.cubes.shape
        share = self.weight.reshape(d, POINTS, h, POINTS, w, POINTS).mean((1, 3, 5))
        depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(share > 0.5), 1.0)
        inwards = np.stack(np.gradient(depth), -1) * (INWARDS * (1 - depth / (depth.max() + 1e-6)))[..., None]
        bent = rng.standard_normal((d, h, w, 3), dtype=np.float32)
        bent = ndimage.gaussian_filter(bent, (BEND, BEND, BEND, 0))
        ways = bent / max(float(bent.std()), 1e-6) + inwards
        for axis in range(3):
            ways = np.repeat(ways, POINTS, axis)
        return np.asarray(ways, np.float32)


def _lattice(cubes: Geometry) -> Geometry:
    """The grid of `POINTS` in each cube along each axis."""
    affine = np.array(cubes.affine)
    affine[:3, :3] /= POINTS
    affine[:3, 3] = cubes.to_ras(np.full(3, 0.5 / POINTS - 0.5))
    return Geometry((cubes.shape[0] * POINTS, cubes.shape[1] * POINTS, cubes.shape[2] * POINTS), affine)


def _splines(count: int) -> NDArray[np.float64]:
    """Values (points, cubes) of every cube's spline at the points of the lattice along one axis."""
    return spline_along(np.eye(count), (np.arange(count * POINTS) + 0.5) / POINTS - 0.5, 0)  # type: ignore[arg-type,return-value]


def _along(values: NDArray[np.float64], matrices: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Values with one matrix (new, old) applied along each axis."""
    out = values
    for axis, matrix in enumerate(matrices):
        out = np.moveaxis(np.tensordot(matrix, out, (1, axis)), 0, axis)
    return np.asarray(out)
