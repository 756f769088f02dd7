"""Labels that look wrong, in the panels: the dialog, its button, and the choice of segments."""

from __future__ import annotations

import json

import pytest

from MeWMLib.core.errors import LabelError, LabelQuestionError
from MeWMLib.policy.permission import ContraindicatedError


@pytest.fixture
def ready(user):
    user.load_sample()
    return user


def test_labels_that_look_wrong_stop_and_the_user_may_go_on(ready):
    import slicer

    segmentation = ready.front.parameters.segmentation.GetSegmentation()
    segmentation.RemoveSegment("tumour")
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment("liver"))
    copy.SetName("tumour")
    segmentation.AddSegment(copy, "tumour")  # all of the liver is tumour
    ready.front.refresh()
    ready.front.guard(ready.front.tasks.measure)
    error = ready.wait_error()
    assert isinstance(error, LabelQuestionError) and not ready.front.desk.busy
    ready.front.messages.show(error)
    box = ready.front.messages.box
    assert "--accept-labels" not in box.informativeText and "Go on with these labels" in box.informativeText
    (button,) = [b for b in box.buttons() if b.text == "Go on with these labels"]
    button.click()
    ready.front.messages.close()
    ready.wait_idle()
    findings = json.loads(ready.front.parameters.findings)
    assert [q["severity"] for q in findings["questions"]] == ["severe"]
    assert "Severe: " in ready.widget("segmentation", "findingsLabel").text
    # the next task asks again
    assert isinstance(ready.error_after(ready.front.tasks.measure), LabelQuestionError)


def test_a_patient_in_whom_tace_is_contraindicated_is_planned_only_if_the_user_insists(ready):
    ready.front.parameters.clinical.bclc_stage = "D"
    error = ready.error_after(ready.front.tasks.measure)
    assert isinstance(error, ContraindicatedError) and "bclc-d" in error.given
    ready.front.messages.show(error)
    box = ready.front.messages.box
    assert "--allow-forbidden" not in box.informativeText
    (button,) = [b for b in box.buttons() if b.text == "Go on although it is contraindicated"]
    button.click()
    ready.front.messages.close()
    ready.wait_idle()
    assert json.loads(ready.front.parameters.findings)["lesions"]
    # nobody insists for the next patient
    assert isinstance(ready.error_after(ready.front.tasks.explore), ContraindicatedError)


@pytest.mark.parametrize(
    ("names", "liver", "tumour"),
    [
        (("Liver without tumor", "Lesions"), 0, 1),
        (("liver", "kidney_tumor_left"), 0, None),
        (("liver", "tumor", "kidney_tumor_left"), 0, 1),
        (("liver", "HCC 1", "HCC 2"), 0, None),
        (("Segment_1", "Segment_2"), None, None),
    ],
)
def test_only_a_segment_that_is_sure_is_chosen(ready, names, liver, tumour):
    import slicer

    node = ready.front.parameters.segmentation
    node.GetSegmentation().RemoveAllSegments()
    for n, name in enumerate(names):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        node.GetSegmentation().AddSegment(segment, f"S{n}")
    ready.front.refresh()
    parameters = ready.front.parameters
    assert parameters.liver_segment == ("" if liver is None else f"S{liver}")
    assert parameters.tumour_segment == ("" if tumour is None else f"S{tumour}")
    if tumour is None:
        error = ready.error_after(ready.front.tasks.measure)
        assert isinstance(error, LabelError) and names[-1] in error.given


def test_the_terminology_counts_before_the_name(ready):
    import slicer

    node = ready.front.parameters.segmentation
    node.GetSegmentation().RemoveAllSegments()
    entry = "x~SCT^49755003^Altered~SCT^4147007^Mass~^^~y~SCT^{}~^^"
    for n, (name, region) in enumerate((("Segment_1", "10200004^Liver"), ("Mass", "64033007^Kidney"))):
        segment = slicer.vtkSegment()
        segment.SetName(name)
        segment.SetTerminology(entry.format(region))
        node.GetSegmentation().AddSegment(segment, f"S{n}")
    ready.front.refresh()
    assert ready.front.parameters.tumour_segment == "S0" and ready.front.parameters.liver_segment == ""


@pytest.mark.parametrize("text", ['{"questions": [1], "lesions": []}', "[1]", '{"questions": 5}', "{", '"x"', "{}"])
def test_findings_of_a_damaged_scene_are_none(user, text):
    from MeWMPanels.node_texts import findings_of

    assert findings_of(text) == {"lesions": []}
