"""Surfaces of segments, quick enough for a window that must not freeze, and their picture.

Slicer's own conversion smooths the triangles, which takes seconds for a liver. Here the mask is smoothed on a coarse
grid, and the triangles are cut out of it where its volume is kept; a thread may do it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.structures import LIVER_STRUCTURE, TUMOUR_STRUCTURE, Colour, Structure
from MeWMLib.core.volume import Geometry, LabelMap
from MeWMLib.scene.core_app import vtk
from MeWMLib.scene.nodes import image_of_array, matrix_to_vtk
from MeWMLib.scene.segmentations import BINARY, OPACITY_3D, box_of, mask_of_segment
from MeWMLib.scene.views import Pixels, array_of_picture

SURFACE = "Closed surface"
#: Finer voxels than this a picture of a liver does not need (mm).
VOXEL_MM = 1.5
#: Width of the smoothing, in voxels of the coarse grid and in mm: along thick slices the second one counts.
SIGMA_VOXELS, SIGMA_MM = 0.8, 2.0
#: So much wider in a large picture, where the steps between thick slices would show as stripes.
PICTURE_WIDER = 2.0
#: Passes through what is transparent: its outermost front and back. Four passes change one pixel in 100,000 of
#: `lits-117` by more than 8 grey levels, and take 0.7 s more of the processor.
PEELS = 1
Held = tuple[NDArray[np.bool_], Geometry]


def _segments(node: Any) -> list[tuple[str, Any]]:
    segmentation = node.GetSegmentation()
    return [(segment_id, segmentation.GetSegment(segment_id)) for segment_id in segmentation.GetSegmentIDs()]


def drawn(node: Any) -> bool:
    """True if every segment of a segmentation node has a surface."""
    return all(segment.GetRepresentation(SURFACE) is not None for _name, segment in _segments(node))


def hold(node: Any) -> dict[str, Held | None]:
    """Copy all segments of a segmentation node with their grids; an empty one comes as None."""
    return {segment_id: mask_of_segment(segment) for segment_id, segment in _segments(node)}


def compute(held: Mapping[str, Held | None]) -> dict[str, Any]:
    """The surface of each segment; needs no scene, so a thread may do it."""
    return {name: surface_of(*found) if found is not None else vtk.vtkPolyData() for name, found in held.items()}


def add(node: Any, surfaces: Mapping[str, Any]) -> None:
    """Give the segments of a node their surfaces."""
    for segment_id, surface in surfaces.items():
        segment = node.GetSegmentation().GetSegment(segment_id)
        if segment is not None and segment.GetRepresentation(BINARY) is not None:
            segment.AddRepresentation(SURFACE, surface)


def surface_of(mask: NDArray[np.bool_], grid: Geometry, wider: float = 1.0) -> Any:
    """The surface of a mask in RAS mm, as `vtkPolyData` with normals; empty for an empty mask."""
    if not mask.any():
        return vtk.vtkPolyData()
    steps = [max(1, round(VOXEL_MM / spacing)) for spacing in grid.spacing]
    # room on all sides, so that the surface closes, and whole blocks
    pads = [(2 * step, 2 * step + -size % step) for step, size in zip(steps, mask.shape, strict=True)]
    padded = np.pad(mask, pads).astype(np.float32)
    blocks = [n for size, step in zip(padded.shape, steps, strict=True) for n in (size // step, step)]
    coarse = padded.reshape(blocks).mean(axis=(1, 3, 5))  # (K, J, I) / steps
    widths = [wider * min(SIGMA_VOXELS, SIGMA_MM / (step * mm)) for step, mm in zip(steps, grid.spacing, strict=True)]
    field = ndimage.gaussian_filter(coarse, widths)
    affine = np.array(grid.affine)
    # the middle of the first block, which begins two blocks outside the mask's grid
    affine[:3, 3] = grid.to_ras((np.array(steps) - 1) / 2.0 - 2.0 * np.array(steps))
    affine[:3, :3] *= steps[::-1]
    cut = vtk.vtkFlyingEdges3D()
    cut.SetInputData(image_of_array(field))
    cut.SetValue(0, _level(field, float(coarse.sum())))
    cut.ComputeNormalsOn()
    transform = vtk.vtkTransform()
    transform.SetMatrix(matrix_to_vtk(affine))
    moved = vtk.vtkTransformPolyDataFilter()
    moved.SetInputConnection(cut.GetOutputPort())
    moved.SetTransform(transform)
    moved.Update()
    return moved.GetOutput()


def _level(field: NDArray[np.float32], voxels: float) -> float:
    """Where to cut a smoothed mask so that its volume is kept: at one half small lesions would shrink.

    Args:
        field: the smoothed mask.
        voxels: how many it holds, fractions counted.
    """
    inside = max(1, min(round(voxels), field.size - 1))
    around = np.partition(field.ravel(), [field.size - inside - 1, field.size - inside])
    level = float(around[field.size - inside - 1] + around[field.size - inside]) / 2.0
    return min(max(level, 0.1 * float(field.max())), 0.9 * float(field.max()))


def surfaces_of(labels: LabelMap) -> dict[Structure, Any]:
    """The surfaces of liver and tumour, for a picture.

    Where the lesion reaches the surface of the liver, the liver is cut away around it: two surfaces in one place would
    flicker through each other.
    """
    coarse = _coarser(labels)
    liver, lesion = coarse.liver.copy(), coarse.tumour
    rim = liver & ~ndimage.binary_erosion(liver, iterations=3)
    liver &= ~ndimage.binary_dilation(lesion & rim, iterations=3)
    masks = {LIVER_STRUCTURE: liver, TUMOUR_STRUCTURE: lesion}
    return {structure: surface_of(mask, coarse.geometry, PICTURE_WIDER) for structure, mask in masks.items()}


def _coarser(labels: LabelMap) -> LabelMap:
    """The box around the liver with voxels of about `VOXEL_MM` where they were finer: a picture needs no more."""
    box = box_of(labels.liver)
    start = tuple(max(0, side.start - 4) for side in box)
    steps = [max(1, round(VOXEL_MM / spacing)) for spacing in labels.geometry.spacing]
    cut = tuple(slice(low, side.stop + 4, step) for low, side, step in zip(start, box, steps, strict=True))
    array = np.ascontiguousarray(labels.array[cut])
    affine = np.array(labels.geometry.affine)
    affine[:3, 3] = labels.geometry.to_ras(start)
    affine[:3, :3] *= steps[::-1]
    return LabelMap(array, Geometry(array.shape, affine))


class SurfaceView(AbstractContextManager["SurfaceView"]):
    """Renders liver and tumour, seen from the front and slightly from the patient's right and above.

    This needs OpenGL: ask `gl.gl_available` first. One window serves all pictures, since a driver in software compiles
    its shaders for each window anew.

    Args:
        size: width and height of the pictures in pixels.
    """

    def __init__(self, size: int) -> None:
        self._renderer, self._window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.SetMultiSamples(0)
        self._window.SetSize(size, size)
        self._window.AddRenderer(self._renderer)
        self._renderer.SetUseDepthPeeling(True)
        self._renderer.SetMaximumNumberOfPeels(PEELS)
        self._renderer.GradientBackgroundOn()
        self._renderer.SetBackground(0.08, 0.10, 0.13)
        self._renderer.SetBackground2(0.26, 0.31, 0.36)

    def render(
        self, labels: LabelMap, tumour_colour: Colour, centre_ras_mm: Sequence[float], width_mm: float
    ) -> Pixels:
        """Render one label map.

        Args:
            labels: what to show.
            tumour_colour: RGB, 0 to 1.
            centre_ras_mm: the point in the middle of the picture.
            width_mm: side of the picture at that point.

        Returns:
            (size, size, 3) uint8, first row on top.
        """
        self._renderer.RemoveAllViewProps()
        for structure, surface in surfaces_of(labels).items():
            actor = vtk.vtkActor()
            actor.SetMapper(vtk.vtkPolyDataMapper())
            actor.GetMapper().SetInputData(surface)
            actor.GetMapper().ScalarVisibilityOff()
            actor.GetProperty().SetColor(tumour_colour if structure is TUMOUR_STRUCTURE else structure.colour)
            actor.GetProperty().SetOpacity(OPACITY_3D[structure])
            self._renderer.AddActor(actor)
        direction = np.array([0.35, 1.0, 0.25])
        camera = self._renderer.GetActiveCamera()
        camera.SetFocalPoint(*centre_ras_mm)
        camera.SetPosition(*(np.asarray(centre_ras_mm) + 4.0 * width_mm * direction / np.linalg.norm(direction)))
        camera.SetViewUp(0, 0, 1)
        camera.ParallelProjectionOn()
        camera.SetParallelScale(width_mm / 2)
        self._renderer.ResetCameraClippingRange()
        self._window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self._window)
        grab.ReadFrontBufferOff()
        grab.Update()
        return np.ascontiguousarray(array_of_picture(grab.GetOutput())[..., :3])

    def __exit__(self, *_error: object) -> None:
        self._window.Finalize()
