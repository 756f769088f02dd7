"""Patients of the synthetic TACE world as the segmenter learns from them: treated patches and whole abdomens.

They are of version 3 of the world: scans have a scanner's noise, grains of Lipiodol, a territory that is fed, one of
two phases and weeks between them. Outcomes are those of the world, and those that the dynamics models simulate from the
scan before treatment: on coarse maps, painted on the voxels of the scan, and latent, in the patch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes, derive_seed
from MeWMLib.cohorts.synthetic.scan import Scan
from MeWMLib.cohorts.synthetic.study import PHASES, StudyPatient
from MeWMLib.cohorts.synthetic.world import lps_grid, whole_geometry
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import replica_seeds
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import TUMOUR, Geometry, LabelMap, Volume
from MeWMLib.dynamics.map_model import MapModel
from MeWMLib.dynamics.model import DynamicsModel
from MeWMLib.lab.synthetic.cases import protocols_for
from MeWMLib.perception.findings import measure
from MeWMLib.perception.preprocess import PATCH_FIT_MM, PATCH_SIZE, patch_geometry, resample
from MeWMLib.rendering.outline import labels_after
from MeWMLib.rendering.painter import paint, treated_weight
from MeWMLib.rendering.scan_estimate import ScanEstimate
from MeWMLib.world.patch import TreatedPatch
from MeWMLib.world.region import TreatedRegion

#: Outcomes of each patient by the world, by the coarse maps and by the latent model: on its patch, and in its abdomen.
OUTCOMES, PAINTED, LATENT = 3, 3, 2
OUTCOMES_ABDOMEN, PAINTED_ABDOMEN = 2, 1
#: Share of scans in the portal phase; how often weeks and territory of a session are told to the simulation.
PORTAL, TOLD = 0.65, 0.5
#: Side of the drawn cube over that of the patch, so that the patch stays inside it wherever it is moved.
DRAWN = 1.4
#: Steps of the samplers, as `mewm evaluate` takes.
STEPS = 4
#: Where a scan comes from: drawn before or after treatment, painted from coarse maps, or decoded from the latent.
BEFORE, AFTER, BY_MAPS, BY_LATENT = range(4)

Labels = NDArray[np.uint8]
Shown = tuple[NDArray[np.float32], Labels, float]


@dataclass(frozen=True, eq=False)
class Simulators:
    """Dynamics models of which outcomes are drawn too; any may be missing.

    Attributes:
        maps: on coarse maps.
        latent: in the latent of the patch.
        deviating: share of patients whose simulated responses deviate from the expected one, as replicas do.
    """

    maps: MapModel | None = None
    latent: DynamicsModel | None = None
    deviating: float = 0.5


@dataclass(frozen=True, eq=False)
class KnownScans:
    """Scans (D, H, W) of one patient on one grid, each with its labels, its viable tumour (ml) and its origin."""

    spacing_mm: float
    hu: list[NDArray[np.float32]] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    viable_ml: list[float] = field(default_factory=list)
    origins: list[int] = field(default_factory=list)

    def add(self, origin: int, shown: Shown) -> None:
        """Add a scan."""
        hu, labels, viable_ml = shown
        self.hu.append(hu)
        self.labels.append(labels)
        self.viable_ml.append(viable_ml)
        self.origins.append(origin)


@dataclass(frozen=True, eq=False)
class _Study:
    """A patient's scans on one grid: before treatment and after some protocols of one session."""

    patient: StudyPatient
    protocols: Sequence[Protocol]
    before: Scan
    after: Sequence[Scan]
    rng: np.random.Generator

    @classmethod
    def draw(cls, patient: StudyPatient, grid: Geometry, outcomes: int, rng: np.random.Generator) -> _Study:
        phase = PHASES[int(rng.random() >= PORTAL)]
        complete = [p for p in protocols_for(patient) if p.drugs and p.embolics]
        protocols = [complete[i] for i in rng.permutation(len(complete))[:outcomes]]
        before, *after = patient.render_all(grid, [None, *protocols], session=patient.session, phase=phase)
        return cls(patient, protocols, before, after, rng)

    @cached_property
    def known(self) -> Patient:
        """What the simulators are given: the scan before treatment, with the world's labels."""
        scan = self.before
        ct, labels = Volume(scan.hu, scan.geometry, scan.phase), LabelMap(scan.labels, scan.geometry)
        return Patient(str(self.patient.seed), ct, labels, measure(ct, labels, sizes_only=True))

    def painted(self, model: MapModel, count: int, spread: float) -> list[Shown]:
        """Sampled outcomes on the voxels of the scan, with the labels of what was sampled."""
        patient = self.known
        ct, labels = patient.ct, patient.labels
        region = TreatedRegion.of(patient)
        encoded = model.encode(region.hu, region.targets, region.liver, region.geometry, ct.phase == "arterial")
        told = self.rng.random(2) < TOLD
        fed = self.patient.fed.share(Axes.of(region.geometry)) if told[0] else None
        seeds = replica_seeds(self.patient.seed, count)
        protocols = [self.protocols[n % len(self.protocols)] for n in range(count)]
        weeks = self.patient.session.weeks if told[1] else None
        found = model.sample(encoded, protocols, seeds, fed, weeks, STEPS, spread)
        box, weight = treated_weight(labels.tumour, ct.geometry)
        estimate = ScanEstimate.of(ct, box)
        out = []
        for maps, seed in zip(found, seeds, strict=True):
            hu = np.array(ct.array, np.float32)
            hu[box] += paint(ct, box, weight, maps, seed, estimate)
            viable = float(maps.viable.sum(dtype=np.float64)) * maps.geometry.voxel_ml
            out.append((hu, labels_after(labels, box, weight, maps, region.targets).array, viable))
        return out


def draw_patch(seed: int, simulators: Simulators | None = None) -> KnownScans:
    """The treated patch before treatment, after `OUTCOMES` protocols, and as the dynamics simulate it.

    Scans are drawn on the voxels of the patient's scanner and brought to the patch that a plan cuts out of them, in
    half of the patients moved and resized a little, so that the lesion is not always in the middle.

    Args:
        seed: of the patient.
        simulators: None leaves the simulated outcomes out.
    """
    simulators = simulators or Simulators()
    patient = StudyPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("assistant patch", seed))
    study = _Study.draw(patient, _around(patient), OUTCOMES, rng)
    known = study.known
    grid = patch_geometry(known.labels)
    if rng.random() < 0.5:
        grid = _moved(grid, rng)
    patch = TreatedPatch.at(grid, known.ct, known.labels)
    out = KnownScans(grid.spacing[0])

    def seen(shown: Shown) -> Shown:
        hu, labels, viable_ml = shown
        return resample(hu, known.ct.geometry, grid), resample(labels, known.ct.geometry, grid, "nearest", 0), viable_ml

    out.add(BEFORE, (patch.hu, patch.labels, _viable_ml(study.before)))
    for scan in study.after:
        out.add(AFTER, seen((scan.hu, scan.labels, _viable_ml(scan))))
    spread = float(rng.random() < simulators.deviating)
    if simulators.maps is not None and known.labels.tumour.any():
        for shown in study.painted(simulators.maps, PAINTED, spread):
            out.add(BY_MAPS, seen(shown))
    if simulators.latent is not None:
        for shown in _decoded(simulators.latent, patch, study.protocols[:LATENT], seed, spread):
            out.add(BY_LATENT, shown)
    return out


def _decoded(
    model: DynamicsModel, patch: TreatedPatch, protocols: Sequence[Protocol], seed: int, spread: float
) -> list[Shown]:
    """Outcomes of the latent model in a patch, with the response that they were drawn for."""
    encoded = model.encode(patch.hu, patch.labels, patch.spacing_mm)
    seeds = replica_seeds(seed, len(protocols))
    changes = list(model.simulate(encoded, protocols, seeds, STEPS, spread=spread))
    if not model.tells_response:
        return [(patch.simulated(change), patch.labels, float("nan")) for change in changes]
    viable_ml = patch.findings(patch.hu, patch.labels).viable_ml
    responses = model.responses(encoded, protocols, seeds, spread).astype(np.float64)
    return [
        (patch.simulated(patch.fill_shrunken_rim(c, ratio)), patch.scale_tumour(ratio), viable_ml * ratio * (1 - dead))
        for c, (dead, ratio, _) in zip(changes, responses, strict=True)
    ]


def _viable_ml(scan: Scan) -> float:
    return float(scan.viable.sum()) * scan.geometry.voxel_ml


def _around(patient: StudyPatient) -> Geometry:
    """The scanner's grid around the first nodule, wide enough for the patch wherever it is moved.

    Around a large nodule, whose patch is coarse, voxels are wider in plane than the scanner's.
    """
    nodule = patient.nodules[0]
    patch_mm = max(1.0, 2 * 1.15 * nodule.radius / PATCH_FIT_MM)
    slices, *plane = patient.scanner.spacing
    step = max(plane[0], 0.75 * patch_mm)
    side = PATCH_SIZE * patch_mm * DRAWN
    k, j = (2 * int(np.ceil(0.5 * side / s)) + 1 for s in (slices, step))
    z, y, x = nodule.centre
    return lps_grid((k, j, j), (slices, step, step), (x + j // 2 * step, y + j // 2 * step, z - k // 2 * slices))


def _moved(grid: Geometry, rng: np.random.Generator) -> Geometry:
    """A cube of another size nearby: up to 15 % larger voxels, its centre up to 10 voxels away along each axis."""
    scale = rng.uniform(0.95, 1.15)
    centre = grid.to_ras((np.array(grid.shape) - 1) / 2) + rng.uniform(-10, 10, 3) * grid.spacing[0]
    affine = grid.affine.copy()
    affine[:3, :3] *= scale
    half = affine[:3, :3] @ ((np.array(grid.shape[::-1]) - 1) / 2)
    affine[:3, 3] = centre - half
    return Geometry(grid.shape, affine)


def draw_abdomen(seed: int, simulators: Simulators | None = None) -> KnownScans:
    """The whole abdomen before, after `OUTCOMES_ABDOMEN` protocols and as the maps simulate it.

    Voxels are of 1.4 to 1.8 mm. Arguments are those of `draw_patch`.
    """
    simulators = simulators or Simulators()
    patient = StudyPatient.draw(seed)
    rng = np.random.default_rng(derive_seed("assistant abdomen", seed))
    spacing = float(rng.uniform(1.4, 1.8))
    study = _Study.draw(patient, whole_geometry((spacing,) * 3), OUTCOMES_ABDOMEN, rng)
    out = KnownScans(spacing)
    for origin, scan in ((BEFORE, study.before), *((AFTER, scan) for scan in study.after)):
        out.add(origin, (scan.hu, scan.labels, _viable_ml(scan)))
    if simulators.maps is not None and (study.before.labels == TUMOUR).any():
        for shown in study.painted(simulators.maps, PAINTED_ABDOMEN, float(rng.random() < simulators.deviating)):
            out.add(BY_MAPS, shown)
    return out
