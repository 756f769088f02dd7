#!/usr/bin/env bash
# SimpleITK resamples an image whose direction holds a subnormal number to nothing but the fill, without an error.
#
# SimpleITK 2.5.7 (ITK 5.4) takes any direction whose determinant is not 0. If an entry beside the diagonal is a double
# below 2.2e-308, the SVD that inverts the matrix fails for most of the entries: standard error has "suspicious return
# value (3) from SVDC", and the inverse is NaN. Resample then finds every point outside of the image, and the inverse of
# an AffineTransform maps points to NaN. Such numbers are valid and come from a turn by next to nothing. A NRRD file
# carries them as text, and is read so. NIfTI holds single precision, whose smallest number is a normal double: it is
# not affected, and MetaImage reads them as 0.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6
cat > look.py <<'PY'
import nibabel
import numpy as np
import SimpleITK as sitk

TINY = 2.2250738585e-313
ONES = np.ones((6, 7, 8), np.float32)
upright = sitk.GetImageFromArray(ONES)


def resampled(image: sitk.Image) -> float:
    """Lowest voxel of an image of ones on an upright grid, outside -5."""
    found = sitk.Resample(image, upright, sitk.Transform(), sitk.sitkLinear, -5.0)
    return float(sitk.GetArrayFromImage(found).min())


def turned(row: int, column: int, value: float) -> sitk.Image:
    direction = np.eye(3)
    direction[row, column] = value
    image = sitk.GetImageFromArray(ONES)
    image.SetDirection(direction.ravel().tolist())
    return image


places = [(r, c) for r in range(3) for c in range(3) if r != c]
lost = {value: [p for p in places if resampled(turned(*p, value)) == -5.0] for value in (TINY, 2.3e-308, 1e-16)}
for value, found in lost.items():
    print(f"entry {value:g}: the image is lost with it at {found or 'no place'}")

affine = sitk.AffineTransform(3)
affine.SetMatrix([1, TINY, 0, 0, 1, 0, 0, 0, 1])
back = affine.GetInverse().TransformPoint((1.0, 2.0, 3.0))
print("inverse of an AffineTransform with it:", back)

sitk.WriteImage(turned(0, 1, TINY), "a.nrrd")
sitk.WriteImage(turned(0, 1, TINY), "a.mha")
of_file = {name: sitk.ReadImage(name) for name in ("a.nrrd", "a.mha")}
matrix = np.diag([-1.0, -1.0, 1.0, 1.0])
matrix[0, 1] = 1e-45  # the smallest that the header can hold
nibabel.save(nibabel.Nifti1Image(ONES.transpose(), matrix), "a.nii")
of_file["a.nii"] = sitk.ReadImage("a.nii")
read = {name: (one.GetDirection()[1], resampled(one)) for name, one in of_file.items()}
for name, (entry, lowest) in read.items():
    print(f"{name}: entry read as {entry:g}, lowest resampled voxel {lowest:g}")

assert len(lost[TINY]) >= 1 and not lost[2.3e-308] and not lost[1e-16], "SimpleITK changed"
assert np.isnan(back).all(), "SimpleITK changed: the inverse is finite"
assert read["a.nrrd"] == (TINY, -5.0) and read["a.mha"] == (0.0, 1.0), "SimpleITK changed: files"
assert 0 < abs(read["a.nii"][0]) < 1e-44 and read["a.nii"][1] == 1.0, "SimpleITK changed: NIfTI"
print("As described.")
PY
env/bin/python look.py 2>/dev/null
