"""The whole walk of a user, with real clicks over the real MRML scene; workers run the small world."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest


def _names(scene: Any, kind: str) -> list[str]:
    return [scene.GetNthNodeByClass(n, kind).GetName() for n in range(scene.GetNumberOfNodesByClass(kind))]


def _prepare(user: Any) -> None:
    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: user.front.parameters.findings)
    user.wait_idle()


def _tumour_ml(user: Any) -> float:
    """Volume of the tumour as the panel has it."""
    return sum(lesion["volume_ml"] for lesion in json.loads(user.front.parameters.findings)["lesions"])


def _draw(node: Any, sample: Any) -> Any:
    """Add a box to the tumour, by the call with which the effects of the Segment Editor write into a segment."""
    import slicer

    from MeWMLib.scene.nodes import image_of_array, matrix_to_vtk

    box = np.zeros(sample.ct.array.shape, bool)
    box[3:8, 4:9, 5:12] = True
    image = image_of_array(box, slicer.vtkOrientedImageData)
    image.SetImageToWorldMatrix(matrix_to_vtk(sample.ct.geometry.affine))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    done = logic.SetBinaryLabelmapToSegment(image, node, "tumour", logic.MODE_MERGE_MAX)
    assert done
    return box


def _in_one_folder(comparison: Any, roles: tuple[str, ...]) -> bool:
    """True if the nodes of these roles lie in one folder named after the plan."""
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    folders = {hierarchy.GetItemParent(hierarchy.GetItemByDataNode(comparison.node(role))) for role in roles}
    return len(folders) == 1 and hierarchy.GetItemName(folders.pop()) == "MeWM plan"


def test_the_walk(user, sample, mishap, tmp_path):
    import slicer

    from MeWMLib.scene.mrb import write_mrb
    from MeWMLib.scene.nodes import node_to_volume
    from MeWMLib.scene.segmentations import hold_segments

    scene, front = slicer.mrmlScene, user.front
    assert not user.widget("simulation", "simulateButton").enabled
    assert not user.widget("exploration", "exploreButton").enabled

    # the sample brings a segmentation; it is set aside, and the panel's own button makes one
    _prepare(user)
    user.front.parameters.segmentation = None
    user.look()
    user.click("segmentation", "findButton")
    user.wait(lambda: front.parameters.segmentation is not None)
    user.wait_idle()
    found = hold_segments(front.parameters.segmentation).read(sample.ct.geometry).tumour
    assert found.any() and not np.array_equal(found, sample.labels.tumour), "the assistant misses a slice"
    assert "MeWM" in front.parameters.segmentation.GetName()
    assert front.parameters.tumour_segment == "tumour" and front.parameters.liver_segment == "liver"
    assert user.widget("segmentation", "findingsTable").rowCount == 1

    # the tumour is edited: there with the button, voxels drawn as the Segment Editor does, back, measured again
    volume_before = _tumour_ml(user)
    user.click("segmentation", "editButton")
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "SegmentEditor"
    drawn = _draw(front.parameters.segmentation, sample) | found
    user.loaded.widget.enter()
    user.click("segmentation", "measureButton")
    user.wait(lambda: _tumour_ml(user) != volume_before)
    user.wait_idle()
    voxel_ml = sample.ct.geometry.voxel_ml
    assert _tumour_ml(user) == pytest.approx(float(drawn.sum()) * voxel_ml, abs=0.06)
    cell = user.widget("segmentation", "findingsTable").item(0, 2)
    assert cell.text() == f"{_tumour_ml(user):.1f}"

    # a conflict is shown as it is chosen, and goes away with its cause
    user.click("actions", "newButton")
    for name in ("Cisplatin", "Oxaliplatin", "Lipiodol"):
        user.tick(name)
    assert "Not allowed" in user.widget("actions", "ruleLabel").text
    assert not user.widget("simulation", "simulateButton").enabled
    user.tick("Oxaliplatin")
    assert "Not allowed" not in user.widget("actions", "ruleLabel").text
    user.click("actions", "suggestButton")
    assert [p.text for _, p in front.actions.named] == ["Cisplatin + Lipiodol", "Epirubicin + Lipiodol"]

    # settings are typed in
    user.front.folds["exploration"].collapsed = False
    user.front.exploration.ui.searchFold.collapsed = False
    user.widget("exploration", "beamsBox").setValue(7)
    user.widget("exploration", "goalEdit").setText("prefer Lipiodol")
    user.widget("outcome", "fadeSlider").setValue(0.25)

    # two protocols side by side
    user.click("simulation", "simulateButton")
    assert not user.widget("simulation", "simulateButton").enabled
    user.wait(lambda: front.comparison is not None)
    user.wait_idle()
    assert {c.protocol.text for c in front.comparison.candidates} == {"Cisplatin + Lipiodol", "Epirubicin + Lipiodol"}
    assert front.comparison.kept == (1, 2)
    assert front.comparison.ct is front.parameters.ct, "the CT is not copied"
    simulated = front.comparison.node("simulated")
    assert "SIMULATED" in simulated.GetName() and simulated.GetAttribute("MeWM.BundleSha256")
    # what was drawn is what was treated
    after = node_to_volume(simulated).array
    assert np.array_equal(after != sample.ct.array, drawn), "exactly the edited tumour was simulated"
    first = front.comparison.id

    # a search that is cancelled after its first steps keeps what it has
    mishap("slow")
    user.click("exploration", "exploreButton")
    assert "Cancel" in user.widget("exploration", "exploreButton").text
    user.wait(lambda: len(front.exploration.candidates) >= 2)
    user.click("exploration", "exploreButton")
    user.wait(lambda: front.comparison.id != first)
    user.wait_idle()
    explored = front.comparison
    assert explored.document.plan.cancelled and len(explored.candidates) < 6
    assert user.widget("exploration", "rankTable").rowCount == len(explored.candidates)

    # the second row
    user.click_cell("exploration", "rankTable", 1, 1)
    assert front.shown_rank == 2 and explored.shown_rank == 2
    assert explored.candidates[1].protocol.text in user.widget("outcome", "summaryLabel").text
    visible = [explored.node("labels", c.rank).GetDisplayNode().GetVisibility() for c in explored.candidates[:2]]
    assert visible == [0, 1]
    user.wait(lambda: explored.node("difference").GetAttribute("MeWM.Rank") == "2")
    user.shot("panels-after-the-walk")

    # saved, closed, read: everything is there
    file = tmp_path / "walk.mrb"
    kinds = ("Segmentation", "Table", "ScalarVolume", "Sequence", "SequenceBrowser", "PlotChart", "PlotSeries", "Text")
    before = {kind: sorted(_names(scene, f"vtkMRML{kind}Node")) for kind in kinds}
    table = explored.node("table").GetTable()
    rows = [table.GetValue(row, 1).ToString() for row in range(table.GetNumberOfRows())]
    assert rows == [c.protocol.text for c in explored.candidates]
    second = node_to_volume(explored.node("simulated")).array
    roles = ("simulated", "table", "difference", "plan", "survival chart", "sequence", "browser", "labels")
    assert _in_one_folder(explored, roles)
    user.front.patient.ui.clinicalFold.collapsed = False
    user.widget("patient", "clinical_age_years").setValue(63)
    user.look()
    write_mrb(scene, file)
    protocols = front.parameters.protocols
    scene.Clear(0)
    user.look()
    assert front.comparison is None and front.parameters.ct is None
    assert scene.ReadFromMRB(str(file), True)
    user.look()
    assert front.parameters.protocols == protocols and front.parameters.findings
    assert user.widget("exploration", "beamsBox").value == 7
    assert user.widget("exploration", "goalEdit").text == "prefer Lipiodol"
    assert user.widget("outcome", "fadeSlider").value == pytest.approx(0.25)
    assert front.parameters.ct is not None and front.parameters.segmentation is not None
    assert {kind: sorted(_names(scene, f"vtkMRML{kind}Node")) for kind in kinds} == before
    assert front.parameters.clinical.age_years == 63 and user.widget("patient", "clinical_age_years").value == 63
    assert front.comparison.id == explored.id and front.comparison.candidates == explored.candidates
    assert front.shown_rank == 2 and front.comparison.node("simulated").GetImageData() is not None
    assert np.array_equal(node_to_volume(front.comparison.node("simulated")).array, second)
    assert front.comparison.node("simulated").GetAttribute("MeWM.Protocol") == explored.candidates[1].protocol.text
    table = front.comparison.node("table").GetTable()
    assert [table.GetValue(row, 1).ToString() for row in range(table.GetNumberOfRows())] == rows
    chart = front.comparison.node("survival chart")
    assert chart.GetNumberOfPlotSeriesNodes() == len(rows)
    assert chart.GetNthPlotSeriesNode(0).GetTableNode() is not None
    assert front.comparison.node("sequence").GetNumberOfDataNodes() == len(front.comparison.kept)
    assert _in_one_folder(front.comparison, roles)
    labels = front.comparison.node("labels", 2)
    assert "4147007" in labels.GetSegmentation().GetSegment("tumour").GetTerminology()
    assert np.array_equal(hold_segments(front.parameters.segmentation).read(sample.ct.geometry).tumour, drawn)
    assert user.widget("outcome", "comparisonBox").count == 2
    user.click_cell("exploration", "rankTable", 0, 1)
    assert front.comparison.shown_rank == 1


def test_the_assistant_finds_liver_and_tumour(user):
    user.load_sample()
    user.front.parameters.segmentation = None
    user.look()
    user.click("segmentation", "findButton")
    user.wait(lambda: user.front.parameters.findings)
    user.wait_idle()
    node = user.front.parameters.segmentation
    assert "MeWM" in node.GetName()
    assert node.GetSegmentation().GetSegment("tumour").GetTerminology()
    assert "4147007" in node.GetSegmentation().GetSegment("tumour").GetTerminology()


def test_the_scene_holds_one_folder_beside_the_ct(user):
    import slicer

    _prepare(user)
    # inside Slicer a plugin makes the item of every node; here only the study is of interest
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "CT of the liver")
    hierarchy.CreateItem(study, user.front.parameters.ct)
    user.click("actions", "suggestButton")
    user.click("simulation", "simulateButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    folder = hierarchy.GetItemParent(hierarchy.GetItemByDataNode(user.front.comparison.node("simulated")))
    assert hierarchy.GetItemName(folder) == "MeWM plan"
    for role in ("table", "difference", "uncertainty", "plan", "survival chart"):
        node = user.front.comparison.node(role)
        assert node is not None and hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == folder, role
    assert hierarchy.GetItemParent(folder) == study


@pytest.mark.slow
def test_the_walk_with_the_real_worker(user, monkeypatch, capsys):
    """A simulation and a small search with the released bundle on the synthetic sample."""
    from MeWMPanels.front import slicer_python
    from slicer_host.watch import EventLoopWatch

    from MeWMLib.cohorts.samples import load_sample
    from MeWMLib.core import bundles
    from MeWMLib.core.errors import BundleError
    from MeWMLib.jobs.runner import worker_command

    monkeypatch.delenv("MEWM_BUNDLES")
    try:
        bundles.find_bundle(None)
    except BundleError as error:
        pytest.skip(f"the bundle is not complete here: {error}")
    front = user.front
    front.command = lambda: worker_command(slicer_python())
    front.load_sample = load_sample
    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: front.parameters.findings, 300)
    user.wait_idle()
    user.click("actions", "suggestButton")
    front.parameters.simulation.replicas = 1
    user.look()
    user.click("simulation", "simulateButton")
    user.wait(lambda: front.comparison is not None, 300)
    user.wait_idle()
    first = front.comparison.id
    assert front.comparison.node("simulated") is not None

    pack = front.parameters.exploration
    pack.beams, pack.drugs, pack.embolics, pack.replicas, pack.keep = 1, 2, 2, 1, 2
    pack.drug_horizon = pack.embolic_horizon = 1
    button = user.widget("exploration", "exploreButton")
    with EventLoopWatch() as watch:
        button.click()
        user.wait(lambda: front.comparison.id != first, 400)
        user.wait_idle()
    with capsys.disabled():
        print(f"\n{watch.in_words('exploration, real worker')}")
    assert len(front.comparison.candidates) >= 2
    user.click_cell("exploration", "rankTable", 1, 1)
    assert front.comparison.shown_rank == 2
    user.shot("panels-real-worker")
