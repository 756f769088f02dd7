"""The slices that segmentations and maps are drawn on: of the scan, or of a simulated CT that was derived from it."""
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from MeWMLib.core.dicom.packages import package
from MeWMLib.exchange.attributes import decimals
from MeWMLib.exchange.study import CT_CLASS, SourceSlice, Study


@dataclass(frozen=True, eq=False)
class Images:
    """Slices of a series.

    Attributes:
        study: whose patient, study and grid they have.
        series: UID of their series.
        number: of the series.
        slices: in the order of the grid.
    """

    study: Study
    series: str
    number: int
    slices: tuple[SourceSlice, ...]

    @classmethod
    def of_scan(cls, study: Study, number: int) -> Images:
        """Those that the plan was computed from."""
        return cls(study, study.series, number, study.slices)

    @classmethod
    def derived(cls, study: Study, series: str, sops: Iterable[str], number: int) -> Images:
        """Those of a series that was made from the scan, by their SOPInstanceUIDs."""
        made = zip(study.slices, sops, strict=True)
        return cls(study, series, number, tuple(SourceSlice(CT_CLASS, sop, None, one.position) for one, sop in made))

    def light(self, numbers: Iterable[int]) -> list[Any]:
        """Datasets of some of them as highdicom wants the images that something refers to: classic, of one pixel.

        What highdicom makes of them is filled with frames of the right size, and with the right references.
        """
        pydicom = package("pydicom")
        study = self.study
        shared = pydicom.Dataset()
        shared.update(study.header)
        shared.SOPClassUID, shared.Modality = CT_CLASS, "CT"
        shared.SeriesInstanceUID, shared.SeriesNumber = self.series, self.number
        shared.PositionReferenceIndicator = study.acquired.get("PositionReferenceIndicator", "")
        shared.ImageOrientationPatient = list(study.orientation)
        shared.PixelSpacing, shared.SliceThickness = list(study.spacing), decimals([study.step_mm])[0]
        shared.Rows = shared.Columns = 1
        shared.BitsAllocated = shared.BitsStored = 16
        shared.HighBit, shared.PixelRepresentation, shared.SamplesPerPixel = 15, 1, 1
        shared.PhotometricInterpretation = "MONOCHROME2"
        meta = pydicom.dataset.FileMetaDataset()
        meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        images = []
        for n in numbers:
            data = pydicom.Dataset()
            data.update(shared)
            data.SOPInstanceUID, data.InstanceNumber = self.slices[n].sop, n + 1
            data.ImagePositionPatient = list(self.slices[n].position)
            data.file_meta = meta
            images.append(data)
        return images
