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
from MeWMLib.core.volume import BACKGROUND, LIVER, TUMOUR, Geometry, LabelMap
from MeWMLib.scene.core_app import slicer, vtk
from MeWMLib.scene.nodes import image_of_array, matrix_from_vtk, matrix_to_vtk, scalars_of_image

Colour = tuple[float, float, float]
_CONTEXT = "Segmentation category and type - 3D Slicer General Anatomy list"
_REGIONS = "Anatomic codes - DICOM master list"
#: Slicer's name of the representation as voxels.
BINARY = "Binary labelmap"
#: Grids whose voxels lie so far apart at most (in voxels) are one grid.
_ALIGNED_VOXELS = 0.01
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


@dataclass(frozen=True, eq=False)
class PreparedLabels:
    """The segments of a label map as VTK images; no node is needed for it, so a thread may make it."""

    images: dict[SegmentLook, Any]


def prepare_labels(labels: LabelMap) -> PreparedLabels:
    """Cut out the segments "liver" (tumour included) and "tumour"."""
    return _prepare_masks({LIVER_LOOK: labels.liver, TUMOUR_LOOK: labels.tumour}, labels.geometry)


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
        labels: copied; a prepared one is taken as it is.
        name: name of the node.
        reference_volume_node: the CT, which gives the reference geometry.
        tumour_colour: RGB, 0 to 1.

    Returns:
        The new `vtkMRMLSegmentationNode`. A segment without a voxel is there, empty.
    """
    prepared = labels if isinstance(labels, PreparedLabels) else prepare_labels(labels)
    node = _add_segmentation(scene, prepared, name, tumour_colour)
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
    prepared = _prepare_masks({LIVER_LOOK: liver, TUMOUR_LOOK: lesion}, coarse.geometry)
    node = _add_segmentation(scene, prepared, name, tumour_colour)
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


def _prepare_masks(masks: dict[SegmentLook, NDArray[np.bool_]], geometry: Geometry) -> PreparedLabels:
    """Each mask as an image of the box around it: the rest of the grid is nothing, and copying that takes time."""
    images = {}
    for look, mask in masks.items():
        start, stop = _box(mask)
        cut = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        image = image_of_array(mask[cut], slicer.vtkOrientedImageData)
        # an extent that does not begin at 0 keeps the voxels on the grid of the CT, to the last bit
        (k0, j0, i0), (k1, j1, i1) = start, stop
        image.SetExtent(i0, i1 - 1, j0, j1 - 1, k0, k1 - 1)
        image.SetImageToWorldMatrix(matrix_to_vtk(geometry.affine))
        images[look] = image
    return PreparedLabels(images)


def _box(mask: NDArray[np.bool_]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """First voxel and the one after the last of the box around a mask; of an empty mask the first voxel alone."""
    sides = [np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis))) for axis in range(3)]
    if not all(len(side) for side in sides):
        return (0, 0, 0), (1, 1, 1)
    return tuple(int(s[0]) for s in sides), tuple(int(s[-1]) + 1 for s in sides)


def _add_segmentation(scene: Any, prepared: PreparedLabels, name: str, tumour_colour: Colour) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    for look, image in prepared.images.items():
        segment = slicer.vtkSegment()
        segment.SetName(look.id)
        segment.SetColor(*(tumour_colour if look is TUMOUR_LOOK else look.colour))
        segment.SetTerminology(look.terminology)
        segment.AddRepresentation(BINARY, image)
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
    present = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
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
        mask, grid = mask_of_segment(segment)
        if mask is not None and grid is not None:
            layers.append((value, mask, grid))
    return HeldSegments(node.GetName(), tuple(layers))


def mask_of_segment(segment: Any) -> tuple[NDArray[np.bool_] | None, Geometry | None]:
    """Copy the voxels of a `vtkSegment`, with their grid; None for one that holds none.

    Raises:
        GeometryError: its grid cannot be used.
    """
    image = segment.GetRepresentation(BINARY)
    if image is None or image.IsEmpty():
        return None, None
    # several segments may share one image, each with a value of its own
    return scalars_of_image(image) == segment.GetLabelValue(), _grid_of(image)


def segmentation_to_labels(node: Any, geometry: Geometry, liver: str = "liver", tumour: str = "tumour") -> LabelMap:
    """Resample two segments of a segmentation node to a grid (nearest voxel).

    Args:
        node: a `vtkMRMLSegmentationNode`.
        geometry: the grid of the answer, usually that of the CT.
        liver, tumour: ids of the segments.

    Raises:
        LabelError: a segment is missing.
        GeometryError: the grid of a segment cannot be used.
    """
    return hold_segments(node, liver, tumour).read(geometry)


def _grid_of(image: Any) -> Geometry:
    """The grid of a `vtkOrientedImageData`, whose extent may begin anywhere."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = matrix_from_vtk(matrix)
    affine[:3, 3] += affine[:3, :3] @ np.array(image.GetExtent()[::2], dtype=np.float64)
    return Geometry(image.GetDimensions()[::-1], affine)


def _paint(result: NDArray[np.uint8], geometry: Geometry, value: int, mask: NDArray[np.bool_], grid: Geometry) -> None:
    """Write `value` where the mask is, on a grid of its own."""
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
