"""What is measured in a written volume: diameters of what is left of each lesion."""

import numpy as np
import pytest

from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.world.written import _longest_mm

GRID = Geometry((3, 40, 60), np.diag([-1.0, -1.0, 2.0, 1.0]))


def labels(*boxes: tuple[slice, slice]) -> LabelMap:
    array = np.ones(GRID.shape, np.uint8)
    for j, i in boxes:
        array[1, j, i] = 2
    return LabelMap(array, GRID)


BAR, FAR = (slice(10, 12), slice(5, 45)), (slice(30, 32), slice(2, 12))


@pytest.mark.parametrize(
    ("after", "longest"),
    [
        ((BAR, FAR), 40.0),
        # a bar that lost its middle is one lesion still
        (((BAR[0], slice(5, 24)), (BAR[0], slice(26, 45)), FAR), 40.0),
        (((BAR[0], slice(5, 24)), FAR), 19.0),
        ((FAR,), 10.0),
        # what lies where nothing was is a lesion of its own
        ((FAR, (slice(20, 22), slice(20, 50))), 30.0),
        ((), 0.0),
    ],
)
def test_pieces_of_one_lesion_are_measured_together(after: tuple, longest: float) -> None:
    assert _longest_mm(labels(*after), labels(BAR, FAR)) == pytest.approx(longest, abs=1.2)
