"""Synthetic tumours planted in the liver of a real CT: outlines, types, law and looks are those of the world.

Only the abdomen differs from `world.SyntheticPatient`: it is a scan, and its own fine texture and noise are laid over
what is drawn, so that a planted tumour is as grainy as the liver around it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray, derive_seed
from MeWMLib.cohorts.synthetic.world import BLUR_MM, Rendering, Tumours
from MeWMLib.core.errors import InputError, LabelError
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, Geometry, LabelMap, Volume
from MeWMLib.lab.synthetic.survival import survival_months, true_log_risk

Mask = NDArray[np.bool_]

#: Phases for which the world knows how tumours look.
KNOWN_PHASES = ("portal", "arterial")
#: A liver smaller than this is an error of the labels.
LEAST_LIVER_ML = 50.0
#: How far around a real lesion the liver is painted over, and from how far away the new values come.
RIM_MM, REACH_MM = 3.0, 8.0
#: What varies over less than this is texture and noise.
GRAIN_MM = 2.0


@dataclass(frozen=True, eq=False)
class Abdomen:
    """A real abdomen without tumours, to plant some in.

    Attributes:
        hu: (K, J, I) float32.
        liver: (K, J, I).
        geometry: grid, aligned with the patient's axes.
        phase: one of `KNOWN_PHASES`.
        liver_hu: median of the liver.

    Raises (`of`):
        LabelError: no liver, or hardly any.
        InputError: the phase is not known.
        GeometryError: the grid is oblique.
    """

    hu: FloatArray
    liver: Mask
    geometry: Geometry
    phase: str
    liver_hu: float

    @classmethod
    def of(cls, ct: Volume, labels: LabelMap, phase: str | None = None) -> Abdomen:
        """Take a CT whose lesions were painted over (`healed`), and its labels."""
        liver = labels.array == LIVER
        if float(liver.sum()) * ct.geometry.voxel_ml < LEAST_LIVER_ML:
            raise LabelError(
                what="There is no liver to plant tumours in",
                given=f"{float(liver.sum()) * ct.geometry.voxel_ml:.0f} ml of label {LIVER}",
                remedy="Give labels with 1 for the liver, as `mewm segment` writes them",
            )
        known = phase or ct.phase
        if known not in KNOWN_PHASES:
            raise InputError(
                what="The contrast phase decides how tumours look, and is not known",
                given=known,
                remedy="Say --phase portal or --phase arterial",
            )
        Axes.of(ct.geometry)
        hu = np.asarray(ct.array, np.float32)
        return cls(hu, liver, ct.geometry, known, float(np.median(hu[liver])))

    @cached_property
    def grain(self) -> FloatArray:
        """Fine texture and noise (K, J, I) HU; edges of vessels are cut to what the liver's noise reaches."""
        return grain_of(self.hu, self.liver, self.geometry)

    @cached_property
    def depth(self) -> FloatArray:
        """Distance (mm) to the liver's surface; the end of the image is a surface too."""
        padded = np.pad(self.liver, 1)
        inner = ndimage.distance_transform_edt(padded, sampling=self.geometry.spacing)
        return np.asarray(inner[1:-1, 1:-1, 1:-1], np.float32)


def grain_of(hu: FloatArray, where: Mask, geometry: Geometry) -> FloatArray:
    """What varies over less than `GRAIN_MM`, within 3.5 robust deviations of `where`."""
    fine = hu - ndimage.gaussian_filter(hu, [GRAIN_MM / s for s in geometry.spacing])
    most = 3.5 * 1.4826 * float(np.median(np.abs(fine[where] - np.median(fine[where]))))
    return np.asarray(np.clip(fine, -most, most), np.float32)


def healed(ct: Volume, labels: LabelMap, seed: int = 0) -> tuple[Volume, LabelMap, float]:
    """A CT whose real lesions are painted over with liver, so that all tumours in it are known.

    In the lesions and `RIM_MM` around them (in the liver) the HU become a weighted mean of the healthy liver near by,
    with noise of the liver's own deviation and grain.

    Args:
        ct: int16 in the result.
        labels: 1 liver, 2 lesions.
        seed: of the noise.

    Returns:
        The CT, labels with liver alone, and the volume (ml) that was painted over.
    """
    geometry = ct.geometry
    hu = np.asarray(ct.array, np.float32)
    liver, lesions = labels.liver, labels.tumour
    alone = labels.with_array(liver.astype(np.uint8))
    if not lesions.any():
        return Volume(np.round(hu).astype(np.int16), geometry, ct.phase), alone, 0.0
    distance = ndimage.distance_transform_edt(~lesions, sampling=geometry.spacing)
    painted = liver & (distance <= RIM_MM)
    healthy = liver & ~painted
    if not healthy.any():
        raise LabelError(
            what="The liver holds nothing but lesions", given=geometry.describe(), remedy="Give another patient"
        )
    sigma = [REACH_MM / s for s in geometry.spacing]
    near = ndimage.gaussian_filter(healthy.astype(np.float32), sigma)
    mean = ndimage.gaussian_filter(np.where(healthy, hu, 0), sigma) / np.maximum(near, 1e-6)
    # far from any healthy liver its median is taken
    trust = np.clip(near / 0.05, 0, 1)
    smooth = trust * mean + (1 - trust) * float(np.median(hu[healthy]))
    filled = smooth + _noise_like(grain_of(hu, healthy, geometry), healthy, seed)
    hu = np.where(painted, filled, hu)
    volume = float(painted.sum()) * geometry.voxel_ml
    return Volume(np.round(hu).astype(np.int16), geometry, ct.phase), alone, volume


def _noise_like(grain: FloatArray, where: Mask, seed: int) -> FloatArray:
    """Noise of the deviation and of the neighbours' correlation that `grain` has in `where`.

    White noise under a Gaussian of deviation s correlates over a distance d by exp(-d^2 / 4 s^2).
    """
    sigma = []
    for axis in range(3):
        first, second = (np.take(grain, range(n, grain.shape[axis] - 1 + n), axis) for n in (0, 1))
        both = np.take(where, range(grain.shape[axis] - 1), axis) & np.take(where, range(1, grain.shape[axis]), axis)
        rho = float(np.corrcoef(first[both], second[both])[0, 1]) if both.sum() > 10 else 0.0
        sigma.append(np.sqrt(-1 / (4 * np.log(np.clip(rho, 1e-3, 0.95)))))
    white = np.random.default_rng(derive_seed("healed", seed)).standard_normal(grain.shape, dtype=np.float32)
    field = ndimage.gaussian_filter(white, sigma)
    return np.asarray(field * (float(grain[where].std()) / max(float(field.std()), 1e-6)), np.float32)


@dataclass(frozen=True, eq=False)
class PlantedPatient(Tumours):
    """A real `abdomen` with synthetic tumours; they follow from the seed and the abdomen."""

    abdomen: Abdomen

    @classmethod
    def draw(cls, abdomen: Abdomen, seed: int) -> PlantedPatient:
        """Draw tumours as the world does, at places that are deep enough in this liver."""
        own, spots = derive_seed("planted", seed), partial(_spots, abdomen)
        return cls(**cls.drawn("planted", seed, own, "planted new lesion", spots, spare=True), abdomen=abdomen)

    def render(self, protocol: Protocol | None = None) -> Rendering:
        """The CT with tumours, before treatment or after `protocol`; elsewhere every voxel is the scan's."""
        base = self.abdomen
        answer = None if protocol is None else self.response(protocol)
        out = Rendering.without_tumour(base.hu.copy(), base.liver)
        for box, drawn in self.painted(Axes.of(base.geometry), base.liver, base.liver_hu, base.phase, answer):
            tissue = ndimage.gaussian_filter(drawn.hu, [BLUR_MM / s for s in base.geometry.spacing])
            mixed = out.hu[box] * (1 - drawn.weight) + (tissue + base.grain[box]) * drawn.weight
            out.hu[box] = np.where(drawn.weight > 0, mixed, out.hu[box])
            out.mark(box, drawn)
        return out.as_ct()

    def outcome(self, protocol: Protocol) -> tuple[Rendering, float, float, bool]:
        """The CT after a protocol, its true log-risk, and months and event of a draw that all protocols share."""
        drawn = self.render(protocol)
        viable = float((drawn.viable & self._treated_patch()).sum()) * self.abdomen.geometry.voxel_ml
        risk = true_log_risk(viable, self.response(protocol))
        rng = np.random.default_rng(derive_seed("planted case", self.seed))
        return drawn, risk, *survival_months(risk, rng)

    def _treated_patch(self, size: int = 96, fit_mm: float = 80.0) -> Mask:
        """Which voxels are in the cube around the first nodule (`cases.target_geometry`)."""
        nodule = self.nodules[0]
        half = 0.5 * size * max(1.0, 2 * 1.15 * nodule.radius / fit_mm)
        axes = Axes.of(self.abdomen.geometry)
        z, y, x = (
            np.abs(values - centre) <= half
            for values, centre in zip((axes.z, axes.y, axes.x), nodule.centre, strict=True)
        )
        return np.asarray(z[:, None, None] & y[None, :, None] & x[None, None, :])


def _spots(abdomen: Abdomen, rng: np.random.Generator, radius: float) -> Sequence[tuple[float, float, float]]:
    """Up to five points (z, y, x) deep enough in the liver, in random order; at least two."""
    depth = abdomen.depth
    deep = np.flatnonzero(depth > min(0.55 * radius, 0.75 * float(depth.max())))
    chosen = rng.choice(deep, min(5, len(deep)), replace=False)
    voxels = np.stack(np.unravel_index(chosen, depth.shape), -1)
    points = [(float(p[2]), float(p[1]), float(p[0])) for p in abdomen.geometry.to_ras(voxels)]
    return points if len(points) > 1 else points * 2
