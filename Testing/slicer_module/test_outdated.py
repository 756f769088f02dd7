"""Nothing of a former patient, CT or segmentation is shown or used as if it were the present one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MeWMLib.core.protocol import Protocol
from MeWMLib.core.volume import Geometry, LabelMap, Volume


@pytest.fixture
def measured(user: Any) -> Any:
    """A user whose lesions are measured."""
    user.load_sample()
    user.measure()
    return user


@pytest.fixture
def simulated(measured: Any) -> Any:
    """A user before a simulation."""
    measured.simulate("Cisplatin + Lipiodol")
    return measured


def other_ct(sample: Any, name: str = "Another patient", geometry: Any = None) -> Any:
    """A CT of somebody else."""
    import slicer

    from MeWMLib.scene.nodes import volume_to_node

    volume = Volume(np.flip(sample.ct.array, 2).copy(), geometry or sample.ct.geometry, "arterial")
    return volume_to_node(slicer.mrmlScene, volume, name)


def paint(node: Any) -> None:
    """Take a slice away from the tumour, as the Segment Editor does."""
    import slicer

    from MeWMLib.scene.nodes import scalars_of_image

    image = node.GetSegmentation().GetSegment("tumour").GetRepresentation("Binary labelmap")
    voxels = scalars_of_image(image)
    value = node.GetSegmentation().GetSegment("tumour").GetLabelValue()
    k = np.argwhere(voxels == value)[0][0]
    voxels[k][voxels[k] == value] = 0
    image.GetPointData().GetScalars().Modified()
    image.Modified()
    node.GetSegmentation().GetSegment("tumour").Modified()
    slicer.app.processEvents()


def texts(user: Any) -> dict[str, str]:
    """What the panels say about the present state."""
    user.front.refresh()
    return {
        "findings": user.front.segmentation.ui.findingsLabel.text,
        "suggest": user.front.actions.ui.suggestButton.toolTip,
        "ranks": user.front.exploration.ui.rankLabel.text,
        "summary": user.front.outcome.ui.summaryLabel.text,
    }


def test_fresh_results_are_not_outdated(simulated):
    assert not any("utdated" in text for text in texts(simulated).values())
    assert simulated.front.actions.ui.suggestButton.enabled


def test_an_edit_badges_every_panel_and_measuring_again_takes_the_badges_away(simulated):
    front = simulated.front
    front.parameters.targets = "1"
    paint(front.parameters.segmentation)
    for when in ("at once", "and after the voxels were compared"):
        assert all("utdated" in text for text in texts(simulated).values()), when
        assert not front.actions.ui.suggestButton.enabled
        assert "utdated" in front.actions.ui.reasonView.toPlainText()
        assert "before something changed" in front.segmentation.ui.treatedLabel.text
        simulated.wait(lambda: not front.desk.poller._waiting)
    assert "[outdated]" in front.outcome.ui.comparisonBox.currentText
    assert not any(front.actions.ui.agentTable.item(n, 4).text() for n in range(front.actions.ui.agentTable.rowCount))
    simulated.click("segmentation", "measureButton")
    simulated.wait_idle()
    shown = texts(simulated)
    assert "utdated" not in shown["findings"] and "utdated" not in shown["suggest"] and "utdated" in shown["summary"]


def test_rules_do_not_use_lesions_that_are_outdated(measured, monkeypatch):
    from MeWMPanels import node_texts

    front, asked, real = measured.front, [], node_texts._explained
    front.actions.add("A", Protocol.parse("Cisplatin + Lipiodol"))

    def explain(protocol: Any, clinical: str, goal: str, found: str, complete: bool) -> Any:
        asked.append(found)
        return real(protocol, clinical, goal, found, complete)

    monkeypatch.setattr(node_texts, "_explained", explain)
    front.refresh()
    assert asked and all(asked)
    paint(front.parameters.segmentation)
    asked.clear()
    front.refresh()
    # a job that is asked for all the same asks the rules too
    front.tasks._rules(Protocol.parse("Cisplatin + Lipiodol"), front.parameters)
    assert len(asked) > 2 and not any(asked)


def test_the_lesion_that_is_gone_to_is_not_outdated(simulated):
    """What was measured and what was simulated have a centre each; after an edit neither of them counts."""
    from MeWMPanels.lesion import centre_of

    front, parameters = simulated.front, simulated.front.parameters
    measured, node = centre_of(front), parameters.segmentation
    assert measured == tuple(front.segmentation and _lesions(parameters)[0]["centre_ras_mm"])
    for _n in range(2):
        paint(node)
    simulated.wait(lambda: not front.desk.poller._waiting)
    drawn = node.GetSegmentCenterRAS(parameters.tumour_segment)
    for now in (centre_of(front), _without_findings(front)):
        assert np.allclose(now, drawn) and not np.allclose(now, measured)


def _lesions(parameters: Any) -> Any:
    from MeWMPanels.node_texts import findings_of

    return findings_of(parameters.findings)["lesions"]


def _without_findings(front: Any) -> Any:
    from MeWMPanels.lesion import centre_of

    front.parameters.findings = ""
    return centre_of(front)


def test_other_voxels_of_the_ct_are_a_change(simulated):
    from MeWMLib.scene.nodes import scalars_of_image

    image = simulated.front.parameters.ct.GetImageData()
    scalars_of_image(image)[0, 0, 0] += 1
    image.GetPointData().GetScalars().Modified()
    for when in ("at once", "and after the voxels were compared"):
        assert all("utdated" in text for text in texts(simulated).values()), when
        simulated.wait(lambda: not simulated.front.desk.poller._waiting)


def test_what_was_judged_of_another_ct_or_of_other_labels_is_outdated(measured, sample):
    """The risk and response of a real CT after treatment are computed from three nodes."""
    front, parameters = measured.front, measured.front.parameters
    parameters.post_ct = parameters.ct
    measured.look()

    def judge() -> str:
        measured.click("outcome", "assessButton")
        measured.wait_idle()
        return str(front.outcome.ui.assessLabel.text)

    def again() -> str:
        front.refresh()
        measured.wait(lambda: not front.desk.poller._waiting)
        front.refresh()
        return str(front.outcome.ui.assessLabel.text)

    assert "+0.50" in judge() and "utdated" not in again()
    parameters.clinical.age_years = 63
    assert "clinical data" in again()
    parameters.clinical.age_years = 0
    assert "utdated" not in again()
    paint(parameters.segmentation)
    assert "utdated" in again() and "+0.50" in again()
    assert "utdated" not in judge()
    parameters.post_ct = other_ct(sample, "A later one")
    assert "utdated" in again()
    parameters.post_ct = None
    assert "utdated" in again()


def test_ticks_of_lesions_that_were_drawn_anew_are_refused(measured):
    from MeWMPanels.origin import OutdatedError

    front = measured.front
    front.parameters.targets = "1"
    paint(front.parameters.segmentation)
    error = measured.error_after(lambda: front.tasks.simulate([("A", Protocol.parse("Cisplatin + Lipiodol"))]))
    assert isinstance(error, OutdatedError) and "Measure lesions" in error.remedy and not front.desk.busy


def test_what_only_looks_changed_is_not_outdated(simulated):
    """Modification times change where a scene is saved, too; the voxels decide."""
    node = simulated.front.parameters.segmentation
    node.GetSegmentation().GetSegment("tumour").GetRepresentation("Binary labelmap").Modified()
    simulated.front.refresh()
    simulated.wait(lambda: not simulated.front.desk.poller._waiting)
    assert not any("utdated" in text for text in texts(simulated).values())


def test_a_saved_scene_knows_what_was_outdated(simulated, tmp_path):
    import slicer

    from MeWMLib.scene.mrb import write_mrb

    for edit in (lambda: None, lambda: paint(simulated.front.parameters.segmentation)):
        edit()
        expected = "utdated" in texts(simulated)["summary"]
        write_mrb(slicer.mrmlScene, tmp_path / "case.mrb")
        slicer.mrmlScene.Clear(0)
        assert slicer.mrmlScene.ReadFromMRB(str(tmp_path / "case.mrb"), True)
        simulated.look()
        simulated.front.refresh()
        simulated.wait(lambda: not simulated.front.desk.poller._waiting)
        assert [("utdated" in text) for text in texts(simulated).values()] == [expected] * 4
    assert expected


def test_other_segments_and_other_clinical_data_are_changes_too(simulated):
    front = simulated.front
    front.parameters.clinical.age_years = 63
    simulated.look()
    shown = texts(simulated)
    assert (
        "clinical data" in shown["ranks"]
        and "utdated" not in shown["findings"]
        and "clinical data" in shown["suggest"]
        and "clinical data" in shown["summary"]
    )
    front.parameters.clinical.age_years = 0
    simulated.look()
    assert not any("utdated" in text for text in texts(simulated).values())
    front.parameters.exploration.goal = "prefer Lipiodol"
    assert "goal" in texts(simulated)["suggest"]
    front.parameters.exploration.goal = ""
    # as in files: one image for all segments, whose time of modification does not say which is which
    front.parameters.segmentation.GetSegmentation().CollapseBinaryLabelmaps(True)
    simulated.wait(lambda: not any("utdated" in text for text in texts(simulated).values()))
    front.parameters.liver_segment, front.parameters.tumour_segment = "tumour", "liver"
    assert all("utdated" in text for text in texts(simulated).values())


def test_another_ct_puts_everything_of_the_former_one_away(simulated, sample):
    import slicer

    from MeWMLib.scene.comparison import slice_nodes

    front, parameters = simulated.front, simulated.front.parameters
    first, comparison = parameters.ct, front.comparison
    parameters.post_ct = first
    simulated.look()
    simulated.click("outcome", "assessButton")
    simulated.wait_idle()
    assert front.outcome.ui.assessLabel.text
    ct = other_ct(sample)
    parameters.ct = ct
    simulated.look()
    assert front.comparison is None and front.exploration.candidates == ()
    assert front.outcome.ui.assessLabel.text == "", "what was judged is that of somebody else"
    assert parameters.findings == parameters.proposal == parameters.targets == "" and parameters.post_ct is None
    assert parameters.phase == "arterial"
    assert not front.actions.ui.suggestButton.enabled and front.segmentation.ui.findingsTable.rowCount == 0
    for name in ("Red", "Green", "Yellow"):
        composite = slice_nodes(slicer.mrmlScene, name)[1]
        assert composite.GetBackgroundVolumeID() == ct.GetID() and composite.GetForegroundVolumeID() is None
    assert not comparison.node("labels", 1).GetDisplayNode().GetVisibility()
    assert "[outdated]" in front.outcome.ui.comparisonBox.itemText(0), "it can still be chosen, with its badge"
    # back at the first one its comparison is there again, and no measurement
    parameters.ct = first
    simulated.look()
    assert front.comparison.id == comparison.id and "utdated" not in texts(simulated)["summary"]
    assert parameters.findings == ""


def test_a_deleted_ct_is_a_former_one_too(simulated, sample, monkeypatch):
    import slicer

    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, windowTitle=None: asked.append(text) or False)
    front, parameters = simulated.front, simulated.front.parameters
    parameters.clinical.age_years = 63
    slicer.mrmlScene.RemoveNode(parameters.ct)
    simulated.look()
    assert parameters.ct is None and parameters.findings == "" and asked == []
    parameters.ct = other_ct(sample)
    simulated.wait(lambda: asked)
    simulated.wait(lambda: not front.desk.poller._waiting)
    assert front.comparison is None and front.exploration.candidates == () and parameters.clinical.age_years == 0
    assert "[outdated]" in front.outcome.ui.comparisonBox.itemText(0)


@pytest.mark.parametrize("keep", [True, False])
def test_another_ct_asks_about_clinical_data(measured, sample, monkeypatch, keep):
    import slicer

    asked: list[str] = []
    monkeypatch.setattr(slicer.util, "confirmYesNoDisplay", lambda text, windowTitle=None: asked.append(text) or keep)
    parameters = measured.front.parameters
    parameters.ct = first = other_ct(sample, "Nothing is known of this one")
    measured.look()
    measured.wait(lambda: not measured.front.desk.poller._waiting)
    assert asked == [] and first is parameters.ct
    parameters.clinical.age_years, parameters.clinical.sex = 63, "female"
    parameters.exploration.goal = "bilirubin 3"
    parameters.ct = other_ct(sample, "B")
    measured.wait(lambda: asked)
    measured.wait(lambda: not measured.front.desk.poller._waiting)
    assert len(asked) == 1 and "clinical" in asked[0]
    from MeWMPanels.parameters import clinical_json

    assert bool(clinical_json(parameters.clinical)) is keep and bool(parameters.exploration.goal) is keep


@pytest.mark.parametrize("reference", ["the node", "the grid alone"])
def test_a_segmentation_of_another_grid_is_refused(user, sample, reference):
    import slicer
    from MeWMPanels.case_files import OtherScanError
    from MeWMPanels.lesion import centre_of

    user.load_sample()
    parameters = user.front.parameters
    first, node = parameters.ct, parameters.segmentation
    affine = sample.ct.geometry.affine.copy()
    affine[:3, 3] += 40.0
    parameters.ct = other_ct(sample, geometry=Geometry(sample.ct.geometry.shape, affine))
    if reference == "the grid alone":
        slicer.mrmlScene.RemoveNode(first)
    user.look()
    assert parameters.segmentation is node
    error = user.error_after(user.front.tasks.measure)
    assert isinstance(error, OtherScanError) and node.GetName() in error.given and "source geometry" in error.remedy
    assert centre_of(user.front) is None and not user.widget("outcome", "lesionButton").enabled
    # a copy of the CT on the same grid is the same scan
    parameters.ct = other_ct(sample, "A copy")
    user.look()
    user.click("segmentation", "measureButton")
    user.wait(lambda: parameters.findings)
    user.wait_idle()


def test_results_of_a_job_do_not_land_on_another_ct(measured, sample, mishap):
    front = measured.front
    first = front.parameters.ct
    front.actions.add("A", Protocol.parse("Cisplatin + Lipiodol"))
    measured.look()
    for start in ("measureButton", "findButton"):
        measured.click("segmentation", start)
        front.parameters.ct = other_ct(sample, start)
        measured.wait_idle()
        assert front.parameters.findings == front.parameters.proposal == "", start
        front.parameters.ct = first
        measured.look()
    measured.click("simulation", "simulateButton")
    front.parameters.ct = other_ct(sample)
    measured.wait_idle()
    measured.wait(lambda: not front.desk.poller._waiting)
    assert front.comparison is None and front.outcome.ui.comparisonBox.count == 1
    labels = LabelMap(sample.labels.array, sample.ct.geometry)
    assert labels.tumour.any()
