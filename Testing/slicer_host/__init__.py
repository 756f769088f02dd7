"""A stand-in for the Slicer application: its real MRML core (slicer-core) under a stand-in Qt (PySide6).

It runs a scripted module, with its panels, where no Slicer is installed. It cannot prove how the real qMRML and ctk
widgets, the layout manager, the Segment Editor or PythonQt's ownership behave; `docs/SLICER.md` lists what must be
tried in the application itself. The environment variable MEWM_SLICER_PYTHON may name folders of Slicer's sources, with
the separator of PATH between them: with `Base/Python` Slicer's own ScriptedLoadableModule, parameterNodeWrapper and
packaging run instead of the small ones here, with `Modules/Scripted/SampleData` its Sample Data, and with
`Modules/Loadable/SubjectHierarchy/Widgets/Python` its base class of plugins for the module Data.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PYTHON_VARIABLE = "MEWM_SLICER_PYTHON"
_started: list[Any] = []
_NAMED_BY_SLICER = (
    "ctkCheckBox",
    "ctkCheckablePushButton",
    "ctkColorPickerButton",
    "ctkComboBox",
    "ctkDirectoryButton",
    "ctkDoubleRangeSlider",
    "ctkDoubleSlider",
    "ctkDoubleSpinBox",
    "ctkPathLineEdit",
    "ctkRangeWidget",
    "qMRMLRangeWidget",
    "qMRMLSliderWidget",
    "qMRMLSpinBox",
    "qSlicerWidget",
)


def start() -> Any:
    """Start the application, once in a process, and return `slicer.app`."""
    if _started:
        return _started[0]
    from MeWMLib.scene.core_app import slicer
    from slicer_host import (
        application,
        ctk_widgets,
        mrml_widgets,
        parameter_node,
        pythonqt,
        sample_data,
        scripted_module,
        subject_hierarchy,
    )

    sys.modules["qt"] = pythonqt.make_qt()
    sys.modules["ctk"] = ctk_widgets.make_ctk()
    for cls in mrml_widgets.WIDGETS:
        setattr(slicer, cls.__name__, cls)
    folder = Path(tempfile.mkdtemp(prefix="mewm-slicer-host-"))
    app = application.Application(folder)
    slicer.app, slicer.mrmlScene = app, app.mrmlScene()
    slicer.modules = sys.modules["slicer.modules"] = application.make_modules(app)
    own = slicer_sources("slicer/ScriptedLoadableModule.py")
    if own is not None:
        slicer.__path__.append(str(own / "slicer"))
        _name_absent_widgets(sys.modules["ctk"], slicer)
    else:
        stand_ins = scripted_module.make_modules()
        stand_ins["slicer.parameterNodeWrapper"] = parameter_node.make_module()
        for name, module in stand_ins.items():
            sys.modules[name] = module
            setattr(slicer, name.split(".")[1], module)
    importlib.import_module("slicer.util")
    slicer.util.getModuleWidget = lambda name: getattr(slicer.modules, name.lower()).widget
    subject_hierarchy.add_to(
        slicer, slicer_sources("SubjectHierarchyPlugins/AbstractScriptedSubjectHierarchyPlugin.py")
    )
    samples = slicer_sources("SampleData.py")
    if samples is not None:
        sys.path.append(str(samples))
    else:
        sys.modules["SampleData"] = sample_data.make_module()
    _started.append(app)
    return app


def slicer_sources(file: str) -> Path | None:
    """The first folder in MEWM_SLICER_PYTHON that holds a file, or None."""
    named = [Path(text) for text in os.environ.get(PYTHON_VARIABLE, "").split(os.pathsep) if text]
    absent = [str(folder) for folder in named if not folder.is_dir()]
    if absent:
        message = f"{PYTHON_VARIABLE} names folders that are not there: {', '.join(absent)}"
        raise NotADirectoryError(message)
    return next((folder for folder in named if (folder / file).is_file()), None)


def _name_absent_widgets(ctk: Any, slicer: Any) -> None:
    """Slicer's own wrapper names widgets in annotations; those that this host lacks can be named, but not made."""
    from PySide6 import QtWidgets

    def refuse(self: Any, *_: Any) -> None:
        message = f"This host has no {type(self).__name__}"
        raise NotImplementedError(message)

    for name in _NAMED_BY_SLICER:
        module = ctk if name.startswith("ctk") else slicer
        if not hasattr(module, name):
            setattr(module, name, type(name, (QtWidgets.QWidget,), {"__init__": refuse}))


class Loaded:
    """A scripted module that is open.

    Attributes:
        module: the Python module.
        instance: the object of the class named as the module.
        widget: the panel's Python object.
        parent: the Qt widget that holds the panel.
    """

    def __init__(self, file: Path) -> None:
        from PySide6 import QtWidgets

        from MeWMLib.scene.core_app import slicer

        name = file.stem
        self.path, self.name = str(file), name
        # Slicer puts the folder of the module, and nothing more, on the path
        if str(file.parent) not in sys.path:
            sys.path.insert(0, str(file.parent))
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        self.module = importlib.util.module_from_spec(spec)
        sys.modules[name] = self.module
        setattr(slicer.modules, name.lower(), self)
        spec.loader.exec_module(self.module)
        self.instance = getattr(self.module, name)(self)
        # as Slicer, which calls it if it is there
        getattr(self.instance, "setup", lambda: None)()
        slicer.app.startupCompleted.emit()
        self.parent = slicer.qMRMLWidget()
        self.parent.setLayout(QtWidgets.QVBoxLayout())
        self.parent.setMRMLScene(slicer.mrmlScene)
        self.widget = getattr(self.module, f"{name}Widget")(self.parent)
        self.widget.setup()
        self.widget.enter()
        slicer.util.mainWindow().moduleSelector().selectedModule = name

    def close(self) -> None:
        """Unload the panel."""
        self.widget.cleanup()
        self.parent.deleteLater()


def load_module(file: Path | str) -> Loaded:
    """Load a scripted module as a Slicer does that has just been started, and open its panel."""
    start_again()
    return Loaded(Path(file))


def start_again() -> None:
    """The application without what modules gave to it for its lifetime: plugins of the module Data, samples, and what
    is called when the start is over. Slicer makes those once, in the language of its start; here one process is many
    starts, and a former one must not be seen."""
    from MeWMLib.scene.core_app import slicer

    app = start()
    slicer.qSlicerSubjectHierarchyPluginHandler.instance().forget()
    vars(slicer.modules).pop("sampleDataSources", None)
    if app.receivers("2startupCompleted()"):
        app.startupCompleted.disconnect()
