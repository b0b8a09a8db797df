"""The module ``slicer.parameterNodeWrapper``: typed members of a vtkMRMLScriptedModuleNode, bound to widgets.

Members: bool, int, float, str, pathlib paths, enumerations, MRML nodes, and unions of these with or without None.
Lists, tuples, dicts, colors and parameter packs, which Slicer has, are an error here. Values are stored under Slicer's
names and in Slicer's spelling, so that a scene saved by either is read by the other.
"""
# ruff: noqa: N802, N803, N815

from __future__ import annotations

import enum
import pathlib
import types
import typing
import weakref
from typing import Any

import slicer
import vtk

from .connectors import GuiConnector, createGuiConnector
from .validators import Default, IsInstance, NotNone, Validator, split

SlicerParameterNamePropertyName = "SlicerParameterName"


class _Text:
    """A value that is one string."""

    def __init__(self, kind: type, default: Any, write: Any, read: Any, accepted: Any) -> None:
        self.kind, self.default, self._write, self._read = kind, default, write, read
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
    """A node reference; the empty parameter of the same name tells that it was set, also to None."""

    def __init__(self, kind: type) -> None:
        super().__init__(kind, None, None, None, kind)
        self.validators = [IsInstance(kind)]

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
        optional = len(members) == 2 and members[1].kind is type(None)
        self.default = None if optional else members[0].default

    def isIn(self, node: Any, name: str) -> bool:
        return any(member.isIn(node, f"{name}.{place}") for place, member in enumerate(self.members))

    def _place(self, value: Any) -> int:
        error: Exception = TypeError(f"Unable to write value '{value}' of type '{type(value)}'")
        for place, member in enumerate(self.members):
            base = slicer.vtkMRMLNode if isinstance(member, _Node) else member.kind
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


def _serializer(kind: Any) -> Any:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return _Union([_serializer(split(member)[0]) for member in typing.get_args(kind)])
    if kind is type(None):
        none = _Text(kind, None, lambda value: "True", lambda text: None, kind)
        none.validators = []
        return none
    if kind is bool:
        return _Text(bool, False, lambda value: "True" if value else "False", lambda text: text == "True", bool)
    if kind in (int, float):
        return _Text(kind, 0, str, kind, int if kind is int else (int, float))
    if kind is str:
        return _Text(str, "", str, str, str)
    if isinstance(kind, type) and issubclass(kind, pathlib.PurePath):
        return _Text(kind, kind(), str, kind, kind)
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return _Text(kind, next(iter(kind)), lambda value: value.name, lambda text: kind[text], kind)
    if isinstance(kind, type) and issubclass(kind, slicer.vtkMRMLNode):
        return _Node(kind)
    raise TypeError(f"Unable to create serializer for type: {kind} (or it is one that the stand-in lacks)")


class _Info:
    """One member as the class declares it."""

    def __init__(self, name: str, kind: Any, owner: type) -> None:
        self.basename, self.unalteredType = name, kind
        plain, annotations = split(kind)
        self.serializer = _serializer(plain)
        self.validators = [*self.serializer.validators, *(one for one in annotations if isinstance(one, Validator))]
        given = [one for one in annotations if isinstance(one, Default)]
        self.default = Default(getattr(owner, name)) if hasattr(owner, name) else None
        self.default = self.default or (given[0] if given else Default(self.serializer.default))


class _Value:
    """One member of one node: a copy of its value that follows the node's ModifiedEvent."""

    def __init__(self, info: _Info, node: Any, name: str) -> None:
        self.info, self.node, self.name, self._writing = info, node, name, False
        if not info.serializer.isIn(node, name):
            self._store(info.default.value)
        self.value = info.serializer.read(node, name)
        weak = weakref.ref(self)
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: weak() and weak()._follow())

    def __del__(self) -> None:
        self.node.RemoveObserver(self._tag)

    def _follow(self) -> None:
        if not self._writing:
            if not self.info.serializer.isIn(self.node, self.name):
                self._store(self.info.default.value)
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

    _is_parameter_node_wrapper = True

    def __init__(self, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode, self._guis, self._next, self._updating = parameterNode, {}, 0, False
        self._values = {
            name: _Value(info, parameterNode, f"{prefix or ''}{name}") for name, info in self.allParameters.items()
        }

    @classmethod
    def _check(cls, name: str) -> None:
        if name not in cls.allParameters:
            raise ValueError(f"Cannot find a param with the given name: {name}; there are {list(cls.allParameters)}")

    @classmethod
    def dataType(cls, name: str) -> Any:
        cls._check(name)
        return cls.allParameters[name].unalteredType

    def default(self, name: str) -> Default:
        self._check(name)
        return self.allParameters[name].default

    def isCached(self, name: str) -> bool:
        self._check(name)
        return True

    def getValue(self, name: str) -> Any:
        self._check(name)
        return self._values[name].value

    def setValue(self, name: str, value: Any) -> None:
        self._check(name)
        self._values[name].write(value)

    def connectGui(self, gui: Any) -> int:
        import qt

        widgets = gui.findChildren(qt.QWidget) if isinstance(gui, qt.QWidget) else gui.__dict__.values()
        named = [(widget.property(SlicerParameterNamePropertyName), widget) for widget in widgets]
        return self.connectParametersToGui({name: widget for name, widget in named if name})

    def connectParametersToGui(self, mapping: dict[str, Any]) -> int:
        for name in mapping:
            self._check(name)
        connectors = {
            name: one if isinstance(one, GuiConnector) else createGuiConnector(one, self.dataType(name))
            for name, one in mapping.items()
        }
        tag, self._next = self._next, self._next + 1
        self._guis[tag] = [connectors, None]
        for name, connector in connectors.items():
            connector.write(self.getValue(name))
            connector.onChanged(self._reader(name, connector))
        self._guis[tag][1] = self.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show())
        return tag

    def _reader(self, name: str, connector: GuiConnector) -> Any:
        def read() -> None:
            with slicer.util.NodeModify(self):
                if not self._updating:
                    self.setValue(name, connector.read())

        return read

    def _show(self) -> None:
        if self._updating:
            return
        self._updating = True
        try:
            with slicer.util.NodeModify(self):
                for connectors, _ in self._guis.values():
                    for name, connector in connectors.items():
                        connector.write(self.getValue(name))
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

    def Modified(self) -> None:
        self.parameterNode.Modified()


def parameterNodeWrapper(classtype: type | None = None) -> Any:
    """The class decorator, with or without parentheses."""
    if classtype is None:
        return parameterNodeWrapper
    members = typing.get_type_hints(classtype, include_extras=True)
    infos = {name: _Info(name, kind, classtype) for name, kind in members.items()}
    for name in infos:
        setattr(classtype, name, _member(name))
    classtype.allParameters = infos
    for name, value in vars(_Wrapper).items():
        if name == "__init__" or not name.startswith("__"):
            if name != "__init__" and hasattr(classtype, name):
                raise ValueError(f"Cannot use reserved name '{name}' in a parameterNodeWrapper")
            setattr(classtype, name, value)
    return classtype


def _member(name: str) -> property:
    return property(lambda self: self._values[name].value, lambda self, value: self._values[name].write(value))


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    return getattr(classOrObj, "_is_parameter_node_wrapper", False)


def make_module() -> types.ModuleType:
    from . import connectors, validators

    module = types.ModuleType("slicer.parameterNodeWrapper", __doc__)
    for part in (validators, connectors):
        for name in part.PUBLIC:
            setattr(module, name, getattr(part, name))
    module.parameterNodeWrapper = parameterNodeWrapper
    module.isParameterNodeWrapper = isParameterNodeWrapper
    module.SlicerParameterNamePropertyName = SlicerParameterNamePropertyName
    return module
