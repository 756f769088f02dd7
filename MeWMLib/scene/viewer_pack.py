"""What the report's viewer shows: the volumes of a plan, cut to the liver, as the page holds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.plan_folder import KeptCandidate
from MeWMLib.core.volume import Geometry, LabelMap, Volume
from MeWMLib.scene.colours import round_limit
from MeWMLib.scene.target import find_target
from MeWMLib.scene.volume_code import base64_text, coded

#: What is shown around the liver, mm.
MARGIN_MM = 20.0
#: A page with its pictures stays under 25 MB; these are the volumes' characters in it.
MOST_CHARACTERS = 20_000_000
#: A deviation is told in half HU.
DEVIATION_STEP_HU = 0.5
#: Ranges of voxels (k, j, i), and of every which one is taken.
Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class Packed:
    """Volumes for the viewer.

    Attributes:
        header: what they are, ready for JSON (`viewer/decode.js` reads it).
        blobs: gzip-compressed voxels in base64, by the names that the header has.
        notes: what a reader must know of them: that voxels were left out.
    """

    header: dict[str, Any]
    blobs: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def characters(self) -> int:
        """How much of the page they take."""
        return sum(map(len, self.blobs.values()))


def pack(
    before: Volume,
    labels: LabelMap,
    outcomes: Sequence[KeptCandidate],
    near: Sequence[float] | None = None,
    most: int = MOST_CHARACTERS,
) -> Packed:
    """Pack the volumes of a plan.

    The box around the liver, with a margin, holds every voxel that an outcome changes. A CT of whole numbers keeps its
    HU exactly; one with fractions is kept in float32. An outcome is told by its difference from the CT in the box in
    which it differs. What takes more room than `most` is thinned out: every second voxel along the axis on which they
    lie closest, and again, as far as it takes; those that are kept have the HU of the files.

    Args:
        before: the CT before treatment.
        labels: liver and tumour on it.
        outcomes: simulated volumes, best first; on its grid.
        near: the lesion nearest to this point (RAS mm) is where the viewer begins; the largest one without it.
        most: characters of base64 that the voxels may take.
    """
    changes = [_changed(before.array, one.ct.array) for one in outcomes]
    box = _around(labels, changes)
    steps = [1, 1, 1]
    while True:
        cut = _thinned(box, steps)
        packed = _pack(before, labels, outcomes, changes, cut, near)
        if packed.characters <= most or packed.header["shape"] == (1, 1, 1):
            return packed
        apart = np.multiply(before.geometry.spacing, steps)
        steps[int(np.argmin(apart))] *= 2


def _pack(
    before: Volume,
    labels: LabelMap,
    outcomes: Sequence[KeptCandidate],
    changes: Sequence[Box | None],
    cut: Box,
    near: Sequence[float] | None,
) -> Packed:
    blobs: dict[str, str] = {}

    def put(name: str, array: NDArray[Any]) -> dict[str, Any]:
        code, data = coded(array)
        blobs[name] = base64_text(data)
        return {"blob": name, "code": code}

    exact = _is_whole([before, *(one.ct for one in outcomes)])
    kind = np.dtype(np.int16 if exact else np.float32)
    ct = before.array[cut].astype(kind)
    steps = [side.step for side in cut]
    target = find_target(labels, near)
    header: dict[str, Any] = {
        "shape": ct.shape,
        "affine": _affine(before.geometry, cut).ravel().tolist(),
        "start": [side.start for side in cut],
        "step": steps,
        "target": target.centre,
        "before": put("before", ct),
        "labels": put("labels", labels.array[cut].astype(np.uint8)),
        "outcomes": [],
    }
    for one, change in zip(outcomes, changes, strict=True):
        rank = one.candidate.rank
        inner = _inner(change, cut)
        shown = one.ct.array[cut].astype(kind)
        entry: dict[str, Any] = {
            "rank": rank,
            "seed": None if one.ct.simulated is None else one.ct.simulated.seed,
            "labels": put(f"labels{rank}", one.labels.array[cut].astype(np.uint8)),
            "difference": _limit(before, one, change),
        }
        if inner is not None:
            part = shown[inner] - ct[inner] if exact else shown[inner]
            entry["ct"] = put(f"ct{rank}", part) | {"box": _corners(inner), "adds": exact}
        if one.sd is not None and (inner := _nonzero(one.sd.array[cut])) is not None:
            sd = one.sd.array[cut][inner]
            halves = np.clip(np.rint(sd / DEVIATION_STEP_HU), 0, np.iinfo(np.int16).max).astype(np.int16)
            entry["sd"] = put(f"sd{rank}", halves) | {"box": _corners(inner), "unit": DEVIATION_STEP_HU}
            entry["deviation"] = round_limit(sd[sd > 0])
        header["outcomes"].append(entry)
    notes: tuple[str, ...] = ()
    if max(steps) > 1:
        apart = np.multiply(before.geometry.spacing, steps)
        kept = " x ".join(f"{n:.3g}" for n in apart[::-1])
        notes = (f"The scan is too large for a page: the viewer has a voxel for every {kept} mm; none is averaged.",)
    return Packed(header, blobs, notes)


def _changed(before: NDArray[Any], after: NDArray[Any]) -> Box | None:
    """The box of the voxels that differ, slice by slice, so that no mask of a whole scan is held; None for none."""
    low, high = np.array(before.shape), np.zeros(3, int)
    for k, (one, other) in enumerate(zip(before, after, strict=True)):
        rows = (one != other).nonzero()
        if len(rows[0]):
            low = np.minimum(low, (k, rows[0].min(), rows[1].min()))
            high = np.maximum(high, (k + 1, rows[0].max() + 1, rows[1].max() + 1))
    return _box(low, high) if (high > 0).all() else None


def _nonzero(array: NDArray[Any]) -> Box | None:
    return _changed(np.zeros((1, 1, 1), array.dtype).repeat(len(array), 0), array)


def _around(labels: LabelMap, changes: Sequence[Box | None]) -> Box:
    """The box around liver, tumour and everything that changes, with a margin; the whole scan where there is none."""
    shape = np.array(labels.geometry.shape)
    boxes = [one for one in (_nonzero(labels.array), *changes) if one is not None]
    if not boxes:
        return _box(np.zeros(3, int), shape)
    margin = np.ceil(MARGIN_MM / np.array(labels.geometry.spacing)).astype(int)
    low = np.min([[side.start for side in one] for one in boxes], axis=0) - margin
    high = np.max([[side.stop for side in one] for one in boxes], axis=0) + margin
    return _box(np.maximum(low, 0), np.minimum(high, shape))


def _thinned(box: Box, steps: Sequence[int]) -> Box:
    k, j, i = (slice(side.start, side.stop, step) for side, step in zip(box, steps, strict=True))
    return k, j, i


def _inner(change: Box | None, cut: Box) -> Box | None:
    """A box of the scan among the voxels that were cut out of it; it may lie between those that are kept."""
    if change is None:
        return None
    low = [-(-(side.start - c.start) // c.step) for side, c in zip(change, cut, strict=True)]
    high = [-(-(side.stop - c.start) // c.step) for side, c in zip(change, cut, strict=True)]
    return _box(np.array(low), np.array(high)) if (np.array(low) < high).all() else None


def _affine(geometry: Geometry, cut: Box) -> NDArray[np.float64]:
    """From (i, j, k) of what was cut out to RAS mm; thinned out, it may be coarser than any scan."""
    affine = np.array(geometry.affine)
    affine[:3, 3] = geometry.to_ras([side.start for side in cut])
    affine[:3, :3] *= [side.step for side in reversed(cut)]
    return affine


def _is_whole(volumes: Sequence[Volume]) -> bool:
    """True if every voxel is a whole number that fits into 16 bits."""
    limits = np.iinfo(np.int16)
    for one in volumes:
        for plane in one.array:
            if plane.min() < limits.min or plane.max() > limits.max:
                return False
            if plane.dtype.kind == "f" and (plane != np.rint(plane)).any():
                return False
    return True


def _limit(before: Volume, one: KeptCandidate, change: Box | None) -> float:
    if change is None:
        return round_limit(np.zeros(0))
    apart = np.subtract(one.ct.array[change], before.array[change], dtype=np.float32)
    return round_limit(apart[apart != 0])


def _box(low: NDArray[Any], high: NDArray[Any]) -> Box:
    k, j, i = (slice(int(a), int(b), 1) for a, b in zip(low, high, strict=True))
    return k, j, i


def _corners(box: Box) -> list[list[int]]:
    return [[side.start, side.stop] for side in box]
