"""What is known of a CT slice before its voxels are read, and where slices lie.

A file of one slice and a frame of an enhanced CT become the same `SliceRecord`; nothing behind `headers` asks which.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.dicom.kinds import Kind

#: Distances of neighbouring slices may differ by this share of their median: positions are printed with few digits.
SPACING_TOLERANCE = 0.1
#: Slices nearer than this are at one place.
SAME_PLACE_MM = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelLayout:
    """How the voxels lie in a file.

    Attributes:
        rows, columns, frames, samples: sizes; more than one sample is colour.
        bits, stored, high: BitsAllocated, BitsStored, HighBit.
        signed: PixelRepresentation is 1.
        little_endian: order of the bytes.
        syntax: TransferSyntaxUID, "" where the file has none.
        compressed: voxels are in fragments that a codec must unpack.
        start: byte of the first voxel; of the first fragment's item where compressed.
        overlays: bits above the stored ones that the file says to hold overlays.
    """

    rows: int
    columns: int
    frames: int
    samples: int
    bits: int
    stored: int
    high: int
    signed: bool
    little_endian: bool
    syntax: str
    compressed: bool
    start: int
    overlays: int = 0

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame, unpacked."""
        return self.rows * self.columns * self.samples * self.bits // 8


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHeader:
    """What one DICOM file says of itself. Texts are "" where a tag is missing; `layout` only a CT has.

    Attributes:
        path, size: the file and its bytes.
        kind: what it is.
        date: YYYYMMDD of the study, else of the series or the acquisition.
        lossy: it went through lossy compression.
    """

    path: Path
    size: int
    kind: Kind
    sop_class: str
    sop: str
    modality: str
    study: str
    series: str
    series_number: str
    description: str
    date: str
    patient_id: str
    patient_name: str
    identity_removed: bool
    frame_of_reference: str
    image_type: tuple[str, ...]
    lossy: bool
    layout: PixelLayout | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceRecord:
    """One CT slice: a classic file, or one frame of an enhanced one. Numbers are () or None where a tag is missing.

    Attributes:
        file: its file.
        layout: how the voxels lie in it.
        frame: place in the file, from 0.
        spacing: mm between rows and between columns.
        axes: direction of the rows and of the columns, 6 numbers, LPS.
        position: of the first voxel, 3 numbers, LPS mm.
        slope, intercept: HU = slope * stored + intercept.
        units: RescaleType.
        lookup: the values go through a table (Modality LUT) instead.
        padding: stored values, first and last, of voxels outside of the scanner's circle.
        image_type: parts in upper case.
        thickness: SliceThickness in mm, 0 where missing.
        acquisition, temporal, stack, contrast, kernel, time: what may tell contrast phases and reconstructions apart.
        instance: order in which it was stored.
    """

    file: FileHeader
    layout: PixelLayout
    frame: int = 0
    spacing: tuple[float, ...]
    axes: tuple[float, ...]
    position: tuple[float, ...]
    slope: float | None = None
    intercept: float | None = None
    units: str = ""
    lookup: bool = False
    padding: tuple[int, int] | None = None
    image_type: tuple[str, ...] = ()
    thickness: float = 0.0
    acquisition: str = ""
    temporal: str = ""
    stack: str = ""
    contrast: str = ""
    kernel: str = ""
    time: str = ""
    instance: int = 0

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.layout.rows, self.layout.columns

    @property
    def localizer(self) -> bool:
        """True for a scout."""
        return "LOCALIZER" in self.image_type

    @property
    def where(self) -> str:
        """File and frame, for messages."""
        several = self.layout.frames > 1
        return f"{self.file.path.name}, frame {self.frame + 1}" if several else self.file.path.name


@dataclass(frozen=True)
class DicomObject:
    """One file: its header, and its slices where it is a CT."""

    header: FileHeader
    slices: tuple[SliceRecord, ...] = ()


@dataclass(frozen=True)
class BadFile:
    """A file or folder that cannot be read: where, why (without anything from inside it), and its series if known.

    `opened` is False where the operating system refused: it may be anything.
    """

    path: Path
    reason: str
    series: str = ""
    opened: bool = True


def numbers(text: str) -> tuple[float, ...]:
    """The numbers of a DICOM value such as "0.8\\0.7"; empty if one of them cannot be read or is not finite."""
    try:
        found = tuple(float(part) for part in text.split("\\") if part.strip())
    except ValueError:
        return ()
    return found if all(abs(one) < float("inf") for one in found) else ()


def upper_parts(text: str) -> tuple[str, ...]:
    """The parts of a DICOM value such as "ORIGINAL\\PRIMARY", in upper case."""
    return tuple(part.strip().upper() for part in text.split("\\"))


def normal_of(one: SliceRecord) -> NDArray[np.float64]:
    """Unit vector (3,) across a slice, LPS."""
    normal = np.cross(*axes_of(one))
    return np.asarray(normal / np.linalg.norm(normal))


def axes_of(one: SliceRecord) -> NDArray[np.float64]:
    """Unit vectors (2, 3) along the rows and along the columns, LPS; their digits may make them a hair too long."""
    axes = np.array(one.axes, dtype=np.float64).reshape(2, 3)
    return np.asarray(axes / np.linalg.norm(axes, axis=1, keepdims=True))


def places_of(members: Iterable[SliceRecord]) -> NDArray[np.float64]:
    """Places (mm) of slices along the normal of the first one."""
    members = list(members)
    return np.array([one.position for one in members], dtype=np.float64) @ normal_of(members[0])


def in_order(members: Iterable[SliceRecord]) -> tuple[SliceRecord, ...]:
    """Slices in the order of their places."""
    members = list(members)
    return tuple(members[n] for n in np.argsort(places_of(members), kind="stable"))


def uneven_steps(places: NDArray[np.float64]) -> NDArray[np.intp]:
    """Numbers of the steps between sorted places that are not as long as the others."""
    steps = np.diff(places)
    usual = float(np.median(steps)) if len(steps) else 0.0
    return np.flatnonzero(np.abs(steps - usual) > SPACING_TOLERANCE * usual)
