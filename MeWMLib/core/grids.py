"""Voxels of one grid on another without interpolation: axes turned, and a part put into its place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.volume import SAME_GRID_VOXELS, Geometry


def turned_like(array: NDArray[Any], geometry: Geometry, reference: Geometry) -> tuple[NDArray[Any], Geometry]:
    """Store voxels in the order and direction of another grid's axes; every voxel stays where it is in the patient.

    Args:
        array: (K, J, I, ...).
        geometry: its grid.
        reference: a grid whose axes run along those of `geometry`.

    Returns:
        The voxels and their grid; as they were if the axes of the two grids do not run along one another.
    """
    between = np.linalg.inv(reference.affine[:3, :3]) @ geometry.affine[:3, :3]
    order = np.argmax(np.abs(between), axis=1)  # axis of `geometry` along each of `reference`, both (i, j, k)
    if sorted(order.tolist()) != [0, 1, 2]:
        return array, geometry
    flipped = [bool(between[axis, order[axis]] < 0) for axis in range(3)]
    affine, sizes = np.array(geometry.affine), geometry.shape[::-1]
    for axis in (int(order[n]) for n in range(3) if flipped[n]):
        affine[:3, 3] += affine[:3, axis] * (sizes[axis] - 1)
        affine[:3, axis] *= -1
    affine[:3, :3] = affine[:3, order]
    moved = np.transpose(array, (*(2 - int(order[n]) for n in (2, 1, 0)), *range(3, array.ndim)))
    backwards = tuple(axis for axis in range(3) if flipped[2 - axis])
    shape = tuple(sizes[int(order[n])] for n in (2, 1, 0))
    return np.flip(moved, backwards), Geometry((shape[0], shape[1], shape[2]), affine)


def placed_on(array: NDArray[Any], geometry: Geometry, reference: Geometry) -> NDArray[Any] | None:
    """Put voxels that are a part of a grid into their place on it, the rest is 0; or take it out of a larger one.

    A grid that is neither a part nor larger on all sides, such as one that is a slice off, was not made for this one.

    Args:
        array: (K, J, I).
        geometry: `reference` or a part of it, maybe with axes in another order or direction.
        reference: the whole grid.

    Returns:
        Voxels on `reference`, none of them interpolated; None if the voxels of the two grids do not coincide, or some
        that are not 0 lie outside of it.
    """
    turned, part = turned_like(array, geometry, reference)
    places = reference.to_kji(part.to_ras(part.corners))
    start = np.round(places[0]).astype(int)
    if np.abs(places - part.corners - start).max() >= SAME_GRID_VOXELS:
        return None
    end = start + part.shape
    if part.shape == reference.shape and not start.any():
        return np.ascontiguousarray(turned)
    if (start <= 0).all() and (end >= reference.shape).all():
        inside = turned[tuple(slice(-a, n - a) for a, n in zip(start, reference.shape, strict=True))]
        return np.ascontiguousarray(inside) if np.count_nonzero(inside) == np.count_nonzero(turned) else None
    if start.min() < 0 or (end > reference.shape).any():
        return None
    whole = np.zeros(reference.shape, dtype=array.dtype)
    whole[tuple(slice(a, b) for a, b in zip(start, end, strict=True))] = turned
    return whole
