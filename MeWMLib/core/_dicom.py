"""One CT series out of a DICOM folder. Private to `core/io.py`; GDCM inside SimpleITK reads the files.

The affine is built here from the headers of all slices, since ITK's series reader takes the distance of the first two
slices for all and would hide a missing one.
"""
# mypy: allow-untyped-calls
# SimpleITK's wrapper carries no types.

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from MeWMLib.core.dicom_slices import (
    SliceRecord,
    in_order,
    is_dicom,
    normal_of,
    numbers,
    places_of,
    uneven_steps,
    upper_parts,
)
from MeWMLib.core.errors import GeometryError, NotCTError, SeriesError, UnreadableFileError
from MeWMLib.core.volume import Geometry

#: Results that are stored beside the images; a folder with a CT and its SEG is a CT.
_RESULTS = ("SEG", "SR", "RTSTRUCT", "PR", "KO", "RTDOSE", "RTPLAN")
_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])


def read_series(folder: Path, series: str | None) -> tuple[NDArray[Any], Geometry]:
    """Read the one CT series of a folder, or the one that `series` names.

    Args:
        folder: files that are not DICOM are passed over; if the folder itself holds none, its sub-folders are searched.
        series: SeriesNumber or SeriesInstanceUID; "4/2" means acquisition 2 of series 4.

    Returns:
        Voxels (K, J, I) in HU, ordered along the normal of the slices, and their grid.

    Raises:
        SeriesError: no series, several series, missing or unevenly spaced slices, two acquisitions in one place.
        NotCTError: another modality, or colour.
        UnreadableFileError: a file is damaged.
    """
    slices = _headers(folder.iterdir()) or _headers(folder.rglob("*"))
    if not slices:
        raise SeriesError(
            what="The folder holds no DICOM file",
            given=str(folder),
            remedy="Give the folder of one CT series, or a NIfTI file",
        )
    return assemble(_choose(slices, series, folder), folder)


def _headers(paths: Iterable[Path]) -> list[SliceRecord]:
    """Headers of the images among some files."""
    found = []
    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    for path in sorted(path for path in paths if path.is_file()):
        try:
            with path.open("rb") as file:
                head = file.read(132)
        except OSError:
            continue
        if not is_dicom(head):
            continue
        reader.SetFileName(str(path))
        try:
            reader.ReadImageInformation()
        except RuntimeError as error:
            if path.name.upper() == "DICOMDIR":
                continue
            raise _damaged(path) from error
        keys = set(reader.GetMetaDataKeys())

        def value(tag: str, keys: set[str] = keys) -> str:
            return str(reader.GetMetaData(tag)).strip(" \0") if tag in keys else ""

        if value("0008|0060") in _RESULTS:
            continue
        columns, rows, frames = (*reader.GetSize(), 1)[:3]
        found.append(
            SliceRecord(
                path=path,
                series=value("0020|000e"),
                series_number=value("0020|0011"),
                acquisition=value("0020|0012"),
                description=value("0008|103e")[:40],
                modality=value("0008|0060"),
                image_type=upper_parts(value("0008|0008")),
                shape=(int(rows), int(columns)),
                samples=int(reader.GetNumberOfComponents()),
                frames=int(frames),
                spacing=numbers(value("0028|0030")),
                axes=numbers(value("0020|0037")),
                position=numbers(value("0020|0032")),
            )
        )
    return found


def _damaged(path: Path) -> UnreadableFileError:
    return UnreadableFileError(
        what="A DICOM file is cut or damaged", given=str(path), remedy="Export the series again from the PACS"
    )


def _list(groups: dict[str, list[SliceRecord]]) -> str:
    lines = []
    for members in list(groups.values())[:12]:
        first = members[0]
        title = f"{first.series_number or first.series}" + (f' "{first.description}"' if first.description else "")
        lines.append(f"series {title}: {len(members)} slices of {first.modality or 'no modality'}")
    if len(groups) > 12:
        lines.append(f"and {len(groups) - 12} more")
    return "; ".join(lines)


def _choose(slices: list[SliceRecord], series: str | None, folder: Path) -> list[SliceRecord]:
    groups: dict[str, list[SliceRecord]] = {}
    for one in slices:
        groups.setdefault(one.series, []).append(one)
    acquisition = None
    if series is not None:
        wanted, _, acquisition = series.strip().partition("/")
        matching = {uid: m for uid, m in groups.items() if wanted in (uid, m[0].series_number)}
        if not matching:
            raise SeriesError(
                what=f"There is no series {wanted}", given=_list(groups), remedy="Give one of these with --series"
            )
        groups = matching
    ct = {uid: m for uid, m in groups.items() if m[0].modality == "CT"}
    if not ct:
        raise NotCTError(what="The DICOM series is not a CT", given=_list(groups), remedy="Give a CT series")
    images = {u: kept for u, m in ct.items() if (kept := [s for s in m if not s.localizer])} or ct
    if len(images) > 1:
        raise SeriesError(
            what="The folder holds more than one CT series",
            given=f"{folder}: {_list(images)}",
            remedy="Give the sub-folder of one series, or choose with --series NUMBER"
            if len({m[0].series_number for m in images.values()}) == len(images)
            else "Give the sub-folder of one series, or choose with --series and its SeriesInstanceUID",
        )
    chosen = next(iter(images.values()))
    if acquisition:
        found = sorted({s.acquisition for s in chosen})
        chosen = [s for s in chosen if s.acquisition == acquisition]
        if not chosen:
            raise SeriesError(
                what=f"There is no acquisition {acquisition} in it", given="acquisitions " + ", ".join(found)
            )
    return chosen


def assemble(slices: Sequence[SliceRecord], folder: Path) -> tuple[NDArray[Any], Geometry]:
    """Read the slices of one stack, which lie in `folder`; errors as `read_series`."""
    first = slices[0]
    if any(s.samples != 1 for s in slices):
        raise NotCTError(
            what="The DICOM series is in colour", given=f"{first.samples} channels", remedy="Give the original CT"
        )
    if len(slices) == 1 and first.frames > 1:
        return _multi_frame(first)
    if len(slices) < 2:
        raise SeriesError(what="The series has only one slice", given=str(folder), remedy="Give the whole series")
    if not all(s.has_position and len(s.spacing) == 2 for s in slices):
        raise SeriesError(
            what="Slices have no position, orientation or pixel spacing",
            given=f"{folder}, {sum(not s.has_position for s in slices)} of {len(slices)} slices without position",
            remedy="Export the original axial series again",
        )
    if len({s.shape for s in slices}) > 1 or any(
        not np.allclose(s.axes, first.axes, atol=1e-3) or not np.allclose(s.spacing, first.spacing, rtol=1e-3)
        for s in slices
    ):
        raise SeriesError(
            what="The slices of the series differ in size, orientation or pixel spacing",
            given=", ".join(
                f"{n} slices of {columns} x {rows}" for (rows, columns), n in Counter(s.shape for s in slices).items()
            ),
            remedy="Remove the scout and give the axial slices only",
        )
    row, column = np.array(first.axes).reshape(2, 3)
    normal = normal_of(first)
    ordered = in_order(slices)
    places = places_of(ordered)
    _require_even(ordered, places)
    start = np.array(ordered[0].position)
    step = (np.array(ordered[-1].position) - start) / (len(ordered) - 1)
    if np.linalg.norm(step - (step @ normal) * normal) > 1e-2 * np.linalg.norm(step):
        raise GeometryError(
            what="The slices are shifted against each other (gantry tilt)",
            given=str(folder),
            remedy="Resample the series to an orthogonal grid first",
        )
    affine = np.eye(4)
    # PixelSpacing is (between rows, between columns); i runs along a row, over columns
    affine[:3, 0] = row * first.spacing[1] * _LPS_TO_RAS
    affine[:3, 1] = column * first.spacing[0] * _LPS_TO_RAS
    affine[:3, 2] = normal * (places[-1] - places[0]) / (len(ordered) - 1) * _LPS_TO_RAS
    affine[:3, 3] = start * _LPS_TO_RAS
    geometry = Geometry((len(ordered), *first.shape), affine)
    return _pixels([s.path for s in ordered]), geometry


def _require_even(slices: Sequence[SliceRecord], places: NDArray[np.float64]) -> None:
    steps = np.diff(places)
    if (steps < 1e-2).any():
        counts = Counter(s.acquisition or "none" for s in slices)
        listed = ", ".join(f"acquisition {a}: {n} slices" for a, n in sorted(counts.items()))
        number = slices[0].series_number or "NUMBER"
        raise SeriesError(
            what="Several acquisitions lie at the same positions in one series",
            given=f"{int((steps < 1e-2).sum())} positions are taken twice; {listed}",
            remedy=f"Choose one with --series {number}/{sorted(counts)[0]}"
            if len(counts) > 1
            else "Export each phase as a series of its own",
        )
    wrong = uneven_steps(places)
    if wrong.size:
        usual = float(np.median(steps))
        gaps = ", ".join(f"{steps[n]:.2f} mm after slice {n + 1}" for n in wrong[:5])
        missing = bool((steps[wrong] > 1.5 * usual).any())
        raise SeriesError(
            what="Slices are missing from the series" if missing else "The slices are not evenly spaced",
            given=f"{len(slices)} slices, usually {usual:.2f} mm apart, but {gaps}",
            remedy="Export the whole series again" if missing else "Resample the series to even spacing first",
        )


def _pixels(paths: list[Path]) -> NDArray[Any]:
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(p) for p in paths])
    try:
        return compact(sitk.GetArrayFromImage(reader.Execute()))
    except RuntimeError as error:
        for path in paths:  # name the one that is damaged
            try:
                sitk.ReadImage(str(path), imageIO="GDCMImageIO")
            except RuntimeError:
                raise _damaged(path) from error
        raise _damaged(paths[0].parent) from error


def _multi_frame(one: SliceRecord) -> tuple[NDArray[Any], Geometry]:
    """An enhanced CT: all slices in one file, with the geometry that GDCM reads from its frame groups."""
    try:
        image = sitk.ReadImage(str(one.path), imageIO="GDCMImageIO")
    except RuntimeError as error:
        raise _damaged(one.path) from error
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    affine[:2] *= -1
    array = compact(sitk.GetArrayFromImage(image))
    return array, Geometry((array.shape[0], array.shape[1], array.shape[2]), affine)


def compact(array: NDArray[Any]) -> NDArray[Any]:
    """Give whole numbers back as int16 where they fit: GDCM widens 12-bit data with a rescale intercept to int32."""
    if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and array.min() >= -32768 and array.max() <= 32767:
        return array.astype(np.int16)
    return array
