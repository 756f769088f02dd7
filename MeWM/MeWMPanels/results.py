"""Results as nodes: a comparison is a folder of nodes that know each other, also after the scene was saved and read."""

import json
import uuid
from dataclasses import dataclass, replace

import numpy as np
import slicer
from slicer.i18n import tr as _

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.scene.comparison import build_comparison, prepare
from MeWMLib.scene.nodes import PREFIX, fill_volume_node, node_to_volume
from MeWMLib.scene.plan_folder import ShownCandidate, open_plan_folder
from MeWMLib.scene.survival_plot import survival_nodes

_ID, _ROLE, _RANK = PREFIX + "Comparison", PREFIX + "Role", PREFIX + "Rank"
_CT, _LABELS = "MeWM.CT", "MeWM.Labels"


@dataclass
class Source:
    """The nodes that a task began with; they may be deleted before it ends."""

    ct: object
    segmentation: object

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
    if not (folder / "plan.json").is_file():
        return ()
    return open_plan_folder(folder).candidates


def read(folders, before, labels):
    """Read plan folders, on a thread: one plan with all candidates by rising risk, and the kept volumes."""
    plans = [open_plan_folder(folder) for folder in folders]
    pairs = [(plan, candidate) for plan in plans for candidate in plan.candidates]
    pairs.sort(key=lambda pair: pair[1].risk)
    candidates, simulated = [], []
    for rank, (plan, candidate) in enumerate(pairs, start=1):
        if candidate.files:
            one = plan.read_simulated(candidate, before, deviation=not simulated)
            simulated.append(replace(one, candidate=replace(candidate, rank=rank)))
        candidates.append(replace(candidate, rank=rank))
    if not candidates:
        raise UnreadableFileError(
            what=_("Nothing was simulated yet when the job was stopped"), remedy=_("Let it run a little longer")
        )
    data = {**plans[0].data, "candidates": [_entry(plan, c) for (plan, _c), c in zip(pairs, candidates, strict=True)]}
    plan = replace(plans[0], data=data, candidates=tuple(candidates))
    return plan, simulated, prepare(before, labels, simulated)


def _entry(plan, candidate):
    """A candidate as in plan.json, with its new rank; its files lie in the scene now."""
    for entry in plan.data["candidates"]:
        if entry["protocol"] == candidate.protocol:
            kept = {"kept": True} if candidate.files else {"kept": False}
            return {**entry, "rank": candidate.rank, "files": {}, **kept}
    raise UnreadableFileError(what=_("A candidate is missing in the plan"), given=candidate.protocol)


def add(scene, loaded, before, labels, source):
    """Add a comparison to the scene, all of it or nothing.

    Returns:
        The new `Comparison`.
    """
    plan, simulated, prepared = loaded
    ct, segmentation = source.nodes(scene)
    known = {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}
    try:
        given = {"ct_node": ct, "labels_node": segmentation, "prepared": prepared}
        nodes = build_comparison(scene, plan, before, labels, simulated, **given)
        nodes += survival_nodes(scene, plan.candidates)
        text = scene.AddNewNodeByClass("vtkMRMLTextNode", "MeWM plan (JSON)")
        text.SetText(json.dumps(plan.data))
        nodes.append(text)
    except Exception:
        for n in reversed(range(scene.GetNumberOfNodes())):
            node = scene.GetNthNode(n)
            if node is not None and node.GetID() not in known:
                scene.RemoveNode(node)
        raise
    name = uuid.uuid4().hex[:12]
    for node in [*_steps(nodes), *nodes]:
        node.SetAttribute(_ID, name)
        node.SetAttribute(_ROLE, _role(node))
    text.SetAttribute(_ROLE, "plan")
    by_name = {node.GetName(): node for node in nodes}
    text.SetNodeReferenceID(_CT, (ct or by_name["CT before treatment"]).GetID())
    text.SetNodeReferenceID(_LABELS, (segmentation or by_name["Labels before treatment"]).GetID())
    _gather(scene, nodes)
    return Comparison(scene, text)


def _steps(nodes):
    """The volumes inside the sequences: their attributes are copied to the node that shows one of them."""
    return [
        node.GetNthDataNode(n)
        for node in nodes
        if node.IsA("vtkMRMLSequenceNode")
        for n in range(node.GetNumberOfDataNodes())
    ]


def _role(node):
    name = node.GetName()
    if node.IsA("vtkMRMLScalarVolumeNode"):
        marks = {"difference": "difference", "standard deviation": "uncertainty", "CT before": "ct"}
        return next((role for mark, role in marks.items() if mark in name), "simulated")
    if node.IsA("vtkMRMLSegmentationNode"):
        return "labels" if node.GetAttribute(_RANK) else "labels before"
    if node.IsA("vtkMRMLPlotChartNode"):
        return "survival chart" if "survival" in name else "risk chart"
    kinds = {"Table": "table", "SequenceBrowser": "browser", "Sequence": "sequence", "PlotSeries": "series"}
    return next((role for kind, role in kinds.items() if node.IsA(f"vtkMRML{kind}Node")), "text")


def _gather(scene, nodes):
    """Put nodes that were added later into the folder of the first one."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes[0]))
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if not item:
            hierarchy.CreateItem(folder, node)
        elif hierarchy.GetItemParent(item) != folder:
            hierarchy.SetItemParent(item, folder)


def all_comparisons(scene):
    """The comparisons of a scene, newest last."""
    texts = [
        scene.GetNthNodeByClass(n, "vtkMRMLTextNode") for n in range(scene.GetNumberOfNodesByClass("vtkMRMLTextNode"))
    ]
    return [Comparison(scene, text) for text in texts if text.GetAttribute(_ROLE) == "plan"]


class Comparison:
    """One comparison in the scene; every question is answered from its nodes, so a deleted one is simply not there."""

    def __init__(self, scene, text):
        self._scene, self._text = scene, text
        self.id = text.GetAttribute(_ID)
        self.data = json.loads(text.GetText() or "{}")
        self.candidates = tuple(ShownCandidate.from_json(c) for c in self.data.get("candidates", []))

    @property
    def title(self):
        """One line for a list."""
        best = self.candidates[0].protocol if self.candidates else ""
        stopped = _(", stopped early") if self.data.get("stopped_by") != "finished" else ""
        return f"{len(self.candidates)} " + _("protocols") + f"{stopped}: {best}"

    def node(self, role, rank=None):
        """The node of a role, or None."""
        for n in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(n)
            if node.GetAttribute(_ID) == self.id and node.GetAttribute(_ROLE) == role:
                if rank is None or node.GetAttribute(_RANK) == str(rank):
                    return node
        return None

    @property
    def ct(self):
        """The CT before treatment, or None if it was deleted."""
        return self._text.GetNodeReference(_CT)

    @property
    def labels(self):
        """The segmentation before treatment, or None."""
        return self._text.GetNodeReference(_LABELS)

    @property
    def kept(self):
        """Ranks of which the scene holds a simulated CT."""
        return tuple(c["rank"] for c in self.data.get("candidates", []) if c.get("kept"))

    @property
    def shown_rank(self):
        """Rank of the simulated CT that is shown."""
        node = self.node("simulated")
        return int(node.GetAttribute(_RANK)) if node is not None else 0

    @property
    def lesion(self):
        """Where the largest lesion is, RAS mm, or None."""
        lesions = self.data["findings"]["lesions"]
        return tuple(lesions[0]["centre_ras_mm"]) if lesions else None

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
            browser.SetSelectedItemNumber(index)
            slicer.modules.sequences.logic().UpdateProxyNodesFromSequences(browser)
            self._renew_difference(volume)
        for candidate in self.candidates:
            node = self.node("labels", candidate.rank)
            if node is not None and node.GetDisplayNode() is not None:
                node.GetDisplayNode().SetVisibility(candidate.rank == rank)
        return True

    def _renew_difference(self, volume):
        node, ct = self.node("difference"), self.ct
        if node is None or ct is None:
            return
        before, after = node_to_volume(ct), node_to_volume(volume)
        difference = np.subtract(after.array, before.array, dtype=np.float32)
        kind = node_to_volume(node).array.dtype
        fill_volume_node(node, after.with_array(difference.astype(kind)))
        rank = volume.GetAttribute(_RANK)
        node.SetAttribute(_RANK, rank)
        node.SetName(f"SIMULATED difference to before, rank {rank}")
