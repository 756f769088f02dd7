"""What a worker that stays keeps between two jobs, beside its networks: what it found in the scans it saw last.

A patient takes its encodings with it: the world keeps those by the patient, so the same patient is not encoded twice.
A second question about a scan (another protocol, another goal) then costs its simulation alone.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from MeWMLib.core.volume import LabelMap, Volume

#: As many as the world keeps encodings of.
MOST = 2


class Latest:
    """The last few things that were made, by everything that they were made of.

    Args:
        most: how many.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[str, Any] = OrderedDict()

    def get(self, key: str, make: Callable[[], Any]) -> Any:
        """What is known under a key, or what `make` gives; the oldest goes before, so that never both are there."""
        if key in self._known:
            self._known.move_to_end(key)
        else:
            while len(self._known) >= self._most:
                self._known.popitem(last=False)
            self._known[key] = make()
        return self._known[key]

    def clear(self) -> None:
        """Forget all of them."""
        self._known.clear()


@dataclass(frozen=True)
class Kept:
    """What is kept, each by a checksum of what it follows from (`key_of`).

    Attributes:
        segmented: by CT, what the segmenter found and what is noted of it.
        patients: by CT, labels and what is known and chosen, the patients that were measured.
        before: by CT, labels and phase, the scan before treatment that written volumes are measured against; of
            the last one alone, since it is as large as a scan.
    """

    segmented: Latest = field(default_factory=Latest)
    patients: Latest = field(default_factory=Latest)
    before: Latest = field(default_factory=lambda: Latest(1))

    def clear(self) -> None:
        """Forget all of it."""
        for one in (self.segmented, self.patients, self.before):
            one.clear()


def key_of(*parts: Any) -> str:
    """A checksum of volumes (voxels and grid), of arrays, and of what JSON can say."""
    total = hashlib.sha256()
    for one in parts:
        # each with what it is, so that two do not run into one another
        if isinstance(one, Volume | LabelMap):
            grid = one.geometry
            about = grid.shape, grid.affine.tolist(), one.array.dtype, getattr(one, "phase", "")
            total.update(f"volume {about!r}".encode())
            total.update(np.ascontiguousarray(one.array).view(np.uint8).data)
        elif isinstance(one, np.ndarray):
            total.update(f"array {one.dtype} {one.shape}".encode())
            total.update(np.ascontiguousarray(one).view(np.uint8).data)
        else:
            total.update(f"plain {json.dumps(one, sort_keys=True)}".encode())
    return total.hexdigest()
