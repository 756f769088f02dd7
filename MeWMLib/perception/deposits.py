"""How Lipiodol looks on a CT: its share of the tumour, its grains, their density, and how far they hang together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

#: What is counted as Lipiodol, and what no enhanced vessel reaches.
LIPIODOL_HU, DENSE_HU = 200.0, 300.0
PERCENTILES = (25, 50, 75, 95, 99)
#: Lags (voxels) at which the autocorrelation in plane is taken.
LAGS = (1, 2, 4)
#: For the autocorrelation: one grain of 3,000 HU must not decide, and a gradient over the tumour is no grain.
CLIP_HU = (0.0, 800.0)
HIGH_PASS_MM = 15.0

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Spacing = tuple[float, float, float]


def lipiodol_look(hu: NDArray[Any], tumour: Mask, spacing: Spacing) -> dict[str, float]:
    """Lipiodol in a tumour, on voxels as they are: `deposit_look`, and how the grain hangs together.

    `acf_plane_1`, `_2`, `_4`, `acf_slice_1`: autocorrelation at so many voxels along rows and columns, or slices, of
    HU that are clipped to `CLIP_HU` and from which a Gaussian mean of `HIGH_PASS_MM` over the tumour is subtracted.

    Args:
        hu: (K, J, I).
        tumour: where to look, (K, J, I).
        spacing: mm (k, j, i).

    Returns:
        Name to number; NaN where there is nothing to measure it on.
    """
    return deposit_look(hu, tumour, spacing) | _grain(hu, tumour, spacing)


def deposit_look(hu: NDArray[Any], tumour: Mask, spacing: Spacing) -> dict[str, float]:
    """Deposits of Lipiodol in a tumour; arguments as for `lipiodol_look`.

    `share_200_percent`, `share_300_percent`: of the tumour's voxels. A blob is a connected component (26 neighbours) of
    voxels at 300 HU and more inside the tumour; `blobs_per_100ml` counts those of two voxels and more,
    `singles_per_100ml` those of one, which noise can make. `diameter_50_mm`, `diameter_95_mm`, `diameter_max_mm`: of
    the ball of a blob's volume, singles left out. `hu_25` to `hu_99`: percentiles of the voxels at 300 HU and more.
    """
    voxel_ml = float(np.prod(spacing)) / 1000
    ml = float(tumour.sum()) * voxel_ml
    nothing = float("nan")
    dense = tumour & (hu >= DENSE_HU)
    sizes = np.bincount(cc3d.connected_components(dense, connectivity=26).ravel())[1:] if dense.any() else np.zeros(0)
    blobs = sizes[sizes > 1] * voxel_ml * 1000
    diameters = np.cbrt(6 * blobs / np.pi)
    found = {
        "tumour_ml": ml,
        "share_200_percent": 100 * float((hu[tumour] >= LIPIODOL_HU).mean()) if ml else nothing,
        "share_300_percent": 100 * float(dense.sum()) * voxel_ml / ml if ml else nothing,
        "blobs_per_100ml": 100 * len(blobs) / ml if ml else nothing,
        "singles_per_100ml": 100 * float((sizes == 1).sum()) / ml if ml else nothing,
        "diameter_50_mm": float(np.median(diameters)) if len(blobs) else nothing,
        "diameter_95_mm": float(np.percentile(diameters, 95)) if len(blobs) else nothing,
        "diameter_max_mm": float(diameters.max()) if len(blobs) else nothing,
    }
    percentiles = np.percentile(hu[dense], PERCENTILES) if dense.any() else [nothing] * len(PERCENTILES)
    found |= {f"hu_{p}": float(v) for p, v in zip(PERCENTILES, percentiles, strict=True)}
    return found


def _grain(hu: NDArray[Any], tumour: Mask, spacing: Spacing) -> dict[str, float]:
    """Autocorrelation of the grain in the tumour."""
    names = [f"acf_plane_{lag}" for lag in LAGS]
    if not tumour.any():
        return dict.fromkeys([*names, "acf_slice_1"], float("nan"))
    box = ndimage.find_objects(tumour.astype(np.uint8))[0]
    mask = tumour[box]
    clipped = np.clip(hu[box], *CLIP_HU).astype(np.float32)
    grain = clipped - local_mean(clipped, mask, [HIGH_PASS_MM / s for s in spacing])
    plane = [float(np.mean([autocorrelation(grain, mask, axis, lag) for axis in (1, 2)])) for lag in LAGS]
    return {**dict(zip(names, plane, strict=True)), "acf_slice_1": autocorrelation(grain, mask, 0, 1)}


def autocorrelation(values: NDArray[Any], mask: Mask, axis: int, lag: int) -> float:
    """Autocorrelation along an axis over the pairs of voxels that both are in the mask; NaN where there are none.

    Args:
        values: (K, J, I).
        mask: the same shape.
        axis: of the array.
        lag: voxels, at least 1.
    """
    size = values.shape[axis]
    if lag >= size or not mask.any():
        return float("nan")
    centred = np.where(mask, values - values[mask].mean(dtype=np.float64), 0.0)
    near, far = (slice(0, size - lag), slice(lag, size))
    at = [tuple(part if n == axis else slice(None) for n in range(3)) for part in (near, far)]
    pairs = int((mask[at[0]] & mask[at[1]]).sum())
    variance = float((centred[mask] ** 2).mean())
    return float((centred[at[0]] * centred[at[1]]).sum() / pairs / variance) if pairs and variance else float("nan")


def local_mean(image: NDArray[Any], mask: Mask, sigma: Sequence[float]) -> FloatArray:
    """Gaussian mean over the voxels of a mask alone; the image's own mean where none is near.

    Args:
        image: (K, J, I).
        mask: the same shape.
        sigma: voxels along each axis; 0 leaves an axis out.
    """
    weight = ndimage.gaussian_filter(mask.astype(np.float32), sigma)
    total = ndimage.gaussian_filter(np.where(mask, image, 0).astype(np.float32), sigma)
    alone = float(image[mask].mean()) if mask.any() else 0.0
    return np.asarray(np.where(weight > 1e-3, total / np.maximum(weight, 1e-3), alone), np.float32)
