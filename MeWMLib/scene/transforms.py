"""A saved deformation as a transform node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MeWMLib.core.errors import UnreadableFileError
from MeWMLib.scene.core_app import vtk_errors


def transform_to_node(scene: Any, path: Path, name: str) -> Any:
    """Add the deformation of a registration to a scene.

    Put the CT after treatment under the node, and it lies over the one before.

    Args:
        scene: a `vtkMRMLScene` (in Slicer: `slicer.mrmlScene`).
        path: ITK transform file, as `Registered.write_deformation` writes it.
        name: of the node.

    Returns:
        The new `vtkMRMLTransformNode`.

    Raises:
        UnreadableFileError: no such file, or no transform.
    """
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", name)
    node.AddDefaultStorageNode()
    storage = node.GetStorageNode()
    storage.SetFileName(str(path))
    with vtk_errors() as errors:
        done = Path(path).is_file() and storage.ReadData(node)
    if not done or errors:
        scene.RemoveNode(node)
        raise UnreadableFileError(
            what="The deformation cannot be read", given=f"{path}", remedy="Register the scans again"
        )
    return node
