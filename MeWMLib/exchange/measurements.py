"""What a simulated outcome says of each lesion: measured on the simulated CT as a scan after treatment would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.volume import TUMOUR, Geometry, LabelMap, Volume
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
#: A part of a grid: the first voxel and the one behind the last of each axis (k, j, i).
Part = tuple[slice, slice, slice]


@dataclass(frozen=True, eq=False)
class Before:
    """The scan before treatment.

    Attributes:
        part: of the grid, which holds the liver; all that follows is on it.
        lesions: as measured.
        box: part of `part` that holds the lesions.
        components: numbers of the lesions in `box`.
        reference: the liver.
    """

    part: Part
    lesions: ScanLesions
    box: Part
    components: Components
    reference: LiverReference | None

    @property
    def start(self) -> tuple[int, int, int]:
        """First voxel of the components on the grid."""
        return placed(self.part, self.box)


@dataclass(frozen=True, eq=False)
class After:
    """A simulated outcome.

    Attributes:
        lesions: as measured.
        start: first voxel, on the grid, of the part on which the maps below are.
        lesion_map: (K, J, I): number of the lesion before treatment that a voxel belongs to; new ones follow.
        matches: which lesions are the same.
        tissue: what the tumour consists of.
        recist, mrecist: the response by diameters.
    """

    lesions: ScanLesions
    start: tuple[int, int, int]
    lesion_map: Components
    matches: tuple[LesionMatch, ...]
    tissue: Tissue
    recist: SizeResponse
    mrecist: SizeResponse

    def of(self, number: int) -> tuple[MeasuredLesion, ...]:
        """What has become of the lesion of a number before treatment."""
        found = next((m for m in self.matches if number in m.before), None)
        return tuple(self.lesions.lesion(n) for n in found.after) if found is not None else ()


def part_of(labels: LabelMap) -> Part:
    """The part of a grid that holds liver and tumour; nothing else of it is measured."""
    return _box(lambda k: labels.array[k] > 0, labels.array.shape, _AROUND)


def cut(volume: Volume, part: Part) -> Volume:
    """A copy of a part of a volume, which can then be given up."""
    array = volume.array[part].copy()
    return Volume(array, _cropped(volume.geometry, part), volume.phase)


def cut_labels(labels: LabelMap, part: Part) -> LabelMap:
    """As `cut`."""
    return LabelMap(labels.array[part].copy(), _cropped(labels.geometry, part))


def placed(part: Part, box: Part) -> tuple[int, int, int]:
    """The first voxel, on the grid, of a box that is given on a part of it."""
    k, j, i = (one.start + two.start for one, two in zip(part, box, strict=True))
    return k, j, i


def measure_before(ct: Volume, labels: LabelMap, part: Part, phase: str | None = None) -> Before:
    """Measure the lesions of the scan.

    Args:
        ct, labels: with a liver or a tumour, cut to `part`.
        part: from `part_of`.
        phase: of the scan, where it is known better than its own field says.
    """
    reference = liver_reference(ct, labels, phase)
    box = _box(lambda k: labels.array[k] == TUMOUR, labels.array.shape, 0)
    lesions, components = measure_lesions(cut(ct, box), cut_labels(labels, box), reference)
    return Before(part, lesions, box, components, reference)


def measure_after(before: Before, ct: Volume, labels: LabelMap) -> After:
    """Measure a simulated outcome against the liver of the scan before treatment, which the simulation kept.

    Args:
        before: the scan.
        ct, labels: of the outcome, cut to `before.part`.
    """
    former = np.zeros(labels.array.shape, bool)
    former[before.box] = before.components > 0
    box = _box(lambda k: (labels.array[k] == TUMOUR) | former[k], former.shape, 0)
    near, drawn = cut(ct, box), cut_labels(labels, box)
    lesions, components = measure_lesions(near, drawn, before.reference)
    mine = np.zeros(components.shape, np.int32)
    k, j, i = (slice(a.start - b.start, a.stop - b.start) for a, b in zip(before.box, box, strict=True))
    if before.lesions.lesions:
        mine[k, j, i] = before.components
    everywhere = np.ones(components.shape, bool)
    matches = match_lesions(mine, components, everywhere, near.geometry, len(lesions.lesions))
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
        placed(before.part, box),
        number[components],
        matches,
        tissue_of(near, drawn.tumour, before.reference),
        recist(before.lesions, lesions, matches),
        mrecist(before.lesions, lesions, matches),
    )


def _box(shown: Callable[[int], NDArray[np.bool_]], shape: tuple[int, ...], around: int) -> Part:
    """The part of a grid that holds all true voxels and some around them; all of it where there is none.

    Args:
        shown: the mask (J, I) of a slice.
        shape: of the grid.
        around: so many voxels more on each side.
    """
    lines = [np.zeros(size, bool) for size in shape]
    for k in range(shape[0]):
        plane = shown(k)
        lines[0][k] = plane.any()
        if lines[0][k]:
            lines[1] |= plane.any(axis=1)
            lines[2] |= plane.any(axis=0)
    parts = []
    for line in lines:
        found = np.flatnonzero(line)
        low, high = (int(found[0]), int(found[-1]) + 1) if len(found) else (0, len(line))
        parts.append(slice(max(0, low - around), min(len(line), high + around)))
    return parts[0], parts[1], parts[2]


def _cropped(geometry: Geometry, part: Part) -> Geometry:
    k, j, i = (one.stop - one.start for one in part)
    return geometry.crop((part[0].start, part[1].start, part[2].start), (k, j, i))
