"""Right-click in the module Data: for which items MeWM offers to simulate, and what that does."""

from __future__ import annotations

from typing import Any

NAME = "MeWM: simulate TACE"


def _menu(node: Any) -> dict[str, Any]:
    import slicer

    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    # the application makes an item of every node by itself
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)
    handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
    return {action.text: action for action in handler.context_menu(item)}


def test_right_click_on_a_ct_and_on_its_segmentation(user, sample):
    import slicer

    from MeWMLib.scene.nodes import volume_to_node
    from MeWMLib.scene.segmentations import labels_to_segmentation, prepare_labels

    scene, front = slicer.mrmlScene, user.front
    volume_to_node(scene, sample.ct, "Other")
    ct = volume_to_node(scene, sample.ct, "CT")
    slicer.util.selectModule("Data")
    assert not front.shown
    _menu(ct)[NAME].trigger()
    assert slicer.util.mainWindow().moduleSelector().selectedModule == "MeWM" and front.shown
    user.wait(lambda: front.comparison is not None)
    user.wait_idle()
    assert front.parameters.ct is ct and front.comparison.ct is ct

    # nothing is offered for what is simulated, nor for what is no scan
    comparison = front.comparison
    hidden = [comparison.node(role) for role in ("simulated", "labels", "difference", "table", "plan")]
    hidden.append(scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode"))
    assert all(NAME not in _menu(node) for node in hidden)

    # a segmentation brings the CT that it was drawn on
    first = comparison.id
    drawn = labels_to_segmentation(scene, prepare_labels(sample.labels), "drawn", ct)
    front.parameters.segmentation = None
    _menu(drawn)[NAME].trigger()
    user.wait(lambda: front.comparison.id != first)
    user.wait_idle()
    assert front.parameters.segmentation is drawn and front.comparison.labels is drawn


def test_the_plugin_is_registered_once_and_imports_nothing_of_mewm(user, repository):
    import slicer

    handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
    user.loaded.instance.setup()
    assert [plugin.name for plugin in handler.plugins] == ["MeWM"]
    text = (repository / "MeWM" / "MeWMPanels" / "MeWMSubjectHierarchyPlugin.py").read_text(encoding="utf-8")
    assert "import MeWM" not in text and "from MeWM" not in text, "Slicer's start waits for this file"


def test_the_host_keeps_nothing_of_a_former_start(host, user):
    """A plugin lives as long as Slicer, in the language of its start; a process of tests is many starts."""
    import slicer

    handler = slicer.qSlicerSubjectHierarchyPluginHandler.instance()
    former = handler.plugins[0]
    host.start_again()
    assert handler.plugins == [] and not hasattr(slicer, "MeWMSubjectHierarchyPlugin")
    assert not hasattr(slicer.modules, "sampleDataSources")
    user.loaded.instance.setup()
    assert [plugin.name for plugin in handler.plugins] == ["MeWM"] and handler.plugins[0] is not former


def test_it_knows_what_is_simulated(user):
    """The names of the attributes are repeated in the plugin, which may import nothing of MeWM."""
    import sys

    from MeWMLib.scene import nodes, plan_nodes

    assert sys.modules["MeWMSubjectHierarchyPlugin"]._SIMULATED == nodes.PREFIX + "Simulated"
    assert plan_nodes.ID == "MeWM.Comparison"
