#!/usr/bin/env bash
# A NRRD file may say that its lengths are metres; SimpleITK reads them as millimetres.
#
# The format has the field `space units` (and `units` for plain spacings). A voxel of 0.002 m is read by SimpleITK 2.5.7
# with a spacing of 0.002, without a warning. `units` (of plain spacings, here cm) are passed over as well but stay among
# the metadata as NRRD_units[n]; `space units` do not even stay there, so that a program which goes through SimpleITK
# cannot see them. pynrrd 1.1.3 keeps the field and converts nothing.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 pynrrd==1.1.3 numpy==2.4.6
cat > look.py <<'PY'
import nrrd
import numpy as np
import SimpleITK as sitk

voxels = np.zeros((4, 5, 6), np.int16)
nrrd.write(
    "metres.nrrd",
    voxels,
    {
        "space": "left-posterior-superior",
        "space directions": np.diag([0.001, 0.002, 0.003]),
        "space origin": [0.01, 0.02, 0.03],
        "space units": ["m", "m", "m"],
    },
)
nrrd.write("plain.nrrd", voxels, {"spacings": [0.1, 0.2, 0.3], "units": ["cm", "cm", "cm"]})
for name, read, kept in (("metres", (0.001, 0.002, 0.003), 0), ("plain", (0.1, 0.2, 0.3), 3)):
    image = sitk.ReadImage(f"{name}.nrrd")
    units = [key for key in image.GetMetaDataKeys() if "unit" in key.lower()]
    print(f"{name}: true (1, 2, 3) mm, SimpleITK {image.GetSpacing()}, keys that speak of units: {units}")
    assert image.GetSpacing() == read and len(units) == kept, "SimpleITK changed"
header = nrrd.read_header("metres.nrrd")
print("pynrrd keeps:", header["space units"], "with", np.diag(header["space directions"]).tolist())
assert list(header["space units"]) == ["m", "m", "m"] and header["space directions"][0, 0] == 0.001, "pynrrd changed"
print("As described.")
PY
env/bin/python look.py
