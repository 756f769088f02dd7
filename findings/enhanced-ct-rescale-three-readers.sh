#!/usr/bin/env bash
# One Enhanced CT, three readers, three sets of Hounsfield units.
#
# In an Enhanced CT each frame may have its own rescale intercept (PixelValueTransformationSequence in the per-frame
# functional groups). Of three readers only one applies what is written:
#   pydicom 3.0.2     apply_rescale / apply_modality_lut look at the top level only, find nothing, and return the stored
#                     values as they are: no error, no warning;
#   SimpleITK 2.5.7   applies the intercept of the first frame to all frames;
#   highdicom 0.28.2  get_frame applies each frame's own. Its get_volume does too, but hands the frames out from the
#                     largest position to the smallest, as float64.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check pydicom==3.0.2 highdicom==0.28.2 SimpleITK==2.5.7 numpy==2.4.6
cat > look.py <<'PY'
import highdicom
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_rescale
from pydicom.uid import EnhancedCTImageStorage, ExplicitVRLittleEndian, generate_uid

FRAMES = 8
TRUE_HU = [100 * n - 300 for n in range(FRAMES)]
INTERCEPT = [-1024 if n < 4 else 0 for n in range(FRAMES)]


def group(**values):
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return [item]


ct = Dataset()
ct.file_meta = FileMetaDataset()
ct.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
ct.file_meta.MediaStorageSOPClassUID = ct.SOPClassUID = EnhancedCTImageStorage
ct.file_meta.MediaStorageSOPInstanceUID = ct.SOPInstanceUID = generate_uid()
for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
    setattr(ct, name, generate_uid())
for name in ("PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "ReferringPhysicianName", "Manufacturer"):
    setattr(ct, name, "")
ct.PatientID, ct.StudyID, ct.SeriesNumber, ct.InstanceNumber, ct.Modality = "phantom", "1", 1, 1, "CT"
ct.StudyDate = ct.ContentDate = ct.AcquisitionDate = "20200101"
ct.StudyTime = ct.ContentTime = "000000"
ct.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
ct.SamplesPerPixel, ct.PhotometricInterpretation, ct.NumberOfFrames, ct.Rows, ct.Columns = 1, "MONOCHROME2", FRAMES, 6, 5
ct.BitsAllocated, ct.BitsStored, ct.HighBit, ct.PixelRepresentation = 16, 16, 15, 1
ct.SharedFunctionalGroupsSequence = group(
    PixelMeasuresSequence=group(PixelSpacing=[1.5, 1.5], SliceThickness=2),
    PlaneOrientationSequence=group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
)
ct.PerFrameFunctionalGroupsSequence = [
    group(
        PlanePositionSequence=group(ImagePositionPatient=[0, 0, 2.0 * n]),
        PixelValueTransformationSequence=group(RescaleSlope=1, RescaleIntercept=INTERCEPT[n], RescaleType="HU"),
        FrameContentSequence=group(StackID="1", InStackPositionNumber=n + 1, DimensionIndexValues=[1, n + 1]),
    )[0]
    for n in range(FRAMES)
]
stored = np.array([hu - intercept for hu, intercept in zip(TRUE_HU, INTERCEPT)], dtype="<i2")
ct.PixelData = np.broadcast_to(stored[:, None, None], (FRAMES, 6, 5)).tobytes()
ct.save_as("enhanced.dcm", enforce_file_format=True)

read = pydicom.dcmread("enhanced.dcm")
by_pydicom = apply_rescale(read.pixel_array, read)[:, 0, 0].tolist()
by_simpleitk = sitk.GetArrayFromImage(sitk.ReadImage("enhanced.dcm"))[:, 0, 0].tolist()
image = highdicom.imread("enhanced.dcm")
by_highdicom = [float(image.get_frame(n + 1)[0, 0]) for n in range(FRAMES)]
volume = image.get_volume()
print("true       ", TRUE_HU)
print("pydicom    ", by_pydicom)
print("SimpleITK  ", by_simpleitk)
print("highdicom  ", by_highdicom, "; get_volume:", volume.array[:, 0, 0].tolist(), volume.array.dtype)
assert by_highdicom == TRUE_HU, "highdicom changed"
assert volume.array[:, 0, 0].tolist() == TRUE_HU[::-1] and volume.array.dtype == np.float64, "get_volume changed"
assert by_pydicom == stored.tolist(), "pydicom changed"
assert by_simpleitk == [int(v) + INTERCEPT[0] for v in stored], "SimpleITK changed"
print("As described.")
PY
env/bin/python look.py
