"""Which part of a liver an artery feeds, and the small parts of a tumour that live or die together (version 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol as Interface

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.core.errors import GeometryError, InputError
from MeWMLib.core.volume import Geometry
from MeWMLib.rendering.scanner import resampled

#: Over how many mm the edge of a territory fades, and how far it wanders about a plane.
SOFT_MM, WANDER_MM, WANDER_OVER_MM = 3.0, 4.0, 28.0
#: Edge (mm) of the lattice on which parts of a tumour are told apart.
CELL_STEP_MM = 3.0
#: About how far apart the middles of these parts lie, in mm, and how many a tumour has at least and at most.
CELL_APART_MM, CELL_COUNTS = 15.0, (6, 48)


class Fed(Interface):
    """A territory: how far each point is fed by the treated arteries."""

    def share(self, axes: Axes) -> FloatArray:
        """0 (not fed) to 1 (K, J, I) at the points of `axes`."""


@dataclass(frozen=True)
class WholeLiver:
    """Everything is fed."""

    def share(self, axes: Axes) -> FloatArray:
        """Ones (K, J, I)."""
        return np.ones((len(axes.z), len(axes.y), len(axes.x)), np.float32)


@dataclass(frozen=True)
class HalfSpace:
    """What lies on one side of a plane is fed; its edge is soft and wanders as the borders of real territories do.

    Attributes:
        point: on the plane (z, y, x), RAS mm.
        normal: towards the fed side (z, y, x), of any length but 0.
        seed: of the wandering.

    Raises:
        InputError: the normal has no length.
    """

    point: tuple[float, float, float]
    normal: tuple[float, float, float]
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1e-9 < float(np.linalg.norm(self.normal)) < np.inf:
            raise InputError(
                what="The side that is fed is not known",
                given=f"a normal of {self.normal}",
                remedy="Give a direction (z, y, x) that points to the fed side",
            )

    def share(self, axes: Axes) -> FloatArray:
        """0 to 1 (K, J, I), one half on the border."""
        normal = np.asarray(self.normal, np.float64) / np.linalg.norm(self.normal)
        z, y, x = (a - np.float32(p) for a, p in zip(axes.grids, self.point, strict=True))
        away = normal[0] * z + normal[1] * y + normal[2] * x
        away = away + WANDER_MM * SmoothField(derive_seed("territory", self.seed), WANDER_OVER_MM).at(axes)
        return np.asarray(0.5 + 0.5 * np.tanh(away / SOFT_MM), np.float32)


@dataclass(frozen=True, eq=False)
class FedMask:
    """A region that a label map names (segments, a lobe, what the operator painted), with a soft edge.

    Attributes:
        mask: (K, J, I), true where it is fed.
        geometry: its grid, aligned with the patient's axes.

    Raises:
        GeometryError: mask and grid differ, it is a single slice, or the grid is oblique.
    """

    mask: NDArray[np.bool_]
    geometry: Geometry

    def __post_init__(self) -> None:
        if self.mask.shape != self.geometry.shape:
            raise GeometryError(
                what="The fed region and its grid differ",
                given=f"{self.mask.shape} and {self.geometry.shape} voxels",
                remedy="Give the region on the grid that goes with it",
            )
        if min(self.mask.shape) < 2:
            raise GeometryError(
                what="The fed region is a single slice",
                given=self.geometry.describe(),
                remedy="Give a region in three dimensions",
            )
        Axes.of(self.geometry)

    def share(self, axes: Axes) -> FloatArray:
        """0 to 1 (K, J, I); the region ends where its grid ends."""
        own = Axes.of(self.geometry)
        sigma = [0.5 * SOFT_MM / s for s in self.geometry.spacing]
        around = [int(np.ceil(4 * s)) + 1 for s in sigma]
        padded = np.pad(self.mask.astype(np.float32), [(n, n) for n in around])
        soft = ndimage.gaussian_filter(padded, sigma, mode="constant")
        z, y, x = (
            a[0] + (a[1] - a[0]) * np.arange(-n, len(a) + n) for a, n in zip((own.z, own.y, own.x), around, strict=True)
        )
        return np.clip(resampled(soft, (z, y, x), (axes.z, axes.y, axes.x)), 0, 1)


def lobe(side: str, border: tuple[float, float, float], seed: int = 0) -> HalfSpace:
    """The right or left lobe, divided by the plane through the gallbladder and the inferior vena cava.

    Args:
        side: "right" or "left".
        border: a point (z, y, x) on the border, RAS mm.
        seed: of the wandering of the border.

    Raises:
        InputError: another side.
    """
    normals = {"right": (0.0, -0.35, 1.0), "left": (0.0, 0.35, -1.0)}
    if side not in normals:
        raise InputError(what="There is no such lobe", given=side, remedy="Say right or left")
    return HalfSpace(border, normals[side], seed)


@dataclass(frozen=True)
class Cells:
    """The parts of a tumour that share an arteriole: wedges from the middle to the surface, and patches.

    Points are nearest to one of some centres; those on a shell about the middle own wedges. Each part has a number from
    a standard normal: the parts with the highest ones die first.

    Attributes:
        seed: of the parts.
        radius_mm: of the tumour.
    """

    seed: int
    radius_mm: float

    def _centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Centres (N, 3) in mm about the tumour's, and the numbers (N,)."""
        rng = np.random.default_rng(derive_seed("cells", self.seed))
        count = int(np.clip((2 * self.radius_mm / CELL_APART_MM) ** 3 / 2, *CELL_COUNTS))
        way = rng.standard_normal((count, 3))
        way /= np.linalg.norm(way, axis=1, keepdims=True)
        far = np.where(rng.random(count) < 0.7, rng.uniform(0.55, 0.95, count), rng.uniform(0.0, 0.5, count))
        return way * (far * self.radius_mm)[:, None], rng.standard_normal(count)

    def at(self, local: Axes) -> FloatArray:
        """The numbers (K, J, I) at points about the tumour's centre (mm); they blend over some mm at the borders."""
        centres, numbers = self._centres()
        lattice = [
            np.arange(float(a.min()) - CELL_STEP_MM, float(a.max()) + 2 * CELL_STEP_MM, CELL_STEP_MM, dtype=np.float32)
            for a in (local.z, local.y, local.x)
        ]
        coarse = Axes(lattice[0], lattice[1], lattice[2])
        bend = [2.5 * SmoothField(derive_seed("cells", self.seed, n), 9.0).at(coarse) for n in range(3)]
        z, y, x = (g + b for g, b in zip(coarse.grids, bend, strict=True))
        best: FloatArray = np.full(z.shape, np.inf, np.float32)
        out: FloatArray = np.zeros(z.shape, np.float32)
        for (cz, cy, cx), number in zip(centres.astype(np.float32), numbers, strict=True):
            away = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
            nearer = away < best
            np.copyto(best, away, where=nearer)
            out[nearer] = number
        return resampled(out, (coarse.z, coarse.y, coarse.x), (local.z, local.y, local.x))
