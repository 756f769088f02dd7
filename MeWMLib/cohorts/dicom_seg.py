"""Which DICOM segmentation belongs to which scan of a patient. Reading one is `core/dicom/segmentation.py`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MeWMLib.core.dicom.records import SAME_PLACE_MM
from MeWMLib.core.dicom.segmentation import Segmentation
from MeWMLib.core.dicom.segmentation import masks_on as masks_on
from MeWMLib.core.dicom.segmentation import read_segmentation as read_segmentation
from MeWMLib.core.dicom.stacks import Stack


def choose(segmentations: Sequence[Segmentation], stack: Stack) -> Segmentation | None:
    """The segmentation that belongs to a stack; drawn by people before drawn by programs.

    One belongs to the slices that it names. Where it names none, it belongs to the stacks of its frame of reference
    that have a slice at the place of each of its frames. Among equals the one with more segments of tumour and liver
    counts.
    """
    slices = {one.file.sop for one in stack.slices}
    mine = [
        one
        for one in segmentations
        if (len(one.sources & slices) > 0.5 * len(one.sources) if one.sources else _lies_on(one, stack))
    ]
    return min(
        mine,
        key=lambda one: (not one.sources, one.automatic, -len(set(one.structures.values())), str(one.path)),
        default=None,
    )


def _lies_on(one: Segmentation, stack: Stack) -> bool:
    """True if every frame lies in the plane of a slice, in the same frame of reference."""
    frame = stack.slices[0].file.frame_of_reference
    if not frame or frame != one.frame_of_reference or not len(one.positions):
        return False
    axes = np.array(stack.slices[0].axes).reshape(2, 3)
    normal = np.cross(*axes)
    places = np.array([s.position for s in stack.slices]) @ normal
    away = np.abs((one.positions @ normal)[:, None] - places[None, :]).min(axis=1)
    return bool((away <= SAME_PLACE_MM).all())
