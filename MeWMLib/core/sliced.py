"""A CT of a plan that is read a slice after the other, where the whole of it would take too much memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core._checks import PADDING_HU, require_ct_range, require_one_ct
from MeWMLib.core.errors import NotCTError
from MeWMLib.core.image_files import read_header, read_slices
from MeWMLib.core.marks import provenance_of
from MeWMLib.core.volume import PHASES, Geometry, Provenance


@dataclass(frozen=True)
class SlicedCT:
    """What the header of a CT says; the voxels follow with `slices`.

    Attributes:
        path: a NIfTI, NRRD or MetaImage file.
        geometry: its grid.
        phase, simulated: as of a `Volume`.
    """

    path: Path
    geometry: Geometry
    phase: str
    simulated: Provenance | None

    def of(self, provenance: Provenance) -> SlicedCT:
        """The same CT with a provenance, unless its own file has one."""
        return self if self.simulated is not None else replace(self, simulated=provenance)

    def slices(self) -> Iterator[NDArray[Any]]:
        """Slices (J, I) in the order of the grid, checked as `io.read_volume` checks a whole CT.

        Raises:
            UnreadableFileError, NotCTError: as `io.read_volume`; for what only the whole shows, after the last slice.
        """
        low, high = np.inf, -np.inf
        kind: np.dtype[Any] = np.dtype(np.int16)
        for one in read_slices(self.path):
            if one.dtype.kind == "f" and not np.isfinite(one).all():
                raise NotCTError(
                    what="The image holds values that are not numbers",
                    given=str(self.path),
                    remedy="Export the CT again from the PACS",
                )
            kind = one.dtype
            low, high = min(low, float(one.min())), max(high, float(one.max()))
            yield np.maximum(one, np.array(PADDING_HU, dtype=kind)) if low < PADDING_HU else one
        require_ct_range(np.array([max(low, PADDING_HU), high], kind))


def open_sliced(path: Path) -> SlicedCT:
    """Read and check the header of a CT.

    Raises:
        UnreadableFileError, NotCTError, GeometryError: as `io.read_volume`.
    """
    shape, geometry, metadata = read_header(path)
    require_one_ct(np.broadcast_to(np.int16(0), shape), metadata, path)
    phase = metadata.get("MeWM_phase", "unknown")
    return SlicedCT(path, geometry, phase if phase in PHASES else "unknown", provenance_of(metadata))
