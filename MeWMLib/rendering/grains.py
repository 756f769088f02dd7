"""Lipiodol as a scanner sees it: hundreds of grains in small vessels, drawn from a map of the expected iodine.

A clustered point process (Neyman-Scott): pieces of vessels lie where iodine is expected, grains lie along each piece.
Masses and radii are log-normal. The iodine of the map is kept exactly: the masses are scaled to its sum, and every
grain is spread over voxels with weights that add up to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import InputError

FloatArray = NDArray[np.float32]
#: z, y and x (mm) of the voxels of an axis-aligned grid, each evenly spaced.
Places = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]

#: Grains are drawn in classes of about one radius; the next class has twice the radius.
RADIUS_STEP = float(np.log(2.0))


@dataclass(frozen=True)
class GrainConstants:
    """How deposits are grained.

    Attributes:
        piece_mm: deviation of grains along the piece of a vessel.
        across_mm: deviation across it.
        grains_a_piece: mean number.
        piece_mg: mean iodine of a piece; how many pieces there are follows from it.
        piece_spread: deviation of the logarithm of a piece's iodine.
        grain_spread: the same of a grain's within its piece.
        radius_mm, radius_spread: median of a grain's deviation in space, and deviation of its logarithm.
        haze, haze_mm: share of a piece's iodine in vessels too fine to be told apart, and how wide it lies around.
    """

    piece_mm: float = 3.5
    across_mm: float = 0.25
    grains_a_piece: float = 12.0
    piece_mg: float = 0.13
    piece_spread: float = 1.2
    grain_spread: float = 0.39
    radius_mm: float = 0.55
    radius_spread: float = 0.2
    haze: float = 0.18
    haze_mm: float = 2.4


@dataclass(frozen=True, eq=False)
class Grains:
    """Grains of iodine.

    Attributes:
        place: (N, 3) z, y, x in mm.
        mg: (N,) iodine.
        radius_mm: (N,) deviation of the Gaussian by which a grain is drawn.
    """

    place: NDArray[np.float64]
    mg: NDArray[np.float64]
    radius_mm: NDArray[np.float64]

    @classmethod
    def none(cls) -> Grains:
        """No grain at all."""
        return cls(np.zeros((0, 3)), np.zeros(0), np.zeros(0))


def draw_grains(
    density: FloatArray,
    places: Places,
    direction: FloatArray,
    constants: GrainConstants,
    rng: np.random.Generator,
    allowed: FloatArray | None = None,
) -> Grains:
    """Draw the grains of a map of expected iodine; their masses add up to its sum.

    Args:
        density: (K, J, I) expected iodine, mg/ml, not negative; a coarse grid (some mm) will do.
        places: of its voxels.
        direction: (K, J, I, 3) along the vessels (z, y, x), of any length; 0 where none is known.
        constants: of the process.
        rng: chance.
        allowed: (K, J, I) weight from 0 to 1 with which a grain may lie in a voxel, so that pieces do not leave a
            territory; where left out, wherever `density` is positive.

    Raises:
        InputError: the map is negative or not finite, or its shape is not that of `places`.
    """
    shape = tuple(len(p) for p in places)
    if density.shape != shape or direction.shape != (*shape, 3):
        raise InputError(
            what="The map of iodine, its places and its directions do not belong together",
            given=f"{density.shape}, {shape} and {direction.shape}",
            remedy="Give them on one grid",
        )
    if not np.isfinite(density).all() or density.min(initial=0.0) < 0:
        raise InputError(
            what="The map of iodine holds values below 0 or none at all",
            given=f"from {density.min():g} mg/ml on" if np.isfinite(density).all() else "values that are no number",
            remedy="Give mg/ml from 0 on",
        )
    step = np.array([abs(float(p[1] - p[0])) if len(p) > 1 else 1.0 for p in places])
    flat = density.ravel().astype(np.float64)
    total = float(flat.sum()) * float(step.prod()) / 1000.0
    if total <= 0:
        return Grains.none()
    pieces = max(1, int(rng.poisson(total / constants.piece_mg)))
    cells = np.searchsorted(np.cumsum(flat) / flat.sum(), rng.random(pieces), side="right").clip(max=flat.size - 1)
    index = np.stack(np.unravel_index(cells, shape), -1)
    start = np.stack([p[index[:, n]] for n, p in enumerate(places)], -1) + (rng.random((pieces, 3)) - 0.5) * step
    along = direction.reshape(-1, 3)[cells].astype(np.float64)
    along += 0.3 * rng.standard_normal(along.shape) * (np.linalg.norm(along, axis=1, keepdims=True) + 1e-3)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)

    count = 1 + rng.poisson(max(0.0, constants.grains_a_piece - 1), pieces)
    parent = np.repeat(np.arange(pieces), count)
    of_piece = np.exp(constants.piece_spread * rng.standard_normal(pieces))
    share = np.exp(constants.grain_spread * rng.standard_normal(len(parent)))
    share *= (1 - constants.haze) / np.bincount(parent, share)[parent]
    place = start[parent] + along[parent] * (constants.piece_mm * rng.standard_normal(len(parent)))[:, None]
    place += constants.across_mm * rng.standard_normal(place.shape)
    radius = constants.radius_mm * np.exp(constants.radius_spread * rng.standard_normal(len(parent)))
    mass = of_piece[parent] * share
    if constants.haze > 0:
        place, mass = np.concatenate([place, start]), np.concatenate([mass, constants.haze * of_piece])
        radius = np.concatenate([radius, np.full(pieces, constants.haze_mm)])
    weight = (density > 0).astype(np.float32) if allowed is None else allowed
    kept = rng.random(len(place)) < _nearest(weight, places, place)
    if not kept.any():
        # every piece left the territory by chance: the iodine stays where the pieces began
        place, mass, radius = start, of_piece, np.full(pieces, constants.radius_mm)
        kept = np.ones(pieces, bool)
    place, mass, radius = place[kept], mass[kept], radius[kept]
    return Grains(place, mass * (total / mass.sum()), radius)


def _nearest(values: FloatArray, places: Places, at: NDArray[np.float64]) -> FloatArray:
    """Values (N,) of the voxels in which points lie; 0 outside of the grid."""
    index, inside = [], np.ones(len(at), bool)
    for n, p in enumerate(places):
        step = float(p[1] - p[0]) if len(p) > 1 else 1.0
        nearest = np.rint((at[:, n] - float(p[0])) / step).astype(np.int64)
        inside &= (nearest >= 0) & (nearest < len(p))
        index.append(np.clip(nearest, 0, len(p) - 1))
    return np.asarray(values[index[0], index[1], index[2]] * inside, np.float32)


def spread_grains(grains: Grains, places: Places, blur_mm: tuple[float, float, float]) -> FloatArray:
    """Iodine (K, J, I) in mg/ml of grains on a scanner's grid.

    Each grain is a Gaussian of its radius combined with the scanner's point spread. It is shared linearly between the
    eight voxels around it, and these are blurred by what is then still missing of its variance, in the box that the
    grains reach. Every step keeps the sum: the iodine of grains whose reach lies within the grid is kept to float32.

    Args:
        grains: what to draw.
        places: of the voxels.
        blur_mm: deviation of the point spread along z, y and x.
    """
    out = np.zeros(tuple(len(p) for p in places), np.float32)
    step = np.array([float(p[1] - p[0]) if len(p) > 1 else 1.0 for p in places])
    at = (grains.place - [float(p[0]) for p in places]) / step
    size = np.round(np.log(np.maximum(grains.radius_mm, 1e-3)) / RADIUS_STEP)
    for one in np.unique(size):
        group = size == one
        square = float((grains.radius_mm[group] ** 2).mean())
        deviation = np.sqrt(square + np.square(blur_mm)) / np.abs(step)
        # sharing linearly spreads a point by a sixth of a voxel squared, on average over its places
        missing = np.sqrt(np.maximum(deviation**2 - 1 / 6, 0))
        _add(out, at[group], grains.mg[group] / abs(float(step.prod())) * 1000.0, missing)
    return out


def _add(out: FloatArray, at: NDArray[np.float64], amount: NDArray[np.float64], deviation: NDArray[np.float64]) -> None:
    """Add amounts (N,) at fractional voxels (N, 3), blurred by a deviation (3,) in voxels."""
    reach = np.ceil(4 * deviation).astype(np.int64) + 1
    near = ((at > -reach) & (at < np.array(out.shape) - 1 + reach)).all(1)
    at, amount = at[near], amount[near]
    if not len(at):
        return
    base = np.floor(at).astype(np.int64)
    part = at - base
    first = base.min(0) - reach
    shape = base.max(0) + reach + 2 - first
    flat = np.ravel_multi_index(tuple((base - first).T), tuple(shape))
    box = np.zeros(int(shape.prod()))
    for corner in np.ndindex(2, 2, 2):
        weight = np.where(corner, part, 1 - part).prod(1)
        np.add.at(box, flat + np.ravel_multi_index(corner, tuple(shape)), amount * weight)
    rough = box.reshape(shape).astype(np.float32)
    del box  # of whole regions it is large
    image = ndimage.gaussian_filter(rough, deviation, mode="constant")
    low, high = np.maximum(first, 0), np.minimum(first + shape, out.shape)
    inner = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    out[inner] += image[tuple(slice(a - f, b - f) for a, b, f in zip(low, high, first, strict=True))]


def iodine_in_voxels(grains: Grains, places: Places) -> FloatArray:
    """Iodine (K, J, I) in mg/ml of the grains whose middle lies in each voxel; nothing is blurred."""
    shape = tuple(len(p) for p in places)
    step = np.array([float(p[1] - p[0]) if len(p) > 1 else 1.0 for p in places])
    at = np.rint((grains.place - [float(p[0]) for p in places]) / step).astype(np.int64)
    inside = ((at >= 0) & (at < shape)).all(1)
    flat = np.ravel_multi_index(tuple(at[inside].T), shape)
    mg = np.bincount(flat, grains.mg[inside], int(np.prod(shape))).reshape(shape)
    return np.asarray(mg / abs(float(step.prod())) * 1000.0, np.float32)
