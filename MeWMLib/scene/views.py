"""Slicer's slice view and 3D view without a window, as arrays of pixels.

Two slice views with one interface: `SliceView` draws through Slicer's displayable managers and needs OpenGL;
`BlendedSliceView` takes the picture that Slicer's slice logic blends on the CPU and needs none. The 3D view always
needs OpenGL: ask `gl.gl_available` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from MeWMLib.scene.core_app import SlicerCore, numpy_support, slicer, vtk

Pixels = NDArray[np.uint8]
AXIAL, CORONAL, SAGITTAL = "Axial", "Coronal", "Sagittal"

_SLICE_MANAGERS = (
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
)
_THREE_D_MANAGERS = (
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
)


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

    def pixel_of(self, ras_mm: Sequence[float], size: int) -> tuple[float, float]:
        """Return (row, column) of a point, projected onto the slice, in a picture that is `size` pixels wide."""
        right, anterior, superior = (p - c for p, c in zip(ras_mm, self.centre_ras_mm, strict=True))
        across, up = {AXIAL: (-right, anterior), CORONAL: (-right, superior), SAGITTAL: (-anterior, superior)}[
            self.orientation
        ]
        scale = size / self.width_mm
        return self.rows(size) / 2 - up * scale, size / 2 + across * scale


class _SliceBase:
    """A slice node, its composite node and the logic that reslices and blends."""

    def __init__(self, core: SlicerCore, size: int, name: str) -> None:
        self.core, self.size = core, size
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(core.application_logic)
        core.application_logic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(core.scene)
        self.node = self.logic.AddSliceNode(name)
        self.composite = self.logic.GetSliceCompositeNode()

    def _place(self, framing: Framing, background: Any, foreground: Any, opacity: float) -> None:
        self.node.SetOrientation(framing.orientation)
        self.node.SetDimensions(self.size, self.size, 1)
        self.node.SetFieldOfView(framing.width_mm, framing.width_mm, 1.0)
        self.node.SetXYZOrigin(0, 0, 0)
        self.node.JumpSliceByCentering(*framing.centre_ras_mm)
        self.composite.SetBackgroundVolumeID(background.GetID() if background is not None else None)
        self.composite.SetForegroundVolumeID(foreground.GetID() if foreground is not None else None)
        self.composite.SetForegroundOpacity(opacity if foreground is not None else 0.0)
        self.composite.SetLabelVolumeID(None)

    def _crop(self, pixels: Pixels, framing: Framing) -> Pixels:
        rows = framing.rows(self.size)
        start = (self.size - rows) // 2
        return np.ascontiguousarray(pixels[start : start + rows])

    def close(self) -> None:
        """Take the view out of the scene."""
        self.core.application_logic.GetSliceLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)
        for node in (self.composite, self.node):
            if node is not None and node.GetScene() is not None:
                self.core.scene.RemoveNode(node)

    def __enter__(self) -> Any:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Window:
    """An off-screen render window with a group of displayable managers."""

    def __init__(self, factory: Any, managers: Sequence[str], size: int, core: SlicerCore) -> None:
        self.renderer = vtk.vtkRenderer()
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(size, size)
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self.interactor.Initialize()
        self.factory = factory.GetInstance()
        self.factory.SetMRMLApplicationLogic(core.application_logic)
        for manager in managers:
            if not self.factory.IsDisplayableManagerRegistered(manager):
                self.factory.RegisterDisplayableManager(manager)
        self.group = slicer.vtkMRMLDisplayableManagerGroup()
        self.group.SetRenderer(self.renderer)

    def attach(self, view_node: Any) -> None:
        self.group.Initialize(self.factory, self.renderer)
        self.group.SetMRMLDisplayableNode(view_node)

    def pixels(self) -> Pixels:
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.Update()
        return _rgb(grab.GetOutput())

    def close(self) -> None:
        self.group.SetMRMLDisplayableNode(None)
        self.window.Finalize()


def _rgb(image: Any) -> Pixels:
    """Copy a VTK picture (origin at the lower left) as (H, W, 3), first row on top."""
    width, height, _ = image.GetDimensions()
    flat = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
    return np.ascontiguousarray(flat.reshape(height, width, -1)[::-1, :, :3])


class SliceView(_SliceBase):
    """Slicer's slice view, rendered off screen with OpenGL.

    Args:
        core: the running core.
        size: width and height in pixels.
        name: name of the slice node.
    """

    def __init__(self, core: SlicerCore, size: int = 560, name: str = "MeWM") -> None:
        super().__init__(core, size, name)
        self._window = _Window(slicer.vtkMRMLSliceViewDisplayableManagerFactory, _SLICE_MANAGERS, size, core)
        self._window.renderer.GetActiveCamera().ParallelProjectionOn()
        mapper = vtk.vtkImageMapper()
        mapper.SetColorWindow(255)
        mapper.SetColorLevel(127.5)
        self._actor = vtk.vtkActor2D()
        self._actor.SetMapper(mapper)
        self._actor.GetProperty().SetDisplayLocationToBackground()
        # The picture must be the first prop: 2D props are drawn in order, and later ones blend onto what is there.
        self._window.renderer.AddViewProp(self._actor)
        self._window.attach(self.node)

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
            outlines: segmentation nodes whose outlines are drawn; all others are hidden.

        Returns:
            (framing.rows(size), size, 3) uint8, first row on top.
        """
        self._place(framing, background, foreground, opacity)
        _show_only(self.core.scene, outlines)
        connection = self.logic.GetImageDataConnection()
        self._actor.SetVisibility(connection is not None)
        self._actor.GetMapper().SetInputConnection(connection)
        return self._crop(self._window.pixels(), framing)

    def close(self) -> None:
        self._window.close()
        super().close()


class BlendedSliceView(_SliceBase):
    """The same without OpenGL: Slicer's slice logic reslices and blends on the CPU, its label layer outlines."""

    def __init__(self, core: SlicerCore, size: int = 560, name: str = "MeWM") -> None:
        super().__init__(core, size, name)
        self._label_nodes: dict[tuple[str, str], Any] = {}

    def render(
        self,
        framing: Framing,
        background: Any,
        foreground: Any = None,
        opacity: float = 0.5,
        outlines: Sequence[Any] = (),
    ) -> Pixels:
        """Render one slice; arguments and answer as in `SliceView.render`."""
        self._place(framing, background, foreground, opacity)
        blend = self._blend()
        # Outside the volumes the picture is transparent; a slice view shows black there.
        pixels = np.where(blend[..., 3:] > 0, blend[..., :3], 0).astype(np.uint8)
        for segmentation in outlines:
            display = segmentation.GetDisplayNode()
            for segment_id in segmentation.GetSegmentation().GetSegmentIDs():
                if not display.GetSegmentVisibility2DOutline(segment_id):
                    continue
                mask = self._outline(framing, segmentation, segment_id)
                colour = segmentation.GetSegmentation().GetSegment(segment_id).GetColor()
                pixels[mask] = np.round(np.array(colour) * 255).astype(np.uint8)
        return self._crop(pixels, framing)

    def _blend(self) -> Pixels:
        connection = self.logic.GetImageDataConnection()
        if connection is None:
            return np.zeros((self.size, self.size, 4), np.uint8)
        connection.GetProducer().Update()
        image = connection.GetProducer().GetOutputDataObject(connection.GetIndex())
        flat = numpy_support.vtk_to_numpy(image.GetPointData().GetScalars())
        return flat.reshape(self.size, self.size, -1)[::-1]

    def _outline(self, framing: Framing, segmentation: Any, segment_id: str) -> NDArray[np.bool_]:
        """(size, size) mask of the outline of one segment, two pixels wide."""
        self._place(framing, None, None, 0.0)
        self.composite.SetLabelVolumeID(self._label_node(segmentation, segment_id).GetID())
        self.composite.SetLabelOpacity(1.0)
        inside = self._blend()[..., :3].max(axis=-1) > 0
        # Slicer's own label outline is one pixel wide, which is lost when the picture is scaled down for the report.
        shrunk = inside.copy()
        for axis in (0, 1):
            for step in (-2, -1, 1, 2):
                shrunk &= np.roll(inside, step, axis)
        return inside & ~shrunk

    def _label_node(self, segmentation: Any, segment_id: str) -> Any:
        key = (segmentation.GetID(), segment_id)
        if key not in self._label_nodes:
            image = slicer.vtkOrientedImageData()
            segmentation.GetBinaryLabelmapRepresentation(segment_id, image)
            node = self.core.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", f"{segment_id} layer")
            plain = vtk.vtkImageData()
            plain.DeepCopy(image)
            matrix = vtk.vtkMatrix4x4()
            image.GetImageToWorldMatrix(matrix)
            # the image holds the box around the segment; a volume node wants its first voxel at 0
            first = image.GetExtent()[::2]
            for row in range(3):
                shift = sum(matrix.GetElement(row, column) * first[column] for column in range(3))
                matrix.SetElement(row, 3, matrix.GetElement(row, 3) + shift)
            sizes = image.GetDimensions()
            plain.SetExtent(0, sizes[0] - 1, 0, sizes[1] - 1, 0, sizes[2] - 1)
            plain.SetOrigin(0, 0, 0)
            plain.SetSpacing(1, 1, 1)
            node.SetIJKToRASMatrix(matrix)
            node.SetAndObserveImageData(plain)
            node.CreateDefaultDisplayNodes()
            node.GetDisplayNode().SetAndObserveColorNodeID("vtkMRMLColorTableNodeLabels")
            self._label_nodes[key] = node
        return self._label_nodes[key]

    def close(self) -> None:
        self.composite.SetLabelVolumeID(None)
        for node in self._label_nodes.values():
            self.core.scene.RemoveNode(node.GetDisplayNode())
            self.core.scene.RemoveNode(node)
        super().close()


class ThreeDView:
    """Slicer's 3D view of segmentation surfaces, rendered off screen with OpenGL."""

    def __init__(self, core: SlicerCore, size: int = 560, name: str = "MeWM 3D") -> None:
        self.core, self.size = core, size
        self._window = _Window(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, _THREE_D_MANAGERS, size, core)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(core.application_logic)
        core.application_logic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(core.scene)
        self.node = self.logic.AddViewNode(name)
        self._window.attach(self.node)
        self._window.renderer.SetUseDepthPeeling(True)
        self.node.SetBoxVisible(False)
        self.node.SetAxisLabelsVisible(False)
        self.node.SetBackgroundColor(0.08, 0.10, 0.13)
        self.node.SetBackgroundColor2(0.26, 0.31, 0.36)

    def render(self, segmentations: Sequence[Any], centre_ras_mm: Sequence[float], width_mm: float) -> Pixels:
        """Render surfaces, seen from the front and slightly from the patient's right and above.

        Args:
            segmentations: segmentation nodes to show; all others are hidden.
            centre_ras_mm: the point in the middle of the picture.
            width_mm: side of the picture at that point.

        Returns:
            (size, size, 3) uint8, first row on top.
        """
        for segmentation in segmentations:
            segmentation.CreateClosedSurfaceRepresentation()
        _show_only(self.core.scene, segmentations)
        centre = np.asarray(centre_ras_mm, dtype=float)
        direction = np.array([0.35, 1.0, 0.25])
        camera = self._window.renderer.GetActiveCamera()
        camera.SetFocalPoint(*centre)
        camera.SetPosition(*(centre + 4.0 * width_mm * direction / np.linalg.norm(direction)))
        camera.SetViewUp(0, 0, 1)
        camera.ParallelProjectionOn()
        camera.SetParallelScale(width_mm / 2)
        self._window.renderer.ResetCameraClippingRange()
        return self._window.pixels()

    def close(self) -> None:
        """Take the view out of the scene."""
        self._window.close()
        self.core.application_logic.GetViewLogics().RemoveItem(self.logic)
        self.logic.SetMRMLScene(None)
        self.core.scene.RemoveNode(self.node)

    def __enter__(self) -> ThreeDView:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _show_only(scene: Any, segmentations: Sequence[Any]) -> None:
    shown = {node.GetID() for node in segmentations}
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLSegmentationNode")
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(node.GetID() in shown)
