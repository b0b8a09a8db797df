"""Listening to one object at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Observation:
    """Calls ``callback`` on ``event`` of the object that is followed now.

    Slicer's VTKObservationMixin keeps every object that it ever observed, a CT with all its voxels included;
    this lets go of the one before.
    """

    def __init__(self, event: int, callback: Callable[[Any, Any], None]) -> None:
        self._event, self._callback = event, callback
        self._observed: Any = None
        self._tag: int | None = None

    def follow(self, observed: Any) -> None:
        """Listen to this object (a node or a parameter node wrapper), or to none, from now on."""
        if observed is self._observed:
            return
        if self._observed is not None:
            self._observed.RemoveObserver(self._tag)
        self._observed, self._tag = observed, None
        if observed is not None:
            self._tag = observed.AddObserver(self._event, self._callback)
