"""Convolutions as products whose left operand is read where it lies: nothing is unrolled into a matrix.

A product goes from one side, the source, to the other. A row of it is a cell: one destination pixel of one image; a column is
a destination channel; k runs over the taps and, within a tap, over the source channels of a group. On each axis cell c with
tap t reads source pixel c * step + first + t * spacing, and writes destination pixel origin + c * dest_step; the weight's own
place is k_first + t * k_step (`walks.py` has the tables). A transposed product of stride s is s phases an axis, a launch each.
Places within an image are 32-bit, offsets in memory 64-bit.
"""

from __future__ import annotations

import triton
import triton.language as tl

from aefast.backends.triton.kernels.formulas import activate, lose, slope
from aefast.backends.triton.kernels.matmul import bfloat16_bits, multiply_add, tile
from aefast.backends.triton.kernels.wgrad import store_norm


@triton.jit
def cells_of(rows, tall, wide):
    """(image, y, x) of those cells; image as int64, the others as int32."""
    area = tl.cast(tall, tl.int64) * wide
    place = (rows % area).to(tl.int32)
    return rows // area, place // wide, place % wide


@triton.jit
def source_places(
    y, x, ty, tx, source_tall, source_wide, step_y, first_y, spacing_y, step_x, first_x, spacing_x
):
    """(pixel, inside): where cells (y, x) read with taps (ty, tx), broadcast against each other."""
    sy = y * step_y + first_y + ty * spacing_y
    sx = x * step_x + first_x + tx * spacing_x
    inside = (sy >= 0) & (sy < source_tall) & (sx >= 0) & (sx < source_wide)
    return sy * source_wide + sx, inside


@triton.jit
def convolve(
    source, w, rows, cols, group, cells, width, tall, wide, taps_y, taps_x, depth, channels,
    source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
    step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide,
    source_row, w_group, w_dest, w_tap, w_source,
    GROUPED: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Sums [rows, cols] in float32; `depth` source channels of a group, `channels` of all. GROUPED: columns are the channels
    of all groups, `width` of each, and each is multiplied with its own group's numbers.
    """
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    image, y, x = cells_of(rows, tall, wide)
    base = source + image * source_row
    counted = rows < cells
    if GROUPED:
        own = (cols // width).to(tl.int32)
        weights = w + own.to(tl.int64) * w_group + (cols % width) * w_dest
        present = cols < tl.cast(channels // depth, tl.int64) * width
        for k in range(taps_y * taps_x * depth):
            tap, q = k // depth, k % depth
            ty, tx = tap // taps_x, tap % taps_x
            pixel, inside = source_places(
                y, x, ty, tx, source_tall, source_wide, step_y, first_y, spacing_y, step_x, first_x, spacing_x
            )
            at = (pixel * channels)[:, None] + (own * depth + q)[None, :]
            mask = (counted & inside)[:, None] & present[None, :]
            left = tl.load(base[:, None] + at.to(tl.int64), mask=mask, other=0.0)
            place = (ky_first + ty * ky_step) * kernel_wide + kx_first + tx * kx_step
            offset = tl.cast(place, tl.int64) * w_tap + tl.cast(q, tl.int64) * w_source
            right = tl.load(weights + offset, mask=present, other=0.0)
            if PRECISION == "bf16" or PRECISION == "bf16_emulated":
                left, right = bfloat16_bits(left), bfloat16_bits(right)
            total += left * right[None, :]
    else:
        weights = w + group.to(tl.int64) * w_group + cols * w_dest
        first_channel = group * depth
        for start in range(0, taps_y * taps_x * depth, BLOCK_K):
            ks = tl.arange(0, BLOCK_K) + start
            known = ks < taps_y * taps_x * depth
            tap, q = ks // depth, ks % depth
            ty, tx = tap // taps_x, tap % taps_x
            pixel, inside = source_places(
                y[:, None], x[:, None], ty[None, :], tx[None, :],
                source_tall, source_wide, step_y, first_y, spacing_y, step_x, first_x, spacing_x,
            )  # fmt: skip
            at = pixel * channels + (first_channel + q)[None, :]
            mask = counted[:, None] & inside & known[None, :]
            left = tl.load(base[:, None] + at.to(tl.int64), mask=mask, other=0.0)
            place = (ky_first + ty * ky_step) * kernel_wide + kx_first + tx * kx_step
            offset = place.to(tl.int64) * w_tap + q.to(tl.int64) * w_source
            mask = known[:, None] & (cols < width)[None, :]
            right = tl.load(weights[None, :] + offset[:, None], mask=mask, other=0.0)
            total = multiply_add(left, right, total, PRECISION)
    return total


@triton.jit
def destination(
    rows,
    cols,
    group,
    width,
    tall,
    wide,
    dest_wide,
    dest_channels,
    origin_y,
    dest_step_y,
    origin_x,
    dest_step_x,
):
    """(image, pixel, feature): of each row, of each row, and of each element."""
    image, y, x = cells_of(rows, tall, wide)
    pixel = (origin_y + y * dest_step_y) * dest_wide + origin_x + x * dest_step_x
    channel = group.to(tl.int64) * width + cols
    return image, pixel, pixel.to(tl.int64)[:, None] * dest_channels + channel[None, :]


@triton.jit
def conv_act(
    source, w, b, out, pre, cells, width, tall, wide, taps_y, taps_x, depth, channels,
    source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
    step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide,
    dest_wide, dest_channels, origin_y, dest_step_y, origin_x, dest_step_x,
    source_row, w_group, w_dest, w_tap, w_source, out_row, pre_row,
    ACT: tl.constexpr, GROUPED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = act(product + b), pre = product + b where it is given; the bias is a destination channel's."""
    group = tl.program_id(1)
    columns = dest_channels if GROUPED else width
    rows, cols, _ = tile(cells, columns, BLOCK_M, BLOCK_N)
    z = convolve(
        source, w, rows, cols, group, cells, width, tall, wide, taps_y, taps_x, depth, channels,
        source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
        step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide, source_row, w_group, w_dest, w_tap, w_source,
        GROUPED, BLOCK_M, BLOCK_N, BLOCK_K, PRECISION,
    )  # fmt: skip
    image, _, feature = destination(
        rows,
        cols,
        group,
        width,
        tall,
        wide,
        dest_wide,
        dest_channels,
        origin_y,
        dest_step_y,
        origin_x,
        dest_step_x,
    )
    z += tl.load(b + group.to(tl.int64) * width + cols, mask=cols < columns, other=0.0)[None, :]
    inside = (rows < cells)[:, None] & (cols < columns)[None, :]
    if pre is not None:
        tl.store(pre + (image * pre_row)[:, None] + feature, z, mask=inside)
    tl.store(out + (image * out_row)[:, None] + feature, activate(z, ACT), mask=inside)


@triton.jit
def conv_loss(
    source, w, b, target, batch_scale, feature_weight, shares, delta, scale,
    cells, width, tall, wide, taps_y, taps_x, depth, channels,
    source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
    step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide,
    dest_wide, dest_channels, origin_y, dest_step_y, origin_x, dest_step_x,
    source_row, w_group, w_dest, w_tap, w_source, target_row, delta_row, pixels, batch,
    ACT: tl.constexpr, LOSS: tl.constexpr, GROUPED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """shares (tiles across, B, destination pixels): each tile's part of a pixel's loss; delta where it is given."""
    group = tl.program_id(1)
    columns = dest_channels if GROUPED else width
    rows, cols, place = tile(cells, columns, BLOCK_M, BLOCK_N)
    z = convolve(
        source, w, rows, cols, group, cells, width, tall, wide, taps_y, taps_x, depth, channels,
        source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
        step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide, source_row, w_group, w_dest, w_tap, w_source,
        GROUPED, BLOCK_M, BLOCK_N, BLOCK_K, PRECISION,
    )  # fmt: skip
    image, pixel, feature = destination(
        rows,
        cols,
        group,
        width,
        tall,
        wide,
        dest_wide,
        dest_channels,
        origin_y,
        dest_step_y,
        origin_x,
        dest_step_x,
    )
    z += tl.load(b + group.to(tl.int64) * width + cols, mask=cols < columns, other=0.0)[None, :]
    inside = (rows < cells)[:, None] & (cols < columns)[None, :]
    t = tl.load(target + (image * target_row)[:, None] + feature, mask=inside, other=0.0)
    value, by_z = lose(z, t, ACT, LOSS)
    if feature_weight is not None:
        f = tl.load(feature_weight + feature, mask=inside, other=0.0)
        value, by_z = value * f, by_z * f
    across = (group * tl.cdiv(columns, BLOCK_N) + place).to(tl.int64)
    share = shares + ((across * batch + image) * pixels + pixel.to(tl.int64))
    tl.store(share, tl.sum(tl.where(inside, value, 0.0), 1), mask=rows < cells)
    if delta is not None:
        factor = tl.load(batch_scale + image, mask=rows < cells, other=0.0) * tl.load(scale).to(tl.float32)
        tl.store(delta + (image * delta_row)[:, None] + feature, by_z * factor[:, None], mask=inside)


@triton.jit
def conv_dgrad(
    source, w, saved, extra, out, cells, width, tall, wide, taps_y, taps_x, depth, channels,
    source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
    step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide,
    dest_wide, dest_channels, origin_y, dest_step_y, origin_x, dest_step_x,
    source_row, w_group, w_dest, w_tap, w_source, saved_row, extra_row, out_row,
    ACT: tl.constexpr, GROUPED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """out = (product + extra) * act'(saved); the last two where they are given."""
    group = tl.program_id(1)
    columns = dest_channels if GROUPED else width
    rows, cols, _ = tile(cells, columns, BLOCK_M, BLOCK_N)
    dh = convolve(
        source, w, rows, cols, group, cells, width, tall, wide, taps_y, taps_x, depth, channels,
        source_tall, source_wide, step_y, first_y, spacing_y, ky_first, ky_step,
        step_x, first_x, spacing_x, kx_first, kx_step, kernel_wide, source_row, w_group, w_dest, w_tap, w_source,
        GROUPED, BLOCK_M, BLOCK_N, BLOCK_K, PRECISION,
    )  # fmt: skip
    image, _, feature = destination(
        rows,
        cols,
        group,
        width,
        tall,
        wide,
        dest_wide,
        dest_channels,
        origin_y,
        dest_step_y,
        origin_x,
        dest_step_x,
    )
    inside = (rows < cells)[:, None] & (cols < columns)[None, :]
    if extra is not None:
        dh += tl.load(extra + (image * extra_row)[:, None] + feature, mask=inside, other=0.0)
    if saved is not None:
        dh = dh * slope(tl.load(saved + (image * saved_row)[:, None] + feature, mask=inside, other=0.0), ACT)
    tl.store(out + (image * out_row)[:, None] + feature, dh, mask=inside)


@triton.jit
def image_losses(shares, row_loss, batch, pixels, across, BLOCK: tl.constexpr):
    """row_loss = the sum of an image's shares, tile by tile; a program each."""
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros((BLOCK,), tl.float32)
    for place in range(across):
        begin = shares + (tl.cast(place, tl.int64) * batch + row) * pixels
        for start in range(0, pixels, BLOCK):
            at = tl.arange(0, BLOCK).to(tl.int64) + start
            total += tl.load(begin + at, mask=at < pixels, other=0.0)
    tl.store(row_loss + row, tl.sum(total, 0))


@triton.jit
def conv_wgrad(
    map_, image, dw, parts, norms, m, n, cells, chunk, tall, wide, map_channels, taps_x, depth, channels,
    source_tall, source_wide, step_y, first_y, spacing_y, step_x, first_x, spacing_x,
    map_row, image_row, dw_row, dw_col,
    ACCUMULATE: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dw (groups m, n): rows are map channels, columns taps and image channels of a group, k runs over the map's pixels. With
    `parts` (splits, groups m, n) each program's share: of `chunk` pixels of the batch.
    """
    rows, cols, _ = tile(m, n, BLOCK_M, BLOCK_N)
    split, group = tl.program_id(1).to(tl.int64), tl.program_id(2)
    first = split * chunk
    last = tl.minimum(first + chunk, cells)
    columns = cols.to(tl.int32)
    tap, q = columns // depth, columns % depth
    ty, tx = tap // taps_x, tap % taps_x
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    left_of = map_ + group.to(tl.int64) * m + rows
    for start in range(0, chunk, BLOCK_K):
        ks = tl.arange(0, BLOCK_K).to(tl.int64) + first + start
        known = ks < last
        b, y, x = cells_of(ks, tall, wide)
        at = b * map_row + (y * wide + x).to(tl.int64) * map_channels
        left = tl.load(left_of[:, None] + at[None, :], mask=(rows < m)[:, None] & known[None, :], other=0.0)
        pixel, inside = source_places(
            y[:, None], x[:, None], ty[None, :], tx[None, :],
            source_tall, source_wide, step_y, first_y, spacing_y, step_x, first_x, spacing_x,
        )  # fmt: skip
        offset = (pixel * channels + (group * depth + q)[None, :]).to(tl.int64)
        mask = known[:, None] & inside & (cols < n)[None, :]
        right = tl.load(image + (b * image_row)[:, None] + offset, mask=mask, other=0.0)
        total = multiply_add(left, right, total, PRECISION)
    inside = (rows[:, None] < m) & (cols[None, :] < n)
    down = group.to(tl.int64) * m + rows
    if parts is not None:
        size = tl.num_programs(2).to(tl.int64) * m * n
        tl.store(parts + split * size + down[:, None] * n + cols[None, :], total, mask=inside)
    else:
        where = dw + down[:, None] * dw_row + cols[None, :] * dw_col
        if ACCUMULATE:
            total += tl.load(where, mask=inside, other=0.0)
        tl.store(where, total, mask=inside)
        if norms is not None:
            store_norm(total, inside, norms, group * tl.num_programs(0) + tl.program_id(0))
