#!/usr/bin/env bash
# A CT slice that SimpleITK writes says in its header that its values are in unspecified units.
#
# SimpleITK 2.5.7 (GDCM inside), given an int16 slice and the modality CT, writes SOP class CT Image Storage with
# RescaleIntercept 0, RescaleSlope 1 and RescaleType "US": unspecified. In CT that attribute is there to say HU. A reader
# that refuses everything but HU (rightly, since MGML or Z_EFF maps are stored in the same class) refuses these files.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 pydicom==3.0.2 numpy==2.4.6
cat > look.py <<'PY'
import numpy as np
import pydicom
import SimpleITK as sitk

image = sitk.GetImageFromArray(np.full((1, 8, 8), 50, np.int16))
image.SetMetaData("0008|0060", "CT")
writer = sitk.ImageFileWriter()
writer.SetFileName("slice.dcm")
writer.Execute(image)
read = pydicom.dcmread("slice.dcm")
print(read.SOPClassUID.name, "| slope", read.RescaleSlope, "intercept", read.RescaleIntercept, "type", read.get("RescaleType"))
assert read.SOPClassUID.name == "CT Image Storage" and read.RescaleType == "US", "SimpleITK changed"
print("As described.")
PY
env/bin/python look.py
