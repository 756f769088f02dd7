"""Where the iodine of a coarse map is expected: in what is treated, and as much as the map holds.

A cube at the border of a tumour holds the mean over treated and other tissue. Its iodine is given to the part that has
weight, so that none is lost to what cannot change. The mean is a quadratic B-spline over the cubes. Grains are drawn
within each cube: the pieces of vessels on which they lie reach over its faces, and blur its edges as the spline does.
"""

from __future__ import annotations

from collections.abc import Sequence
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
class TreatedLattice:
    """What is treated on a lattice of `POINTS` in each cube along each axis: the same for all outcomes of a session.

    Attributes:
        weight: on the lattice.
        share: (k, j, i) of each cube that has weight.
        of_spline: (k, j, i) the same of each cube's spline.
        inwards: (k, j, i, 3) from the surface of what is treated into it.
        splines: values (points, cubes) of every cube's spline along each axis.
        cubes: grid of the cubes.
    """

    weight: FloatArray
    share: FloatArray
    of_spline: NDArray[np.floating]
    inwards: NDArray[np.floating]
    splines: tuple[FloatArray, FloatArray, FloatArray]
    cubes: Geometry

    @classmethod
    def of(cls, weight: FloatArray, target: Geometry, cubes: Geometry) -> TreatedLattice:
        """Bring a weight (K, J, I) on part of a scan to the lattice in cubes."""
        lattice = _lattice(cubes)
        matrix, offset = between(lattice, target)
        fine = ndimage.affine_transform(weight, matrix, offset, lattice.shape, order=1, mode="constant", cval=0.0)
        fine = np.asarray(fine, np.float32)
        share = _cube_means(fine)
        k, j, i = (_splines(n) for n in cubes.shape)
        of_spline = _along(fine, [k.T, j.T, i.T]) / POINTS**3
        depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(share > 0.5), 1.0)
        inwards = np.stack(np.gradient(depth), -1) * (INWARDS * (1 - depth / (depth.max() + 1e-6)))[..., None]
        return cls(fine, share, of_spline, inwards, (k, j, i), cubes)


@dataclass(frozen=True, eq=False)
class IodineField:
    """Expected iodine of a region.

    Attributes:
        treated: (k, j, i) mg/ml of what has weight, on the cubes.
        density: mg/ml on the lattice, weight included; that of grains.
        lattice: what is treated.
    """

    treated: FloatArray
    density: FloatArray
    lattice: TreatedLattice

    @classmethod
    def of(cls, maps: OutcomeMaps, lattice: TreatedLattice) -> IodineField:
        """Bring the iodine of maps of a region to what has weight in it."""
        iodine = np.maximum(maps.iodine, 0)
        # what of each cube has weight: its iodine goes there
        kept = np.where(lattice.share > 0, iodine / np.maximum(lattice.share, LEAST), 0)
        density = np.asarray(lattice.weight * np.kron(kept, np.ones((POINTS,) * 3, np.float32)), np.float32)
        # and what of each cube's spline
        treated = np.where(lattice.of_spline > 1e-6, iodine / np.maximum(lattice.of_spline, LEAST), 0)
        spread = float((_along(treated, lattice.splines) * lattice.weight).sum(dtype=np.float64))
        if spread > 0:
            treated *= float(density.sum(dtype=np.float64)) / spread
        return cls(np.asarray(treated, np.float32), density, lattice)

    @property
    def cubes(self) -> Geometry:
        """Grid of the cubes."""
        return self.lattice.cubes

    @property
    def total_mg(self) -> float:
        """Iodine (mg) in the region."""
        return float(self.density.sum(dtype=np.float64)) * self.cubes.voxel_ml / POINTS**3

    def on(self, target: Geometry) -> FloatArray:
        """Iodine (K, J, I), mg/ml, of tissue of weight 1."""
        return upsampled(self.treated, self.cubes, target)

    def grains(self, constants: GrainConstants, rng: np.random.Generator) -> Grains:
        """Grains of all the iodine; places in mm along the axes of the cubes, from the middle of the first one."""
        if self.total_mg <= 0:
            return Grains.none()
        k, j, i = (
            ((np.arange(n * POINTS) + 0.5) / POINTS - 0.5) * s
            for n, s in zip(self.cubes.shape, self.cubes.spacing, strict=True)
        )
        allowed = np.minimum(self.lattice.weight / np.float32(ALLOWED), np.float32(1))
        return draw_grains(self.density, (k, j, i), self._vessels(rng), constants, rng, allowed)

    def _vessels(self, rng: np.random.Generator) -> FloatArray:
        """Directions (k, j, i, 3) of vessels on the lattice: from the surface inwards, bent at random."""
        bent = rng.standard_normal((*self.cubes.shape, 3), dtype=np.float32)
        bent = ndimage.gaussian_filter(bent, (BEND, BEND, BEND, 0))
        ways = bent / max(float(bent.std()), 1e-6) + self.lattice.inwards
        for axis in range(3):
            ways = np.repeat(ways, POINTS, axis)
        return np.asarray(ways, np.float32)


def _lattice(cubes: Geometry) -> Geometry:
    """The grid of `POINTS` in each cube along each axis."""
    affine = np.array(cubes.affine)
    affine[:3, :3] /= POINTS
    affine[:3, 3] = cubes.to_ras(np.full(3, 0.5 / POINTS - 0.5))
    return Geometry((cubes.shape[0] * POINTS, cubes.shape[1] * POINTS, cubes.shape[2] * POINTS), affine)


def _cube_means(values: FloatArray) -> FloatArray:
    """Means (k, j, i) of the cubes over the lattice."""
    d, h, w = (n // POINTS for n in values.shape)
    return np.asarray(values.reshape(d, POINTS, h, POINTS, w, POINTS).mean((1, 3, 5)))


def _splines(count: int) -> FloatArray:
    """Values (points, cubes) of every cube's spline at the points of the lattice along one axis."""
    return spline_along(np.eye(count, dtype=np.float32), (np.arange(count * POINTS) + 0.5) / POINTS - 0.5, 0)


def _along(values: NDArray[np.floating], matrices: Sequence[FloatArray]) -> NDArray[np.floating]:
    """Values with one matrix (new, old) applied along each axis."""
    out = values
    for axis, matrix in enumerate(matrices):
        out = np.moveaxis(np.tensordot(matrix, out, (1, axis)), 0, axis)
    return out
