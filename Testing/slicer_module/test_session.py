"""What is to be treated, in the panels: lesions that are ticked, territory, painted region."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.errors import LabelError, TerritoryError
from MeWMLib.core.territory import known_parts


@pytest.fixture
def ready(user):
    user.load_sample()
    user.click("segmentation", "measureButton")
    user.wait(lambda: user.front.parameters.findings)
    user.wait_idle()
    return user


def paint(user, name="region"):
    """Add a segment as if it had been painted: where the tumour is."""
    import slicer

    segmentation = user.front.parameters.segmentation.GetSegmentation()
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment("tumour"))
    copy.SetName(name)
    segmentation.AddSegment(copy, name)
    user.front.refresh()


def test_ticked_lesions_become_targets(ready):
    table = ready.widget("segmentation", "findingsTable")
    assert "Nothing is ticked" in ready.widget("segmentation", "treatedLabel").text
    ready.click_cell("segmentation", "findingsTable", 0, 0, left=9)
    assert ready.front.parameters.targets == "1"
    assert "Treated: lesion 1" in ready.widget("segmentation", "treatedLabel").text
    ready.front.refresh()
    from PySide6.QtCore import Qt

    assert table.item(0, 0).checkState() == Qt.Checked
    # measured again: the numbers may be those of other lesions
    ready.click("segmentation", "measureButton")
    ready.wait(lambda: not ready.front.parameters.targets)
    ready.wait_idle()


def test_a_row_shows_its_lesion(ready, monkeypatch):
    seen = []
    monkeypatch.setattr(ready.front.views, "to_lesion", seen.append)
    ready.click_cell("segmentation", "findingsTable", 0, 1)
    assert len(seen) == 1 and np.asarray(seen[0]).shape == (3,)


def test_lobes_and_segments_are_clicked(ready):
    """Each click adds a part or takes it out; the words are those that a user would type."""

    def click(name: str) -> str:
        button = ready.front.segmentation.treated.buttons[name]
        ready.window.ensureWidgetVisible(button)
        ready.look()
        QTest.mouseClick(button, Qt.LeftButton)
        ready.look()
        return ready.front.parameters.territory

    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    box = ready.widget("segmentation", "territoryBox")
    buttons = ready.front.segmentation.treated.buttons
    assert list(buttons) == ["right lobe", "left lobe", "1", "2", "3", "4a", "4b", "5", "6", "7", "8"]
    assert click("8") == "segments 8" and click("5") == "segments 5, 8" == box.currentText
    assert "Fed: segments 5, 8." in ready.front.segmentation.ui.treatedLabel.text
    assert click("right lobe") == "right lobe" and all(buttons[n].checked for n in ("right lobe", "5", "6", "7", "8"))
    assert click("left lobe") == "segments 2, 3, 4a, 4b, 5, 6, 7, 8" and click("1") == "whole liver"
    assert click("right lobe") == "segments 1, 2, 3, 4a, 4b" and not buttons["6"].checked
    # what was typed is shown by the buttons too, arteries by what they feed
    box.setCurrentText("A8 and left lateral artery")
    ready.look()
    assert [name for name, button in buttons.items() if button.checked] == ["2", "3", "8"]
    box.setCurrentText("RIPA")
    assert not any(button.checked for button in buttons.values()) and click("6") == "segments 6"
    assert click("6") == ""


def test_the_territory_is_chosen_or_typed(ready):
    box = ready.widget("segmentation", "territoryBox")
    assert [box.itemText(n) for n in range(box.count)] == ["", *known_parts()]
    box.setCurrentText("S5/S8")
    assert (
        "Fed: segments 5, 8. The borders of segments are approximate." in ready.front.segmentation.ui.treatedLabel.text
    )
    assert ready.front.parameters.territory == "S5/S8"
    box.setCurrentText("RIPA")
    assert "Paint what it feeds" in ready.front.segmentation.ui.treatedLabel.text
    box.setCurrentText("the spleen")
    assert "Unknown territory" in ready.front.segmentation.ui.treatedLabel.text
    assert isinstance(ready.error_after(ready.front.tasks.explore), TerritoryError)


def test_a_simulation_is_told_targets_and_territory(ready):
    ready.click_cell("segmentation", "findingsTable", 0, 0, left=9)
    ready.widget("segmentation", "territoryBox").setCurrentText("whole liver")
    ready.click("actions", "newButton")
    for name in ("Cisplatin", "Lipiodol"):
        ready.tick(name)
    ready.click("simulation", "simulateButton")
    ready.wait(lambda: ready.front.comparison is not None)
    ready.wait_idle()
    document = ready.front.comparison.document
    assert document.plan.candidates[0].protocol.text == "Cisplatin + Lipiodol @ whole liver"
    assert document.treated.targets == (1,) and document.treated.territory == "whole liver"


def test_a_painted_region_is_sent(ready):
    paint(ready)
    box = ready.widget("segmentation", "fedBox")
    assert [box.itemText(n) for n in range(box.count)] == ["none", "region"]
    box.setCurrentIndex(1)
    assert ready.front.parameters.fed_segment == "region"
    assert "painted region alone" in ready.front.segmentation.ui.treatedLabel.text
    ready.front.tasks.explore()
    ready.wait(lambda: ready.front.comparison is not None)
    ready.wait_idle()
    document = ready.front.comparison.document
    assert document.treated.territory == "painted region"
    assert all(c.protocol.territory is not None for c in document.plan.candidates)
    # the segment is gone: nothing is painted
    ready.front.parameters.segmentation.GetSegmentation().RemoveSegment("region")
    ready.front.refresh()
    assert ready.front.parameters.fed_segment == ""


def test_what_is_fed_is_painted_in_the_segment_editor(ready):
    import slicer

    node = ready.front.parameters.segmentation
    ready.click("segmentation", "paintButton")
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "SegmentEditor"
    editor = slicer.mrmlScene.GetSingletonNode("SegmentEditor", "vtkMRMLSegmentEditorNode")
    made = ready.front.parameters.fed_segment
    assert editor.GetSegmentationNode() is node and editor.GetSelectedSegmentID() == made
    assert node.GetSegmentation().GetSegment(made).GetName() == "Fed region"
    assert editor.GetSourceVolumeNode() is ready.front.parameters.ct
    slicer.util.selectModule("MeWM")
    ready.look()
    # nothing was painted: that is said, and not taken for "nothing is fed"
    ready.front.tasks.explore()
    error = ready.wait_error()
    assert isinstance(error, LabelError) and "painted region is empty" in error.what
    # a second press edits the same segment
    ready.click("segmentation", "paintButton")
    assert ready.front.parameters.fed_segment == made and node.GetSegmentation().GetNumberOfSegments() == 3
    # in a simulated segmentation nothing is added
    node.SetAttribute("MeWM.Simulated", "1")
    ready.front.parameters.fed_segment = ""
    slicer.util.selectModule("MeWM")
    ready.click("segmentation", "paintButton")
    assert isinstance(ready.wait_error(), LabelError) and node.GetSegmentation().GetNumberOfSegments() == 3
