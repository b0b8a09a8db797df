"""Random numbers and noise that are the same on every machine and with every NumPy version.

All are sums and products of the raw output of PCG64, which is fixed; NumPy's distributions may change between versions.
"""

from __future__ import annotations

import numpy as np

_NOISE_KERNEL = (1, 3, 1)  # lag correlations .55 and .09 per axis; measured on soft reconstruction kernels: .45, .08


def generator(seed: int, stream: int) -> np.random.Generator:
    """An independent generator for one part of the phantom, so that a change of one part does not affect the others."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))


def random_bytes(rng: np.random.Generator, count: int) -> np.ndarray:
    """``count`` uniform bytes (uint8), straight from the bit generator."""
    return rng.bit_generator.random_raw(-(-count // 8)).astype("<u8").view(np.uint8)[:count]


def scanner_noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """One slice (rows, columns) of noise with mean 0 and standard deviation 1, float32.

    Weighted sums of nine uniform bytes: approximately normal, and correlated between neighbors like the noise of a soft
    reconstruction kernel.
    """
    a, b, c = _NOISE_KERNEL
    u = random_bytes(rng, (rows + 2) * (columns + 2)).reshape(rows + 2, columns + 2).astype(np.int16)
    u = a * u[:-2] + b * u[1:-1] + c * u[2:]
    u = a * u[:, :-2] + b * u[:, 1:-1] + c * u[:, 2:]
    power = float(a * a + b * b + c * c)  # of each of two axes
    mean = 127.5 * (a + b + c) ** 2
    return (u - np.float32(mean)) * np.float32(1.0 / (power * np.sqrt((256**2 - 1) / 12.0)))


def wave(t: np.ndarray) -> np.ndarray:
    """A wave of period 1 and amplitude 1, composed of parabolas that approximate a sine."""
    u = t - np.floor(t)
    v = u - np.float32(0.5)
    return np.float32(16.0) * v * (np.abs(v) - np.float32(0.5))


class ValueNoise:
    """Smooth 3D noise: random values on a lattice, interpolated with a quintic; repeats every 32 cells."""

    _N = 32

    def __init__(self, rng: np.random.Generator) -> None:
        self._values = random_bytes(rng, self._N**3).astype(np.float32) / np.float32(127.5) - np.float32(1.0)

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray, cell_mm: float) -> np.ndarray:
        """Noise of about -1..1 at RAS positions (arrays that broadcast together), float32."""
        low, high, weight = [], [], []
        for axis, v in enumerate((x, y, z)):
            t = np.asarray(v, dtype=np.float32) * np.float32(1.0 / cell_mm) + np.float32(100.37)
            i = np.floor(t)
            f = t - i
            weight.append(f * f * f * (f * (f * np.float32(6.0) - np.float32(15.0)) + np.float32(10.0)))
            i = i.astype(np.int32)
            stride = self._N**axis
            low.append((i & (self._N - 1)) * stride)
            high.append(((i + 1) & (self._N - 1)) * stride)

        def between(axis: int, offset: np.ndarray | int) -> np.ndarray:
            """Interpolated along the axes up to ``axis``, at ``offset`` along the others."""
            if axis < 0:
                return self._values[offset]
            a = between(axis - 1, low[axis] + offset)
            return a + weight[axis] * (between(axis - 1, high[axis] + offset) - a)

        return between(2, 0)


class TextureTile:
    """Fine texture from a lookup table: a periodic block of smoothed random numbers on a rotated lattice."""

    _N = 96
    _TEXEL_MM = 0.9
    # Rows: directions of the table axes, rotated so that repetitions do not align with slices
    _SKEW = np.array([[0.80, 0.48, 0.36], [-0.60, 0.64, 0.48], [0.0, -0.60, 0.80]])

    def __init__(self, rng: np.random.Generator) -> None:
        n = self._N
        t = random_bytes(rng, n**3).reshape(n, n, n).astype(np.float32)
        t -= np.float32(127.5)
        for axis in range(3):
            for _ in range(2):  # twice [1 2 1]: structures of about 3 mm
                t = np.float32(0.25) * (np.roll(t, 1, axis) + np.roll(t, -1, axis)) + np.float32(0.5) * t
        self._values = (t / t.std(dtype=np.float64).astype(np.float32)).ravel()

    def __call__(self, x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Texture of standard deviation 1 at 1D arrays of RAS positions, float32."""
        n = self._N
        index = 0
        for row in self._SKEW / self._TEXEL_MM:
            t = x * np.float32(row[0]) + y * np.float32(row[1]) + z * np.float32(row[2]) + np.float32(4800.0)
            index = index * n + t.astype(np.int32) % n
        return self._values[index]
