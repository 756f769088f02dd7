"""Coarse maps on the voxels of a scan, without blocks: a quadratic B-spline over the cubes.

It has no step and no kink, never leaves the range of the cubes, and a map that is even stays so. Grids that are turned
to one another are handled as well; where their axes run along one another it goes axis by axis, which is far quicker.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Geometry
from MeWMLib.rendering.grains import FloatArray

#: Axes run along one another if over the whole of the target they drift by less than this (cubes).
DRIFT = 0.01


def upsampled(values: FloatArray, cubes: Geometry, target: Geometry) -> FloatArray:
    """Values of cubes on the voxels of a grid, smoothly; beyond the outer cubes their values continue.

    Args:
        values: (k, j, i) on `cubes`.
        cubes, target: any grids, oblique and left-handed ones included.

    Returns:
        (K, J, I) on `target`.
    """
    matrix, offset = between(target, cubes)
    order = np.argmax(np.abs(matrix), axis=1)  # axis of `target` that runs along each of `cubes`
    rest = np.abs(matrix)
    rest[np.arange(3), order] = 0
    if sorted(order.tolist()) != [0, 1, 2] or (rest * np.array(target.shape)).sum(1).max() > DRIFT:
        out = ndimage.affine_transform(
            np.asarray(values, np.float32), matrix, offset, target.shape, order=2, mode="nearest", prefilter=False
        )
        return np.asarray(out, np.float32)
    # what is left of a turn is taken in the middle
    offset = offset + rest_shift(matrix, order, target)
    out = np.asarray(values, np.float32).transpose(np.argsort(order))
    places = {int(order[a]): offset[a] + matrix[a, order[a]] * np.arange(target.shape[order[a]]) for a in range(3)}
    # what grows an axis least goes first
    for axis in sorted(range(3), key=lambda n: target.shape[n] / out.shape[n]):
        out = spline_along(out, places[axis], axis)
    return np.ascontiguousarray(out)


def rest_shift(matrix: NDArray[np.float64], order: NDArray[np.intp], target: Geometry) -> NDArray[np.float64]:
    """Where the middle of the target lies by the small parts of a matrix (cubes, along each axis of them)."""
    small = matrix.copy()
    small[np.arange(3), order] = 0
    return np.asarray(small @ ((np.array(target.shape) - 1) / 2))


def between(source: Geometry, target: Geometry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Matrix (3, 3) and offset (3,) that bring voxels (k, j, i) of one grid to those of another."""
    offset = target.to_kji(source.to_ras(np.zeros(3)))
    return np.asarray((target.to_kji(source.to_ras(np.eye(3))) - offset).T), np.asarray(offset)


def spline_along(values: FloatArray, at: NDArray[np.float64], axis: int) -> FloatArray:
    """Values along one axis at fractional places `at` (N,) by a quadratic B-spline over them."""
    nearest = np.rint(at)
    part = at - nearest
    last, shape = values.shape[axis] - 1, [-1 if n == axis else 1 for n in range(values.ndim)]
    weights = (0.5 * (0.5 - part) ** 2, 0.75 - part**2, 0.5 * (0.5 + part) ** 2)
    out: FloatArray | None = None
    for step, weight in zip((-1, 0, 1), weights, strict=True):
        term = np.take(values, np.clip(nearest + step, 0, last).astype(np.intp), axis)
        term *= weight.astype(values.dtype).reshape(shape)
        if out is None:
            out = term
        else:
            out += term
    assert out is not None
    return out
