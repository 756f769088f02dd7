"""Colour maps for differences and deviations in HU, as arrays and as Slicer colour nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.scene.core_app import slicer

_STEPS = 256
# Dark in the middle: what did not change stays in the background. Colour-blind readers can tell blue from orange.
DIVERGING = ((0.62, 0.90, 1.0), (0.16, 0.50, 0.86), (0.15, 0.15, 0.15), (0.85, 0.33, 0.06), (1.0, 0.88, 0.52))
SEQUENTIAL = ((0.0, 0.0, 0.0), (0.28, 0.07, 0.42), (0.70, 0.19, 0.42), (0.96, 0.49, 0.16), (0.99, 0.95, 0.62))


@dataclass(frozen=True)
class ColourMap:
    """Colours for values between two limits.

    Attributes:
        name: name of the colour node.
        anchors: RGB at equal distances between the limits, 0 to 1.
        low, high: the limits in HU; values beyond them take the colour of the limit.
    """

    name: str
    anchors: tuple[tuple[float, float, float], ...]
    low: float
    high: float

    @property
    def table(self) -> NDArray[np.float64]:
        """(256, 3) RGB, 0 to 1."""
        anchors = np.array(self.anchors)
        at = np.linspace(0, len(anchors) - 1, _STEPS)
        return np.stack([np.interp(at, np.arange(len(anchors)), anchors[:, c]) for c in range(3)], axis=-1)

    def of(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the colours (..., 3) uint8 of values in HU."""
        share = (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low)
        index = np.clip(np.round(share * (_STEPS - 1)), 0, _STEPS - 1).astype(int)
        return np.round(self.table[index] * 255).astype(np.uint8)

    def to_node(self, scene: Any) -> Any:
        """Add the map to a scene as a `vtkMRMLColorTableNode`."""
        node = slicer.vtkMRMLColorTableNode()
        node.SetName(self.name)
        node.SetTypeToUser()
        node.SetNumberOfColors(_STEPS)
        for index, (red, green, blue) in enumerate(self.table):
            node.SetColor(index, f"{index}", red, green, blue, 1.0)
        return scene.AddNode(node)


def difference_map(limit_hu: float) -> ColourMap:
    """Blue for darker, dark grey for unchanged, orange for brighter; -limit to +limit HU."""
    return ColourMap("MeWM difference", DIVERGING, -limit_hu, limit_hu)


def deviation_map(limit_hu: float) -> ColourMap:
    """Black for certain to yellow for uncertain; 0 to limit HU."""
    return ColourMap("MeWM standard deviation", SEQUENTIAL, 0.0, limit_hu)


def round_limit(values: NDArray[Any], smallest: float = 20.0) -> float:
    """Return a round limit (20, 50, 100, 150, ... HU) that 98 of 100 of the values do not exceed."""
    top = float(np.quantile(np.abs(values), 0.98)) if values.size else 0.0
    if top <= smallest:
        return smallest
    return 50.0 * float(np.ceil(top / 50.0))
