"""The classical baseline of segmentation: a threshold, the liver grown from a seed, lesions by another threshold.

No learning: what a radiology textbook of the time before networks does. HU follow from the image's own histogram.
"""

# mypy: allow-untyped-calls
from __future__ import annotations

import cc3d
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import LIVER, TUMOUR, LabelMap, Volume
from MeWMLib.perception.postprocess import clean
from MeWMLib.perception.preprocess import isotropic_geometry, resample, to_source

SPACING_MM = 2.0
#: Enhanced and plain parenchyma are in this range.
TISSUE_HU = (40.0, 180.0)
#: The liver is grown over mean +- this many deviations of its seed.
WIDTH = 2.2
#: Thinner connections to neighbours than this are cut (mm), and gaps of the liver closed.
CUT_MM, CLOSE_MM = 8.0, 10.0
#: Tumour is what differs from the liver's mean by this many HU at least.
DIFFERENCE_HU = 22.0


def segment(ct: Volume) -> LabelMap:
    """Liver and tumour of a CT on its own grid; everything is background where no liver can be grown."""
    grid = isotropic_geometry(ct.geometry, SPACING_MM)
    hu = ndimage.gaussian_filter(resample(ct.array, ct.geometry, grid).astype(np.float32), 1.0)
    labels = np.zeros(grid.shape, np.uint8)
    grown = _grown(hu)
    if grown.any():
        liver = _filled(grown)
        mean = float(np.median(hu[grown]))
        different = np.abs(hu - mean) > max(DIFFERENCE_HU, 1.5 * float(hu[grown].std()))
        inner = ndimage.distance_transform_edt(liver) * SPACING_MM > 3.0  # the rim is half a voxel of fat
        tumour = ndimage.binary_opening(different & inner & (hu < mean), iterations=1)
        labels[liver] = LIVER
        labels[tumour] = TUMOUR
    return clean(to_source(LabelMap(labels, grid), ct.geometry))


def _grown(hu: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Grow the liver from the point of the right half that is deepest in parenchyma."""
    tissue = (hu > TISSUE_HU[0]) & (hu < TISSUE_HU[1])
    depth = ndimage.distance_transform_edt(tissue)
    right = np.arange(hu.shape[2]) < 0.55 * hu.shape[2]  # the last axis runs to the patient's left
    depth = depth * right
    seed = np.unravel_index(int(depth.argmax()), depth.shape)
    if depth[seed] * SPACING_MM < 6:
        return np.zeros(hu.shape, bool)
    box = tuple(slice(max(0, n - 4), n + 5) for n in seed)
    mean, spread = float(hu[box].mean()), max(8.0, float(hu[box].std()))
    image = sitk.GetImageFromArray(hu)
    place = [tuple(int(n) for n in seed[::-1])]
    found = sitk.ConnectedThreshold(image, place, mean - WIDTH * spread, mean + WIDTH * spread)
    grown = sitk.GetArrayFromImage(found) > 0
    # a ball rolled along the inside cuts the bridges to muscle, spleen and kidney
    core = ndimage.distance_transform_edt(grown) * SPACING_MM > CUT_MM
    if not core.any():
        return grown
    core = cc3d.largest_k(core, k=1, connectivity=6) > 0
    near: NDArray[np.bool_] = ndimage.distance_transform_edt(~core) * SPACING_MM <= CUT_MM + 2
    return grown & near


def _filled(grown: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close gaps, so that lesions which the growth left out are inside."""
    outside = ndimage.distance_transform_edt(~np.pad(grown, 8)) * SPACING_MM > CLOSE_MM
    closed = ndimage.distance_transform_edt(~outside) * SPACING_MM > CLOSE_MM
    inner = tuple(slice(8, -8) for _ in range(3))
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(closed[inner] | grown)
    return filled
