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
#: Less of a voxel than this is never tumour.
LEAST_SHARE = 0.08
#: By how much a whole share before treatment counts in the order in which voxels are tumour.
DEPTH_COUNTS = 0.1
#: Less tumour in a cube before treatment than this tells nothing of what stays of it.
_FEW = 0.01


def labels_after(
    labels: LabelMap, box: Box, weight: FloatArray, maps: OutcomeMaps, treated_before: FloatArray
) -> LabelMap:
    """Labels after treatment.

    Where the weight is above 0 and the liver is (its tumour included), a voxel is tumour if its smooth share is high
    enough, and liver else. All other labels stay: other tumour, and everything outside.

    Maps of cubes know no outline finer than they are: what the outline before treatment has of it is added, as far as
    its tumour stays, so that what nothing changes keeps its outline, and a lesion smaller than a cube keeps its own.
    Within each connected part of the weight so many voxels are tumour that their volume is that of the map, those with
    the highest share, down to `LEAST_SHARE`.

    Args:
        labels: before treatment.
        box, weight: of `painter.treated_weight`.
        maps: after treatment.
        treated_before: (k, j, i) share of each cube that was treated tumour before.

    Returns:
        Labels on the same grid, uint8.
    """
    free = _free(labels, box, weight)
    array = labels.array.copy()
    array[box][free] = np.where(_tumour(free, labels, box, maps, treated_before)[free], TUMOUR, LIVER)
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


def _tumour(free: Mask, labels: LabelMap, box: Box, maps: OutcomeMaps, treated_before: FloatArray) -> Mask:
    """Tumour of the box by the smooth share, of which each connected part has the volume of the map."""
    target = labels.geometry.crop((box[0].start, box[1].start, box[2].start), free.shape)
    treated = np.asarray(free & (labels.array[box] == TUMOUR))
    was = upsampled(treated_before, maps.geometry, target)
    share = upsampled(maps.tumour, maps.geometry, target)
    stays = np.minimum(share / np.maximum(was, _FEW), 1)
    share += stays * (treated - was)
    np.clip(share, 0, 1, out=share)
    share *= free
    parts = cc3d.connected_components(free, connectivity=26)
    flat, places = parts.ravel(), np.flatnonzero(share.ravel() >= LEAST_SHARE)
    # smoothing leaves some of the map's tumour beyond where tumour can be; it is not lost
    told, within = float(maps.tumour.sum(dtype=np.float64)) * maps.geometry.voxel_ml, float(share.sum(dtype=np.float64))
    lost = told / (within * target.voxel_ml) if within > 0 else 1.0
    wanted = np.rint(np.bincount(flat, share.ravel()) * max(1.0, lost)).astype(np.intp)
    # of equal shares those at the surface go first
    share += np.float32(DEPTH_COUNTS) * was
    # the highest shares of each part first, and of each the first so many
    order = places[np.lexsort((-share.ravel()[places], flat[places]))]
    number = flat[order]
    first = np.searchsorted(number, np.arange(len(wanted)))
    found = np.zeros(share.size, bool)
    found[order[np.arange(len(order)) - first[number] < wanted[number]]] = True
    return found.reshape(share.shape)
