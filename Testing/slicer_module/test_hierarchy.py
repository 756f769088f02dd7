"""Without the application too, the subject hierarchy forgets removed nodes."""

from typing import Any


def test_a_removed_node_leaves_no_item_behind(host: Any) -> None:
    import slicer

    from MeWMLib.scene.core_app import vtk_errors

    scene = slicer.mrmlScene
    scene.Clear(0)
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Kept")
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "A")
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(folder, node)
    assert hierarchy.GetItemDataNode(item) is node
    scene.RemoveNode(node)
    assert hierarchy.GetNumberOfItemChildren(folder) == 0 and hierarchy.GetItemName(folder) == "Kept"
    del node
    with vtk_errors() as errors:
        for _ in range(300):  # one of them gets the address of the removed node
            assert hierarchy.GetItemByDataNode(slicer.vtkMRMLScalarVolumeNode()) == 0
    assert errors == []
    scene.Clear(0)
