"""Slices that are there twice: the same file copied is dropped, the same name for different slices is a fault."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from MeWMLib.core.dicom.records import SAME_PLACE_MM, SliceRecord
from MeWMLib.core.dicom.voxels import read_voxels, stored_bytes
from MeWMLib.core.errors import MeWMError


def without_copies(slices: Sequence[SliceRecord]) -> tuple[list[SliceRecord], int, list[str]]:
    """Drop copies.

    Returns:
        The slices that stay, the number of copies, and the files that claim one SOPInstanceUID for different slices.
    """
    seen: dict[object, SliceRecord] = {}
    copies, clash = 0, []
    for one in slices:
        # slices of two sizes are two kinds of slices, which is said of them
        key = (one.file.sop or str(one.file.path), one.frame, one.shape)
        if key not in seen:
            seen[key] = one
            continue
        first = seen[key]
        if first.file.path == one.file.path or same_slice(first, one):
            copies += 1
        else:
            clash += [first.where, one.where]
    return list(seen.values()), copies, list(dict.fromkeys(clash))


def same_slice(a: SliceRecord, b: SliceRecord) -> bool:
    """True if two slices lie at one place and hold the same voxels, maybe one of them compressed."""
    if (a.shape, a.slope, a.intercept) != (b.shape, b.slope, b.intercept):
        return False
    if len(a.position) != len(b.position) or not np.allclose(a.position, b.position, atol=SAME_PLACE_MM):
        return False
    try:
        if a.layout.syntax == b.layout.syntax and stored_bytes(a) == stored_bytes(b):
            return True
        if not (a.layout.compressed or b.layout.compressed or a.layout.syntax != b.layout.syntax):
            return False
        # the same slice sent in two forms
        return bool(np.array_equal(read_voxels([a])[0], read_voxels([b])[0]))
    except (MeWMError, OSError):  # whoever needs the slice will say so
        return False
