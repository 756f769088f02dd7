"""The region that a session treats, in cubes of 4 mm (`core.coarse_maps`): where it lies, and means of its cubes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.coarse_maps import MAP_MM, SIDE_MM, FloatArray
from MeWMLib.core.errors import GeometryMismatchError, NoTumourError
from MeWMLib.core.volume import Geometry, centred_grid
from MeWMLib.perception.preprocess import resample

#: Kept around what is treated at least (mm).
MARGIN_MM = 14.0
#: Points of a cube, along each axis, whose mean is its value.
POINTS = 3
#: Sides of the smallest region.
LEAST_MM = 96.0
#: Axes that drift apart by less than this (cubes) over a grid are parallel.
_PARALLEL = 1e-3

Box = tuple[slice, slice, slice]


def region_of(treated: NDArray[np.bool_], geometry: Geometry) -> Geometry:
    """The cubes around all treated tumour: sides are multiples of `SIDE_MM`.

    Args:
        treated: (K, J, I) the tumour that is treated.
        geometry: its grid.

    Raises:
        NoTumourError: nothing is treated.
    """
    voxels = np.argwhere(treated)
    if not len(voxels):
        raise NoTumourError(
            what="No tumour is treated", given=geometry.describe(), remedy="Give a target that holds tumour"
        )
    ends = np.stack([voxels.min(0), voxels.max(0)])
    corners = geometry.to_ras(np.array([[ends[a, 0], ends[b, 1], ends[c, 2]] for a, b, c in np.ndindex(2, 2, 2)]))
    half = np.abs(geometry.affine[:3, :3]).sum(1) / 2
    low, high = corners.min(0) - half, corners.max(0) + half
    sides = np.maximum(LEAST_MM, SIDE_MM * np.ceil((high - low + 2 * MARGIN_MM) / SIDE_MM - 1e-6))
    x, y, z = (int(n) for n in np.rint(sides / MAP_MM))
    return centred_grid((low + high) / 2, (z, y, x), MAP_MM)


def cube_means(
    values: NDArray[np.generic],
    source: Geometry,
    cubes: Geometry,
    fill: float = 0.0,
    through: sitk.Transform | None = None,
) -> FloatArray:
    """Means (k, j, i) of an image or of a mask in each cube.

    Voxels that are smaller than the distance of the points at which a cube is read are averaged over it first.

    Args:
        values: (K, J, I) on `source`.
        source: any grid.
        cubes: of the maps.
        fill: what counts outside of `source`.
        through: a point of the cubes to the same one of `source` (LPS mm), where they lie in two frames.
    """
    step = MAP_MM / POINTS
    sigma = [0.4 * step / s if s < step else 0.0 for s in source.spacing]
    image = np.asarray(values, np.float32)
    if any(sigma):
        image = np.asarray(ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=2.5), np.float32)
    shape = (cubes.shape[0] * POINTS, cubes.shape[1] * POINTS, cubes.shape[2] * POINTS)
    middle = cubes.to_ras((np.array(cubes.shape) - 1)[None] / 2)[0]
    fine = resample(image, source, centred_grid(middle, shape, step), "linear", fill, through)
    d, h, w = cubes.shape
    return np.asarray(fine.reshape(d, POINTS, h, POINTS, w, POINTS).mean((1, 3, 5)), np.float32)


@dataclass(frozen=True, eq=False)
class Refined:
    """The way from cubes to the voxels of a grid along the same axes, linearly; made once for many maps.

    It is what `resample` does, axis by axis: the values of border cubes continue to their faces, beyond them is 0.

    Attributes:
        ways: (voxels, cubes) for each of k, j, i.
    """

    ways: tuple[FloatArray, FloatArray, FloatArray]

    @classmethod
    def of(cls, cubes: Geometry, grid: Geometry, box: Box | None = None) -> Refined:
        """Make it for a grid, or for a box of its voxels.

        Raises:
            GeometryMismatchError: the axes of cubes and grid are not parallel.
        """
        ends = cubes.to_kji(grid.to_ras(np.array([(0, 0, 0), np.array(grid.shape) - 1])))
        corners = cubes.to_kji(grid.to_ras(grid.corners))
        straight = np.where(grid.corners > 0, ends[1], ends[0])
        if np.abs(corners - straight).max() > _PARALLEL:
            raise GeometryMismatchError(
                what="Cubes and voxels do not lie along the same axes",
                given=f"{grid.describe()}; {cubes.describe()}",
                remedy="Use a grid along left, posterior and superior, or `resample`",
            )
        k, j, i = (
            _line(np.linspace(first, last, voxels), count)[slice(None) if box is None else box[axis]]
            for axis, (first, last, voxels, count) in enumerate(
                zip(ends[0], ends[1], grid.shape, cubes.shape, strict=True)
            )
        )
        return cls((k, j, i))

    def __call__(self, maps: FloatArray) -> FloatArray:
        """Maps (..., k, j, i) on the voxels (..., K, J, I)."""
        k, j, i = self.ways
        wide = j @ (maps @ i.T)
        return np.asarray((k @ wide.reshape(*wide.shape[:-2], -1)).reshape(*maps.shape[:-3], len(k), len(j), len(i)))


def _line(at: NDArray[np.float64], count: int) -> FloatArray:
    """Weights (voxels, cubes) of the two cubes nearest to each place along an axis."""
    inside = np.clip(at, 0, count - 1)
    weights = np.maximum(1 - np.abs(inside[:, None] - np.arange(count)), 0)
    weights[(at < -0.5) | (at > count - 0.5)] = 0
    return np.asarray(weights, np.float32)
