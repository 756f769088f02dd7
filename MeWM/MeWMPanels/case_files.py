"""From nodes to the files that a worker reads. Nodes are copied on Qt's thread, files are written on another."""

import numpy as np
from slicer.i18n import tr as _

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryError, InputError, LabelError, NoTumourError
from MeWMLib.scene.nodes import node_to_volume
from MeWMLib.scene.segmentations import segmentation_to_labels

_NAMES = {
    "liver": ("liver",),
    "tumour": ("tumour", "tumor", "lesion", "hcc", "mass", "neoplasm"),
}


def segments_of(node):
    """Ids and names of the segments of a segmentation node, in order."""
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return [(segment_id, segmentation.GetSegment(segment_id).GetName()) for segment_id in ids]


def guess_segment(node, kind):
    """Id of the segment whose name says that it is the liver or the tumour, or ""."""
    for segment_id, name in segments_of(node):
        words = f"{segment_id} {name}".lower()
        # "liver tumour" is a tumour
        if any(w in words for w in _NAMES[kind]) and (
            kind == "tumour" or not any(w in words for w in _NAMES["tumour"])
        ):
            return segment_id
    return ""


def ct_of(parameters):
    """Copy the chosen CT.

    Raises:
        InputError: none is chosen.
        GeometryError: it lies under a transform, or its grid cannot be used.
        NotCTError: it is no scalar volume.
    """
    if parameters.ct is None:
        raise InputError(
            what=_("No CT was chosen"),
            remedy=_("Choose the CT before treatment in the panel Patient, or load the sample"),
        )
    volume = node_to_volume(parameters.ct)
    if volume.simulated is not None:
        raise InputError(
            what=_("The chosen volume is a simulated one"),
            given=parameters.ct.GetName(),
            remedy=_("Choose the scan before treatment"),
        )
    if parameters.phase != "unknown":
        volume = type(volume)(volume.array, volume.geometry, parameters.phase)
    return volume


def labels_of(parameters, geometry):
    """Copy the chosen segmentation onto the grid of the CT.

    Raises:
        InputError: none is chosen.
        GeometryError: it lies under a transform.
        LabelError: no segment is chosen for the tumour, or one does not exist.
        NoTumourError: there is no voxel of tumour.
    """
    node = parameters.segmentation
    if node is None:
        raise InputError(
            what=_("There is no segmentation yet"),
            remedy=_("Press Find liver and tumour in the panel Segmentation, or choose a segmentation there"),
        )
    if node.GetParentTransformNode() is not None:
        raise GeometryError(
            what=_("The segmentation lies under a transform"),
            given=node.GetName(),
            remedy=_("Harden the transform (right click in the Data module) or take the segmentation out of it"),
        )
    if not parameters.tumour_segment or not parameters.liver_segment:
        raise LabelError(
            what=_("It is not known which segment is the liver and which the tumour"),
            given=", ".join(name for _id, name in segments_of(node)) or _("a segmentation without a segment"),
            remedy=_("Choose both segments in the panel Segmentation"),
        )
    labels = segmentation_to_labels(node, geometry, parameters.liver_segment, parameters.tumour_segment)
    if not labels.tumour.any():
        raise NoTumourError(
            what=_("The segment of the tumour is empty"),
            given=node.GetName(),
            remedy=_("Press Find liver and tumour, or draw the tumour in the Segment Editor"),
        )
    return labels


def write_ct(volume, folder):
    """Write a CT; returns the path."""
    path = folder / "ct.nrrd"
    io.write_volume(volume, path)
    return path


def write_labels(labels, folder):
    """Write labels; returns the path."""
    path = folder / "labels.nrrd"
    io.write_labels(labels, path)
    return path


def same_voxels(node, volume):
    """True if a node still holds the voxels of a volume."""
    if node is None or node.GetScene() is None or node.GetImageData() is None:
        return False
    try:
        now = node_to_volume(node)
    except (GeometryError, InputError):
        return False
    return now.geometry.same_as(volume.geometry) and np.array_equal(now.array, volume.array)
