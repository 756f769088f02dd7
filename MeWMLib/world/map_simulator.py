"""Simulate and score replicas by a dynamics model on coarse maps: every treated lesion whole, in one region.

A search needs numbers alone, so that its images are the coarse maps brought to voxels of 1 or 2 mm; the scan's own
voxels are painted for the protocols that are written (`world.model.WorldModel.simulate`). How the images of a search
are measured: `world.measured`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.coarse_maps import MAP_MM, OutcomeMaps
from MeWMLib.core.outcome import ReplicaScore, TumourChange
from MeWMLib.core.patient import Patient
from MeWMLib.core.plan import ASSISTANT, IMAGE, MODEL, PlanSettings
from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import LIVER, TUMOUR, Geometry, centred_grid
from MeWMLib.dynamics.map_model import EncodedRegion, MapModel
from MeWMLib.perception.cubes import Refined, cube_means
from MeWMLib.perception.phase import phase_of
from MeWMLib.perception.preprocess import patch_geometry, resample
from MeWMLib.planning.search import Hint
from MeWMLib.rendering.iodine import rise_hu
from MeWMLib.rendering.scan_estimate import Box
from MeWMLib.rendering.treated_scan import TreatedScan
from MeWMLib.survival.config import chosen_covariates
from MeWMLib.survival.network import Assessor
from MeWMLib.world.measured import ViableMeasure
from MeWMLib.world.on_scan import OnScan
from MeWMLib.world.patch import FloatArray, Labels, TreatedPatch
from MeWMLib.world.region import TreatedRegion
from MeWMLib.world.replicas import SimulatedReplica
from MeWMLib.world.response_prediction import DIGITS, predicts_response
from MeWMLib.world.simulator import Check, PreparedPatient, Simulator, Trial

#: Voxels of the images of a search; the fine ones where all that is treated is small (longest side, mm).
VIEW_MM, FINE_VIEW_MM, SMALL_MM = 2.0, 1.0, 24.0


@dataclass(frozen=True, eq=False)
class PreparedRegion(PreparedPatient):
    """A prepared patient whose region is simulated in cubes.

    Attributes:
        region: in cubes.
        maps: the same for the network.
        cube: the patch around the target, which the survival network looks at.
        viable: measures viable tumour in images on the voxels of the search.
        patient: who it is.
    """

    region: TreatedRegion = None  # type: ignore[assignment]  # fields of the base have defaults
    maps: EncodedRegion = None  # type: ignore[assignment]
    cube: TreatedPatch = None  # type: ignore[assignment]
    viable: ViableMeasure = None  # type: ignore[assignment]
    patient: Patient = None  # type: ignore[assignment]

    @property
    def outlined(self) -> Labels:
        """(D, H, W) the labels that the segmenter is held against."""
        return self.cube.labels

    @cached_property
    def treated_scan(self) -> TreatedScan:
        """Of the CT and what is treated of it, to paint outcomes on."""
        session, region = self.patient.session, self.region
        chosen = None if session is None else session.targets
        return TreatedScan.of(self.patient.ct, self.patient.labels, chosen, region.targets, region.geometry)

    @cached_property
    def to_patch(self) -> Refined:
        """From maps to the whole patch."""
        return Refined.of(self.region.geometry, self.patch.geometry)

    @cached_property
    def to_cube(self) -> tuple[Box, Refined]:
        """From maps to the part of the cube that can change, and that part."""
        there = ndimage.find_objects((self.cube.weight > 0).view(np.uint8))
        box: Box = there[0] if there else (slice(0, 1),) * 3
        return box, Refined.of(self.region.geometry, self.cube.geometry, box)

    @property
    def outline_ml(self) -> float:
        """Targets by the sum of their shares."""
        return float(self.region.targets.sum(dtype=np.float64)) * self.region.geometry.voxel_ml

    @property
    def full(self) -> float:
        """Volume of the targets on the voxels of the search, of that by the sum of their shares."""
        return self.treated.tumour_ml / max(self.outline_ml, 1e-6)

    def volumes_of(self, maps: OutcomeMaps) -> tuple[float, float]:
        """Viable and whole tumour (ml) of the region after an outcome, on the voxels of the search."""
        voxel = maps.geometry.voxel_ml * self.full
        viable, tumour = (float(one.sum(dtype=np.float64)) * voxel for one in (maps.viable, maps.tumour))
        return viable + self.untreated_ml[0], tumour + self.untreated_ml[1]

    @cached_property
    def unmoved(self) -> TumourChange:
        """No change at all, with the volumes before treatment that outcomes are compared with."""
        same = self.patch.change(self.before, self.before)
        return replace(same, viable_ml_before=self.viable.before_ml, viable_ml_after=self.viable.before_ml)

    @property
    def untreated_ml(self) -> tuple[float, float]:
        """Viable and whole tumour in the region that is not treated, and so stays."""
        return self.viable.untreated_ml, max(0.0, self.before.tumour_ml - self.treated.tumour_ml)


class MapSimulator(Simulator):
    """Simulates replicas by coarse maps, several through the network together.

    Args:
        dynamics: draws the maps after treatment.
        assessor: the survival network.
        segmenter: outlines tumour in scans from elsewhere.
        chunk: how many replicas go through the network together.
    """

    whole = True

    def __init__(self, dynamics: MapModel, assessor: Assessor, segmenter: Any, chunk: int) -> None:
        # on a CPU two rows together gain nothing, and one a chunk keeps every bit of it whatever is simulated beside it
        alone = dynamics.device.type == "cpu"
        beside = torch.get_num_threads() if alone else 1
        super().__init__(dynamics, assessor, segmenter, 1 if alone else chunk, beside)
        self.maps = dynamics

    def _prepare(self, patient: Patient) -> PreparedRegion:
        region, session = TreatedRegion.of(patient), patient.session
        targets = None if session is None else session.targets
        view = _view(region.geometry, region.targets)
        patch = TreatedPatch.at(view, patient.ct, patient.labels, targets).told_by_liver(phase_of(patient.ct))
        where = patch_geometry(patient.labels) if session is None else session.patch
        cube = TreatedPatch.at(where, patient.ct, patient.labels, targets)
        before = patch.findings(patch.hu, patch.labels)
        arterial = patient.ct.phase == "arterial"
        viable = ViableMeasure.of(patch, "arterial" if arterial else "portal")
        alive, fall = (cube_means(one, patch.geometry, region.geometry, fill) for one, fill in viable.tissue_before)
        encoded = self.maps.encode(region.hu, region.targets, region.liver, region.geometry, arterial, alive, fall)
        return PreparedRegion(
            patch=patch,
            encoded=encoded,
            before=before,
            treated=before if patch.untreated is None else patch.findings(patch.hu, patch.treated_labels),
            tokens=self.assessor.encode(cube.views(cube.hu, cube.labels)),
            see=lambda: self.segmenter.segment_patches(cube.hu[None], cube.spacing_mm)[0],
            on_scan=OnScan.of(patient, patch.geometry),
            region=region,
            maps=encoded,
            cube=cube,
            viable=viable,
            patient=patient,
        )

    def settled(self, settings: PlanSettings) -> PlanSettings:
        """The settings as they are: all are known."""
        return settings

    def _chunk(
        self,
        ready: PreparedPatient,
        trials: Sequence[Trial],
        asked: Sequence[bool],
        settings: PlanSettings,
        check: Check,
        drawn: bool,
        known: Sequence[SimulatedReplica | None] = (),
    ) -> list[SimulatedReplica]:
        """Simulate all trials of a chunk together, and score the first, as many as `asked` has."""
        assert isinstance(ready, PreparedRegion)
        check(0)
        former = [one for one in known if one is not None and one.mean is not None]
        found = self.maps.simulate(
            ready.maps, [p for p, _ in trials], [s for _, s in trials], ready.region.fed, settings.weeks,
            settings.steps if drawn else 0, settings.spread, guidance=settings.guidance, on_step=check,
            means=[one.mean for one in former] if len(former) == len(trials) else None,
        )  # fmt: skip
        check(0)
        scores = [one.score for one in former] if len(former) == len(trials) else [None] * len(trials)
        rows = zip(found, asked, scores, strict=False)
        return [self.replica(ready, *both, settings.judge, settings.weeks, every, score) for both, every, score in rows]

    def replica(
        self,
        ready: PreparedRegion,
        sample: OutcomeMaps | None,
        mean: OutcomeMaps,
        judge: str = IMAGE,
        weeks: float | None = None,
        every: bool = True,
        known: ReplicaScore | None = None,
    ) -> SimulatedReplica:
        """A replica, scored by what is expected with its response and territory, which has the lowest expected error.

        Args:
            ready: the patient.
            sample: what is shown of it; without one the images are those of the mean.
            mean: the mean of all that fit its response and territory.
            judge: of `PlanSettings`.
            weeks: from treatment to the scan; None where they are not known.
            every: ask the segmenter too how it would judge one that is shown, which takes seconds.
            known: the score of the same mean, where it was measured before.
        """
        # how far does the risk depend on what is believed? The segmenter is asked of what is written alone
        judges = [judge, *(one for one in (IMAGE, MODEL) if one != judge)]
        if sample is not None and every and ready.segmenter_counts and judge != ASSISTANT:
            judges.append(ASSISTANT)
        told = {} if known is None else known.risk_by
        asked = [one for one in judges if one not in told]
        # what is scored is the mean, what is shown the sample, where there is one
        seen = ready.to_patch(np.stack([*_changed(mean), np.asarray(mean.change, np.float32)])) if asked else None
        if sample is not None or seen is None:
            change, share = ready.to_patch(np.stack(_changed(mean if sample is None else sample)))
        else:
            change, share, _ = seen
        labels = _relabelled(ready.patch.labels, ready.patch.weight, share)
        scores = self.scores(ready, mean, asked, weeks, seen)
        risk_by = told | {name: one.log_risk for name, one in scores.items()}
        score = replace(scores[judge] if known is None else known, risk_by=risk_by)
        sizes = None if sample is None else ready.on_scan.sizes(*ready.volumes_of(sample), ready.unmoved)
        return SimulatedReplica(change, labels, score, sample, sample is not None, sizes, mean)

    def scores(
        self,
        ready: PreparedRegion,
        mean: OutcomeMaps,
        judges: Sequence[str],
        weeks: float | None = None,
        on_patch: FloatArray | None = None,
    ) -> dict[str, ReplicaScore]:
        """Score an expected outcome in one or several ways (`PlanSettings.judge`); arguments as for `replica`.

        `on_patch` (3, D, H, W): rise of HU, share of tumour and change of tissue on the patch, where they are known.
        """
        if not judges:
            return {}
        patch, cube = ready.patch, ready.cube
        rise, outline = _changed(mean)
        if on_patch is None:
            on_patch = ready.to_patch(np.stack([rise, outline, np.asarray(mean.change, np.float32)]))
        change, shared, dry = on_patch
        tissue = patch.simulated(dry)
        box, to_cube = ready.to_cube
        raised, drawn = to_cube(np.stack([rise, outline]))
        hu, outlined = cube.hu.copy(), cube.labels.copy()
        hu[box] += raised * cube.weight[box]
        outlined[box] = _relabelled(cube.labels[box], cube.weight[box], drawn)
        # by the maps: shares of cubes know small lesions better than voxels of an image do
        predicted, volume = ready.volumes_of(mean)
        by_maps = volume, ready.viable.in_image(tissue, shared, ready.full), outlined
        out = {}
        for judge in judges:
            tumour, measured, seen = by_maps
            if judge == ASSISTANT:
                known = self.labels_after(ready, patch.simulated(change)[None])[0]
                share = np.asarray((known == TUMOUR) & (patch.weight > 0), np.float32)
                tumour = float(share.sum(dtype=np.float64)) * patch.geometry.voxel_ml + ready.untreated_ml[1]
                measured, seen = ready.viable.in_image(tissue, share, 1.0), _in_cube(known, patch, cube)
            judged = replace(
                ready.unmoved,
                viable_ml_after=predicted if judge == MODEL else measured,
                volume_ml_after=tumour,
                lipiodol_ml_after=None,  # the expected image shows no single deposits
                diameter_mm_after=None,  # and joins lesions that lie side by side
                oil_ml_after=mean.lipiodol_ml,
            )
            risk, *found = self.assessor.judge(ready.tokens, cube.views(hu, seen), self._late(ready, judged, weeks))
            months, survival, members = (tuple(float(x) for x in values) for values in found)
            score = ReplicaScore(risk, months, survival, judged, members, predicted, measured)
            out[judge] = ready.on_scan.brought(score)
        return out

    def _late(self, ready: PreparedRegion, change: TumourChange, weeks: float | None = None) -> FloatArray:
        """Covariates of the survival network."""
        sizes = ready.cube.covariates(change)
        return chosen_covariates(self.assessor.config.covariates, sizes, weeks, ready.maps.arterial)

    def score(
        self, ready: PreparedPatient, hu: FloatArray, labels: Labels, predicted_viable_ml: float | None = None
    ) -> ReplicaScore:
        """Measure and score an image and labels on the search's voxels, wherever they come from."""
        assert isinstance(ready, PreparedRegion)
        patch, cube = ready.patch, ready.cube
        measured = ready.viable.in_scan(hu, labels == TUMOUR)
        change = replace(
            patch.change(ready.before, patch.findings(hu, labels)),
            viable_ml_before=ready.viable.before_ml,
            viable_ml_after=measured if predicted_viable_ml is None else predicted_viable_ml,
        )
        seen = resample(hu, patch.geometry, cube.geometry, "linear", -1000.0)
        seen = np.where(_covers(patch.geometry, cube.geometry), seen, cube.hu).astype(np.float32)
        known = _in_cube(labels, patch, cube)
        risk, *found = self.assessor.judge(ready.tokens, cube.views(seen, known), self._late(ready, change))
        months, survival, members = (tuple(float(x) for x in values) for values in found)
        score = ReplicaScore(risk, months, survival, change, members, predicted_viable_ml, measured)
        return ready.on_scan.brought(score)

    def hint(self, ready: PreparedPatient, seeds: Sequence[int], settings: PlanSettings) -> Hint | None:
        """Logs of the viable and of the whole volume that the maps will hold, as means over the replicas."""
        assert isinstance(ready, PreparedRegion)
        if not predicts_response(self.dynamics, settings):
            return None
        region, voxel = ready.region, ready.region.geometry.voxel_ml * ready.full

        def told(protocols: Sequence[Protocol]) -> NDArray[np.float64]:
            trials = [(p, seed) for p in protocols for seed in seeds]
            left = self.maps.left(
                ready.maps, [p for p, _ in trials], [s for _, s in trials], region.fed, settings.spread
            )
            logs = np.log1p(voxel * left + ready.untreated_ml)
            return np.round(logs.reshape(len(protocols), len(seeds), 2).mean(1), DIGITS)

        return told

    def fingerprint(self, ready: PreparedPatient) -> bytes:
        """What of a patient a simulation depends on."""
        assert isinstance(ready, PreparedRegion)
        region = ready.region
        fed = b"" if region.fed is None else region.fed.tobytes()
        arterial = b"a" if ready.maps.arterial else b""
        return b"".join([super().fingerprint(ready), region.hu.tobytes(), region.liver.tobytes(), fed, arterial])

    def outline_by(self, ready: PreparedPatient) -> str:
        """Who draws the outline of the tumour after treatment."""
        return "simulated response"

    def labels_after(self, ready: PreparedPatient, images: FloatArray) -> list[Labels]:
        """Labels of images (N, D, H, W) on the search's voxels, by what the segmenter sees differently in the cube."""
        assert isinstance(ready, PreparedRegion)
        patch, cube = ready.patch, ready.cube
        if not ready.segmenter_counts:
            return [patch.labels.copy() for _ in images]
        out = []
        for image in images:
            hu = resample(image, patch.geometry, cube.geometry, "linear", -1000.0)
            found = self.segmenter.segment_patches(hu[None].astype(np.float32), cube.spacing_mm)[0]
            labels = resample(
                cube.labels_after(ready.segmented_before, found), cube.geometry, patch.geometry, "nearest", 255
            )
            out.append(np.where(labels == 255, patch.labels, labels).astype(np.uint8))
        return out


def _view(cubes: Geometry, targets: FloatArray) -> Geometry:
    """The voxels of the search's images over a region."""
    touched = np.argwhere(targets > 0.02)
    longest = MAP_MM * float((touched.max(0) - touched.min(0) + 1).max()) if len(touched) else 0.0
    step = FINE_VIEW_MM if longest <= SMALL_MM else VIEW_MM
    times = round(MAP_MM / step)
    middle = cubes.to_ras((np.array(cubes.shape) - 1)[None] / 2)[0]
    return centred_grid(middle, (cubes.shape[0] * times, cubes.shape[1] * times, cubes.shape[2] * times), step)


def _changed(maps: OutcomeMaps) -> tuple[FloatArray, FloatArray]:
    """What maps say of an image: rise of HU, and share of tumour."""
    return np.asarray(maps.change + rise_hu(maps.iodine), np.float32), np.asarray(maps.tumour, np.float32)


def _relabelled(labels: Labels, weight: FloatArray, share: FloatArray) -> Labels:
    """Labels (D, H, W) after treatment: half of a voxel decides, where treated tumour can be."""
    free = (weight > 0) & (labels >= LIVER)
    return np.where(free, np.where(share >= 0.5, np.uint8(TUMOUR), np.uint8(LIVER)), labels)


def _in_cube(labels: Labels, patch: TreatedPatch, cube: TreatedPatch) -> Labels:
    """Labels of the search's voxels on those of the cube, whose own are kept beyond the region."""
    found = resample(labels, patch.geometry, cube.geometry, "nearest", 255)
    return np.where(found == 255, cube.labels, found).astype(np.uint8)


def _covers(patch: Geometry, cube: Geometry) -> FloatArray:
    """1 (D, H, W) where a voxel of the cube lies in the patch."""
    return resample(np.ones(patch.shape, np.float32), patch, cube, "nearest", 0.0)
