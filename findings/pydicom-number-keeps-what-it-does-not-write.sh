#!/usr/bin/env bash
# A decimal string of pydicom is another number in memory than in the file that it is written to, without a word.
#
# DSfloat(value, auto_format=True), which pydicom 3.0.2 offers for numbers of more than 16 characters, rounds its text
# alone: as a float it stays what it was. So a dataset is not equal to itself after it was written and read, and whatever
# was computed from its numbers (a checksum of positions, a place of a slice) does not hold for the file. What does hold:
# DSfloat(format_number_as_ds(value)), whose number is that of its text.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env 2>/dev/null || python3 -m virtualenv -q env
env/bin/pip install -q --disable-pip-version-check pydicom==3.0.2
cat > look.py <<'PY'
import io

import pydicom
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat, format_number_as_ds

place = 1000 / 7
found = {}
for how, number in (("auto_format", DSfloat(place, auto_format=True)), ("text", DSfloat(format_number_as_ds(place)))):
    data = pydicom.Dataset()
    data.ImagePositionPatient = [number, 0, 0]
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    written = io.BytesIO()
    data.save_as(written)
    again = pydicom.dcmread(io.BytesIO(written.getvalue()), force=True)
    found[how] = float(data.ImagePositionPatient[0]) == float(again.ImagePositionPatient[0])
    print(f"{how}: {float(number)!r} in memory, {float(again.ImagePositionPatient[0])!r} in the file")
assert found["text"]
assert not found["auto_format"], "pydicom changed"
print("As described.")
PY
env/bin/python look.py
