"""Which series of a folder a plan was made of, where the folder holds several."""

from __future__ import annotations

from pathlib import Path

from MeWMLib.core.dicom.series import candidates, scan_ct
from MeWMLib.core.errors import MeWMError
from MeWMLib.core.inputs_used import voxels_sha256
from MeWMLib.core.io import read_dicom_stack
from MeWMLib.core.plan_folder import PlanDocument


def series_of_plan(folder: Path, document: PlanDocument) -> str | None:
    """What to type for the series of a plan, as `core.io.read_volume` takes it.

    The series that the plan was asked for is tried first; what counts is that its voxels are those of the plan.

    Args:
        folder: DICOM.
        document: of the plan.

    Returns:
        None where no series of the folder has the voxels of the plan's CT, or the plan does not say them.
    """
    wanted = document.inputs["case"].voxels_sha256 if "case" in document.inputs else ""
    if not wanted:
        return None
    asked = str(document.asked.get("series") or "")
    listed = sorted(candidates(scan_ct(folder))[0], key=lambda one: asked not in (one.key, one.first.series))
    for one in listed:
        try:
            if voxels_sha256(read_dicom_stack(one.stack)[0]) == wanted:
                return one.key
        except MeWMError:  # what cannot be read was not planned on
            continue
    return None
