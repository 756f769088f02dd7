"""What a written volume and its labels show, measured in them alone. No networks here.

The same code measures when a plan is written and when `mewm verify` measures its files again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cc3d
import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.patient import Findings
from MeWMLib.core.tissue_labels import SEGMENTS
from MeWMLib.core.volume import LabelMap, Volume, require_same_geometry
from MeWMLib.core.written import BY_DENSITY, BY_MODEL, LIPIODOL_FROM_HU, Criterion, Sample, WrittenNumbers
from MeWMLib.perception.findings import longest_axial_diameter_mm, measure
from MeWMLib.perception.response import Response, response_of
from MeWMLib.perception.response_lesions import Components, ScanLesions, match_lesions, measure_lesions
from MeWMLib.perception.viability import LiverReference, liver_reference, tissue_of

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Before:
    """A scan before treatment with its labels, which several outcomes are measured against.

    Attributes:
        ct, labels: on one grid.
        phase: of the scan.
        liver: of it; the simulated scans have the same, bit for bit.
    """

    ct: Volume
    labels: LabelMap
    phase: str
    liver: LiverReference | None

    @classmethod
    def of(cls, ct: Volume, labels: LabelMap, phase: str) -> Before:
        """Measure the liver of a scan.

        Raises:
            GeometryMismatchError: the labels are not on the grid of the CT.
        """
        return cls(ct, labels, phase, liver_reference(ct, labels, phase))

    @cached_property
    def alive(self) -> Mask | None:
        """Viable tumour (K, J, I) by density, as among the findings; None where the phase does not tell it."""
        found = tissue_of(self.ct, self.labels.tumour, self.liver)
        return found.viable if found.tells else None

    @cached_property
    def lesions(self) -> tuple[ScanLesions, Components]:
        """Every lesion, measured, and which voxel belongs to which."""
        return measure_lesions(self.ct, self.labels, self.liver)

    @cached_property
    def longest_mm(self) -> float:
        """Longest axial diameter of any lesion; 0 without one."""
        return _longest_mm(self.labels, self.labels)


@dataclass(frozen=True, eq=False)
class WrittenTissue:
    """What the tumour of a written volume consists of: masks (K, J, I) that do not overlap and together are its tumour.

    Attributes:
        lipiodol: at `LIPIODOL_FROM_HU` and more.
        viable, necrotic: None where nobody tells them.
        outside: what became as dense as Lipiodol outside of the tumour's outline.
        by: who says what is viable: `BY_MODEL` or `BY_DENSITY`.
    """

    lipiodol: Mask
    viable: Mask | None
    necrotic: Mask | None
    outside: Mask
    by: str

    @property
    def segments(self) -> dict[str, Mask | None]:
        """The masks by the names of the segments that they are written as (`core.tissue_labels.SEGMENTS`)."""
        names = [one.name for one in SEGMENTS]
        return dict(zip(names, (self.viable, self.necrotic, self.lipiodol), strict=True))

    @classmethod
    def of(cls, before: Before, after: Volume, labels: LabelMap, viable: Mask | None = None) -> WrittenTissue:
        """Divide the tumour of a written volume.

        Args:
            before: the scan before treatment.
            after, labels: of the outcome, on its grid.
            viable: (K, J, I) tumour that lives, as the model simulates it; without it density tells.

        Raises:
            GeometryMismatchError: it is not on the grid of the scan before, or the labels are not.
        """
        for grid in (after.geometry, labels.geometry):
            require_same_geometry(before.ct.geometry, grid, "The written volume is not on the grid of the CT")
        tumour, dense = labels.tumour, after.array >= LIPIODOL_FROM_HU
        lipiodol = tumour & dense
        outside = dense & ~tumour & (before.ct.array < LIPIODOL_FROM_HU)
        if viable is None:
            found = tissue_of(after, tumour, before.liver)
            alive, by = (found.viable if found.tells else None), BY_DENSITY
        else:
            alive, by = viable, BY_MODEL
            if before.alive is not None:  # of tumour that nothing has touched, what was dead is dead
                dead = before.labels.tumour & ~before.alive
                alive = alive & ~(dead & (after.array == before.ct.array))
        if alive is None:
            return cls(lipiodol, None, None, outside, by)
        alive = alive & tumour & ~lipiodol
        return cls(lipiodol, alive, tumour & ~lipiodol & ~alive, outside, by)


def measure_written(
    before: Before, after: Volume, labels: LabelMap, sample: Sample, tissue: WrittenTissue
) -> WrittenNumbers:
    """Measure a written volume.

    Args:
        before: the scan before treatment.
        after, labels: the written ones, on its grid.
        sample: which of the simulated replicas it is.
        tissue: of it.

    Raises:
        GeometryMismatchError: other grids.
    """
    voxel = before.ct.geometry.voxel_ml
    found = response(before, after, labels)

    def ml(mask: Mask | None) -> float | None:
        return None if mask is None else float(mask.sum()) * voxel

    return WrittenNumbers(
        sample=sample,
        phase=before.phase,
        tumour_ml_before=float(before.labels.tumour.sum()) * voxel,
        tumour_ml_after=float(labels.tumour.sum()) * voxel,
        viable_ml_before=ml(before.alive),
        viable_ml_after=ml(tissue.viable),
        necrotic_ml_after=ml(tissue.necrotic),
        lipiodol_ml_after=float(tissue.lipiodol.sum()) * voxel,
        lipiodol_outside_ml=float(tissue.outside.sum()) * voxel,
        diameter_mm_before=before.longest_mm,
        diameter_mm_after=_longest_mm(labels, before.labels),
        viable_by=tissue.by,
        seen_viable_ml=found.after.total("viable_ml"),
        seen_necrotic_ml=found.after.total("necrotic_ml"),
        hidden_ml=found.after.total("unknown_ml"),
        dense_before_ml=float((tissue.lipiodol & (before.ct.array >= LIPIODOL_FROM_HU)).sum()) * voxel,
        criteria=_criteria(found),
    )


def findings_of(before: Before) -> Findings:
    """Lesions and liver of the scan before, as `WorldModel.patient` measures them."""
    return measure(before.ct, before.labels, phase=before.phase)


def response(before: Before, after: Volume, labels: LabelMap) -> Response:
    """RECIST 1.1, mRECIST and LI-RADS treatment response of a simulated outcome, whose scans lie on one another."""
    first, mine = before.lesions
    second, theirs = measure_lesions(after, labels, before.liver)
    covered = np.ones(mine.shape, bool)
    matches = match_lesions(mine, theirs, covered, before.ct.geometry, after_count=len(second.lesions))
    return response_of(first, second, matches)


def _criteria(found: Response) -> tuple[Criterion, ...]:
    sizes = [Criterion(one.criterion, one.category, one.reasons) for one in (found.recist, found.mrecist)]
    lesions = [
        Criterion(
            f"LI-RADS treatment response, lesion {', '.join(map(str, one.before))}",
            one.category,
            one.reasons,
        )
        for one in found.lirads
    ]
    return (*sizes, *lesions)


def _longest_mm(labels: LabelMap, before: LabelMap) -> float:
    """Longest axial diameter of any lesion; 0 without one.

    Pieces that lie where one lesion was before treatment are measured together: a thin bridge that is gone does not
    make a lesion half as long.
    """
    beds = cc3d.connected_components(before.tumour, connectivity=26)
    parts = cc3d.connected_components(labels.tumour, connectivity=26)
    found = cc3d.statistics(parts)
    pieces: dict[int, list[int]] = {}
    for number in range(1, int(parts.max(initial=0)) + 1):
        box = found["bounding_boxes"][number]
        under = np.bincount(beds[box][parts[box] == number])
        under[0] = 0
        # one that lies in no bed is a lesion of its own
        pieces.setdefault(int(under.argmax()) if under.any() else -number, []).append(number)
    longest = 0.0
    for numbers in pieces.values():
        boxes = [found["bounding_boxes"][n] for n in numbers]
        whole = tuple(slice(min(b[a].start for b in boxes), max(b[a].stop for b in boxes)) for a in range(3))
        longest = max(longest, longest_axial_diameter_mm(np.isin(parts[whole], numbers), labels.geometry))
    return longest
