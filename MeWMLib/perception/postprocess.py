"""Clean labels after a network: one liver, no tumour outside of it, no specks."""

from __future__ import annotations

import cc3d
import numpy as np
from scipy import ndimage

from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, LabelMap

#: 300 voxels of 0.8 x 0.8 x 3.0 mm, the smallest lesion that is kept.
MINIMUM_LESION_ML = 300 * 0.8 * 0.8 * 3.0 / 1000.0


def clean(labels: LabelMap, minimum_ml: float = MINIMUM_LESION_ML) -> LabelMap:
    """Remove what cannot be.

    Tumour counts as liver. Holes of the liver are filled, its largest component is kept, and with it every tumour that
    touches it; all else becomes background. Tumour components under `minimum_ml` become liver. Labels without any liver
    (a segmentation of tumours only) keep their tumours wherever they lie, and small ones become background.

    Args:
        labels: (K, J, I) with 0, 1, 2.
        minimum_ml: smallest volume of a lesion.

    Returns:
        New labels on the same grid.
    """
    array = labels.array.copy()
    if not labels.liver.any():
        return labels.with_array(array)
    instead = BACKGROUND
    if (array == LIVER).any():
        box = ndimage.find_objects(labels.liver.astype(np.uint8))[0]  # a hole lies inside the box of the liver
        liver = ndimage.binary_fill_holes(labels.liver[box])
        liver = cc3d.largest_k(liver, k=1, connectivity=26) > 0
        inside = array[box]
        inside[liver & (inside == BACKGROUND)] = LIVER
        inside[~liver] = BACKGROUND
        instead = LIVER
    components = cc3d.connected_components(array == TUMOUR, connectivity=26)
    volumes_ml = np.bincount(components.ravel()) * labels.geometry.voxel_ml
    # a volume of exactly the minimum stays, whatever the rounding of the spacing
    small = volumes_ml < minimum_ml * (1 - 1e-6)
    small[0] = False
    array[small[components]] = instead
    return labels.with_array(array)
