"""Lesions of two scans of one patient: measured on each scan's own grid, and matched through the registration."""

# mypy: allow-untyped-calls
from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Geometry, LabelMap, Volume, require_same_geometry
from MeWMLib.perception.chords import longest_chord_mm
from MeWMLib.perception.findings import longest_axial_diameter_mm
from MeWMLib.perception.viability import LiverReference, Tissue, tissue_of

#: Two lesions are one if they share so much of the smaller one, ...
OVERLAP = 0.1
#: ... or, where neither overlaps any other, if their surfaces are so near (the registration is off by some mm).
NEAR_MM = 10.0
#: So much of a lesion must be inside the other scan, or nothing can be said of it.
COVERED = 0.9

SAME, MERGED, SPLIT, NEW, GONE, NOT_COVERED = "same", "merged", "split", "new", "gone", "not covered"

Components = NDArray[np.int32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class MeasuredLesion:
    """One lesion of one scan; volumes in ml, diameters the longest axial ones in mm.

    Attributes:
        index: 1 is the largest of its scan.
        volume_ml: its volume.
        centre_ras_mm: in its own scan.
        diameter_mm: of the whole lesion (RECIST).
        lipiodol_ml: see `perception.viability`.
        viable_ml, necrotic_ml, unknown_ml: None where the phase does not tell them.
        viable_diameter_mm: the longest line in viable tissue (`perception.chords`); None as above.
        bright_diameter_mm: the longest line in tissue that is brighter than the liver; None as above.
    """

    index: int
    volume_ml: float
    centre_ras_mm: tuple[float, float, float]
    diameter_mm: float
    lipiodol_ml: float
    viable_ml: float | None = None
    necrotic_ml: float | None = None
    unknown_ml: float | None = None
    viable_diameter_mm: float | None = None
    bright_diameter_mm: float | None = None

    @property
    def hidden_share(self) -> float:
        """Share of the lesion in which enhancement cannot be seen: Lipiodol and its immediate surroundings."""
        return (self.lipiodol_ml + (self.unknown_ml or 0.0)) / self.volume_ml if self.volume_ml > 0 else 0.0


@dataclass(frozen=True)
class ScanLesions:
    """The lesions of one scan.

    Attributes:
        lesions: largest first.
        reference: the liver that they are compared with.
        liver_ml: with tumour.
        slice_mm: distance of its slices, which bounds what can be measured.
        outlined_by_user: the outlines are the user's; else the segmenter's, not confirmed by a reader.
        doubt: why a lesion that is not outlined here may be there all the same; "" if it is trusted.
    """

    lesions: tuple[MeasuredLesion, ...]
    reference: LiverReference | None
    liver_ml: float
    slice_mm: float
    outlined_by_user: bool = True
    doubt: str = ""

    @property
    def phase(self) -> str:
        """Contrast phase; "unknown" where the liver could not be measured."""
        return self.reference.phase if self.reference is not None else "unknown"

    def total(self, name: str) -> float | None:
        """Sum of a volume over the lesions; None where one is not known."""
        values = [getattr(lesion, name) for lesion in self.lesions]
        if None in values or (not values and name != "volume_ml" and self.reference is None):
            return None
        return float(sum(values))

    def lesion(self, index: int) -> MeasuredLesion:
        """The lesion of an index."""
        return self.lesions[index - 1]


@dataclass(frozen=True)
class LesionMatch:
    """Lesions before and after treatment that are one and the same.

    Attributes:
        before, after: their indices; one of both may be empty.
        kind: "same"; "merged" (several before are one after); "split"; "new"; "gone"; "not covered" (the scan after
            does not show the place).
        distance_mm: between their surfaces where they do not overlap, else 0; None where there is nothing to compare.
        covered: share of the lesions before that the scan after shows.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    kind: str
    distance_mm: float | None
    covered: float


def components_of(labels: LabelMap) -> Components:
    """Connected lesions (26 neighbours) by their number, 1 the largest; the order of `findings.measure`."""
    found = cc3d.connected_components(labels.tumour, connectivity=26)
    sizes = np.bincount(found.ravel())[1:]
    order = np.zeros(len(sizes) + 1, np.int32)
    order[1 + np.argsort(-sizes, kind="stable")] = np.arange(1, len(sizes) + 1)
    return np.asarray(order[found])


def measure_lesions(
    ct: Volume, labels: LabelMap, reference: LiverReference | None, outlined_by_user: bool = True
) -> tuple[ScanLesions, Components]:
    """Measure every lesion of a scan; also returns which voxel belongs to which.

    Raises:
        GeometryMismatchError: the labels are not on the grid of the CT.
    """
    require_same_geometry(ct.geometry, labels.geometry, "The labels are not on the grid of the CT")
    components = components_of(labels)
    tissue = tissue_of(ct, labels.tumour, reference)
    boxes = ndimage.find_objects(components)
    lesions = tuple(_measured(n, box, components, tissue, ct.geometry) for n, box in enumerate(boxes, start=1))
    liver_ml = float(labels.liver.sum()) * labels.geometry.voxel_ml
    slice_mm = _slice_mm(ct.geometry)
    return ScanLesions(lesions, reference, liver_ml, slice_mm, outlined_by_user), components


def match_lesions(
    before: Components, after: Components, covered: Mask, geometry: Geometry, after_count: int | None = None
) -> tuple[LesionMatch, ...]:
    """Say which lesions before and after treatment are the same.

    Lesions that overlap belong together, also over several links: two before and one after are "merged". What is left
    over is matched with the nearest within `NEAR_MM`, each at most once.

    Args:
        before, after: (K, J, I) numbers of lesions on one grid, 0 for none.
        covered: where the scan after has voxels.
        geometry: the grid.
        after_count: lesions of the scan after; some may lie outside of this grid, and are new. Default: the largest
            number in `after`.

    Returns:
        Matches with a lesion before, in the order of the largest; then new lesions.
    """
    firsts = int(before.max(initial=0))
    seconds = int(after.max(initial=0)) if after_count is None else after_count
    links, distances = _overlaps(before, after), dict[tuple[int, int], float]()
    alone_b = sorted(set(range(1, firsts + 1)) - {b for b, _ in links})
    alone_a = sorted(set(range(1, seconds + 1)) - {a for _, a in links})
    for distance, b, a in _nearest(before, after, alone_b, alone_a, geometry):
        if b not in {x for x, _ in distances} and a not in {y for _, y in distances}:
            distances[b, a] = distance
    groups = _groups(firsts, seconds, [*links, *distances])
    inside = before > 0
    sizes = np.bincount(before[inside], minlength=firsts + 1)
    shown = np.bincount(before[inside], covered[inside], firsts + 1) / np.maximum(sizes, 1)
    found = []
    for mine, theirs in groups:
        share = float(np.mean([shown[b] for b in mine])) if mine else 1.0
        kind = _kind(len(mine), len(theirs), share)
        distance = max((d for (b, _), d in distances.items() if b in mine), default=0.0)
        found.append(LesionMatch(mine, theirs, kind, distance if mine and theirs else None, share))
    return tuple(sorted(found, key=lambda m: (not m.before, m.before or m.after)))


def _kind(before: int, after: int, share: float) -> str:
    if not before:
        return NEW
    if not after:
        return GONE if share >= COVERED else NOT_COVERED
    if before > 1:
        return MERGED
    return SPLIT if after > 1 else SAME


def _overlaps(before: Components, after: Components) -> list[tuple[int, int]]:
    """Pairs that share enough of the smaller one."""
    both = (before > 0) & (after > 0)
    pairs, counts = np.unique(np.stack([before[both], after[both]], 1), axis=0, return_counts=True)
    sizes_b, sizes_a = np.bincount(before[before > 0]), np.bincount(after[after > 0])
    return [
        (int(b), int(a))
        for (b, a), count in zip(pairs.tolist(), counts.tolist(), strict=True)
        if count >= OVERLAP * min(sizes_b[b], sizes_a[a])
    ]


def _nearest(
    before: Components, after: Components, alone_b: Iterable[int], alone_a: list[int], geometry: Geometry
) -> list[tuple[float, int, int]]:
    """Distance between the surfaces, lesion before and after, of pairs that are near; the nearest first."""
    found = []
    for b in alone_b:
        if not alone_a:
            break
        distance = ndimage.distance_transform_edt(before != b, sampling=geometry.spacing)
        for a in alone_a:
            at = after == a
            if at.any() and (nearest := float(distance[at].min())) <= NEAR_MM:
                found.append((nearest, b, a))
    return sorted(found)


def _groups(
    firsts: int, seconds: int, links: Iterable[tuple[int, int]]
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Connected groups of lesions before and after."""
    groups: list[tuple[set[int], set[int]]] = [({b}, set()) for b in range(1, firsts + 1)]
    groups += [(set(), {a}) for a in range(1, seconds + 1)]
    for b, a in links:
        mine = next(g for g in groups if b in g[0])
        theirs = next(g for g in groups if a in g[1])
        if mine is not theirs:
            mine[0].update(theirs[0])
            mine[1].update(theirs[1])
            groups.remove(theirs)
    return [(tuple(sorted(b)), tuple(sorted(a))) for b, a in groups]


def _measured(
    index: int, box: tuple[slice, slice, slice], components: Components, tissue: Tissue, geometry: Geometry
) -> MeasuredLesion:
    mask = components[box] == index
    voxel = geometry.voxel_ml

    def part(name: str) -> Mask:
        return np.asarray(getattr(tissue, name)[box] & mask)

    def ml(name: str) -> float | None:
        return float(part(name).sum()) * voxel if tissue.tells else None

    def mm(name: str) -> float | None:
        return longest_chord_mm(part(name), geometry) if tissue.tells else None

    x, y, z = geometry.to_ras(np.argwhere(mask).mean(axis=0) + [s.start for s in box])
    return MeasuredLesion(
        index=index,
        volume_ml=float(mask.sum()) * voxel,
        centre_ras_mm=(float(x), float(y), float(z)),
        diameter_mm=longest_axial_diameter_mm(mask, geometry),
        lipiodol_ml=float(part("lipiodol").sum()) * voxel,
        viable_ml=ml("viable"),
        necrotic_ml=ml("necrotic"),
        unknown_ml=ml("unknown"),
        viable_diameter_mm=mm("viable"),
        bright_diameter_mm=mm("bright"),
    )


def _slice_mm(geometry: Geometry) -> float:
    """Distance of the axial slices: those of the axis that is nearest to the patient's long one."""
    axes = geometry.affine[:3, 2::-1] / np.array(geometry.spacing)
    return geometry.spacing[int(np.argmax(np.abs(axes[2])))]
