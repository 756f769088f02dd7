"""How the patient lies in a scan, seen in the image alone: middle of the body, spine, lungs. No header is trusted.

Each answer is None where too little of the body is visible to tell.
"""
# mypy: allow-untyped-calls
# scipy carries no types.

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Volume
from MeWMLib.perception.preprocess import box_geometry, resample

#: Voxels (k, j, i) that the body is looked at with.
_SPACING_MM = (6.0, 4.0, 4.0)
#: A body that is narrower (left to right) or flatter (front to back) was not seen whole.
_WIDTH_MM, _DEPTH_MM = 200.0, 120.0
#: Share of the body's greatest height that its outermost columns may have.
_CUT_SHARE = 0.35
_BONE_HU, _LUNG_HU = 250.0, -600.0
_MIN_BONE_ML, _MIN_LUNG_ML = 15.0, 400.0


@dataclass(frozen=True)
class Trunk:
    """Where parts of the trunk are, by the axes that the header gives; RAS mm.

    Attributes:
        middle_right: coordinate R of the middle between left and right side of the body.
        spine_behind_mm: how far the spine is behind the middle of the body; negative: the scan shows it in front.
        lung_above_share: share of the lungs' air in the upper half of the scan, 0 to 1.
    """

    middle_right: float | None = None
    spine_behind_mm: float | None = None
    lung_above_share: float | None = None

    @classmethod
    def of(cls, ct: Volume) -> Trunk:
        """Look for it in a CT."""
        grid = box_geometry(ct.geometry, _SPACING_MM)
        hu = resample(np.clip(ct.array, -1024, 1500).astype(np.float32), ct.geometry, grid)
        body = _body(hu)
        if body is None:
            return cls()
        columns, rows = body.sum((0, 1)), body.any((0, 2))
        # a body that reaches the border with a broad side goes on beyond it; one that was cropped to only touches it
        cut = max(columns[0], columns[-1]) > _CUT_SHARE * columns.max()
        if cut or np.count_nonzero(columns) * _SPACING_MM[2] < _WIDTH_MM or rows.sum() * _SPACING_MM[1] < _DEPTH_MM:
            return cls()
        middle = _middle(body)
        right = float(grid.to_ras((0, 0, middle))[0])
        voxel_ml = grid.voxel_ml
        return cls(right, _spine(hu, body, middle, voxel_ml), _lungs(hu, body, voxel_ml))


def _body(hu: NDArray[Any]) -> NDArray[np.bool_] | None:
    """The largest solid piece, holes filled slice by slice; table and clothes fall away."""
    solid = np.stack([ndimage.binary_opening(one, iterations=2) for one in hu > -300])
    pieces, count = ndimage.label(solid)
    if not count:
        return None
    largest = pieces == 1 + int(np.argmax(np.bincount(pieces.ravel())[1:]))
    return np.stack([ndimage.binary_fill_holes(one) for one in largest])


def _middle(body: NDArray[np.bool_]) -> float:
    """Median over the slices of the middle column of the body."""
    middles = []
    for one in body:
        columns = np.flatnonzero(one.any(axis=0))
        if len(columns):
            middles.append((columns[0] + columns[-1]) / 2)
    return float(np.median(middles))


def _spine(hu: NDArray[Any], body: NDArray[np.bool_], middle: float, voxel_ml: float) -> float | None:
    """How far behind the middle of the body the bone about its middle is."""
    low, high = max(int(middle - 36 / _SPACING_MM[2]), 0), int(middle + 36 / _SPACING_MM[2]) + 1
    bone = (hu[:, :, low:high] > _BONE_HU) & body[:, :, low:high]
    if bone.sum() * voxel_ml < _MIN_BONE_ML:
        return None
    behind = []
    for one, drawn in zip(body, bone, strict=True):
        if drawn.any():
            rows = np.flatnonzero(one.any(axis=1))
            places = np.flatnonzero(drawn.any(axis=1))
            weights = drawn.sum(axis=1)[places]
            behind.append(float(np.average(places, weights=weights)) - (rows[0] + rows[-1]) / 2)
    return float(np.median(behind)) * _SPACING_MM[1]


def _lungs(hu: NDArray[Any], body: NDArray[np.bool_], voxel_ml: float) -> float | None:
    """Share of the air inside the body that is in the upper half of the slices."""
    air = ((hu < _LUNG_HU) & body).sum(axis=(1, 2)) * voxel_ml
    if air.sum() < _MIN_LUNG_ML:
        return None
    return float(air[len(air) // 2 :].sum() / air.sum())
