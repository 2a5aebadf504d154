"""Procedural 8-bit RGB images, bit-identical with tests/support/procedural_image.cpp.

An image is a function of (seed, width, height) in integer arithmetic only: two linear ramps a
channel, eight paraboloid blobs with hashed centre, radii and amplitudes, and hash noise of
-8..+7 levels. Divisions are of non-negative numbers; `>>` of a negative number rounds down.
"""

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
BLOBS = 8


def splitmix64(state: int) -> int:
    """Finalizer of splitmix64 (Steele, Lea, Flood 2014) applied to `state`."""
    z = state & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return z ^ (z >> 31)


def splitmix64_array(state: np.ndarray) -> np.ndarray:
    """The same, element by element, for uint64 arrays (overflow wraps)."""
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def procedural_image(seed: int, width: int, height: int) -> np.ndarray:
    """uint8 array [height, width, 3]."""
    x = np.arange(width, dtype=np.int64)[None, :]
    y = np.arange(height, dtype=np.int64)[:, None]
    value = np.empty((height, width, 3), dtype=np.int64)
    for c in range(3):
        value[:, :, c] = 30 + x * (90 + 40 * c) // width + y * (120 - 50 * c) // height
    for b in range(BLOBS):
        draw = [splitmix64((seed + _GOLDEN * (16 * b + k + 1)) & _MASK) for k in range(7)]
        cx, cy = draw[0] % width, draw[1] % height
        rx = 2 + width // 16 + draw[2] % (width // 4 + 1)
        ry = 2 + height // 16 + draw[3] % (height // 4 + 1)
        bump = 65536 - (x - cx) ** 2 * 65536 // (rx * rx) - (y - cy) ** 2 * 65536 // (ry * ry)
        bump = np.maximum(bump, 0)
        for c in range(3):
            amplitude = int(draw[4 + c] % 281) - 140
            value[:, :, c] += (bump * amplitude) >> 16
    index = np.arange(width * height * 3, dtype=np.uint64)
    state = np.uint64(splitmix64(seed)) + index * np.uint64(_GOLDEN)
    noise = (splitmix64_array(state) >> np.uint64(60)).astype(np.int64) - 8
    value += noise.reshape(height, width, 3)
    return np.clip(value, 0, 255).astype(np.uint8)
