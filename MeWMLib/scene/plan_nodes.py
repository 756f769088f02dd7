"""A plan in a scene as the module MeWM in 3D Slicer finds it again: one writer for the command line and the panels.

Every node of a plan carries its id, its role and, where it has one, its rank; a text node holds the plan itself, the
references to CT and labels, and what the plan was computed from.
"""

from __future__ import annotations

import uuid
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from MeWMLib.core.plan_folder import KeptCandidate, PlanDocument
from MeWMLib.core.records import dump_json
from MeWMLib.core.volume import LabelMap, Volume
from MeWMLib.scene.comparison import Prepared, comparison_steps, put_into
from MeWMLib.scene.core_app import slicer
from MeWMLib.scene.nodes import PREFIX
from MeWMLib.scene.origin import Origin
from MeWMLib.scene.survival_plot import survival_nodes

#: Attributes of the nodes of a plan.
ID, ROLE, RANK = PREFIX + "Comparison", PREFIX + "Role", PREFIX + "Rank"
#: References of the text node.
CT, LABELS = PREFIX + "CT", PREFIX + "Labels"
#: Its attributes: the ids of liver and tumour in the labels, what was read, and whether it brought a copy of the CT.
SEGMENTS, ORIGIN, COPIED = (PREFIX + "LiverSegment", PREFIX + "TumourSegment"), PREFIX + "Origin", PREFIX + "CopiedCT"
#: Ids of liver and tumour in labels that this room has made.
USUAL_SEGMENTS = ("liver", "tumour")
#: The role of the text node.
PLAN = "plan"


@dataclass(frozen=True, eq=False)
class Given:
    """What the scene holds already.

    Attributes:
        ct, labels: nodes of the CT before treatment and of its labels; None where they are to be added.
        segments: ids of liver and tumour in `labels`.
        prepared: from `comparison.prepare`, if that was called before.
        copied: the CT that the plan was made of was deleted; what is added is a copy of it.
        text: from `plan_text`, if that was called before.
    """

    ct: Any = None
    labels: Any = None
    segments: tuple[str, str] = USUAL_SEGMENTS
    prepared: Prepared | None = None
    copied: bool = False
    text: str = ""


def plan_text(document: PlanDocument) -> str:
    """What the text node of a plan holds: the plan without files, since its volumes are in the scene."""
    candidates = tuple(replace(candidate, files={}) for candidate in document.plan.candidates)
    return dump_json(replace(document, plan=replace(document.plan, candidates=candidates)))


def add_plan(*arguments: Any, **named: Any) -> Any:
    """Add a plan to a scene at one go; arguments and result as `plan_steps`."""
    steps = plan_steps(*arguments, **named)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return cast("Any", end.value)


def plan_steps(
    scene: Any,
    document: PlanDocument,
    before: Volume,
    labels: LabelMap,
    simulated: Sequence[KeptCandidate],
    origin: Origin | None,
    given: Given | None = None,
) -> Generator[None, None, Any]:
    """Add a plan to a scene with everything that is shown of it; a generator that stops after each node.

    Args:
        scene: a `vtkMRMLScene`.
        document: the plan.
        before: the CT before treatment.
        labels: liver and tumour on it.
        simulated: the kept candidates, best first; may be empty.
        origin: what it was computed from; None where that is not known.
        given: what the scene holds already.

    Returns:
        The text node that holds the plan.
    """
    given = given or Given()
    name = uuid.uuid4().hex[:12]

    def mark(node: Any, role: str | None = None) -> None:
        node.SetAttribute(ID, name)
        node.SetAttribute(ROLE, role or role_of(node))

    curves = survival_nodes(scene, document.plan.candidates)
    for node in curves:
        mark(node)
    yield
    nodes = yield from comparison_steps(
        scene, document, before, labels, simulated,
        ct_node=given.ct, labels_node=given.labels, prepared=given.prepared, mark=mark,
    )  # fmt: skip
    # no stop from here on: a plan is there when its text is
    nodes += curves
    text = scene.AddNewNodeByClass("vtkMRMLTextNode", "MeWM plan (JSON)")
    text.SetText(given.text or plan_text(document))
    nodes.append(text)
    mark(text, PLAN)
    by_name = {node.GetName(): node for node in nodes}
    text.SetNodeReferenceID(CT, (given.ct or by_name["CT before treatment"]).GetID())
    text.SetNodeReferenceID(LABELS, (given.labels or by_name["Labels before treatment"]).GetID())
    if origin is not None:
        text.SetAttribute(ORIGIN, origin.to_text())
    if given.copied:
        text.SetAttribute(COPIED, "yes")
    for attribute, segment in zip(
        SEGMENTS, given.segments if given.labels is not None else USUAL_SEGMENTS, strict=True
    ):
        text.SetAttribute(attribute, segment)
    # what was added later joins the folder of the first node
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    put_into(hierarchy, hierarchy.GetItemParent(hierarchy.GetItemByDataNode(nodes[0])), nodes)
    return text


def role_of(node: Any) -> str:
    """What a node of a plan is, by its class and name."""
    name = node.GetName()
    if node.IsA("vtkMRMLScalarVolumeNode"):
        marks = {"difference": "difference", "standard deviation": "uncertainty", "CT before": "ct"}
        return next((role for mark, role in marks.items() if mark in name), "simulated")
    if node.IsA("vtkMRMLSegmentationNode"):
        return "labels" if node.GetAttribute(RANK) else "labels before"
    if node.IsA("vtkMRMLPlotChartNode"):
        return next((f"{what} chart" for what in ("survival", "search") if what in name), "risk chart")
    if node.IsA("vtkMRMLTableNode"):
        return next((f"{what} table" for what in ("survival", "search") if what in name), "table")
    kinds = {"SequenceBrowser": "browser", "Sequence": "sequence", "PlotSeries": "series"}
    return next((role for kind, role in kinds.items() if node.IsA(f"vtkMRML{kind}Node")), "text")
