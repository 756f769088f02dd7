"""Label maps to MRML segmentation nodes and back: liver and tumour with colours and terminology."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from MeWMLib.core.errors import LabelError
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, Geometry, LabelMap
from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.nodes import array_of_image, image_of_array, matrix_to_vtk

Colour = tuple[float, float, float]
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
_LIVER_CODE = "SCT^10200004^Liver"


@dataclass(frozen=True)
class SegmentLook:
    """How one segment is named, coded and drawn.

    Attributes:
        id: id and name of the segment.
        value: its value in a `LabelMap`.
        colour: RGB, 0 to 1.
        terminology: Slicer's serialised terminology entry, which DICOM SEG export uses.
        opacity_3d: of its surface.
    """

    id: str
    value: int
    colour: Colour
    terminology: str
    opacity_3d: float


def _terminology(category: str, kind: str, region: str) -> str:
    # context ~ category ~ type ~ type modifier ~ anatomic context ~ region ~ region modifier
    return "~".join([_CONTEXT, category, kind, "^^", _REGIONS, region, "^^"])


#: The two lesion colours differ for colour-blind readers too.
COLOUR_BEFORE: Colour = (0.25, 0.82, 1.0)
COLOUR_AFTER: Colour = (1.0, 0.66, 0.05)
COLOUR_LIVER: Colour = (0.867, 0.510, 0.396)

LIVER_LOOK = SegmentLook(
    "liver", LIVER, COLOUR_LIVER, _terminology("SCT^123037004^Anatomical Structure", _LIVER_CODE, "^^"), 0.33
)
TUMOUR_LOOK = SegmentLook(
    "tumour",
    TUMOUR,
    COLOUR_BEFORE,
    _terminology("SCT^49755003^Morphologically Altered Structure", "SCT^4147007^Mass", _LIVER_CODE),
    1.0,
)


def labels_to_segmentation(
    scene: Any, labels: LabelMap, name: str, reference_volume_node: Any = None, tumour_colour: Colour = COLOUR_BEFORE
) -> Any:
    """Add a label map to a scene as a segmentation node with the segments "liver" (tumour included) and "tumour".

    Args:
        scene: a `vtkMRMLScene`.
        labels: copied.
        name: name of the node.
        reference_volume_node: the CT, which gives the reference geometry.
        tumour_colour: RGB, 0 to 1.

    Returns:
        The new `vtkMRMLSegmentationNode`. A segment without a voxel is there, empty.
    """
    masks = {LIVER_LOOK: labels.liver, TUMOUR_LOOK: labels.tumour}
    node = _masks_to_segmentation(scene, masks, labels.geometry, name, tumour_colour)
    if reference_volume_node is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(reference_volume_node)
    draw_as_outline(node)
    return node


def labels_to_surfaces(scene: Any, labels: LabelMap, name: str, tumour_colour: Colour = COLOUR_BEFORE) -> Any:
    """Add a segmentation node for a 3D picture.

    Where the lesion reaches the surface of the liver, the liver is cut away around it: two surfaces in one place would
    flicker through each other.
    """
    coarse = _coarser(labels)
    liver, lesion = coarse.liver.copy(), coarse.tumour
    rim = liver & ~ndimage.binary_erosion(liver, iterations=3)
    liver &= ~ndimage.binary_dilation(lesion & rim, iterations=3)
    node = _masks_to_segmentation(scene, {LIVER_LOOK: liver, TUMOUR_LOOK: lesion}, coarse.geometry, name, tumour_colour)
    draw_as_outline(node)
    return node


def _coarser(labels: LabelMap, voxel_mm: float = 1.4) -> LabelMap:
    """The box around the liver with voxels of about `voxel_mm` where they were finer: a picture needs no more."""
    box = ndimage.find_objects(labels.liver.astype(np.uint8))
    if not box:
        return labels
    start = [max(0, s.start - 4) for s in box[0]]
    stop = [min(n, s.stop + 4) for s, n in zip(box[0], labels.array.shape, strict=True)]
    steps = [max(1, round(voxel_mm / spacing)) for spacing in labels.geometry.spacing]
    cut = tuple(slice(*bounds) for bounds in zip(start, stop, steps, strict=True))
    array = np.ascontiguousarray(labels.array[cut])
    affine = np.array(labels.geometry.crop((start[0], start[1], start[2]), labels.array.shape).affine)
    affine[:3, :3] *= steps[::-1]
    return LabelMap(array, Geometry(array.shape, affine))


def _masks_to_segmentation(
    scene: Any, masks: dict[SegmentLook, NDArray[np.bool_]], geometry: Geometry, name: str, tumour_colour: Colour
) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    for look, mask in masks.items():
        segment = slicer.vtkSegment()
        segment.SetName(look.id)
        segment.SetColor(*(tumour_colour if look is TUMOUR_LOOK else look.colour))
        segment.SetTerminology(look.terminology)
        image = image_of_array(mask, slicer.vtkOrientedImageData)
        image.SetImageToWorldMatrix(matrix_to_vtk(geometry.affine))
        segment.AddRepresentation("Binary labelmap", image)
        node.GetSegmentation().AddSegment(segment, look.id)
    return node


def draw_as_outline(node: Any, line_width: int = 2, liver: bool = True) -> None:
    """Draw the segments as outlines in slice views, and as surfaces in 3D views."""
    display = node.GetDisplayNode()
    display.SetSliceIntersectionThickness(line_width)
    for look in (LIVER_LOOK, TUMOUR_LOOK):
        display.SetSegmentVisibility2DFill(look.id, False)
        display.SetSegmentVisibility2DOutline(look.id, liver or look is TUMOUR_LOOK)
        display.SetSegmentOpacity2DOutline(look.id, 1.0)
        display.SetSegmentOpacity3D(look.id, look.opacity_3d)


def segmentation_to_labels(node: Any, geometry: Geometry, liver: str = "liver", tumour: str = "tumour") -> LabelMap:
    """Resample two segments of a segmentation node to a grid (nearest voxel).

    Args:
        node: a `vtkMRMLSegmentationNode`.
        geometry: the grid of the answer, usually that of the CT.
        liver, tumour: ids of the segments.

    Raises:
        LabelError: a segment is missing.
    """
    segmentation = node.GetSegmentation()
    present = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    grid = slicer.vtkOrientedImageData()
    grid.SetDimensions(geometry.shape[::-1])
    grid.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 1)
    grid.SetImageToWorldMatrix(matrix_to_vtk(geometry.affine))
    result = np.full(geometry.shape, BACKGROUND, np.uint8)
    for segment_id, value in ((liver, LIVER), (tumour, TUMOUR)):
        if segment_id not in present:
            raise LabelError(
                what=f"The segmentation has no segment {segment_id!r}",
                given=f"{node.GetName()} with {', '.join(present) or 'no segment'}",
                remedy="Choose the segments of liver and tumour",
            )
        image = slicer.vtkOrientedImageData()
        node.GetBinaryLabelmapRepresentation(segment_id, image)
        if image.IsEmpty():
            continue
        resampled = slicer.vtkOrientedImageData()
        slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(image, grid, resampled, False)
        result[array_of_image(resampled) > 0] = value
    return LabelMap(result, geometry)
