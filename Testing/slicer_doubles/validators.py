"""Annotations of a member of a parameter node: its limits, its default, and how a widget shows it."""
# ruff: noqa: N803

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, get_args

PUBLIC = (
    "Validator NotNone IsInstance WithinRange Minimum Maximum Choice Exclude Default Decimals SingleStep"
    " findFirstAnnotation splitAnnotations unannotatedType"
).split()


class Validator:
    """Raises ValueError or TypeError for a value that is not allowed."""

    def validate(self, value: Any) -> None:
        raise NotImplementedError


class NotNone(Validator):
    def validate(self, value: Any) -> None:
        if value is None:
            raise ValueError("Value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype: Any) -> None:
        self.classtype = classtype

    def validate(self, value: Any) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise TypeError(f"Value must be of type '{self.classtype}', is type '{type(value)}' value '{value}'")


class Minimum(Validator):
    def __init__(self, minimum: Any) -> None:
        self.minimum = minimum

    def validate(self, value: Any) -> None:
        if value < self.minimum:
            raise ValueError(f"Value must be greater than {self.minimum}, is {value}")


class Maximum(Validator):
    def __init__(self, maximum: Any) -> None:
        self.maximum = maximum

    def validate(self, value: Any) -> None:
        if value > self.maximum:
            raise ValueError(f"Value must be less than {self.maximum}, is {value}")


class WithinRange(Validator):
    def __init__(self, minimum: Any, maximum: Any) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: Any) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"Value must be within range [{self.minimum}, {self.maximum}], is {value}")


class Choice(Validator):
    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"Value is {value}, but must be in one of the following: {self.choices}")


class Exclude(Validator):
    def __init__(self, excludedValues: Any) -> None:
        self.excludedValues = excludedValues

    def validate(self, value: Any) -> None:
        if value in self.excludedValues:
            raise ValueError(f"Value is {value}, but must not be one of {self.excludedValues}")


class Default:
    def __init__(self, value: Any = None, *, generator: Any = None) -> None:
        self._value, self._generator = value, generator

    @property
    def value(self) -> Any:
        return self._generator() if self._generator else self._value


@dataclass
class Decimals:
    value: int


@dataclass
class SingleStep:
    value: float


def split(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type itself and its annotations, whether it is annotated or not."""
    plain, *annotations = get_args(Annotated[kind, "none"])
    return plain, tuple(annotations[:-1])


splitAnnotations = split  # noqa: N816 - Slicer's name


def unannotatedType(kind: Any) -> Any:  # noqa: N802
    return split(kind)[0]


def findFirstAnnotation(annotations: Any, kind: type) -> Any:  # noqa: N802
    return next((one for one in annotations if isinstance(one, kind)), None)
