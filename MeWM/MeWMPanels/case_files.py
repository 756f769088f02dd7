"""From nodes to the files that a worker reads. Nodes are copied on Qt's thread, files are written on another."""

from dataclasses import dataclass, field, replace

import numpy as np
from slicer.i18n import tr as _

from MeWMLib.core import io
from MeWMLib.core.errors import GeometryError, InputError, LabelError, NoTumourError
from MeWMLib.core.regions import write_region
from MeWMLib.core.structures import meaning_of_entry
from MeWMLib.core.territory import Territory
from MeWMLib.scene.nodes import hold_volume, node_to_volume
from MeWMLib.scene.segmentations import hold_segments
from MeWMPanels.parameters import clinical_json


class NoCTError(InputError):
    """No CT is chosen, or the chosen volume cannot be used as one."""


class NoSegmentationError(InputError):
    """No segmentation is chosen."""


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


def hold_labels(parameters):
    """Copy the chosen segments of liver and tumour, on their own grids.

    Raises:
        NoSegmentationError: no segmentation is chosen.
        GeometryError: it is under a transform.
        LabelError: no segment is chosen for the tumour, or one does not exist.
    """
    node = parameters.segmentation
    if node is None:
        raise NoSegmentationError(
            what=_("There is no segmentation yet"),
            remedy=_("Press Find liver and tumour in the panel Segmentation, or choose a segmentation there"),
        )
    if node.GetParentTransformNode() is not None:
        raise GeometryError(
            what=_("The segmentation is under a transform"),
            given=node.GetName(),
            remedy=_("Harden the transform (right click in the Data module) or take the segmentation out of it"),
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
        self._clinical = clinical_json(parameters.clinical)
        self._session = session_inputs(parameters)
        painted, known = parameters.fed_segment, dict(segments_of(parameters.segmentation))
        self._fed = hold_segments(parameters.segmentation, painted, painted) if painted in known else None

    def write(self, folder):
        """Read both, write them for a worker; returns `Case`.

        Raises:
            NotCTError: the CT holds values that no CT holds.
            NoTumourError: no voxel is tumour.
        """
        volume = self._ct.read()
        labels = require_tumour(self._segments.read(volume.geometry), self._segments.name)
        session = dict(self._session)
        if self._fed is not None:
            write_region(self._fed.read(volume.geometry).liver, volume.geometry, folder / "fed.nrrd")
            session["fed"] = str(folder / "fed.nrrd")
        return replace(written_case(volume, labels, self._clinical, folder), session=session)


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
    """A CT with its labels, and what a job is told of them; `session` is for jobs that treat."""

    volume: object
    labels: object
    inputs: dict
    session: dict = field(default_factory=dict)


def written_case(volume, labels, clinical, folder):
    """Write a CT and its labels for a worker."""
    drawn = folder / "labels.nrrd"
    io.write_labels(labels, drawn)
    return Case(volume, labels, {"case": str(write_ct(volume, folder)), "labels": str(drawn), "clinical": clinical})


def write_ct(volume, folder):
    """Write a CT; returns the path."""
    path = folder / "ct.nrrd"
    io.write_volume(volume, path)
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
