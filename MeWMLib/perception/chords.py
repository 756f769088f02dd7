"""The longest straight line that stays inside a mask in an axial slice: the mRECIST diameter of viable tumour.

mRECIST measures the longest diameter of enhancing tissue without major intervening necrosis (Lencioni and Llovet, Semin
Liver Dis 2010;30:52), so a rim around a dead core is as long as the longest line that does not cross the core. The
largest distance of two outline points (`findings.longest_axial_diameter_mm`) would cross it.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Geometry
from MeWMLib.perception.findings import longest_axial_diameter_mm

#: Directions that are tried; between two of them a line is shorter by 0.4 % at most.
DIRECTIONS = 18
#: A gap so long is no major necrosis: a vessel, a grain of Lipiodol.
BRIDGE_MM = 3.0
#: Step of the lines, or the smallest voxel edge where that is longer.
STEP_MM = 1.0

Mask = NDArray[np.bool_]


def longest_chord_mm(mask: Mask, geometry: Geometry) -> float:
    """Longest line (mm) inside a mask in any axial slice; gaps up to `BRIDGE_MM` count as inside.

    The slices are those of `findings.longest_axial_diameter_mm`, and no chord is longer than that diameter.

    Args:
        mask: (K, J, I), or a part of it; only directions and spacings of `geometry` are used.
        geometry: the grid.
    """
    if not mask.any():
        return 0.0
    axes = geometry.affine[:3, 2::-1] / np.array(geometry.spacing)
    axial = int(np.argmax(np.abs(axes[2])))
    steps = np.delete(np.array(geometry.spacing), axial)
    part = np.moveaxis(mask[ndimage.find_objects(mask.view(np.uint8))[0]], axial, 0)
    step = max(STEP_MM, float(steps.min()))
    size = np.array(part.shape[1:])
    middle = (size - 1) / 2
    bridge = int(BRIDGE_MM / step) + 1
    # lines are longer than the diagonal, so that what is bridged never goes on in the next one; of an odd number of
    # points, so that the middle is one of them
    count = 2 * int(np.ceil(np.hypot(*(size * steps)) / step / 2) + bridge) + 3
    # voxels of a slice in one row, the first of them outside of the mask
    slices = np.zeros((len(part), 1 + int(size.prod())), bool)
    slices[:, 1:] = part.reshape(len(part), -1)
    along = (np.arange(count) - (count - 1) / 2) * step
    longest = 0
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        cosine, sine = np.cos(angle), np.sin(angle)
        first = np.floor(middle[0] + (cosine * along[:, None] + sine * along) / steps[0] + 0.5).astype(np.intp)
        second = np.floor(middle[1] + (cosine * along - sine * along[:, None]) / steps[1] + 0.5).astype(np.intp)
        inside = (first >= 0) & (first < size[0]) & (second >= 0) & (second < size[1])
        at = np.where(inside, 1 + first * size[1] + second, 0)
        longest = max(longest, _longest_run(slices[:, at.ravel()], bridge))
    return min(longest * step, longest_axial_diameter_mm(mask, geometry))


def _longest_run(lines: Mask, bridge: int) -> int:
    """Length of the longest run of True, with gaps of fewer than `bridge` inside it; every line begins with False."""
    edges = np.flatnonzero(np.diff(lines.reshape(-1).view(np.int8)))
    starts, ends = edges[::2], edges[1::2]
    if not len(starts):
        return 0
    goes_on = starts[1:] - ends[:-1] < bridge
    return int((ends[np.append(~goes_on, True)] - starts[np.insert(~goes_on, 0, True)]).max())
