"""Tumours of the synthetic world: their outlines, how each type looks, and what a treatment leaves of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import Response, Traits
from MeWMLib.cohorts.synthetic.shapes import TumourShape, TumourShapeModel

#: Radius of the farthest point of a tumour's surface, in nominal radii (the surface is rough).
REACH = 1.7
NECROSIS_MEAN_HU = 30.0
#: Viable tumour is never darker than this, so that death can be seen.
VIABLE_FLOOR_HU = 62.0
#: How far perfusion (a trait, standard normal) and its variation inside a tumour (a field) show, in HU.
PERFUSION_HU, PERFUSION_FIELD_HU = 10.0, 9.0
#: Viable tumour of each type against the liver (HU): how much darker, how much brighter (more in the arterial phase),
#: and how strong its fine texture is.
LOOKS = {
    "hypervascular": (0, 45, 6),
    "hypovascular": (22, 0, 4),
    "necrotic_core": (0, 28, 5),
    "infiltrative": (14, 0, 15),
    "multinodular": (0, 12, 0),
    "portal_thrombus": (18, 0, 0),
    "capsule": (16, 0, 4),
}

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Nodule:
    """One tumour nodule.

    Attributes:
        centre: (z, y, x) RAS mm.
        radius: nominal, mm.
        roughness: of the surface, as a share of the radius.
        seed: of everything that is drawn inside.
        form: "ball" (outlined like real tumours), "cluster" (several balls) or "tube" (a ball and a thrombus).
    """

    centre: tuple[float, float, float]
    radius: float
    roughness: float
    seed: int
    form: str = "ball"

    def shape(self, axes: Axes, scale: float = 1.0) -> FloatArray:
        """Shape function (K, J, I): positive inside, about 1 in the middle; `scale` shrinks it to its centre."""
        local = axes.shifted(self.centre, self.radius * scale)
        z, y, x = local.grids
        rough = self.roughness * SmoothField(derive_seed("nodule", self.seed), 0.75, 12).at(local)
        if self.form == "cluster":
            balls = [
                1 - np.sqrt((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / r for *c, r in _cluster(self.seed)
            ]
            return np.asarray(np.maximum.reduce(balls) + rough, np.float32)
        outline = _outline(self.seed)
        ball = 1 - np.sqrt(x**2 + y**2 + z**2) / outline.radius(z, y, x) + rough
        if self.form == "tube":
            dz, dy, dx = _direction(self.seed)
            along = np.clip(z * dz + y * dy + x * dx, 0.0, 1.3)
            off = np.sqrt((z - along * dz) ** 2 + (y - along * dy) ** 2 + (x - along * dx) ** 2)
            ball = np.maximum(ball, 0.6 * (1 - off / max(0.26, 4.0 / self.radius)))
        return np.asarray(ball, np.float32)

    def perfusion(self, axes: Axes, scale: float = 1.0) -> FloatArray:
        """How well each part is perfused (K, J, I), about standard normal; it moves with the tissue."""
        grain = float(np.clip(0.4 * self.radius, 5.0, 14.0))
        return SmoothField(derive_seed("perfusion", self.seed), grain).at(axes.shifted(self.centre, scale))

    def box(self, axes: Axes) -> tuple[slice, slice, slice] | None:
        """The part of the grid that the nodule can reach, None if it is outside."""
        slices = []
        for values, centre in zip((axes.z, axes.y, axes.x), self.centre, strict=True):
            near = np.flatnonzero(np.abs(values - centre) <= REACH * 1.1 * self.radius)
            if len(near) < 2:
                return None
            slices.append(slice(int(near[0]), int(near[-1]) + 1))
        return slices[0], slices[1], slices[2]


@lru_cache(maxsize=64)
def _outline(seed: int) -> TumourShape:
    """Outline of a nodule, drawn from those of real tumours."""
    return TumourShapeModel.load().draw(seed)


@lru_cache(maxsize=64)
def _cluster(seed: int) -> tuple[tuple[float, float, float, float], ...]:
    """Centres and radii of the balls of a cluster, in units of the nominal radius."""
    rng = np.random.default_rng(derive_seed("cluster", seed))
    count = int(rng.integers(4, 7))
    places = rng.normal(size=(count, 3))
    places *= (rng.uniform(0.45, 0.7, count) / np.linalg.norm(places, axis=1))[:, None]
    return tuple((float(p[0]), float(p[1]), float(p[2]), float(rng.uniform(0.38, 0.55))) for p in places)


@lru_cache(maxsize=64)
def _direction(seed: int) -> tuple[float, float, float]:
    d = np.random.default_rng(derive_seed("thrombus", seed)).normal(size=3)
    d /= np.linalg.norm(d)
    return float(d[0]), float(d[1]), float(d[2])


@dataclass(frozen=True, eq=False)
class Painted:
    """A nodule drawn on its part of a grid.

    Attributes:
        hu: tissue of the tumour, everywhere in the part.
        weight: share of tumour in each voxel, soft at the edge.
        mask, dead, oil: tumour, its dead part, and what of that holds Lipiodol.
    """

    hu: FloatArray
    weight: FloatArray
    mask: Mask
    dead: Mask
    oil: Mask


def paint(
    nodule: Nodule, traits: Traits, axes: Axes, inside: Mask, liver_hu: float, phase: str, answer: Response | None
) -> Painted:
    """Draw a nodule before treatment (`answer` None) or after it.

    Args:
        axes: of the part of the grid to draw.
        inside: where a tumour may be (the liver), of the part's shape.
        liver_hu: of the parenchyma.
        phase: "portal" or "arterial"; tumours enhance more in the latter.
    """
    scale = 1.0 if answer is None else (1 - answer.shrinkage) ** (1 / 3)
    shape = nodule.shape(axes, scale)
    perfusion = nodule.perfusion(axes, scale)
    mask = (shape > 0) & inside
    hu = _viable(nodule, traits, axes, shape, perfusion, scale, liver_hu, phase)
    core = mask & _core(traits, shape, perfusion)
    dead, oil = _outcome(nodule, axes, shape, perfusion, mask, core, scale, answer)
    fine = SmoothField(derive_seed("dead", nodule.seed), 3.0).at(axes)
    hu = np.where(dead, NECROSIS_MEAN_HU + 4 * fine, hu)
    if answer is not None and oil.any():
        grain = SmoothField(derive_seed("oil", nodule.seed), 4.0).at(axes)
        bright = 310 + 110 * traits.vascularity + 50 * perfusion + 45 * grain
        hu = np.where(oil, np.clip(bright, 230, 640), hu)
    soft = 0.16 if traits.kind == "infiltrative" else 0.05
    weight = np.clip(shape / soft + 0.5, 0, 1) * inside
    return Painted(np.asarray(hu, np.float32), np.asarray(weight, np.float32), mask, dead, oil)


def _core(traits: Traits, shape: FloatArray, perfusion: FloatArray) -> Mask:
    """What is dead before any treatment."""
    if traits.kind != "necrotic_core":
        return np.zeros(shape.shape, bool)
    return np.asarray(shape - 0.10 * perfusion > 0.48)


def _viable(
    nodule: Nodule,
    traits: Traits,
    axes: Axes,
    shape: FloatArray,
    perfusion: FloatArray,
    scale: float,
    liver: float,
    phase: str,
) -> FloatArray:
    """HU of viable tumour by its visible type."""
    boost = 1.6 if phase == "arterial" else 1.0
    fine = SmoothField(derive_seed("fine", nodule.seed), 3.5).at(axes.shifted(nodule.centre, scale))
    seen = PERFUSION_HU * traits.perfusion + PERFUSION_FIELD_HU * perfusion
    darker, brighter, grain = LOOKS[traits.kind]
    hu = liver - darker + brighter * boost + seen
    if traits.kind == "multinodular":  # dark clefts between the nodules, bright nodules
        hu = hu + 26 * np.clip(shape - 0.25, -0.25, 0.35) * boost
    elif traits.kind == "portal_thrombus":
        hu = hu + 12 * np.sin(2 * np.pi * (axes.grids[0] + 0.5 * axes.grids[2]) / 9.0)
    elif traits.kind == "capsule":
        hu = hu + 62 * boost * np.exp(-(((shape - 0.07) / 0.06) ** 2))
    hu = hu + grain * fine
    return np.asarray(np.maximum(hu, VIABLE_FLOOR_HU + 3 * fine), np.float32)


def _outcome(
    nodule: Nodule,
    axes: Axes,
    shape: FloatArray,
    perfusion: FloatArray,
    mask: Mask,
    core: Mask,
    scale: float,
    answer: Response | None,
) -> tuple[Mask, Mask]:
    """Which voxels are dead, and which of these hold Lipiodol."""
    none = np.zeros(mask.shape, bool)
    alive = mask & ~core
    if answer is None or answer.necrosis <= 0 or not alive.any():
        return core, none
    local = axes.shifted(nodule.centre, scale)
    # The middle and what is well perfused dies first: both can be seen. The last field is what cannot be foreseen.
    unseen = SmoothField(derive_seed("pattern", nodule.seed), max(4.0, 0.45 * nodule.radius)).at(local)
    order = 0.8 * shape + 0.28 * perfusion + 0.08 * unseen
    dead = alive & (order >= _threshold(order[alive], answer.necrosis))
    oil = none
    if answer.lipiodol > 0 and dead.any():
        # Lipiodol stays where the vessels are: what is well perfused, and the outer side of the dead part.
        place = 0.28 * perfusion - 0.5 * shape + 0.08 * unseen
        oil = dead & (place >= _threshold(place[dead], answer.lipiodol))
    return dead | core, oil


def _threshold(values: FloatArray, share: float) -> float:
    """Value above which `share` of the values lie."""
    n = len(values) - round(share * len(values))
    return float(np.partition(values, n)[n]) if n < len(values) else float("inf")


def nodule_seeds(seed: int, count: int) -> Sequence[int]:
    """Seeds of a patient's nodules."""
    return [derive_seed(seed, n) for n in range(count)]
