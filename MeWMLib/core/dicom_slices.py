"""Where the slices of a CT lie: what both readers of DICOM headers (`core/_dicom.py`, `cohorts/`) need to know."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Distances of neighbouring slices may differ by this share of their median: positions are printed with few digits.
SPACING_TOLERANCE = 0.1


class Placed(typing.Protocol):
    """A slice with the direction of its rows and of its columns (6 numbers) and its position (3), LPS mm."""

    @property
    def axes(self) -> Sequence[float]: ...  # noqa: D102

    @property
    def position(self) -> Sequence[float]: ...  # noqa: D102


Slice = typing.TypeVar("Slice", bound=Placed)


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


def normal_of(one: Placed) -> NDArray[np.float64]:
    """Unit vector (3,) across a slice, LPS."""
    row, column = np.array(one.axes, dtype=np.float64).reshape(2, 3)
    return np.asarray(np.cross(row, column))


def places_of(members: Iterable[Placed]) -> NDArray[np.float64]:
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
