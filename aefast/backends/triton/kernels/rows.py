"""Rows of the data set on their way in, dense and sparse. Scaling by shift and scale is done in float64, as everywhere."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def gather(
    data, index, shift, scale, factor, out, batch, d, data_row, data_col, out_row, out_col,
    BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """out = (data[index] - shift) * scale in float64, or data[index] * factor in float32."""
    across = tl.cdiv(d, BLOCK_D)
    rows = (tl.program_id(0) // across).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = (tl.program_id(0) % across).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    inside = (rows[:, None] < batch) & (cols[None, :] < d)
    source = tl.load(index + rows, mask=rows < batch, other=0)
    x = tl.load(data + source[:, None] * data_row + cols[None, :] * data_col, mask=inside, other=0)
    if shift is not None:
        low = tl.load(shift + cols, mask=cols < d, other=0.0)[None, :]
        by = tl.load(scale + cols, mask=cols < d, other=0.0)[None, :]
        value = ((x.to(tl.float64) - low) * by).to(tl.float32)
    else:
        value = x.to(tl.float32) * tl.load(factor).to(tl.float32)
    tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, value, mask=inside)


@triton.jit
def spread_zeros(shift, scale, out, batch, d, out_row, out_col, BLOCK_B: tl.constexpr, BLOCK_D: tl.constexpr):
    """out = what an element becomes that isn't stored: (0 - shift) * scale, or 0."""
    across = tl.cdiv(d, BLOCK_D)
    rows = (tl.program_id(0) // across).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = (tl.program_id(0) % across).to(tl.int64) * BLOCK_D + tl.arange(0, BLOCK_D)
    value = tl.zeros((BLOCK_B, BLOCK_D), tl.float32)
    if shift is not None:
        low = tl.load(shift + cols, mask=cols < d, other=0.0)
        by = tl.load(scale + cols, mask=cols < d, other=0.0)
        value += ((0.0 - low) * by).to(tl.float32)[None, :]
    inside = (rows[:, None] < batch) & (cols[None, :] < d)
    tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, value, mask=inside)


@triton.jit
def spread_values(
    values, indices, indptr, index, shift, scale, factor, out, d, out_row, out_col, BLOCK: tl.constexpr
):
    """The stored elements of one row of CSR, scaled, each into its column; a kernel of its own behind the zeros."""
    row = tl.program_id(0).to(tl.int64)
    source = tl.load(index + row)
    first, last = tl.load(indptr + source).to(tl.int64), tl.load(indptr + source + 1).to(tl.int64)
    for start in range(first, last, BLOCK):
        at = tl.arange(0, BLOCK).to(tl.int64) + start
        col = tl.load(indices + at, mask=at < last, other=0).to(tl.int64)
        inside = (at < last) & (col >= 0) & (col < d)
        x = tl.load(values + at, mask=inside, other=0)
        if shift is not None:
            low = tl.load(shift + col, mask=inside, other=0.0)
            by = tl.load(scale + col, mask=inside, other=0.0)
            value = ((x.to(tl.float64) - low) * by).to(tl.float32)
        else:
            value = x.to(tl.float32) * tl.load(factor).to(tl.float32)
        tl.store(out + row * out_row + col * out_col, value, mask=inside)
