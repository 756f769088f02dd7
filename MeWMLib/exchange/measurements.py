"""What a simulated outcome says of each lesion: measured on the simulated CT as a scan after treatment would be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.perception.response import SizeResponse, mrecist, recist
from MeWMLib.perception.response_lesions import (
    LesionMatch,
    MeasuredLesion,
    ScanLesions,
    match_lesions,
    measure_lesions,
)
from MeWMLib.perception.viability import LiverReference, Tissue, liver_reference, tissue_of

#: Voxels around the liver that are looked at too.
_AROUND = 8
Components = NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Before:
    """The scan before treatment: the part of it (slices of each axis) that holds the liver, and what was measured."""

    part: tuple[slice, slice, slice]
    lesions: ScanLesions
    components: Components
    reference: LiverReference | None

    @property
    def start(self) -> tuple[int, int, int]:
        """First voxel of the part."""
        k, j, i = (one.start for one in self.part)
        return k, j, i


@dataclass(frozen=True, eq=False)
class After:
    """A simulated outcome on the same part.

    Attributes:
        lesions: as measured.
        lesion_map: (K, J, I): number of the lesion before treatment that a voxel belongs to; new ones follow.
        matches: which lesions are the same.
        tissue: what the tumour consists of.
        recist, mrecist: the response by diameters.
    """

    lesions: ScanLesions
    lesion_map: Components
    matches: tuple[LesionMatch, ...]
    tissue: Tissue
    recist: SizeResponse
    mrecist: SizeResponse

    def of(self, number: int) -> tuple[MeasuredLesion, ...]:
        """What has become of the lesion of a number before treatment."""
        found = next((m for m in self.matches if number in m.before), None)
        return tuple(self.lesions.lesion(n) for n in found.after) if found is not None else ()


def measure_before(ct: Volume, labels: LabelMap, phase: str | None = None) -> Before:
    """Measure the lesions of the scan; both on one grid, of which only the part around the liver is looked at.

    Args:
        ct, labels: with a liver or a tumour.
        phase: of the scan, where it is known better than its own field says.
    """
    part = _box(labels.array > 0)
    near, drawn = _cut(ct, part), _cut_labels(labels, part)
    reference = liver_reference(near, drawn, phase)
    lesions, components = measure_lesions(near, drawn, reference)
    return Before(part, lesions, components, reference)


def measure_after(before: Before, ct: Volume, labels: LabelMap) -> After:
    """Measure a simulated outcome against the liver of the scan before treatment, which the simulation kept."""
    near, drawn = _cut(ct, before.part), _cut_labels(labels, before.part)
    lesions, components = measure_lesions(near, drawn, before.reference)
    everywhere = np.ones(components.shape, bool)
    matches = match_lesions(before.components, components, everywhere, near.geometry, len(lesions.lesions))
    number = np.zeros(len(lesions.lesions) + 1, np.int32)
    following = len(before.lesions.lesions)
    for match in matches:
        if match.before:
            number[list(match.after)] = min(match.before)
        else:
            for new in match.after:
                following += 1
                number[new] = following
    return After(
        lesions,
        number[components],
        matches,
        tissue_of(near, drawn.tumour, before.reference),
        recist(before.lesions, lesions, matches),
        mrecist(before.lesions, lesions, matches),
    )


def _box(inside: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """The part of a grid that holds all true voxels and some around them; all of it where there is none."""
    parts = []
    for axis in range(3):
        found = np.flatnonzero(inside.any(axis=tuple(n for n in range(3) if n != axis)))
        low, high = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, inside.shape[axis])
        parts.append(slice(max(0, low - _AROUND), min(inside.shape[axis], high + _AROUND)))
    return parts[0], parts[1], parts[2]


def _cut(ct: Volume, part: tuple[slice, slice, slice]) -> Volume:
    array = ct.array[part]
    k, j, i = array.shape
    return Volume(array, ct.geometry.crop((part[0].start, part[1].start, part[2].start), (k, j, i)), ct.phase)


def _cut_labels(labels: LabelMap, part: tuple[slice, slice, slice]) -> LabelMap:
    array = labels.array[part]
    k, j, i = array.shape
    return LabelMap(array, labels.geometry.crop((part[0].start, part[1].start, part[2].start), (k, j, i)))
