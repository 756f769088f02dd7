#!/usr/bin/env bash
# A reference to a segment cannot be made by highdicom where the segmentation has only that one.
#
# highdicom 0.28.2: ReferencedSegment.from_segmentation and ReferencedSegmentationFrame.from_segmentation raise
# AttributeError ('Dataset' object has no attribute 'SegmentIdentificationSequence') for a BINARY segmentation with one
# segment; with two segments both work. With one segment highdicom itself puts the identification into the shared groups,
# and looks for it in the groups of the frames. The constructors work with the numbers written out.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cat > look.py <<'PY'
import highdicom as hd
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

study, series, frame = (generate_uid() for _ in range(3))
slices = []
for n in range(2):
    one = Dataset()
    one.file_meta = FileMetaDataset()
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
    one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
    one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
    for name in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
        setattr(one, name, "")
    one.PatientID, one.StudyID, one.SeriesNumber, one.InstanceNumber, one.Modality = "phantom", "1", 1, n + 1, "CT"
    one.StudyDate, one.StudyTime, one.PositionReferenceIndicator = "20200101", "000000", ""
    one.Rows = one.Columns = 8
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
    one.PixelSpacing, one.SliceThickness = [1, 1], 2
    one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2.0 * n]
    one.PixelData = bytes(128)
    slices.append(one)
kinds = (("Liver", codes.SCT.Liver), ("Spleen", codes.SCT.Spleen))
said = {}
for count in (1, 2):
    described = [
        hd.seg.SegmentDescription(n, name, codes.SCT.Organ, kind, hd.seg.SegmentAlgorithmTypeValues.MANUAL)
        for n, (name, kind) in enumerate(kinds[:count], 1)
    ]
    seg = hd.seg.Segmentation(
        slices, np.ones((2, 8, 8, count), np.uint8), hd.seg.SegmentationTypeValues.BINARY, described,
        generate_uid(), 2, generate_uid(), 1, "maker", "model", "1", "0",
    )
    asked = ((hd.sr.ReferencedSegment, {"segment_number": 1}), (hd.sr.ReferencedSegmentationFrame, {"frame_number": 1}))
    for kind, which in asked:
        try:
            kind.from_segmentation(seg, **which)
            said[count, kind.__name__] = "made"
        except AttributeError as error:
            said[count, kind.__name__] = f"AttributeError: {error}"
        print(f"{count} segments, {kind.__name__}: {said[count, kind.__name__]}")
hd.sr.ReferencedSegment(
    seg.SOPClassUID, seg.SOPInstanceUID, 1, source_series=hd.sr.SourceSeriesForSegmentation(series)
)
assert all(text == "made" for (count, _), text in said.items() if count == 2)
assert all("SegmentIdentificationSequence" in text for (count, _), text in said.items() if count == 1), "changed"
print("As described.")
PY
env/bin/python -W ignore look.py
