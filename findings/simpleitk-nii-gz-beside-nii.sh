#!/usr/bin/env bash
# Asked for scan.nii.gz, SimpleITK reads the voxels of scan.nii if that lies beside it.
#
# The NIfTI reader inside SimpleITK 2.5.7 looks for the uncompressed sibling by name first. Header and voxels then come
# from a file that nobody asked for: no error, no warning. NiBabel 5.4.2 reads what it was asked for. A folder in which
# one tool left a .nii and another a .nii.gz of the same name (before and after a correction) gives one of them for both.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6
cat > look.py <<'PY'
import nibabel
import numpy as np
import SimpleITK as sitk

for name, value in (("scan.nii", 500), ("scan.nii.gz", 7)):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 5, 6), value, np.int16)), name)
found = {name: int(sitk.GetArrayFromImage(sitk.ReadImage(name))[0, 0, 0]) for name in ("scan.nii", "scan.nii.gz")}
asked = int(np.asarray(nibabel.load("scan.nii.gz").dataobj)[0, 0, 0])
print("written: scan.nii 500, scan.nii.gz 7")
print("SimpleITK:", found, " NiBabel of scan.nii.gz:", asked)
assert asked == 7, "NiBabel changed"
assert found == {"scan.nii": 500, "scan.nii.gz": 500}, "SimpleITK changed: it may read what it is asked for now"
print("As described.")
PY
env/bin/python look.py
