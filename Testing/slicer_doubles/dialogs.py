"""Dialogs that a test answers: nothing ever waits for a user, and what nobody expected fails the test."""
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
    """One dialog that was shown: ``exception`` is the one being handled meanwhile, as in tryWithErrorDisplay."""

    kind: str
    text: str
    title: str = ""
    details: str = ""
    exception: BaseException | None = None
    answer: Any = None


class UnexpectedDialogError(AssertionError):
    """A dialog came up that the test did not announce."""


class Dialogs:
    """``expect`` announces a dialog and its answer, ``shown`` tells what came, ``check`` fails on any difference.

    Kinds: confirmOkCancel, confirmYesNo, confirmRetryClose, error, warning, info, messageBox, dialog (``exec_`` of any
    QDialog), color, saveFile, openFile, directory, input, menu. An answer that can be called gets the Qt object, if
    there is one, so that a test can operate a dialog; what it returns is the answer.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.shown: list[Dialog] = []
        self.unexpected: list[Dialog] = []
        self.exceptions: list[BaseException] = []
        self._expected: deque[tuple[str, Any, str]] = deque()

    def expect(self, kind: str, answer: Any = True, text: str = "") -> None:
        """The next dialog is of this kind and its text contains the regular expression ``text``."""
        self._expected.append((kind, answer, text))

    def show(self, kind: str, text: str, title: str = "", details: str = "", dialog: Any = None) -> Any:
        seen = Dialog(kind, str(text), title or "", details or "", sys.exc_info()[1])
        self.shown.append(seen)
        wanted = self._expected[0] if self._expected else (None, None, "")
        if wanted[0] != kind or not re.search(wanted[2], f"{seen.title}\n{seen.text}", re.DOTALL):
            self.unexpected.append(seen)
            raise UnexpectedDialogError(f"unexpected {kind} dialog: {seen.title}: {seen.text}\n{seen.details}")
        self._expected.popleft()
        seen.answer = wanted[1](dialog) if callable(wanted[1]) else wanted[1]
        return seen.answer

    def check(self) -> None:
        """Fail where a dialog came unasked or did not come, or where a slot or observer raised an exception.

        An exception that an announced error dialog showed is no failure: ``tryWithErrorDisplay`` raises it again.
        """
        told = [dialog.exception for dialog in self.shown if dialog not in self.unexpected]
        silent = [error for error in self.exceptions if not any(error is one for one in told)]
        missing = [f"{kind} {text!r}" for kind, _, text in self._expected]
        unexpected = [f"{dialog.kind} {dialog.text!r}" for dialog in self.unexpected]
        self.exceptions, self.unexpected = [], []
        self._expected.clear()
        assert not unexpected, f"unexpected dialogs: {unexpected}"
        assert not missing, f"dialogs that never came: {missing}"
        if silent:
            raise AssertionError(f"exceptions in slots or observers: {silent!r}") from silent[0]

    def hook(self, kind: type, error: BaseException, trace: Any) -> None:
        """Takes the place of ``sys.excepthook``, to which Qt and VTK hand the exceptions of callbacks."""
        self.exceptions.append(error)
        sys.__excepthook__(kind, error, trace)


dialogs = Dialogs()


def util_functions(slicer: Any) -> dict[str, Any]:
    """The functions of ``slicer.util`` that would open a window; in testing mode they answer themselves."""

    def display(kind: str, level: int, testing: Any, text: str, title: str | None, details: str) -> Any:
        logging.log(level, text)
        if slicer.app.testingEnabled():
            return testing
        return dialogs.show(kind, text, title or "", details)

    def confirmation(kind: str, testing: bool) -> Any:
        def confirm(text: str, windowTitle: str | None = None, parent: Any = None, **kwargs: Any) -> bool:
            return bool(display(kind, logging.INFO, testing, text, windowTitle, kwargs.get("detailedText", "")))

        return confirm

    def message(kind: str, level: int) -> Any:
        def show(text: str, windowTitle: Any = None, parent: Any = None, standardButtons: Any = None, **kwargs) -> None:
            display(kind, level, None, text, windowTitle, kwargs.get("detailedText", ""))

        return show

    def messageBox(text: str, parent: Any = None, **kwargs: Any) -> Any:
        title, details = kwargs.get("windowTitle"), kwargs.get("detailedText", "")
        return display("messageBox", logging.INFO, sys.modules["qt"].QMessageBox.Ok, text, title, details)

    return {
        "confirmOkCancelDisplay": confirmation("confirmOkCancel", True),
        "confirmYesNoDisplay": confirmation("confirmYesNo", True),
        "confirmRetryCloseDisplay": confirmation("confirmRetryClose", False),
        "errorDisplay": message("error", logging.ERROR),
        "warningDisplay": message("warning", logging.WARNING),
        "infoDisplay": message("info", logging.INFO),
        "messageBox": messageBox,
    }


def patch_qt(qt: Any) -> None:
    """Windows of Qt's own that wait: ``exec_`` and the static functions that ask for a file or a word."""

    def run_dialog(self: Any, *_: Any) -> Any:
        text = self.text if isinstance(self, qt.QMessageBox) else self.windowTitle
        answer = dialogs.show("dialog", text, self.windowTitle, dialog=self)
        return int(answer) if answer is not None else self.result()

    def run_menu(self: Any, *_: Any) -> Any:
        answer = dialogs.show("menu", "\n".join(action.text for action in self.actions()), dialog=self)
        return next((action for action in self.actions() if action.text == answer), None)

    def ask(kind: str, default: Any = "") -> Any:
        def static(parent: Any = None, title: str = "", text: str = "", *_: Any, **__: Any) -> Any:
            answer = dialogs.show(kind, text, title)
            return default if answer is None else answer

        return staticmethod(static)

    qt.QDialog.exec = qt.QDialog.exec_ = run_dialog
    qt.QMenu.exec = qt.QMenu.exec_ = run_menu
    for name, kind in (("getSaveFileName", "saveFile"), ("getOpenFileName", "openFile")):
        setattr(qt.QFileDialog, name, ask(kind))  # a plain str in PythonQt, not a pair
    qt.QFileDialog.getExistingDirectory = ask("directory")
    qt.QFileDialog.getOpenFileNames = ask("openFile", [])
    qt.QInputDialog.getText = ask("input")
    qt.QColorDialog.getColor = ask("color", qt.QColor())
    for name in ("question", "information", "warning", "critical"):
        setattr(qt.QMessageBox, name, staticmethod(_message_box))


def _message_box(parent: Any, title: str, text: str, *_: Any) -> Any:
    return dialogs.show("messageBox", text, title)
