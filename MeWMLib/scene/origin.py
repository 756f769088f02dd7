"""What a result was computed from: checksums of voxels, their grid, and the texts that counted beside them."""

from __future__ import annotations

import zlib
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.errors import InputError
from MeWMLib.core.records import dump_json, parse_json
from MeWMLib.core.volume import LabelMap, Volume

#: Files of scenes keep fewer digits of a grid than memory does.
_SAME_MM = 0.01


@dataclass(frozen=True)
class Origin:
    """What a result was computed from.

    Attributes:
        ct, labels: checksums of the voxels of the CT, and of liver and tumour on its grid; "" where nothing is known.
        grid: the 12 numbers of the CT's affine in mm.
        clinical: the clinical data as JSON; "" where they are not known.
        goal: the goal.
    """

    ct: str = ""
    labels: str = ""
    grid: str = ""
    clinical: str = ""
    goal: str = ""

    @classmethod
    def of(cls, volume: Volume, labels: LabelMap | None = None, clinical: str = "", goal: str = "") -> Origin:
        """Compute the checksums; takes a moment, so a thread may do it. Without labels it is the origin of a CT.

        Slicer stores left-handed grids with their slices turned round, so slices are counted so that the grid is
        right-handed.
        """
        affine = volume.geometry.affine.copy()
        turned = bool(np.linalg.det(affine[:3, :3]) < 0)
        if turned:
            affine[:3, 3] += (volume.geometry.shape[0] - 1) * affine[:3, 2]
            affine[:3, 2] *= -1.0
        arrays = (volume.array, labels.array if labels is not None else None)
        ct, drawn = ("" if array is None else _sum(array[::-1] if turned else array) for array in arrays)
        return cls(ct, drawn, " ".join(f"{number:.4f}" for number in affine[:3].ravel()), clinical, goal.strip())

    def same_ct(self, other: Origin) -> bool:
        """True if both are about one CT, on one grid."""
        if self.ct != other.ct:
            return False
        here, there = (np.array(one.grid.split(), dtype=np.float64) for one in (self, other))
        return here.shape == there.shape and bool(np.allclose(here, there, rtol=0.0, atol=_SAME_MM))

    def to_text(self) -> str:
        """For an attribute of a node or a parameter."""
        return dump_json(asdict(self))

    @classmethod
    def from_text(cls, text: str | None) -> Origin:
        """The counterpart; nothing is known where the text of a damaged scene cannot be read."""
        try:
            data = parse_json(text or "{}", "the origin of a result")
            found = cls(**{field.name: str(data.get(field.name, "")) for field in fields(cls)})
            np.array(found.grid.split(), dtype=np.float64)
        except (InputError, AttributeError, ValueError):
            return cls()
        return found


def _sum(array: NDArray[np.generic]) -> str:
    return f"{zlib.crc32(np.ascontiguousarray(array).data):08x}"
