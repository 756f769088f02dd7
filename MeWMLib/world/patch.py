"""The treated patch of one patient: the cube in which outcomes are simulated, outlined, measured and scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.outcome import TumourChange
from MeWMLib.core.patient import Findings, Patient
from MeWMLib.core.volume import LIVER, TUMOUR, Geometry, LabelMap, Volume
from MeWMLib.dynamics.compose import feather
from MeWMLib.perception.findings import measure
from MeWMLib.perception.preprocess import patch_geometry, resample
from MeWMLib.perception.viability import NO_LIVER, LiverReference, liver_reference
from MeWMLib.survival.config import size_covariates
from MeWMLib.survival.patches import five_views, half_resolution

FloatArray = NDArray[np.float32]
Labels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
#: Stands for tumour that is not treated while labels are resampled.
_UNTREATED = 3
#: How far around the liver's mean is taken that replaces the rim of a shrinking tumour, and what counts as grain.
LIVER_AROUND_MM = 8.0
GRAIN_VOXELS = 1.5
#: A surface that moves by less than this is replaced in part only, so that nothing jumps where it hardly moves.
RECEDES_VOXELS = 1.0


@dataclass(frozen=True, eq=False)
class TreatedPatch:
    """A patient's treated patch before treatment.

    Attributes:
        geometry: cube around the target lesion (see docs/ARCHITECTURE.md).
        hu: (D, H, W) CT before treatment.
        labels: (D, H, W) with all tumour, treated or not.
        weight: (D, H, W) 1 in the treated tumour, falling to 0 at the end of its dilated rim; where it is 0 nothing can
            change.
        untreated: (D, H, W) tumour that is not treated; None where there is none.
        liver: of the scan, by which its tumour is told to be viable; None tells it by two limits (`findings.measure`).
    """

    geometry: Geometry
    hu: FloatArray
    labels: Labels
    weight: FloatArray
    untreated: Mask | None = None
    liver: LiverReference | None = None

    @classmethod
    def of(cls, patient: Patient) -> TreatedPatch:
        """Cut the patch of a patient, for what their session treats.

        Raises:
            NoTumourError: the labels hold no tumour.
        """
        session = patient.session
        if session is None:
            return cls.at(patch_geometry(patient.labels), patient.ct, patient.labels)
        return cls.at(session.patch, patient.ct, patient.labels, session.mask)

    @classmethod
    def at(cls, geometry: Geometry, ct: Volume, known: LabelMap, treated: Mask | None = None) -> TreatedPatch:
        """Cut a patch out of a CT and its labels at a given place.

        Args:
            geometry: of the patch.
            ct, known: on one grid.
            treated: (K, J, I) the tumour of `known` that is treated; None for all of it.
        """
        hu = resample(ct.array, ct.geometry, geometry).astype(np.float32)
        array = known.array if treated is None else np.where(known.tumour & ~treated, _UNTREATED, known.array)
        labels = resample(array.astype(np.uint8, copy=False), known.geometry, geometry, "nearest", 0)
        untreated = labels == _UNTREATED
        if not untreated.any():
            return cls(geometry, hu, labels, _weight(labels, geometry))
        labels[untreated] = LIVER
        weight = np.where(untreated, 0, _weight(labels, geometry)).astype(np.float32)
        labels[untreated] = TUMOUR
        return cls(geometry, hu, labels, weight, untreated)

    @cached_property
    def treated_labels(self) -> Labels:
        """Labels (D, H, W) in which tumour that is not treated counts as liver."""
        return self.labels if self.untreated is None else np.where(self.untreated, LIVER, self.labels).astype(np.uint8)

    @property
    def spacing_mm(self) -> float:
        """Edge of a voxel."""
        return self.geometry.spacing[0]

    def simulated(self, change: FloatArray) -> FloatArray:
        """HU after a simulated change (D, H, W), feathered as in the full CT."""
        return np.asarray(self.hu + change * self.weight, np.float32)

    def fill_shrunken_rim(self, change: FloatArray, ratio: float) -> FloatArray:
        """A simulated change (D, H, W) in which the rim that `scale_tumour(ratio)` takes from the tumour becomes liver.

        A network that draws a shrinking tumour leaves something between tumour and liver in that rim; measuring the
        image would find the outline before treatment again, and what shrank most would look most viable. The rim takes
        the mean of the liver nearby and keeps the grain of the scan before. Where nothing shrinks nothing changes.
        """
        surface = self._depth_at(ratio)
        receded = self._depth_at(1.0) - surface
        if receded <= 0:
            return change
        # one voxel of transition; what blurs the old surface outwards goes with it
        share = np.where(np.isfinite(self._depth), np.clip(self._depth - surface, 0, 1), 0)
        share *= min(1.0, receded / RECEDES_VOXELS)
        return np.asarray(change + share * (self._as_liver - self.hu - change), np.float32)

    @cached_property
    def _as_liver(self) -> FloatArray:
        """HU (D, H, W) of liver wherever it is asked for: the mean of the liver within some 8 mm, and the grain."""
        liver = self.labels == LIVER
        width = LIVER_AROUND_MM / self.spacing_mm
        near = ndimage.gaussian_filter(liver.astype(np.float32), width)
        total = ndimage.gaussian_filter(np.where(liver, self.hu, 0).astype(np.float32), width)
        # deep in a mass no liver is near: the liver as a whole
        whole = float(self.hu[liver].mean()) if liver.any() else float(self.hu.mean())
        mean = (total + 1e-3 * whole) / (near + 1e-3)
        return np.asarray(mean + self.hu - ndimage.gaussian_filter(self.hu, GRAIN_VOXELS), np.float32)

    def labels_after(self, before: Labels | None, after: Labels | None) -> Labels:
        """Labels after treatment, by what the segmenter sees differently.

        The given labels stay the reference: a tumour voxel is gone where the segmenter saw tumour before and sees none
        after, and new where it is the other way round. So what the segmenter misses in both images is not counted as
        cured, and what it takes for tumour in both is not counted as growth.

        Args:
            before, after: the segmenter's labels of the patch before and after; None keeps the outline.

        Returns:
            (D, H, W); changed only in the liver and only where the CT could change.
        """
        if before is None or after is None:
            return self.labels.copy()
        saw, sees = before == TUMOUR, after == TUMOUR
        tumour = self.labels == TUMOUR
        moved = (tumour & ~(saw & ~sees)) | (sees & ~saw)
        # Single voxels in which the segmenter wavers are not a change of outline.
        smooth = ndimage.gaussian_filter(moved.astype(np.float32), 1.0) > 0.5
        changed = self._free & (moved != tumour) & (smooth != tumour)
        return np.where(changed, np.where(smooth, TUMOUR, LIVER), self.labels).astype(np.uint8)

    def scale_tumour(self, ratio: float) -> Labels:
        """Labels (D, H, W) with the treated tumour grown or shrunk, evenly along its surface, to `ratio` of its volume.

        The liver bounds its growth, and only what can change takes part; tumour that is not treated stays.
        """
        wanted = self._wanted(ratio)
        tumour = np.zeros(self._depth.size, bool)
        tumour[np.argpartition(self._depth.ravel(), wanted - 1)[:wanted]] = True
        scaled = np.where(tumour.reshape(self.labels.shape), TUMOUR, LIVER)
        return np.where(self._free, scaled, self.labels).astype(np.uint8)

    def _wanted(self, ratio: float) -> int:
        """Voxels of a tumour of `ratio` of its volume."""
        free = max(1, int(self._free.sum()))
        return int(np.clip(round(ratio * float((self.treated_labels == TUMOUR).sum())), 1, free))

    def _depth_at(self, ratio: float) -> float:
        """Depth of the surface of such a tumour."""
        wanted = self._wanted(ratio)
        return float(np.partition(self._depth.ravel(), wanted - 1)[wanted - 1])

    @cached_property
    def _free(self) -> NDArray[np.bool_]:
        """Where treated tumour can be: (D, H, W) in the liver and where the CT could change."""
        return (self.weight > 0) & (self.labels >= LIVER)

    @cached_property
    def _depth(self) -> FloatArray:
        """`_outward` (D, H, W) where tumour can be, infinite elsewhere."""
        return np.asarray(np.where(self._free, self._outward, np.inf), np.float32)

    @cached_property
    def _outward(self) -> FloatArray:
        """Distance (D, H, W) to the treated tumour's surface in voxels, negative inside.

        Voxels of one distance, of which there are whole shells, are told apart by the smoothed distance.
        """
        tumour = self.treated_labels == TUMOUR
        outside, inside = ndimage.distance_transform_edt(~tumour), ndimage.distance_transform_edt(tumour)
        distance = outside - inside
        return np.asarray(distance + 0.1 * ndimage.gaussian_filter(distance, 2.0), np.float32)

    def told_by_liver(self, phase: str) -> TreatedPatch:
        """The patch, with its tumour measured against the liver that it shows, as in a scan of this phase."""
        seen = Volume(self.hu, self.geometry, phase)
        return replace(self, liver=liver_reference(seen, LabelMap(self.labels, self.geometry)) or NO_LIVER)

    def findings(self, hu: FloatArray, labels: Labels) -> Findings:
        """Sizes of the tumour in an image and labels on this patch."""
        return measure(Volume(hu, self.geometry), LabelMap(labels, self.geometry), sizes_only=True, liver=self.liver)

    def change(self, before: Findings, after: Findings) -> TumourChange:
        """What happened to the tumour in the patch."""
        return TumourChange(
            volume_ml_before=before.tumour_ml,
            volume_ml_after=after.tumour_ml,
            viable_ml_before=before.viable_ml,
            viable_ml_after=after.viable_ml,
            lipiodol_ml_after=sum(x.volume_ml * x.lipiodol_fraction for x in after.lesions),
            diameter_mm_before=max((x.longest_axial_diameter_mm for x in before.lesions), default=0.0),
            diameter_mm_after=max((x.longest_axial_diameter_mm for x in after.lesions), default=0.0),
        )

    def covariates(self, change: TumourChange) -> FloatArray:
        """Size covariates of the survival network."""
        return size_covariates(self.spacing_mm, change.volume_ml_before, change.volume_ml_after, change.viable_ml_after)

    @staticmethod
    def views(hu: FloatArray, labels: Labels) -> NDArray[np.float16]:
        """What the survival network sees: (5, 2, d, h, w)."""
        return np.asarray(five_views(half_resolution(hu, labels == TUMOUR)))


def _weight(labels: Labels, geometry: Geometry) -> FloatArray:
    whole = tuple(slice(0, n) for n in geometry.shape)
    return feather(LabelMap(labels, geometry), whole, geometry)  # type: ignore[arg-type]
