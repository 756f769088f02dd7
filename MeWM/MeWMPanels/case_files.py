"""From nodes to the files that a worker reads. Nodes are copied on Qt's thread, files are written on another."""

from dataclasses import dataclass, field, replace

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryError, InputError, LabelError, NoTumourError
from MeWMLib.core.regions import write_region
from MeWMLib.core.structures import meaning_of_entry
from MeWMLib.core.territory import Territory
from MeWMLib.core.volume import Geometry
from MeWMLib.scene.nodes import get_provenance, hold_volume, matrix_from_vtk, node_geometry, node_to_volume
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.segmentations import hold_segments
from MeWMPanels.editor import simulated_error
from MeWMPanels.origin import origin_of
from MeWMPanels.parameters import clinical_json


class NoCTError(InputError):
    """No CT is chosen, or the chosen volume cannot be used as one."""


class NoSegmentationError(InputError):
    """No segmentation is chosen."""


class OtherScanError(GeometryError):
    """The segmentation belongs to another scan."""


def segments_of(node):
    """Ids and names of the segments of a segmentation node, in order."""
    if node is None:
        return []
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return [(segment_id, segmentation.GetSegment(segment_id).GetName()) for segment_id in ids]


def guess_segment(node, kind):
    """Id of the segment that surely is the liver or the tumour, by terminology and name.

    "" where none is and where several are: then the user chooses.
    """
    found = []
    for segment_id, name in segments_of(node):
        structure = meaning_of_entry(
            name, node.GetSegmentation().GetSegment(segment_id).GetTerminology() or ""
        ).structure
        if structure is not None and structure.name == kind:
            found.append(segment_id)
    return found[0] if len(found) == 1 else ""


def hold_ct(parameters):
    """Take hold of the chosen CT; its voxels are copied later, on a thread, by `read`.

    Raises:
        NoCTError: none is chosen, or it is a simulated one.
        GeometryError: it is under a transform, or its grid cannot be used.
        NotCTError: it is not a scalar volume.
    """
    if parameters.ct is None:
        raise NoCTError(
            what=_("No CT was chosen"),
            remedy=_("Choose the CT before treatment in the panel Patient, or load the sample"),
        )
    held = hold_volume(parameters.ct)
    if held.simulated is not None:
        raise NoCTError(
            what=_("The chosen volume is simulated"),
            given=parameters.ct.GetName(),
            remedy=_("Choose the scan before treatment"),
        )
    return held if parameters.phase == "unknown" else replace(held, phase=parameters.phase)


def ct_of(parameters):
    """Copy the chosen CT; errors as `hold_ct`."""
    return hold_ct(parameters).read()


def reference_of(node):
    """Name and grid of the volume that a segmentation was drawn on; None where the segmentation does not say it."""
    volume = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
    if volume is not None and volume.GetImageData() is not None and volume.GetParentTransformNode() is None:
        return volume.GetName(), node_geometry(volume)
    # the volume is gone, or the segmentation was read from a file: the grid alone is left
    converter, image = slicer.vtkSegmentationConverter, slicer.vtkOrientedImageData()
    text = node.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    if not text or not converter.DeserializeImageGeometry(text, image, False):
        return None
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    extent = np.array(image.GetExtent())
    affine, size = matrix_from_vtk(matrix), extent[1::2] - extent[::2] + 1
    affine[:3, 3] += affine[:3, :3] @ extent[::2].astype(float)
    return _("a volume that is not in the scene"), Geometry(tuple(int(n) for n in size[::-1]), affine)


def drawn_elsewhere(parameters):
    """The scan that the chosen segmentation was drawn on, in words, where that is another one than the CT; else ""."""
    ct, node = parameters.ct, parameters.segmentation
    if ct is None or node is None or ct.GetImageData() is None or ct.GetParentTransformNode() is not None:
        return ""
    found = reference_of(node)
    # a copy of the CT has another name and the same grid
    return "" if found is None or found[1].same_as(node_geometry(ct)) else f"{found[0]}: {found[1].describe()}"


def hold_labels(parameters):
    """Copy the chosen segments of liver and tumour, on their own grids.

    Raises:
        NoSegmentationError: no segmentation is chosen.
        GeometryError: it is under a transform, or was drawn on the grid of another CT.
        LabelError: no segment is chosen for the tumour, or one does not exist; or the segmentation is simulated.
    """
    node = parameters.segmentation
    if node is None:
        raise NoSegmentationError(
            what=_("There is no segmentation yet"),
            remedy=_("Press Find liver and tumour in the panel Segmentation, or choose a segmentation there"),
        )
    if get_provenance(node) is not None:
        raise simulated_error(node)
    if node.GetParentTransformNode() is not None:
        raise GeometryError(
            what=_("The segmentation is under a transform"),
            given=node.GetName(),
            remedy=_("Harden the transform (right click in the Data module) or take the segmentation out of it"),
        )
    elsewhere = drawn_elsewhere(parameters)
    if elsewhere:
        raise OtherScanError(
            what=_("The segmentation was drawn on another scan"),
            given=f"{node.GetName()}; {elsewhere}",
            remedy=_(
                "Choose the segmentation of this CT, or press Find liver and tumour. If it does belong to this CT, "
                "choose the CT as its source geometry in the Segment Editor"
            ),
        )
    if not parameters.tumour_segment or not parameters.liver_segment:
        raise LabelError(
            what=_("MeWM cannot tell which segment is the liver and which is the tumour"),
            given=", ".join(name for _id, name in segments_of(node)) or _("a segmentation without a segment"),
            remedy=_("Choose both segments in the panel Segmentation"),
        )
    return hold_segments(node, parameters.liver_segment, parameters.tumour_segment)


def require_tumour(labels, name):
    """Raise `NoTumourError` where no voxel is tumour."""
    if not labels.tumour.any():
        raise NoTumourError(
            what=_("The segment of the tumour is empty"),
            given=name,
            remedy=_("Press Find liver and tumour, or draw the tumour in the Segment Editor"),
        )
    return labels


def labels_of(parameters, geometry):
    """Copy the chosen segmentation onto the grid of the CT; errors as `hold_labels` and `require_tumour`."""
    held = hold_labels(parameters)
    return require_tumour(held.read(geometry), held.name)


class HeldCase:
    """CT and segmentation as they are when a button is pressed; `read` and `write` are for a thread.

    Args:
        parameters: the typed parameter node.

    Raises:
        MeWMError: as `hold_ct` and `hold_labels`.
    """

    def __init__(self, parameters):
        self._ct, self._segments = hold_ct(parameters), hold_labels(parameters)
        self._clinical, self._goal = clinical_json(parameters.clinical), parameters.exploration.goal
        self._session = session_inputs(parameters)
        painted, known = parameters.fed_segment, dict(segments_of(parameters.segmentation))
        self._fed = hold_segments(parameters.segmentation, painted, painted) if painted in known else None

    def read(self):
        """CT and labels on its grid, for a thread."""
        volume = self._ct.read()
        return volume, self._segments.read(volume.geometry)

    def write(self, folder):
        """Read both, write them for a worker; returns `Case`.

        Raises:
            NotCTError: the CT holds values that no CT holds.
            NoTumourError: no voxel is tumour.
        """
        volume, labels = self.read()
        require_tumour(labels, self._segments.name)
        session = dict(self._session)
        if self._fed is not None:
            write_region(self._fed.read(volume.geometry).liver, volume.geometry, folder / "fed.nrrd")
            session["fed"] = str(folder / "fed.nrrd")
        return replace(written_case(volume, labels, self._clinical, folder, self._goal), session=session)


def session_inputs(parameters):
    """What the panel says of the session, as inputs of a job: targets and territory.

    Raises:
        TerritoryError: the territory cannot be read.
    """
    found = {"target": parameters.targets} if parameters.targets else {}
    if parameters.territory.strip():
        found["territory"] = Territory.parse(parameters.territory).text
    return found


@dataclass(frozen=True, eq=False)
class Case:
    """A CT with its labels, what a job is told of them, and their origin; `session` is for jobs that treat."""

    volume: object
    labels: object
    inputs: dict
    origin: Origin
    session: dict = field(default_factory=dict)


def written_case(volume, labels, clinical, folder, goal):
    """Write a CT and its labels for a worker; clinical data and goal are what counts for a proposal."""
    drawn = folder / "labels.nrrd"
    io.write_labels(labels, drawn)
    inputs = {"case": str(write_ct(volume, folder)), "labels": str(drawn), "clinical": clinical}
    return Case(volume, labels, inputs, origin_of(volume, labels, clinical, goal))


def write_ct(volume, folder):
    """Write a CT; returns the path. It is not packed: a worker beside us reads it, and what is sent is packed anew."""
    path = folder / "ct.nrrd"
    io.write_volume(volume, path, packed=False)
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
