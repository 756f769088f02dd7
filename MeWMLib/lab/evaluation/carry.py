"""Bring labels of the fixed scan of a registration onto the grid of the moving one: the inverse of its map."""

# mypy: allow-untyped-calls
from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import GeometryMismatchError
from MeWMLib.core.io import to_sitk
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.perception.preprocess import box_geometry
from MeWMLib.perception.registration import Registered

#: Voxels in which the map and its inverse are kept; both are smooth.
FIELD_MM = 4.0
#: The map is known so far beyond the fixed scan.
BEYOND_MM = 60.0
STEPS = 30
#: Most that a point may be off, median over the grid.
TOLERANCE_MM = 0.5


def carried(registered: Registered, labels: LabelMap, moving: Geometry) -> LabelMap:
    """Labels of the fixed scan on a grid in the frame of the moving scan, by nearest neighbour.

    A registration's transform leads from the fixed to the moving scan. Its inverse is found for each point q by the
    fixed-point iteration p = q - u(p) (Chen et al., Medical Physics 2008), u being the displacement at p.

    Args:
        registered: what `register` gave.
        labels: on the grid of the fixed scan.
        moving: any grid in the frame of the moving scan.

    Raises:
        GeometryMismatchError: the iteration does not settle (a map that folds).
    """
    field = _grid(_padded(labels.geometry), FIELD_MM)
    shifts = _displacement(registered.transform, field)  # LPS mm
    target = _grid(moving, FIELD_MM)
    index = np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), -1).reshape(-1, 3)
    points = target.to_ras(index)
    lps = np.array([-1.0, -1.0, 1.0])
    inside = np.array(labels.geometry.shape) // 2
    found = points - _at(shifts, field, labels.geometry.to_ras(inside)[None]) * lps
    for _ in range(STEPS):
        before, found = found, points - _at(shifts, field, found) * lps
    near = ((field.to_kji(found) >= 0) & (field.to_kji(found) <= np.array(field.shape) - 1)).all(1)
    off = float(np.percentile(np.linalg.norm(found - before, axis=1)[near], 95)) if near.any() else np.inf
    if off > TOLERANCE_MM:
        raise GeometryMismatchError(
            what="The map of the registration cannot be inverted",
            given=f"points are {off:.2g} mm off" if near.any() else "the scans do not meet",
            remedy="Look at the registration, or give two scans of the same part of the body",
        )
    back = ((found - points) * lps).reshape(*target.shape, 3)
    image = sitk.GetImageFromArray(back, isVector=True)
    image.CopyInformation(to_sitk(LabelMap(np.zeros(target.shape, np.uint8), target)))
    transform = sitk.DisplacementFieldTransform(sitk.Cast(image, sitk.sitkVectorFloat64))
    grid = to_sitk(LabelMap(np.zeros(moving.shape, np.uint8), moving))
    drawn = sitk.Resample(to_sitk(labels), grid, transform, sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    return LabelMap(sitk.GetArrayFromImage(drawn), moving)


def _padded(geometry: Geometry) -> Geometry:
    """The grid with `BEYOND_MM` on all sides."""
    more = [int(np.ceil(BEYOND_MM / s)) for s in geometry.spacing]
    shape = [n + 2 * m for n, m in zip(geometry.shape, more, strict=True)]
    return geometry.crop((-more[0], -more[1], -more[2]), (shape[0], shape[1], shape[2]))


def _grid(geometry: Geometry, spacing_mm: float) -> Geometry:
    """A coarser grid that covers another with a voxel to spare."""
    found = box_geometry(geometry, (spacing_mm,) * 3)
    k, j, i = found.shape
    return found.crop((-1, -1, -1), (k + 2, j + 2, i + 2))


def _displacement(transform: sitk.Transform, grid: Geometry) -> NDArray[np.float64]:
    """(3, K, J, I) LPS mm."""
    image = to_sitk(LabelMap(np.zeros(grid.shape, np.uint8), grid))
    field = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, image.GetSize(), image.GetOrigin(), image.GetSpacing(), image.GetDirection()
    )
    return np.moveaxis(sitk.GetArrayFromImage(field), -1, 0)


def _at(field: NDArray[np.float64], grid: Geometry, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values (N, 3) of a field at RAS points (N, 3), linearly; beyond its border those of the border."""
    places = grid.to_kji(points).T
    return np.stack([ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in field], -1)
