"""The outline of the tumour after treatment, from the shares of coarse maps, on the voxels of the scan."""

from __future__ import annotations

import cc3d
import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.coarse_maps import OutcomeMaps
from MeWMLib.core.errors import GeometryError
from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap
from MeWMLib.rendering.grains import FloatArray
from MeWMLib.rendering.scan_estimate import Box
from MeWMLib.rendering.upsampling import upsampled

Mask = NDArray[np.bool_]
#: A voxel of so much tumour is tumour; smoothing lowers the share in lesions of few cubes, so that in each the share
#: is lowered to where its volume is that of the map, but no further than to this.
SHARE, LEAST_SHARE = 0.5, 0.08


def labels_after(labels: LabelMap, box: Box, weight: FloatArray, maps: OutcomeMaps) -> LabelMap:
    """Labels after treatment.

    Where the weight is above 0 and the liver is (its tumour included), a voxel is tumour if its smooth share is high
    enough, and liver else. All other labels stay: other tumour, and everything outside.

    Half of a voxel is the limit in a large lesion. A lesion of few cubes is smoothed below it, and would vanish though
    the map says that it stayed: within each connected part of the weight the limit falls to where the volume is that of
    the map (`SHARE`, `LEAST_SHARE`), never rises.

    Args:
        labels: before treatment.
        box, weight: of `painter.treated_weight`.
        maps: after treatment.

    Returns:
        Labels on the same grid, uint8.
    """
    free = _free(labels, box, weight)
    array = labels.array.copy()
    array[box][free] = np.where(_tumour(free, labels, box, maps)[free], TUMOUR, LIVER)
    return labels.with_array(array)


def viable_after(labels: LabelMap, box: Box, weight: FloatArray, maps: OutcomeMaps) -> Mask:
    """What of the tumour lives, as the maps say it: (K, J, I) on the grid of the labels. What is not treated does.

    Of each voxel of tumour the maps know a share that lives. So many voxels as that share is of the tumour are viable,
    those with the highest share, so that the volume of the mask is that of the maps.

    Args:
        labels: after treatment, of `labels_after`.
        box, weight: of `painter.treated_weight`.
        maps: after treatment.
    """
    found = labels.tumour
    part = np.asarray(found[box] & (weight > 0))
    found[box][part] = False
    tumour, viable = (float(one.sum(dtype=np.float64)) for one in (maps.tumour, maps.viable))
    count = round(int(part.sum()) * min(1.0, viable / tumour)) if tumour > 0 else 0
    if count == 0:
        return found
    target = labels.geometry.crop((box[0].start, box[1].start, box[2].start), part.shape)
    lives = upsampled(maps.viable, maps.geometry, target)
    lives /= np.maximum(upsampled(maps.tumour, maps.geometry, target), LEAST_SHARE)
    places = np.flatnonzero(part)
    values = lives.ravel()[places]
    mask = np.zeros(part.size, bool)
    mask[places[np.argpartition(-values, count - 1)[:count]]] = True
    found[box] |= mask.reshape(part.shape)
    return found


def _free(labels: LabelMap, box: Box, weight: FloatArray) -> Mask:
    """Where treated tumour can be."""
    part = labels.array[box]
    if part.shape != weight.shape:
        raise GeometryError(
            what="The weight does not fit its part of the labels",
            given=f"{weight.shape} and {part.shape} voxels",
            remedy="Give box and weight of treated_weight on these labels",
        )
    return np.asarray((weight > 0) & (part >= LIVER))


def _tumour(free: Mask, labels: LabelMap, box: Box, maps: OutcomeMaps) -> Mask:
    """Tumour of the box by the smooth share, of which each connected part has the volume of the map."""
    target = labels.geometry.crop((box[0].start, box[1].start, box[2].start), free.shape)
    share = upsampled(maps.tumour, maps.geometry, target)
    share *= free
    found = share >= SHARE
    parts = cc3d.connected_components(free, connectivity=26)
    flat = parts.ravel()
    wanted = np.bincount(flat, share.ravel())
    have = np.bincount(flat, found.ravel())
    for number in np.flatnonzero(have + 0.5 < wanted):
        if number == 0:
            continue
        some = np.flatnonzero((flat == number) & (share.ravel() >= LEAST_SHARE))
        count = min(len(some), round(float(wanted[number])))
        if count > 0:
            most = some[np.argpartition(-share.ravel()[some], count - 1)[:count]]
            found.ravel()[most] = True
    return found
