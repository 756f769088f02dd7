"""The study that an export belongs to: the patient, the study, and the slices that everything refers to.

There are three kinds. REFERENCE: the user names the DICOM that the plan was computed from; its slices are found again
by their grid and by every voxel. COPY: the same without anything that identifies (`deidentify`), whose slices are
written too, since nobody could follow a reference to the originals. MADE_UP: nothing is named, so that patient and
study are made up, whosever scan it is.
"""
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core._checks import PADDING_HU
from MeWMLib.core.dicom.assemble import checked
from MeWMLib.core.dicom.packages import package
from MeWMLib.core.dicom.records import SliceRecord
from MeWMLib.core.dicom.series import choose
from MeWMLib.core.dicom.voxels import read_voxels
from MeWMLib.core.errors import GeometryMismatchError, SeriesError, UnreadableFileError
from MeWMLib.core.grids import turned_like
from MeWMLib.core.volume import Geometry, Volume
from MeWMLib.exchange.attributes import ACQUIRED, PATIENT, SCANNER, STUDY, completed, copied, decimals, now

REFERENCE, COPY, MADE_UP = "reference", "de-identified copy", "made up"
CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
#: Slices of one volume are written with these numbers of series from here on.
FIRST_SERIES = 9100
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: HU of the plan and of the scan may differ by so much: those of a plan are whole numbers.
_SAME_HU = 0.5
#: So many identical voxels of a thousand say that it is the scan, and only some of it was changed.
_MOSTLY = 0.9


@dataclass(frozen=True)
class SourceSlice:
    """One slice that objects refer to.

    Attributes:
        sop_class, sop: of its file.
        frame: place in a file of several frames, from 0; None where it is a file of its own.
        position: of the first voxel, LPS mm, as it is written.
    """

    sop_class: str
    sop: str
    frame: int | None
    position: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Study:
    """What all objects of an export share.

    Attributes:
        kind: `REFERENCE`, `COPY` or `MADE_UP`.
        header: attributes of patient and study, and the study's UID and frame of reference.
        acquired: attributes of the scan that stay true of a derived image.
        scanner: its equipment.
        series: UID of the series of the slices.
        slices: in the order of `geometry`.
        geometry: the grid of these slices.
        orientation, spacing: ImageOrientationPatient and PixelSpacing, as they are written.
        step_mm: distance of the slices.
        stamp: date and time that new objects carry.
        notes: what a user should know.
    """

    kind: str
    header: Any
    acquired: Any
    scanner: Any
    series: str
    slices: tuple[SourceSlice, ...]
    geometry: Geometry
    orientation: tuple[Any, ...]
    spacing: tuple[Any, ...]
    step_mm: float
    stamp: tuple[str, str]
    notes: tuple[str, ...] = field(default=())

    @property
    def described(self) -> str:
        """In one line."""
        return {
            REFERENCE: "The objects belong to the study that was named with --reference",
            COPY: "The objects belong to a de-identified copy of the study that was named with --reference",
            MADE_UP: "No --reference was given: patient and study are made up, and say so",
        }[self.kind]

    def on_grid(self, array: NDArray[Any], geometry: Geometry) -> NDArray[Any]:
        """Voxels of the plan (K, J, I) in the order and direction of the slices; none is interpolated.

        Raises:
            GeometryMismatchError: they do not lie on the slices.
        """
        turned, grid = turned_like(array, geometry, self.geometry)
        if not self.geometry.same_as(grid):
            raise GeometryMismatchError(
                what="The plan is not on the grid of the series that was named",
                given=self.geometry.differences(grid),
                remedy="Name the series that the plan was computed from with --reference and --series; a plan on a "
                "crop or on resampled voxels is exported without --reference",
            )
        return turned

    def part_on_grid(self, array: NDArray[Any], geometry: Geometry) -> tuple[NDArray[Any], tuple[int, int, int]]:
        """As `on_grid` for a part of the plan's grid, which lies on the slices; with its first voxel on them."""
        turned, grid = turned_like(array, geometry, self.geometry)
        k, j, i = np.round(self.geometry.to_kji(grid.to_ras((0, 0, 0)))).astype(int)
        return turned, (int(k), int(j), int(i))

    def planes_on_grid(self, planes: Iterable[NDArray[Any]], geometry: Geometry) -> Iterator[tuple[int, NDArray[Any]]]:
        """As `on_grid` for what is read slice by slice of the plan's grid: number of a slice here, and its voxels."""
        shape = (1, *geometry.shape[1:])
        for n, plane in enumerate(planes := iter(planes)):
            turned, start = self.part_on_grid(plane[None], geometry.crop((n, 0, 0), shape))
            if len(turned) > 1:  # slices of the plan are no slices of the series: all of them are needed for one
                whole = self.on_grid(np.stack([plane, *planes]), geometry)
                yield from enumerate(whole)
                return
            yield start[0], turned[0]


def made_up(ct: Volume, subject: str, uid: str | None = None) -> Study:
    """A study that is made up, on the grid of a CT, which may be a real one.

    Args:
        ct: the scan before treatment.
        subject: a word for the patient's id; no name of a person.
        uid: of the study; a new one where it is None.
    """
    hd = package("highdicom")
    data = package("pydicom").Dataset()
    stamp = now()
    data.PatientName, data.PatientID = f"MADE-UP^{subject}", f"MADE-UP-{subject}"[:64]
    data.StudyDate, data.StudyTime, data.StudyID = *stamp, "1"
    data.StudyDescription = "MADE-UP STUDY by MeWM"
    data.StudyInstanceUID, data.FrameOfReferenceUID = uid or hd.UID(), hd.UID()
    acquired, scanner = package("pydicom").Dataset(), package("pydicom").Dataset()
    acquired.PositionReferenceIndicator = ""
    acquired.PatientPosition = ""
    orientation, spacing, places, step = written_grid(ct.geometry)
    slices = tuple(SourceSlice(CT_CLASS, hd.UID(), None, tuple(place)) for place in places)
    acquired.SliceThickness = decimals([step])[0]
    return Study(
        MADE_UP, completed(data), acquired, scanner, hd.UID(), slices, ct.geometry, tuple(orientation),
        tuple(spacing), step, stamp,
    )  # fmt: skip


def written_grid(geometry: Geometry) -> tuple[list[Any], list[Any], list[list[Any]], float]:
    """A grid as DICOM writes it: ImageOrientationPatient, PixelSpacing, a position for each slice, their distance."""
    affine = _LPS @ geometry.affine
    sk, sj, si = geometry.spacing
    axes = affine[:3, :3] / (si, sj, sk)
    places = affine[:3, 3] + np.arange(geometry.shape[0])[:, None] * affine[:3, 2]
    return decimals([*axes[:, 0], *axes[:, 1]]), decimals([sj, si]), [decimals(p) for p in places], sk


def from_reference(folder: Path, ct: Volume, series: str | None = None) -> Study:
    """The study of the scan that a plan was computed from.

    Args:
        folder: DICOM; also the file of an enhanced CT.
        ct: the scan before treatment, as the plan keeps it.
        series: which one, where there are several (see `io.read_volume`).

    Raises:
        SeriesError: no series, several, or one that is not whole; or it is not the scan of the plan.
        GeometryMismatchError: the plan is on another grid.
        UnreadableFileError, NotCTError: it cannot be read.
    """
    stack = choose(folder, series)
    slices, grid = checked(stack)
    first = slices[0]
    header = _header(first)
    if not str(header.get("StudyInstanceUID", "")) or not first.file.series or not all(s.file.sop for s in slices):
        raise UnreadableFileError(
            what="The series has no UID of its study, of itself or of a slice, so that nothing can refer to it",
            given=str(folder),
            remedy="Export it again from the PACS",
        )
    shared = completed(copied(header, (*PATIENT, *STUDY)))
    shared.StudyInstanceUID, shared.FrameOfReferenceUID = header.StudyInstanceUID, first.file.frame_of_reference
    if not first.file.frame_of_reference:
        raise UnreadableFileError(
            what="The series has no frame of reference, which a segmentation of it needs",
            given=str(folder),
            remedy="Export it again from the PACS, or leave --reference out",
        )
    if len({s.file.frame_of_reference for s in slices}) > 1 or len({s.file.study for s in slices}) > 1:
        raise SeriesError(
            what="The slices of the series have several frames of reference or studies",
            given=str(folder),
            remedy="Export it again from the PACS, each examination by itself",
        )
    acquired = copied(header, ACQUIRED)
    several = first.layout.frames > 1
    places = tuple(
        SourceSlice(s.file.sop_class, s.file.sop, s.frame if several else None, tuple(decimals(s.position)))
        for s in slices
    )
    step = float(grid.spacing[0])
    study = Study(
        REFERENCE, shared, acquired, copied(header, SCANNER), first.file.series, places, grid,
        tuple(decimals(first.axes)), tuple(decimals(first.spacing)), step, now(),
    )  # fmt: skip
    _require_same_scan(study, slices, ct, folder)
    return study


def _header(first: SliceRecord) -> Any:
    """The header of a file, with what an enhanced CT says of its first frame beside it."""
    return package("pydicom").dcmread(first.file.path, stop_before_pixels=True)


def _require_same_scan(study: Study, slices: Sequence[SliceRecord], ct: Volume, folder: Path) -> None:
    """Raise unless every voxel of the scan is that of the plan. One slice is read at a time."""
    mine = study.on_grid(ct.array, ct.geometry)
    other, worst = 0, 0.0
    for n, one in enumerate(slices):
        theirs = read_voxels([one])[0][0]
        # the plan's own volume may be padded lower in a file of another program; reading clamps it
        apart = np.abs(np.maximum(mine[n], PADDING_HU).astype(np.float32) - theirs)
        other += int((apart > _SAME_HU).sum())
        worst = max(worst, float(apart.max()))
    if other:
        share = other / mine.size
        what = "The series that was named is not the one that the plan was computed from"
        if share < 1 - _MOSTLY:
            what += ", though most voxels agree"
        raise SeriesError(
            what=what,
            given=f"{folder}: {100 * share:.2g} % of the voxels differ, by up to {worst:.0f} HU",
            remedy="Name the series of the plan with --reference and --series",
        )
