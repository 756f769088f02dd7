"""Results as nodes: a comparison is a folder of nodes that know each other, also after the scene was saved and read."""

from dataclasses import dataclass, replace
from functools import lru_cache

import slicer
import vtk
from slicer.i18n import tr as _

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.core.plan_folder import PLAN, PlanDocument, PlanFolder
from MeWMLib.core.records import parse_json
from MeWMLib.scene.comparison import FOLDER_NAME, difference_of, prepare, share_voxels
from MeWMLib.scene.nodes import fill_volume_node, hold_volume, image_of_array, scalars_of_image
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.plan_nodes import (
    COPIED,
    CT,
    ID,
    LABELS,
    ORIGIN,
    RANK,
    ROLE,
    SEGMENTS,
    USUAL_SEGMENTS,
    Given,
    plan_steps,
    plan_text,
)
from MeWMLib.scene.plan_nodes import PLAN as PLAN_ROLE


@dataclass
class Source:
    """Where a task began: its nodes, which may be deleted before it ends, and which segments are liver and tumour."""

    ct: object
    segmentation: object
    segments: tuple = USUAL_SEGMENTS
    #: What the task read; known once it has read it.
    origin: object = None

    def __post_init__(self):
        self.ct_id, self.segmentation_id = self.ct.GetID(), self.segmentation.GetID()
        self.ct = self.segmentation = None

    def nodes(self, scene):
        """CT and segmentation node, None for one that is gone."""
        return scene.GetNodeByID(self.ct_id), scene.GetNodeByID(self.segmentation_id)

    def gone(self, scene):
        """True if the CT was deleted."""
        return scene.GetNodeByID(self.ct_id) is None


def candidates_in(folder):
    """The candidates of the plan that a worker is writing; none before its first one."""
    return PlanFolder(folder).read(verify="none").plan.candidates if (folder / PLAN).is_file() else ()


def read(folders, before, labels):
    """Read plan folders, on a thread: one plan with all candidates, those of several plans by rising risk."""
    documents = [(folder, folder.read()) for folder in map(PlanFolder, folders)]
    found = [(folder, document, candidate) for folder, document in documents for candidate in document.plan.candidates]
    if not found:
        raise UnreadableFileError(
            what=_("The job was stopped before anything had been simulated"), remedy=_("Let it run a little longer")
        )
    if len(documents) > 1:  # a single plan is in its own order, in which weights may count beside the risk
        found.sort(key=lambda one: one[2].risk.log_risk)
    kept = []
    for rank, (folder, document, candidate) in enumerate(found, start=1):
        if candidate.files:
            one = folder.read_candidate(document, candidate, before, deviation=not kept)
            kept.append(replace(one, candidate=replace(candidate, rank=rank)))
    candidates = tuple(candidate for *_folder, candidate in found)
    first = documents[0][1]
    ready = prepare(before, labels, kept, first.target_centre)
    document = replace(first, plan=replace(first.plan, candidates=candidates))
    text = plan_text(document)
    # the panels ask for it as soon as the node is there, on Qt's thread
    _document(text)
    return document, kept, ready, text


@lru_cache(maxsize=8)
def _document(text):
    """The plan in a text node; a refresh of the panels asks for it again and again."""
    return PlanDocument.from_json(parse_json(text, _("The plan in the scene")))


def adding(scene, loaded, before, labels, source):
    """Add a comparison to the scene, all of it or nothing: a generator that stops after each node.

    A user may do anything between two steps. If the CT or its segmentation is deleted, it starts again without them; if
    the generator is closed, or fails, its nodes are taken away again.

    Returns:
        The new `Comparison`.
    """
    while True:
        mine, nodes = [], source.nodes(scene)
        steps = _tracked(scene, _comparison_steps(scene, loaded, before, labels, nodes, source), mine)
        try:
            while source.nodes(scene) == nodes:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                yield
        except BaseException:
            _take_away(scene, mine)
            raise
        steps.close()
        _take_away(scene, mine)


def _ids(scene):
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def _tracked(scene, steps, mine):
    """Run a generator and collect the nodes that its steps add, display and storage nodes among them."""
    while True:
        known = _ids(scene)
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        finally:
            mine += [scene.GetNodeByID(node_id) for node_id in _ids(scene) - known]
        yield


def _take_away(scene, nodes):
    # the browser first: as long as it is there, Slicer puts a new volume in the place of the one that it shows
    for node in sorted(nodes, key=lambda node: not node.IsA("vtkMRMLSequenceBrowserNode")):
        # by the node itself: after the scene was closed its id may belong to another one
        if node.GetScene() is scene:
            scene.RemoveNode(node)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    items = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), items, True)
    for n in range(items.GetNumberOfIds()):
        item = items.GetId(n)
        if hierarchy.GetItemName(item) == FOLDER_NAME and not hierarchy.GetNumberOfItemChildren(item):
            hierarchy.RemoveItem(item)


def _comparison_steps(scene, loaded, before, labels, given_nodes, source):
    ct, segmentation = given_nodes
    document, simulated, prepared, text = loaded
    given = Given(ct, segmentation, source.segments, prepared, copied=ct is None, text=text)
    return Comparison(scene, (yield from plan_steps(scene, document, before, labels, simulated, source.origin, given)))


def all_comparisons(scene):
    """The comparisons of a scene, newest last."""
    texts = [
        scene.GetNthNodeByClass(n, "vtkMRMLTextNode") for n in range(scene.GetNumberOfNodesByClass("vtkMRMLTextNode"))
    ]
    return [Comparison(scene, text) for text in texts if text.GetAttribute(ROLE) == PLAN_ROLE]


class Comparison:
    """One comparison in the scene; every question is answered from its nodes, so a deleted one is simply not there."""

    def __init__(self, scene, text):
        self._scene, self._text = scene, text
        self.id = text.GetAttribute(ID)
        self.document = _document(text.GetText())
        self.candidates = self.document.plan.candidates

    @property
    def title(self):
        """One line for a list."""
        best = self.candidates[0].protocol.text if self.candidates else ""
        text = _("{n} protocols, stopped early: {best}") if self.document.plan.cancelled else _("{n} protocols: {best}")
        return text.format(n=len(self.candidates), best=best)

    def node(self, role, rank=None):
        """The node of a role, or None."""
        return next((node for node in self._nodes(role) if rank is None or node.GetAttribute(RANK) == str(rank)), None)

    def _nodes(self, role):
        """The nodes of a role, one for each rank that has one; each call looks through the whole scene."""
        for n in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(n)
            if node.GetAttribute(ID) == self.id and node.GetAttribute(ROLE) == role:
                yield node

    def show_chart(self, role):
        """Show a chart in a layout that has a plot view."""
        slicer.app.layoutManager().setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView)
        for n in range(self._scene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode")):
            self._scene.GetNthNodeByClass(n, "vtkMRMLPlotViewNode").SetPlotChartNodeID(self.node(role).GetID())

    @property
    def origin(self):
        """What it was computed from, or None where it does not say."""
        text = self._text.GetAttribute(ORIGIN)
        return Origin.from_text(text) if text else None

    @property
    def copied(self):
        """True if the CT was deleted while it was computed, so that it brought a copy."""
        return self._text.GetAttribute(COPIED) is not None

    @property
    def ct(self):
        """The CT before treatment, or None if it was deleted."""
        return self._text.GetNodeReference(CT)

    @property
    def labels(self):
        """The segmentation before treatment, or None."""
        return self._text.GetNodeReference(LABELS)

    @property
    def segments(self):
        """Ids of liver and tumour in `labels`."""
        found = zip(SEGMENTS, USUAL_SEGMENTS, strict=True)
        return tuple(self._text.GetAttribute(attribute) or usual for attribute, usual in found)

    @property
    def kept(self):
        """Ranks of which the scene holds a simulated CT."""
        return tuple(sorted(self.simulated_nodes))

    @property
    def outlines(self):
        """The segmentations after treatment, one for each rank that the scene holds; those before have no rank."""
        return [node for node in self._nodes("labels") if node.GetAttribute(RANK) is not None]

    @property
    def shown_rank(self):
        """Rank of the simulated CT that is shown."""
        node = self.node("simulated")
        return int(node.GetAttribute(RANK)) if node is not None else 0

    @property
    def lesion(self):
        """Where the target is, RAS mm, or None."""
        return self.document.target_centre

    def show_rank(self, rank):
        """Put the simulated CT of a rank into the volume that is shown, with its outlines and difference."""
        if rank not in self.kept:
            return False
        sequence, browser = self.node("sequence"), self.node("browser")
        volume = self.node("simulated")
        if volume is None:
            return False
        if sequence is not None and browser is not None and rank != self.shown_rank:
            values = [sequence.GetNthIndexValue(n) for n in range(sequence.GetNumberOfDataNodes())]
            index = values.index(str(rank))
            share_voxels(browser, sequence)  # in a scene of an older version it does not yet
            browser.SetSelectedItemNumber(index)
            if self.shown_rank != rank:
                # the module Sequences follows the browser by itself; a second time would copy the volume again
                slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
        for node in self.outlines:
            if node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(node.GetAttribute(RANK) == str(rank))
        return True

    @property
    def simulated_nodes(self):
        """Volume nodes by rank of every simulated CT that the scene holds."""
        sequence, shown = self.node("sequence"), self.node("simulated")
        if sequence is None:
            return {self.shown_rank: shown} if shown is not None else {}
        count = sequence.GetNumberOfDataNodes()
        return {int(sequence.GetNthIndexValue(n)): sequence.GetNthDataNode(n) for n in range(count)}

    def difference_work(self):
        """What a thread must do so that the difference is that of the rank that is shown, or None."""
        node, ct, volume = self.node("difference"), self.ct, self.node("simulated")
        if node is None or ct is None or volume is None or node.GetAttribute(RANK) == volume.GetAttribute(RANK):
            return None
        before, after = hold_volume(ct), hold_volume(volume)

        def work():
            array = difference_of(scalars_of_image(before.image), scalars_of_image(after.image))
            return replace(after.read(), array=array), image_of_array(array)

        return work

    def set_difference(self, made, rank):
        """Show what `difference_work` has made, unless another rank is shown by now."""
        node = self.node("difference")
        if node is None or rank != self.shown_rank:
            return
        fill_volume_node(node, *made)
        node.SetAttribute(RANK, str(rank))
        node.SetName(f"SIMULATED difference to before, rank {rank}")
