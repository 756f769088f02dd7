"""What users do wrong and what breaks: each has a message, leaves no process behind and no node half made."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np
import psutil
import pytest

from MeWMLib.core.errors import (
    BundleError,
    DeviceError,
    GeometryError,
    InputError,
    LabelError,
    NotCTError,
    NoTumourError,
    ProtocolError,
    WorkerError,
)
from MeWMLib.core.protocol import Protocol

PAIR = Protocol.parse("Cisplatin + Lipiodol")


def _children() -> list[int]:
    return [p.pid for p in psutil.Process().children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]


def _no_child_left(user: Any, before: list[int]) -> None:
    until = time.monotonic() + 10.0
    while set(_children()) - set(before) and time.monotonic() < until:
        user.look()
        time.sleep(0.05)
    assert set(_children()) - set(before) == set()


def _node_ids() -> set[str]:
    import slicer

    scene = slicer.mrmlScene
    return {scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())}


def _started(user: Any) -> int:
    user.wait(lambda: user.front.desk.pid is not None)
    return user.front.desk.pid


def _buttons(user: Any, error: Exception) -> list[str]:
    """Texts of the buttons that the dialog for an error offers."""
    user.front.messages.show(error)
    texts = [button.text for button in user.front.messages.box.buttons()]
    user.front.messages.close()
    return texts


@pytest.fixture
def ready(user: Any) -> Any:
    """A user with the sample and a protocol."""
    user.load_sample()
    user.front.actions.add("A", PAIR)
    user.look()
    return user


def test_no_ct_chosen(user):
    error = user.error_after(user.front.tasks.segment)
    assert isinstance(error, InputError) and "No CT" in error.what and "Patient" in error.remedy
    assert "Open Patient" in _buttons(user, error)
    assert not user.widget("segmentation", "findButton").enabled
    assert "CT" in user.widget("segmentation", "findButton").toolTip


def test_no_segmentation(ready):
    ready.front.parameters.segmentation = None
    ready.look()
    error = ready.error_after(ready.front.tasks.explore)
    assert "no segmentation" in error.what and not ready.front.desk.busy
    assert "Open Segmentation" in _buttons(ready, error)


def test_an_mr_volume_is_refused_by_the_worker(ready):
    from MeWMLib.scene.nodes import image_of_array, scalars_of_image

    node = ready.front.parameters.ct
    array = scalars_of_image(node.GetImageData()).astype(np.float32)
    node.SetAndObserveImageData(image_of_array(np.abs(array)))
    ready.click("segmentation", "findButton")
    error = ready.wait_error()
    assert isinstance(error, NotCTError) and not ready.front.desk.busy


def test_an_empty_segmentation(ready):
    import slicer

    from MeWMLib.scene.nodes import matrix_to_vtk

    node = ready.front.parameters.segmentation
    image = slicer.vtkOrientedImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(3, 1)
    image.GetPointData().GetScalars().Fill(0)
    image.SetImageToWorldMatrix(matrix_to_vtk(np.eye(4)))
    node.GetSegmentation().GetSegment("tumour").AddRepresentation("Binary labelmap", image)
    error = ready.error_after(ready.front.tasks.measure)
    assert isinstance(error, NoTumourError) and "empty" in error.what


def test_a_segmentation_without_known_segments(ready):
    node = ready.front.parameters.segmentation
    node.GetSegmentation().RemoveAllSegments()
    ready.front.refresh()
    error = ready.error_after(ready.front.tasks.measure)
    assert isinstance(error, LabelError) and "which segment" in error.what
    ready.front.messages.show(error)
    texts = [b.text for b in ready.front.messages.box.buttons()]
    assert "Open Segmentation" in texts


@pytest.mark.parametrize("which", ["ct", "segmentation"])
def test_a_linear_transform_is_refused(ready, which):
    import slicer

    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    getattr(ready.front.parameters, which).SetAndObserveTransformNodeID(transform.GetID())
    error = ready.error_after(ready.front.tasks.measure)
    assert isinstance(error, GeometryError) and "transform" in error.what and "Harden" in error.remedy
    assert "Open Data module" in _buttons(ready, error)


def test_a_forbidden_and_an_incomplete_protocol(ready):
    front = ready.front
    for text in ("Cisplatin + Oxaliplatin + Lipiodol", "Cisplatin"):
        named = [("B", Protocol.parse(text))]
        error = ready.error_after(lambda named=named: front.tasks.simulate(named))
        assert isinstance(error, ProtocolError) and "B:" in error.given and not front.desk.busy


def test_two_jobs_at_once(ready, mishap):
    mishap("slow")
    ready.click("exploration", "exploreButton")
    _started(ready)
    for panel, name in (("simulation", "simulateButton"), ("segmentation", "findButton"), ("patient", "sampleButton")):
        assert not ready.widget(panel, name).enabled
    error = ready.error_after(ready.front.tasks.measure)
    assert "Another job" in error.what
    assert ready.front.desk.busy, "the first job goes on"
    ready.wait(lambda: ready.front.comparison is not None)


def test_the_ct_is_deleted_while_a_job_runs(ready, mishap):
    import slicer

    mishap("slow")
    ready.click("exploration", "exploreButton")
    _started(ready)
    slicer.mrmlScene.RemoveNode(ready.front.parameters.ct)
    slicer.mrmlScene.RemoveNode(ready.front.parameters.segmentation)
    ready.wait(lambda: ready.front.comparison is not None)
    ready.wait_idle()
    assert ready.front.comparison.ct.GetName() == "CT before treatment"
    assert any("deleted in the meantime" in line for line in ready.front.desk.state.log)


def test_a_killed_worker(ready, mishap):
    before_children, before_nodes = _children(), _node_ids()
    mishap("slow")
    ready.click("exploration", "exploreButton")
    os.kill(_started(ready), signal.SIGKILL)
    error = ready.wait_error()
    assert isinstance(error, WorkerError) and "SIGKILL" in error.what
    assert not ready.front.desk.busy and ready.widget("exploration", "exploreButton").enabled
    assert _node_ids() == before_nodes
    _no_child_left(ready, before_children)


def test_a_worker_that_crashes_by_itself(ready, mishap):
    mishap("crash")
    ready.click("simulation", "simulateButton")
    error = ready.wait_error()
    assert isinstance(error, WorkerError) and "ZeroDivisionError" in error.what


def test_out_of_memory_offers_the_processor(ready, mishap):
    mishap("oom")
    ready.click("simulation", "simulateButton")
    ready.wait(lambda: ready.front.messages.box is not None)
    box = ready.front.messages.box
    assert "--device" not in box.informativeText and "Device: cpu" in box.informativeText
    next(b for b in box.buttons() if "CPU" in b.text).click()
    assert ready.front.parameters.computer.device == "cpu"


def test_the_scene_is_closed_while_a_job_runs(ready, mishap):
    import slicer

    before = _children()
    mishap("slow")
    ready.click("exploration", "exploreButton")
    _started(ready)
    slicer.mrmlScene.Clear(0)
    ready.look()
    assert not ready.front.desk.busy
    _no_child_left(ready, before)
    ready.look()
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert ready.front.parameters.ct is None and ready.front.messages.box is None
    # and the module goes on
    ready.load_sample()


def test_a_cancelled_simulation_leaves_nothing(ready, mishap):
    before_children, before_nodes = _children(), _node_ids()
    mishap("slow")
    ready.click("simulation", "simulateButton")
    _started(ready)
    ready.click("progress", "cancelButton")
    ready.wait_idle()
    assert ready.front.messages.box is None and ready.front.comparison is None
    assert _node_ids() == before_nodes
    _no_child_left(ready, before_children)


def test_a_missing_bundle(ready, monkeypatch, tmp_path):
    monkeypatch.setenv("MEWM_BUNDLES", str(tmp_path / "nothing"))
    ready.front.parameters.computer.bundle = "no-such-model"
    ready.click("simulation", "simulateButton")
    error = ready.wait_error()
    assert isinstance(error, BundleError)
    assert "(missing)" in ready.widget("setup", "bundleBox").currentText


def test_no_voxel_is_changed_behind_the_users_back_while_results_arrive(ready, mishap):
    """The scene is closed between two nodes of a result: none of them stays, and a new scene is not touched."""
    import slicer

    before = _children()
    ready.click("exploration", "exploreButton")
    poller = ready.front.desk.poller
    ready.wait(lambda: poller._steps)
    count = slicer.mrmlScene.GetNumberOfNodes()
    ready.wait(lambda: not poller._steps or slicer.mrmlScene.GetNumberOfNodes() > count + 3)
    assert poller._steps, "the nodes come one by one"
    slicer.mrmlScene.Clear(0)
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "another scan")
    ready.look()
    assert not poller._steps and not ready.front.desk.busy and ready.front.messages.box is None
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    assert other.GetScene() is slicer.mrmlScene
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    _no_child_left(ready, before)


def test_the_ct_is_deleted_while_results_arrive(ready):
    import slicer

    scene = slicer.mrmlScene
    ready.click("exploration", "exploreButton")
    poller = ready.front.desk.poller
    ready.wait(lambda: poller._steps)
    count = scene.GetNumberOfNodes()
    ready.wait(lambda: not poller._steps or scene.GetNumberOfNodes() > count + 3)
    assert poller._steps, "the nodes come one by one"
    scene.RemoveNode(ready.front.parameters.ct)
    ready.wait(lambda: ready.front.comparison is not None)
    ready.wait_idle()
    names = [
        scene.GetNthNodeByClass(n, "vtkMRMLVolumeNode").GetName()
        for n in range(99)
        if scene.GetNthNodeByClass(n, "vtkMRMLVolumeNode")
    ]
    assert ready.front.comparison.ct.GetName() == "CT before treatment"
    assert len([name for name in names if "rank" in name]) == 3, f"nothing of the first try stays: {names}"


def test_an_error_while_results_arrive_takes_all_nodes_away(ready, monkeypatch):
    import slicer

    from MeWMLib.scene import plan_nodes

    before = _node_ids()

    def fail(*_arguments):
        raise RuntimeError("no memory for one more node")

    monkeypatch.setattr(plan_nodes, "put_into", fail)
    ready.click("exploration", "exploreButton")
    error = ready.wait_error()
    assert "no memory for one more node" in error.given and not ready.front.desk.busy
    left = {slicer.mrmlScene.GetNodeByID(i).GetName() for i in _node_ids() - before}
    # views and colours are Slicer's own; what is the comparison's is gone
    assert not [name for name in left if "MeWM" in name or "SIMULATED" in name or "rank" in name], left
    assert ready.front.comparison is None


def test_a_volume_without_voxels_is_refused(ready):
    import slicer

    ready.front.parameters.ct = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    error = ready.error_after(ready.front.tasks.measure)
    assert isinstance(error, GeometryError) and "no voxels" in error.what


def test_the_computer_runs_out_of_memory(ready, mishap):
    """A plain MemoryError of the worker names what helps, in words of the panels."""
    mishap("memory")
    ready.click("simulation", "simulateButton")
    error = ready.wait_error()
    assert isinstance(error, DeviceError) and "memory" in error.what and "replicas" in error.remedy
    ready.front.messages.show(error)
    assert "--replicas" not in ready.front.messages.box.informativeText

    # with the processor chosen already, fewer replicas are what is left
    ready.front.parameters.computer.device = "cpu"
    ready.front.messages.show(error)
    next(b for b in ready.front.messages.box.buttons() if "replica" in b.text).click()
    assert ready.front.parameters.simulation.replicas == ready.front.parameters.exploration.replicas == 1
