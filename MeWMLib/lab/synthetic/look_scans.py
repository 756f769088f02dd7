"""The real scans to which the look of the world is fitted: which may be opened, and what is measured on them.

They are public (HCC-TACE-Seg: Moawad et al. 2021, The Cancer Imaging Archive, doi 10.7937/TCIA.5FNA-0924). Patients
that simulations are judged by are not among them: `scan_path` is the only way to a file here, and refuses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import CohortError
from MeWMLib.core.io import read_labels, read_volume
from MeWMLib.core.volume import LIVER, TUMOUR, Geometry, Volume
from MeWMLib.lab.evaluation.look import look

#: Patients whose scans may be opened, and those of them that were scanned before and after TACE.
PATIENTS = ("HCC_002", "HCC_004", "HCC_006", "HCC_007", "HCC_008", "HCC_015")
PAIRS = ("HCC_004", "HCC_007")
WHEN = ("pre", "post")
#: The liver is the largest organ of one density in the right half of the body, between these (HU).
LIVER_HU = (40.0, 170.0)
#: How much smoothed HU may differ from voxel to voxel in such an organ.
EVEN_HU = 4.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class RealScan:
    """A scan with labels on voxels as the scanner wrote them.

    Attributes:
        hu: (K, J, I).
        tumour, liver: the same shape; the liver holds the tumour.
        geometry: the grid.
    """

    hu: NDArray[np.float32]
    tumour: Mask
    liver: Mask
    geometry: Geometry

    def look(self) -> dict[str, float]:
        """Every look statistic."""
        return look(self.hu, self.tumour, self.liver, self.geometry.spacing)


def scan_path(folder: Path, patient: str, rest: str) -> Path:
    """The file `PATIENT_REST.nii.gz` of a patient to whom the world may be fitted.

    Raises:
        CohortError: another patient, or the file is not there.
    """
    if patient not in PATIENTS:
        raise CohortError(
            what="The world is not fitted to this patient, who is kept for judging it or not known",
            given=patient,
            remedy="Fit it to " + ", ".join(PATIENTS),
        )
    path = folder / f"{patient}_{rest}.nii.gz"
    if not path.is_file():
        raise CohortError(
            what="The folder lacks a scan to which the look of the world is fitted",
            given=str(path),
            remedy="Give the folder with the real scans that docs/SYNTHETIC_WORLD.md names",
        )
    return path


def native_scan(folder: Path, patient: str, when: str) -> RealScan:
    """The portal scan of a pair around the tumour, on its own voxels.

    Raises:
        CohortError: as `scan_path`.
        InputError: as `read_volume` and `read_labels`.
    """
    ct = read_volume(scan_path(folder, patient, f"{when}_portal_tumour_native"))
    labels = scan_path(folder, patient, f"{when}_portal_labels_APPROX_1p5mm")
    there = read_labels(labels, ct.geometry, resample=True).array
    return RealScan(ct.array.astype(np.float32), there == TUMOUR, there >= LIVER, ct.geometry)


def real_looks(folder: Path) -> dict[str, dict[str, float]]:
    """Look statistics of both scans of every pair, by "PATIENT when"; errors as `native_scan`."""
    return {f"{p} {when}": native_scan(folder, p, when).look() for p in PAIRS for when in WHEN}


def liver_level(ct: Volume) -> float:
    """The liver's HU without labels: the commonest density of even tissue in the right half of the body.

    Where labels exist it lies within 4 HU of their median (docs/SYNTHETIC_WORLD.md).

    Raises:
        CohortError: no body in the scan.
    """
    hu = np.asarray(ct.array, np.float32)
    smooth = ndimage.gaussian_filter(hu, [3.0 / s for s in ct.geometry.spacing])
    columns = np.flatnonzero((smooth > -300).any((0, 1)))
    if not len(columns):
        raise CohortError(
            what="The scan shows no body", given=ct.geometry.describe(), remedy="Give a CT of the abdomen in HU"
        )
    right = ct.geometry.to_ras([(0, 0, int(n)) for n in columns])[:, 0]
    half = columns[right > 0.5 * (right.min() + right.max())]
    part = smooth[:, :, half.min() : half.max() + 1]
    even = ndimage.gaussian_gradient_magnitude(part, 1.0) < EVEN_HU
    values = part[even & (part > LIVER_HU[0]) & (part < LIVER_HU[1])]
    count, edge = np.histogram(values, np.arange(*LIVER_HU, 3.0))
    return float(edge[int(np.argmax(ndimage.gaussian_filter1d(count.astype(float), 1.0)))] + 1.5)


def liver_levels(folder: Path, names: Mapping[str, tuple[str, ...]]) -> dict[str, float]:
    """`liver_level` of the scans named, by "PATIENT rest"; errors as `native_scan`.

    Args:
        names: patient to the rest of the names of its files.
    """
    return {
        f"{p} {rest}": liver_level(read_volume(scan_path(folder, p, f"{rest}_1p5mm")))
        for p, all_ in names.items()
        for rest in all_
    }
