"""Test patients of version 3 of the world as the product meets them, with the truth on voxels and in cubes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.cohorts.synthetic.fields import Axes
from MeWMLib.cohorts.synthetic.outcome import Session
from MeWMLib.cohorts.synthetic.scan import Scan
from MeWMLib.cohorts.synthetic.study import StudyPatient
from MeWMLib.cohorts.synthetic.territories import Fed
from MeWMLib.cohorts.synthetic.world import lps_grid
from MeWMLib.core.coarse_maps import MAP_MM, FloatArray, OutcomeMaps, seen_hu
from MeWMLib.core.patient import Patient
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, Geometry, LabelMap, Volume
from MeWMLib.lab.evaluation.known_patients import Image, mean_error
from MeWMLib.lab.synthetic.cases import drug_twins, protocols_for
from MeWMLib.lab.synthetic.survival import true_log_risk
from MeWMLib.perception.cubes import cube_means
from MeWMLib.perception.findings import LIPIODOL_HU
from MeWMLib.rendering.iodine import rise_hu
from MeWMLib.rendering.painter import expected_image, paint, treated_weight
from MeWMLib.rendering.scan_estimate import Box, ScanEstimate
from MeWMLib.world.map_simulator import PreparedRegion
from MeWMLib.world.model import WorldModel

#: What is drawn around the nodules: the region in cubes with its margin, and the pose of the scan.
AROUND_MM = 48.0
#: Pictures show so much more than the treated box, as a share of its sides.
SHOWN_AROUND = 0.2


@dataclass(frozen=True, eq=False)
class Truth:
    """What a session leaves.

    Attributes:
        maps: in the cubes of the region: all tumour in it, Lipiodol in its grains.
        image: (K, J, I) HU of the scan, on the shown voxels of the scan before.
        tumour: (K, J, I) of the same.
    """

    maps: OutcomeMaps
    image: Image
    tumour: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class KnownStudy:
    """A patient of version 3 whose outcome is known under every protocol, in the session that was drawn for them.

    Attributes:
        drawn: the synthetic patient.
        patient: what the product is given: the CT by their own scanner, true labels, phase, and the session with its
            territory.
        ready: the same, prepared by the model that is measured.
        protocols: complete ones; the first was given.
        twins: protocols that differ in the drug alone.
    """

    drawn: StudyPatient
    patient: Patient
    ready: PreparedRegion
    protocols: tuple[Protocol, ...]
    twins: tuple[Protocol, ...]

    @classmethod
    def draw(cls, world: WorldModel, seed: int) -> KnownStudy:
        """Draw a test patient and prepare them for a model on coarse maps."""
        drawn, patient = meet_in_study(world, seed)
        ready = world.simulator.prepare(patient)
        assert isinstance(ready, PreparedRegion)
        protocols = tuple(p for p in protocols_for(drawn) if p.drugs and p.embolics)
        return cls(drawn, patient, ready, protocols, drug_twins(seed))

    @property
    def session(self) -> Session:
        """Weeks and territory of all protocols."""
        return self.drawn.session

    @cached_property
    def changes(self) -> tuple[Box, FloatArray]:
        """Where the scan may change, and how far."""
        session = self.patient.session
        assert session is not None and session.targets is not None
        untreated = self.patient.labels.tumour & ~session.targets
        return treated_weight(session.targets, self.patient.ct.geometry, untreated)

    @cached_property
    def shown(self) -> Box:
        """The box of the CT that images hold: where it may change, and some more for pictures."""
        shape = self.patient.ct.array.shape
        more = [int(np.ceil(SHOWN_AROUND * (s.stop - s.start))) for s in self.changes[0]]
        k, j, i = (
            slice(max(0, s.start - m), min(n, s.stop + m)) for s, m, n in zip(self.changes[0], more, shape, strict=True)
        )
        return k, j, i

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(K, J, I) of the shown voxels: the dilated targets, where a simulation may change the CT."""
        out = np.zeros(self.before.shape, bool)
        out[self._inner] = self.changes[1] > 0
        return out

    @cached_property
    def labels(self) -> NDArray[np.uint8]:
        """(K, J, I) before treatment, of the shown voxels."""
        return self.patient.labels.array[self.shown]

    @cached_property
    def before(self) -> Image:
        """(K, J, I) HU before treatment, of the shown voxels."""
        return self.patient.ct.array[self.shown].astype(np.float32)

    @cached_property
    def cubes_inside(self) -> NDArray[np.bool_]:
        """(k, j, i) cubes of the targets and the ones beside them, without other tumour."""
        region = self.ready.region
        return np.asarray(ndimage.binary_dilation(region.targets > 0.02) & (region.untreated < 0.5))

    @property
    def tumour_ml(self) -> float:
        """Targets before treatment."""
        return self.ready.treated.tumour_ml

    @property
    def cubes(self) -> Geometry:
        """Of the region."""
        return self.ready.region.geometry

    @cached_property
    def _inner(self) -> Box:
        """Where the box that may change lies in the shown voxels."""
        k, j, i = (slice(s.start - w.start, s.stop - w.start) for s, w in zip(self.changes[0], self.shown, strict=True))
        return k, j, i

    @cached_property
    def _estimate(self) -> ScanEstimate:
        return ScanEstimate.of(self.patient.ct, self.changes[0])

    def painted(self, maps: OutcomeMaps, seed: int) -> Image:
        """(K, J, I) HU of the shown voxels after an outcome, as the product writes a replica."""
        image: Image = self.before.copy()
        image[self._inner] += paint(self.patient.ct, *self.changes, maps, seed, self._estimate)
        return image

    def expected(self, maps: OutcomeMaps) -> Image:
        """(K, J, I) HU of the shown voxels that are expected, as `WorldModel.expected` writes them."""
        image: Image = self.before.copy()
        box, weight = self.changes
        image[self._inner] = np.where(
            weight > 0, expected_image(self.patient.ct, box, weight, maps), image[self._inner]
        )
        return image

    def truths(self, protocols: Sequence[Protocol], session: Session | None = None) -> list[Truth]:
        """What is true after each protocol, in the session of the patient if none is given."""
        session = session or self.session
        shown = self.shown
        grid = self.patient.ct.geometry.crop(
            (shown[0].start, shown[1].start, shown[2].start),
            (self.before.shape[0], self.before.shape[1], self.before.shape[2]),
        )
        maps = self.true_maps(protocols, session)
        scans = self.drawn.render_all(grid, protocols, session=session)
        return [Truth(m, np.asarray(s.hu, np.float32), s.labels == 2) for m, s in zip(maps, scans, strict=True)]

    def true_maps(self, protocols: Sequence[Protocol], session: Session) -> list[OutcomeMaps]:
        """The truth in cubes alone."""
        scans = self.drawn.render_all(self.ready.patch.geometry, protocols, noise=False, session=session)
        return [self._in_cubes(scan) for scan in scans]

    def _in_cubes(self, scan: Scan) -> OutcomeMaps:
        # the voxels of the search divide the cubes, and begin with them
        found = scan.coarse(MAP_MM)
        change = seen_hu(found.attenuation) - seen_hu(self.ready.region.hu)
        return OutcomeMaps(found.viable, found.tumour, change, found.iodine, self.cubes)

    def fed_cubes(self, fed: Fed) -> FloatArray:
        """Share (k, j, i) of each cube that a territory feeds, as the product gets it from a mask."""
        grid = self.patient.ct.geometry
        return cube_means(fed_mask(fed, grid), grid, self.cubes)

    def hu(self, maps: OutcomeMaps) -> FloatArray:
        """HU (k, j, i) of the cubes after an outcome, with its Lipiodol."""
        return np.asarray(seen_hu(self.ready.region.hu) + maps.change + rise_hu(maps.iodine), np.float32)

    def error(self, image: Image, truth: Image) -> float:
        """Mean absolute error (HU, inside the window of the networks) in the dilated targets."""
        return mean_error(image, truth, self.inside)

    def dense_ml(self, image: Image) -> float:
        """Volume of voxels as dense as Lipiodol in the dilated targets, ml."""
        dense = self.inside & (self.labels >= LIVER) & (image >= LIPIODOL_HU)
        return float(dense.sum()) * self.patient.ct.geometry.voxel_ml

    def viable_ml(self, maps: OutcomeMaps) -> float:
        """Viable tumour in the region after a predicted outcome, ml: that of the targets, and what is not treated."""
        scale = self.ready.treated.tumour_ml / max(self.ready.outline_ml, 1e-6)
        return scale * _sum(maps.viable) * self.cubes.voxel_ml + self.ready.untreated_ml[0]

    def true_viable_ml(self, maps: OutcomeMaps) -> float:
        """Viable tumour in the region after a true outcome, ml."""
        return _sum(maps.viable) * self.cubes.voxel_ml

    def true_risks(self, truths: Sequence[Truth]) -> list[float]:
        """Log-hazard under each of `protocols`, by the law and the viable tumour in the region."""
        pairs = zip(truths, self.protocols, strict=True)
        return [true_log_risk(self.true_viable_ml(t.maps), self.drawn.response(p)) for t, p in pairs]


def meet_in_study(world: WorldModel, seed: int) -> tuple[StudyPatient, Patient]:
    """A patient of version 3, and what the product is given: CT, true labels, phase and session."""
    drawn = StudyPatient.draw(seed)
    grid = scan_grid(drawn)
    before = drawn.render_all(grid, [None], session=drawn.session)[0]
    ct = Volume(np.rint(before.hu).astype(np.int16), grid, before.phase)
    patient = world.patient(ct, LabelMap(before.labels, grid), id=str(seed))
    return drawn, world.treating(patient, fed=fed_mask(drawn.fed, grid))


def scan_grid(patient: StudyPatient) -> Geometry:
    """The scanner's own voxels around all nodules, with `AROUND_MM` on every side."""
    reach = [1.2 * n.radius + AROUND_MM for n in patient.nodules]
    low = np.min([np.array(n.centre) - r for n, r in zip(patient.nodules, reach, strict=True)], 0)
    high = np.max([np.array(n.centre) + r for n, r in zip(patient.nodules, reach, strict=True)], 0)
    spacing = patient.scanner.spacing
    k, j, i = (int(np.ceil((h - a) / s)) + 1 for a, h, s in zip(low, high, spacing, strict=True))
    return lps_grid((k, j, i), spacing, (float(high[2]), float(high[1]), float(low[0])))


def fed_mask(fed: Fed, grid: Geometry) -> NDArray[np.bool_]:
    """A territory as the mask (K, J, I) that a physician paints."""
    return np.asarray(fed.share(Axes.of(grid)) >= 0.5)


def _sum(values: FloatArray) -> float:
    return float(values.sum(dtype=np.float64))
