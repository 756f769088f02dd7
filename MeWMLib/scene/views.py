"""Slicer's slice view without a window and without OpenGL, as arrays of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.scene.core_app import SlicerCore, numpy_support, slicer
from MeWMLib.scene.nodes import matrix_from_vtk
from MeWMLib.scene.segmentations import mask_of_segment

Pixels = NDArray[np.uint8]
AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"


@dataclass(frozen=True)
class Framing:
    """Which part of the patient a slice picture shows.

    Attributes:
        orientation: `AXIAL`, `CORONAL` or `SAGITTAL`.
        centre_ras_mm: the point in the middle of the picture; the slice goes through it.
        width_mm: width of the picture.
        height_mm: its height, at most its width; 0 for a square.
    """

    orientation: str
    centre_ras_mm: tuple[float, float, float]
    width_mm: float
    height_mm: float = 0.0

    def rows(self, size: int) -> int:
        """Height in pixels of a picture that is `size` pixels wide."""
        return size if self.height_mm <= 0 else min(size, round(size * self.height_mm / self.width_mm))


def set_layers(composite: Any, background: Any, foreground: Any, opacity: float) -> None:
    """Let a slice composite node show two volume nodes, of which each may be None, the second one over the first."""
    composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
    composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
    composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)


class SliceView(AbstractContextManager["SliceView"]):
    """A slice as Slicer's slice logic reslices and blends it on the CPU, with outlines of segments.

    An outline is computed once for a framing: segments must not change while the view is open.

    Args:
        core: the running core.
        size: width and height in pixels.
        name: name of the slice node.
    """

    def __init__(self, core: SlicerCore, size: int = 560, name: str = "MeWM") -> None:
        self.core, self.size = core, size
        self.logic = core.in_scene(slicer.vtkMRMLSliceLogic())
        core.application_logic.GetSliceLogics().AddItem(self.logic)
        self.node = self.logic.AddSliceNode(name)
        self._outlines: dict[tuple[Framing, str, str], NDArray[np.bool_]] = {}

    def render(
        self,
        framing: Framing,
        background: Any,
        foreground: Any = None,
        opacity: float = 0.5,
        outlines: Sequence[Any] = (),
    ) -> Pixels:
        """Render one slice.

        Args:
            framing: which part of the patient.
            background, foreground: volume nodes; the foreground is blended over the background.
            opacity: of the foreground.
            outlines: segmentation nodes whose outlines are drawn.

        Returns:
            (framing.rows(size), size, 3) uint8, first row on top.
        """
        self.node.SetOrientation(framing.orientation)
        self.node.SetDimensions(self.size, self.size, 1)
        self.node.SetFieldOfView(framing.width_mm, framing.width_mm, 1.0)
        self.node.SetXYZOrigin(0, 0, 0)
        self.node.JumpSliceByCentering(*framing.centre_ras_mm)
        set_layers(self.logic.GetSliceCompositeNode(), background, foreground, opacity)
        connection = self.logic.GetImageDataConnection()
        connection.GetProducer().Update()
        blend = array_of_picture(connection.GetProducer().GetOutputDataObject(connection.GetIndex()))
        # Outside the volumes the picture is transparent; a slice view shows black there.
        pixels = np.where(blend[..., 3:] > 0, blend[..., :3], 0).astype(np.uint8)
        for node in outlines:
            for segment_id in node.GetSegmentation().GetSegmentIDs():
                if node.GetDisplayNode().GetSegmentVisibility2DOutline(segment_id):
                    segment = node.GetSegmentation().GetSegment(segment_id)
                    key = (framing, node.GetID(), segment_id)
                    if key not in self._outlines:
                        self._outlines[key] = self._outline(segment)
                    pixels[self._outlines[key]] = np.round(np.array(segment.GetColor()) * 255)
        rows = framing.rows(self.size)
        start = (self.size - rows) // 2
        return np.ascontiguousarray(pixels[start : start + rows])

    def _outline(self, segment: Any) -> NDArray[np.bool_]:
        """(size, size) mask of the outline of one segment in the slice, two pixels wide."""
        found = mask_of_segment(segment)
        if found is None:
            return np.zeros((self.size, self.size), bool)
        mask, grid = found
        drawn = np.zeros((self.size, self.size), bool)
        to_ras = matrix_from_vtk(self.node.GetXYToRAS())
        corners = np.c_[grid.to_ras(grid.corners), np.ones(8)] @ np.linalg.inv(to_ras).T
        # only where the segment can be: columns, and rows from the top
        low, high = np.floor(corners.min(axis=0)[:2]).astype(int) - 3, np.ceil(corners.max(axis=0)[:2]).astype(int) + 4
        first, last = np.clip([low, high], 0, self.size)
        columns, rows = np.arange(first[0], last[0]), np.arange(first[1], last[1])[::-1]
        if not len(columns) or not len(rows):
            return drawn
        start, across, up = grid.to_kji(to_ras[:3, 3] + np.array([[0, 0, 0], to_ras[:3, 0], to_ras[:3, 1]]))
        kji = [start[n] + columns[None, :] * (across - start)[n] + rows[:, None] * (up - start)[n] for n in range(3)]
        inside = ndimage.map_coordinates(mask.astype(np.float32), kji, order=1) > 0.5
        # One pixel would be lost when the picture is scaled down for the report.
        edge = inside & ~ndimage.binary_erosion(inside, iterations=2, border_value=1)
        drawn[self.size - last[1] : self.size - first[1], first[0] : last[0]] = edge
        return drawn

    def close(self) -> None:
        """Take the view out of the scene."""
        nodes = (self.logic.GetSliceCompositeNode(), self.node)
        self.core.application_logic.GetSliceLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)
        for node in nodes:
            if node is not None and node.GetScene() is not None:
                self.core.scene.RemoveNode(node)

    def __exit__(self, *_error: object) -> None:
        self.close()


def array_of_picture(picture: Any) -> Pixels:
    """A VTK picture (origin at the lower left) as (H, W, channels), first row on top."""
    width, height, _ = picture.GetDimensions()
    flat = numpy_support.vtk_to_numpy(picture.GetPointData().GetScalars())
    return flat.reshape(height, width, -1)[::-1]
