"""Observes one object at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Observation:
    """Calls ``callback`` on ``event`` of the object that is currently observed.

    Slicer's VTKObservationMixin keeps a reference to every object that it ever observed, such as a CT with all of
    its voxels; this one drops it.
    """

    def __init__(self, event: int, callback: Callable[[Any, Any], None]) -> None:
        self._event, self._callback = event, callback
        self._observed: Any = None
        self._tag: int | None = None

    def observe(self, observed: Any) -> None:
        """Observe this object (a node or a parameter node wrapper) instead of the previous one, or none."""
        if observed is self._observed:
            return
        if self._observed is not None:
            self._observed.RemoveObserver(self._tag)
        self._observed, self._tag = observed, None
        if observed is not None:
            self._tag = observed.AddObserver(self._event, self._callback)
