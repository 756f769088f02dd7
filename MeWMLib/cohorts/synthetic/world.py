"""Synthetic patients: a CT before treatment, and the CT after any protocol that one asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, derive_seed
from MeWMLib.cohorts.synthetic.law import Response, Traits, respond
from MeWMLib.cohorts.synthetic.shapes import radius_ratios
from MeWMLib.cohorts.synthetic.tumour import Nodule, nodule_seeds, paint
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume

#: How the nodules of a type are formed, and how rough their surface is; other types are balls of roughness 0.05.
FORMS = {"multinodular": "cluster", "portal_thrombus": "tube"}
ROUGHNESS = {"infiltrative": 0.16, "multinodular": 0.06}


@dataclass(frozen=True, eq=False)
class Rendering:
    """Arrays (K, J, I) of one drawn CT: HU float32, labels uint8, masks of what is viable and what holds Lipiodol."""

    hu: FloatArray
    labels: NDArray[np.uint8]
    viable: NDArray[np.bool_]
    lipiodol: NDArray[np.bool_]


@dataclass(frozen=True)
class SyntheticPatient:
    """A patient of the synthetic world; everything follows from the seed.

    Attributes:
        seed: of the patient.
        anatomy: the abdomen.
        traits: of the tumour; all nodules are of one kind.
        nodules: the first is the one that is treated in a patch of its own.
        new_lesion: where a new lesion appears if the law's probability exceeds `new_lesion_luck`.
        new_lesion_luck: 0 to 1, the same for every protocol.
    """

    seed: int
    anatomy: Anatomy
    traits: Traits
    nodules: tuple[Nodule, ...]
    new_lesion: Nodule
    new_lesion_luck: float

    @classmethod
    def draw(cls, seed: int) -> SyntheticPatient:
        """Draw a patient; the same seed gives the same patient on every machine."""
        rng = np.random.default_rng(derive_seed("patient", seed))
        anatomy = Anatomy.draw(seed)
        traits = Traits.draw(rng)
        radius = float(np.clip(rng.lognormal(np.log(21), 0.5), 8, 62))
        roughness = ROUGHNESS.get(traits.kind, 0.05)
        form = FORMS.get(traits.kind, "ball")
        spots = _liver_points(anatomy, rng, radius)
        count = min(1 + int(rng.random() < 0.35) * int(rng.integers(1, 4)), len(spots) - 1)
        nodules = []
        for n, own in enumerate(nodule_seeds(seed, max(1, count))):
            size = radius if n == 0 else float(np.clip(radius * _ratio(rng), 5, 25))
            nodules.append(Nodule(spots[n], size, roughness, own, form if n == 0 else "ball"))
        new = Nodule(spots[-1], float(rng.uniform(5, 9)), 0.11, derive_seed("new lesion", seed))
        return cls(seed, anatomy, traits, tuple(nodules), new, float(rng.random()))

    @property
    def kind(self) -> str:
        """Type of the tumour."""
        return self.traits.kind

    def target_geometry(self, size: int = 96, jitter: np.random.Generator | None = None) -> Geometry:
        """The treated patch: a cube of `size` voxels around the first nodule (see docs/ARCHITECTURE.md)."""
        nodule = self.nodules[0]
        spacing = max(1.0, 2 * 1.15 * nodule.radius / 80.0)
        centre = np.array(nodule.centre)
        if jitter is not None:
            spacing = max(1.0, spacing * jitter.uniform(0.95, 1.15))
            centre = centre + jitter.uniform(-5, 5, 3) * spacing
        half = 0.5 * (size - 1) * spacing
        return _lps_grid((size, size, size), (spacing,) * 3, (centre[2] + half, centre[1] + half, centre[0] - half))

    def response(self, protocol: Protocol) -> Response:
        """What the law says for this patient."""
        return respond(self.traits, protocol)

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
        hu, liver = self.anatomy.render(Axes.of(geometry))
        return [self._draw(geometry, hu.copy(), liver, protocol, noise) for protocol in protocols]

    def _draw(
        self, geometry: Geometry, hu: FloatArray, liver: FloatArray, protocol: Protocol | None, noise: bool
    ) -> Rendering:
        axes = Axes.of(geometry)
        answer = None if protocol is None else self.response(protocol)
        labels = (liver > 0).astype(np.uint8)
        viable, lipiodol = np.zeros(hu.shape, bool), np.zeros(hu.shape, bool)
        grew = answer is not None and answer.new_lesion > self.new_lesion_luck
        for nodule in (*self.nodules, *([self.new_lesion] if grew else [])):
            box = nodule.box(axes)
            if box is None:
                continue
            part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
            own = None if nodule is self.new_lesion else answer  # a new lesion was not treated
            drawn = paint(nodule, self.traits, part, liver[box] > 0, self.anatomy.liver_hu, self.anatomy.phase, own)
            hu[box] = hu[box] * (1 - drawn.weight) + drawn.hu * drawn.weight
            labels[box] = np.where(drawn.mask, 2, labels[box])
            viable[box] = (viable[box] & ~drawn.mask) | (drawn.mask & ~drawn.dead)
            lipiodol[box] = (lipiodol[box] & ~drawn.mask) | (drawn.mask & drawn.oil)
        spacing = geometry.spacing[2]
        hu = ndimage.gaussian_filter(hu, 0.55 / min(spacing, 1.5))
        if noise:
            hu = hu + self._noise(geometry, protocol)
        return Rendering(np.clip(hu, -1024, 3071).astype(np.float32), labels, viable, lipiodol)

    def _noise(self, geometry: Geometry, protocol: Protocol | None) -> FloatArray:
        seed = derive_seed("noise", self.seed, "pre" if protocol is None else protocol.text)
        rng = np.random.default_rng(seed)
        sigma = np.random.default_rng(derive_seed("dose", self.seed)).uniform(4, 11)
        grain = ndimage.gaussian_filter(rng.standard_normal(geometry.shape, dtype=np.float32), 0.7)
        return np.asarray(grain * (sigma / grain.std()), np.float32)


def _ratio(rng: np.random.Generator) -> float:
    """Radius of a further tumour over that of the largest one, as in real livers."""
    table = radius_ratios()
    return float(np.interp(rng.random(), np.linspace(0, 1, len(table)), table))


def _liver_points(anatomy: Anatomy, rng: np.random.Generator, radius: float) -> list[tuple[float, float, float]]:
    """Some points deep enough in the liver, in random order, on a coarse grid; at least two."""
    grid = _lps_grid((42, 44, 56), (5.0, 5.0, 5.0), (150, 110, -100))
    depth = anatomy.liver(Axes.of(grid))
    deep = np.argwhere(depth > min(0.55 * radius, 0.75 * float(depth.max())))
    chosen = rng.permutation(deep)[:5]
    points = [(float(p[2]), float(p[1]), float(p[0])) for p in grid.to_ras(chosen)]
    return points if len(points) > 1 else points * 2


def synthetic_case(seed: int = 0, spacing: tuple[float, float, float] = (2.5, 1.25, 1.25)) -> tuple[Volume, LabelMap]:
    """A whole abdomen before treatment with its true labels.

    Args:
        seed: of the patient.
        spacing: voxel size (k, j, i) in mm.
    """
    patient = SyntheticPatient.draw(seed)
    geometry = whole_geometry(spacing)
    drawn = patient.render(geometry)
    ct = Volume(np.round(drawn.hu).astype(np.int16), geometry, patient.anatomy.phase)
    return ct, LabelMap(drawn.labels, geometry)


def whole_geometry(spacing: tuple[float, float, float] = (2.5, 1.25, 1.25)) -> Geometry:
    """A grid over the whole trunk; voxel size (k, j, i) in mm."""
    k, j, i = spacing
    return _lps_grid((int(240 / k), int(264 / j), int(360 / i)), spacing, (180, 124, -125))


def _lps_grid(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], start: tuple[float, float, float]
) -> Geometry:
    """A grid to left, posterior and superior; `spacing` (k, j, i) and `start` (RAS, of the first voxel) in mm."""
    k, j, i = spacing
    affine = np.diag([-i, -j, k, 1.0])
    affine[:3, 3] = start
    return Geometry(shape, affine)
