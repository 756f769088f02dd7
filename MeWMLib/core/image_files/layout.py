"""What the header of an image file says, and the errors that all three formats share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError, NotCTError, UnreadableFileError

AGAIN = "Copy or export the file again"
#: A header longer than this is damaged; Slicer's longest are some hundred kilobytes.
MAX_HEADER = 16 * 2**20
_NUMBERED = re.compile(r"[^%]*%0?\d{0,2}d[^%]*")


@dataclass(frozen=True)
class Part:
    """One file of voxels.

    Attributes:
        path: the file.
        start: first byte of the voxels, or of their stream.
        packed: bytes of the compressed stream, where the header says so.
    """

    path: Path
    start: int = 0
    packed: int | None = None


@dataclass(frozen=True)
class Layout:
    """Where the voxels are and what they mean.

    Attributes:
        path: the file that was given.
        dtype: of the voxels as stored, byte order included.
        sizes: of the stored axes, the fastest first.
        channels: which of the axes holds the values of one voxel; None for one value each.
        affine: (4, 4); voxel index (i, j, k, 1) to RAS mm.
        encoding: "raw", "gzip", "zlib", "text" or "hex".
        parts: each holds the same share of the voxels.
        lead: what comes before the voxels in an unpacked stream.
        scale: slope and intercept from stored values to values, or None.
        metadata: further keys of the header.
    """

    path: Path
    dtype: np.dtype[Any]
    sizes: tuple[int, ...]
    channels: int | None
    affine: NDArray[np.float64]
    encoding: str
    parts: tuple[Part, ...]
    lead: bytes = b""
    scale: tuple[float, float] | None = None
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Sizes of the spatial axes (K, J, I)."""
        i, j, k = (n for axis, n in enumerate(self.sizes) if axis != self.channels)
        return k, j, i

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels as stored."""
        return math.prod(self.sizes) * self.dtype.itemsize


def unreadable(path: Path, what: str, found: str = "", remedy: str = AGAIN) -> UnreadableFileError:
    """An error about a file; `what` goes on after "The file"."""
    return UnreadableFileError(what=f"The file {what}", given=f"{path}{found and f' ({found})'}", remedy=remedy)


def damaged(path: Path, found: str) -> UnreadableFileError:
    """The voxels are fewer than declared, or their stream does not unpack."""
    return unreadable(path, "ends early or is damaged", found)


def wrong_format(path: Path, format_name: str) -> UnreadableFileError:
    """The file is not what its name says."""
    with path.open("rb") as file:
        head = file.read(4)
    found = "a JPEG picture" if head[:3] == b"\xff\xd8\xff" else "a PNG picture" if head == b"\x89PNG" else repr(head)
    return UnreadableFileError(
        what=f"The file is not a {format_name} file, whatever its name says",
        given=f"{path}, which begins as {found}" if head else f"{path}, which is empty",
        remedy="Give a DICOM folder or a NIfTI, NRRD or MetaImage file",
    )


def two_answers(path: Path, what: str, *found: str, remedy: str = "Export it again, or correct the wrong one") -> Any:
    """Two places of one header contradict each other, or readers do not agree; the error names both."""
    return GeometryError(what=what, given=f"{path}: {'; '.join(found)}", remedy=remedy)


def wrong_dimensions(path: Path, sizes: Sequence[int]) -> NotCTError:
    """Not one 3-D image."""
    return NotCTError(
        what=f"The image has {len(sizes)} dimensions",
        given=f"{path}, {' x '.join(map(str, sizes))}",
        remedy="Give one 3-D phase" if len(sizes) > 3 else "Give the whole volume, not one slice",
    )


def require_spacing(values: Sequence[float], path: Path) -> None:
    """Refuse a spacing that is zero, negative or not a number."""
    if any(not math.isfinite(v) or v <= 0 for v in values):
        raise GeometryError(
            what="The voxel spacing in the header is zero, negative or not a number",
            given=f"{path}: {in_mm(values)}",
            remedy="Export the CT again; the size of the voxels cannot be guessed",
        )


def no_spacing(path: Path, fields: str) -> GeometryError:
    """The header has no spacing at all; libraries would take 1 mm."""
    return GeometryError(
        what="There is no voxel spacing in the header",
        given=f"{path}: {fields} (libraries then take 1 x 1 x 1 mm)",
        remedy="Export the CT again; the size of the voxels cannot be guessed",
    )


def no_orientation(path: Path, found: str) -> GeometryError:
    """The header does not say which way the axes run in the patient."""
    return GeometryError(
        what="The header does not say which way left, front and up are",
        given=f"{path}: {found}",
        remedy="Export it again with its orientation; it cannot be guessed, and libraries differ",
    )


def in_mm(values: Sequence[float]) -> str:
    """Sizes for a message."""
    return " x ".join(f"{v:.6g}" for v in values) + " mm"


def numbers(path: Path, name: str, text: str, count: int | None = None) -> list[float]:
    """The numbers of a header field.

    Raises:
        UnreadableFileError: it holds something else, or another number of them.
    """
    try:
        values = [float(part) for part in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if not values or (count is not None and len(values) != count):
        raise unreadable(path, "has a damaged header", f"{name}: {text[:60]!r}")
    return values


def whole_numbers(path: Path, name: str, text: str, count: int | None = None) -> tuple[int, ...]:
    """As `numbers`, for whole ones."""
    values = numbers(path, name, text, count)
    if any(not value.is_integer() for value in values):
        raise unreadable(path, "has a damaged header", f"{name}: {text[:60]!r}")
    return tuple(int(value) for value in values)


def numbered_files(path: Path, pattern: str, first: int, last: int, step: int) -> list[str]:
    """The names of a printf pattern such as `slice%03d.raw`, for the numbers from `first` to `last`.

    Raises:
        UnreadableFileError: no such pattern, or no end.
    """
    count = (last - first) // step + 1 if step else 0
    if not _NUMBERED.fullmatch(pattern) or not 1 <= count <= 10**6:
        raise unreadable(path, "has a damaged header", f"data files {pattern!r} from {first} to {last} by {step}")
    return [pattern % number for number in range(first, first + count * step, step)]


def parts_of(path: Path, names: Sequence[str], wanted: Sequence[int], start: int = 0) -> tuple[Part, ...]:
    """The files of a detached header.

    Args:
        path: the header; the names are relative to its folder.
        names: of the files.
        wanted: how many files there may be.
        start: first byte of the voxels in each.

    Raises:
        UnreadableFileError: another number of files, or one that is not there.
    """
    if len(names) not in wanted:
        raise unreadable(path, "names another number of data files than its sizes ask for", f"{len(names)}")
    parts = tuple(Part(path.parent / name, start) for name in names)
    for part in parts:
        if not part.path.is_file():
            raise unreadable(
                path, "names a data file that is not there", part.path.name, "Copy the data files beside it"
            )
    return parts
