"""Preprocessing as a chain of steps, each of which can be taken back to the grid that it came from.

Two chains are in use: to the grid of cohorts (0.8 x 0.8 x 3.0 mm) and to that of networks (1 mm, window -175 to 600 HU
to [-1, 1]). Turning and cropping are exact both ways; resampling is exact where the grids agree and interpolates
elsewhere; the window is exact inside itself.
"""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryMismatchError, InputError
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.perception.preprocess import (
    AIR_HU,
    COHORT_SPACING_MM,
    NETWORK_SPACING_MM,
    box_geometry,
    normalise_hu,
    resample,
    to_hu,
)

Array = NDArray[Any]
#: What an array holds: HU are interpolated and windowed, labels are neither.
HU, LABELS = "hu", "labels"


class Step(typing.Protocol):
    """One step from a grid to another.

    Attributes:
        source, target: the grids.
    """

    @property
    def source(self) -> Geometry: ...  # noqa: D102

    @property
    def target(self) -> Geometry: ...  # noqa: D102

    def forward(self, array: Array, kind: str) -> Array:
        """Bring (K, J, I) on `source` to `target`."""

    def back(self, array: Array, kind: str) -> Array:
        """Bring (K, J, I) on `target` back to `source`."""


@dataclass(frozen=True, eq=False)
class Turn:
    """Turn and flip the axes so that i runs to the left, j to posterior and k to superior, as nearly as whole axes
    can."""

    source: Geometry
    target: Geometry
    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def to_lps(cls, source: Geometry) -> Turn:
        """The turn of a grid. No voxel is interpolated."""
        steps = source.affine[:3, 2::-1] / np.linalg.norm(source.affine[:3, 2::-1], axis=0)  # columns: k, j, i in RAS
        left: list[int] = [0, 1, 2]
        order: dict[int, int] = {}
        # k must follow RAS axis 2, j axis 1, i axis 0; the axis that fits best chooses first
        for array_axis, ras_axis in sorted(
            ((a, r) for a in range(3) for r in range(3)), key=lambda pair: -abs(steps[pair[1], pair[0]])
        ):
            if array_axis in left and (2 - ras_axis) not in order:
                order[2 - ras_axis] = array_axis
                left.remove(array_axis)
        axes = (order[0], order[1], order[2])
        wanted = (1.0, -1.0, -1.0)  # superior, posterior, left as signs along RAS
        flips = [bool(steps[2 - n, axis] * wanted[n] < 0) for n, axis in enumerate(axes)]
        corner = [source.shape[axis] - 1 if flip else 0 for axis, flip in zip(axes, flips, strict=True)]
        start = [0, 0, 0]
        for axis, place in zip(axes, corner, strict=True):
            start[axis] = place
        affine = np.eye(4)
        for n, (axis, flip) in enumerate(zip(axes, flips, strict=True)):
            affine[:3, 2 - n] = source.affine[:3, 2 - axis] * (-1 if flip else 1)
        affine[:3, 3] = source.to_ras(start)
        shape = (source.shape[axes[0]], source.shape[axes[1]], source.shape[axes[2]])
        return cls(source, Geometry(shape, affine), axes, (flips[0], flips[1], flips[2]))

    def forward(self, array: Array, kind: str) -> Array:
        """Turn."""
        turned = np.transpose(array, self.order)
        return np.ascontiguousarray(np.flip(turned, [n for n, flip in enumerate(self.flipped) if flip]))

    def back(self, array: Array, kind: str) -> Array:
        """Turn back, bit for bit."""
        flat = np.flip(array, [n for n, flip in enumerate(self.flipped) if flip])
        return np.ascontiguousarray(np.transpose(flat, np.argsort(self.order)))


@dataclass(frozen=True, eq=False)
class Crop:
    """Cut a box that begins at voxel `start` (k, j, i). What lies outside comes back as air, or as background."""

    source: Geometry
    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if any(
            s < 0 or n < 1 or s + n > whole
            for s, n, whole in zip(self.start, self.shape, self.source.shape, strict=True)
        ):
            raise InputError(
                what="The box lies outside of the image",
                given=f"start {self.start}, shape {self.shape} in {self.source.shape}",
                remedy="Give a box inside of it",
            )

    @classmethod
    def around(cls, mask: NDArray[np.bool_], geometry: Geometry, margin_mm: float) -> Crop:
        """The box around a mask with a margin; the whole image where the mask is empty."""
        if not mask.any():
            return cls(geometry, (0, 0, 0), geometry.shape)
        start, end = [], []
        for axis, (step, whole) in enumerate(zip(geometry.spacing, geometry.shape, strict=True)):
            places = np.flatnonzero(mask.any(axis=tuple(n for n in range(3) if n != axis)))
            extra = int(np.ceil(margin_mm / step))
            start.append(max(int(places[0]) - extra, 0))
            end.append(min(int(places[-1]) + extra + 1, whole))
        shape = tuple(e - s for s, e in zip(start, end, strict=True))
        return cls(geometry, (start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))

    @property
    def target(self) -> Geometry:
        """Grid of the box."""
        return self.source.crop(self.start, self.shape)

    @property
    def _box(self) -> tuple[slice, ...]:
        return tuple(slice(s, s + n) for s, n in zip(self.start, self.shape, strict=True))

    def forward(self, array: Array, kind: str) -> Array:
        """Cut."""
        return np.ascontiguousarray(array[self._box])

    def back(self, array: Array, kind: str) -> Array:
        """Put the box back into its place."""
        whole = np.full(self.source.shape, 0 if kind == LABELS else AIR_HU, dtype=array.dtype)
        whole[self._box] = array
        return whole


@dataclass(frozen=True, eq=False)
class Resample:
    """Resample between two grids: HU linearly, labels by nearest neighbour."""

    source: Geometry
    target: Geometry

    def forward(self, array: Array, kind: str) -> Array:
        """Resample to `target`."""
        return self._moved(array, self.source, self.target, kind)

    def back(self, array: Array, kind: str) -> Array:
        """Resample to `source`; what `target` did not cover is air or background."""
        return self._moved(array, self.target, self.source, kind)

    @staticmethod
    def _moved(array: Array, here: Geometry, there: Geometry, kind: str) -> Array:
        return resample(array, here, there, *(("nearest", 0) if kind == LABELS else ("linear", AIR_HU)))


@dataclass(frozen=True, eq=False)
class Window:
    """HU to [-1, 1] over the window of all networks; labels pass."""

    source: Geometry

    @property
    def target(self) -> Geometry:
        """The same grid."""
        return self.source

    def forward(self, array: Array, kind: str) -> Array:
        """Clip and scale."""
        return array if kind == LABELS else normalise_hu(array)

    def back(self, array: Array, kind: str) -> Array:
        """Scale back; what was clipped stays clipped."""
        return array if kind == LABELS else to_hu(array)


@dataclass(frozen=True, eq=False)
class Chain:
    """Steps one after another.

    Attributes:
        steps: at least one; each begins on the grid on which the one before ends.

    Raises:
        GeometryMismatchError: two steps do not fit.
    """

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        for one, after in zip(self.steps, self.steps[1:], strict=False):
            if not one.target.same_as(after.source):
                raise GeometryMismatchError(
                    what="A step does not begin where the one before it ends",
                    given=f"{one.target.describe()} and {after.source.describe()}",
                )

    @property
    def source(self) -> Geometry:
        """Grid of what goes in."""
        return self.steps[0].source

    @property
    def target(self) -> Geometry:
        """Grid of what comes out."""
        return self.steps[-1].target

    def forward(self, array: Array, kind: str = HU) -> Array:
        """All steps, first to last."""
        for step in self.steps:
            array = step.forward(array, kind)
        return array

    def back(self, array: Array, kind: str = HU) -> Array:
        """All steps, last to first."""
        for step in reversed(self.steps):
            array = step.back(array, kind)
        return array

    def labels_back(self, array: NDArray[np.uint8]) -> LabelMap:
        """Labels that were found on `target`, on the grid of the scan."""
        return LabelMap(self.back(array, LABELS), self.source)


def cohort_chain(geometry: Geometry) -> Chain:
    """Turn, and resample to the grid of cohorts."""
    turn = Turn.to_lps(geometry)
    return Chain((turn, Resample(turn.target, box_geometry(turn.target, COHORT_SPACING_MM))))


def network_chain(ct: Volume | Geometry, region: NDArray[np.bool_] | None = None, margin_mm: float = 20.0) -> Chain:
    """Turn, crop to a region with a margin if one is given, resample to 1 mm, and window.

    Args:
        ct: the scan, or its grid.
        region: (K, J, I) mask on that grid, such as the liver.
        margin_mm: around the region.
    """
    geometry = ct.geometry if isinstance(ct, Volume) else ct
    turn = Turn.to_lps(geometry)
    steps: list[Step] = [turn]
    if region is not None:
        steps.append(Crop.around(turn.forward(region, LABELS), turn.target, margin_mm))
    here = steps[-1].target
    fine = box_geometry(here, NETWORK_SPACING_MM)
    return Chain((*steps, Resample(here, fine), Window(fine)))
