"""From a stack of slices to voxels on a grid: everything that must agree before slices are one volume.

The grid is laid from the positions of all slices, since ITK's series reader takes the distance of the first two slices
for all and would hide a missing one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.dicom.records import SAME_PLACE_MM, SliceRecord, in_order, normal_of, places_of, uneven_steps
from MeWMLib.core.dicom.stacks import Stack
from MeWMLib.core.dicom.voxels import read_voxels
from MeWMLib.core.errors import GeometryError, NotCTError, SeriesError, UnreadableFileError
from MeWMLib.core.volume import Geometry

_LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
#: What RescaleType may be: HU, which count where it is missing, or unspecified (GDCM writes "US" for a CT).
_UNITS = ("HU", "US")
_EXPORT = "Export the series again from the PACS"


def read_stack(stack: Stack) -> tuple[NDArray[Any], Geometry, float]:
    """Read one volume.

    Returns:
        Voxels (K, J, I) in HU, ordered along the normal of the slices, their grid, and the lowest value in the files.

    Raises:
        SeriesError: missing, unevenly spaced or differing slices, two volumes in one place, rescale that is missing.
        NotCTError: values that are no HU.
        UnreadableFileError: a file is damaged or cut.
        GeometryError: gantry tilt, or an unusable grid.
        InputError: more voxels than are read.
    """
    slices, geometry = checked(stack)
    array, lowest = read_voxels(slices)
    return array, geometry, lowest


def checked(stack: Stack) -> tuple[tuple[SliceRecord, ...], Geometry]:
    """The slices of a stack in order, and their grid, if they agree; nothing is unpacked, errors as `read_stack`."""
    if stack.fault:
        kind = UnreadableFileError if "damaged" in stack.fault or "cut" in stack.fault else SeriesError
        raise kind(_sentence(stack.fault), given=_some(stack.files), remedy=_EXPORT)
    slices = in_order(stack.slices)
    if len(slices) < 2:
        raise SeriesError(
            what="The series has only one slice", given=slices[0].where, remedy="Give the folder of the whole series"
        )
    _require_hu(slices)
    return slices, _grid(slices)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _require_hu(slices: Sequence[SliceRecord]) -> None:
    """Raise unless every slice says how its values become HU, or none does."""
    if tables := [one.where for one in slices if one.lookup]:
        raise NotCTError(
            what="Slices have a table (Modality LUT) instead of a rescale slope and intercept",
            given=_some(tables),
            remedy="Give the original CT in Hounsfield units",
        )
    whole = [one.slope is not None and one.intercept is not None for one in slices]
    none = [one.slope is None and one.intercept is None for one in slices]
    if not all(whole) and not all(none):
        missing = [one.where for one, is_whole in zip(slices, whole, strict=True) if not is_whole]
        raise SeriesError(
            what="Slices have no rescale slope or no rescale intercept, so their values are not known to be HU",
            given=f"{_some(missing)} ({len(missing)} of {len(slices)} slices)",
            remedy=_EXPORT,
        )
    if flat := [one.where for one in slices if one.slope == 0]:
        raise SeriesError(what="Slices have a rescale slope of 0", given=_some(flat), remedy=_EXPORT)
    named = [one.units.upper() or "HU" for one in slices]
    units = Counter(named)
    wrong = [one.where for one, unit in zip(slices, named, strict=True) if unit not in _UNITS]
    if wrong:
        raise NotCTError(
            what="The values of the series are not Hounsfield units",
            given=f"RescaleType {', '.join(sorted(u for u in units if u not in _UNITS))} in {_some(wrong)}",
            remedy="Give the series in HU",
        )
    if len(units) > 1:
        rare = min(units, key=lambda unit: units[unit])
        odd = [one.where for one, unit in zip(slices, named, strict=True) if unit == rare]
        raise SeriesError(
            what="The slices of the series differ in their units (RescaleType)",
            given=f"{rare} in {_some(odd)}, else {', '.join(unit for unit in units if unit != rare)}",
            remedy=_EXPORT,
        )


def _grid(slices: Sequence[SliceRecord]) -> Geometry:
    """The grid of slices that are in order."""
    first = slices[0]
    if min(first.spacing) <= 0:
        raise GeometryError(
            what="The pixel spacing in the header is zero or negative",
            given=f"{first.file.path}: {first.spacing[0]:g} x {first.spacing[1]:g} mm",
            remedy="Export the CT again; the size of the voxels cannot be guessed",
        )
    row, column = np.array(first.axes, dtype=np.float64).reshape(2, 3)
    normal = normal_of(first)
    places = places_of(slices)
    _require_even(slices, places)
    start = np.array(first.position)
    step = (np.array(slices[-1].position) - start) / (len(slices) - 1)
    if np.linalg.norm(step - (step @ normal) * normal) > 1e-2 * np.linalg.norm(step):
        raise GeometryError(
            what="The slices are shifted against each other (gantry tilt)",
            given=str(first.file.path.parent),
            remedy="Resample the series to an orthogonal grid first",
        )
    affine = np.eye(4)
    # PixelSpacing is (between rows, between columns); i runs along a row, over columns
    affine[:3, 0] = row * first.spacing[1] * _LPS_TO_RAS
    affine[:3, 1] = column * first.spacing[0] * _LPS_TO_RAS
    affine[:3, 2] = normal * (places[-1] - places[0]) / (len(slices) - 1) * _LPS_TO_RAS
    affine[:3, 3] = start * _LPS_TO_RAS
    ideal = start + np.arange(len(slices))[:, None] * step
    away = np.linalg.norm((np.array([one.position for one in slices]) - ideal) @ np.stack([row, column], 1), axis=1)
    if (away > 0.5 * max(first.spacing)).any():
        raise GeometryError(
            what="A slice is shifted against the others in its plane",
            given=f"{slices[int(away.argmax())].where}, by {away.max():.2f} mm",
            remedy="Give a series with one field of view",
        )
    return Geometry((len(slices), *first.shape), affine, first.file.frame_of_reference)


def _require_even(slices: Sequence[SliceRecord], places: NDArray[np.float64]) -> None:
    steps = np.diff(places)
    if (steps < SAME_PLACE_MM).any():
        taken = [slices[n + 1].where for n in np.flatnonzero(steps < SAME_PLACE_MM)]
        raise SeriesError(
            what="Several slices lie at the same position",
            given=f"{len(taken)} positions are taken twice: {_some(taken)}",
            remedy="Export each phase as a series of its own",
        )
    wrong = uneven_steps(places)
    if wrong.size:
        usual = float(np.median(steps))
        gaps = ", ".join(f"{steps[n]:.2f} mm after slice {n + 1} ({slices[n].where})" for n in wrong[:5])
        missing = bool((steps[wrong] > 1.5 * usual).any())
        raise SeriesError(
            what="Slices are missing from the series" if missing else "The slices are not evenly spaced",
            given=f"{len(slices)} slices, usually {usual:.2f} mm apart, but {gaps}",
            remedy="Export the whole series again" if missing else "Resample the series to even spacing first",
        )
