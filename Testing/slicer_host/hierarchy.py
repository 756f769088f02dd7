"""What Slicer's subject hierarchy does as nodes are removed, which the kits alone do not do.

Without it the item of a removed node stays, and the next node that gets the same address in memory finds it: VTK then
reports an inconsistency.
"""

from __future__ import annotations

from typing import Any


def follow(scene: Any) -> None:
    """Remove the item of each node that is about to be removed from a scene, unless the scene is being closed."""
    import slicer
    import vtk

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def forget(caller: Any, event: str, node: Any) -> None:
        if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)  # not the node itself, not what lies below

    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, forget)
