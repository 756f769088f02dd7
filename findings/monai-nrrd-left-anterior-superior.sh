#!/usr/bin/env bash
# One NRRD file, two readers of MONAI, two patients mirrored left for right.
#
# A NRRD whose header says `space: left-anterior-superior` is valid (the format lists that space). MONAI's LoadImage with
# its NrrdReader turns only LPS files into RAS and takes this one as if it were RAS already; with its ITKReader the left
# axis is turned. The affines differ by the sign of x, without a warning. Which reader runs depends on which package is
# installed. Seen with monai 1.6.1, pynrrd 1.1.3, itk-io 5.4.7, numpy 2.4.6.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check torch==2.13.0 monai==1.6.1 pynrrd==1.1.3 itk-io==5.4.7 numpy==2.4.6
cat > look.py <<'PY'
import logging
import warnings

import numpy as np
import nrrd

warnings.simplefilter("ignore")
logging.disable()
from monai.transforms import LoadImage

voxels = np.arange(6 * 5 * 4, dtype=np.int16).reshape(6, 5, 4)
found = {}
for space in ("right-anterior-superior", "left-posterior-superior", "left-anterior-superior"):
    header = {"space": space, "space directions": np.diag([1.0, 2.0, 3.0]), "space origin": [10, 20, 30]}
    nrrd.write("scan.nrrd", voxels, header)
    for reader in ("NrrdReader", "ITKReader"):
        affine = LoadImage(reader=reader, image_only=True)("scan.nrrd").affine.numpy()
        found[space, reader] = affine[0].tolist()
        print(f"{space:26s} {reader:11s} x in RAS = {affine[0, 0]:+g} i {affine[0, 3]:+g}")

assert found["right-anterior-superior", "NrrdReader"] == found["right-anterior-superior", "ITKReader"]
assert found["left-posterior-superior", "NrrdReader"] == found["left-posterior-superior", "ITKReader"]
assert found["left-anterior-superior", "ITKReader"] == [-1, 0, 0, -10], "ITKReader changed"
assert found["left-anterior-superior", "NrrdReader"] == [1, 0, 0, 10], "NrrdReader changed: the mirror may be mended"
print("As described: NrrdReader leaves left as right, ITKReader turns it.")
PY
env/bin/python look.py 2>/dev/null
