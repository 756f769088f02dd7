#!/bin/sh
# Walk the checklist of docs/SLICER.md inside 3D Slicer, once, and write a page with pictures:
#
#   Testing/slicer_application/run.sh /path/to/Slicer [FOLDER]
#
# Slicer opens with MeWM of this source tree, does everything by itself, and closes. FOLDER/index.html says what passed.
# PyTorch and the packages of MeWM should be installed in Slicer before; without them only what needs none is tried.
set -eu
slicer=${1:?"give the path of Slicer"}
here=$(cd "$(dirname "$0")" && pwd)
folder=${2:-"$here/../out/slicer_application"}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
MEWM_WALK_CODE=$here MEWM_WALK_FOLDER=$folder "$slicer" --no-splash --ignore-slicerrc \
    --additional-module-paths "$here/../../MeWM" --python-script "$here/walk.py" || true
echo "What was found: $folder/index.html"
grep -q 'data-failed="0"' "$folder/index.html"
