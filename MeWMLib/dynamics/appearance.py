"""How a tumour looks before treatment, as some sixty numbers from which the response head predicts its response.

How well a tumour is perfused shows as enhancement, and enhancement means something only relative to the liver of the
same scan (contrast and phase differ) and to other tissue at the same depth (rim and middle of one tumour differ). These
numbers make both comparisons explicit. A convolutional network had to find them by itself, and with a few thousand
patients it did not: it memorised the patients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.dynamics.maps import TOUCHED

FloatArray = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Depths below the surface, as shares of the largest one, at which the enhancement is described.
DEPTHS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
_APART = 0.2
_PERCENTILES = (5, 25, 50, 75, 95)
#: At a depth with less of the tumour than this share, the value is drawn towards that of the whole tumour.
_FEW = 0.02
#: Blocks with more tumour than this count as whole; a tumour with fewer than `_SMALL` of them uses half ones too.
_WHOLE, _SMALL = 0.95, 8


def features(channels: int) -> int:
    """How many numbers `appearance` gives for a latent of so many channels."""
    return 1 + channels + 3 * len(DEPTHS) + 3 + len(_PERCENTILES) + 3 + 2 + 12


def appearance(before: NDArray[Any], shares: NDArray[Any], depth: NDArray[Any], spacing_mm: float) -> FloatArray:
    """Describe a tumour.

    Args:
        before: (C, d, h, w) latent before treatment; the first channel is the mean of each block, and all brightness
            below is in its unit, less the median of the liver's blocks.
        shares: (2, d, h, w) share of tumour and of liver in each block.
        depth: (d, h, w) depth map (`maps.tumour_maps`, channel 2).
        spacing_mm: voxel size of the patch.

    Returns:
        (F,): mean brightness and deviation of each channel in whole blocks of the tumour; brightness, its deviation
        and the share of the tumour at each of `DEPTHS`; deviation of the step between neighbours along each axis;
        percentiles; deviation and two percentiles after smoothing; brightness of the rim and of the liver beside it;
        shape (size, voxel size, surface, parts, largest part, thickness, elongation twice, share of the bounding box),
        median and deviation of the liver, share of whole blocks. All finite; zeros without a tumour.
    """
    latent = np.array(before, np.float32)
    tumour, liver = np.asarray(shares[0], np.float32), (shares[1] > 0.99) & (shares[0] <= TOUCHED)
    if not (tumour > 0).any():
        return np.zeros(features(len(latent)), np.float32)
    middle, deviation = _middle(latent[0][liver])
    latent[0] -= middle
    light = latent[0]
    whole = tumour > _WHOLE
    if whole.sum() < _SMALL:
        whole = tumour > min(0.5, 0.7 * float(tumour.max()))
    weight = whole.astype(np.float32)
    total = max(float(weight.sum()), 1.0)
    mean = (latent * weight).sum((1, 2, 3)) / total
    rms = np.sqrt(((latent - mean[:, None, None, None]) ** 2 * weight).sum((1, 2, 3)) / total)
    smooth = ndimage.gaussian_filter(light * weight, 1.0) / np.maximum(ndimage.gaussian_filter(weight, 1.0), 1e-3)
    beside = ndimage.binary_dilation(tumour > TOUCHED) & liver
    parts: list[Any] = [
        [mean[0]],
        rms,
        *(_at_depth(light, weight * np.clip(1 - np.abs(depth - d) / _APART, 0, 1), mean[0], total) for d in DEPTHS),
        [_step(light, whole, axis) for axis in range(3)],
        np.percentile(light[whole], _PERCENTILES),
        [smooth[whole].std(), *np.percentile(smooth[whole], (5, 95))],
        [_mean(light[(tumour > TOUCHED) & ~whole]), _mean(light[beside])],
        [np.log(tumour.sum() + 1e-3), np.log(spacing_mm), *_shape(tumour), middle, deviation],
        [whole.sum() / _solid(tumour).sum()],
    ]
    return np.nan_to_num(np.concatenate([np.ravel(p) for p in parts])).astype(np.float32)


def _middle(values: FloatArray) -> tuple[float, float]:
    """Median and deviation (from the median of the distances: vessels are few and bright); 0 without values."""
    if not len(values):
        return 0.0, 0.0
    middle = float(np.median(values))
    return middle, 1.48 * float(np.median(np.abs(values - middle)))


def _mean(values: FloatArray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _at_depth(light: FloatArray, weight: FloatArray, mean: float, total: float) -> list[float]:
    """Brightness, its deviation and the share of the tumour, weighted by `weight`."""
    held, few = float(weight.sum()), _FEW * total
    middle = (float((light * weight).sum()) + few * mean) / (held + few)
    return [middle, float(np.sqrt(((light - middle) ** 2 * weight).sum() / (held + few))), held / total]


def _step(light: FloatArray, whole: Mask, axis: int) -> float:
    """Deviation of the difference of two neighbours along an axis, both wholly tumour."""
    n = whole.shape[axis]
    both = whole.take(range(1, n), axis) & whole.take(range(n - 1), axis)
    steps = np.diff(light, axis=axis)[both]
    return float(steps.std()) if len(steps) > 1 else 0.0


def _solid(tumour: FloatArray) -> Mask:
    half = tumour > 0.5
    return half if half.any() else tumour > 0


def _shape(tumour: FloatArray) -> list[float]:
    """Surface, parts, largest part, thickness, elongation, flatness, share of the bounding box; whatever the size."""
    solid = np.pad(_solid(tumour), 1)
    count = float(solid.sum())
    surface = sum(float((np.diff(solid.astype(np.int8), axis=a) != 0).sum()) for a in range(3))
    components, parts = ndimage.label(solid, np.ones((3, 3, 3)))
    largest = float(np.bincount(components.ravel())[1:].max()) / count
    places = np.argwhere(solid)
    lengths = np.sort(np.linalg.eigvalsh(np.cov(places.T) + 0.1 * np.eye(3))) if len(places) > 3 else np.ones(3)
    box = float((np.ptp(places, axis=0) + 1).prod())
    thick = float(ndimage.distance_transform_edt(solid).max())
    return [
        surface / count ** (2 / 3), float(np.log(parts)), largest, float(np.log(thick) - np.log(count) / 3),
        float(np.log(lengths[2] / lengths[0])), float(np.log(lengths[1] / lengths[0])), float(np.log(count / box)),
    ]  # fmt: skip
