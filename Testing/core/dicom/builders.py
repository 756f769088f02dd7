"""DICOM files of a drawn trunk: aorta, liver, spine and fat at densities that the test names, in every form of a CT."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

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


def plain(k: int = 12, size: int = 48) -> np.ndarray:
    """HU (K, J, I) of a body cylinder; every slice differs, and rows differ from columns."""
    j, i = np.mgrid[:size, :size] - (size - 1) / 2
    hu = np.full((k, size, size), -1000, np.int16)
    hu[:, (j / (0.46 * size)) ** 2 + (i / (0.4 * size)) ** 2 < 1] = 40
    hu[:, 5:9, 12:20] += 300
    hu[:, 30, 20:26] = (np.arange(k) * 7 - 50)[:, None]
    return hu


#: Voxels (j, i) and slices of `plain` in mm.
STEP, PIXEL = 7.5, 6.5


def ct_dataset(sop_class: str, series: str = "4", sop: str = "1") -> Any:
    """What every CT file has, without geometry and voxels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = sop_class
    uid = generate_uid(entropy_srcs=["plain", series, sop])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = uid
    data.Modality, data.PatientID, data.PatientName = "CT", "P1", "P1"
    data.PatientBirthDate = data.PatientSex = data.AccessionNumber = data.ReferringPhysicianName = ""
    data.StudyDate = data.ContentDate = data.SeriesDate = data.AcquisitionDate = "20010203"
    data.StudyTime = data.ContentTime = data.AcquisitionTime = "101010"
    data.StudyID, data.Manufacturer, data.PositionReferenceIndicator = "1", "phantom", ""
    data.StudyInstanceUID = generate_uid(entropy_srcs=["plain"])
    data.SeriesInstanceUID = generate_uid(entropy_srcs=["plain", series])
    data.FrameOfReferenceUID = generate_uid(entropy_srcs=["plain", "frame"])
    data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = int(series), 1, 1
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    return data


Rescale = Sequence[tuple[float, float]]


def stored(hu: np.ndarray, slope: float, intercept: float, data: Any) -> np.ndarray:
    """Stored values of one slice in the type that the dataset declares."""
    kind = f"{'i' if data.PixelRepresentation else 'u'}{data.BitsAllocated // 8}"
    values = np.round((hu.astype(np.float64) - intercept) / slope)
    info = np.iinfo(kind)
    assert info.min <= values.min() and values.max() <= info.max
    return values.astype(kind)


def classic(
    folder: Path,
    hu: np.ndarray,
    *,
    series: str = "4",
    rescale: Rescale | None = None,
    places: Sequence[float] | None = None,
    change: Callable[[Any, int], None] | None = None,
    start: int = 0,
) -> Path:
    """One file for each slice, HU = slope * stored + intercept with a pair for each slice (1, -1024)."""  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    for n, one in enumerate(hu):
        data = ct_dataset("1.2.840.10008.5.1.4.1.1.2", series, f"{start + n}")
        data.InstanceNumber, data.ImageType = start + n + 1, ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.Rows, data.Columns = one.shape
        data.PixelSpacing, data.SliceThickness = [PIXEL, PIXEL], STEP
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [-156.0, -156.0, STEP * n if places is None else places[n]]
        slope, intercept = (1.0, -1024.0) if rescale is None else rescale[n]
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = slope, intercept, "HU"
        data.PixelData = stored(one, slope, intercept, data).tobytes()
        if change is not None:
            change(data, n)
        data.save_as(folder / f"{series}_{(5 * (start + n)) % 97:04d}.dcm", enforce_file_format=True)
    return folder


def enhanced(
    path: Path,
    hu: np.ndarray,
    *,
    order: Sequence[int] | None = None,
    rescale: Rescale | None = None,
    places: Sequence[float] | None = None,
    temporal: Sequence[int] | None = None,
    shared_rescale: bool = False,
    legacy: bool = False,
    series: str = "4",
    change: Callable[[Any], None] | None = None,
) -> Path:
    """One multi-frame file of the slices in `order`; what is given for each slice is by slice, not by frame."""
    from pydicom.dataset import Dataset

    path.parent.mkdir(parents=True, exist_ok=True)
    order = list(range(len(hu))) if order is None else list(order)
    sop_class = "1.2.840.10008.5.1.4.1.1.2.2" if legacy else "1.2.840.10008.5.1.4.1.1.2.1"
    data = ct_dataset(sop_class, series, path.name)
    data.ImageType = ["DERIVED" if legacy else "ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    data.NumberOfFrames = len(order)
    data.Rows, data.Columns = hu.shape[1:]
    measures, plane, shared = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [PIXEL, PIXEL], STEP
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    frames, voxels = [], []
    for k in order:
        frame, content, value, place = Dataset(), Dataset(), Dataset(), Dataset()
        slope, intercept = (1.0, -1024.0) if rescale is None else rescale[k]
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = slope, intercept, "HU"
        if shared_rescale:
            shared.PixelValueTransformationSequence = [value]
        else:
            frame.PixelValueTransformationSequence = [value]
        content.StackID, content.InStackPositionNumber = "1", k + 1
        if temporal is not None:
            content.TemporalPositionIndex = temporal[k]
        place.ImagePositionPatient = [-156.0, -156.0, float(STEP * k if places is None else places[k])]
        frame.FrameContentSequence, frame.PlanePositionSequence = [content], [place]
        frames.append(frame)
        voxels.append(stored(hu[k], slope, intercept, data))
    data.SharedFunctionalGroupsSequence, data.PerFrameFunctionalGroupsSequence = [shared], frames
    data.PixelData = np.stack(voxels).tobytes()
    if change is not None:
        change(data)
    data.save_as(path, enforce_file_format=True)
    return path


def legacy_converted(path: Path, folder: Path) -> Path:
    """A classic series as highdicom turns it into one legacy-converted enhanced CT."""
    import pydicom
    from highdicom.legacy import LegacyConvertedEnhancedCTImage
    from pydicom.uid import generate_uid

    sources = [pydicom.dcmread(one) for one in sorted(folder.iterdir())]
    path.parent.mkdir(parents=True, exist_ok=True)
    LegacyConvertedEnhancedCTImage(sources, generate_uid(), 7, generate_uid(), 1).save_as(path)
    return path


def segmentation(
    path: Path,
    sources: Sequence[Any],
    masks: Sequence[np.ndarray],
    kinds: Sequence[tuple[str, str, str]],
    type_: str = "BINARY",
    algorithm: str = "MANUAL",
    change: Callable[[Any], None] | None = None,
) -> Path:
    """A DICOM SEG; kinds are (label, code, meaning), masks (K, J, I) are booleans or fractions."""  # fmt: skip
    import warnings

    import highdicom as hd
    from pydicom.sr.codedict import codes

    method = None
    if algorithm != "MANUAL":
        method = hd.AlgorithmIdentificationSequence("phantom", codes.DCM.ArtificialIntelligence, "1")
    described = [
        hd.seg.SegmentDescription(
            n, label, codes.SCT.Organ, hd.sr.CodedConcept(code, "SCT", meaning), algorithm, method
        )
        for n, (label, code, meaning) in enumerate(kinds, 1)
    ]
    if type_ == "LABELMAP":
        pixels = np.zeros(masks[0].shape, np.uint8)
        for n, mask in enumerate(masks, 1):
            pixels[mask > 0] = n
    else:
        pixels = np.stack([m.astype(np.float32 if type_ == "FRACTIONAL" else np.uint8) for m in masks], -1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = hd.seg.Segmentation(
            sources, pixels, type_, described, hd.UID(), 300, hd.UID(), 1, "phantom", "phantom", "1", "1",
            **({"fractional_type": "PROBABILITY", "max_fractional_value": 200} if type_ == "FRACTIONAL" else {}),
        )  # fmt: skip
    seg.PatientIdentityRemoved = "YES"
    if change is not None:
        change(seg)
    path.parent.mkdir(parents=True, exist_ok=True)
    seg.save_as(path)
    return path
