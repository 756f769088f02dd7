"""Viable tumour as it is measured in a simulated image or in a real scan after treatment, by one code.

Where tissue still lives is read off the image: by the fall of its density since the scan before (`perception.fall`).
A search measures the expected scan without its Lipiodol, which would hide the fall, and without noise, which is that of
the scan before in both. A real scan is measured as it is, against the difference of the two livers.

The outline is not read off the image here: it is that of labels, or of the simulated response (see docs/PLANNING.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Volume
from MeWMLib.perception.fall import BeforeTreatment
from MeWMLib.perception.viability import liver_reference
from MeWMLib.world.patch import FloatArray, Mask, TreatedPatch


@dataclass(frozen=True, eq=False)
class ViableMeasure:
    """Measures viable tumour on the voxels of a treated patch.

    Attributes:
        patch: before treatment.
        box: of the patch, what can change and some mm around it.
        tissue: the box before treatment.
    """

    patch: TreatedPatch
    box: tuple[slice, ...]
    tissue: BeforeTreatment

    @classmethod
    def of(cls, patch: TreatedPatch, phase: str) -> ViableMeasure:
        """Prepare a patch.

        Args:
            patch: before treatment.
            phase: of its scan, as the dynamics model takes it.
        """
        grid = patch.geometry
        liver = liver_reference(Volume(patch.hu, grid, phase), LabelMap(patch.labels, grid))
        box = _around(patch)
        shape = tuple(s.stop - s.start for s in box)
        part = grid.crop(tuple(s.start for s in box), shape)  # type: ignore[arg-type]
        return cls(patch, box, BeforeTreatment.of(patch.hu[box], patch.labels[box] == TUMOUR, part, phase, liver))

    @property
    def tissue_before(self) -> tuple[tuple[FloatArray, float], tuple[FloatArray, float]]:
        """Of each voxel (D, H, W), and of what lies beyond them: the share that lives, and the fall of what dies (HU).

        It is the fall from where tissue counts as touched to where it counts as dead (`in_image`).
        """
        low, high = self.tissue.full_fall
        usual = float(np.median(np.asarray(high) - low))
        found = []
        for values, fill in ((self.tissue.alive, 1.0), (np.asarray(high) - low, usual)):
            whole = np.full(self.patch.hu.shape, fill, np.float32)
            whole[self.box] = values
            found.append((whole, fill))
        return found[0], found[1]

    @cached_property
    def before_ml(self) -> float:
        """Viable tumour before treatment, treated or not."""
        return self._ml(self.tissue.alive * (self.patch.labels[self.box] == TUMOUR))

    @cached_property
    def untreated_ml(self) -> float:
        """Viable tumour that is not treated."""
        untreated = self.patch.untreated
        return 0.0 if untreated is None else self._ml(self.tissue.alive * untreated[self.box])

    def in_image(self, hu: FloatArray, share: FloatArray, scale: float = 1.0) -> float:
        """Viable tumour (ml) after treatment in a simulated image, with the tumour that is not treated.

        Args:
            hu: (D, H, W) of the patch, simulated, without Lipiodol.
            share: (D, H, W) of each voxel that is treated tumour after treatment.
            scale: of the volume of treated tumour, where shares of cubes hold another volume than the labels do.
        """
        part = share[self.box]
        alive = self.tissue.alive_after(hu[self.box], where=part > 0)
        return scale * self._ml(alive * part) + self.untreated_ml

    def in_scan(self, hu: FloatArray, tumour: Mask) -> float:
        """Viable tumour (ml) in any scan after treatment.

        Args:
            hu: (D, H, W) on the patch, registered to the scan before.
            tumour: (D, H, W) all tumour after treatment.
        """
        liver = (self.patch.labels == LIVER) & ~tumour & (self.patch.weight == 0)
        shift = float(np.median(hu[liver]) - np.median(self.patch.hu[liver])) if liver.any() else 0.0
        return self._ml(self.tissue.alive_after(hu[self.box], shift) * tumour[self.box])

    def _ml(self, share: FloatArray) -> float:
        return float(share.sum(dtype=np.float64)) * self.patch.geometry.voxel_ml


#: Kept around what can change (mm): the averaging looks so far.
_REACH_MM = 6.0


def _around(patch: TreatedPatch) -> tuple[slice, ...]:
    """The box of all tumour and of what can change, with `_REACH_MM` on every side."""
    there = (patch.weight > 0) | (patch.labels == TUMOUR)
    more, found = int(np.ceil(_REACH_MM / patch.spacing_mm)), []
    for axis, size in enumerate(there.shape):
        at = np.flatnonzero(there.any(axis=tuple(a for a in range(3) if a != axis)))
        found.append(slice(max(0, int(at[0]) - more), min(size, int(at[-1]) + 1 + more)) if len(at) else slice(0, size))
    return tuple(found)
