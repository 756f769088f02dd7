"""How much of a slice a picture shows: as much of the liver as there is, but no picture that is a quarter black."""

from __future__ import annotations

import numpy as np

from MeWMLib.core.structures import VIEW_LEVEL_HU, VIEW_WINDOW_HU
from MeWMLib.core.volume import Volume
from MeWMLib.scene.target import LOWEST, Target
from MeWMLib.scene.views import AXIAL, CORONAL, Framing

#: What is darker looks black in the window in which people look: its lowest twentieth, so that fat counts.
BLACK_HU = VIEW_LEVEL_HU - VIEW_WINDOW_HU / 2 + 0.055 * VIEW_WINDOW_HU
#: Share of a picture that may be black.
MOST_BLACK = 0.22
#: Steps between the slice of the whole liver and the lesion with its surroundings, and points across a picture.
_STEPS, _POINTS = 9, 64
#: Axes (right, anterior, superior) across and up a slice.
_AXES = {AXIAL: (0, 1), CORONAL: (0, 2)}


def framing_of(target: Target, ct: Volume, orientation: str) -> Framing:
    """The slice through the lesion's largest diameter, with as much of the liver as leaves the picture bright.

    Lung, air and what lies outside of the scan are black. Where the slice through the whole liver has too much of them,
    the picture is narrowed and moved towards the lesion, which stays inside of it.

    Args:
        target: where the lesion is.
        ct: the scan before treatment.
        orientation: `AXIAL`, `CORONAL` or `SAGITTAL`.
    """
    whole = target.liver_framing(orientation)
    least = min(whole.width_mm, max(1.6 * target.lesion_mm, 60.0))
    best, darkest = whole, 2.0
    for step in np.linspace(0.0, 1.0, _STEPS):
        width = float(whole.width_mm + step * (least - whole.width_mm))
        height = max(min(whole.height_mm or whole.width_mm, width), LOWEST * width)
        middle = np.array(whole.centre_ras_mm) + step * np.subtract(target.centre, whole.centre_ras_mm)
        across, up = _AXES.get(orientation, (1, 2))
        for axis, size in ((across, width), (up, height)):
            # the lesion stays inside
            reach = max(0.0, size / 2 - 0.6 * target.lesion_mm)
            middle[axis] = np.clip(middle[axis], target.centre[axis] - reach, target.centre[axis] + reach)
        r, a, s = (float(x) for x in middle)
        one = Framing(orientation, (r, a, s), width, float(height))
        black = black_share(ct, one)
        if black < darkest:
            best, darkest = one, black
        if black <= MOST_BLACK:
            break
    return best


def black_share(ct: Volume, framing: Framing) -> float:
    """Share of a picture that shows nothing brighter than black."""
    across, up = _AXES.get(framing.orientation, (1, 2))
    points = np.tile(np.array(framing.centre_ras_mm), (_POINTS, _POINTS, 1))
    steps = (np.arange(_POINTS) + 0.5) / _POINTS - 0.5
    points[..., across] += framing.width_mm * steps[None, :]
    points[..., up] += (framing.height_mm or framing.width_mm) * steps[:, None]
    index = np.rint(ct.geometry.to_kji(points)).astype(int)
    inside = ((index >= 0) & (index < np.array(ct.geometry.shape))).all(axis=-1)
    hu = np.full(inside.shape, -1024.0)
    hu[inside] = ct.array[tuple(index[inside].T)]
    return float((hu <= BLACK_HU).mean())


def position_text(framing: Framing) -> str:
    """Where the slice lies, in the scanner's space, such as "S 12 mm"."""
    axis, letters = {AXIAL: (2, "SI"), CORONAL: (1, "AP")}.get(framing.orientation, (0, "RL"))
    value = framing.centre_ras_mm[axis]
    return f"{letters[0] if value >= 0 else letters[1]} {abs(value):.0f} mm"
