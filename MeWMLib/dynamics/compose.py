"""Put a simulated patch back into the full CT: only voxels in the dilated tumour change, all others keep their bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Geometry, LabelMap, Provenance, Volume, in_dtype

DILATION_MM = 6.0


def feather(labels: LabelMap, box: tuple[slice, slice, slice], patch: Geometry) -> NDArray[np.float32]:
    """Blending weight in `box`: 1 in the tumour, falling to 0 at `DILATION_MM` from it, 0 outside the patch.

    Args:
        labels: on the CT's grid.
        box: the part of the grid to compute.
        patch: the treated patch; within 2 mm of its faces the weight falls to 0 as well.

    Returns:
        Array of the box's shape.
    """
    tumour = labels.array[box] == 2
    distance = ndimage.distance_transform_edt(~tumour, sampling=labels.geometry.spacing)
    weight = np.clip(1.0 - distance / DILATION_MM, 0.0, 1.0)
    inside = _patch_places(patch, labels.geometry, box)
    margin = np.minimum(inside, np.array(patch.shape) - 1.0 - inside).min(-1) * min(patch.spacing)
    return np.asarray(weight * np.clip(margin / 2.0, 0.0, 1.0), np.float32)


def _patch_places(patch: Geometry, geometry: Geometry, box: tuple[slice, ...]) -> NDArray[np.float64]:
    """Where the voxels of `geometry` in `box` are in the patch, in its voxels (k, j, i, 3)."""
    index = np.stack(np.meshgrid(*[np.arange(s.start, s.stop) for s in box], indexing="ij"), -1)
    return patch.to_kji(geometry.to_ras(index))


def patch_box(geometry: Geometry, patch: Geometry) -> tuple[slice, slice, slice]:
    """The voxels of `geometry` that the patch can reach (at least one voxel)."""
    corners = np.stack(np.meshgrid(*[(0, n - 1) for n in patch.shape], indexing="ij"), -1).reshape(-1, 3)
    index = geometry.to_kji(patch.to_ras(corners))
    low = np.clip(np.floor(index.min(0)).astype(int), 0, np.array(geometry.shape) - 1)
    high = np.clip(np.ceil(index.max(0)).astype(int) + 1, low + 1, geometry.shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]


def sample_patch(
    values: NDArray[np.float32], patch: Geometry, geometry: Geometry, box: tuple[slice, slice, slice]
) -> NDArray[np.float32]:
    """Values of a patch (K, J, I) at the voxels of `geometry` in `box`, linearly interpolated, 0 outside the patch."""
    points = _patch_places(patch, geometry, box)
    return np.asarray(ndimage.map_coordinates(values, np.moveaxis(points, -1, 0), order=1, mode="constant", cval=0.0))


def compose(
    ct: Volume,
    labels: LabelMap,
    change_hu: NDArray[np.float32],
    patch: Geometry,
    provenance: Provenance,
    untreated: NDArray[np.bool_] | None = None,
) -> Volume:
    """Add a change of HU, given on the patch, to the CT.

    Args:
        ct: the pre-treatment CT.
        labels: on the same grid; the tumour that was treated.
        change_hu: (K, J, I) on `patch`, simulated minus before.
        patch: grid of the treated patch.
        provenance: marks the result as simulated.
        untreated: (K, J, I) tumour that is not treated: it keeps its bits even where treated tumour is near.

    Returns:
        A volume with the CT's geometry and dtype; bit-identical to it wherever the dilated tumour's weight is 0.
    """
    box = patch_box(ct.geometry, patch)
    weight = feather(labels, box, patch)
    if untreated is not None:
        weight[untreated[box]] = 0.0
    change = sample_patch(change_hu, patch, ct.geometry, box) * weight
    out = ct.array.copy()
    part = out[box]
    touched = weight > 0
    new = part.astype(np.float32)[touched] + change[touched]
    part[touched] = in_dtype(new, ct.array.dtype)
    return ct.with_array(out, provenance)
