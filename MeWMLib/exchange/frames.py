"""Objects of many frames, made from ones of a few.

highdicom wants all voxels of all segments at once, goes over them several times, and makes a dataset for each frame,
which pydicom then encodes. Here it is given two or three slices of one voxel, and makes of them all that frames share.
The frames are written as bytes after what it made of the first one, and their pixels one after the other.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.exchange.encoded import FileHead, Template, long_element, number_element, sequence, text_element
from MeWMLib.exchange.fingerprint import sign
from MeWMLib.exchange.images import Images
from MeWMLib.exchange.study import SourceSlice

_FRAMES, _COUNT = "PerFrameFunctionalGroupsSequence", "NumberOfFrames"
_SERIES, _INSTANCES, _SOURCES = "ReferencedSeriesSequence", "ReferencedInstanceSequence", "SourceImageSequence"
_DERIVED, _CONTENT, _PLACE, _SHOWN = (
    "DerivationImageSequence", "FrameContentSequence", "PlanePositionSequence", "SegmentIdentificationSequence",
)  # fmt: skip
_REFERENCE = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID", "ReferencedFrameNumber")
_POSITION, _INDEX, _SEGMENT = "ImagePositionPatient", "DimensionIndexValues", "ReferencedSegmentNumber"


@dataclass(frozen=True)
class Frame:
    """A frame: the slice that it is of, and the number of the segment that it shows (None: it is of all)."""

    slice: int
    segment: int | None = None


@dataclass(frozen=True)
class Pixels:
    """Pixels of all frames in their order.

    Attributes:
        name, vr: of their element.
        size: bytes.
        pieces: gives them, a piece after the other; it is asked twice.
    """

    name: str
    vr: str
    size: int
    pieces: Callable[[], Iterable[Any]]


def few(included: Sequence[int]) -> range:
    """Slices of which highdicom sees what it would see of all: if there are several, and at one distance.

    Args:
        included: numbers of the slices that have frames, ascending.
    """
    changes = np.flatnonzero(np.diff(included, n=2))
    first = int(changes[0]) if len(changes) else 0
    last = min(first + (2 if len(changes) else 1), len(included) - 1)
    return range(included[first], included[last] + 1)


class MultiFrame:
    """An object with all of its frames, which are in `frames` in their order.

    Args:
        made: what highdicom made of `few` slices: complete but for frames, what refers to slices, and pixels.
        images: the slices.
        shown: for each segment the numbers of the slices that it has frames of, ascending; of one map these alone.
        segments: False where a frame is of all segments, or there are none.
    """

    def __init__(self, made: Any, images: Images, shown: Sequence[Sequence[int]], segments: bool) -> None:
        self._made, self._images = made, images
        included = sorted({n for numbers in shown for n in numbers})
        self._listed = images.slices[included[0] : included[-1] + 1]
        self._item = _Item(made[_FRAMES].value[0])
        # it puts them along the normal of the slices, whichever way they are numbered
        if self._item.position not in (None, _plain(images.slices[few(included)[0]].position)):
            included.reverse()
        self._places = {n: place for place, n in enumerate(included, start=1)}
        self.frames = [
            Frame(n, number if segments else None)
            for number, numbers in enumerate(shown, start=1)
            for n in sorted(numbers, key=self._places.__getitem__)
        ]

    def write(self, path: Path, said: str, pixels: Pixels) -> str:
        """Write the file and sign it; `said` how it was made. Returns its SHA-256."""
        made = self._made
        made.NumberOfFrames = len(self.frames)
        slices = [self._images.slices[one.slice] for one in self.frames]
        sign(made, said, pixels.pieces(), map(self._item.told, self.frames, slices))
        made_items = zip(self.frames, slices, strict=True)
        elements = {
            _COUNT: text_element(_COUNT, "IS", str(len(self.frames))),
            _SERIES: sequence(_SERIES, [self._referred()]),
            _SOURCES: sequence(_SOURCES, [_refer(one) for one in self._listed]),
            _FRAMES: sequence(_FRAMES, [self._item.filled(one, self._places[one.slice], of) for one, of in made_items]),
        }
        head = FileHead(str(made.SOPClassUID)).filled(str(made.SOPInstanceUID))
        head += Template(made, tuple(elements)).filled(elements) + long_element(pixels.name, pixels.vr, pixels.size)
        digest = hashlib.sha256()
        with path.open("wb") as file:
            for piece in chain([head], pixels.pieces()):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    def _referred(self) -> bytes:
        """The series of the slices, with each of its files once."""
        files = {one.sop: _refer(one, whole=True) for one in self._listed}
        series = text_element("SeriesInstanceUID", "UI", self._images.series)
        return sequence(_INSTANCES, list(files.values())) + series


class _Item:
    """What stands in the groups of a frame: as in the first, with its own place, slice and segment.

    Of one segment the number is in the shared groups instead.
    """

    def __init__(self, first: Any) -> None:
        self._groups = [name for name in (_DERIVED, _CONTENT, _PLACE, _SHOWN) if name in first]
        self._whole = Template(first, self._groups)
        self.position = _plain(first[_PLACE].value[0].ImagePositionPatient) if _PLACE in first else None
        inside = {_DERIVED: _SOURCES, _CONTENT: _INDEX, _PLACE: _POSITION, _SHOWN: _SEGMENT}
        self._parts = {name: Template(first[name].value[0], [inside[name]]) for name in self._groups}
        self._inside = inside
        self._source = Template(first[_DERIVED].value[0][_SOURCES].value[0], _REFERENCE)

    def told(self, frame: Frame, of: SourceSlice) -> tuple[Sequence[Any] | None, int | str]:
        """The position and the segment, as far as the groups of the frame tell."""
        number = frame.segment if _SHOWN in self._groups and frame.segment is not None else ""
        return (of.position if _PLACE in self._groups else None), number

    def filled(self, frame: Frame, place: int, of: SourceSlice) -> bytes:
        """The groups of one frame; `place` of its slice among all, from 1."""
        index = [place] if frame.segment is None else [frame.segment, place]
        contents = {
            _DERIVED: sequence(_SOURCES, [self._source.filled(_references(of))]),
            _CONTENT: number_element(_INDEX, "UL", index),
            _PLACE: text_element(_POSITION, "DS", "\\".join(map(str, of.position))),
            _SHOWN: number_element(_SEGMENT, "US", [frame.segment or 0]),
        }
        return self._whole.filled(
            {
                name: sequence(name, [self._parts[name].filled({self._inside[name]: contents[name]})])
                for name in self._groups
            }
        )


def _references(one: SourceSlice, whole: bool = False) -> dict[str, bytes]:
    """Elements that refer to a slice; to the file as a `whole`, or to its frame."""
    found = {
        name: text_element(name, "UI", uid) for name, uid in zip(_REFERENCE, (one.sop_class, one.sop), strict=False)
    }
    if one.frame is not None and not whole:
        found[_REFERENCE[2]] = text_element(_REFERENCE[2], "IS", str(one.frame + 1))
    return found


def _refer(one: SourceSlice, whole: bool = False) -> bytes:
    return b"".join(_references(one, whole).values())


def _plain(position: Sequence[Any]) -> tuple[float, ...]:
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
