"""The plugins of the module Data: their handler, what Slicer makes of a Python file, and an item's context menu."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

from PySide6 import QtCore

_ENDING = "SubjectHierarchyPlugin"


class _Handler:
    """The one list of plugins."""

    def __init__(self) -> None:
        self.plugins: list[Any] = []
        self._item = 0

    def registerPlugin(self, plugin: Any) -> bool:
        if not plugin.name or any(known.name == plugin.name for known in self.plugins):
            return False
        self.plugins.append(plugin)
        return True

    def forget(self) -> None:
        """Without a plugin, as before the first module registers one."""
        import slicer

        for plugin in self.plugins:
            name = type(plugin.python).__name__
            if getattr(slicer, name, None) is plugin.python:
                delattr(slicer, name)
        self.plugins, self._item = [], 0

    def currentItem(self) -> int:
        return self._item

    def context_menu(self, item: int) -> list[Any]:
        """Right-click on an item: the actions that are offered. As in Slicer all are hidden first, then each plugin
        shows what it wants to."""
        self._item = item
        actions = [action for plugin in self.plugins for action in plugin.python.itemContextMenuActions()]
        for action in actions:
            action.visible = False
        for plugin in self.plugins:
            plugin.python.showContextMenuActionsForItem(item)
        return [action for action in actions if action.visible]


class qSlicerSubjectHierarchyPluginHandler:  # noqa: N801 - Slicer's own name
    """The singleton."""

    _handler = _Handler()

    @classmethod
    def instance(cls) -> _Handler:
        return cls._handler


class qSlicerSubjectHierarchyScriptedPlugin(QtCore.QObject):  # noqa: N801
    """Makes an object of the class in a Python file; file and class end in the same words."""

    def __init__(self, parent: Any) -> None:
        super().__init__(parent)
        self.name, self.python = "UnnamedScriptedPlugin", None

    def setPythonSource(self, path: str) -> bool:
        import slicer

        file = Path(path)
        name = file.stem if file.stem.endswith(_ENDING) else file.stem + _ENDING
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        spec.loader.exec_module(module)
        self.python = getattr(module, name)(self)
        setattr(slicer, name, self.python)
        return True


class AbstractScriptedSubjectHierarchyPlugin:
    """A small one, where Slicer's own is not at hand."""

    def __init__(self, scriptedPlugin: Any) -> None:
        self.scriptedPlugin = scriptedPlugin
        qSlicerSubjectHierarchyPluginHandler.instance().registerPlugin(scriptedPlugin)


def add_to(slicer: Any, own: Path | None) -> None:
    """Give the package `slicer` the handler, and Python the package of the plugins' base class, Slicer's own if `own`
    is the folder of it."""
    slicer.qSlicerSubjectHierarchyPluginHandler = qSlicerSubjectHierarchyPluginHandler
    slicer.qSlicerSubjectHierarchyScriptedPlugin = qSlicerSubjectHierarchyScriptedPlugin
    if own is not None:
        sys.path.append(str(own))
        return
    for name in ("SubjectHierarchyPlugins", AbstractScriptedSubjectHierarchyPlugin.__name__):
        sys.modules[name] = types.ModuleType(name)
    setattr(sys.modules[name], name, AbstractScriptedSubjectHierarchyPlugin)
