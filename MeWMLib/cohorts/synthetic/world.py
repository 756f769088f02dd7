"""Synthetic patients: a CT before treatment, and the CT after any protocol that one asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, SmoothField, derive_seed
from MeWMLib.cohorts.synthetic.law import TUMOUR_TYPES, Response, respond, true_log_risk
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume

#: Radius of the farthest point of a tumour's surface, in nominal radii (the surface is rough).
_REACH = 1.45
NECROSIS_MEAN_HU = 32.0


@dataclass(frozen=True)
class Nodule:
    """One tumour nodule: centre (z, y, x) RAS mm, nominal radius mm, roughness as a share of the radius."""

    centre: tuple[float, float, float]
    radius: float
    roughness: float
    seed: int

    def shape(self, axes: Axes, scale: float = 1.0) -> FloatArray:
        """Shape function (K, J, I): positive inside, 1 at the centre; `scale` shrinks the nodule about its centre."""
        local = axes.shifted(self.centre, self.radius * scale)
        z, y, x = local.grids
        rough = SmoothField(derive_seed("nodule", self.seed), 0.75, 12).at(local)
        return np.asarray(1 - np.sqrt(x**2 + y**2 + z**2) + self.roughness * rough, np.float32)


@dataclass(frozen=True, eq=False)
class Rendering:
    """Arrays (K, J, I) of one drawn CT: HU float32, labels uint8, masks of what is viable and what holds Lipiodol."""

    hu: FloatArray
    labels: NDArray[np.uint8]
    viable: NDArray[np.bool_]
    lipiodol: NDArray[np.bool_]


@dataclass(frozen=True)
class SyntheticPatient:
    """A patient of the synthetic world; everything follows from the seed."""

    seed: int
    anatomy: Anatomy
    kind: str
    vascularity: float
    nodules: tuple[Nodule, ...]
    response_noise: float

    @classmethod
    def draw(cls, seed: int) -> SyntheticPatient:
        """Draw a patient; the same seed gives the same patient on every machine."""
        rng = np.random.default_rng(derive_seed("patient", seed))
        anatomy = Anatomy.draw(seed)
        kind = TUMOUR_TYPES[int(rng.integers(len(TUMOUR_TYPES)))]
        radius = float(np.clip(rng.lognormal(np.log(21), 0.5), 8, 62))
        roughness = 0.20 if kind == "infiltrative" else 0.11
        spots = _liver_points(anatomy, rng, radius)
        count = 1 + int(rng.random() < 0.35) * int(rng.integers(1, 4))
        nodules = []
        for n in range(min(count, len(spots))):
            size = radius if n == 0 else float(np.clip(radius * rng.uniform(0.25, 0.55), 5, 25))
            nodules.append(Nodule(spots[n], size, roughness, derive_seed(seed, n)))
        return cls(seed, anatomy, kind, float(rng.uniform(0.75, 1.25)), tuple(nodules), float(rng.normal(0, 0.35)))

    def target_geometry(
        self, size: int = 96, fit_mm: float = 80.0, jitter: np.random.Generator | None = None
    ) -> Geometry:
        """The treated patch: a cube of `size` voxels around the first nodule (see docs/ARCHITECTURE.md)."""
        nodule = self.nodules[0]
        spacing = max(1.0, 2 * 1.15 * nodule.radius / fit_mm)
        centre = np.array(nodule.centre)
        if jitter is not None:
            spacing = max(1.0, spacing * jitter.uniform(0.95, 1.15))
            centre = centre + jitter.uniform(-5, 5, 3) * spacing
        half = 0.5 * (size - 1) * spacing
        affine = np.diag([-spacing, -spacing, spacing, 1.0])
        affine[:3, 3] = [centre[2] + half, centre[1] + half, centre[0] - half]
        return Geometry((size, size, size), affine)

    def response(self, protocol: Protocol) -> Response:
        """What the law says for this patient."""
        return respond(self.kind, self.vascularity, protocol, self.response_noise)

    def render(self, geometry: Geometry, protocol: Protocol | None = None, noise: bool = True) -> Rendering:
        """Draw the CT on a grid: before treatment, or some weeks after `protocol`.

        Args:
            geometry: an axis-aligned grid.
            protocol: None for the pre-treatment CT.
            noise: add scanner noise (another draw for each protocol).
        """
        return self.render_all(geometry, [protocol], noise)[0]

    def render_all(
        self, geometry: Geometry, protocols: Sequence[Protocol | None], noise: bool = True
    ) -> list[Rendering]:
        """`render` for several protocols on one grid; the anatomy is drawn once."""
        axes = Axes.of(geometry)
        hu, liver = self.anatomy.render(axes)
        return [self._draw(geometry, axes, hu.copy(), liver, protocol, noise) for protocol in protocols]

    def _draw(
        self,
        geometry: Geometry,
        axes: Axes,
        hu: FloatArray,
        liver: FloatArray,
        protocol: Protocol | None,
        noise: bool,
    ) -> Rendering:
        answer = None if protocol is None else self.response(protocol)
        labels = (liver > 0).astype(np.uint8)
        viable = np.zeros(hu.shape, bool)
        lipiodol = np.zeros(hu.shape, bool)
        for nodule in self.nodules:
            box = _box_of(nodule, axes)
            if box is None:
                continue
            part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
            inside_liver = liver[box] > 0
            scale = 1.0 if answer is None else (1 - answer.shrinkage) ** (1 / 3)
            shape = nodule.shape(part, scale)
            mask = (shape > 0) & inside_liver
            tissue = self._tissue(nodule, part, shape, scale)
            dead, oil = self._dead(nodule, part, shape, mask, answer)
            texture = SmoothField(derive_seed("dead", nodule.seed), 3.0).at(part)
            tissue = np.where(dead, NECROSIS_MEAN_HU + 5 * texture, tissue)
            if answer is not None and oil.any():
                grain = SmoothField(derive_seed("oil", nodule.seed), 4.0).at(part)
                tissue = np.where(oil, np.clip(320 + 130 * self.vascularity + 90 * grain, 230, 640), tissue)
            soft = 0.16 if self.kind == "infiltrative" else 0.05
            weight = np.clip(shape / soft + 0.5, 0, 1) * inside_liver
            hu[box] = np.where(inside_liver, hu[box] * (1 - weight) + tissue * weight, hu[box])
            labels[box] = np.where(mask, 2, labels[box])
            viable[box] = (viable[box] & ~mask) | (mask & ~dead)
            lipiodol[box] |= mask & oil
        spacing = geometry.spacing[2]
        hu = ndimage.gaussian_filter(hu, 0.55 / min(spacing, 1.5))
        if noise:
            hu = hu + self._noise(geometry, protocol)
        return Rendering(np.clip(hu, -1024, 3071).astype(np.float32), labels, viable, lipiodol)

    def true_log_risk(self, protocol: Protocol, geometry: Geometry | None = None) -> float:
        """Log-hazard of this patient after `protocol`, from the drawn viable volume."""
        grid = geometry or self.target_geometry(48, 80.0 / 2)
        viable = self.render(grid, protocol, noise=False).viable.sum() * grid.voxel_ml
        return true_log_risk(float(viable), self.response(protocol).toxicity)

    def _tissue(self, nodule: Nodule, axes: Axes, shape: FloatArray, scale: float) -> FloatArray:
        """HU of living tumour by its visible type."""
        liver = self.anatomy.liver_hu
        boost = 1.6 if self.anatomy.phase == "arterial" else 1.0
        local = axes.shifted(nodule.centre, scale)
        fine = SmoothField(derive_seed("fine", nodule.seed), 3.5).at(local)
        coarse = SmoothField(derive_seed("coarse", nodule.seed), 9.0).at(local)
        if self.kind == "hypervascular":
            return np.asarray(liver + 38 * boost * self.vascularity + 9 * fine + 8 * coarse, np.float32)
        if self.kind == "hypovascular":
            return np.asarray(liver - 38 + 5 * fine + 4 * coarse, np.float32)
        if self.kind == "necrotic_core":
            rim = liver + 26 * boost * self.vascularity + 7 * fine
            return np.asarray(np.where(shape > 0.45 + 0.12 * coarse, NECROSIS_MEAN_HU + 4 * fine, rim), np.float32)
        if self.kind == "infiltrative":
            return np.asarray(liver - 30 + 17 * coarse + 9 * fine, np.float32)
        ring = np.exp(-(((shape - 0.07) / 0.06) ** 2))
        return np.asarray(liver - 20 + 62 * boost * self.vascularity * ring + 5 * fine, np.float32)

    def _dead(
        self, nodule: Nodule, axes: Axes, shape: FloatArray, mask: NDArray[np.bool_], answer: Response | None
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which voxels are dead, and which of these hold Lipiodol."""
        none = np.zeros(mask.shape, bool)
        core = none
        if self.kind == "necrotic_core":
            coarse = SmoothField(derive_seed("coarse", nodule.seed), 9.0).at(axes.shifted(nodule.centre))
            core = mask & (shape > 0.45 + 0.12 * coarse)
        if answer is None or answer.necrosis <= 0 or not mask.any():
            return core, none
        pattern = SmoothField(derive_seed("pattern", nodule.seed), max(4.0, 0.45 * nodule.radius)).at(axes)
        # From the middle outwards: what a physician can foresee; the field adds what nobody can.
        pattern = shape + 0.08 * pattern
        dead = mask & (pattern >= np.quantile(pattern[mask], 1 - answer.necrosis))
        oil = none
        if answer.lipiodol > 0 and dead.any():
            spread = SmoothField(derive_seed("spread", nodule.seed), max(3.0, 0.3 * nodule.radius)).at(axes)
            # Lipiodol stays where the vessels are, at the outer side of the dead part.
            spread = 0.08 * spread - shape
            oil = dead & (spread >= np.quantile(spread[dead], 1 - answer.lipiodol))
        return dead | core, oil & ~core

    def _noise(self, geometry: Geometry, protocol: Protocol | None) -> FloatArray:
        seed = derive_seed("noise", self.seed, "pre" if protocol is None else protocol.text)
        rng = np.random.default_rng(seed)
        sigma = np.random.default_rng(derive_seed("dose", self.seed)).uniform(6, 16)
        grain = ndimage.gaussian_filter(rng.standard_normal(geometry.shape, dtype=np.float32), 0.7)
        return np.asarray(grain * (sigma / grain.std()), np.float32)


def _liver_points(anatomy: Anatomy, rng: np.random.Generator, radius: float) -> list[tuple[float, float, float]]:
    """Some points deep enough in the liver, in random order, on a coarse grid."""
    affine = np.diag([-5.0, -5.0, 5.0, 1.0])
    affine[:3, 3] = [150, 110, -100]
    grid = Geometry((42, 44, 56), affine)
    depth = anatomy.liver(Axes.of(grid))
    deep = np.argwhere(depth > min(0.55 * radius, 0.75 * float(depth.max())))
    chosen = rng.permutation(deep)[:4]
    return [(float(p[2]), float(p[1]), float(p[0])) for p in grid.to_ras(chosen)]


def _box_of(nodule: Nodule, axes: Axes) -> tuple[slice, slice, slice] | None:
    """The part of the grid that a nodule can reach, None if it lies outside."""
    slices = []
    for values, centre in zip((axes.z, axes.y, axes.x), nodule.centre, strict=True):
        near = np.flatnonzero(np.abs(values - centre) <= _REACH * 1.1 * nodule.radius)
        if len(near) < 2:
            return None
        slices.append(slice(int(near[0]), int(near[-1]) + 1))
    return slices[0], slices[1], slices[2]


def synthetic_case(seed: int = 0, spacing: tuple[float, float, float] = (2.5, 1.25, 1.25)) -> tuple[Volume, LabelMap]:
    """A whole abdomen before treatment with its true labels.

    Args:
        seed: of the patient.
        spacing: voxel size (k, j, i) in mm.
    """
    patient = SyntheticPatient.draw(seed)
    k, j, i = spacing
    shape = (int(240 / k), int(264 / j), int(360 / i))
    affine = np.diag([-i, -j, k, 1.0])
    affine[:3, 3] = [180, 124, -125]
    geometry = Geometry(shape, affine)
    drawn = patient.render(geometry)
    ct = Volume(np.round(drawn.hu).astype(np.int16), geometry, patient.anatomy.phase)
    return ct, LabelMap(drawn.labels, geometry)
