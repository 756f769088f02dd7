"""The scan after treatment on the voxels of the one before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.lab.evaluation.pair_measures import on_grid
from MeWMLib.perception.preprocess import resample
from MeWMLib.perception.registration import Registration, register

Mask = NDArray[np.bool_]
#: The registered scan must have voxels in so much of the tumour.
LEAST_COVERED = 0.5


@dataclass(frozen=True, eq=False)
class AfterScan:
    """A scan after treatment, brought to the one before.

    Attributes:
        hu: (K, J, I) HU, on the grid of the scan before.
        covered: (K, J, I) where it has voxels.
        quality: figures of the registration; empty where none was needed.
    """

    hu: NDArray[np.float32]
    covered: Mask
    quality: dict[str, float]


def after_scan(before: Volume, labels: LabelMap, after: Volume, registered: bool) -> AfterScan:
    """Bring a scan after treatment to the one before.

    Args:
        before: scan before treatment.
        labels: on its grid.
        after: in the same frame where it is registered, else in its own.
        registered: whether it is.

    Raises:
        GeometryMismatchError: the scans do not overlap, or the tumour is not in both.
    """
    if registered:
        inside = resample(np.ones(after.geometry.shape, np.uint8), after.geometry, before.geometry, "nearest", 0) > 0
        found = AfterScan(on_grid(after, before.geometry), inside, {})
    else:
        moved = register(before, labels, after, Registration())
        found = AfterScan(moved.ct.array.astype(np.float32), moved.covered, dict(moved.quality))
    share = float(found.covered[labels.tumour].mean())
    if share < LEAST_COVERED:
        raise GeometryMismatchError(
            what="The scan after treatment does not cover the tumour",
            given=f"{100 * share:.0f} % of it",
            remedy="Give a scan of the whole liver, or check the registration",
        )
    return found
