"""Frames of a multi-frame object, one at a time.

highdicom wants all voxels of all segments at once, and goes over them several times. Here it is given one voxel for
each frame, so that it makes everything but the pixels; they are put in frame by frame, in the order in which its
functional groups list them.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def frames_of(data: Any, images: Sequence[Any]) -> Iterator[tuple[int, int | None]]:
    """The slice of each frame, and the segment that it shows (None: the frame is of all).

    Args:
        data: a segmentation or parametric map.
        images: slices of the grid, each at another position.
    """
    places = {_place(one.ImagePositionPatient): n for n, one in enumerate(images)}
    # what all frames share stands there: of one segment its number
    shared = data.SharedFunctionalGroupsSequence[0]
    for frame in data.PerFrameFunctionalGroupsSequence:
        shown = frame.get("SegmentIdentificationSequence") or shared.get("SegmentIdentificationSequence")
        position = (frame.get("PlanePositionSequence") or shared.PlanePositionSequence)[0].ImagePositionPatient
        yield places[_place(position)], int(shown[0].ReferencedSegmentNumber) if shown else None


def _place(position: Sequence[Any]) -> tuple[float, ...]:
    return tuple(float(one) for one in position)


class Packed:
    """Pixels of frames as DICOM stores them: bytes, or bits that go on from one frame to the next without a gap."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._left = np.zeros(0, np.uint8)

    def add(self, plane: NDArray[np.uint8], bits: bool) -> None:
        """Add a frame (J, I); of 0 and 1 where it becomes bits."""
        if not bits:
            self._pieces.append(plane.tobytes())
            return
        flat = np.concatenate([self._left, plane.reshape(-1)]) if len(self._left) else plane.reshape(-1)
        whole = len(flat) // 8 * 8
        self._pieces.append(np.packbits(flat[:whole], bitorder="little").tobytes())
        self._left = flat[whole:].copy()

    def whole(self) -> bytes:
        """All frames, of an even number of bytes."""
        self._pieces.append(np.packbits(self._left, bitorder="little").tobytes())
        content = b"".join(self._pieces)
        return content + b"\0" * (len(content) % 2)
