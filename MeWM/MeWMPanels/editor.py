"""Slicer's Segment Editor: what it is handed, and that it edits no simulated result by mistake."""

import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import LabelError
from MeWMLib.scene.nodes import get_provenance

_KIND = "vtkMRMLSegmentEditorNode"
#: The Segment Editor keeps its choices in the node of its class with this tag.
_TAG = "SegmentEditor"


def open_editor(segmentation, ct):
    """Open the Segment Editor on a segmentation, with the CT as its source volume.

    Raises:
        LabelError: it is a simulated one.
    """
    if get_provenance(segmentation) is not None:
        raise simulated_error(segmentation)
    scene = slicer.mrmlScene
    node = scene.GetSingletonNode(_TAG, _KIND)
    if node is None:
        node = scene.CreateNodeByClass(_KIND)
        node.UnRegister(None)
        node.SetSingletonTag(_TAG)
        node = scene.AddNode(node)
    # before the module is opened: it reads its node then, and without one it would choose any segmentation and volume
    node.SetAndObserveSegmentationNode(segmentation)
    node.SetAndObserveSourceVolumeNode(ct)
    slicer.util.selectModule("SegmentEditor")


def simulated_error(node):
    """Why a simulated segmentation is neither edited nor simulated again."""
    return LabelError(
        what=_("This segmentation is simulated"),
        given=node.GetName(),
        remedy=_("It is a result and stays as it is. Choose the segmentation of the CT before treatment"),
    )


class Guard:
    """Takes a simulated segmentation out of the Segment Editor, whoever has chosen it there.

    Args:
        later: calls a function in the next turn of Qt's loop; the editor is in the middle of its change before that.
        told: called with the error that says why.
    """

    def __init__(self, later, told):
        self._later, self._told = later, told
        scene = slicer.mrmlScene
        self._observed = [(scene, scene.AddObserver(scene.NodeAddedEvent, self._added))]
        for n in range(scene.GetNumberOfNodesByClass(_KIND)):
            self._watch(scene.GetNthNodeByClass(n, _KIND))

    def _added(self, scene, _event):
        # which node it is, Python's observers are not told without a type of call data
        known = {id(node) for node, _tag in self._observed}
        for n in range(scene.GetNumberOfNodesByClass(_KIND)):
            node = scene.GetNthNodeByClass(n, _KIND)
            if id(node) not in known:
                self._watch(node)

    def _watch(self, node):
        self._observed.append((node, node.AddObserver("ModifiedEvent", self._chosen)))
        self._chosen(node)

    def _chosen(self, node, _event=None):
        segmentation = node.GetSegmentationNode()
        if segmentation is not None and get_provenance(segmentation) is not None:
            self._later(lambda: self._take_out(node))

    def _take_out(self, node):
        segmentation = node.GetSegmentationNode()
        if segmentation is not None and get_provenance(segmentation) is not None:
            node.SetAndObserveSegmentationNode(None)
            self._told(simulated_error(segmentation))

    def close(self):
        """Watch nothing any more."""
        for node, tag in self._observed:
            node.RemoveObserver(tag)
        self._observed = []


class Edits:
    """Tells when a segmentation is edited.

    Args:
        changed: called at every change.
    """

    def __init__(self, changed):
        self._changed, self._observed = changed, ()

    def follow(self, node):
        """Watch the segmentation of a node, or none."""
        segmentation = node.GetSegmentation() if node is not None else None
        if self._observed and self._observed[0] is segmentation:
            return
        for tag in self._observed[1:]:
            self._observed[0].RemoveObserver(tag)
        self._observed = ()
        if segmentation is not None:
            kind = slicer.vtkSegmentation
            events = (kind.SourceRepresentationModified, kind.SegmentModified, kind.SegmentAdded, kind.SegmentRemoved)
            tags = [segmentation.AddObserver(event, lambda *_args: self._changed()) for event in events]
            self._observed = (segmentation, *tags)
