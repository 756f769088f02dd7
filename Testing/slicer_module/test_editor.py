"""The Segment Editor: it is handed what is edited, its edits are seen, and no simulated result is edited by mistake."""

from __future__ import annotations

from typing import Any

import pytest

from MeWMLib.core.errors import LabelError


def _editor_node() -> Any:
    import slicer

    return slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")


@pytest.fixture
def simulated(user: Any) -> Any:
    """A user before a simulation."""
    user.load_sample()
    user.simulate("Cisplatin + Lipiodol")
    return user


def test_the_editor_is_handed_segmentation_and_ct(user):
    """Also where others are there, which the module would choose by itself."""
    import slicer

    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "Somebody else's")
    user.load_sample()
    parameters = user.front.parameters
    for segmentation in (parameters.segmentation, other):
        parameters.segmentation = segmentation
        user.look()
        user.click("segmentation", "editButton")
        assert slicer.util.mainWindow().moduleSelector().selectedModule == "SegmentEditor"
        assert _editor_node().GetSegmentationNode() is segmentation
        assert _editor_node().GetSourceVolumeNode() is parameters.ct
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentEditorNode") == 1


def test_edits_are_seen_while_the_panels_are_open_and_when_they_are_opened_again(user, monkeypatch):
    import slicer

    user.load_sample()
    user.look()
    node, seen = user.front.parameters.segmentation, []
    monkeypatch.setattr(user.front.segmentation, "_show_findings", lambda _findings: seen.append(1))
    box = user.front.segmentation.ui.fedBox
    count = box.count
    segment = slicer.vtkSegment()
    segment.SetName("fed")
    node.GetSegmentation().AddSegment(segment, "fed")
    user.look()
    assert box.count == count + 1 and seen
    seen.clear()
    node.GetSegmentation().GetSegment("fed").SetName("fed region")
    user.look()
    assert seen
    seen.clear()
    user.loaded.widget.enter()
    assert seen, "another module may have changed anything"


def test_every_kind_of_edit_is_seen(user):
    """A brush, a name, a new segment, one less: each tells the panels by itself."""
    import slicer

    user.load_sample()
    user.look()
    node, told = user.front.parameters.segmentation, []
    segmentation = node.GetSegmentation()
    user.front._edits._changed = lambda: told.append(1)

    def brush() -> None:
        # what the effects of the Segment Editor call
        image, segments = slicer.vtkOrientedImageData(), slicer.vtkSlicerSegmentationsModuleLogic
        node.GetBinaryLabelmapRepresentation("liver", image)
        segments.SetBinaryLabelmapToSegment(image, node, "tumour", segments.MODE_MERGE_MAX)

    def name() -> None:
        segmentation.GetSegment("fed").SetName("fed region")

    edits = {
        "brush": brush,
        "new": lambda: segmentation.AddSegment(slicer.vtkSegment(), "fed"),
        "name": name,
        "less": lambda: segmentation.RemoveSegment("fed"),
    }
    for what, edit in edits.items():
        told.clear()
        edit()
        assert told, what


@pytest.mark.parametrize("when", ["an editor that is there", "an editor that comes later"])
def test_simulated_segments_leave_the_editor(simulated, when):
    import slicer

    labels = simulated.front.comparison.node("labels", 1)
    if when == "an editor that is there":
        simulated.click("segmentation", "editButton")
    else:
        node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLSegmentEditorNode")
        node.UnRegister(None)
        node.SetSingletonTag("SegmentEditor")
        slicer.mrmlScene.AddNode(node)
    _editor_node().SetAndObserveSegmentationNode(labels)
    error = simulated.wait_error()
    assert isinstance(error, LabelError) and "SIMULATED" in error.given
    assert _editor_node().GetSegmentationNode() is None
    # what belongs to the CT may be edited
    _editor_node().SetAndObserveSegmentationNode(simulated.front.parameters.segmentation)
    simulated.look()
    simulated.wait(lambda: not simulated.front.desk.poller._waiting)
    assert _editor_node().GetSegmentationNode() is simulated.front.parameters.segmentation


def test_simulated_segments_are_neither_measured_nor_handed_over(simulated):
    import slicer

    parameters = simulated.front.parameters
    parameters.segmentation = simulated.front.comparison.node("labels", 1)
    simulated.look()
    slicer.util.mainWindow().moduleSelector().selectModule("MeWM")
    for button in ("measureButton", "editButton"):
        simulated.click("segmentation", button)
        error = simulated.wait_error()
        assert isinstance(error, LabelError) and "simulated" in error.what, button
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "MeWM"
