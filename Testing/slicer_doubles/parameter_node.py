"""The module ``slicer.parameterNodeWrapper``: typed members of a vtkMRMLScriptedModuleNode, bound to widgets.

Members: bool, float, str, MRML nodes, and unions of these with or without None; all other types are an error here.
Values are stored with Slicer's names and spelling, so that a scene saved by either is read by the other.
"""
# ruff: noqa: N802, N803, N815

from __future__ import annotations

import types
import typing
import weakref
from typing import Any

import slicer
import vtk

from .connectors import GuiConnector, createGuiConnector
from .validators import Choice, IsInstance, NotNone, Validator, WithinRange, split


class _Text:
    """A value that is one string."""

    def __init__(self, type: type, default: Any, write: Any, read: Any, accepted: Any) -> None:
        self.type, self.default, self._write, self._read = type, default, write, read
        self.validators = [NotNone(), IsInstance(accepted)]

    def isIn(self, node: Any, name: str) -> bool:
        return bool(node.HasParameter(name))

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, self._write(value))

    def read(self, node: Any, name: str) -> Any:
        return self._read(node.GetParameter(name))

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)


class _Node(_Text):
    """A node reference; the empty parameter of the same name marks it as set, also to None."""

    def __init__(self, type: type) -> None:
        super().__init__(type, None, None, None, type)
        self.validators = [IsInstance(type)]

    def write(self, node: Any, name: str, value: Any) -> None:
        node.SetParameter(name, "")
        node.SetNodeReferenceID(name, value.GetID() if value is not None else None)

    def read(self, node: Any, name: str) -> Any:
        return node.GetNodeReference(name)

    def remove(self, node: Any, name: str) -> None:
        node.UnsetParameter(name)
        node.RemoveNodeReferenceIDs(name)


class _Union:
    """The choice is stored in the name: ``<name>.<place in the union>``."""

    validators: list[Validator] = []

    def __init__(self, members: list[_Text]) -> None:
        self.members = members
        optional = len(members) == 2 and members[1].type is type(None)
        self.default = None if optional else members[0].default

    def isIn(self, node: Any, name: str) -> bool:
        return any(member.isIn(node, f"{name}.{place}") for place, member in enumerate(self.members))

    def _place(self, value: Any) -> int:
        error: Exception = TypeError(f"Unable to write value '{value}' of type '{type(value)}'")
        for place, member in enumerate(self.members):
            base = slicer.vtkMRMLNode if isinstance(member, _Node) else member.type
            if isinstance(value, base):
                try:
                    validate(member.validators, value)
                    return place
                except (TypeError, ValueError) as wrong:
                    error = wrong
        raise error

    def write(self, node: Any, name: str, value: Any) -> None:
        place = self._place(value)
        with slicer.util.NodeModify(node):
            self.remove(node, name)
            self.members[place].write(node, f"{name}.{place}", value)

    def read(self, node: Any, name: str) -> Any:
        for place, member in enumerate(self.members):
            if member.isIn(node, f"{name}.{place}"):
                return member.read(node, f"{name}.{place}")
        raise KeyError(f"Unable to find value for name: {name}")

    def remove(self, node: Any, name: str) -> None:
        with slicer.util.NodeModify(node):
            for place, member in enumerate(self.members):
                member.remove(node, f"{name}.{place}")


def validate(validators: list[Any], value: Any) -> None:
    for validator in validators:
        validator.validate(value)


def _serializer(datatype: Any) -> Any:
    if typing.get_origin(datatype) in (typing.Union, types.UnionType):
        return _Union([_serializer(split(member)[0]) for member in typing.get_args(datatype)])
    if datatype is type(None):
        none = _Text(datatype, None, lambda value: "True", lambda text: None, datatype)
        none.validators = []
        return none
    if datatype is bool:
        return _Text(bool, False, lambda value: "True" if value else "False", lambda text: text == "True", bool)
    if datatype is float:
        return _Text(float, 0, str, float, (int, float))
    if datatype is str:
        return _Text(str, "", str, str, str)
    if isinstance(datatype, type) and issubclass(datatype, slicer.vtkMRMLNode):
        return _Node(datatype)
    raise TypeError(f"Unable to create serializer for type: {datatype} (or this double does not support it)")


class _Info:
    """A member as the class declares it."""

    def __init__(self, name: str, datatype: Any, owner: type) -> None:
        self.datatype = datatype
        plain, annotations = split(datatype)
        self.serializer = _serializer(plain)
        self.validators = [*self.serializer.validators, *(one for one in annotations if isinstance(one, Validator))]
        self.default = getattr(owner, name, self.serializer.default)


class _Value:
    """A member of a node: a cached value that follows the node's ModifiedEvent."""

    def __init__(self, info: _Info, node: Any, name: str) -> None:
        self.info, self.node, self.name, self._writing = info, node, name, False
        if not info.serializer.isIn(node, name):
            self._store(info.default)
        self.value = info.serializer.read(node, name)
        weak = weakref.ref(self)
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: weak() and weak()._follow())

    def __del__(self) -> None:
        self.node.RemoveObserver(self._tag)

    def _follow(self) -> None:
        if not self._writing:
            if not self.info.serializer.isIn(self.node, self.name):
                self._store(self.info.default)
            self.value = self.info.serializer.read(self.node, self.name)

    def _store(self, value: Any) -> None:
        validate(self.info.validators, value)
        self.info.serializer.write(self.node, self.name, value)

    def write(self, value: Any) -> None:
        self._writing = True
        try:
            with slicer.util.NodeModify(self.node):
                self._store(value)
                self.value = self.info.serializer.read(self.node, self.name)
        finally:
            self._writing = False


class _Wrapper:
    """What the decorator adds to a class; its names are reserved."""

    def __init__(self, parameterNode: Any) -> None:
        self.parameterNode, self._guis, self._next, self._updating = parameterNode, {}, 0, False
        self._values = {name: _Value(info, parameterNode, name) for name, info in self.allParameters.items()}

    def connectGui(self, gui: Any) -> int:
        named = [(widget.property("SlicerParameterName"), widget) for widget in gui.__dict__.values()]
        connectors = {}
        for name, widget in named:
            if name and name not in self.allParameters:
                raise ValueError(f"Cannot find a param with the given name: {name}")
            if name:
                connectors[name] = createGuiConnector(widget, self.allParameters[name].datatype)
        tag, self._next = self._next, self._next + 1
        self._guis[tag] = [connectors, None]
        for name, connector in connectors.items():
            connector.write(self._values[name].value)
            connector.onChanged(self._reader(name, connector))
        self._guis[tag][1] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())
        return tag

    def _reader(self, name: str, connector: GuiConnector) -> Any:
        def read() -> None:
            with slicer.util.NodeModify(self):
                if not self._updating:
                    self._values[name].write(connector.read())

        return read

    def _show(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in self._guis.values():
                    for name, connector in connectors.items():
                        connector.write(self._values[name].value)
        finally:
            self._updating = False

    def disconnectGui(self, tag: int) -> None:
        connectors, observer = self._guis.pop(tag, ({}, None))
        for connector in connectors.values():
            connector.onChanged(None)
        if observer is not None:
            self.RemoveObserver(observer)

    def StartModify(self) -> int:
        return self.parameterNode.StartModify()

    def EndModify(self, wasModified: int) -> Any:
        return self.parameterNode.EndModify(wasModified)

    def AddObserver(self, event: Any, callback: Any, priority: float = 0.0) -> int:
        return self.parameterNode.AddObserver(event, callback, priority)

    def RemoveObserver(self, tag: int) -> None:
        self.parameterNode.RemoveObserver(tag)


def parameterNodeWrapper(classtype: type) -> type:
    """The class decorator."""
    members = typing.get_type_hints(classtype, include_extras=True)
    classtype.allParameters = {name: _Info(name, datatype, classtype) for name, datatype in members.items()}
    for name in members:
        setattr(classtype, name, _member(name))
    for name, value in vars(_Wrapper).items():
        if name == "__init__" or not name.startswith("__"):
            if name != "__init__" and hasattr(classtype, name):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, value)
    return classtype


def _member(name: str) -> property:
    return property(lambda self: self._values[name].value, lambda self, value: self._values[name].write(value))


def make_module() -> types.ModuleType:
    module = types.ModuleType("slicer.parameterNodeWrapper", __doc__)
    for part in (Choice, WithinRange, parameterNodeWrapper):
        setattr(module, part.__name__, part)
    return module
