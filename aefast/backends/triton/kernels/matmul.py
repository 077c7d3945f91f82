"""The products with everything around them: forward, the last layer with its loss, and the way back to the input.

A program makes one tile (BLOCK_M, BLOCK_N) of the result; programs next to each other share rows, so that their tiles of
the left operand are still in the cache. Sums run over the inner dimension in order: no atomics, same bits every time.
Offsets are 64-bit: rows times stride pass 2^31 elements in large layers.
"""

from __future__ import annotations

import triton
import triton.language as tl

from aefast.backends.triton.kernels.formulas import activate, lose, slope

GROUP = tl.constexpr(8)  # tiles of rows that go through all columns together


@triton.jit
def bfloat16_bits(x):
    """x rounded to the nearest bfloat16, still float32: what the hardware's conversion does, where there is none."""
    bits = x.to(tl.uint32, bitcast=True)
    nearest = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return tl.where(x == x, nearest.to(tl.float32, bitcast=True), x)


@triton.jit
def multiply_add(a, b, total, PRECISION: tl.constexpr):
    """total + a @ b, summed in float32; PRECISION: "ieee", "tf32x3", "tf32", "bf16", or "bf16_emulated" (in the interpreter,
    whose products of bfloat16 are wrong).
    """
    if PRECISION == "bf16":
        return tl.dot(a.to(tl.bfloat16), b.to(tl.bfloat16), total)
    elif PRECISION == "bf16_emulated":
        return tl.dot(bfloat16_bits(a), bfloat16_bits(b), total, input_precision="ieee")
    else:
        return tl.dot(a, b, total, input_precision=PRECISION)


@triton.jit
def tile(m, n, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Rows and columns, int64, of this program's part of an (m, n) result."""
    place = tl.program_id(0)
    down, across = tl.cdiv(m, BLOCK_M), tl.cdiv(n, BLOCK_N)
    first = place // (GROUP * across) * GROUP
    height = tl.minimum(down - first, GROUP)
    inside = place % (GROUP * across)
    row, col = first + inside % height, inside // height
    rows = row.to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    cols = col.to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    return rows, cols, col


@triton.jit
def product(
    a, b, rows, cols, m, n, depth, a_row, a_col, b_row, b_col,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """(a @ b)[rows, cols] in float32: a (m, depth), b (depth, n), each with its two strides in elements."""
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    a_rows, b_cols = a + rows[:, None] * a_row, b + cols[None, :] * b_col
    a_in, b_in = rows[:, None] < m, cols[None, :] < n
    for start in range(0, depth, BLOCK_K):
        ks = tl.arange(0, BLOCK_K).to(tl.int64) + start
        left = tl.load(a_rows + ks[None, :] * a_col, mask=a_in & (ks[None, :] < depth), other=0.0)
        right = tl.load(b_cols + ks[:, None] * b_row, mask=b_in & (ks[:, None] < depth), other=0.0)
        total = multiply_add(left, right, total, PRECISION)
    return total


@triton.jit
def linear_act(
    x, w, b, out, pre, m, n, depth, x_row, x_col, w_row, w_col, out_row, out_col, pre_row, pre_col,
    ACT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = act(x @ w.T + b), pre = x @ w.T + b where it is given."""
    rows, cols, _ = tile(m, n, BLOCK_M, BLOCK_N)
    z = product(
        x, w, rows, cols, m, n, depth, x_row, x_col, w_col, w_row, BLOCK_M, BLOCK_N, BLOCK_K, PRECISION
    )
    z += tl.load(b + cols, mask=cols < n, other=0.0)[None, :]
    inside = (rows[:, None] < m) & (cols[None, :] < n)
    if pre is not None:
        tl.store(pre + rows[:, None] * pre_row + cols[None, :] * pre_col, z, mask=inside)
    tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, activate(z, ACT), mask=inside)


@triton.jit
def linear_loss(
    h, w, b, target, batch_scale, feature_weight, shares, delta, scale, m, n, depth,
    h_row, h_col, w_row, w_col, target_row, target_col, delta_row, delta_col,
    ACT: tl.constexpr, LOSS: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """shares (tiles across, m): each tile's part of a row's loss; delta where it is given. No reconstruction is stored."""
    rows, cols, place = tile(m, n, BLOCK_M, BLOCK_N)
    z = product(
        h, w, rows, cols, m, n, depth, h_row, h_col, w_col, w_row, BLOCK_M, BLOCK_N, BLOCK_K, PRECISION
    )
    z += tl.load(b + cols, mask=cols < n, other=0.0)[None, :]
    inside = (rows[:, None] < m) & (cols[None, :] < n)
    t = tl.load(target + rows[:, None] * target_row + cols[None, :] * target_col, mask=inside, other=0.0)
    value, by_z = lose(z, t, ACT, LOSS)
    if feature_weight is not None:
        f = tl.load(feature_weight + cols, mask=cols < n, other=0.0)[None, :]
        value, by_z = value * f, by_z * f
    tl.store(shares + place.to(tl.int64) * m + rows, tl.sum(tl.where(inside, value, 0.0), 1), mask=rows < m)
    if delta is not None:
        factor = tl.load(batch_scale + rows, mask=rows < m, other=0.0) * tl.load(scale).to(tl.float32)
        where = delta + rows[:, None] * delta_row + cols[None, :] * delta_col
        tl.store(where, by_z * factor[:, None], mask=inside)


@triton.jit
def row_sums(shares, row_loss, m, across, BLOCK: tl.constexpr):
    """row_loss = shares.sum(0), in the order of the tiles."""
    rows = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for place in range(across):
        total += tl.load(shares + tl.cast(place, tl.int64) * m + rows, mask=rows < m, other=0.0)
    tl.store(row_loss + rows, total, mask=rows < m)


@triton.jit
def linear_dgrad(
    delta, w, saved, extra, out, m, n, depth,
    delta_row, delta_col, w_row, w_col, saved_row, saved_col, extra_row, extra_col, out_row, out_col,
    ACT: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = (delta @ w + extra) * act'(saved); the last two where they are given."""
    rows, cols, _ = tile(m, n, BLOCK_M, BLOCK_N)
    dh = product(
        delta, w, rows, cols, m, n, depth, delta_row, delta_col, w_row, w_col,
        BLOCK_M, BLOCK_N, BLOCK_K, PRECISION,
    )  # fmt: skip
    inside = (rows[:, None] < m) & (cols[None, :] < n)
    if extra is not None:
        dh += tl.load(extra + rows[:, None] * extra_row + cols[None, :] * extra_col, mask=inside, other=0.0)
    if saved is not None:
        s = tl.load(saved + rows[:, None] * saved_row + cols[None, :] * saved_col, mask=inside, other=0.0)
        dh = dh * slope(s, ACT)
    tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, dh, mask=inside)
