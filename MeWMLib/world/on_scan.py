"""Numbers of a search brought to the scan's own voxels, on which the patient's findings are measured.

A search works on voxels of its own, where one tumour has a little more or less volume than on the scan. A reader who
finds 31.7 ml among the findings and 31.3 ml before treatment asks which is right: what is printed is told of the scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from MeWMLib.core.outcome import ReplicaScore, TumourChange
from MeWMLib.core.patient import Patient
from MeWMLib.core.volume import Geometry
from MeWMLib.perception.findings import numbered


@dataclass(frozen=True)
class OnScan:
    """The tumour in a region, measured on the scan's own voxels.

    Attributes:
        tumour_ml: of all tumour in the region.
        viable_ml: what of it the findings call viable; None where they do not tell it.
        diameter_mm: longest axial diameter of the lesions of which most lies in the region.
        treated_percent: of all tumour of the patient, how much is treated there.
    """

    tumour_ml: float
    viable_ml: float | None
    diameter_mm: float
    treated_percent: float

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
        viable: float | None = 0.0
        diameter = 0.0
        for lesion in patient.findings.lesions:
            part = float(share[lesion.index]) if lesion.index < len(share) else 0.0
            if part > 0:
                known = viable is not None and lesion.viable_ml is not None
                viable = viable + part * lesion.viable_ml if known else None  # type: ignore[operator]
            if part > 0.5:
                diameter = max(diameter, lesion.longest_axial_diameter_mm)
        voxel = labels.geometry.voxel_ml
        percent = 100.0 * float(treated.sum()) / max(len(places), 1)
        return cls(float(inside.sum()) * voxel, viable, diameter, percent)

    def brought(self, score: ReplicaScore) -> ReplicaScore:
        """A score whose volumes and diameters are told of the scan: each by the ratio of what is before treatment."""
        change = score.change
        volume = _ratio(self.tumour_ml, change.volume_ml_before, 1.0)
        viable = _ratio(self.viable_ml, change.viable_ml_before, volume)
        across = _ratio(self.diameter_mm, change.diameter_mm_before, 1.0)
        lipiodol = change.lipiodol_ml_after
        told = TumourChange(
            volume_ml_before=volume * change.volume_ml_before,
            volume_ml_after=volume * change.volume_ml_after,
            viable_ml_before=viable * change.viable_ml_before,
            viable_ml_after=viable * change.viable_ml_after,
            lipiodol_ml_after=None if lipiodol is None else volume * lipiodol,
            diameter_mm_before=across * change.diameter_mm_before,
            diameter_mm_after=across * change.diameter_mm_after,
            oil_ml_after=change.oil_ml_after,
        )
        volumes = (score.predicted_viable_ml, score.measured_viable_ml)
        predicted, measured = (None if one is None else viable * one for one in volumes)
        return replace(score, change=told, predicted_viable_ml=predicted, measured_viable_ml=measured)


def _ratio(scan: float | None, search: float, otherwise: float) -> float:
    """By what a number of the search is multiplied; `otherwise` where one of the two is not known or nothing."""
    return scan / search if scan and search > 0 else otherwise
