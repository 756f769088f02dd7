"""From a CT on its own grid to what the networks see, and back: grids and resampling.

Every grid made here has the same axes, whatever the scanner wrote: i runs to the patient's left, j to posterior, k to
superior.
"""
# mypy: allow-untyped-calls
# SimpleITK's wrapper carries no types.

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cc3d
import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import NoTumourError
from MeWMLib.core.io import image_of
from MeWMLib.core.volume import Geometry, LabelMap, Volume, centred_grid

AIR_HU = -1024
#: Voxels (k, j, i) of the grid that imported cohorts are kept on.
COHORT_SPACING_MM = (3.0, 0.8, 0.8)
PATCH_SIZE = 96
#: The longest side of a lesion takes at most this much of the patch.
PATCH_FIT_MM = 80.0

_ORDERS = {"linear": sitk.sitkLinear, "nearest": sitk.sitkNearestNeighbor}


def resample(
    array: NDArray[Any],
    source: Geometry,
    target: Geometry,
    order: str = "linear",
    fill: float = AIR_HU,
    through: sitk.Transform | None = None,
) -> NDArray[Any]:
    """Resample voxels from one grid to another; the type is kept (whole numbers are rounded).

    Args:
        array: (K, J, I) on `source`; any number type, bool included.
        source: grid of `array`.
        target: grid of the result.
        order: "linear" or "nearest".
        fill: value outside of `source`; 0 at least where the type has no sign.
        through: a point of the target to the same one of the source (LPS mm), as of a registration; the same place if
            left out.

    Returns:
        (K', J', I') on `target`.

    Raises:
        KeyError: an unknown order.
    """
    interpolator = _ORDERS[order]
    whole = array.dtype.kind in "iub"
    # ITK cuts fractions off where the type is whole; interpolate in float and round here
    known = np.uint8 if array.dtype == np.bool_ else np.float32 if whole and order == "linear" else array.dtype
    moving = image_of(array.astype(known, copy=False), source)
    filter_ = sitk.ResampleImageFilter()
    reference = image_of(np.zeros((1, 1, 1), np.uint8), target)
    filter_.SetSize(target.shape[::-1])
    filter_.SetOutputOrigin(reference.GetOrigin())
    filter_.SetOutputSpacing(reference.GetSpacing())
    filter_.SetOutputDirection(reference.GetDirection())
    filter_.SetInterpolator(interpolator)
    if through is not None:
        filter_.SetTransform(through)
    low = 0 if array.dtype.kind in "ub" else -np.inf
    filter_.SetDefaultPixelValue(float(max(fill, low)))
    result: NDArray[Any] = sitk.GetArrayFromImage(filter_.Execute(moving))
    if whole and order == "linear":
        result = np.rint(result)
    return result.astype(array.dtype, copy=False)


def resample_volume(volume: Volume, target: Geometry) -> Volume:
    """Resample a CT linearly; phase and provenance are kept."""
    return replace(volume, array=resample(volume.array, volume.geometry, target), geometry=target)


def to_source(labels: LabelMap, source: Geometry) -> LabelMap:
    """Bring labels that were found on another grid back to `source` by nearest neighbour."""
    return LabelMap(resample(labels.array, labels.geometry, source, "nearest", 0), source)


def isotropic_geometry(geometry: Geometry, spacing_mm: float = 1.0) -> Geometry:
    """Return the grid of cubic voxels, along left, posterior and superior, that covers all of `geometry`.

    Args:
        geometry: any grid, oblique ones included.
        spacing_mm: edge of a voxel.
    """
    return box_geometry(geometry, (spacing_mm,) * 3)


def box_geometry(geometry: Geometry, spacing_mm: tuple[float, float, float]) -> Geometry:
    """Return the grid along left, posterior and superior that covers `geometry` with voxels of any size.

    Args:
        geometry: any grid, oblique ones included.
        spacing_mm: voxel size (k, j, i), such as `COHORT_SPACING_MM`.
    """
    low, high = _bounds(geometry, geometry.corners)
    steps = np.array(spacing_mm[::-1], dtype=np.float64)
    # voxels that stick out by less than a hundredth are not worth a slice
    counts = np.maximum(np.ceil((high - low) / steps - 1e-2), 1).astype(int)
    return centred_grid((low + high) / 2, (int(counts[2]), int(counts[1]), int(counts[0])), steps)


def patch_geometry(labels: LabelMap, size: int = PATCH_SIZE) -> Geometry:
    """Return the cube around the target lesion, which is the largest tumour component.

    Voxels have 1 mm, unless the bounding box of the lesion is longer than `PATCH_FIT_MM`; then they grow with it.

    Args:
        labels: labels on the grid of the CT.
        size: voxels along each side.

    Raises:
        NoTumourError: the labels hold no tumour.
    """
    components, count = cc3d.connected_components(labels.tumour, connectivity=26, return_N=True)
    if count == 0:
        raise NoTumourError(
            what="There is no tumour to treat",
            given=labels.geometry.describe(),
            remedy="Segment the tumour, or give labels with value 2",
        )
    target = int(np.argmax(np.bincount(components.ravel())[1:])) + 1
    return patch_around(labels.geometry, np.argwhere(components == target), size)


def patch_around(geometry: Geometry, voxels: NDArray[Any], size: int = PATCH_SIZE) -> Geometry:
    """Return the cube around a lesion; see `patch_geometry`.

    Args:
        geometry: grid of the CT.
        voxels: (N, 3) the lesion's (k, j, i).
        size: voxels along each side.
    """
    low, high = _bounds(geometry, voxels)
    spacing = max(1.0, float((high - low).max()) / PATCH_FIT_MM)
    return centred_grid((low + high) / 2, (size, size, size), spacing)


def _bounds(geometry: Geometry, voxels: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Box along the RAS axes, mm, around the outer faces of voxels (N, 3) (k, j, i)."""
    centres = geometry.to_ras(voxels)
    half = np.abs(geometry.affine[:3, :3]).sum(axis=1) / 2
    return centres.min(axis=0) - half, centres.max(axis=0) + half


def body_box(hu: NDArray[Any], margin: int = 4) -> tuple[slice, ...]:
    """The box around the largest part that is not air; the whole image if there is none."""
    coarse = hu[::4, ::4, ::4] > -300
    if not coarse.any():
        return tuple(slice(0, n) for n in hu.shape)
    largest = cc3d.largest_k(coarse, k=1, connectivity=6)
    found = ndimage.find_objects((largest > 0).view(np.uint8))[0]
    return tuple(
        slice(max(0, 4 * s.start - margin), min(n, 4 * s.stop + margin)) for s, n in zip(found, hu.shape, strict=True)
    )
