"""Random numbers that are addressed, not drawn in order: Philox4x32-10 and what is made of it.

Key = seed; counter = (element // 4, data row, epoch, stream << 16 | layer); lane = element % 4 (Salmon et al. 2011,
"Parallel random numbers: as easy as 1, 2, 3"). So a value depends on what it is for, never on who drew before it:
every backend, thread count and batch size sees the same noise.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

U32 = NDArray[np.uint32]
U64 = NDArray[np.uint64]

STREAM_INIT: Final = 0
STREAM_SHUFFLE: Final = 1
STREAM_CORRUPTION: Final = 2
STREAM_LATENT: Final = 3
STREAM_SAMPLE: Final = 4
STREAM_EVALUATE: Final = 5

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)


def stream_word(stream: int, layer: int = 0) -> int:
    """The counter's last word: what the numbers are for, and in which layer."""
    return stream << 16 | layer


def philox4x32_10(counter: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike], seed: int) -> U32:
    """The block function, vectorised: counter words broadcast to shape s; returns uint32 of shape (*s, 4)."""
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(c, np.uint64) & _MASK32 for c in counter))
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for _ in range(10):
        p0, p1 = _M0 * c0, _M1 * c2
        c0, c1, c2, c3 = (
            (p1 >> _SHIFT32) ^ c1 ^ np.uint64(k0),
            p1 & _MASK32,
            (p0 >> _SHIFT32) ^ c3 ^ np.uint64(k1),
            p0 & _MASK32,
        )
        k0, k1 = (k0 + _W0) & 0xFFFFFFFF, (k1 + _W1) & 0xFFFFFFFF
    return np.stack((c0, c1, c2, c3), axis=-1).astype(np.uint32)


def bits(seed: int, rows: ArrayLike, n_columns: int, epoch: int, stream: int) -> U32:
    """(B, n_columns) uint32: element j of each data row in `rows` (B,), for that epoch and stream word."""
    blocks = np.arange((n_columns + 3) // 4)
    words = philox4x32_10((blocks[None, :], np.asarray(rows)[:, None], epoch, stream), seed)
    return words.reshape(len(words), -1)[:, :n_columns]


def uniforms24(seed: int, rows: ArrayLike, n_columns: int, epoch: int, stream: int) -> U32:
    """(B, n_columns): integers u < 2^24; u * 2^-24 is uniform in [0, 1)."""
    return bits(seed, rows, n_columns, epoch, stream) >> np.uint32(8)


def normals(seed: int, rows: ArrayLike, n_columns: int, epoch: int, stream: int) -> NDArray[np.float64]:
    """(B, n_columns) float64 standard normals (Box & Muller 1958), a pair from each half of a block."""
    padded = (n_columns + 3) // 4 * 4
    u = (bits(seed, rows, padded, epoch, stream) >> np.uint32(8)).reshape(len(np.asarray(rows)), -1, 2)
    radius = np.sqrt(-2.0 * np.log((u[..., 0] + 1.0) * 2.0**-24))
    angle = 2.0 * np.pi * (u[..., 1] * 2.0**-24)
    pair = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=-1)
    return pair.reshape(len(u), -1)[:, :n_columns]


def initial_weight(shape: tuple[int, ...], bound: float, seed: int, layer: int) -> NDArray[np.float32]:
    """float32 of any shape, uniform in [-bound, bound), addressed by the logical row-major index."""
    n = math.prod(shape)
    words = philox4x32_10((np.arange((n + 3) // 4), 0, 0, stream_word(STREAM_INIT, layer)), seed)
    u = (words.reshape(-1)[:n] >> np.uint32(8)).astype(np.float64) * 2.0**-24
    return ((2.0 * u - 1.0) * bound).astype(np.float32).reshape(shape)


def permutation(n: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """(n,) int64: the epoch's order of the rows, a keyed permutation (six Feistel rounds, walking cycles into [0, n))."""
    width = max(2, int(n - 1).bit_length())
    low = width // 2
    low_mask, high_mask = np.uint32((1 << low) - 1), np.uint32((1 << (width - low)) - 1)
    keys = philox4x32_10((np.arange(2), 0, epoch, stream_word(STREAM_SHUFFLE)), seed).reshape(-1)[:6]
    order = np.arange(n, dtype=np.uint32)
    pending = np.arange(n)
    while len(pending):
        x = order[pending]
        left, right = x >> np.uint32(low), x & low_mask
        for i, key in enumerate(keys):
            if i % 2 == 0:
                left ^= _mix(right, key) & high_mask
            else:
                right ^= _mix(left, key) & low_mask
        x = left << np.uint32(low) | right
        order[pending] = x
        pending = pending[x >= n]
    return order.astype(np.int64)


def _mix(value: U32, key: Any) -> U32:
    # A 32-bit finaliser with low bias (constants found by Chris Wellons' search, 2018).
    h: U32 = value + key
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x7FEB352D)
    h ^= h >> np.uint32(15)
    h *= np.uint32(0x846CA68B)
    h ^= h >> np.uint32(16)
    return h
