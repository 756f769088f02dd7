"""The DICOM files behind a volume of Slicer's DICOM module: MeWM's own checks say what its import may have hidden."""

from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.clinical import Clinical
from MeWMLib.core.clinical_dicom import READABLE, prefilled
from MeWMLib.core.dicom.series import check_files
from MeWMLib.core.errors import DependencyError, MeWMError

#: Attribute of a volume that Slicer's DICOM module loaded: SOPInstanceUIDs with spaces between them.
ATTRIBUTE = "DICOM.instanceUIDs"
#: Spacings of two readers may differ by this share.
_TOLERANCE = 1e-2


def uids_of(node):
    """SOPInstanceUIDs that a volume node was loaded from, as one text; "" where it does not come from DICOM."""
    return (node.GetAttribute(ATTRIBUTE) or "") if node is not None else ""


def files_of(uids):
    """Files of SOPInstanceUIDs that Slicer's database knows."""
    database = getattr(slicer, "dicomDatabase", None)
    if database is None:
        return []
    found = dict.fromkeys(database.fileForInstance(uid) for uid in uids.split())
    return [path for text in found if text and (path := Path(text)).is_file()]


def hold_check(node):
    """What checks the files of a volume, for a thread; it returns a warning, or "". None where there are no files."""
    files = files_of(uids_of(node))
    if not files:
        return None
    sizes, steps = node.GetImageData().GetDimensions(), node.GetSpacing()

    def check():
        try:
            grid = check_files(files)
        except DependencyError:
            return ""  # nothing is known about the files; the volume is checked all the same
        except MeWMError as error:
            return _("The DICOM files of this volume are not right: {error}").format(error=error)
        if grid is None:
            return ""
        there = (*grid.shape[::-1], *grid.spacing[::-1])
        if np.allclose(there, (*sizes, *steps), rtol=_TOLERANCE):
            return ""
        return _("The DICOM files of this volume have another grid than it has in Slicer: {grid}").format(
            grid=grid.describe()
        )

    return check


def hold_facts(node):
    """What reads age and sex from the files of a volume, for a thread; it returns clinical data by their names.

    None where there are no files. What the files do not say, or cannot be read, is left out.
    """
    files = files_of(uids_of(node))
    if not files:
        return None

    def read():
        try:
            return prefilled(Clinical(), files[0], list(READABLE)).to_json()
        except MeWMError:
            return {}

    return read
