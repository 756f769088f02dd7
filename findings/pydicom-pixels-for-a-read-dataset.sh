#!/usr/bin/env bash
# Pixels that are given to a dataset that pydicom has read without pixels cannot be written.
#
# pydicom 3.0.2 reads an explicit VR file with stop_before_pixels=True, or its PixelData is deleted; PixelData is assigned
# and the dataset saved in the syntax it was read in: "Cannot write ambiguous VR of 'OB or OW'", although BitsAllocated is
# 16. The same assignment works where the file still had its PixelData, and for a dataset made in memory. The way round is
# add_new("PixelData", "OW", pixels).
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check pydicom==3.0.2
cat > look.py <<'PY'
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

one = Dataset()
one.file_meta = FileMetaDataset()
one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID = CTImageStorage
one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID = generate_uid()
one.StudyInstanceUID, one.SeriesInstanceUID, one.Modality = generate_uid(), generate_uid(), "CT"
one.Rows, one.Columns, one.SamplesPerPixel, one.PhotometricInterpretation = 4, 4, 1, "MONOCHROME2"
one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
one.PixelData = bytes(32)
one.save_as("in memory.dcm", enforce_file_format=True)
said = {}
for way in ("replaced", "read without", "deleted", "with its VR"):
    data = pydicom.dcmread("in memory.dcm", stop_before_pixels=way in ("read without", "with its VR"))
    if way == "deleted":
        del data.PixelData
    if way == "with its VR":
        data.add_new("PixelData", "OW", bytes(range(32)))
    else:
        data.PixelData = bytes(range(32))
    try:
        data.save_as("out.dcm")
        said[way] = "written" if pydicom.dcmread("out.dcm").PixelData == bytes(range(32)) else "written wrongly"
    except ValueError as error:
        said[way] = "refused: " + " ".join(str(error).split())[:95]
    print(f"{way:13} {said[way]}")
assert said["replaced"] == said["with its VR"] == "written"
assert said["read without"].startswith("refused") and said["deleted"].startswith("refused"), "pydicom changed"
print("As described.")
PY
env/bin/python look.py
