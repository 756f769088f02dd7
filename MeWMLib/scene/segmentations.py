"""Label maps to MRML segmentation nodes and back: liver and tumour with colours and terminology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import LabelError
from MeWMLib.core.io import to_sitk
from MeWMLib.core.structures import LIVER_STRUCTURE, TUMOUR_STRUCTURE, Colour, Structure
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, Geometry, LabelMap
from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.nodes import image_of_array, matrix_from_vtk, matrix_to_vtk, scalars_of_image

#: Slicer's name of the representation as voxels.
BINARY = "Binary labelmap"
#: Two grids whose voxels differ by at most this much (in voxels) are one grid.
_ALIGNED_VOXELS = 0.01
#: The lesion before and after treatment; the two colours differ for colour-blind readers too.
COLOUR_BEFORE: Colour = TUMOUR_STRUCTURE.colour
COLOUR_AFTER: Colour = (1.0, 0.66, 0.05)
#: Opacity of the surfaces in 3D: the lesion is seen through the liver.
OPACITY_3D = {LIVER_STRUCTURE: 0.33, TUMOUR_STRUCTURE: 1.0}

#: The segments of a label map as VTK images; they need no node, so a thread may make them.
PreparedLabels = dict[Structure, Any]


def prepare_labels(labels: LabelMap) -> PreparedLabels:
    """Cut out the segments "liver" (tumour included) and "tumour".

    Each becomes an image of the box around it: the rest of the grid is empty, and copying it takes time.
    """
    images = {}
    for structure, mask in ((LIVER_STRUCTURE, labels.liver), (TUMOUR_STRUCTURE, labels.tumour)):
        box = box_of(mask)
        image = images[structure] = image_of_array(mask[box], slicer.vtkOrientedImageData)
        # an extent that does not begin at 0 keeps the voxels on the grid of the CT, to the last bit
        image.SetExtent([bound for side in reversed(box) for bound in (side.start, side.stop - 1)])
        image.SetImageToWorldMatrix(matrix_to_vtk(labels.geometry.affine))
    return images


def box_of(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box around a mask (K, J, I); of an empty mask the first voxel alone."""
    found = ndimage.find_objects(mask.view(np.uint8))
    return found[0] if found else (slice(0, 1),) * 3


def labels_to_segmentation(
    scene: Any,
    labels: LabelMap | PreparedLabels,
    name: str,
    reference_volume_node: Any = None,
    tumour_colour: Colour = COLOUR_BEFORE,
) -> Any:
    """Add a label map to a scene as a segmentation node with the segments "liver" (tumour included) and "tumour".

    Args:
        scene: a `vtkMRMLScene`.
        labels: copied; what `prepare_labels` made is taken as it is.
        name: name of the node.
        reference_volume_node: the CT, which gives the reference geometry.
        tumour_colour: RGB, 0 to 1.

    Returns:
        The new `vtkMRMLSegmentationNode`. A segment without a voxel is there, empty.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    prepared = prepare_labels(labels) if isinstance(labels, LabelMap) else labels
    for structure, image in prepared.items():
        segment = slicer.vtkSegment()
        segment.SetName(structure.name)
        segment.SetColor(*(tumour_colour if structure is TUMOUR_STRUCTURE else structure.colour))
        segment.SetTerminology(structure.terminology)
        segment.AddRepresentation(BINARY, image)
        node.GetSegmentation().AddSegment(segment, structure.name)
    if reference_volume_node is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference_volume_node)
    draw_as_outline(node)
    return node


def draw_as_outline(node: Any, liver: bool = True) -> None:
    """Draw the segments as outlines in slice views, and as surfaces in 3D views."""
    display = node.GetDisplayNode()
    display.SetSliceIntersectionThickness(2)
    for structure, opacity in OPACITY_3D.items():
        display.SetSegmentVisibility2DFill(structure.name, False)
        display.SetSegmentVisibility2DOutline(structure.name, liver or structure is TUMOUR_STRUCTURE)
        display.SetSegmentOpacity2DOutline(structure.name, 1.0)
        display.SetSegmentOpacity3D(structure.name, opacity)


@dataclass(frozen=True, eq=False)
class HeldSegments:
    """Segments of a segmentation node as they are now; `read` brings them onto a grid, on any thread.

    Attributes:
        name: of the node, for messages.
        layers: value in a `LabelMap`, voxels (K, J, I) that are the segment, and their grid.
    """

    name: str
    layers: tuple[tuple[int, NDArray[np.bool_], Geometry], ...]

    def read(self, geometry: Geometry) -> LabelMap:
        """The label map on a grid, nearest voxel; the last segment wins where two overlap."""
        result = np.full(geometry.shape, BACKGROUND, np.uint8)
        for value, mask, grid in self.layers:
            _paint(result, geometry, value, mask, grid)
        return LabelMap(result, geometry)


def hold_segments(node: Any, liver: str = "liver", tumour: str = "tumour") -> HeldSegments:
    """Copy two segments of a segmentation node, each on its own grid.

    Args:
        node: a `vtkMRMLSegmentationNode`. The Segment Editor writes into its voxels, so they are copied at once.
        liver, tumour: ids of the segments.

    Raises:
        LabelError: a segment is missing.
        GeometryError: the grid of a segment cannot be used.
    """
    segmentation = node.GetSegmentation()
    present = segmentation.GetSegmentIDs()
    layers = []
    for segment_id, value in ((liver, LIVER), (tumour, TUMOUR)):
        if segment_id not in present:
            raise LabelError(
                what=f"The segmentation has no segment {segment_id!r}",
                given=f"{node.GetName()} with {', '.join(present) or 'no segment'}",
                remedy="Choose the segments of liver and tumour",
            )
        segment = segmentation.GetSegment(segment_id)
        if segment.GetRepresentation(BINARY) is None:
            # drawn as a surface only
            segmentation.CreateRepresentation(BINARY)
        found = mask_of_segment(segment)
        if found is not None:
            layers.append((value, *found))
    return HeldSegments(node.GetName(), tuple(layers))


def mask_of_segment(segment: Any) -> tuple[NDArray[np.bool_], Geometry] | None:
    """Copy the voxels of a `vtkSegment`, with their grid; None for one that holds none.

    Raises:
        GeometryError: its grid cannot be used.
    """
    image = segment.GetRepresentation(BINARY)
    if image is None or image.IsEmpty():
        return None
    # several segments may share one image, each with a value of its own
    return scalars_of_image(image) == segment.GetLabelValue(), _grid_of(image)


def _grid_of(image: Any) -> Geometry:
    """The grid of a `vtkOrientedImageData`, whose extent may begin anywhere."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = matrix_from_vtk(matrix)
    affine[:3, 3] += affine[:3, :3] @ np.array(image.GetExtent()[::2], dtype=np.float64)
    return Geometry(image.GetDimensions()[::-1], affine)


def _paint(result: NDArray[np.uint8], geometry: Geometry, value: int, mask: NDArray[np.bool_], grid: Geometry) -> None:
    """Write `value` into a result where a mask, which has a grid of its own, is True."""
    start = geometry.to_kji(grid.affine[:3, 3])
    whole = np.rint(start).astype(int)
    far = geometry.to_kji(grid.to_ras(np.array(grid.shape) - 1)) - (whole + np.array(grid.shape) - 1)
    aligned = np.allclose(grid.affine[:3, :3], geometry.affine[:3, :3], atol=1e-4)
    if aligned and max(np.abs(start - whole).max(), np.abs(far).max()) < _ALIGNED_VOXELS:
        low = np.maximum(whole, 0)
        high = np.minimum(whole + mask.shape, result.shape)
        if (low < high).all():
            here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            there = tuple(slice(a, b) for a, b in zip(low - whole, high - whole, strict=True))
            result[here][mask[there]] = value
        return
    moving = to_sitk(LabelMap(mask.astype(np.uint8), grid))
    target = to_sitk(LabelMap(np.zeros(geometry.shape, np.uint8), geometry))
    moved = sitk.Resample(moving, target, sitk.Transform(), sitk.sitkNearestNeighbor, 0, sitk.sitkUInt8)
    result[sitk.GetArrayViewFromImage(moved) > 0] = value
