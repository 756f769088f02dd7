"""Looking at a comparison: layers, layout, maps, outlines, the mark; and the module's own parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from MeWMLib.core.errors import RegistrationError
from MeWMLib.core.protocol import Protocol


@pytest.fixture
def shown(user: Any) -> Any:
    """A user before a comparison of two protocols."""
    user.load_sample()
    user.simulate("Cisplatin + Lipiodol", "Epirubicin + PVA")
    return user


def _composite(name: str) -> Any:
    import slicer

    from MeWMLib.scene.comparison import slice_nodes

    return slice_nodes(slicer.mrmlScene, name)[1]


def _choose(user: Any, panel: str, box: str, text: str) -> None:
    combo = user.widget(panel, box)
    combo.setCurrentIndex(combo.findText(text))
    user.look()


def test_the_fade_slider_blends_the_simulated_ct_over_the_scan(shown):
    comparison = shown.front.comparison
    red = _composite("Red")
    assert red.GetBackgroundVolumeID() == comparison.ct.GetID()
    assert red.GetForegroundVolumeID() == comparison.node("simulated").GetID()
    shown.widget("outcome", "fadeSlider").setValue(0.85)
    shown.look()
    assert red.GetForegroundOpacity() == pytest.approx(0.85)
    assert shown.front.parameters.view.fade == pytest.approx(0.85)


def test_the_maps_with_their_legend(shown):
    import slicer

    comparison = shown.front.comparison
    for text, role in (("difference", "difference"), ("uncertainty", "uncertainty")):
        _choose(shown, "outcome", "mapBox", text)
        node = comparison.node(role)
        assert _composite("Green").GetForegroundVolumeID() == node.GetID()
        legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(node)
        assert legend.GetVisibility() and legend.GetTitleText() == "HU"
    _choose(shown, "outcome", "mapBox", "no map")
    assert not legend.GetVisibility()
    assert _composite("Green").GetForegroundVolumeID() == comparison.node("simulated").GetID()


def test_side_by_side_shows_before_simulated_and_difference(shown):
    import slicer

    comparison = shown.front.comparison
    _choose(shown, "outcome", "layoutBox", "side by side")
    names = slicer.app.layoutManager().sliceViewNames()
    assert set(names) == {"MeWM-Before", "MeWM-Simulated", "MeWM-Difference"}
    assert _composite("MeWM-Before").GetBackgroundVolumeID() == comparison.ct.GetID()
    assert _composite("MeWM-Simulated").GetBackgroundVolumeID() == comparison.node("simulated").GetID()
    assert _composite("MeWM-Difference").GetForegroundVolumeID() == comparison.node("difference").GetID()
    assert all(_composite(name).GetLinkedControl() for name in names)
    shown.click("outcome", "lesionButton")
    _choose(shown, "outcome", "layoutBox", "overlay")
    assert "Red" in slicer.app.layoutManager().sliceViewNames()


def test_views_of_a_simulated_ct_carry_the_mark(shown):
    import slicer

    def marks(name: str) -> list[Any]:
        window = slicer.app.layoutManager().sliceWidget(name).sliceView().renderWindow()
        props = window.GetRenderers().GetFirstRenderer().GetViewProps()
        found = [props.GetItemAsObject(n) for n in range(props.GetNumberOfItems())]
        return [p for p in found if p.IsA("vtkTextActor") and p.GetVisibility() and "SIMULATED" in p.GetInput()]

    assert all(len(marks(name)) == 1 for name in ("Red", "Green", "Yellow"))
    _choose(shown, "outcome", "layoutBox", "side by side")
    assert marks("MeWM-Before") == [] and len(marks("MeWM-Simulated")) == 1
    _choose(shown, "outcome", "layoutBox", "overlay")
    slicer.mrmlScene.Clear(0)
    shown.look()
    assert marks("Red") == []


def test_outlines_and_surfaces(shown):
    from MeWMLib.scene import surfaces

    comparison = shown.front.comparison
    before, after = comparison.labels.GetDisplayNode(), comparison.node("labels", 1).GetDisplayNode()
    assert before.GetVisibility2DOutline() and after.GetVisibility2DOutline()
    shown.widget("outcome", "outlinesBox").setChecked(False)
    shown.look()
    assert not before.GetVisibility() and not after.GetVisibility()
    shown.widget("outcome", "surfacesBox").setChecked(True)
    shown.look()
    assert after.GetVisibility3D() and not after.GetVisibility2DOutline()
    for node in (comparison.labels, comparison.node("labels", 1)):
        segmentation = node.GetSegmentation()
        shown.wait(lambda node=node: surfaces.drawn(node))
        assert segmentation.ContainsRepresentation("Closed surface")
        for name in ("liver", "tumour"):
            surface, box = segmentation.GetSegment(name).GetRepresentation("Closed surface"), [0.0] * 6
            assert surface.GetNumberOfPolys() > 50
            node.GetSegmentation().GetSegment(name).GetRepresentation("Binary labelmap").GetBounds(box)
            # the surface lies where the voxels do, give or take one of them
            assert np.abs(np.array(surface.GetBounds()) - box).max() < 2.0


def test_flicker_comes_and_goes(shown):
    shown.widget("outcome", "flickerBox").setChecked(True)
    seen = set()

    def both() -> bool:
        seen.add(_composite("Red").GetForegroundOpacity())
        return {0.0, 1.0} <= seen

    shown.wait(both, 10)
    shown.widget("outcome", "flickerBox").setChecked(False)
    shown.look()
    assert _composite("Red").GetForegroundOpacity() == pytest.approx(0.5)


def test_the_survival_curves_are_a_plot(shown):
    import slicer

    shown.click("outcome", "curvesButton")
    chart = shown.front.comparison.node("survival chart")
    assert chart.GetNumberOfPlotSeriesNodes() == 2
    views = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLPlotViewNode")
    assert views and slicer.mrmlScene.GetNthNodeByClass(0, "vtkMRMLPlotViewNode").GetPlotChartNodeID() == chart.GetID()


def test_the_second_rank_brings_its_own_difference(shown):
    from MeWMLib.scene.nodes import node_to_volume

    comparison = shown.front.comparison
    _choose(shown, "outcome", "mapBox", "difference")
    first = node_to_volume(comparison.node("difference")).array
    shown.front.show_rank(2)
    assert _composite("Red").GetForegroundVolumeID() != comparison.node("difference").GetID(), "that of rank 1"
    shown.wait(lambda: comparison.node("difference").GetAttribute("MeWM.Rank") == "2")
    shown.look()
    assert _composite("Red").GetForegroundVolumeID() == comparison.node("difference").GetID()
    second = node_to_volume(comparison.node("difference")).array
    before, after = node_to_volume(comparison.ct).array, node_to_volume(comparison.node("simulated")).array
    assert not np.array_equal(first, second)
    assert np.array_equal(second, after.astype(int) - before)
    assert "rank 2" in comparison.node("difference").GetName()


def test_the_uncertainty_of_another_rank_is_never_shown(shown):
    _choose(shown, "outcome", "mapBox", "uncertainty")
    shown.front.show_rank(2)
    shown.look()
    comparison = shown.front.comparison
    assert _composite("Red").GetForegroundVolumeID() != comparison.node("uncertainty").GetID()
    assert "rank 1" in shown.widget("outcome", "mapBox").toolTip


def test_the_real_ct_after_treatment_is_judged(shown):
    shown.front.parameters.post_ct = shown.front.parameters.ct
    shown.look()
    shown.click("outcome", "assessButton")
    shown.wait_idle()
    assert "+0.50" in shown.widget("outcome", "assessLabel").text


def test_the_sample_for_judging_brings_a_ct_after_treatment(user):
    from MeWMLib.cohorts.samples import load_sample
    from MeWMLib.scene.nodes import node_to_volume

    user.front.load_sample = load_sample
    box = user.widget("patient", "sampleBox")
    box.setCurrentIndex(box.findData("synthetic-treated"))
    user.click("patient", "sampleButton")
    user.wait(lambda: user.front.parameters.post_ct is not None)
    user.wait_idle()
    before, after = (node_to_volume(node) for node in (user.front.parameters.ct, user.front.parameters.post_ct))
    assert after.geometry.same_as(before.geometry) and after.simulated is None
    from MeWMPanels import case_files

    tumour = case_files.labels_of(user.front.parameters, before.geometry).tumour
    # Lipiodol: far brighter than any voxel of the tumour before
    assert np.percentile(after.array[tumour], 95) > 250 > np.percentile(before.array[tumour], 95)
    # without a prepared comparison it can be judged at once
    user.click("outcome", "assessButton")
    user.wait_idle()
    told = user.widget("outcome", "assessLabel").text
    assert "+0.50" in told and "Registration: good" in told and "RECIST 1.1:" in told


def test_a_ct_that_does_not_fit_is_judged_only_if_the_user_says_so(shown):
    import slicer

    from MeWMLib.scene.nodes import node_to_volume, volume_to_node

    before = node_to_volume(shown.front.parameters.ct)
    noise = np.random.default_rng(0).integers(-900, 300, before.array.shape).astype(np.int16)
    shown.front.parameters.post_ct = volume_to_node(slicer.mrmlScene, before.with_array(noise), "Another patient")
    shown.look()
    shown.click("outcome", "assessButton")
    error = shown.wait_error()
    assert isinstance(error, RegistrationError)
    shown.front.messages.show(error)
    box = shown.front.messages.box
    assert "--" not in box.informativeText and "correlation" in box.informativeText
    (button,) = [b for b in box.buttons() if b.text == "Go on with this registration"]
    button.click()
    shown.front.messages.close()
    shown.wait_idle()
    assert "Registration: failed" in shown.widget("outcome", "assessLabel").text


def test_one_replica_has_no_range_of_replicas(user):
    from MeWMPanels import ranks

    user.load_sample()
    user.front.actions.add("A", Protocol.parse("Cisplatin + Lipiodol"))
    user.front.parameters.simulation.replicas = 1
    user.look()
    user.click("simulation", "simulateButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    # what replicas do not show is known of this model: there is an interval all the same
    text = user.widget("outcome", "summaryLabel").text
    assert "95 % interval" in text and "range of" not in text
    alone = user.front.comparison.document.plan.best
    alone = replace(alone, risk=replace(alone.risk, unseen=None))
    assert "a point estimate: one replica has no range" in ranks.summary_of(user.front.comparison.document, alone)
    span = user.widget("exploration", "rankTable").item(0, 4).text()
    assert span.split() == ranks.span_of(user.front.comparison.document.plan.best.risk).split()
    table = user.front.comparison.node("table").GetTable()
    columns = [table.GetColumnName(n) for n in range(table.GetNumberOfColumns())]
    assert "log risk" in columns and not [name for name in columns if "replica" in name]
    assert table.GetValueByName(0, "protocol").ToString() == "Cisplatin + Lipiodol"
    assert user.front.comparison.node("risk chart").GetNumberOfPlotSeriesNodes() == 3


def test_more_replicas_have_a_range(shown):
    assert "..." in shown.widget("outcome", "summaryLabel").text
    assert "..." in shown.widget("exploration", "rankTable").item(0, 4).text()
    assert shown.front.comparison.node("risk chart").GetNumberOfPlotSeriesNodes() == 3


def test_clinical_data_reach_the_rules(shown):
    shown.front.patient.ui.clinicalFold.collapsed = False
    _choose(shown, "patient", "clinical_child_pugh_class", "C")
    assert "Not allowed" in shown.widget("actions", "ruleLabel").text
    assert not shown.widget("simulation", "simulateButton").enabled


def test_every_clinical_field_has_a_widget(shown):
    from MeWMPanels.parameters import clinical_json

    from MeWMLib.core.clinical import field_table

    def told() -> dict[str, Any]:
        # Slicer's own wrapper gives what the node holds when it is asked
        return clinical_json(shown.front.parameters.clinical)

    assert told() == {} and set(shown.front.patient.clinical) == set(field_table())
    shown.widget("patient", "clinical_allergies").setText("iodine, cisplatin")
    shown.widget("patient", "clinical_ecog").setValue(0)
    shown.widget("patient", "clinical_bilirubin_mg_per_dl").setValue(1.5)
    _choose(shown, "patient", "clinical_renal_failure", "no")
    assert told() == {
        "allergies": "iodine, cisplatin", "ecog": 0, "bilirubin_mg_per_dl": 1.5, "renal_failure": False
    }  # fmt: skip
    assert "Cannot be judged" in shown.widget("actions", "ruleLabel").text
    for name in ("clinical_allergies",):
        shown.widget("patient", name).setText("")
    shown.widget("patient", "clinical_ecog").setValue(-1)
    _choose(shown, "patient", "clinical_renal_failure", "not known")
    shown.widget("patient", "clinical_bilirubin_mg_per_dl").setValue(0)
    assert told() == {}


def test_a_question_about_the_goal_is_confirmed_in_the_panel(shown):
    goal, explore = shown.widget("exploration", "goalEdit"), shown.widget("exploration", "exploreButton")
    former = goal.text
    goal.setText("doxorubicin, allergic to cisplatin")
    shown.look()
    label = shown.widget("exploration", "goalLabel").text
    assert "excluded: Cisplatin" in label and "wanted: nothing" in label and "Question:" in label
    assert not explore.enabled and shown.front.exploration.ui.acceptButton.visible
    shown.click("exploration", "acceptButton")
    shown.look()
    assert explore.enabled and not shown.front.exploration.ui.acceptButton.visible
    goal.setText("use doxorubicin, allergic to cisplatin")
    shown.look()
    assert explore.enabled and "wanted: Doxorubicin" in shown.widget("exploration", "goalLabel").text
    goal.setText(former)
    shown.look()


def test_a_ranked_protocol_is_taken_over(shown):
    shown.click_cell("exploration", "rankTable", 1, 1)
    shown.click("exploration", "adoptButton")
    named = dict(shown.front.actions.named)
    assert named["Rank 2"] == shown.front.comparison.candidates[1].protocol


def test_buttons_go_to_other_modules(shown):
    import slicer

    shown.click("segmentation", "editButton")
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "SegmentEditor"
    shown.click("patient", "dicomButton")
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "DICOM"


def test_the_modules_own_test_passes(user, monkeypatch):
    """A scenario that fails raises; what is asserted here is that all of them were run."""
    told: list[str] = []
    monkeypatch.setattr(user.loaded.module.MeWMTest, "delayDisplay", lambda case, message, *rest: told.append(message))
    user.loaded.instance.runTest(msec=1)
    assert {"Geometry of an oblique volume", "Protocols and rules", "A transform is refused"} <= set(told)


def test_without_packages_the_module_offers_to_install_them(host, monkeypatch, user):
    import slicer
    from MeWMPanels import install
    from PySide6 import QtWidgets

    monkeypatch.setattr(install, "missing", lambda names: [n for n in names if n == "psutil"])
    parent = slicer.qMRMLWidget()
    parent.setLayout(QtWidgets.QVBoxLayout())
    widget = user.loaded.module.MeWMWidget(parent)
    widget.setup()
    widget.enter()
    assert widget.front is None and widget.bare.setup.ui.installButton.enabled
    assert "psutil" in widget.bare.setup.ui.packagesLabel.text
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, title=None: True)
    # what pip does, with whatever this version of Slicer calls it by
    monkeypatch.setattr(
        install, "_install_plain", lambda *arguments: monkeypatch.setattr(install, "missing", lambda n: [])
    )
    widget.bare.setup.ui.installButton.click()
    assert widget.bare is None and widget.front is not None and widget.front.parameters is not None
    widget.cleanup()
    parent.deleteLater()


def test_the_panels_begin_with_the_defaults_of_the_library(user):
    from MeWMLib.core.plan import PlanSettings

    assert user.front.parameters.simulation.steps == PlanSettings().steps
    assert user.front.parameters.simulation.replicas == PlanSettings().replicas
