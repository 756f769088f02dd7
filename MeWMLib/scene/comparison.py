"""A plan as a Slicer scene: the scan below, the simulated CT above, labels, maps, table, plot, a sequence by rank."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from MeWMLib.core.outcome_words import written_lines
from MeWMLib.core.plan_folder import NAMED, KeptCandidate, PlanDocument
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.scene.colours import deviation_map, difference_map, round_limit
from MeWMLib.scene.core_app import slicer
from MeWMLib.scene.nodes import (
    PREFIX,
    SIMULATED,
    fill_volume_node,
    image_of_array,
    set_provenance,
    show_in_window,
    volume_to_node,
)
from MeWMLib.scene.search import search_chart, search_table
from MeWMLib.scene.segmentations import (
    COLOUR_AFTER,
    PreparedLabels,
    labels_to_segmentation,
    prepare_labels,
)
from MeWMLib.scene.tables import protocol_table, risk_chart
from MeWMLib.scene.target import Target, find_target
from MeWMLib.scene.views import AXIAL, CORONAL, SAGITTAL

FOREGROUND_OPACITY = 0.5
FOLDER_NAME = "MeWM plan"
#: Slicer's three standard slice views: layout name, orientation, label, colour of the bar.
_SLICE_VIEWS = (
    ("Red", AXIAL, "R", (0.952941, 0.290196, 0.2)),
    ("Green", CORONAL, "G", (0.431373, 0.690196, 0.294118)),
    ("Yellow", SAGITTAL, "Y", (0.929412, 0.835294, 0.298039)),
)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a comparison shows and what takes time to compute; no node is needed for it, so a thread may do it.

    Attributes:
        target: where the lesion is.
        difference: the best simulated CT minus the CT before, or None if nothing was kept.
        difference_hu, deviation_hu: limits of the colour maps.
        images: simulated CTs as VTK images, in their order.
        labels: their segmentations.
        maps: images of the difference and, where there is one, of the standard deviation.
    """

    target: Target
    difference: Volume | None
    difference_hu: float
    deviation_hu: float
    images: tuple[Any, ...] = ()
    labels: tuple[PreparedLabels, ...] = ()
    maps: tuple[Any, ...] = ()


def prepare(
    before: Volume, labels: LabelMap, simulated: Sequence[KeptCandidate], near: Sequence[float] | None = None
) -> Prepared:
    """Compute the part of a comparison that needs no scene; `near` as for `find_target`."""
    target = find_target(labels, near)
    if not simulated:
        return Prepared(target, None, 0.0, 0.0)
    best = simulated[0]
    difference = difference_of(before.array, best.ct.array)
    limit = round_limit(difference[difference != 0].astype(np.float32))
    deviation = round_limit(best.sd.array[best.sd.array > 0]) if best.sd is not None else 0.0
    return Prepared(
        target,
        before.with_array(difference),
        limit,
        deviation,
        tuple(image_of_array(one.ct.array) for one in simulated),
        tuple(prepare_labels(one.labels) for one in simulated),
        tuple(image_of_array(a) for a in (difference, *([best.sd.array] if best.sd is not None else []))),
    )


def difference_of(before: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    """After minus before in HU, as whole numbers where both are."""
    difference = np.subtract(after, before, dtype=np.float32)
    if before.dtype.kind in "iu" and np.abs(difference).max(initial=0) < np.iinfo(np.int16).max:
        return difference.astype(np.int16)
    return difference


def build_comparison(*arguments: Any, **named: Any) -> list[Any]:
    """Add a plan to a scene at one go; arguments and result as `comparison_steps`."""
    steps = comparison_steps(*arguments, **named)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("list[Any]", end.value)


def comparison_steps(
    scene: Any,
    document: PlanDocument,
    before: Volume,
    labels: LabelMap,
    simulated: Sequence[KeptCandidate],
    *,
    ct_node: Any = None,
    labels_node: Any = None,
    prepared: Prepared | None = None,
    mark: Callable[[Any], None] | None = None,
) -> Generator[None, None, list[Any]]:
    """Add a plan to a scene, everything in one folder of the subject hierarchy.

    A generator: it stops after each node, so that a window can stay alive between two of them.

    Args:
        scene: a `vtkMRMLScene` (in Slicer: `slicer.mrmlScene`).
        document: the plan, for the table and the settings.
        before: the CT before treatment.
        labels: liver and tumour on it.
        simulated: the kept candidates, best first; may be empty.
        ct_node, labels_node: nodes of `before` and `labels` that the scene holds already. They are not copied and stay
            where they are in the subject hierarchy; the folder is placed beside the CT.
        prepared: from `prepare` of the same arguments, if that was called before.
        mark: called with every node, also with the volumes inside the sequence.

    Returns:
        The nodes in the folder; without `ct_node` and `labels_node` the CT and its labels come first.
    """
    prepared = prepared or prepare(before, labels, simulated, document.target_centre)
    ct, nodes = ct_node, []
    if ct is None:
        ct = volume_to_node(scene, before, "CT before treatment")
        nodes.append(ct)
        yield
    if labels_node is None:
        nodes.append(labels_to_segmentation(scene, labels, "Labels before treatment", ct))
        yield
    foreground = sequence = None
    if simulated:
        foreground, sequence = yield from _simulated_cts(scene, document, simulated, prepared.images)
        nodes.append(foreground)
        for one, segments in zip(simulated, prepared.labels, strict=True):
            name = f"{SIMULATED} labels, {_called(document, one)}"
            segmentation = labels_to_segmentation(scene, segments, name, foreground, COLOUR_AFTER)
            segmentation.GetDisplayNode().SetVisibility(one is simulated[0])
            _mark(segmentation, one)
            nodes.append(segmentation)
            yield
        nodes += yield from _maps(scene, prepared, simulated[0])
    plan = document.plan
    table = protocol_table(scene, plan.candidates)
    nodes += [table, *risk_chart(scene, table)]
    if plan.tree:
        best = plan.best.protocol if plan.best else None
        nodes += [search_table(scene, plan.tree), *search_chart(scene, plan.tree, best)]
    nodes.append(_read_me(scene, document))
    yield
    browser = None
    if sequence is not None:
        browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", f"{SIMULATED} CT, browse by rank")
        nodes += [sequence, browser]
    steps = [sequence.GetNthDataNode(n) for n in range(sequence.GetNumberOfDataNodes())] if sequence is not None else []
    for node in [*steps, *nodes]:
        node.SetAttribute(PREFIX + "BundleSha256", document.bundle.sha256)
        node.SetAttribute(PREFIX + "Seed", str(document.seed))
        if mark is not None:
            mark(node)
    yield
    if sequence is not None:
        # now that nothing changes any more: each change of what it browses makes Slicer copy the volume again
        _browse(browser, sequence, foreground)
        yield
    _into_folder(scene, nodes, beside=ct_node)
    show_layers(scene, ct, foreground, prepared.target)
    return nodes


def show_layers(scene: Any, background: Any, foreground: Any, target: Target) -> None:
    """Show two volumes in Slicer's three slice views, at the lesion, the foreground at half opacity."""
    for name, orientation, label, colour in _SLICE_VIEWS:
        node, composite = slice_nodes(scene, name)
        node.SetLayoutLabel(label)
        node.SetLayoutColor(*colour)
        node.SetOrientation(orientation)
        width = target.liver_framing(CORONAL if orientation == SAGITTAL else orientation).width_mm
        node.SetFieldOfView(width, width, 1.0)
        node.JumpSliceByCentering(*target.centre)
        composite.SetBackgroundVolumeID(background.GetID())
        if foreground is not None:
            composite.SetForegroundVolumeID(foreground.GetID())
            composite.SetForegroundOpacity(FOREGROUND_OPACITY)
        composite.SetLinkedControl(True)


def slice_nodes(scene: Any, name: str) -> tuple[Any, Any]:
    """The slice node and the composite node of a layout view; inside Slicer they are there already."""
    found = []
    for class_name in ("vtkMRMLSliceNode", "vtkMRMLSliceCompositeNode"):
        node = scene.GetSingletonNode(name, class_name)
        if node is None:
            node = scene.CreateNodeByClass(class_name)
            node.UnRegister(None)
            node.SetName(name)
            node.SetLayoutName(name)
            node.SetSingletonTag(name)
            node = scene.AddNode(node)
        found.append(node)
    return found[0], found[1]


def _mark(node: Any, one: KeptCandidate) -> None:
    assert one.ct.simulated is not None  # `PlanFolder.read_kept` sees to it
    set_provenance(node, one.ct.simulated)
    node.SetAttribute(PREFIX + "Rank", str(one.candidate.rank))


def _called(document: PlanDocument, one: KeptCandidate) -> str:
    """Rank and protocol in the name of a node; a protocol that the user named has no rank, unless there are several."""
    candidate = one.candidate
    alone = document.kind == NAMED and len(document.plan.candidates) == 1
    rank = "" if alone else f"rank {candidate.rank}: "
    return rank + candidate.protocol.text + (f" (FORBIDDEN: {candidate.forbidden})" if candidate.forbidden else "")


def _simulated_cts(
    scene: Any, document: PlanDocument, simulated: Sequence[KeptCandidate], images: Sequence[Any]
) -> Generator[None, None, tuple[Any, Any]]:
    """Add the best simulated CT; where there are more, also a sequence by rank, else None in its place."""
    names = [f"{SIMULATED} CT, {_called(document, one)}" for one in simulated]
    shown = volume_to_node(scene, simulated[0].ct, names[0], images[0])
    _mark(shown, simulated[0])
    yield
    if len(simulated) < 2:
        return shown, None
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", f"{SIMULATED} CT")
    sequence.SetIndexName("rank")
    sequence.SetIndexUnit("")
    sequence.SetIndexTypeFromString("numeric")
    for one, name, image in zip(simulated, names, images, strict=True):
        # The sequence keeps a copy of the node. It is given the voxels afterwards: copying them would take long.
        pattern = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        _mark(pattern, one)
        step = sequence.SetDataNodeAtValue(pattern, str(one.candidate.rank))
        scene.RemoveNode(pattern)
        fill_volume_node(step, one.ct, image)
        yield
    return shown, sequence


def _browse(browser: Any, sequence: Any, shown: Any) -> None:
    """Let a browser show the volumes of a sequence in a node."""
    # Between naming the sequence and naming the node to show it in, the sequences logic would add a node of its own.
    modified = browser.StartModify()
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(shown, sequence, False)
    # The name follows the rank ("SIMULATED CT [rank=2]"); a fixed one would be wrong after the first step.
    browser.SetOverwriteProxyName(sequence, True)
    share_voxels(browser, sequence)
    browser.EndModify(modified)


def share_voxels(browser: Any, sequence: Any) -> None:
    """Let the volume that is shown hold the voxels of its step themselves, instead of a copy that each step makes.

    Slicer does so where changes of what is shown belong to the step (`vtkSlicerSequencesLogic`): copying a CT of
    512 x 512 x 300 would hold up the window for a while.
    """
    if not browser.GetSaveChanges(sequence):
        browser.SetSaveChanges(sequence, True)


def _maps(scene: Any, prepared: Prepared, best: KeptCandidate) -> Generator[None, None, list[Any]]:
    """Difference and standard deviation of the best protocol, with their colour maps."""
    assert prepared.difference is not None  # `prepare` was given the same candidates
    rank = best.candidate.rank
    found = [(prepared.difference, difference_map(prepared.difference_hu), f"{SIMULATED} difference to before")]
    if best.sd is not None:
        found.append((best.sd, deviation_map(prepared.deviation_hu), f"{SIMULATED} standard deviation over replicas"))
    nodes = []
    for (volume, colours, name), image in zip(found, prepared.maps, strict=True):
        node = volume_to_node(scene, volume, f"{name}, rank {rank}", image)
        table = colours.to_node(scene)
        show_in_window(node, colours.high - colours.low, (colours.high + colours.low) / 2, table.GetID())
        _mark(node, best)
        nodes.append(node)
        yield
    return nodes


def _read_me(scene: Any, document: PlanDocument) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLTextNode", "MeWM read me: research use only")
    lines = [
        document.research_use_only,
        f"Goal: {document.goal}",
        f"Made by mewm {document.mewm}, seed {document.seed}.",
        f"Bundle: {document.bundle.name}, sha256 {document.bundle.sha256}.",
        "Nodes whose names say SIMULATED are computed, not scans; their attributes say by what.",
    ]
    lines += [f"FORBIDDEN by the clinical rules, simulated at the user's wish: {text}" for text in document.forbidden]
    lines.append(document.numbers.picture)
    lines += [one.text for one in document.outside]
    best = document.plan.best
    if best is not None and best.written is not None:
        lines.append(f"Rank {best.rank}:" if len(document.plan.candidates) > 1 else "Outcome:")
        lines += written_lines(document, best)
    if document.plan.cancelled:
        lines.append("The search was stopped before it was finished: the ranking holds what was found until then.")
    node.SetText("\n".join(lines))
    return node


def _into_folder(scene: Any, nodes: Sequence[Any], beside: Any = None) -> None:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parent = hierarchy.GetSceneItemID()
    if beside is not None and hierarchy.GetItemByDataNode(beside):
        parent = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(beside))
    put_into(hierarchy, hierarchy.CreateFolderItem(parent, FOLDER_NAME), nodes)


def put_into(hierarchy: Any, folder: int, nodes: Sequence[Any]) -> None:
    """Put nodes into a folder of the subject hierarchy."""
    for node in nodes:
        item = hierarchy.GetItemByDataNode(node)
        if not item:
            hierarchy.CreateItem(folder, node)
        elif hierarchy.GetItemParent(item) != folder:
            hierarchy.SetItemParent(item, folder)
