"""Where the slices of a CT lie: what both readers of DICOM headers (`core/_dicom.py`, `cohorts/`) need to know."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

#: Distances of neighbouring slices may differ by this share of their median: positions are printed with few digits.
SPACING_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """What the header of one image says. Texts are "" and numbers are () where a tag is missing.

    Attributes:
        path: the file.
        series: SeriesInstanceUID.
        image_type: parts in upper case.
        shape: rows and columns.
        spacing: mm between rows and between columns.
        axes: direction of the rows and of the columns, 6 numbers, LPS.
        position: of the first voxel, 3 numbers, LPS mm.
    """

    path: Path
    series: str
    series_number: str
    acquisition: str
    description: str = ""
    modality: str
    image_type: tuple[str, ...]
    shape: tuple[int, int]
    samples: int
    frames: int
    spacing: tuple[float, ...]
    axes: tuple[float, ...]
    position: tuple[float, ...]

    @property
    def has_position(self) -> bool:
        """True if it says where the slice lies."""
        return len(self.position) == 3 and len(self.axes) == 6

    @property
    def localizer(self) -> bool:
        """True for a scout."""
        return "LOCALIZER" in self.image_type


Slice = TypeVar("Slice", bound=SliceRecord)


def is_dicom(head: bytes) -> bool:
    """True if the first 132 bytes of a file say that it is DICOM."""
    # files without the 128-byte preamble begin with group 0008 in little-endian
    return head[128:132] == b"DICM" or head[:2] == b"\x08\x00"


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a DICOM value such as "0.8\\0.7"; empty if one of them cannot be read."""
    try:
        return tuple(float(part) for part in text.split("\\") if part.strip())
    except ValueError:
        return ()


def upper_parts(text: str) -> tuple[str, ...]:
    """The parts of a DICOM value such as "ORIGINAL\\PRIMARY", in upper case."""
    return tuple(part.strip().upper() for part in text.split("\\"))


def normal_of(one: SliceRecord) -> NDArray[np.float64]:
    """Unit vector (3,) across a slice, LPS."""
    row, column = np.array(one.axes, dtype=np.float64).reshape(2, 3)
    return np.asarray(np.cross(row, column))


def places_of(members: Iterable[SliceRecord]) -> NDArray[np.float64]:
    """Places (mm) of slices along the normal of the first one."""
    members = list(members)
    normal = normal_of(members[0])
    return np.array([float(np.dot(one.position, normal)) for one in members])


def in_order(members: Iterable[Slice]) -> tuple[Slice, ...]:
    """Slices in the order of their places."""
    members = list(members)
    return tuple(members[n] for n in np.argsort(places_of(members), kind="stable"))


def uneven_steps(places: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the steps between sorted places that are not as long as the others."""
    steps = np.diff(places)
    usual = float(np.median(steps)) if len(steps) else 0.0
    return np.flatnonzero(np.abs(steps - usual) > SPACING_TOLERANCE * usual)
