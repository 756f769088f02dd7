#!/usr/bin/env bash
# highdicom finds no volume in a SEG that it wrote itself, where the scanner printed positions with two digits.
#
# Slices 0.625 mm apart are printed by some scanners as 0.63, 1.25, 1.88 ...: valid DICOM, rounded. highdicom 0.28.2 writes
# a SEG on such slices without a word; read again, get_volume_geometry() is None and get_volume() raises, since the
# spacing is regular only to half a hundredth of a millimetre. On slices 1 mm apart the same code gives a volume.
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


def slices_at(places):
    study, series, frame = (generate_uid() for _ in range(3))
    found = []
    for n, place in enumerate(places):
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
        one.PixelSpacing, one.SliceThickness = ["0.7", "0.7"], "0.625"
        one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], ["0", "0", f"{place:.2f}"]
        one.PixelData = bytes(128)
        found.append(one)
    return found


def geometry(places):
    described = hd.seg.SegmentDescription(
        1, "Liver", codes.SCT.Organ, codes.SCT.Liver, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    seg = hd.seg.Segmentation(
        slices_at(places), np.ones((len(places), 8, 8), np.uint8), hd.seg.SegmentationTypeValues.BINARY, [described],
        generate_uid(), 2, generate_uid(), 1, "maker", "model", "1", "0",
    )
    seg.save_as("seg.dcm")
    return hd.seg.segread("seg.dcm").get_volume_geometry()


whole = geometry([1.0 * n for n in range(8)])
rounded = geometry([0.625 * n for n in range(8)])
print("slices 1.00 mm apart:", None if whole is None else whole.spacing)
print("slices 0.625 mm apart, printed with two digits:", rounded)
assert whole is not None and rounded is None, "highdicom changed: it may accept rounded positions now"
print("As described.")
PY
env/bin/python look.py
