"""Coarse physical maps of a treated region: what the map network sees of a patient, and what it predicts.

Cubes of 4 mm along left, posterior and superior. A tumour of 18 cm is 45 of them long, so that every treated lesion is
simulated whole. What is finer than a cube (grains of Lipiodol, noise) is left to a renderer (`rendering/`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import GeometryError
from MeWMLib.core.volume import Geometry

FloatArray = NDArray[np.float32]

#: Edge of a cube; cubes along an edge of a cell, which is a voxel of the network's finest level; and the multiple of mm
#: that the sides of a region have, so that the network's levels divide it.
MAP_MM, CELL, SIDE_MM = 4.0, 2, 32.0
#: HU of a cube are seen within these: lung, bowel gas and bone say nothing of a treatment.
SEEN_HU = (-160.0, 300.0)


@dataclass(frozen=True, eq=False)
class OutcomeMaps:
    """What a session leaves of a region, or is expected to leave.

    Attributes:
        viable, tumour: (k, j, i) share of each cube that is viable tumour, and tumour.
        change: HU of tissue without Lipiodol, after less before.
        iodine: mg/ml of Lipiodol.
        geometry: of the cubes.

    Raises:
        GeometryError: a map of another shape than the grid.
    """

    viable: FloatArray
    tumour: FloatArray
    change: FloatArray
    iodine: FloatArray
    geometry: Geometry

    def __post_init__(self) -> None:
        for values in self.arrays:
            if values.shape != self.geometry.shape:
                raise GeometryError(
                    what="A coarse map and its grid differ",
                    given=f"{values.shape} and {self.geometry.shape} cubes",
                    remedy="Give all maps of a region on the grid that goes with them",
                )

    @property
    def arrays(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Viable, tumour, change, iodine."""
        return self.viable, self.tumour, self.change, self.iodine

    @property
    def lipiodol_ml(self) -> float:
        """Lipiodol (ml) that the iodine stands for, at 480 mg/ml."""
        return float(self.iodine.sum(dtype=np.float64)) * self.geometry.voxel_ml / 480.0


def seen_hu(hu: NDArray[np.floating]) -> FloatArray:
    """HU within `SEEN_HU`."""
    return np.asarray(np.clip(hu, *SEEN_HU), np.float32)
