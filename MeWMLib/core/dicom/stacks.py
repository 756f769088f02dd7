"""From slices to stacks: which slices make one volume. One DICOM series may hold several, or none.

Contrast phases and reconstructions stored in one series are told apart by AcquisitionNumber where it does so, else by
temporal position, stack, file, contrast agent and what else `_APART` names, else by the order in which they were
stored: a place that is taken twice is another volume's. Where that is not known either, nothing is split at random.
What cannot become a volume is left out with one sentence that says why. `plan` and `cohort import` both ask here, so
they name the same stacks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from MeWMLib.core.dicom.copies import same_slice, without_copies
from MeWMLib.core.dicom.order import by_repeats, grid_of, rounds_of
from MeWMLib.core.dicom.records import SAME_PLACE_MM, SliceRecord, in_order, normal_of, places_of
from MeWMLib.core.marks import provenance_of_series
from MeWMLib.core.volume import Provenance

#: A stack of fewer slices, or a shorter one, shows no liver: scouts, bolus tracking, single captures.
MIN_SLICES, MIN_EXTENT_MM = 8, 60.0
#: Cosine (25 degrees) of the largest angle between the normal of an axial slice and the body axis.
AXIAL_COSINE = 0.9
#: Field of view (mm) of a body CT; outside of it PixelSpacing cannot be true.
FIELD_MM = (150.0, 900.0)
#: No scanner is that wide; axes are unit vectors at right angles but for their digits; no patient is 100 m away.
_MOST_FIELD_MM, _COSINE_ERROR, _FAR_MM = 2000.0, 0.02, 1e5
#: Doubts.
NOT_AXIAL, TOO_SHORT = "not axial (a coronal, sagittal or oblique reformat)", "too short"
#: What may tell volumes at the same places apart, in the order in which it is asked, and its DICOM name.
_APART: tuple[tuple[str, Callable[[SliceRecord], str]], ...] = (
    ("AcquisitionNumber", lambda one: one.acquisition),
    ("temporal position", lambda one: one.temporal),
    ("StackID", lambda one: one.stack),
    ("file", lambda one: one.file.sop if one.layout.frames > 1 else ""),
    ("frame of reference", lambda one: one.file.frame_of_reference),
    ("ContrastBolusAgent", lambda one: one.contrast),
    ("ConvolutionKernel", lambda one: one.kernel),
    ("time", lambda one: one.time),
    ("ImageType", lambda one: "\\".join(one.image_type)),
    ("SeriesDescription", lambda one: one.file.description),
    ("folder", lambda one: str(one.file.path.parent)),
)
#: These may differ between slices of one volume; they count only where places are taken twice.
_WITHIN_ONE = ("file", "ImageType", "SeriesDescription", "folder")
#: These may be the same for some neighbouring slices of one volume; they count only where they part all of them.
_OF_BLOCKS = ("ConvolutionKernel", "time", "ImageType", "SeriesDescription", "folder")
#: Slices of one volume may differ by this in spacing (mm) and in the cosines of their axes.
_SAME_SPACING_MM, _SAME_COSINE = 5e-4, 2e-3


@dataclass(frozen=True)
class Stack:
    """Slices of one volume, in the order of their places.

    Attributes:
        slices: along the normal.
        part: "" or which part of a series that was split: "acquisition 2", "part 1 of 2".
        notes: what was seen and put right.
        doubt: why it is no scan of a liver though it can be read (too short, not axial), or "".
        fault: why it cannot be read although it should be a whole CT, or "".
        files: names of the files that are at fault.
    """

    slices: tuple[SliceRecord, ...]
    part: str = ""
    notes: tuple[str, ...] = ()
    doubt: str = ""
    fault: str = ""
    files: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How people call it: series number, part and number of slices."""
        first = self.slices[0].file
        number = f"series {first.series_number}" if first.series_number else "a series without number"
        part = f", {self.part}" if self.part else ""
        return f"{number}{part}, {len(self.slices)} slice{'s' if len(self.slices) > 1 else ''}"

    @property
    def simulated(self) -> Provenance | None:
        """By what it was simulated, as far as headers say it; None for a scan."""
        first = self.slices[0]
        return provenance_of_series(first.file.description, first.image_type)

    @property
    def extent_mm(self) -> float:
        """Distance of the first and the last slice."""
        places = places_of((self.slices[0], self.slices[-1]))
        return abs(float(places[1] - places[0]))


@dataclass(frozen=True)
class LeftOut:
    """One clear sentence on what was left out. `what` names no person and no path."""

    what: str
    reason: str


def stacks_of(slices: Sequence[SliceRecord]) -> tuple[list[Stack], list[LeftOut]]:
    """Split the slices of one series into stacks; those of which `doubt` or `fault` say something are among them.

    Args:
        slices: of one patient, study and SeriesInstanceUID.
    """
    kept, copies, clash = without_copies(slices)
    groups: list[list[SliceRecord]] = []
    for one in kept:
        mine = next((group for group in groups if same_kind(group[0], one)), None)
        if mine is None:
            groups.append([one])
        else:
            mine.append(one)
    mixed = [f"the series is mixed: {len(groups)} kinds of slices"] if len(groups) > 1 else []
    notes = (*mixed, *((f"{copies} copies of the same slices were dropped",) if copies else ()))
    lost = _without_place(groups)
    stacks: list[Stack] = []
    out: list[LeftOut] = []
    for members in groups:
        if reason := _unfit(members):
            out.append(LeftOut(Stack(tuple(members)).name, reason))
            continue
        for stack in _split(members, notes):
            if reason := _unfit_stack(stack):
                out.append(LeftOut(stack.name, reason))
            else:
                stacks.append(replace(stack, doubt=_doubt(stack)))
    if clash:
        stacks = [_faulty(s, "files with one SOPInstanceUID hold different slices", clash) for s in stacks]
    if lost:
        reason = "slices have no position, orientation or pixel spacing"
        stacks = [_faulty(s, reason, [one.where for one in lost]) for s in stacks]
    if len(stacks) > 1 and len({s.part for s in stacks}) < len(stacks):
        stacks = [replace(s, part=f"part {n} of {len(stacks)}") for n, s in enumerate(stacks, 1)]
    return stacks, out


def _faulty(stack: Stack, fault: str, files: Sequence[str]) -> Stack:
    return stack if stack.fault else replace(stack, fault=fault, files=tuple(files))


def _without_place(groups: Sequence[list[SliceRecord]]) -> list[SliceRecord]:
    """Slices that say nothing about their place although others of their kind in the series do."""
    placed = {(m[0].shape, m[0].image_type) for m in groups if not _missing(m[0])}
    return [one for m in groups if _missing(m[0]) for one in m if (one.shape, one.image_type) in placed]


def same_kind(a: SliceRecord, b: SliceRecord) -> bool:
    """True if two slices may belong to one volume, by all but their places."""

    def near(first: tuple[float, ...], second: tuple[float, ...], most: float) -> bool:
        return len(first) == len(second) and all(abs(x - y) <= most for x, y in zip(first, second, strict=True))

    return (
        (a.localizer, a.layout.samples, a.shape, len(a.position))
        == (b.localizer, b.layout.samples, b.shape, len(b.position))
        and near(a.spacing, b.spacing, _SAME_SPACING_MM)
        and near(a.axes, b.axes, _SAME_COSINE)
    )


def _missing(one: SliceRecord) -> list[str]:
    needed = {
        "ImagePositionPatient": (one.position, 3),
        "ImageOrientationPatient": (one.axes, 6),
        "PixelSpacing": (one.spacing, 2),
    }
    return [name for name, (values, count) in needed.items() if len(values) != count]


def _unfit(members: Sequence[SliceRecord]) -> str:
    """Why slices of this kind are no volume, by their headers; "" if they may be one."""
    one = members[0]
    if one.layout.samples != 1:
        return "in colour, not a CT in Hounsfield units"
    if one.localizer:
        return "a localiser (scout)"
    missing = _missing(one)
    return "tags are missing: " + ", ".join(missing) if missing else _impossible(one)


def _impossible(one: SliceRecord) -> str:
    """Which value of a slice's place cannot be true, whatever the slice shows."""
    field = [step * count for step, count in zip(one.spacing, one.shape, strict=True)]
    if min(field) <= 0 or max(field) > _MOST_FIELD_MM:
        return _field_in_words(one)
    axes = np.array(one.axes).reshape(2, 3)
    if np.abs(axes @ axes.T - np.eye(2)).max() > _COSINE_ERROR:
        return "ImageOrientationPatient cannot be true: " + ", ".join(f"{v:g}" for v in one.axes)
    if max(map(abs, one.position)) > _FAR_MM:
        return "ImagePositionPatient cannot be true: " + ", ".join(f"{v:g}" for v in one.position)
    return ""


def _field_in_words(one: SliceRecord) -> str:
    height, width = (step * count for step, count in zip(one.spacing, one.shape, strict=True))
    return (
        f"PixelSpacing cannot be true: {one.spacing[0]:g} x {one.spacing[1]:g} mm would make a field of view of "
        f"{width:.0f} x {height:.0f} mm"
    )


def _unfit_stack(stack: Stack) -> str:
    if abs(normal_of(stack.slices[0])[2]) < AXIAL_COSINE:
        return ""  # `_doubt` says so
    places = places_of(stack.slices)
    if len(places) > 1 and float(np.ptp(places)) <= SAME_PLACE_MM:
        return f"{len(places)} slices at one place (bolus tracking)"
    return ""


def _doubt(stack: Stack) -> str:
    """Why a volume is no scan of a liver."""
    one, count, extent = stack.slices[0], len(stack.slices), stack.extent_mm
    field = [step * count for step, count in zip(one.spacing, one.shape, strict=True)]
    if not all(FIELD_MM[0] <= side <= FIELD_MM[1] for side in field):
        return _field_in_words(one)
    if abs(normal_of(one)[2]) < AXIAL_COSINE:
        return NOT_AXIAL
    if count < MIN_SLICES or extent < MIN_EXTENT_MM:
        return f"{TOO_SHORT} to show a liver ({count} slice{'s' if count > 1 else ''} over {extent:.0f} mm)"
    return ""


def _distinct(members: Sequence[SliceRecord]) -> bool:
    """True if no two slices lie at one place."""
    places = np.sort(places_of(members))
    return bool((np.diff(places) > SAME_PLACE_MM).all())


def _split(members: list[SliceRecord], notes: tuple[str, ...]) -> list[Stack]:
    """Stacks of slices of one kind, none with two slices at one place."""
    members, notes = _without_doubles(members, notes)
    distinct = _distinct(members)
    most = max(Counter(grid_of(members)).values())
    if most == len(members):
        return [Stack(tuple(members), "", notes)]  # one slice, or all at one place
    for name, of in _APART:
        groups: dict[str, list[SliceRecord]] = defaultdict(list)
        for one in members:
            groups[of(one)].append(one)
        if len(groups) < 2:
            continue
        parts = list(groups.values())
        if distinct:
            if name not in _WITHIN_ONE and _interleaved(parts):
                return _parts(groups, name, notes)
        elif all(_distinct(one) for one in parts) and (
            len(parts) == most
            or (min(len(one) for one in parts) >= MIN_SLICES and (name not in _OF_BLOCKS or _interleaved(parts, all)))
        ):
            return _parts(groups, name, notes)
    if distinct:
        rounds = rounds_of(members, MIN_SLICES - 2)
        if not _interleaved(rounds):
            return [Stack(in_order(members), "", notes)]
        return _by_order(rounds, "were stored one after another", notes)
    if parts := [] if _few(twice := _repeats(members), members) else by_repeats(members):
        return _by_order(parts, "were split where places repeat", notes)
    fault = (
        "slices that differ lie at the same places"
        if _few(twice, members)
        else "slices of several volumes lie at the same places, and nothing says which belong together"
    )
    return [_faulty(Stack(in_order(members), "", notes), fault, [one.where for group in twice for one in group])]


def _by_order(parts: list[list[SliceRecord]], why: str, notes: tuple[str, ...]) -> list[Stack]:
    note = f"{len(parts)} volumes were stacked in this series and {why}"
    return [Stack(in_order(one), f"part {n} of {len(parts)}", (*notes, note)) for n, one in enumerate(parts, 1)]


def _repeats(members: list[SliceRecord]) -> list[list[SliceRecord]]:
    """Slices that share a place, by place."""
    places: dict[int, list[SliceRecord]] = defaultdict(list)
    for one, place in zip(members, grid_of(members), strict=True):
        places[place].append(one)
    return [group for group in places.values() if len(group) > 1]


def _few(groups: list[list[SliceRecord]], members: list[SliceRecord]) -> bool:
    """True if slices that share a place are too few to be another volume."""
    places = len(members) - sum(len(group) - 1 for group in groups)
    return 0 < len(groups) < min(MIN_SLICES, 0.25 * places)


def _without_doubles(members: list[SliceRecord], notes: tuple[str, ...]) -> tuple[list[SliceRecord], tuple[str, ...]]:
    """Drop slices that were stored again under another SOPInstanceUID: single ones, or all that share a place."""
    groups = _repeats(members)
    doubles = [one for group in groups for one in group[1:]]
    if _few(groups, members):
        doubles = [one for group in groups for one in group[1:] if same_slice(group[0], one)]
    elif not all(same_slice(group[0], one) for group in groups for one in group[1:]):  # most volumes differ at once
        return members, notes
    if not doubles:
        return members, notes
    gone = {id(one) for one in doubles}
    kept = [one for one in members if id(one) not in gone]
    return kept, (*notes, f"{len(doubles)} slices were stored twice under other names; one of each was kept")


def _parts(groups: dict[str, list[SliceRecord]], name: str, notes: tuple[str, ...]) -> list[Stack]:
    acquisitions = name == "AcquisitionNumber"
    what = f"{len(groups)} acquisitions" if acquisitions else f"{len(groups)} volumes"
    note = f"{what} were stacked in this series and were split by {name}"
    return [
        Stack(
            in_order(one),
            f"acquisition {value or 'without number'}" if acquisitions else f"part {n} of {len(groups)}",
            (*notes, note),
        )
        for n, (value, one) in enumerate(sorted(groups.items(), key=lambda item: number_key(item[0])), 1)
    ]


def number_key(text: str) -> tuple[float, str]:
    """Key that sorts "10" behind "9"."""
    try:
        return float(text), ""
    except ValueError:
        return float("inf"), text


def _interleaved(groups: list[list[SliceRecord]], how: Callable[[Iterable[bool]], bool] = any) -> bool:
    """True if acquisitions (any two neighbours, or all) lie within one another: phases whose slices do not meet.

    Acquisitions that follow one another along the body (chest, then abdomen; or one a slice) are one volume.
    """
    ranges = sorted((float(p.min()), float(p.max())) for g in groups if len(g) >= MIN_SLICES for p in [places_of(g)])
    return how(min(a[1], b[1]) - max(a[0], b[0]) > 0.5 * min(a[1] - a[0], b[1] - b[0]) for a, b in pairwise(ranges))
