"""Slicer's own core without the Slicer application: a scene, the module logics and file storage.

It comes from `slicer-core` or, in the processes that the application's module starts, from PythonSlicer. There the
package `slicer` holds Slicer's kits (MRML, segmentation core, base logic) and no class of a loadable module: each
module has Python packages of its own, one for its logic and one for its nodes. Inside the application nothing of this
is needed: there the scene is `slicer.mrmlScene`, and every other file of this room takes the scene as an argument.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from MeWMLib.core.errors import DependencyError, install_command
from MeWMLib.scene import gl

gl.prepare_environment()
try:
    import slicer
    from vtkmodules.util import numpy_support
    from vtkmodules.util.misc import calldata_type

    from MeWMLib.scene.kits import Kits

    vtk = Kits()
except ImportError as error:
    raise DependencyError(
        what="The package slicer-core is not installed",
        given=str(error),
        remedy=f"Install it with: {install_command('scene')}",
    ) from error

# Logics register the node classes of their module with the scene. Without them a scene file is read without an error
# and without its segmentations, sequences and subject hierarchy.
_MODULE_LOGICS = {
    "Annotations": "vtkSlicerAnnotationModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Models": "vtkSlicerModelsLogic",
    "Cameras": "vtkSlicerCamerasModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Sequences": "vtkSlicerSequencesLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
}
#: Classes of nodes that this room uses and that belong to a loadable module. Until their package is imported, Python
#: sees such a node as one of its base class, without its own methods.
_MODULE_NODES = {"Sequences": "vtkMRMLSequenceBrowserNode"}


def module_class(module: str, part: str, name: str) -> Any:
    """A class of a loadable module, whether `slicer` holds it or the module's own package does.

    Args:
        module: name of the module, such as "Sequences".
        part: "Logic", or "MRML" for its nodes.
        name: of the class.

    Raises:
        DependencyError: neither of them has it.
    """
    if hasattr(slicer, name):
        return getattr(slicer, name)
    package = f"vtkSlicer{module}Module{part}Python"
    try:
        return getattr(importlib.import_module(package), name)
    except (ImportError, AttributeError) as error:
        raise DependencyError(
            what=f"This Python cannot reach Slicer's module {module}",
            given=f"{name} is neither in the package slicer nor in {package} ({error})",
            remedy="Run it with Slicer's own PythonSlicer, whose PYTHONPATH names the folder qt-loadable-modules, or "
            f"install: {install_command('scene')}",
        ) from error


@calldata_type(vtk.VTK_OBJECT)
def _forget_item(scene: Any, _event: str, node: Any) -> None:
    """Take the item of a node that is about to be removed out of the subject hierarchy, as the application does.

    Without the application it would stay, and the next node that gets the same address in memory would find it, in
    whatever scene: VTK then reports an inconsistency (`findings/slicer-core-items-of-removed-nodes.sh`).
    """
    if scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item:
        hierarchy.RemoveItem(item, False, False)  # not the node itself, not what lies below


class SlicerCore(AbstractContextManager["SlicerCore"]):
    """A running Slicer core. Use it as a context manager, or call `close`.

    Attributes:
        scene: the `vtkMRMLScene`.
        application_logic: the `vtkSlicerApplicationLogic` that the views need.
        logics: the module logics by name, such as "Segmentations".
    """

    def __init__(self) -> None:
        self._cache = tempfile.TemporaryDirectory(prefix="mewm-scene-")
        self.scene = slicer.vtkMRMLScene()
        self.scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, _forget_item)
        self.application_logic = slicer.vtkSlicerApplicationLogic()
        self.application_logic.SetMRMLScene(self.scene)
        colours = self.application_logic.GetColorLogic()
        colours.SetMRMLScene(self.scene)
        colours.AddDefaultColorNodes()
        self.application_logic.SetModuleLogic("Colors", colours)
        self.application_logic.SetSliceLogics(vtk.vtkCollection())
        self.logics: dict[str, Any] = {"Colors": colours}
        for name, class_name in _MODULE_NODES.items():
            module_class(name, "MRML", class_name)
        for name, class_name in _MODULE_LOGICS.items():
            logic = self.logics[name] = self.in_scene(module_class(name, "Logic", class_name)())
            self.application_logic.SetModuleLogic(name, logic)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self.scene, True)
        # Storage nodes ask the scene for a data-IO manager with a cache folder; without one they refuse to read.
        self._remote = self.in_scene(slicer.vtkMRMLRemoteIOLogic())
        self._remote.GetCacheManager().SetRemoteCacheDirectory(self._cache.name)
        self._data_io = self.in_scene(slicer.vtkDataIOManagerLogic())
        self._data_io.SetAndObserveDataIOManager(self._remote.GetDataIOManager())
        self._remote.AddDataIOToScene()

    def in_scene(self, logic: Any) -> Any:
        """Let a logic work on the scene; returns it."""
        logic.SetMRMLApplicationLogic(self.application_logic)
        logic.SetMRMLScene(self.scene)
        return logic

    def close(self) -> None:
        """Empty the scene and remove the cache folder. Views on the scene must be closed before."""
        self.scene.Clear(True)
        self._remote.RemoveDataIOFromScene()
        for logic in (self._data_io, self._remote, self.application_logic):
            logic.SetMRMLScene(None)
        self._cache.cleanup()

    def __exit__(self, *_error: object) -> None:
        self.close()


@contextmanager
def vtk_errors() -> Iterator[list[str]]:
    """Collect VTK's error messages while the block runs.

    Some calls of Slicer return True having done nothing; then the messages are the only sign.

    Yields:
        A list that fills with the messages; warnings are left out.
    """
    messages: list[str] = []
    before = vtk.vtkOutputWindow.GetInstance()
    window = vtk.vtkStringOutputWindow()

    def note(_caller: Any, _event: str, text: str) -> None:
        messages.append(" ".join(text.split()))

    note.CallDataType = vtk.VTK_STRING  # type: ignore[attr-defined]
    tag = window.AddObserver("ErrorEvent", note)
    vtk.vtkOutputWindow.SetInstance(window)
    try:
        yield messages
    finally:
        window.RemoveObserver(tag)
        vtk.vtkOutputWindow.SetInstance(before)


__all__ = ["SlicerCore", "module_class", "numpy_support", "slicer", "vtk", "vtk_errors"]
