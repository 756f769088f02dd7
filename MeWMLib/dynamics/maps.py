"""Maps of a tumour on the latent grid: what a treatment's reach depends on, made explicit for the denoiser.

How much of a tumour dies is a number; which part dies depends on where a block is in the tumour and how it is
perfused. Perfusion shows as enhancement relative to other tissue at the same depth (a capsule is bright, or a necrotic
core dark, all around). `order` and `place` rank the blocks of a tumour by how early they die, and by how well
Lipiodol stays there; "the first 60 % to die" is then order > 0.4. Their weights are fitted on training pairs
(`lab/training/fate.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float32]

#: Channels of `tumour_maps`: share of tumour, share of liver, depth, rank of the depth, rank of the brightness,
#: enhancement at the same depth, the same smoothed, order of death, place of Lipiodol.
MASKS = 9
#: The first of them, which describe the tumour itself.
TRAIT_MASKS = 5
#: Blocks with less tumour than this do not count as tumour.
TOUCHED = 0.02
#: A lesion of fewer blocks has no curve of brightness over depth of its own.
_FEW = 12


def tumour_maps(
    brightness: NDArray[Any], shares: NDArray[Any], hu_scale: float = 1.0, fate: Sequence[float] = ()
) -> FloatArray:
    """Maps that are inputs of the denoiser.

    Args:
        brightness: (d, h, w) first channel of the latent before treatment (the mean of each block).
        shares: (2, d, h, w) share of tumour and of liver in each block.
        hu_scale: factor that makes a brightness a multiple of 10 HU near the liver's density; its sign counts.
        fate: weights of depth and enhancement in the order of death, then in the place of Lipiodol (4); without them
            order and place are 0.

    Returns:
        (MASKS, d, h, w): the shares; depth below the tumour's surface over its largest depth; rank 0..1 of the depth
        and of the brightness among the blocks of a lesion; enhancement (multiples of 10 HU, within -4..4), and
        smoothed; ranks 0..1 of order and place. Maps are 0 outside.
    """
    shares = np.asarray(shares, np.float32)
    tumour = shares[0] > TOUCHED
    out = np.zeros((MASKS, *shares.shape[1:]), np.float32)
    out[:2] = shares
    if not tumour.any():
        return out
    # twice as fine as the blocks, so that small tumours have a depth too
    fine = ndimage.zoom(np.pad(shares[0], 1), 2, order=1, grid_mode=True, mode="grid-constant") > 0.5
    depth = ndimage.distance_transform_edt(fine)
    n = depth.shape
    depth = depth.reshape(n[0] // 2, 2, n[1] // 2, 2, n[2] // 2, 2).mean((1, 3, 5))[1:-1, 1:-1, 1:-1]
    light = np.asarray(brightness, np.float32)
    components, count = ndimage.label(tumour, np.ones((3, 3, 3)))
    lesions = [components == k for k in range(1, count + 1)]
    for here in lesions:
        out[2][here] = depth[here] / max(float(depth[here].max()), 0.5)
        out[3][here] = _ranks(depth[here] + 1e-3 * shares[0][here])
        out[4][here] = _ranks(light[here])
        out[5][here] = np.clip(hu_scale * _beside_depth(light[here], out[2][here], shares[0][here]), -4, 4)
    out[6] = _smoothed(out[5], np.where(tumour, shares[0], 0.0))
    if len(fate):
        for here in lesions:
            out[7][here] = _ranks(fate[0] * out[2][here] + fate[1] * out[6][here])
            out[8][here] = _ranks(fate[2] * out[2][here] + fate[3] * out[6][here])
    return out


def _beside_depth(light: FloatArray, depth: FloatArray, share: FloatArray) -> FloatArray:
    """Brightness less what other blocks of the lesion at the same depth have (a running median over the depth)."""
    whole = share > 0.6
    if whole.sum() < _FEW:
        return np.asarray(light - np.median(light[whole] if whole.any() else light), np.float32)
    order = np.argsort(depth[whole], kind="stable")
    middle = ndimage.median_filter(light[whole][order], max(15, int(whole.sum()) // 12), mode="nearest")
    return np.asarray(light - np.interp(depth, depth[whole][order], middle), np.float32)


def _smoothed(values: FloatArray, weight: NDArray[Any], sigma: float = 0.8) -> FloatArray:
    """Gaussian mean of neighbouring blocks of the tumour, since noise in single blocks hides the perfusion."""
    total = ndimage.gaussian_filter(weight, sigma)
    mean = ndimage.gaussian_filter(values * weight, sigma) / np.maximum(total, 1e-3)
    return np.asarray(np.where(weight > 0, mean, 0.0), np.float32)


def _ranks(values: NDArray[Any]) -> FloatArray:
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray((order + 0.5) / len(values), np.float32)
