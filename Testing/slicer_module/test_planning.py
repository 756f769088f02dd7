"""From a CT in the scene to its overlay: one click, two with what must be agreed to; and what unfolds on the way."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from MeWMLib.core.errors import DependencyError


@pytest.fixture
def clicks(user: Any) -> Any:
    """Every press of a mouse button in the application, and every question that was answered."""
    from PySide6 import QtCore

    counted: list[str] = []

    class Counter(QtCore.QObject):
        def eventFilter(self, watched: Any, event: Any) -> bool:  # noqa: N802 - Qt's own name
            if event.type() == QtCore.QEvent.MouseButtonPress and watched.isWidgetType():
                counted.append(watched.objectName)
            return False

    counter = Counter()
    user.window_app.installEventFilter(counter)
    yield counted
    user.window_app.removeEventFilter(counter)


def _load_ct(user: Any, sample: Any, name: str = "CT") -> Any:
    """A CT as another module brings it: a node, nothing chosen."""
    import slicer

    from MeWMLib.scene.nodes import volume_to_node

    node = volume_to_node(slicer.mrmlScene, sample.ct, name)
    user.look()
    return node


def _overlay(user: Any) -> Any:
    from MeWMLib.scene.comparison import slice_nodes

    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    import slicer

    return slice_nodes(slicer.mrmlScene, "Red")[1]


def test_one_click_from_a_ct_in_the_scene_to_the_overlay(user, sample, clicks):
    ct = _load_ct(user, sample)
    assert "CT:" in user.widget("planning", "planLabel").text
    user.click("planning", "planButton")
    red = _overlay(user)
    assert clicks == ["planButton"]
    comparison = user.front.comparison
    assert red.GetBackgroundVolumeID() == ct.GetID() == user.front.parameters.ct.GetID()
    assert red.GetForegroundVolumeID() == comparison.node("simulated").GetID() and red.GetForegroundOpacity() > 0
    assert [p.text for _, p in user.front.actions.named] == [comparison.candidates[0].protocol.text]
    assert comparison.candidates[0].protocol.text == "Epirubicin + Lipiodol", "what the policy of this world suggests"
    assert not user.front.folds["outcome"].collapsed

    # again: what is there is not looked for again, and the protocol is not added twice
    first, segmentation = comparison.id, user.front.parameters.segmentation
    user.click("planning", "planButton")
    user.wait(lambda: user.front.comparison.id != first)
    user.wait_idle()
    assert len(user.front.actions.named) == 1 and user.front.parameters.segmentation is segmentation


def test_two_clicks_where_packages_must_be_installed(user, sample, clicks, monkeypatch):
    """The second click is that on the question; without it nothing is begun."""
    import slicer
    from MeWMPanels import install

    answers, asked, lacking = [False, True], [], ["monai"]
    monkeypatch.setattr(install, "missing_for_worker", lambda: list(lacking))
    monkeypatch.setattr(install, "install", lambda names, *rest: lacking.clear())

    def confirm(text: str, title: Any = None) -> bool:
        asked.append(text)
        return answers[len(asked) - 1]

    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", confirm)
    _load_ct(user, sample)
    user.click("planning", "planButton")
    assert not user.front.desk.busy and lacking and len(asked) == 1 and "monai" in asked[0]
    clicks.clear(), asked.clear(), answers.reverse()
    user.click("planning", "planButton")
    _overlay(user)
    assert len(clicks) + len(asked) == 2


def test_two_clicks_in_a_slicer_without_any_package(user, sample, monkeypatch):
    """The panel for packages has the button too: a press, a yes, and the plan goes on where it was."""
    import slicer
    from MeWMPanels import install, planning
    from PySide6 import QtWidgets

    begun: list[bool] = []
    monkeypatch.setattr(planning.PlanPanel, "start", lambda panel: begun.append(True))
    monkeypatch.setattr(install, "missing", lambda names: [n for n in names if n == "psutil"])
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda text, title=None: True)
    monkeypatch.setattr(
        install, "_install_plain", lambda *arguments: monkeypatch.setattr(install, "missing", lambda n: [])
    )
    parent = slicer.qMRMLWidget()
    parent.setLayout(QtWidgets.QVBoxLayout())
    widget = user.loaded.module.MeWMWidget(parent)
    widget.setup()
    widget.enter()
    widget.bare.plan_button.click()
    assert widget.bare is None and widget.front is not None and begun == [True]
    widget.cleanup()
    parent.deleteLater()


def test_a_segmentation_of_this_ct_is_used_and_of_another_scan_is_not(user, sample):
    import slicer

    from MeWMLib.core.volume import Geometry, LabelMap, Volume
    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels

    ct = _load_ct(user, sample)
    other = Volume(sample.ct.array, Geometry(sample.ct.geometry.shape, np.diag([-2.0, -2.0, 3.0, 1.0])))
    other_ct = volume_to_node(slicer.mrmlScene, other, "Other")
    theirs = labels_to_segmentation(
        slicer.mrmlScene, prepare_labels(LabelMap(sample.labels.array, other.geometry)), "theirs", other_ct
    )
    user.look()
    user.look()
    button = user.widget("planning", "planButton")
    assert not button.enabled and "several volumes" in button.toolTip, "which of two is the CT, nobody guesses"
    user.front.parameters.ct, user.front.parameters.segmentation = ct, theirs
    mine = labels_to_segmentation(slicer.mrmlScene, prepare_labels(sample.labels), "mine", ct)
    user.look()
    user.click("planning", "planButton")
    _overlay(user)
    assert user.front.parameters.segmentation is mine


def test_what_is_wrong_is_said_before_anything_begins(user, sample):
    import slicer

    ct = _load_ct(user, sample)
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    ct.SetAndObserveTransformNodeID(transform.GetID())
    user.click("planning", "planButton")
    assert "transform" in user.wait_error().what and not user.front.desk.busy


def test_without_a_suggestion_it_stops_with_the_lesions_measured(user, sample):
    _load_ct(user, sample)
    user.front.parameters.exploration.drugs = 1
    user.front.tasks._measured_once = user.front.tasks._measure

    def nothing(case: Any, seen: Any) -> Any:
        yield from user.front.tasks._measured_once(case, seen)
        user.front.parameters.proposal = '{"policy": "x", "drugs": [], "embolics": [], "reasons": {}}'

    user.front.tasks._measure = nothing
    user.click("planning", "planButton")
    error = user.wait_error()
    assert "Nothing can be suggested" in error.what and user.front.parameters.findings
    assert not isinstance(error, DependencyError) and not user.front.desk.busy


def test_cancel_stops_the_chain(user, sample, mishap):
    mishap("slow")
    _load_ct(user, sample)
    user.click("planning", "planButton")
    user.wait(lambda: user.front.desk.pid is not None)
    user.click("progress", "cancelButton")
    user.wait_idle()
    assert user.front.comparison is None and user.front.messages.box is None


def test_the_panel_of_the_next_step_unfolds_by_itself(user):
    folds = user.front.folds
    opened = lambda: [name for name, fold in folds.items() if not fold.collapsed]  # noqa: E731
    assert opened() == ["patient"]
    user.load_sample()
    assert opened() == ["patient", "segmentation"]
    folds["patient"].collapsed = True
    user.measure()
    assert opened() == ["segmentation", "actions"], "what the user has folded stays folded"
    user.click("actions", "suggestButton")
    assert opened() == ["segmentation", "actions", "simulation"]
    user.click("simulation", "simulateButton")
    user.wait(lambda: user.front.comparison is not None)
    user.wait_idle()
    assert opened() == ["segmentation", "actions", "simulation", "outcome"]


def test_age_and_sex_come_from_dicom_only_where_the_user_says_so(user, sample, phantom, tmp_path, monkeypatch):
    from types import SimpleNamespace

    import pydicom
    import slicer
    from MeWMPanels.parameters import clinical_json

    file = sorted(phantom.classic(tmp_path / "series", phantom.plain()).iterdir())[0]
    header = pydicom.dcmread(file)
    header.PatientAge, header.PatientSex, header.PatientName = "061Y", "F", "Nobody^Known"
    header.save_as(file)
    fake = SimpleNamespace(fileForInstance=lambda uid: str(file))
    monkeypatch.setattr(slicer, "dicomDatabase", fake, raising=False)
    ct = _load_ct(user, sample)
    ct.SetAttribute("DICOM.instanceUIDs", "1.2.3")
    user.front.parameters.ct = ct
    user.look()
    box, parameters = user.widget("planning", "dicomBox"), user.front.parameters
    assert box.visible and not box.checked
    user.click("planning", "planButton")
    _overlay(user)
    assert clinical_json(parameters.clinical) == {}
    first = user.front.comparison.id
    box.setChecked(True)
    parameters.clinical.age_years = 70.0
    user.look()
    user.click("planning", "planButton")
    user.wait(lambda: user.front.comparison.id != first)
    user.wait_idle()
    assert clinical_json(parameters.clinical) == {"age_years": 70.0, "sex": "female"}, "what was given stays"
