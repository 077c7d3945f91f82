"""Philox4x32-10 and what is made of it, compiled; `aefast/random.py` is the definition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aefast import random, regularizers
from aefast.backends.numba.intrinsics import exponent, mantissa, row, select
from aefast.backends.numba.jit import (
    FLOAT,
    INT,
    MATRIX,
    OUT_MATRIX,
    OUT_ROWS,
    OUT_WORDS,
    ROWS,
    WORD,
    by_precision,
    device,
    kernel,
)

KINDS = ("gaussian", "masking", "salt_and_pepper")
GAUSSIAN, MASKING, SALT_AND_PEPPER = (regularizers.CORRUPTION_CODES[n] for n in KINDS)
SHUFFLE = random.stream_word(random.STREAM_SHUFFLE)
U64 = np.uint64
M0, M1, W0, W1 = U64(0xD2511F53), U64(0xCD9E8D57), U64(0x9E3779B9), U64(0xBB67AE85)
MASK, S32, S8 = U64(0xFFFFFFFF), U64(32), U64(8)
LN2, SQRT2, HALF_PI = math.log(2), math.sqrt(2), math.pi / 2
ROUND = 1.5 * 2.0**52  # x + ROUND - ROUND is the nearest integer


@device
def philox(c0: Any, c1: Any, c2: Any, c3: Any, seed: Any) -> Any:
    """The four words of one block, as uint64 below 2^32."""
    k0, k1 = seed & MASK, seed >> S32
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> S32) ^ c1 ^ k0, p1 & MASK, (p0 >> S32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + W0) & MASK, (k1 + W1) & MASK
    return c0, c1, c2, c3


@device
def fill_words(words: Any, n: int, seed: Any, address: int, epoch: Any, stream: Any) -> None:
    """words[:n] = the row's random bits >> 8; words (int32) is as long as n rounded up to four."""
    data_row, c_epoch, c_stream = U64(address) & MASK, epoch & MASK, stream & MASK
    for block in range((n + 3) // 4):
        c0, c1, c2, c3 = philox(U64(block), data_row, c_epoch, c_stream, seed)
        words[4 * block] = np.int32(c0 >> S8)
        words[4 * block + 1] = np.int32(c1 >> S8)
        words[4 * block + 2] = np.int32(c2 >> S8)
        words[4 * block + 3] = np.int32(c3 >> S8)


@device
def _log(u: Any) -> Any:
    """log(u) of a float64 in (0, 1], to 1e-11 relative: s = f / (2 + f), log(1 + f) = 2 atanh(s)."""
    e, m = exponent(u), mantissa(u)
    large = m > SQRT2
    f = select(large, 0.5 * m, m) - 1.0
    e = select(large, e + 1.0, e)
    s = f / (2.0 + f)
    q = s * s
    series = ((((q * (1 / 13) + 1 / 11) * q + 1 / 9) * q + 1 / 7) * q + 1 / 5) * q + 1 / 3
    return e * LN2 + 2.0 * s * (1.0 + q * series)


@device
def _sin(r: Any) -> Any:
    """For abs(r) <= pi / 4, to 1e-11."""
    q = r * r
    series = (((q * (-1 / 39916800) + 1 / 362880) * q - 1 / 5040) * q + 1 / 120) * q - 1 / 6
    return r + r * q * series


@device
def _cos(r: Any) -> Any:
    """For abs(r) <= pi / 4, to 1e-11."""
    q = r * r
    series = ((((q * (1 / 479001600) - 1 / 3628800) * q + 1 / 40320) * q - 1 / 720) * q + 1 / 24) * q - 0.5
    return 1.0 + q * series


def _pair32(like: Any, k1: Any, k2: Any) -> Any:
    # In float64, so that the only rounding that shows is the last one. An angle is `turn` quarters and r more.
    radius = math.sqrt(-2.0 * _log(np.float64(k1) * 2.0**-24 + 2.0**-24))
    quarters = np.float64(k2) * 2.0**-22
    turn = (quarters + ROUND) - ROUND
    r = (quarters - turn) * HALF_PI
    sine, cosine = _sin(r), _cos(r)
    odd = (turn == 1.0) | (turn == 3.0)
    x, y = select(odd, sine, cosine), select(odd, cosine, sine)
    x = select((turn == 1.0) | (turn == 2.0), -x, x)
    y = select((turn == 2.0) | (turn == 3.0), -y, y)
    return radius * x, radius * y


def _pair64(like: Any, k1: Any, k2: Any) -> Any:
    radius = math.sqrt(-2.0 * math.log(np.float64(k1) * 2.0**-24 + 2.0**-24))
    angle = 2.0 * math.pi * (np.float64(k2) * 2.0**-24)
    return radius * math.cos(angle), radius * math.sin(angle)


normal_pair = by_precision(_pair32, _pair64)
"""Two standard normals in float64 for an output like `like`: to 1e-10 where that is float32."""


@device
def fill_normals(out: Any, words: Any, seed: Any, address: int, epoch: Any, stream: Any) -> None:
    """out = the row's standard normals; words holds at least out.size rounded up to four."""
    n = out.size
    fill_words(words, n, seed, address, epoch, stream)
    for pair in range(n // 2):
        x, y = normal_pair(out[0], words[2 * pair], words[2 * pair + 1])
        out[2 * pair] = x
        out[2 * pair + 1] = y
    if n % 2:
        x, y = normal_pair(out[0], words[n - 1], words[n])
        out[n - 1] = x


@kernel(MATRIX, INT, FLOAT, FLOAT, FLOAT, WORD, WORD, WORD, ROWS, OUT_WORDS, OUT_MATRIX)
def corrupt(
    x: Any,
    kind: int,
    level: float,
    low: float,
    high: float,
    seed: Any,
    epoch: Any,
    stream: Any,
    rows: Any,
    words: Any,
    out: Any,
) -> None:
    """out = x + level * normal; or 0 where u < level; or low where u < level / 2, high where u < level."""
    real = out.dtype.type
    zero, factor, least, most = real(0), real(level), real(low), real(high)
    hit, half = np.int32(level * 16777216.0), np.int32(level * 8388608.0)
    for i in range(out.shape[0]):
        a, o = row(x, i), row(out, i)
        if kind == GAUSSIAN:
            fill_normals(o, words, seed, rows[i], epoch, stream)
            for j in range(o.size):
                o[j] = a[j] + factor * o[j]
            continue
        fill_words(words, o.size, seed, rows[i], epoch, stream)
        if kind == MASKING:
            for j in range(o.size):
                o[j] = zero if words[j] < hit else a[j]
        elif kind == SALT_AND_PEPPER:
            for j in range(o.size):
                o[j] = least if words[j] < half else (most if words[j] < hit else a[j])


@device
def _mix(value: Any, key: Any) -> Any:
    h = (value + key) & MASK
    h ^= h >> U64(16)
    h = (h * U64(0x7FEB352D)) & MASK
    h ^= h >> U64(15)
    h = (h * U64(0x846CA68B)) & MASK
    return h ^ (h >> U64(16))


@kernel(WORD, WORD, OUT_ROWS)
def permute(seed: Any, epoch: Any, out: Any) -> None:
    """out = the epoch's order of out.size rows: six Feistel rounds, walked until they lead below out.size."""
    n = U64(out.size)
    width = U64(2)
    while (U64(1) << width) < n:
        width += U64(1)
    low = width >> U64(1)
    low_mask, high_mask = (U64(1) << low) - U64(1), (U64(1) << (width - low)) - U64(1)
    k0, k1, k2, k3 = philox(U64(0), U64(0), epoch, U64(SHUFFLE), seed)
    k4, k5, _, _ = philox(U64(1), U64(0), epoch, U64(SHUFFLE), seed)
    for i in range(out.size):
        x = U64(i)
        while True:
            left, right = x >> low, x & low_mask
            left ^= _mix(right, k0) & high_mask
            right ^= _mix(left, k1) & low_mask
            left ^= _mix(right, k2) & high_mask
            right ^= _mix(left, k3) & low_mask
            left ^= _mix(right, k4) & high_mask
            right ^= _mix(left, k5) & low_mask
            x = left << low | right
            if x < n:
                break
        out[i] = np.int64(x)
