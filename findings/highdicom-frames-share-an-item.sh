#!/usr/bin/env bash
# Two frames of a DICOM SEG made by highdicom share one item: an edit of the first moves the second as well.
#
# highdicom 0.28.2 puts the same PlanePositionSequence object into the frames of every segment at one place. In memory,
# correcting the position of one frame of segment 1 changes the frame of segment 2 too, which a loop over all frames
# ("shift everything by 2 mm") then shifts twice. Written and read again with pydicom, the items are separate.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check highdicom==0.28.2 pydicom==3.0.2 numpy==2.4.6
cat > look.py <<'PY'
import highdicom as hd
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

study, series, frame = (generate_uid() for _ in range(3))
slices = []
for n in range(3):
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

described = [
    hd.seg.SegmentDescription(
        number, name, codes.SCT.Organ, kind, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    for number, name, kind in ((1, "Liver", codes.SCT.Liver), (2, "Spleen", codes.SCT.Spleen))
]
seg = hd.seg.Segmentation(
    slices, np.ones((3, 8, 8, 2), np.uint8), hd.seg.SegmentationTypeValues.BINARY, described,
    generate_uid(), 2, generate_uid(), 1, "maker", "model", "1", "0",
)
groups = seg.PerFrameFunctionalGroupsSequence
segment = [int(one.SegmentIdentificationSequence[0].ReferencedSegmentNumber) for one in groups]
a, b = segment.index(1), segment.index(2)
before = float(groups[b].PlanePositionSequence[0].ImagePositionPatient[2])
groups[a].PlanePositionSequence[0].ImagePositionPatient[2] = 99.0
after = float(groups[b].PlanePositionSequence[0].ImagePositionPatient[2])
print(f"frames {a} (segment 1) and {b} (segment 2); z of the second: {before} before, {after} after the first was edited")
seg.save_as("seg.dcm")
read = pydicom.dcmread("seg.dcm").PerFrameFunctionalGroupsSequence
apart = read[a].PlanePositionSequence[0] is not read[b].PlanePositionSequence[0]
print("after a round trip through a file they are separate:", apart)
assert after == 99.0 and before != after and apart, "highdicom changed: the items may be separate now"
print("As described.")
PY
env/bin/python look.py
