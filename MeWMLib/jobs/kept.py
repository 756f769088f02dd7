"""What a worker that stays keeps between two jobs, beside its networks: the patients it has measured.

A patient takes its encodings with it: the world keeps those by the patient, so the same patient is not encoded twice.
What outcomes are compared with (`world.written.Before`) is kept of the last patient alone, since it is as large as a
scan.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from MeWMLib.core.volume import LabelMap, Volume

T = TypeVar("T")
#: As many as the world keeps encodings of.
MOST_PATIENTS = 2


class Patients:
    """The patients that were measured last, by everything that they were made of."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._measured: tuple[Any, Any] | None = None

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """What is known under a key, or what `make` gives."""
        if key in self._known:
            found = self._known.pop(key)
        else:
            self._measured = None
            found = make()
        self._known[key] = found
        while len(self._known) > MOST_PATIENTS:
            self._known.popitem(last=False)
        return found

    def measured(self, patient: Any, make: Callable[[], T]) -> T:
        """What was measured of a patient, or what `make` gives; that of the last patient is kept."""
        if self._measured is None or self._measured[0] is not patient:
            self._measured = None  # its memory first
            self._measured = (patient, make())
        found: T = self._measured[1]
        return found

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()
        self._measured = None


def key_of(ct: Volume, labels: LabelMap, *more: Any) -> str:
    """A checksum of a patient: voxels, grids, and `more`, which is arrays and what JSON can say."""
    total = hashlib.sha256()
    for volume in (ct, labels):
        grid = volume.geometry
        total.update(
            repr((grid.shape, grid.affine.tolist(), volume.array.dtype, getattr(volume, "phase", ""))).encode()
        )
        total.update(np.ascontiguousarray(volume.array).view(np.uint8).data)
    for one in more:
        # each with what it is, so that two do not run into one another
        if isinstance(one, np.ndarray):
            total.update(f"array {one.dtype} {one.shape}".encode())
            total.update(np.ascontiguousarray(one).view(np.uint8).data)
        else:
            total.update(f"plain {json.dumps(one, sort_keys=True)}".encode())
    return total.hexdigest()
