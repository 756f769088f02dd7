"""Surfaces of segments, quick enough for a window that must not freeze.

Slicer's own conversion smooths the triangles, which takes seconds for a liver. Here the mask is smoothed, by numpy on
a thread and on a coarse grid, and the triangles are cut out of it where its volume is kept.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.volume import Geometry
from MeWMLib.scene.core_app import vtk
from MeWMLib.scene.nodes import image_of_array, matrix_to_vtk
from MeWMLib.scene.segmentations import BINARY, mask_of_segment

SURFACE = "Closed surface"
#: Finer voxels than this a picture of a liver does not need (mm).
VOXEL_MM = 1.5
#: Width of the smoothing, in voxels of the coarse grid and in mm: along thick slices the second one counts.
SIGMA_VOXELS, SIGMA_MM = 0.8, 2.0


@dataclass(frozen=True, eq=False)
class Field:
    """A smoothed mask: the surface is where it has the value `level`.

    Attributes:
        segment_id: of which segment.
        image: float32 VTK image, or None for an empty segment.
        affine: its voxel indices to RAS mm.
        level: see above.
    """

    segment_id: str
    image: Any
    affine: NDArray[np.float64]
    level: float = 0.5


def drawn(node: Any) -> bool:
    """True if every segment of a segmentation node has a surface."""
    segmentation = node.GetSegmentation()
    count = segmentation.GetNumberOfSegments()
    return all(segmentation.GetNthSegment(n).GetRepresentation(SURFACE) is not None for n in range(count))


def hold(node: Any) -> list[tuple[str, NDArray[np.bool_] | None, Geometry | None]]:
    """Copy all segments of a segmentation node; an empty one comes as None."""
    segmentation = node.GetSegmentation()
    held = []
    for n in range(segmentation.GetNumberOfSegments()):
        mask, grid = mask_of_segment(segmentation.GetNthSegment(n))
        held.append((segmentation.GetNthSegmentID(n), mask, grid))
    return held


def smooth(held: Sequence[tuple[str, NDArray[np.bool_] | None, Geometry | None]]) -> list[Field]:
    """Smooth the masks; needs no scene, so a thread may do it."""
    fields = []
    for segment_id, mask, grid in held:
        if mask is None or grid is None or not mask.any():
            fields.append(Field(segment_id, None, np.eye(4)))
            continue
        steps = [max(1, round(VOXEL_MM / spacing)) for spacing in grid.spacing]
        # room on all sides, so that the surface closes, and whole blocks
        pads = [(2 * step, 2 * step + -size % step) for step, size in zip(steps, mask.shape, strict=True)]
        padded = np.pad(mask, pads).astype(np.float32)
        (k, j, i), (a, b, c) = (tuple(n // s for n, s in zip(padded.shape, steps, strict=True)), steps)
        coarse = padded.reshape(k, a, j, b, i, c).mean(axis=(1, 3, 5))  # (K, J, I) / steps
        widths = [min(SIGMA_VOXELS, SIGMA_MM / (step * mm)) for step, mm in zip(steps, grid.spacing, strict=True)]
        field = ndimage.gaussian_filter(coarse, widths)
        affine = np.array(grid.affine)
        first = (np.array(steps) - 1) / 2.0 - 2.0 * np.array(steps)
        affine[:3, 3] = grid.to_ras(first)
        affine[:3, :3] *= steps[::-1]
        fields.append(
            Field(segment_id, image_of_array(field.astype(np.float32)), affine, _level(field, float(coarse.sum())))
        )
    return fields


def _level(field: NDArray[np.float32], voxels: float) -> float:
    """Where to cut a smoothed mask so that as many voxels lie inside as before: at one half small lesions would shrink.

    Args:
        field: the smoothed mask.
        voxels: how many it holds, fractions counted.
    """
    inside = max(1, min(round(voxels), field.size - 1))
    around = np.partition(field.ravel(), [field.size - inside - 1, field.size - inside])
    level = float(around[field.size - inside - 1] + around[field.size - inside]) / 2.0
    return min(max(level, 0.1 * float(field.max())), 0.9 * float(field.max()))


def adding(node: Any, fields: Sequence[Field]) -> Generator[None, None, None]:
    """Give each segment its surface; a generator that stops after each."""
    for field in fields:
        segment = node.GetSegmentation().GetSegment(field.segment_id)
        if segment is not None and segment.GetRepresentation(BINARY) is not None:
            segment.AddRepresentation(SURFACE, _triangles(field))
        yield


def _triangles(field: Field) -> Any:
    if field.image is None:
        return vtk.vtkPolyData()
    cut = vtk.vtkFlyingEdges3D()
    cut.SetInputData(field.image)
    cut.SetValue(0, field.level)
    cut.ComputeNormalsOn()
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix_to_vtk(field.affine))
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputConnection(cut.GetOutputPort())
    moved.SetTransform(transform)
    moved.Update()
    result = vtk.vtkPolyData()
    result.ShallowCopy(moved.GetOutput())
    return result
