"""How the noise of a CT looks: its deviation in the liver, how far it reaches, and its spectrum.

Noise is measured in the liver without tumour, on what is left after a local mean is taken away. Vessels, which a mean
does not remove, are found by a robust threshold on the smoothed rest and left out. Only voxels that were never
resampled hold true noise: on a resampled scan the figures say what resampling left of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from MeWMLib.core.volume import centred_grid
from MeWMLib.perception.deposits import local_mean
from MeWMLib.perception.preprocess import isotropic_geometry, resample

#: From the border of the liver and from tumour: partial volumes and perfused rims.
MARGIN_MM = 3.0
#: The local mean, in plane: longer than noise, shorter than the liver's gradients.
MEAN_MM = 8.0
#: Vessels stand out of the rest smoothed by this, by this many robust deviations.
VESSEL_MM, VESSEL_DEVIATIONS = 2.0, 3.0
#: Autocovariance is taken to this distance; the spectrum's resolution follows from it.
REACH_MM = 12.0
#: Bands of the spectrum, cycles/mm: the last one reaches as far as the voxels let it.
BANDS = ((0.0, 0.15), (0.15, 0.3), (0.3, 0.5), (0.5, np.inf))
BAND_NAMES = (
    "noise_power_0_15_percent",
    "noise_power_15_30_percent",
    "noise_power_30_50_percent",
    "noise_power_50_percent",
)
#: Less liver than this is no sample.
ENOUGH_ML = 2.0
#: Median absolute deviation to standard deviation, of a normal distribution.
MAD = 1.4826

Mask = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Spacing = tuple[float, float, float]


def noise_look(hu: NDArray[Any], liver: Mask, tumour: Mask, spacing: Spacing) -> dict[str, float]:
    """Noise in the liver.

    `noise_sd_hu`: deviation on the voxels given (by the median absolute deviation); `noise_sd_1mm_hu`: the same after
    linear resampling to 1 mm cubes, as the treated patch has them. `noise_half_mm`: distance in plane at which the
    autocorrelation falls to a half; `noise_slice_1`: autocorrelation with the next slice; `noise_power_..._percent`:
    share of the power in plane in each of `BANDS` (15 is 0.15 cycles/mm); `noise_ml`: of liver that was used.

    Args:
        hu: (K, J, I).
        liver, tumour: (K, J, I); the tumour may be inside the liver or beside it.
        spacing: mm (k, j, i).

    Returns:
        Name to number; NaN where less than `ENOUGH_ML` of liver is left.
    """
    rest, where = liver_noise(hu, liver, tumour, spacing)
    ml = float(where.sum()) * float(np.prod(spacing)) / 1000
    names = ("noise_sd_hu", "noise_sd_1mm_hu", "noise_half_mm", "noise_slice_1", *BAND_NAMES)
    if ml < ENOUGH_ML:
        return {"noise_ml": ml, **dict.fromkeys(names, float("nan"))}
    covariance = autocovariance(rest, where, spacing[1:])
    both = where[1:] & where[:-1]
    deviation = robust_deviation(rest[where])
    slices = float((rest[1:] * rest[:-1])[both].mean() / (rest[where] ** 2).mean()) if both.any() else float("nan")
    measured = (deviation, _on_cubes(hu, liver, tumour, spacing), half_width(covariance, spacing[1:]), slices)
    return {"noise_ml": ml, **dict(zip(names, (*measured, *band_powers(covariance, spacing[1:])), strict=True))}


def liver_noise(hu: NDArray[Any], liver: Mask, tumour: Mask, spacing: Spacing) -> tuple[FloatArray, Mask]:
    """Noise (HU, 0 outside) and where it is measured, both (K, J, I)."""
    where = parenchyma(liver, tumour, spacing)
    if not where.any():
        return np.zeros(hu.shape, np.float32), where
    box = ndimage.find_objects(where.astype(np.uint8))[0]
    image, inside = hu[box].astype(np.float32), where[box]
    inplane = [0.0, *(MEAN_MM / s for s in spacing[1:])]
    # bounded first: a deposit of 3,000 HU would lie in the mean of everything near it
    middle, spread = float(np.median(image[inside])), robust_deviation(image[inside])
    bounded = np.clip(image, middle - 4 * spread, middle + 4 * spread)
    rest = bounded - local_mean(bounded, inside, inplane)
    smooth = local_mean(rest, inside, [0.5, *(VESSEL_MM / s for s in spacing[1:])])
    apart = np.abs(smooth - np.median(smooth[inside])) > VESSEL_DEVIATIONS * robust_deviation(smooth[inside])
    # the mean above takes the borders of a vessel under the threshold
    radius = [int(np.ceil(VESSEL_MM / s)) for s in spacing[1:]]
    disc = np.hypot.outer(*(np.arange(-r, r + 1) * s for r, s in zip(radius, spacing[1:], strict=True))) <= VESSEL_MM
    kept = inside & ~ndimage.binary_dilation(apart, disc[None])
    rest = np.where(kept, image - local_mean(image, kept, inplane), 0).astype(np.float32)
    noise, used = np.zeros(hu.shape, np.float32), np.zeros(hu.shape, bool)
    noise[box], used[box] = rest, kept
    return noise, used


def parenchyma(liver: Mask, tumour: Mask, spacing: Spacing) -> Mask:
    """Liver (K, J, I) at least `MARGIN_MM` from its border and from tumour; where the scan ends is no border."""
    whole = liver | tumour
    if not whole.any():
        return np.zeros(liver.shape, bool)
    box = tuple(slice(max(0, s.start - 2), s.stop + 2) for s in ndimage.find_objects(whole.astype(np.uint8))[0])
    free = whole[box] & ~tumour[box]
    found = np.zeros(liver.shape, bool)
    if free.all():
        found[box] = free
    else:
        found[box] = ndimage.distance_transform_edt(free, sampling=spacing) > MARGIN_MM
    return found


def robust_deviation(values: NDArray[Any]) -> float:
    """Standard deviation by the median absolute deviation."""
    return MAD * float(np.median(np.abs(values - np.median(values))))


def autocovariance(values: FloatArray, mask: Mask, spacing: Sequence[float]) -> NDArray[np.float64]:
    """Autocovariance in plane over the pairs of voxels that both are in the mask, all slices together.

    Args:
        values: (K, J, I), 0 outside of the mask.
        mask: the same shape.
        spacing: mm (j, i).

    Returns:
        (2 N + 1, 2 M + 1), lag 0 in the middle, to `REACH_MM`; 0 where there is no pair.
    """
    reach = [max(1, min(int(REACH_MM / s), n - 1)) for s, n in zip(spacing, values.shape[1:], strict=True)]
    size = [fft.next_fast_len(n + r, real=True) for n, r in zip(values.shape[1:], reach, strict=True)]
    total, pairs = np.zeros(size), np.zeros(size)
    for k in np.flatnonzero(mask.any((1, 2))):
        for sums, image in ((total, values[k]), (pairs, mask[k])):
            sums += fft.irfft2(np.abs(fft.rfft2(image.astype(np.float64), size)) ** 2, size)
    shift = [np.arange(-r, r + 1) for r in reach]
    total, pairs = total[np.ix_(*shift)], np.rint(pairs[np.ix_(*shift)])
    return np.asarray(np.where(pairs > 0, total / np.maximum(pairs, 1), 0))


def half_width(covariance: NDArray[np.float64], spacing: Sequence[float]) -> float:
    """Distance (mm) at which the autocorrelation along rows and columns falls to a half; NaN if it does not."""
    middle = [n // 2 for n in covariance.shape]
    distances = []
    for axis, step in enumerate(spacing):
        line = np.moveaxis(covariance, axis, 0)[middle[axis] :, middle[1 - axis]] / covariance[tuple(middle)]
        below = np.flatnonzero(line < 0.5)
        if not len(below):
            return float("nan")
        after = int(below[0])
        part = (line[after - 1] - 0.5) / (line[after - 1] - line[after])
        distances.append((after - 1 + part) * step)
    return float(np.mean(distances))


def band_powers(covariance: NDArray[np.float64], spacing: Sequence[float]) -> list[float]:
    """Percent of the power in each of `BANDS`: the Fourier transform of the windowed autocovariance.

    (Wiener and Khinchin.) A Hann window over the lags keeps the few pairs of far lags from making power of their own.
    """
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in covariance.shape))
    power = np.maximum(np.real(fft.fft2(fft.ifftshift(covariance * window))), 0)
    frequency = np.hypot.outer(*(fft.fftfreq(n, s) for n, s in zip(power.shape, spacing, strict=True)))
    whole = float(power.sum()) or float("nan")
    return [100 * float(power[(frequency >= low) & (frequency < high)].sum()) / whole for low, high in BANDS]


def _on_cubes(hu: NDArray[Any], liver: Mask, tumour: Mask, spacing: Spacing) -> float:
    """Deviation (HU) after linear resampling to 1 mm cubes."""
    source = centred_grid(np.zeros(3), (hu.shape[0], hu.shape[1], hu.shape[2]), np.array(spacing[::-1]))
    target = isotropic_geometry(source)
    image = resample(hu.astype(np.float32), source, target, fill=float(hu.min()))
    organ, lesion = (resample(m.astype(np.uint8), source, target, "nearest", 0) > 0 for m in (liver, tumour))
    rest, where = liver_noise(image, organ, lesion, (1.0, 1.0, 1.0))
    return robust_deviation(rest[where]) if where.any() else float("nan")
