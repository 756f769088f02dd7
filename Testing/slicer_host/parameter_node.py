"""A small `slicer.parameterNodeWrapper`: typed parameters and packs over a vtkMRMLScriptedModuleNode, bound to widgets.

It knows what MeWM uses: bool, int, float, str, node types and packs of those, with Default, Choice and WithinRange.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import vtk
from PySide6 import QtWidgets

from slicer_host.ctk_widgets import ctkSliderWidget
from slicer_host.mrml_widgets import qMRMLNodeComboBox

PROPERTY = "SlicerParameterName"


@dataclass(frozen=True)
class Default:
    """The value of a parameter that was never set."""

    value: Any


class Choice:
    """A parameter takes one of these values."""

    def __init__(self, choices: Any) -> None:
        self.choices = list(choices)


@dataclass(frozen=True)
class WithinRange:
    """A number lies between two limits, both allowed."""

    minimum: float
    maximum: float


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: Any
    notes: tuple[Any, ...]

    def note(self, cls: type) -> Any:
        return next((n for n in self.notes if isinstance(n, cls)), None)

    @property
    def is_node(self) -> bool:
        return isinstance(self.kind, type) and issubclass(self.kind, vtk.vtkObject)

    @property
    def default(self) -> Any:
        given = self.note(Default)
        if given is not None:
            return given.value
        if self.is_node:
            return None
        choice = self.note(Choice)
        return choice.choices[0] if choice else self.kind()

    def check(self, value: Any) -> None:
        if self.is_node:
            if value is not None and not isinstance(value, self.kind):
                message = f"{self.name} takes a {self.kind.__name__}, not {value!r}"
                raise ValueError(message)
            return
        allowed = (int, float) if self.kind is float else self.kind
        if not isinstance(value, allowed) or (isinstance(value, bool) and self.kind is not bool):
            message = f"{self.name} takes a {self.kind.__name__}, not {value!r}"
            raise ValueError(message)
        choice, limits = self.note(Choice), self.note(WithinRange)
        if choice and value not in choice.choices:
            message = f"{self.name} must be one of {choice.choices}, not {value!r}"
            raise ValueError(message)
        if limits and not limits.minimum <= value <= limits.maximum:
            message = f"{self.name} must lie in {limits.minimum} to {limits.maximum}, not {value!r}"
            raise ValueError(message)

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        if self.name not in node.GetParameterNames():
            return self.default
        text = node.GetParameter(self.name)
        return text == "True" if self.kind is bool else self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        self.check(value)
        if self.is_node:
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
        else:
            node.SetParameter(self.name, str(value))


def _parameters_of(cls: type) -> dict[str, tuple[Any, tuple[Any, ...]]]:
    found = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        annotated = typing.get_origin(hint) is typing.Annotated
        kind, *notes = typing.get_args(hint) if annotated else (hint,)
        if hasattr(cls, name):
            notes.append(Default(getattr(cls, name)))
        found[name] = (kind, tuple(notes))
    return found


def parameterPack(cls: type) -> type:
    """Class decorator: a group of parameters. An instance reads and writes the node that it belongs to."""
    members = _parameters_of(cls)
    cls.allParameters = members

    def init(self: Any, node: Any, prefix: str) -> None:
        self._node = node
        self._parameters = {n: _Parameter(f"{prefix}.{n}", kind, notes) for n, (kind, notes) in members.items()}

    cls.__init__ = init
    for name in members:
        setattr(cls, name, _property(name))
    cls._is_parameterPack = True
    return cls


def _property(name: str) -> property:
    def read(self: Any) -> Any:
        return self._parameters[name].read(self._node)

    def write(self: Any, value: Any) -> None:
        self._parameters[name].write(self._node, value)

    return property(read, write)


def parameterNodeWrapper(cls: type) -> type:
    """Class decorator: typed access to a parameter node, and its link to widgets."""
    members = _parameters_of(cls)

    def init(self: Any, node: Any) -> None:
        self.parameterNode = self._node = node
        self._parameters, self._packs, self._links = {}, {}, {}
        self._updating = False
        for name, (kind, notes) in members.items():
            if getattr(kind, "_is_parameterPack", False):
                self._packs[name] = kind(node, name)
            else:
                self._parameters[name] = _Parameter(name, kind, notes)
        with _batch(node):
            for parameter in _all(self).values():
                if not parameter.is_node and parameter.name not in node.GetParameterNames():
                    parameter.write(node, parameter.default)

    cls.__init__ = init
    for name, (kind, _) in members.items():
        pack = getattr(kind, "_is_parameterPack", False)
        setattr(cls, name, property(lambda self, n=name: self._packs[n]) if pack else _property(name))
    cls.connectGui = _connect_gui
    cls.disconnectGui = _disconnect_gui
    cls.getValue = lambda self, name: _all(self)[name].read(self._node)
    cls.setValue = lambda self, name, value: _all(self)[name].write(self._node, value)
    cls.AddObserver = lambda self, event, function: self._node.AddObserver(event, function)
    cls.RemoveObserver = lambda self, tag: self._node.RemoveObserver(tag)
    cls.StartModify = lambda self: self._node.StartModify()
    cls.EndModify = lambda self, before: self._node.EndModify(before)
    cls.Modified = lambda self: self._node.Modified()
    cls._is_parameter_node_wrapper = True
    return cls


class _batch:
    def __init__(self, node: Any) -> None:
        self._node = node

    def __enter__(self) -> None:
        self._before = self._node.StartModify()

    def __exit__(self, *_: Any) -> None:
        self._node.EndModify(self._before)


def _all(wrapper: Any) -> dict[str, _Parameter]:
    found = dict(wrapper._parameters)
    for pack in wrapper._packs.values():
        found |= {parameter.name: parameter for parameter in pack._parameters.values()}
    return found


@dataclass(frozen=True)
class _Link:
    """One widget that shows one parameter."""

    read: Callable[[], Any]
    write: Callable[[Any], None]
    signal: Any
    slot: Callable[..., None]


def _link(widget: Any, parameter: _Parameter, slot: Callable[..., None]) -> _Link:
    if isinstance(widget, qMRMLNodeComboBox) and parameter.is_node:
        return _Link(widget.currentNode, widget.setCurrentNode, widget.currentNodeChanged, slot)
    limits, choice = parameter.note(WithinRange), parameter.note(Choice)
    if isinstance(widget, QtWidgets.QSpinBox) and parameter.kind is int:
        _limit(widget, limits)
        return _Link(lambda: int(widget.value), widget.setValue, widget.valueChanged, slot)
    if isinstance(widget, QtWidgets.QDoubleSpinBox | ctkSliderWidget) and parameter.kind is float:
        _limit(widget, limits)
        return _Link(lambda: float(widget.value), widget.setValue, widget.valueChanged, slot)
    if isinstance(widget, QtWidgets.QCheckBox) and parameter.kind is bool:
        return _Link(lambda: bool(widget.checked), widget.setChecked, widget.stateChanged, slot)
    if isinstance(widget, QtWidgets.QComboBox) and parameter.kind is str and choice:
        widget.clear()
        widget.addItems([str(c) for c in choice.choices])

        def show(value: Any) -> None:
            widget.setCurrentIndex(choice.choices.index(value))

        return _Link(lambda: choice.choices[widget.currentIndex], show, widget.currentIndexChanged, slot)
    if isinstance(widget, QtWidgets.QLineEdit) and parameter.kind is str:
        return _Link(lambda: widget.text, widget.setText, widget.textChanged, slot)
    message = f"{widget.name}: a {type(widget).__name__} cannot show {parameter.name}"
    raise RuntimeError(message)


def _limit(widget: Any, limits: WithinRange | None) -> None:
    if limits:
        widget.setRange(limits.minimum, limits.maximum)


def _connect_gui(self: Any, gui: Any) -> int:
    parameters, links = _all(self), {}
    for widget in gui.findChildren(QtWidgets.QWidget):
        name = widget.property(PROPERTY)
        if not name:
            continue
        if name not in parameters:
            message = f"{widget.name} names the parameter {name!r}, which does not exist"
            raise ValueError(message)

        def changed(*_: Any, name: str = name) -> None:
            if not self._updating:
                self.setValue(name, links[name].read())

        links[name] = _link(widget, parameters[name], changed)

    def show(*_: Any) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            for name, link in links.items():
                link.write(parameters[name].read(self._node))
        finally:
            self._updating = False

    show()
    for link in links.values():
        link.signal.connect(link.slot)
    tag = self._node.AddObserver(vtk.vtkCommand.ModifiedEvent, show)
    number = max(self._links, default=0) + 1
    self._links[number] = (tag, links)
    return number


def _disconnect_gui(self: Any, number: int) -> None:
    tag, links = self._links.pop(number)
    self._node.RemoveObserver(tag)
    for link in links.values():
        link.signal.disconnect(link.slot)


def make_module() -> types.ModuleType:
    """The module `slicer.parameterNodeWrapper`."""
    module = types.ModuleType("slicer.parameterNodeWrapper")
    for thing in (Default, Choice, WithinRange, parameterPack, parameterNodeWrapper):
        setattr(module, thing.__name__, thing)
    return module
