"""Numbers of a search brought to the scan's own voxels, where the patient's findings are measured, and to all tumour.

A search works on voxels of its own, where one tumour has a little more or less volume than on the scan, and in a region
that may leave other tumour out. A reader who finds 385 ml among the findings and in the written volume, and 275 ml
before treatment in the ranking, asks which is right: what is printed is told of all tumour of the scan.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from MeWMLib.core.outcome import ReplicaScore, TumourChange
from MeWMLib.core.patient import Patient
from MeWMLib.core.volume import Geometry
from MeWMLib.perception.findings import numbered


@dataclass(frozen=True)
class OnScan:
    """The tumour of a patient in a region and outside of it, where it stays, measured on the scan's own voxels.

    Attributes:
        tumour_ml: of all tumour in the region.
        viable_ml: what of it the findings call viable; None where they do not tell it.
        diameter_mm: longest axial diameter of the lesions of which most lies in the region.
        outside_ml, outside_viable_ml, outside_diameter_mm: the same of all other tumour.
        treated_percent: of all tumour of the patient, how much is treated there.
    """

    tumour_ml: float
    viable_ml: float | None
    diameter_mm: float
    treated_percent: float
    outside_ml: float = 0.0
    outside_viable_ml: float | None = 0.0
    outside_diameter_mm: float = 0.0

    @classmethod
    def of(cls, patient: Patient, region: Geometry) -> OnScan:
        """Measure a patient's tumour in a region."""
        labels, session = patient.labels, patient.session
        numbers = numbered(labels)
        places = np.argwhere(numbers)
        at = region.to_kji(labels.geometry.to_ras(places))
        inside = ((at > -0.5) & (at < np.array(region.shape) - 0.5)).all(axis=1)
        number = numbers[tuple(places.T)]
        sizes = np.bincount(number, minlength=len(patient.findings.lesions) + 1)
        share = np.bincount(number[inside], minlength=len(sizes)) / np.maximum(sizes, 1)
        treated = inside if session is None else inside & session.mask[tuple(places.T)]
        viable: list[float | None] = [0.0, 0.0]
        diameters = [0.0, 0.0]
        for lesion in patient.findings.lesions:
            part = float(share[lesion.index]) if lesion.index < len(share) else 0.0
            for where, some in enumerate((part, 1 - part)):
                known = viable[where]
                if some > 0:
                    lives = lesion.viable_ml
                    viable[where] = None if known is None or lives is None else known + some * lives
            where = 0 if part > 0.5 else 1
            diameters[where] = max(diameters[where], lesion.longest_axial_diameter_mm)
        voxel = labels.geometry.voxel_ml
        there = float(inside.sum())
        percent = 100.0 * float(treated.sum()) / max(len(places), 1)
        outside = (len(places) - there) * voxel, viable[1], diameters[1]
        return cls(there * voxel, viable[0], diameters[0], percent, *outside)

    def brought(self, score: ReplicaScore) -> ReplicaScore:
        """A score whose volumes and diameters are told of the scan: each by the ratio of what is before treatment.

        Tumour outside of the region is added: it stays as it is.
        """
        change = score.change
        viable, volume = self._ways(change.viable_ml_before, change.volume_ml_before)
        across = _ratio(self.diameter_mm, change.diameter_mm_before, 1.0)
        lipiodol, after = change.lipiodol_ml_after, change.diameter_mm_after
        told = TumourChange(
            volume_ml_before=volume(change.volume_ml_before),
            volume_ml_after=volume(change.volume_ml_after),
            viable_ml_before=viable(change.viable_ml_before),
            viable_ml_after=viable(change.viable_ml_after),
            lipiodol_ml_after=None if lipiodol is None else volume(lipiodol) - volume(0.0),
            diameter_mm_before=max(across * change.diameter_mm_before, self.outside_diameter_mm),
            diameter_mm_after=None if after is None else max(across * after, self.outside_diameter_mm),
            oil_ml_after=change.oil_ml_after,
        )
        volumes = (score.predicted_viable_ml, score.measured_viable_ml)
        predicted, measured = (None if one is None else viable(one) for one in volumes)
        return replace(score, change=told, predicted_viable_ml=predicted, measured_viable_ml=measured)

    def sizes(self, viable_ml: float, volume_ml: float, before: TumourChange) -> tuple[float, float]:
        """Viable and whole tumour of an outcome in the region, as `brought` tells them.

        Args:
            viable_ml, volume_ml: on the voxels of the search.
            before: whose volumes before treatment are on the same.
        """
        viable, volume = self._ways(before.viable_ml_before, before.volume_ml_before)
        return viable(viable_ml), volume(volume_ml)

    def _ways(self, viable_before: float, volume_before: float) -> tuple[Callable[[float], float], ...]:
        """From a viable and from a whole volume in the region to those of the scan."""
        volume = _ratio(self.tumour_ml, volume_before, 1.0)
        viable = _ratio(self.viable_ml, viable_before, volume)
        # where the findings do not tell it, all of it counts as viable
        alive = self.outside_ml if self.outside_viable_ml is None else self.outside_viable_ml
        return (lambda ml: viable * ml + alive), (lambda ml: volume * ml + self.outside_ml)


def _ratio(scan: float | None, search: float, otherwise: float) -> float:
    """By what a number of the search is multiplied; `otherwise` where one of the two is not known or nothing."""
    return scan / search if scan and search > 0 else otherwise
