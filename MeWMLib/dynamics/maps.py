"""Maps of a tumour on the latent grid: what a treatment's reach depends on, made plain for the denoiser.

How much of a tumour dies is a number; which part dies depends on where a block lies in the tumour and how it is
perfused. Ranks inside the tumour turn the one into the other: "the deepest 60 %" is rank > 0.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float32]

#: Channels of `masks`: share of tumour, share of liver, depth, rank of the depth, rank of the brightness.
MASKS = 5


def tumour_maps(brightness: NDArray[Any], shares: NDArray[Any]) -> FloatArray:
    """Masks that the denoiser sees.

    Args:
        brightness: (d, h, w) first channel of the latent before treatment (the mean of each block; its sign is free).
        shares: (2, d, h, w) share of tumour and of liver in each block.

    Returns:
        (5, d, h, w): the shares; depth below the tumour's surface over its largest depth; rank 0..1 of the depth and
        of the brightness among the blocks of the tumour. Maps are 0 outside.
    """
    shares = np.asarray(shares, np.float32)
    tumour = shares[0] > 0.02
    out = np.zeros((MASKS, *shares.shape[1:]), np.float32)
    out[:2] = shares
    if not tumour.any():
        return out
    # twice as fine as the blocks, so that small tumours have a depth too
    fine = ndimage.zoom(np.pad(shares[0], 1), 2, order=1, grid_mode=True, mode="grid-constant") > 0.5
    depth = ndimage.distance_transform_edt(fine)
    n = depth.shape
    depth = depth.reshape(n[0] // 2, 2, n[1] // 2, 2, n[2] // 2, 2).mean((1, 3, 5))[1:-1, 1:-1, 1:-1]
    components, count = ndimage.label(tumour, np.ones((3, 3, 3)))
    for k in range(1, count + 1):
        here = components == k
        out[2][here] = depth[here] / max(float(depth[here].max()), 0.5)
        out[3][here] = _ranks(depth[here] + 1e-3 * shares[0][here])
        out[4][here] = _ranks(np.asarray(brightness, np.float32)[here])
    return out


def _ranks(values: NDArray[Any]) -> FloatArray:
    order = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return np.asarray((order + 0.5) / len(values), np.float32)
