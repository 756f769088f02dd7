"""A drawn scan of version 3 with what it was made of, and its coarse physical maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.cohorts.synthetic.fields import Axes, FloatArray
from MeWMLib.cohorts.synthetic.world import Rendering
from MeWMLib.core.errors import InputError
from MeWMLib.core.volume import TUMOUR, Geometry
from MeWMLib.rendering.grains import Grains, iodine_in_voxels

#: Voxels of a coarse map are as near as possible to this, in mm.
MAP_MM = 4.0


@dataclass(frozen=True, eq=False)
class Scan(Rendering):
    """A drawn CT with what it was made of.

    Attributes:
        tissue: (K, J, I) HU without Lipiodol and noise.
        iodine: (K, J, I) mg/ml of Lipiodol as the scanner's point spread leaves it.
        geometry: of the arrays.
        grains: of Lipiodol, in the patient (RAS mm).
        phase: "portal" or "arterial".
        weeks: after treatment; None before it.
    """

    tissue: FloatArray
    iodine: FloatArray
    geometry: Geometry
    grains: Grains
    phase: str
    weeks: float | None

    def coarse(self, spacing_mm: float = MAP_MM) -> CoarseMaps:
        """Physical maps on blocks of whole voxels of about `spacing_mm`."""
        return CoarseMaps.of(self, spacing_mm)


@dataclass(frozen=True, eq=False)
class CoarseMaps:
    """Physical maps (k, j, i) of a scan on blocks of its voxels.

    Attributes:
        viable: share of each block that is viable tumour.
        tumour: share that is tumour.
        attenuation: HU of tissue without Lipiodol and noise.
        iodine: mg/ml of Lipiodol; its sum over the blocks is that of the grains that lie within them.
        spacing: mm (k, j, i).
    """

    viable: FloatArray
    tumour: FloatArray
    attenuation: FloatArray
    iodine: FloatArray
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, scan: Scan, spacing_mm: float) -> CoarseMaps:
        """Average a scan over blocks; voxels beyond the last whole block are left out.

        Raises:
            InputError: a block would hold no voxel or more than the scan has.
        """
        voxel = scan.geometry.spacing
        block = [max(1, round(spacing_mm / s)) for s in voxel]
        shape = [n // b for n, b in zip(scan.geometry.shape, block, strict=True)]
        if spacing_mm <= 0 or min(shape) < 1:
            raise InputError(
                what="The scan has no blocks of this size",
                given=f"{spacing_mm:g} mm on {scan.geometry.describe()}",
                remedy="Ask for blocks of 3 to 4 mm",
            )

        def mean(values: NDArray[Any]) -> FloatArray:
            cut = values[tuple(slice(0, n * b) for n, b in zip(shape, block, strict=True))]
            split = [v for n, b in zip(shape, block, strict=True) for v in (n, b)]
            return np.asarray(cut.reshape(split).mean((1, 3, 5)), np.float32)

        axes = Axes.of(scan.geometry)
        places = [
            a[: n * b].reshape(n, b).mean(1) for a, n, b in zip((axes.z, axes.y, axes.x), shape, block, strict=True)
        ]
        iodine = iodine_in_voxels(scan.grains, (places[0], places[1], places[2]))
        k, j, i = (b * s for b, s in zip(block, voxel, strict=True))
        return cls(mean(scan.viable), mean(scan.labels == TUMOUR), mean(scan.tissue), iodine, (k, j, i))


def joined(grains: Sequence[Grains]) -> Grains:
    """Grains of several nodules."""
    if not grains:
        return Grains.none()
    return Grains(
        np.concatenate([g.place for g in grains]),
        np.concatenate([g.mg for g in grains]),
        np.concatenate([g.radius_mm for g in grains]),
    )
