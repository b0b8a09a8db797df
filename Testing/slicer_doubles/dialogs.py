"""Dialogs that a test answers: nothing waits for a user, and an unexpected dialog fails the test."""
# ruff: noqa: N802, N803

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from dataclasses import dataclass
from typing import Any


@dataclass
class Dialog:
    """A dialog that was shown; ``exception`` is the one that was handled then, as in tryWithErrorDisplay."""

    type: str
    text: str
    title: str = ""
    details: str = ""
    exception: BaseException | None = None


class UnexpectedDialogError(AssertionError):
    """A dialog was shown that the test did not announce."""


class Dialogs:
    """``expect`` announces a dialog and its answer, ``shown`` lists those shown, ``check`` fails on any difference.

    Types: confirmOkCancel, error, messageBox, dialog (``exec`` of any QDialog), color, saveFile, directory.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.shown: list[Dialog] = []
        self.unexpected: list[Dialog] = []
        self.exceptions: list[BaseException] = []
        self._expected: deque[tuple[str, Any, str]] = deque()

    def expect(self, type: str, answer: Any = True, text: str = "") -> None:
        """The next dialog is of this type, and its title or text contains the regular expression ``text``."""
        self._expected.append((type, answer, text))

    def show(self, type: str, text: str, title: str = "", details: str = "") -> Any:
        dialog = Dialog(type, str(text), title or "", details or "", sys.exc_info()[1])
        self.shown.append(dialog)
        expected = self._expected[0] if self._expected else (None, None, "")
        if expected[0] != type or not re.search(expected[2], f"{dialog.title}\n{dialog.text}", re.DOTALL):
            self.unexpected.append(dialog)
            raise UnexpectedDialogError(f"unexpected {type} dialog: {dialog.title}: {dialog.text}\n{dialog.details}")
        return self._expected.popleft()[1]

    def check(self) -> None:
        """Fail on a dialog that was not expected or never shown, and on an exception in a slot or observer.

        An exception that an expected error dialog showed is no failure: ``tryWithErrorDisplay`` raises it again.
        """
        displayed = [dialog.exception for dialog in self.shown if dialog not in self.unexpected]
        silent = [error for error in self.exceptions if not any(error is other for other in displayed)]
        missing = [f"{type} {text!r}" for type, _, text in self._expected]
        unexpected = [f"{dialog.type} {dialog.text!r}" for dialog in self.unexpected]
        self.exceptions, self.unexpected = [], []
        self._expected.clear()
        assert not unexpected, f"unexpected dialogs: {unexpected}"
        assert not missing, f"dialogs that were never shown: {missing}"
        if silent:
            raise AssertionError(f"exceptions in slots or observers: {silent!r}") from silent[0]

    def hook(self, type: type, error: BaseException, trace: Any) -> None:
        """Takes the place of ``sys.excepthook``, which Qt and VTK call with the exceptions of callbacks."""
        self.exceptions.append(error)
        sys.__excepthook__(type, error, trace)


dialogs = Dialogs()


def util_functions() -> dict[str, Any]:
    """The functions of ``slicer.util`` that open a window."""

    def confirmOkCancelDisplay(text: str, windowTitle: str = "", parent: Any = None, **kwargs: Any) -> bool:
        return bool(dialogs.show("confirmOkCancel", text, windowTitle, kwargs.get("detailedText", "")))

    def errorDisplay(text: str, windowTitle: str = "", parent: Any = None, **kwargs: Any) -> None:
        logging.error(text)
        dialogs.show("error", text, windowTitle, kwargs.get("detailedText", ""))

    def messageBox(text: str, parent: Any = None, **kwargs: Any) -> Any:
        return dialogs.show("messageBox", text, kwargs.get("windowTitle", ""), kwargs.get("detailedText", ""))

    return {function.__name__: function for function in (confirmOkCancelDisplay, errorDisplay, messageBox)}


def patch_qt(qt: Any) -> None:
    """Windows of Qt that wait for the user: ``exec`` and the static functions that ask for a file or a color."""

    def run_dialog(self: Any, *_: Any) -> Any:
        return dialogs.show("dialog", self.windowTitle)

    def ask(type: str) -> Any:
        def static(parent: Any = None, title: str = "", text: str = "", *_: Any, **__: Any) -> Any:
            return dialogs.show(type, text, title)

        return staticmethod(static)

    qt.QDialog.exec = qt.QDialog.exec_ = run_dialog
    qt.QFileDialog.getSaveFileName = ask("saveFile")  # PythonQt returns a str, not a pair
    qt.QFileDialog.getExistingDirectory = ask("directory")
    qt.QColorDialog.getColor = ask("color")
