"""One synthetic patient: everything that does not depend on the scan."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from . import chest, torso
from .lesion_shapes import LesionShape, place_lesions
from .noise import TextureTile, generator, wave
from .skeleton import bones
from .trees import Airways, airways_and_vessels
from .tubes import Tubes


@dataclass(frozen=True, eq=False)
class Patient:
    """The patient of a seed; parts are computed on first use. Positions are RAS in millimeters."""

    seed: int

    @cached_property
    def scale(self) -> np.ndarray:
        """(3,) size along RAS relative to the standard patient."""
        return np.array([0.97, 0.95, 0.97]) + np.array([0.07, 0.10, 0.06]) * generator(self.seed, 10).random(3)

    def fields(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> dict[str, np.ndarray]:
        """The smooth fields of ``torso.fields``."""
        return torso.fields(*self._standard(x, y, z))

    def lungs(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Distance inside the lungs, mm."""
        return chest.lungs(*self._standard(x, y, z))

    def _standard(self, *xyz: np.ndarray) -> list[np.ndarray]:
        return [v / float(s) for v, s in zip(xyz, self.scale, strict=True)]

    @cached_property
    def bones(self) -> Tubes:
        return bones().scaled(self.scale)

    @cached_property
    def airways(self) -> Airways:
        return Airways(*(tubes.scaled(self.scale) for tubes in airways_and_vessels(self.seed, chest.lungs)))

    @cached_property
    def texture(self) -> TextureTile:
        return TextureTile(generator(self.seed, 13))

    @cached_property
    def lesions(self) -> list[LesionShape]:
        return place_lesions(self.seed, self.lungs)

    def parenchyma_hu(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """HU of healthy lung between the visible vessels: gravity, slow variation, lobules and texture. 1D arrays."""
        hu = -868.0 - 0.26 * y
        slow = wave(x / 67.0 + y / 91.0) * wave(z / 83.0 - y / 59.0)
        lobules = wave(x / 17.0 + z / 29.0) * wave(y / 19.0 - z / 23.0)
        grain = self.texture(x, y, z)
        fine = 15.0 * grain + 9.0 * np.maximum(grain, 0.0) ** 2
        return hu + 18.0 * slow + 12.0 * lobules + fine
