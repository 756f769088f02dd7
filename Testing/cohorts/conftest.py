"""DICOM series of a drawn trunk: aorta, liver, spine and fat at densities that the test names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

#: HU of aorta and liver.
PHASES = {"non-contrast": (42, 55), "arterial": (320, 72), "portal": (158, 112), "delayed": (104, 92)}
SHAPE, SPACING = (26, 96, 96), (5.0, 4.0, 4.0)


def trunk(phase: str = "portal", tumour_hu: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """HU (K, J, I) of a trunk and its labels; rows run to posterior, columns to the patient's left."""
    aorta, liver = PHASES[phase]
    k, j, i = (np.arange(n, dtype=float)[s] for n, s in zip(SHAPE, np.ix_(*[np.arange(n) for n in SHAPE]), strict=True))
    z, y, x = (k * SPACING[0], (j - 47.5) * SPACING[1], (i - 47.5) * SPACING[2])
    z = z - z.mean()
    hu = np.full(SHAPE, -1000.0)
    hu[np.broadcast_to((x / 165) ** 2 + (y / 115) ** 2 < 1, SHAPE)] = 50
    hu[np.broadcast_to((x / 150) ** 2 + (y / 100) ** 2 < 1, SHAPE)] = -95
    labels = np.zeros(SHAPE, np.uint8)
    inside = ((x + 70) / 62) ** 2 + ((y + 5) / 70) ** 2 + (z / 80) ** 2 < 1
    hu[inside], labels[inside] = liver, 1
    if tumour_hu is not None:
        lesion = (x + 70) ** 2 + (y + 5) ** 2 + z**2 < 20**2
        hu[lesion], labels[lesion] = tumour_hu, 2
    spine = np.hypot(x, y - 62)
    hu[np.broadcast_to(spine < 20, SHAPE)] = 500
    hu[np.broadcast_to(spine < 15, SHAPE)] = 130
    hu[np.broadcast_to(np.hypot(x, y - 84) < 9, SHAPE)] = 500
    hu[np.broadcast_to(np.hypot(x - 10, y - 30) < 10, SHAPE)] = aorta
    noise = np.random.default_rng(0).normal(0, 4, SHAPE)
    return np.round(hu + noise).astype(np.int16), labels


@dataclass
class Series:
    """A series to be written; `change` may spoil each slice's dataset before it is saved."""

    hu: np.ndarray
    patient: str = "P1"
    name: str = "P1"
    date: str = "20010203"
    number: int = 4
    acquisitions: Sequence[str] | None = None
    places: Sequence[float] | None = None
    removed: bool = True
    change: Callable[[Any, int], None] | None = None
    start: int = 0
    tags: dict[str, Any] = field(default_factory=dict)

    def uid(self, *parts: object) -> str:
        """The same parts give the same UID."""
        from pydicom.uid import generate_uid

        return generate_uid(entropy_srcs=[self.patient, self.date, *map(str, parts)])

    def dataset(self, n: int) -> Any:
        """Slice n as pydicom has it."""
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = CTImageStorage, ExplicitVRLittleEndian
        data = Dataset()
        data.file_meta = meta
        data.SOPClassUID, data.Modality = CTImageStorage, "CT"
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = self.uid(self.number, self.start + n)
        data.StudyInstanceUID, data.SeriesInstanceUID = self.uid(), self.uid(self.number)
        data.FrameOfReferenceUID = self.uid("frame")
        data.PatientID, data.PatientName, data.StudyDate = self.patient, self.name, self.date
        data.PatientBirthDate, data.PatientSex, data.StudyTime, data.StudyID = "19400101", "", "", ""
        data.AccessionNumber, data.ReferringPhysicianName, data.Manufacturer = "", "", "phantom"
        data.PatientIdentityRemoved = "YES" if self.removed else "NO"
        data.SeriesNumber, data.InstanceNumber = self.number, self.start + n + 1
        data.AcquisitionNumber = self.acquisitions[n] if self.acquisitions is not None else "1"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        place = SPACING[0] * n if self.places is None else self.places[n]
        data.ImagePositionPatient = [-190.0, -190.0, float(place)]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing, data.SliceThickness = [SPACING[1], SPACING[2]], SPACING[0]
        data.Rows, data.Columns, data.SamplesPerPixel = *self.hu.shape[1:3], 1
        data.PhotometricInterpretation, data.PixelRepresentation = "MONOCHROME2", 1
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.RescaleIntercept, data.RescaleSlope = 0, 1
        data.PixelData = np.ascontiguousarray(self.hu[n], "<i2").tobytes()
        for name, value in self.tags.items():
            if value is None:
                delattr(data, name)
            else:
                setattr(data, name, value)
        if self.change is not None:
            self.change(data, n)
        return data

    def write(self, folder: Path) -> Path:
        """Write all slices under names that say nothing and are in another order."""
        folder.mkdir(parents=True, exist_ok=True)
        for n in range(len(self.hu)):
            name = f"x{(7 * (n + self.start)) % 101:03d}_{self.number}_{self.date[-2:]}"
            self.dataset(n).save_as(folder / name, enforce_file_format=True)
        return folder


@pytest.fixture(scope="session")
def phantom() -> SimpleNamespace:
    """Drawn trunks and how to write them as DICOM."""
    return SimpleNamespace(trunk=trunk, Series=Series, PHASES=PHASES, SHAPE=SHAPE, SPACING=SPACING)


@pytest.fixture
def patient_folder(phantom, tmp_path: Path) -> Path:
    """A public-style collection with one patient: two dates, arterial and portal each."""
    root = tmp_path / "in"
    for date, day in (("20010203", "a"), ("20010305", "b")):
        for number, phase in ((3, "arterial"), (4, "portal")):
            place = root / "C" / "P1" / day / str(number)
            phantom.Series(phantom.trunk(phase)[0], date=date, number=number).write(place)
    return root
