"""From headers to stacks: which slices make one volume. One DICOM series may hold several, or none.

Two contrast phases stored in one series are told apart by AcquisitionNumber where it does so, else by the places that
are taken twice. What cannot become a volume is left out with one sentence that says why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from MeWMLib.cohorts.dicom_headers import SECONDARY_CAPTURE, Header
from MeWMLib.core.dicom_slices import in_order, normal_of, places_of, uneven_steps

#: A stack of fewer slices, or a shorter one, shows no liver: scouts, bolus tracking, single captures.
MIN_SLICES, MIN_EXTENT_MM = 8, 60.0
#: Cosine (25 degrees) of the largest angle between the normal of an axial slice and the body axis.
AXIAL_COSINE = 0.9
#: Field of view (mm) of a body CT; outside of it PixelSpacing cannot be true.
FIELD_MM = (150.0, 900.0)
#: Slices nearer than this are at one place.
SAME_PLACE_MM = 0.05


@dataclass(frozen=True)
class Stack:
    """Slices of one volume, in the order of their places.

    Attributes:
        slices: along the normal.
        part: "" or which part of a series that was split: "acquisition 2", "part 1 of 2".
        notes: what was seen and put right.
    """

    slices: tuple[Header, ...]
    part: str = ""
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How people call it: series number, part and number of slices."""
        first = self.slices[0]
        number = f"series {first.series_number}" if first.series_number else "a series without number"
        part = f", {self.part}" if self.part else ""
        return f"{number}{part}, {len(self.slices)} slice{'s' if len(self.slices) > 1 else ''}"


@dataclass(frozen=True)
class LeftOut:
    """Slices that were left out, and why."""

    stack: Stack
    reason: str


def stacks_of(slices: Sequence[Header]) -> tuple[list[Stack], list[LeftOut]]:
    """Split the slices of one series into stacks.

    Args:
        slices: of one patient, study and SeriesInstanceUID; no segmentations.
    """
    good: list[Stack] = []
    out: list[LeftOut] = []
    seen: dict[str, Header] = {}
    for one in slices:
        seen.setdefault(one.sop or str(one.path), one)
    copies = len(slices) - len(seen)
    groups: dict[object, list[Header]] = defaultdict(list)
    for one in seen.values():
        groups[_kind(one)].append(one)
    mixed = [f"the series is mixed: {len(groups)} kinds of slices"] if len(groups) > 1 else []
    for members in groups.values():
        notes = (*mixed, *((f"{copies} copies of the same slices were dropped",) if copies else ()))
        if reason := _unfit(members):
            out.append(LeftOut(Stack(tuple(members), "", notes), reason))
            continue
        for stack in _split(members, notes):
            if reason := _unfit_stack(stack):
                out.append(LeftOut(stack, reason))
            else:
                good.append(stack)
    return good, out


def _kind(one: Header) -> object:
    """Slices of one volume agree in this."""
    return (
        one.modality,
        one.sop_class.startswith(SECONDARY_CAPTURE),
        one.localizer,
        one.samples,
        one.shape,
        one.frames > 1 and one.sop,
        tuple(round(v, 3) for v in one.spacing),
        tuple(round(v, 2) + 0.0 for v in one.axes),
        len(one.position),
    )


def _unfit(members: Sequence[Header]) -> str:
    """Why slices of this kind are not a CT volume, by their headers; "" if they may be one."""
    one = members[0]
    if one.sop_class.startswith(SECONDARY_CAPTURE):
        return "a secondary capture (picture of a screen), not a CT"
    if one.modality != "CT":
        return f"not a CT: the modality is {one.modality}" if one.modality else "not a CT: the headers name no modality"
    if one.samples != 1:
        return "in colour, not a CT in Hounsfield units"
    if one.localizer:
        return "a localiser (scout)"
    if one.frames > 1:
        return ""  # enhanced CT: its geometry is in frame groups, which the reader checks
    needed = {
        "ImagePositionPatient": (one.position, 3),
        "ImageOrientationPatient": (one.axes, 6),
        "PixelSpacing": (one.spacing, 2),
    }
    missing = [name for name, (values, count) in needed.items() if len(values) != count]
    if missing:
        return "tags are missing: " + ", ".join(missing)
    field = [step * count for step, count in zip(one.spacing, one.shape, strict=True)]
    if not all(FIELD_MM[0] <= side <= FIELD_MM[1] for side in field):
        return (
            f"PixelSpacing cannot be true: {one.spacing[0]:g} x {one.spacing[1]:g} mm would make a field of view of "
            f"{field[1]:.0f} x {field[0]:.0f} mm"
        )
    if abs(normal_of(one)[2]) < AXIAL_COSINE:
        return "not axial (a coronal, sagittal or oblique reformat)"
    return ""


def _unfit_stack(stack: Stack) -> str:
    if stack.slices[0].frames > 1:
        return ""
    places = places_of(stack.slices)
    extent = float(places[-1] - places[0]) if len(places) > 1 else 0.0
    if len(places) > 1 and extent <= SAME_PLACE_MM:
        return f"{len(places)} slices at one place (bolus tracking)"
    if len(places) < MIN_SLICES or extent < MIN_EXTENT_MM:
        return f"too short to show a liver ({len(places)} slice{'s' if len(places) > 1 else ''} over {extent:.0f} mm)"
    return ""


def _distinct(members: Sequence[Header]) -> bool:
    """True if no two slices lie at one place."""
    places = np.sort(places_of(members))
    return bool((np.diff(places) > SAME_PLACE_MM).all())


def _split(members: list[Header], notes: tuple[str, ...]) -> list[Stack]:
    """Stacks of slices of one kind, none with two slices at one place."""
    if members[0].frames > 1 or len(members) == 1:
        return [Stack((one,), "", notes) for one in members]
    acquisitions: dict[str, list[Header]] = defaultdict(list)
    for one in members:
        acquisitions[one.acquisition].append(one)
    if _distinct(members) and not _interleaved(list(acquisitions.values())):
        return [Stack(in_order(members), "", notes)]
    if len({round(p / SAME_PLACE_MM) for p in places_of(members)}) == 1:
        return [Stack(tuple(members), "", notes)]
    if len(acquisitions) > 1 and all(_distinct(one) for one in acquisitions.values()):
        note = f"{len(acquisitions)} acquisitions were stacked in this series and were split by AcquisitionNumber"
        return [
            Stack(in_order(one), f"acquisition {name or 'without number'}", (*notes, note))
            for name, one in sorted(acquisitions.items())
        ]
    parts = _by_repeats(members)
    note = f"{len(parts)} volumes were stacked in this series and were split where places repeat"
    return [Stack(in_order(one), f"part {n} of {len(parts)}", (*notes, note)) for n, one in enumerate(parts, 1)]


def _interleaved(groups: list[list[Header]]) -> bool:
    """True if acquisitions lie within one another: two phases whose slices happen not to meet.

    Acquisitions that follow one another along the body (chest, then abdomen; or one a slice) are one volume.
    """
    ranges = sorted((float(p.min()), float(p.max())) for g in groups if len(g) >= MIN_SLICES for p in [places_of(g)])
    return any(
        min(a[1], b[1]) - max(a[0], b[0]) > 0.5 * min(a[1] - a[0], b[1] - b[0])
        for a, b in zip(ranges, ranges[1:], strict=False)
    )


def _by_repeats(members: list[Header]) -> list[list[Header]]:
    """Volumes stacked without a tag that tells them apart, in the order in which they were taken.

    Stored one after another, a new volume begins where a place is taken again; stored place by place, the n-th slice at
    every place belongs to the n-th volume. The way with fewer gaps in its volumes is right.
    """
    stored = sorted(members, key=lambda one: (one.time, one.instance, one.path.name))
    runs: list[list[Header]] = [[]]
    taken: set[float] = set()
    ranks: dict[int, list[Header]] = defaultdict(list)
    count: Counter[float] = Counter()
    for one, place in zip(stored, np.round(places_of(stored) / SAME_PLACE_MM).tolist(), strict=True):
        if place in taken:
            runs.append([])
            taken = set()
        taken.add(place)
        runs[-1].append(one)
        ranks[count[place]].append(one)
        count[place] += 1
    ranked = [ranks[n] for n in sorted(ranks)]
    return runs if _gaps(runs) <= _gaps(ranked) else ranked


def _gaps(parts: list[list[Header]]) -> int:
    """Places where a volume's slices are not evenly spaced; a lone slice counts too."""
    found = 0
    for one in parts:
        found += len(uneven_steps(np.sort(places_of(one)))) if len(one) > 1 else 1
    return found
