"""Are the voxels those of a CT? Private to `core/io.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from MeWMLib.core.errors import NotCTError

#: Lowest HU of a CT; lower values are padding outside the scanner's circle (-2000, -3024, -8192 ...).
PADDING_HU = -1024
#: A CT holds fat (about -100 HU) or air (-1000); an image with no voxel below this is not a CT in HU.
FAT_OR_AIR_HU = -20
#: Fat and enhanced vessels or bone differ by at least this many HU; a normalised image spans less.
MIN_RANGE_HU = 200
#: Above any metal on the extended CT scale that is in use.
MAX_HU = 20000
#: What the header of a MetaImage may call its modality.
_CT_OR_UNKNOWN = ("", "MET_MOD_CT", "MET_MOD_OTHER", "MET_MOD_UNKNOWN", "CT")


def require_one_ct(array: NDArray[Any], metadata: Mapping[str, str], path: Path) -> None:
    """Refuse what holds several values for each voxel, and what its own header calls another modality.

    Raises:
        NotCTError: see above.
    """
    if array.ndim != 3:
        raise NotCTError(
            what="The image is in colour or holds several channels",
            given=f"{path}, {array.shape[-1]} values for each voxel",
            remedy="Give the CT itself, one value for each voxel",
        )
    modality = metadata.get("Modality", metadata.get("modality", "")).strip()
    if modality.upper() not in _CT_OR_UNKNOWN:
        raise NotCTError(what="The image is not a CT by its header", given=f"{path}, modality {modality}")


def require_ct_range(array: NDArray[Any]) -> None:
    """Check that finite voxels can be Hounsfield units. These four rules are all there is.

    1. At least one voxel is below -20 HU, since any field of view holds fat or air. It refuses stored values without
       rescale intercept, MR, ultrasound, photographs, label maps and images scaled to [0, 1]. A CT cropped or clipped
       at about -200 HU passes.
    2. The values span at least 200 HU. It refuses images scaled to [-1, 1] or to zero mean and unit variance.
    3. No value is above 20000.
    4. Something is denser than water: an image of nothing but air and fat shows no liver.

    Raises:
        NotCTError: a rule is broken; the message says which and what the image looks like.
    """
    low, high = float(array.min()), float(array.max())
    rules = (
        (low >= FAT_OR_AIR_HU, *_what_else(array.dtype.kind, low, high)),
        (high - low < MIN_RANGE_HU, "The values span too little for a CT", "Give the CT in HU"),
        (high > MAX_HU, "The values are too high for a CT", "Give the CT in Hounsfield units"),
        (high <= 0, "The image holds nothing denser than water", "Give a CT of the liver"),
    )
    for broken, what, remedy in rules:
        if broken:
            raise NotCTError(what, given=f"values from {low:g} to {high:g}, type {array.dtype}", remedy=remedy)


def _what_else(kind: str, low: float, high: float) -> tuple[str, str]:
    """What an image without fat and air looks like, and what to do."""
    if kind == "f" and high - low <= 20:
        return "The image was normalised and holds no Hounsfield units", "Give the original CT"
    if kind in "iu" and high <= 20:
        return "The image looks like a label map", "Give the CT here and the labels as labels"
    if high <= 255:
        return "The image looks like a picture with grey values from 0 to 255", "Give the original CT"
    return (
        "The image holds no fat and no air: it is not a CT in Hounsfield units",
        "Give a CT; if it is one, export it with its rescale intercept (usually -1024)",
    )
