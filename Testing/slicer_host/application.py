"""`slicer.app`, `slicer.modules`, main window and layout manager over slicer-core and PySide6."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from MeWMLib.scene.core_app import SlicerCore


class _ModuleManager:
    """Only what ScriptedLoadableModuleWidget links to; nothing is ever unloaded here, so the signal never comes."""

    def connect(self, signal: str, function: Any) -> bool:
        if signal != "moduleAboutToBeUnloaded(QString)" or not callable(function):
            message = f"The module manager has no signal {signal!r}"
            raise ValueError(message)
        return True


class _SliceView:
    """A render window that is never rendered: it takes the actors that a module adds to a view."""

    def __init__(self) -> None:
        self._window = vtk.vtkRenderWindow()
        self._window.SetOffScreenRendering(1)
        self._window.AddRenderer(vtk.vtkRenderer())
        self._corner = vtk.vtkCornerAnnotation()

    def renderWindow(self) -> Any:
        return self._window

    def cornerAnnotation(self) -> Any:
        return self._corner

    def scheduleRender(self) -> None:
        """There is no screen."""


class _SliceWidget:
    def __init__(self, name: str) -> None:
        self._view, self._name = _SliceView(), name

    def sliceView(self) -> _SliceView:
        return self._view

    def mrmlSliceNode(self) -> Any:
        return slicer.mrmlScene.GetSingletonNode(self._name, "vtkMRMLSliceNode")


class LayoutManager:
    """The layout node and the names of the views; the views themselves are drawn by nobody."""

    def __init__(self, logic: Any) -> None:
        self._logic = logic
        # Slicer's standard views are there from its start
        self._widgets = {name: _SliceWidget(name) for name in ("Red", "Green", "Yellow")}

    def layoutLogic(self) -> Any:
        return self._logic

    def setLayout(self, number: int) -> None:
        self._logic.GetLayoutNode().SetViewArrangement(number)

    def sliceViewNames(self) -> tuple[str, ...]:
        views = self._logic.GetViewNodes()
        names = []
        for index in range(views.GetNumberOfItems()):
            node = views.GetItemAsObject(index)
            if node.IsA("vtkMRMLSliceNode"):
                names.append(node.GetLayoutName())
        return tuple(names)

    def sliceWidget(self, name: str) -> _SliceWidget | None:
        if name not in self.sliceViewNames():
            return None
        if name not in self._widgets:
            self._widgets[name] = _SliceWidget(name)
        return self._widgets[name]

    @property
    def threeDViewCount(self) -> int:
        return 0


class _ModuleSelector:
    """Remembers which module was opened."""

    selectedModule = ""

    def selectModule(self, name: str) -> None:
        self.selectedModule = name


class MainWindow(QtWidgets.QMainWindow):
    """Named as Slicer's, so that `slicer.util.mainWindow()` finds it."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("qSlicerMainWindow")
        self._selector = _ModuleSelector()

    def moduleSelector(self) -> _ModuleSelector:
        return self._selector


class Application(QtWidgets.QApplication):
    """`slicer.app`. What it does not have raises AttributeError."""

    startupCompleted = QtCore.Signal()

    def __init__(self, temporary: Path) -> None:
        super().__init__(["Slicer"])
        self._temporary = temporary
        self._core = SlicerCore()
        # Slicer's module Colors registers it
        self._core.scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
        self._manager = _ModuleManager()
        self._settings = QtCore.QSettings(str(temporary / "settings.ini"), QtCore.QSettings.IniFormat)
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(self._core.scene)
        self._layouts = LayoutManager(self._layout_logic)
        self._window = MainWindow()

    @property
    def core(self) -> SlicerCore:
        """The running slicer-core; for tests, not for the module."""
        return self._core

    @property
    def temporaryPath(self) -> str:
        return str(self._temporary)

    #: Of the Slicer that slicer-core was built from.
    majorVersion, minorVersion = 5, 13

    def mrmlScene(self) -> Any:
        return self._core.scene

    def applicationLogic(self) -> Any:
        return self._core.application_logic

    def layoutManager(self) -> LayoutManager:
        return self._layouts

    def moduleManager(self) -> _ModuleManager:
        return self._manager

    def userSettings(self) -> QtCore.QSettings:
        return self._settings

    def testingEnabled(self) -> bool:
        return True

    def translate(self, context: str, text: str) -> str:
        return text

    def close_core(self) -> None:
        """Empty the scene before the process ends."""
        self._layout_logic.SetMRMLScene(None)
        self._core.close()


class Module:
    """What `slicer.modules.NAME` offers of a loadable module without its panel."""

    def __init__(self, name: str, logic: Any, path: str = "") -> None:
        self.name, self.path, self._logic = name, path, logic

    def logic(self) -> Any:
        return self._logic


def make_modules(app: Application) -> types.ModuleType:
    """The module `slicer.modules`: the logics of slicer-core by lower-case name."""
    modules = types.ModuleType("slicer.modules")
    for name, logic in app.core.logics.items():
        setattr(modules, name.lower(), Module(name, logic))
    return modules
