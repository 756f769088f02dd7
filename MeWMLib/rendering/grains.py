"""Lipiodol as a scanner sees it: hundreds of grains in small vessels, drawn from a map of the expected iodine.

A clustered point process (Neyman-Scott): pieces of vessels lie where iodine is expected, grains lie along each piece.
Masses and radii are log-normal. The iodine of the map is kept exactly: the masses are scaled to its sum, and every
grain is spread over voxels with weights that add up to 1 (integrals of a Gaussian over each voxel).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from MeWMLib.core.errors import InputError

FloatArray = NDArray[np.float32]
#: z, y and x (mm) of the voxels of an axis-aligned grid, each evenly spaced.
Places = tuple[NDArray[np.floating], NDArray[np.floating], NDArray[np.floating]]

#: How many deviations of a grain are drawn; 0.3 % of a Gaussian lies beyond and goes to the voxels within.
REACH = 3.0


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

    piece_mm: float = 2.5
    across_mm: float = 0.7
    grains_a_piece: float = 5.0
    piece_mg: float = 0.12
    piece_spread: float = 1.2
    grain_spread: float = 0.8
    radius_mm: float = 0.6
    radius_spread: float = 0.2
    haze: float = 0.25
    haze_mm: float = 1.7


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
    along += 0.5 * rng.standard_normal(along.shape) * (np.linalg.norm(along, axis=1, keepdims=True) + 1e-3)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)

    count = 1 + rng.poisson(max(0.0, constants.grains_a_piece - 1), pieces)
    parent = np.repeat(np.arange(pieces), count)
    of_piece = np.exp(constants.piece_spread * rng.standard_normal(pieces))
    share = np.exp(constants.grain_spread * rng.standard_normal(len(parent)))
    share *= (1 - constants.haze) / np.bincount(parent, share)[parent]
    place = start[parent] + along[parent] * (constants.piece_mm * rng.standard_normal(len(parent)))[:, None]
    place += constants.across_mm * rng.standard_normal(place.shape)
    radius = np.full(len(parent), constants.radius_mm)
    mass = of_piece[parent] * share
    if constants.haze > 0:
        place, mass = np.concatenate([place, start]), np.concatenate([mass, constants.haze * of_piece])
        radius = np.concatenate([radius, np.full(pieces, constants.haze_mm)])
    radius = radius * np.exp(constants.radius_spread * rng.standard_normal(len(radius)))
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

    Each grain is a Gaussian of its radius combined with the scanner's point spread, integrated over every voxel that it
    reaches. A grain whose reach lies within the grid keeps its iodine to float32; of one at the border the part inside.

    Args:
        grains: what to draw.
        places: of the voxels.
        blur_mm: deviation of the point spread along z, y and x.
    """
    shape = tuple(len(p) for p in places)
    out = np.zeros(int(np.prod(shape)), np.float32)
    steps = [float(p[1] - p[0]) if len(p) > 1 else 1.0 for p in places]
    voxel_ml = abs(float(np.prod(steps))) / 1000.0
    # of large and small grains alike a box of one size is drawn, so they are taken in a few groups by size
    order = np.argsort(grains.radius_mm)
    for group in np.array_split(order, max(1, min(6, len(order) // 200))):
        if len(group):
            _add(out, shape, grains, group, places, steps, blur_mm, voxel_ml)
    return out.reshape(shape)


def _add(
    out: FloatArray,
    shape: tuple[int, ...],
    grains: Grains,
    group: NDArray[np.intp],
    places: Places,
    steps: list[float],
    blur_mm: tuple[float, float, float],
    voxel_ml: float,
) -> None:
    """Add the grains of a group to the flat array."""
    index, weight = [], []
    for axis in range(3):
        step, deviation = abs(steps[axis]), np.sqrt(grains.radius_mm[group] ** 2 + blur_mm[axis] ** 2)
        at = (grains.place[group, axis] - float(places[axis][0])) / steps[axis]
        reach = int(np.ceil(REACH * float(deviation.max()) / step))
        voxel = np.rint(at).astype(np.int64)[:, None] + np.arange(-reach, reach + 1)
        edge = (np.concatenate([voxel - 0.5, voxel[:, -1:] + 0.5], 1) - at[:, None]) * step / deviation[:, None]
        share = np.diff(ndtr(edge), axis=1)
        share /= share.sum(1, keepdims=True)
        inside = (voxel >= 0) & (voxel < shape[axis])
        index.append(np.where(inside, voxel, 0))
        weight.append(np.where(inside, share, 0.0).astype(np.float32))
    mass = (grains.mg[group] / voxel_ml).astype(np.float32)
    flat = (index[0][:, :, None] * shape[1] + index[1][:, None, :])[..., None] * shape[2] + index[2][:, None, None, :]
    value = (mass[:, None, None] * weight[0][:, :, None] * weight[1][:, None, :])[..., None] * weight[2][:, None, None]
    out += np.bincount(flat.ravel(), value.ravel(), len(out)).astype(np.float32)
