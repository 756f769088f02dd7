#!/usr/bin/env bash
# highdicom fills up an odd number of bytes of pixels with the character "0" (byte 48), where DICOM wants a zero byte.
#
# highdicom 0.28.2: image.py says "add a null trailing byte" and appends b'0'. The standard (PS3.5, 8.1.1 and table
# 6.2-1, OB) pads with a single byte 00H. Readers that take only the frames do not see it; a checksum of the element, or a
# comparison with what another writer makes of the same masks, does. Here: a label map of 3 x 3 pixels.
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
one = Dataset()
one.file_meta = FileMetaDataset()
one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
for name in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName"):
    setattr(one, name, "")
one.PatientID, one.StudyID, one.SeriesNumber, one.InstanceNumber, one.Modality = "phantom", "1", 1, 1, "CT"
one.StudyDate, one.StudyTime, one.PositionReferenceIndicator = "20200101", "000000", ""
one.Rows = one.Columns = 3
one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
one.PixelSpacing, one.SliceThickness = [1, 1], 2
one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 0]
one.PixelData = bytes(18)
described = hd.seg.SegmentDescription(
    1, "Liver", codes.SCT.Organ, codes.SCT.Liver, hd.seg.SegmentAlgorithmTypeValues.MANUAL
)
seg = hd.seg.Segmentation(
    [one], np.ones((1, 3, 3), np.uint8), hd.seg.SegmentationTypeValues.LABELMAP, [described],
    generate_uid(), 2, generate_uid(), 1, "maker", "model", "1", "0",
)
print("9 pixels of 8 bits, and then:", seg.PixelData[9:])
assert seg.PixelData[:9] == b"\x01" * 9 and seg.PixelData[9:] == b"0", "changed"
print("As described.")
PY
env/bin/python -W ignore look.py
