"""PySide6 in the clothes of Slicer's `qt` module (PythonQt), as strict as PythonQt where that catches mistakes.

Two things differ from PySide6. A Qt property is an attribute (`label.text`, `spin.value = 3`), which hides the getter
of the same name. And an object made by Qt takes no new attributes: a typing mistake raises instead of being kept.
"""

from __future__ import annotations

import types
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

QObject = QtCore.QObject
#: Shiboken's own way to set an attribute; `object.__setattr__` refuses Qt's types.
_plain_setattr = QObject.__mro__[-2].__setattr__
#: Types made by Qt, not by a Python class statement.
_native: set[type] = set()
#: Setters of the properties that host widgets declare, by the id of the property.
_setters: dict[int, Callable[[Any, Any], None]] = {}
_loading: list[bool] = []
#: Widget classes of ctk and qMRML that a .ui file may name.
custom_widgets: dict[str, type] = {}


class _QtProperty:
    """One Qt property of one class, as an attribute."""

    def __init__(self, owner: type, name: str) -> None:
        self.name = name
        self._getter = getattr(owner, name, None)
        self._setter = getattr(owner, f"set{name[0].upper()}{name[1:]}", None)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        return self._getter(instance) if callable(self._getter) else QObject.property(instance, self.name)

    def __set__(self, instance: Any, value: Any) -> None:
        if callable(self._setter):
            self._setter(instance, value)
        elif not QObject.setProperty(instance, self.name, value):
            message = f"{type(instance).__name__}.{self.name} cannot be set to {value!r}"
            raise AttributeError(message)


def _strict_setattr(instance: Any, name: str, value: Any) -> None:
    cls = type(instance)
    if cls in _native and not _loading and not name.startswith("_") and not hasattr(cls, name):
        message = f"{cls.__name__} has no attribute {name!r}, and PythonQt lets nobody add one"
        raise AttributeError(message)
    declared = getattr(cls, name, None)
    if id(declared) in _setters:
        _setters[id(declared)](instance, value)
    else:
        _plain_setattr(instance, name, value)


def declare(kind: type | str, getter: Callable[[Any], Any], setter: Callable[[Any, Any], None]) -> Any:
    """A Qt property for a host widget, which .ui files, `property()` and attribute access all reach."""
    made = QtCore.Property(kind, getter, setter)
    _setters[id(made)] = setter
    return made


def stored(kind: type | str, name: str, default: Any, changed: str = "") -> Any:
    """A Qt property that is only remembered; `changed` names a method to call after it was set."""

    def setter(self: Any, value: Any) -> None:
        self.__dict__[f"_{name}"] = value
        if changed:
            getattr(self, changed)()

    return declare(kind, lambda self: self.__dict__.get(f"_{name}", default), setter)


def as_pythonqt(cls: type) -> type:
    """Turn the properties that a class declares into attributes, and make it strict."""
    meta = cls.staticMetaObject
    # Qt calls the virtual methods that a class statement overrides, so those must stay methods
    overridden = () if cls.__module__.startswith("PySide6") else tuple(cls.__dict__)
    for index in range(meta.propertyCount()):
        name = meta.property(index).name()
        own = index >= meta.propertyOffset() or name in cls.__dict__
        if own and name not in overridden and not isinstance(cls.__dict__.get(name), _QtProperty | QtCore.Property):
            setattr(cls, name, _QtProperty(cls, name))
    _native.add(cls)
    cls.__setattr__ = _strict_setattr
    return cls


def custom_widget(cls: type) -> type:
    """Class decorator: a widget of ctk or qMRML that .ui files may name."""
    custom_widgets[cls.__name__] = as_pythonqt(cls)
    return cls


class QUiLoader(QtUiTools.QUiLoader):
    """Loads a .ui file; refuses widget classes, properties and links that this host does not have."""

    def load(self, device: Any, parent: Any = None) -> Any:
        root = ElementTree.fromstring(bytes(device.readAll().data()))
        for widget in root.iter("widget"):
            self._check(widget)
        links = self._take_scene_links(root)
        buffer = QtCore.QBuffer()
        buffer.setData(ElementTree.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        for cls in custom_widgets.values():
            self.registerCustomWidget(cls)
        # PySide's loader sets an attribute for every named child
        _loading.append(True)
        try:
            top = super().load(buffer, parent)
        finally:
            _loading.pop()

        def find(name: str) -> Any:
            found = top if top.objectName == name else top.findChild(QObject, name)
            if found is None:
                message = f"A link of the .ui file names {name!r}, which it does not hold"
                raise RuntimeError(message)
            return found

        for sender, receiver in links:
            find(sender).mrmlSceneChanged.connect(find(receiver).setMRMLScene)
        return top

    def _check(self, widget: ElementTree.Element) -> None:
        name = widget.get("class", "")
        if name in custom_widgets:
            meta = custom_widgets[name].staticMetaObject
            known = {meta.property(n).name() for n in range(meta.propertyCount())}
        elif hasattr(QtWidgets, name):
            meta = getattr(QtWidgets, name).staticMetaObject
            known = {meta.property(n).name() for n in range(meta.propertyCount())}
        elif name == "Line":
            return
        else:
            message = f"{widget.get('name')}: this host has no widget class {name}"
            raise RuntimeError(message)
        if name == "QLabel":
            known.add("buddy")  # no property of Qt's: the loader calls setBuddy
        for entry in widget.findall("property"):
            if entry.get("stdset") != "0" and entry.get("name") not in known:
                message = f"{widget.get('name')}: {name} has no property {entry.get('name')}"
                raise RuntimeError(message)

    @staticmethod
    def _take_scene_links(root: ElementTree.Element) -> list[tuple[str, str]]:
        """Links that carry a vtkMRMLScene: QUiLoader does not know that type, so they are made by hand."""
        links = []
        for group in root.findall("connections"):
            for link in list(group):
                texts = {key: link.findtext(key, "") for key in ("sender", "signal", "receiver", "slot")}
                if texts["signal"] != "mrmlSceneChanged(vtkMRMLScene*)":
                    continue
                if texts["slot"] != "setMRMLScene(vtkMRMLScene*)":
                    message = f"This host knows no link to {texts['slot']}"
                    raise RuntimeError(message)
                links.append((texts["sender"], texts["receiver"]))
                group.remove(link)
        return links


def make_qt() -> types.ModuleType:
    """Patch PySide6's classes, once, and return the module `qt`."""
    qt = types.ModuleType("qt")
    found: dict[str, Any] = {}
    for module in (QtCore, QtGui, QtWidgets):
        found |= {name: getattr(module, name) for name in dir(module) if name.startswith("Q")}
    widgets = [cls for cls in found.values() if isinstance(cls, type) and issubclass(cls, QObject)]
    # base classes first, so that a derived class finds the plain getter of what it overrides
    for cls in sorted(set(widgets), key=lambda cls: len(cls.__mro__)):
        as_pythonqt(cls)
    QObject.name = property(lambda self: self.objectName, lambda self, value: self.setObjectName(value))
    # not by metaObject(): that of a class written in Python would be deleted with what it gives
    QObject.className = lambda self: type(self).__name__
    for name, value in found.items():
        setattr(qt, name, value)
    qt.Signal = QtCore.Signal
    qt.QUiLoader = QUiLoader
    return qt
