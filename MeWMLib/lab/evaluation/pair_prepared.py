"""A real pair made ready to be judged: read, registered, and brought to the fixed grid and to native voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.io import parse_label_values, read_labels, read_volume
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.carry import carried
from MeWMLib.lab.evaluation.pair_measures import Truth, fed_half, fixed_grid, judged_region, on_grid
from MeWMLib.lab.evaluation.pair_rows import Shift
from MeWMLib.lab.evaluation.pairs import PairFiles
from MeWMLib.lab.evaluation.work import box_of
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import Registered, Registration, measured_as_it_is, register

#: Kept around the tumour of a native scan that is whole.
NATIVE_MARGIN_MM = 30.0

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PreparedPair:
    """Everything about a pair that no prediction changes.

    Attributes:
        files: what it was read from.
        before, labels: on the fixed grid.
        truth: both scans there.
        native_before, native_labels: the scan before as the scanner made it and its labels, around the tumour; those of
            the fixed grid where there is none.
        native_inside: what is judged, on that grid.
        native_after, native_after_inside: the scan after as the scanner made it (else the one that was given), and what
            is judged there.
        quality: of the registration; the share of the tumour that the registered scan covers; and, for each native
            scan, the volume that is judged there over that on the fixed grid (less than 1 where a crop ends, more or
            less where the map of the registration changes volumes).
        moved: the registration.
        after: the scan after as it was given, in its own frame.
        labels_after: on the grid of `after`, or None.
    """

    files: PairFiles
    before: Volume
    labels: LabelMap
    truth: Truth
    native_before: Volume
    native_labels: LabelMap
    native_inside: Mask
    native_after: Volume
    native_after_inside: Mask
    quality: dict[str, float]
    moved: Registered
    after: Volume
    labels_after: LabelMap | None = None

    @classmethod
    def read(cls, files: PairFiles, settings: Registration) -> PreparedPair:
        """Read and register.

        Raises:
            MeWMError: a file that cannot be read, or scans that do not fit one another.
        """
        scan = read_volume(files.before)
        values = parse_label_values(files.label_values)
        known = read_labels(files.labels, scan.geometry, resample=True, values=values)
        after = read_volume(files.after)
        native, native_after = (
            None if one is None else read_volume(one) for one in (files.before_native, files.after_native)
        )
        known_after = None
        if files.labels_after is not None:
            known_after = read_labels(files.labels_after, after.geometry, resample=True, values=values)
        return cls.of(files, scan, known, after, native, native_after, settings, known_after)

    @classmethod
    def of(
        cls,
        files: PairFiles,
        scan: Volume,
        known: LabelMap,
        after: Volume,
        native: Volume | None,
        native_after: Volume | None,
        settings: Registration,
        known_after: LabelMap | None = None,
    ) -> PreparedPair:
        """The same from volumes: before, its labels, after, native voxels of both, and labels of the scan after.

        The labels of the scan after do not drive the registration: where an outline was drawn must not decide what is
        said to have changed.
        """
        moved = measured_as_it_is(scan, known, after) if files.registered else register(scan, known, after, settings)
        grid = fixed_grid(scan.geometry)
        same = scan.geometry.same_as(grid)
        labels = known if same else LabelMap(resample(known.array, known.geometry, grid, "nearest", 0), grid)
        before = scan if same else replace(scan, array=on_grid(scan, grid), geometry=grid)
        covered = moved.covered if same else resample(moved.covered, scan.geometry, grid, "nearest", 0) > 0
        region = judged_region(labels)
        truth = Truth(on_grid(scan, grid), on_grid(moved.ct, grid), region & covered, grid)
        judged = LabelMap(truth.inside.astype(np.uint8), grid)
        native_before, native_labels, inside = before, labels, truth.inside
        if native is not None:
            native_labels = LabelMap(resample(labels.array, grid, native.geometry, "nearest", 0), native.geometry)
            inside = resample(judged.array, grid, native.geometry, "nearest", 0) > 0
            native_before, native_labels, inside = _cropped(native, native_labels, inside)
        target = after if native_after is None else native_after
        inside_after = carried(moved, judged, target.geometry).array > 0
        ml = float(truth.inside.sum()) * grid.voxel_ml
        quality = {
            **moved.quality,
            "tumour_covered": float(covered[labels.tumour].mean()),
            "native_before_ratio": float(inside.sum()) * native_before.geometry.voxel_ml / ml,
            "native_after_ratio": float(inside_after.sum()) * target.geometry.voxel_ml / ml,
        }
        return cls(
            files, before, labels, truth, native_before, native_labels, inside, target, inside_after, quality, moved,
            after, known_after,
        )  # fmt: skip

    @property
    def shift(self) -> Shift:
        """What this pair changed by."""
        return Shift.of(self.truth, fed_half(self.labels, self.files.side))


def _cropped(scan: Volume, labels: LabelMap, inside: Mask) -> tuple[Volume, LabelMap, Mask]:
    """What is near the region that is judged."""
    margin = int(np.ceil(NATIVE_MARGIN_MM / min(scan.geometry.spacing)))
    box = box_of(inside, margin)
    start, shape = [s.start for s in box], [s.stop - s.start for s in box]
    geometry = scan.geometry.crop((start[0], start[1], start[2]), (shape[0], shape[1], shape[2]))
    return (
        replace(scan, array=scan.array[box], geometry=geometry),
        LabelMap(np.ascontiguousarray(labels.array[box]), geometry),
        inside[box],
    )
