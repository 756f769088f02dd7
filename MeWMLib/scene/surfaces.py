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
    return all(segment.GetRepresentation(SURFACE) is not None for _name, segment in _segments(node))


def hold(node: Any) -> list[tuple[str, tuple[NDArray[np.bool_], Geometry] | None]]:
    """Copy all segments of a segmentation node with their grids; an empty one comes as None."""
    return [(segment_id, mask_of_segment(segment)) for segment_id, segment in _segments(node)]


def _segments(node: Any) -> list[tuple[str, Any]]:
    segmentation = node.GetSegmentation()
    return [(segment_id, segmentation.GetSegment(segment_id)) for segment_id in segmentation.GetSegmentIDs()]


def smooth(held: Sequence[tuple[str, tuple[NDArray[np.bool_], Geometry] | None]]) -> list[Field]:
    """Smooth the masks; needs no scene, so a thread may do it."""
    fields = []
    for segment_id, found in held:
        if found is None or not found[0].any():
            fields.append(Field(segment_id, None, np.eye(4)))
            continue
        mask, grid = found
        steps = [max(1, round(VOXEL_MM / spacing)) for spacing in grid.spacing]
        # room on all sides, so that the surface closes, and whole blocks
        pads = [(2 * step, 2 * step + -size % step) for step, size in zip(steps, mask.shape, strict=True)]
        padded = np.pad(mask, pads).astype(np.float32)
        blocks = [n for size, step in zip(padded.shape, steps, strict=True) for n in (size // step, step)]
        coarse = padded.reshape(blocks).mean(axis=(1, 3, 5))  # (K, J, I) / steps
        widths = [min(SIGMA_VOXELS, SIGMA_MM / (step * mm)) for step, mm in zip(steps, grid.spacing, strict=True)]
        field = ndimage.gaussian_filter(coarse, widths)
        affine = np.array(grid.affine)
        # the middle of the first block, which begins two blocks outside of the mask's grid
        affine[:3, 3] = grid.to_ras((np.array(steps) - 1) / 2.0 - 2.0 * np.array(steps))
        affine[:3, :3] *= steps[::-1]
        fields.append(Field(segment_id, image_of_array(field), affine, _level(field, float(coarse.sum()))))
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
    return moved.GetOutput()
