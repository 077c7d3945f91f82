"""Philox4x32-10 and what is made of it; `aefast/random.py` is the definition. Integer draws are the same bits.

`address` (4,) int64 holds the key's two words, the epoch and the stream: in memory, so that a recorded launch can be replayed.
"""

from __future__ import annotations

import triton
import triton.language as tl

from aefast.backends.triton.tables import CORRUPTION

GAUSSIAN, MASKING, SALT_AND_PEPPER = map(tl.constexpr, CORRUPTION.values())
M0, M1 = tl.constexpr(0xD2511F53), tl.constexpr(0xCD9E8D57)
W0, W1 = tl.constexpr(0x9E3779B9), tl.constexpr(0xBB67AE85)
MASK = tl.constexpr(0xFFFFFFFF)
LN2, SQRT2, HALF_PI = (
    tl.constexpr(0.6931471805599453),
    tl.constexpr(1.4142135623730951),
    tl.constexpr(1.5707963267948966),
)


@triton.jit
def philox(c0, c1, c2, c3, k0, k1):
    """The four words of one block, uint64 below 2^32; counters and key in the same form."""
    for _ in tl.static_range(10):
        p0, p1 = c0 * M0, c2 * M1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + W0) & MASK, (k1 + W1) & MASK
    return c0, c1, c2, c3


@triton.jit
def word(address, i):
    """A word of the address, as uint64."""
    return tl.load(address + i).to(tl.uint64) & MASK


@triton.jit
def block_words(rows, blocks, address):
    """The four words (B, n) of those data rows (B,) int64 and blocks (n,) of four columns."""
    zero = tl.zeros((rows.shape[0], blocks.shape[0]), tl.uint64)
    c0, c1 = zero + blocks.to(tl.uint64)[None, :], zero + (rows.to(tl.uint64) & MASK)[:, None]
    return philox(
        c0, c1, zero + word(address, 2), zero + word(address, 3), word(address, 0), word(address, 1)
    )


@triton.jit
def lane(c0, c1, c2, c3, which):
    """c0, c1, c2 or c3, by which = 0, 1, 2, 3."""
    return tl.where(which < 2, tl.where(which == 0, c0, c1), tl.where(which == 2, c2, c3))


@triton.jit
def uniforms24(rows, cols, address):
    """(B, n) int32 below 2^24."""
    c0, c1, c2, c3 = block_words(rows, cols // 4, address)
    return (lane(c0, c1, c2, c3, (cols % 4)[None, :]) >> 8).to(tl.int32)


@triton.jit
def log_unit(u):
    """log(u) of a float64 in (0, 1], to 1e-11 relative: s = f / (2 + f), log(1 + f) = 2 atanh(s)."""
    bits = u.to(tl.int64, bitcast=True)
    e = ((bits >> 52) - 1023).to(tl.float64)
    m = ((bits & 0x000FFFFFFFFFFFFF) | 0x3FF0000000000000).to(tl.float64, bitcast=True)
    large = m > SQRT2
    f = tl.where(large, 0.5 * m, m) - 1.0
    e = tl.where(large, e + 1.0, e)
    s = f / (2.0 + f)
    q = s * s
    p = q * (1 / 13) + (1 / 11)
    p = p * q + (1 / 9)
    p = p * q + (1 / 7)
    p = p * q + (1 / 5)
    p = p * q + (1 / 3)
    return e * LN2 + 2.0 * s * (1.0 + q * p)


@triton.jit
def sine(r):
    """For abs(r) <= pi / 4, to 1e-11."""
    q = r * r
    p = q * (-1 / 39916800) + (1 / 362880)
    p = p * q - (1 / 5040)
    p = p * q + (1 / 120)
    p = p * q - (1 / 6)
    return r + r * q * p


@triton.jit
def cosine(r):
    """For abs(r) <= pi / 4, to 1e-11."""
    q = r * r
    p = q * (1 / 479001600) - (1 / 3628800)
    p = p * q + (1 / 40320)
    p = p * q - (1 / 720)
    p = p * q + (1 / 24)
    p = p * q - 0.5
    return 1.0 + q * p


@triton.jit
def normals(rows, cols, address):
    """(B, n) standard normals, computed in float64 to 1e-10 and rounded to float32 (Box & Muller 1958)."""
    c0, c1, c2, c3 = block_words(rows, cols // 4, address)
    second = (cols % 4 >= 2)[None, :]
    u1, u2 = tl.where(second, c2, c0) >> 8, tl.where(second, c3, c1) >> 8
    radius = tl.sqrt(-2.0 * log_unit((u1.to(tl.int64).to(tl.float64) + 1.0) * 5.960464477539063e-08))
    # An angle of `turn` quarters and r more; a sine is the cosine one quarter back.
    quarters = u2.to(tl.int64).to(tl.float64) * 2.384185791015625e-07
    turn = (quarters + 0.5).to(tl.int64)
    r = (quarters - turn.to(tl.float64)) * HALF_PI
    turn = (turn + tl.where((cols % 2)[None, :] == 1, 3, 0)) & 3
    value = tl.where((turn & 1) == 1, sine(r), cosine(r))
    value = tl.where((turn == 1) | (turn == 2), -value, value)
    return (radius * value).to(tl.float32)


@triton.jit
def corrupt(
    x, settings, rows, address, out, batch, d, x_row, x_col, out_row, out_col,
    KIND: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """x + level * normal; or 0 where u < hit; or low where u < half, high where u < hit.

    `settings` (5,) float64: level, low, high, hit, half.
    """
    across = tl.cdiv(d, BLOCK_D)
    at = (tl.program_id(0) // across).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = (tl.program_id(0) % across).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = (at[:, None] < batch) & (cols[None, :] < d)
    clean = tl.load(x + at[:, None] * x_row + cols[None, :] * x_col, mask=inside, other=0.0)
    data_rows = tl.load(rows + at, mask=at < batch, other=0)
    if KIND == GAUSSIAN:
        value = clean + tl.load(settings).to(tl.float32) * normals(data_rows, cols, address)
    else:
        u = uniforms24(data_rows, cols, address)
        hit = u < tl.load(settings + 3).to(tl.int32)
        if KIND == MASKING:
            value = tl.where(hit, 0.0, clean)
        else:
            low, high = tl.load(settings + 1).to(tl.float32), tl.load(settings + 2).to(tl.float32)
            extreme = tl.where(u < tl.load(settings + 4).to(tl.int32), low, high)
            value = tl.where(hit, extreme, clean)
    tl.store(out + at[:, None] * out_row + cols[None, :] * out_col, value, mask=inside)


@triton.jit
def mix(value, key):
    """A 32-bit finaliser with low bias (constants found by Chris Wellons' search, 2018), on uint64."""
    h = (value + key) & MASK
    h = h ^ (h >> 16)
    h = (h * 0x7FEB352D) & MASK
    h = h ^ (h >> 15)
    h = (h * 0x846CA68B) & MASK
    return h ^ (h >> 16)


@triton.jit
def permute(out, address, n, low, high, BLOCK: tl.constexpr):
    """out = the epoch's order of n rows: six Feistel rounds on low + high bits, walked until they lead below n."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    zero = word(address, 0) * 0
    epoch, stream, key0, key1 = word(address, 2), word(address, 3), word(address, 0), word(address, 1)
    k0, k1, k2, k3 = philox(zero, zero, epoch, stream, key0, key1)
    k4, k5, _, _ = philox(zero + 1, zero, epoch, stream, key0, key1)
    low_bits, size = zero + low, zero + n
    low_mask = ((zero + 1) << low_bits) - 1
    high_mask = ((zero + 1) << (zero + high)) - 1
    x = at.to(tl.uint64)
    pending = at < n
    while tl.max(pending.to(tl.int32), 0) > 0:
        left, right = x >> low_bits, x & low_mask
        left = left ^ (mix(right, k0) & high_mask)
        right = right ^ (mix(left, k1) & low_mask)
        left = left ^ (mix(right, k2) & high_mask)
        right = right ^ (mix(left, k3) & low_mask)
        left = left ^ (mix(right, k4) & high_mask)
        right = right ^ (mix(left, k5) & low_mask)
        x = tl.where(pending, (left << low_bits) | right, x)
        pending = pending & (x >= size)
    tl.store(out + at, x.to(tl.int64), mask=at < n)
