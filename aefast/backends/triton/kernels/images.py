"""What images need beside convolutions: pools, nearest upsampling and the order of channels. Rows are flat, channels last.

A program takes a block of one row's features. Windows are walked tap by tap, in the weight's order.
"""

from __future__ import annotations

import triton
import triton.language as tl

from aefast.backends.triton.kernels.formulas import slope
from aefast.layers import POOLS

MAX = tl.constexpr(POOLS.index("max"))


@triton.jit
def features(size, wide, channels, BLOCK: tl.constexpr):
    """(row, feature, y, x, channel, inside) of this program's features; a row has `size`."""
    across = tl.cdiv(size, BLOCK)
    row = (tl.program_id(0) // across).to(tl.int64)
    at = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    pixel = at // channels
    return row, at, pixel // wide, pixel % wide, at % channels, at < size


@triton.jit
def finished(value, saved, extra, row, at, inside, saved_row, extra_row, ACT: tl.constexpr):
    """(value + extra) * act'(saved); the last two where they are given."""
    if extra is not None:
        value += tl.load(extra + row * extra_row + at.to(tl.int64), mask=inside, other=0.0)
    if saved is not None:
        s = tl.load(saved + row * saved_row + at.to(tl.int64), mask=inside, other=0.0)
        value = value * slope(s, ACT)
    return value


@triton.jit
def pixel_at(window, tap, stride, dilation, pad, size):
    """(pixel, inside) of a window's tap on one axis."""
    place = window * stride + tap * dilation - pad
    return place, (place >= 0) & (place < size)


@triton.jit
def window_at(pixel, tap, stride, dilation, pad, size):
    """(window, inside): the one whose tap that pixel is, on one axis."""
    shifted = pixel + pad - tap * dilation
    window = shifted // stride
    return window, (shifted >= 0) & (window * stride == shifted) & (window < size)


@triton.jit
def pool(
    x, out, tall, wide, out_tall, out_wide, channels, kernel_tall, kernel_wide,
    stride_y, stride_x, dilation_y, dilation_x, pad_y, pad_x, x_row, out_row, KIND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = each window's largest pixel, or the average of those inside the image; NaN wins."""
    row, at, oy, ox, c, inside = features(out_tall * out_wide * channels, out_wide, channels, BLOCK)
    total, count = tl.zeros((BLOCK,), tl.float32), tl.zeros((BLOCK,), tl.float32)
    top = tl.full((BLOCK,), float("-inf"), tl.float32)
    for i in range(kernel_tall):
        y, y_in = pixel_at(oy, i, stride_y, dilation_y, pad_y, tall)
        for j in range(kernel_wide):
            px, x_in = pixel_at(ox, j, stride_x, dilation_x, pad_x, wide)
            met = inside & y_in & x_in
            value = tl.load(
                x + row * x_row + ((y * wide + px) * channels + c).to(tl.int64), mask=met, other=0.0
            )
            total += value
            count += tl.where(met, 1.0, 0.0)
            top = tl.where(met & ((value > top) | (value != value)), value, top)
    if KIND == MAX:
        result = top
    else:
        result = tl.math.div_rn(total, count)
    tl.store(out + row * out_row + at.to(tl.int64), result, mask=inside)


@triton.jit
def pool_dgrad(
    delta, x, saved, extra, out, tall, wide, out_tall, out_wide, channels, kernel_tall, kernel_wide,
    stride_y, stride_x, dilation_y, dilation_x, pad_y, pad_x, delta_row, x_row, saved_row, extra_row, out_row,
    KIND: tl.constexpr, ACT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = (unpooled + extra) * act'(saved): a window's delta goes to its first maximum, or in equal parts."""
    row, at, y, px, c, inside = features(tall * wide * channels, wide, channels, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(kernel_tall):
        wy, y_in = window_at(y, i, stride_y, dilation_y, pad_y, out_tall)
        for j in range(kernel_wide):
            wx, x_in = window_at(px, j, stride_x, dilation_x, pad_x, out_wide)
            seen = inside & y_in & x_in
            # The window once more: how many pixels it has, and which of them is the largest.
            count, first = tl.zeros((BLOCK,), tl.float32), tl.full((BLOCK,), -1, tl.int32)
            top = tl.full((BLOCK,), float("-inf"), tl.float32)
            for k in range(kernel_tall):
                qy, qy_in = pixel_at(wy, k, stride_y, dilation_y, pad_y, tall)
                for m in range(kernel_wide):
                    qx, qx_in = pixel_at(wx, m, stride_x, dilation_x, pad_x, wide)
                    met = seen & qy_in & qx_in
                    if KIND == MAX:
                        place = ((qy * wide + qx) * channels + c).to(tl.int64)
                        value = tl.load(x + row * x_row + place, mask=met, other=0.0)
                        better = (first < 0) | (value > top) | ((value != value) & (top == top))
                        first = tl.where(met & better, k * kernel_wide + m, first)
                        top = tl.where(met & better, value, top)
                    else:
                        count += tl.where(met, 1.0, 0.0)
            place = ((wy * out_wide + wx) * channels + c).to(tl.int64)
            d = tl.load(delta + row * delta_row + place, mask=seen, other=0.0)
            if KIND == MAX:
                total += tl.where(first == i * kernel_wide + j, d, 0.0)
            else:
                total += tl.where(seen, tl.math.div_rn(d, count), 0.0)
    value = finished(total, saved, extra, row, at, inside, saved_row, extra_row, ACT)
    tl.store(out + row * out_row + at.to(tl.int64), value, mask=inside)


@triton.jit
def upsample(x, out, tall, wide, out_wide, channels, stride_y, stride_x, x_row, out_row, BLOCK: tl.constexpr):
    """out[y, x] = x[y // stride_y, x // stride_x]; the image is (tall, wide), a row of the map has out_wide pixels."""
    row, at, y, px, c, inside = features(tall * wide * channels, wide, channels, BLOCK)
    place = ((y // stride_y * out_wide + px // stride_x) * channels + c).to(tl.int64)
    value = tl.load(x + row * x_row + place, mask=inside, other=0.0)
    tl.store(out + row * out_row + at.to(tl.int64), value, mask=inside)


@triton.jit
def upsample_dgrad(
    delta, saved, extra, out, wide, out_tall, out_wide, channels, stride_y, stride_x,
    delta_row, saved_row, extra_row, out_row, ACT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out = (sums of delta over each pixel's block + extra) * act'(saved)."""
    row, at, oy, ox, c, inside = features(out_tall * out_wide * channels, out_wide, channels, BLOCK)
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(stride_y):
        for j in range(stride_x):
            place = (((oy * stride_y + i) * wide + ox * stride_x + j) * channels + c).to(tl.int64)
            total += tl.load(delta + row * delta_row + place, mask=inside, other=0.0)
    value = finished(total, saved, extra, row, at, inside, saved_row, extra_row, ACT)
    tl.store(out + row * out_row + at.to(tl.int64), value, mask=inside)


@triton.jit
def transpose_rows(x, out, n, m, x_row, out_row, BLOCK_N: tl.constexpr, BLOCK_M: tl.constexpr):
    """out = each row, a matrix (n, m), transposed."""
    across = tl.cdiv(m, BLOCK_M)
    tiles = tl.cdiv(n, BLOCK_N) * across
    row, place = (tl.program_id(0) // tiles).to(tl.int64), tl.program_id(0) % tiles
    down = (place // across).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    right = (place % across).to(tl.int64) * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = (down < n)[:, None] & (right < m)[None, :]
    value = tl.load(x + row * x_row + down[:, None] * m + right[None, :], mask=inside, other=0.0)
    tl.store(out + row * out_row + right[None, :] * n + down[:, None], value, mask=inside)
