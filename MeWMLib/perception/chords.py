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
    part = np.moveaxis(mask[ndimage.find_objects(mask.astype(np.uint8))[0]], axial, 0).astype(np.uint8)
    step = max(STEP_MM, float(steps.min()))
    middle = (np.array(part.shape[1:]) - 1) / 2
    bridge = int(BRIDGE_MM / step) + 1
    gap = np.ones((1, 1, bridge), bool)
    # longer than the diagonal, so that no line, nor the bridging, ends at the border of the turned image; odd, so that
    # the middle is one of its points
    count = 2 * int(np.ceil(np.hypot(*(np.array(part.shape[1:]) * steps)) / step / 2) + bridge) + 3
    longest = 0
    for angle in np.arange(DIRECTIONS) * np.pi / DIRECTIONS:
        cosine, sine = np.cos(angle), np.sin(angle)
        turn = np.array([[cosine, sine], [-sine, cosine]]) * step / steps[:, None]
        matrix = np.eye(3)
        matrix[1:, 1:] = turn
        offset = np.array([0.0, *(middle - turn @ np.full(2, (count - 1) / 2))])
        lines = ndimage.affine_transform(part, matrix, offset, (len(part), count, count), order=0, mode="constant")
        longest = max(longest, _longest_run(ndimage.binary_closing(lines > 0, gap)))
    return min(longest * step, longest_axial_diameter_mm(mask, geometry))


def _longest_run(lines: Mask) -> int:
    """Length of the longest row of True along the last axis."""
    padded = np.pad(lines, [(0, 0)] * (lines.ndim - 1) + [(1, 1)])
    edges = np.flatnonzero(np.diff(padded.reshape(-1).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))
