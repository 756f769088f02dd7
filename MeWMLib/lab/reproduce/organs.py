"""The paper's organ filter: tumour that a segmenter finds outside of another segmenter's liver is taken out."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MeWMLib.core.errors import InputError
from MeWMLib.core.io import read_labels
from MeWMLib.core.volume import LabelMap


def without_outside(labels: LabelMap, organs: Path) -> tuple[LabelMap, float]:
    """Take out tumour outside of the liver of a label map that another segmenter made (pseudo-labels).

    Args:
        labels: liver and tumour, as the bundle's segmenter finds them.
        organs: label map on any grid, with a segment that is the liver, or 1 for it; its tumour counts as liver.

    Returns:
        The labels, and the volume (ml) of tumour that was taken out; the liver stays as it was found.

    Raises:
        UnreadableFileError, InputError: the file cannot be read, or holds no liver.
    """
    known = read_labels(organs, labels.geometry, resample=True)
    if not known.liver.any():
        raise InputError(
            what="The pseudo-labels hold no liver",
            given=str(organs),
            remedy="Give a label map with liver as 1, or as a segment of that name",
        )
    outside = labels.tumour & ~known.liver
    array = np.where(outside, 0, labels.array).astype(np.uint8)
    return LabelMap(array, labels.geometry), float(outside.sum()) * labels.geometry.voxel_ml
