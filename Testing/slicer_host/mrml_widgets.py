"""The few qMRML widgets that MeWM's panels use, over the real MRML scene."""

from __future__ import annotations

from typing import Any

import shiboken6
from PySide6 import QtCore, QtWidgets

from slicer_host.pythonqt import custom_widget, declare, stored


@custom_widget
class qMRMLWidget(QtWidgets.QWidget):  # noqa: N801 - Slicer's own name
    """A widget that is told the scene, and tells it on."""

    mrmlSceneChanged = QtCore.Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


@custom_widget
class qMRMLNodeComboBox(qMRMLWidget):  # noqa: N801
    """A list of the nodes of some classes. Nothing is selected by itself, if None can be chosen."""

    currentNodeChanged = QtCore.Signal(object)
    currentNodeIDChanged = QtCore.Signal(str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._current, self._ids, self._tags = "", [], []
        self._combo = QtWidgets.QComboBox()
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo)
        self._combo.activated.connect(lambda index: self.setCurrentNodeID(self._ids[index]))

    nodeTypes = stored("QStringList", "node_types", [], "refresh")
    noneEnabled = stored(bool, "none_enabled", False, "refresh")
    noneDisplay = stored(str, "none_display", "None", "refresh")
    showChildNodeTypes = stored(bool, "show_child_node_types", True, "refresh")
    showHidden = stored(bool, "show_hidden", False, "refresh")
    addEnabled = stored(bool, "add_enabled", True)
    removeEnabled = stored(bool, "remove_enabled", True)
    editEnabled = stored(bool, "edit_enabled", False)
    renameEnabled = stored(bool, "rename_enabled", False)
    selectNodeUponCreation = stored(bool, "select_node_upon_creation", True)

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            for tag in self._tags:
                self._scene.RemoveObserver(tag)
        self._tags = []
        if scene is not None:
            events = (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent)
            self._tags = [scene.AddObserver(event, self.refresh) for event in events]
        super().setMRMLScene(scene)
        self.refresh()

    def _nodes(self) -> list[Any]:
        nodes = []
        for kind in self.nodeTypes if self._scene else []:
            for index in range(self._scene.GetNumberOfNodesByClass(kind)):
                node = self._scene.GetNthNodeByClass(index, kind)
                wanted = self.showChildNodeTypes or node.GetClassName() in self.nodeTypes
                if wanted and node not in nodes and (self.showHidden or not node.GetHideFromEditors()):
                    nodes.append(node)
        return nodes

    def refresh(self, *_: Any) -> None:
        if not shiboken6.isValid(self) or not hasattr(self, "_combo"):
            return
        nodes = self._nodes()
        none = [self.noneDisplay] if self.noneEnabled else []
        self._ids = [""] * len(none) + [node.GetID() for node in nodes]
        self._combo.blockSignals(True)
        self._combo.clear()
        self._combo.addItems(none + [node.GetName() or "" for node in nodes])
        self._combo.blockSignals(False)
        kept = self._current if self._current in self._ids else ""
        self.setCurrentNodeID(kept or (self._ids[0] if self._ids else ""))

    def setCurrentNodeID(self, node_id: str | None) -> None:
        node_id = node_id or ""
        changed, self._current = node_id != self._current, node_id
        self._combo.setCurrentIndex(self._ids.index(node_id) if node_id in self._ids else -1)
        if changed:
            self.currentNodeIDChanged.emit(node_id)
            self.currentNodeChanged.emit(self.currentNode())

    currentNodeID = declare(str, lambda self: self._current, lambda self, value: self.setCurrentNodeID(value))

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        # a node may have been added while a batch held back the scene's events
        if node is not None and node.GetID() not in self._ids:
            self.refresh()
        self.setCurrentNodeID(node.GetID() if node is not None else "")


WIDGETS = (qMRMLWidget, qMRMLNodeComboBox)
