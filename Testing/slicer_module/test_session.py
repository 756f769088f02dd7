"""What is to be treated, in the panels: lesions that are ticked, territory, painted region."""

from __future__ import annotations

import numpy as np
import pytest

from MeWMLib.core.errors import TerritoryError
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
