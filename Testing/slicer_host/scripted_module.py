"""A small `slicer.ScriptedLoadableModule` and `slicer.i18n`, for a host without Slicer's own Base/Python folder."""

from __future__ import annotations

import functools
import sys
import types
import unittest
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore


class ScriptedLoadableModule:
    """What Slicer knows of a module before its panel is opened."""

    def __init__(self, parent: Any) -> None:
        self.parent = parent
        self.moduleName = type(self).__name__

    def resourcePath(self, name: str) -> str:
        return str(Path(self.parent.path).parent / "Resources" / name)

    def runTest(self, msec: int = 100, **kwargs: Any) -> None:
        case = getattr(sys.modules[type(self).__module__], f"{self.moduleName}Test")()
        case.messageDelay = msec
        case.runTest(**kwargs)


class ScriptedLoadableModuleWidget:
    """The panel of a module."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Widget")
        self.parent = parent
        self.layout = parent.layout()

    def resourcePath(self, name: str) -> str:
        return str(Path(slicer.util.modulePath(self.moduleName)).parent / "Resources" / name)

    def setup(self) -> None:
        """Slicer adds its section for developers here."""

    def cleanup(self) -> None:
        """Called before the module is unloaded."""


class ScriptedLoadableModuleLogic:
    """The work of a module, and its parameter node."""

    def __init__(self, parent: Any = None) -> None:
        self.moduleName = type(self).__name__.removesuffix("Logic")

    def getParameterNode(self) -> Any:
        node = slicer.mrmlScene.GetSingletonNode(self.moduleName, "vtkMRMLScriptedModuleNode")
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(self.moduleName)
            node.SetName(self.moduleName)
            node = slicer.mrmlScene.AddNode(node)
        node.SetAttribute("ModuleName", self.moduleName)
        return node


class ScriptedLoadableModuleTest(unittest.TestCase):
    """The module's own test inside Slicer."""

    messageDelay = 100

    def __init__(self, *args: Any) -> None:
        super().__init__(*(args or ("runTest",)))

    def runTest(self) -> None:
        """Overridden by the module."""

    def delayDisplay(self, message: str, requestedDelay: int | None = None) -> None:
        """Slicer shows the message for a while."""


@functools.cache
def _context(file: str) -> str:
    """The context of a file's texts: its name, after that of its package if it is in one."""
    path = Path(file)
    return f"{path.parent.name}.{path.stem}" if (path.parent / "__init__.py").is_file() else path.stem


def _tr(text: str) -> str:
    """Translate a text of the file that calls; in this host there is a translator only where a test installs one."""
    return QtCore.QCoreApplication.translate(_context(sys._getframe(1).f_code.co_filename), text)


def make_modules() -> dict[str, types.ModuleType]:
    """The modules by their full names."""
    scripted = types.ModuleType("slicer.ScriptedLoadableModule")
    for thing in (
        ScriptedLoadableModule,
        ScriptedLoadableModuleWidget,
        ScriptedLoadableModuleLogic,
        ScriptedLoadableModuleTest,
    ):
        setattr(scripted, thing.__name__, thing)
    i18n = types.ModuleType("slicer.i18n")
    i18n.tr, i18n.translate = _tr, QtCore.QCoreApplication.translate
    return {"slicer.ScriptedLoadableModule": scripted, "slicer.i18n": i18n}
