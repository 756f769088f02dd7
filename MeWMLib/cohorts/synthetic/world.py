"""Synthetic patients: a CT before treatment, and the CT after any protocol that one asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.anatomy import Anatomy
from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, derive_seed
from MeWMLib.cohorts.synthetic.law import Response, Traits, respond
from MeWMLib.cohorts.synthetic.shapes import radius_ratios
from MeWMLib.cohorts.synthetic.tumour import Box, Nodule, Painted, paint
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import TUMOUR, Geometry, LabelMap, Volume

#: How the nodules of a type are formed, and how rough their surface is; other types are balls of roughness 0.05.
FORMS = {"multinodular": "cluster", "portal_thrombus": "tube"}
ROUGHNESS = {"infiltrative": 0.16, "multinodular": 0.06}
#: Deviation of the blur over what is drawn.
BLUR_MM = 0.55

#: From chance and the radius of the largest nodule to points (z, y, x) in the liver, in random order; at least two.
Spots = Callable[[np.random.Generator, float], Sequence[tuple[float, float, float]]]


@dataclass(frozen=True, eq=False)
class Rendering:
    """Arrays (K, J, I) of one drawn CT: HU float32, labels uint8, masks of what is viable and what holds Lipiodol."""

    hu: FloatArray
    labels: NDArray[np.uint8]
    viable: NDArray[np.bool_]
    lipiodol: NDArray[np.bool_]

    @classmethod
    def without_tumour(cls, hu: FloatArray, liver: NDArray[np.bool_]) -> Rendering:
        """An abdomen to paint tumours into; `hu` is changed by that."""
        return cls(hu, liver.astype(np.uint8), np.zeros(hu.shape, bool), np.zeros(hu.shape, bool))

    def mark(self, box: Box, drawn: Painted) -> None:
        """Labels and masks of a nodule; a later one lies over an earlier one."""
        self.labels[box] = np.where(drawn.mask, TUMOUR, self.labels[box])
        self.viable[box] = (self.viable[box] & ~drawn.mask) | (drawn.mask & ~drawn.dead)
        self.lipiodol[box] = (self.lipiodol[box] & ~drawn.mask) | (drawn.mask & drawn.oil)

    def as_ct(self) -> Rendering:
        """The same with HU in the range of a scanner."""
        return replace(self, hu=np.clip(self.hu, -1024, 3071).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Tumours:
    """The tumours of a patient, wherever they grow.

    Attributes:
        seed: of the patient.
        traits: of the tumour; all nodules are of one kind.
        nodules: the first is the one that is treated in a patch of its own.
        new_lesion: where a new lesion appears if the law's probability exceeds `new_lesion_luck`.
        new_lesion_luck: 0 to 1, the same for every protocol.
    """

    seed: int
    traits: Traits
    nodules: tuple[Nodule, ...]
    new_lesion: Nodule
    new_lesion_luck: float

    @staticmethod
    def drawn(
        name: str, seed: int, nodule_seed: int, new_name: str, spots_for: Spots, spare: bool = False
    ) -> dict[str, Any]:
        """Draw the fields of this class.

        Args:
            name, new_name: of the draws, and of the new lesion's.
            seed: of the patient.
            nodule_seed: of the nodules.
            spots_for: where nodules may be.
            spare: draw a size for the first nodule too and drop it. Planted patients always were drawn so, and the
                patient of a seed must stay the same.
        """
        rng = np.random.default_rng(derive_seed(name, seed))
        traits = Traits.draw(rng)
        radius = float(np.clip(rng.lognormal(np.log(21), 0.5), 8, 62))
        spots = spots_for(rng, radius)
        count = min(1 + int(rng.random() < 0.35) * int(rng.integers(1, 4)), len(spots) - 1)
        # radius of a further tumour over that of the largest one, as in real livers
        table = radius_ratios()
        roughness, nodules = ROUGHNESS.get(traits.kind, 0.05), []
        for n in range(count):
            form, size = FORMS.get(traits.kind, "ball"), radius
            ratio = float(np.interp(rng.random(), np.linspace(0, 1, len(table)), table)) if n > 0 or spare else 1.0
            if n > 0:
                form, size = "ball", float(np.clip(radius * ratio, 5, 25))
            nodules.append(Nodule(spots[n], size, roughness, derive_seed(nodule_seed, n), form))
        new = Nodule(spots[-1], float(rng.uniform(5, 9)), 0.11, derive_seed(new_name, seed))
        return {
            "seed": seed,
            "traits": traits,
            "nodules": tuple(nodules),
            "new_lesion": new,
            "new_lesion_luck": float(rng.random()),
        }

    def response(self, protocol: Protocol) -> Response:
        """What the law says for this patient."""
        return respond(self.traits, protocol)

    def painted(
        self, axes: Axes, inside: NDArray[np.bool_], liver_hu: float, phase: str, answer: Response | None
    ) -> Iterator[tuple[Box, Painted]]:
        """Paint every nodule that reaches a grid, in order; the new lesion is the last, if it grew.

        Args:
            axes: of the grid.
            inside: where a tumour may be (the liver).
            liver_hu, phase: see `tumour.paint`.
            answer: to treatment; None before it.
        """
        grew = answer is not None and answer.new_lesion > self.new_lesion_luck
        for nodule in (*self.nodules, *([self.new_lesion] if grew else [])):
            box = nodule.box(axes)
            if box is not None:
                part = Axes(axes.z[box[0]], axes.y[box[1]], axes.x[box[2]])
                own = None if nodule is self.new_lesion else answer  # a new lesion was not treated
                yield box, paint(nodule, self.traits, part, inside[box], liver_hu, phase, own)


@dataclass(frozen=True)
class SyntheticPatient(Tumours):
    """A patient of the synthetic world, tumours in a drawn `anatomy`; everything follows from the seed."""

    anatomy: Anatomy

    @classmethod
    def draw(cls, seed: int) -> SyntheticPatient:
        """Draw a patient; the same seed gives the same patient on every machine."""
        anatomy = Anatomy.draw(seed)
        spots = partial(_liver_points, anatomy)
        return cls(**cls.drawn("patient", seed, seed, "new lesion", spots), anatomy=anatomy)

    @property
    def kind(self) -> str:
        """Type of the tumour."""
        return self.traits.kind

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
    ) -> Sequence[Rendering]:
        """`render` for several protocols on one grid; the anatomy is drawn once."""
        hu, liver = self.anatomy.render(Axes.of(geometry))
        return [self._draw(geometry, hu.copy(), liver, protocol, noise) for protocol in protocols]

    def observed(self, geometry: Geometry, protocols: Sequence[Protocol | None]) -> Sequence[Rendering]:
        """`render_all` under the circumstances that were drawn for the patient; version 2 has none."""
        return self.render_all(geometry, protocols)

    def _draw(
        self, geometry: Geometry, hu: FloatArray, liver: FloatArray, protocol: Protocol | None, noise: bool
    ) -> Rendering:
        answer = None if protocol is None else self.response(protocol)
        out = Rendering.without_tumour(hu, liver > 0)
        look = (self.anatomy.liver_hu, self.anatomy.phase)
        for box, drawn in self.painted(Axes.of(geometry), liver > 0, *look, answer):
            hu[box] = hu[box] * (1 - drawn.weight) + drawn.hu * drawn.weight
            out.mark(box, drawn)
        hu = ndimage.gaussian_filter(hu, BLUR_MM / min(geometry.spacing[2], 1.5))
        if noise:
            hu = hu + self._noise(geometry, protocol)
        return replace(out, hu=hu).as_ct()

    def _noise(self, geometry: Geometry, protocol: Protocol | None) -> FloatArray:
        seed = derive_seed("noise", self.seed, "pre" if protocol is None else protocol.text)
        rng = np.random.default_rng(seed)
        sigma = np.random.default_rng(derive_seed("dose", self.seed)).uniform(4, 11)
        grain = ndimage.gaussian_filter(rng.standard_normal(geometry.shape, dtype=np.float32), 0.7)
        return np.asarray(grain * (sigma / grain.std()), np.float32)


def _liver_points(anatomy: Anatomy, rng: np.random.Generator, radius: float) -> list[tuple[float, float, float]]:
    """Some points deep enough in the liver, in random order, on a coarse grid; at least two."""
    grid = lps_grid((42, 44, 56), (5.0, 5.0, 5.0), (150, 110, -100))
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
    return lps_grid((int(240 / k), int(264 / j), int(360 / i)), spacing, (180, 124, -125))


def lps_grid(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], start: tuple[float, float, float]
) -> Geometry:
    """A grid to left, posterior and superior; `spacing` (k, j, i) and `start` (RAS, of the first voxel) in mm."""
    k, j, i = spacing
    affine = np.diag([-i, -j, k, 1.0])
    affine[:3, 3] = start
    return Geometry(shape, affine)
