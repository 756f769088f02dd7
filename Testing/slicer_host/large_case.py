"""A drawn CT of a size that hospitals make, for what must not take long with one."""

from __future__ import annotations

import numpy as np

from MeWMLib.core.volume import Geometry, LabelMap, Volume


def large_case(slices: int) -> tuple[Volume, LabelMap]:
    """CT with a liver and one lesion of 40 mm, and its labels.

    Args:
        slices: of 512 x 512 voxels of 0.8 x 0.8 x 2.5 mm.
    """
    shape = (slices, 512, 512)
    k, j, i = np.ogrid[: shape[0], : shape[1], : shape[2]]
    middle = min(60, slices // 2)
    liver = ((k - middle) / 40) ** 2 + ((j - 256) / 120) ** 2 + ((i - 200) / 110) ** 2 <= 1
    tumour = ((k - middle) * 2.5) ** 2 + ((j - 256) * 0.8) ** 2 + ((i - 180) * 0.8) ** 2 <= 20.0**2
    ct = np.random.default_rng(0).normal(-500, 15, shape).astype(np.int16)
    ct[liver] += 560
    ct[tumour] += 40
    labels = liver.astype(np.uint8) + (liver & tumour).astype(np.uint8)
    affine = np.array([[-0.8, 0, 0, 200.0], [0, -0.8, 0, 200.0], [0, 0, 2.5, -150.0], [0, 0, 0, 1.0]])
    return Volume(ct, Geometry(shape, affine), "portal"), LabelMap(labels, Geometry(shape, affine))
