"""Weight gradients: split over the batch where one pass would leave the device idle, each share summed in a fixed order.

Square norms and the finite flag are taken of what was stored, in float64, one pair for each program; `finish_norm` adds them.
"""

from __future__ import annotations

import triton
import triton.language as tl

from aefast.backends.triton.kernels.matmul import product, tile


@triton.jit
def store_norm(values, inside, norms, place):
    """norms[place] = (sum of squares, 1 where one isn't finite)."""
    wide = tl.where(inside, values.to(tl.float64), 0.0)
    bad = tl.where(tl.abs(wide) <= 3.5e38, 0.0, 1.0)  # beyond float32: infinite, or no number
    tl.store(norms + 2 * place, tl.sum(wide * wide))
    tl.store(norms + 2 * place + 1, tl.max(bad).to(tl.float64))


@triton.jit
def linear_wgrad(
    delta, a, dw, parts, norms, m, n, batch, chunk,
    delta_row, delta_col, a_row, a_col, dw_row, dw_col,
    ACCUMULATE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dw (m, n) = delta.T @ a, or with `parts` (splits, m, n) each program's share: of `chunk` rows of the batch."""
    rows, cols, _ = tile(m, n, BLOCK_M, BLOCK_N)
    split = tl.program_id(1).to(tl.int64)
    first = split * chunk
    depth = tl.minimum(batch - first, chunk)
    total = product(
        delta + first * delta_row, a + first * a_row, rows, cols, m, n, depth, delta_col, delta_row, a_row, a_col,
        BLOCK_M, BLOCK_N, BLOCK_K, PRECISION,
    )  # fmt: skip
    inside = (rows[:, None] < m) & (cols[None, :] < n)
    if parts is not None:
        size = tl.cast(m, tl.int64) * n
        tl.store(parts + split * size + rows[:, None] * n + cols[None, :], total, mask=inside)
    else:
        where = dw + rows[:, None] * dw_row + cols[None, :] * dw_col
        if ACCUMULATE:
            total += tl.load(where, mask=inside, other=0.0)
        tl.store(where, total, mask=inside)
        if norms is not None:
            store_norm(total, inside, norms, tl.program_id(0))


@triton.jit
def add_parts(
    parts, dw, norms, m, n, splits, dw_row, dw_col, first, ACCUMULATE: tl.constexpr, BLOCK: tl.constexpr
):
    """dw = parts.sum(0), in the order of the splits; added to with ACCUMULATE. Norms are written from pair `first` on."""
    size = tl.cast(m, tl.int64) * n
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    total = tl.zeros((BLOCK,), tl.float32)
    for split in range(splits):
        total += tl.load(parts + tl.cast(split, tl.int64) * size + at, mask=inside, other=0.0)
    where = dw + at // n * dw_row + at % n * dw_col
    if ACCUMULATE:
        total += tl.load(where, mask=inside, other=0.0)
    tl.store(where, total, mask=inside)
    if norms is not None:
        store_norm(total, inside, norms, first + tl.program_id(0))


@triton.jit
def column_sums(
    delta, db, parts, norms, count, pixels, n, chunk, delta_row, delta_col, first,
    ACCUMULATE: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """db = delta.reshape(count, n).sum(0), each row of delta having `pixels` of these, or with `parts` (splits, n) each
    program's share: of `chunk` of them. Norms are written from pair `first` on.
    """
    begin = tl.program_id(1).to(tl.int64) * chunk
    end = tl.minimum(begin + chunk, count)
    cols = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    for start in range(0, chunk, BLOCK_B):
        rows = tl.arange(0, BLOCK_B).to(tl.int64) + begin + start
        inside = (rows[:, None] < end) & (cols[None, :] < n)
        columns = (rows % pixels * n)[:, None] + cols[None, :]
        total += tl.load(
            delta + (rows // pixels * delta_row)[:, None] + columns * delta_col, mask=inside, other=0.0
        )
    sums = tl.sum(total, 0)
    if parts is not None:
        tl.store(parts + tl.program_id(1).to(tl.int64) * n + cols, sums, mask=cols < n)
    else:
        if ACCUMULATE:
            sums += tl.load(db + cols, mask=cols < n, other=0.0)
        tl.store(db + cols, sums, mask=cols < n)
        if norms is not None:
            store_norm(sums, cols < n, norms, first + tl.program_id(0))


@triton.jit
def finish_norm(norms, partials, n, BLOCK: tl.constexpr):
    """partials = [sum of the n sums of squares, 1 where a flag is up]; one program."""
    squares, flags = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    for start in range(0, n, BLOCK):
        at = tl.arange(0, BLOCK).to(tl.int64) + start
        squares += tl.load(norms + 2 * at, mask=at < n, other=0.0)
        flags = tl.maximum(flags, tl.load(norms + (2 * at + 1), mask=at < n, other=0.0))
    tl.store(partials, tl.sum(squares, 0))
    tl.store(partials + 1, tl.max(flags, 0))
