"""The ops of images and maps: convolutions as products, pools, upsampling, the order of channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aefast.backends.triton.kernels import conv, images, wgrad
from aefast.backends.triton.launch import (
    CONV_TILE,
    CONV_WGRAD_TILE,
    FEATURES,
    FLAT,
    TURNED,
    conv_splits_for,
    launch,
    launch_tiled,
    programs,
)
from aefast.backends.triton.memory import Array, steps
from aefast.backends.triton.products import Products
from aefast.backends.triton.walks import Product, product_of
from aefast.geometry import Geometry

FEW = 4  # channels of a group, at most, whose products are made for all groups together


class Convolutions(Products):
    """See `aefast/ops` for the arguments and `backends/numpy/conv.py` and `images.py` for the definitions."""

    def conv2d_act(
        self, x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
    ) -> None:
        """out = act(conv(x, w) + b); pre = conv(x, w) + b."""
        self._conv_act(x, w, b, act, out, pre, geometry, to_map=True)

    def conv_transpose2d_act(
        self, x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
    ) -> None:
        """out = act(transposed conv(x, w) + b); pre = transposed conv(x, w) + b."""
        self._conv_act(x, w, b, act, out, pre, geometry, to_map=False)

    def conv2d_loss_grad(
        self,
        h: Array,
        w: Array,
        b: Array,
        act: int,
        loss: int,
        target: Array,
        batch_scale: Array,
        scale: float,
        feature_weight: Array | None,
        row_loss: Array,
        delta: Array,
        geometry: Geometry,
    ) -> None:
        """As `linear_loss_grad`, with z = conv(h, w) + b."""
        factor = self.memory.numbers(scale)
        arrays = target, batch_scale, factor, feature_weight, row_loss, delta
        self._conv_loss(h, w, b, act, loss, *arrays, geometry, to_map=True)

    def conv_transpose2d_loss_grad(
        self,
        h: Array,
        w: Array,
        b: Array,
        act: int,
        loss: int,
        target: Array,
        batch_scale: Array,
        scale: float,
        feature_weight: Array | None,
        row_loss: Array,
        delta: Array,
        geometry: Geometry,
    ) -> None:
        """As `linear_loss_grad`, with z = transposed conv(h, w) + b."""
        factor = self.memory.numbers(scale)
        arrays = target, batch_scale, factor, feature_weight, row_loss, delta
        self._conv_loss(h, w, b, act, loss, *arrays, geometry, to_map=False)

    def conv2d_loss(
        self,
        h: Array,
        w: Array,
        b: Array,
        act: int,
        loss: int,
        target: Array,
        feature_weight: Array | None,
        row_loss: Array,
        geometry: Geometry,
    ) -> None:
        """As `linear_loss`, with z = conv(h, w) + b."""
        arrays = target, None, None, feature_weight, row_loss, None
        self._conv_loss(h, w, b, act, loss, *arrays, geometry, to_map=True)

    def conv_transpose2d_loss(
        self,
        h: Array,
        w: Array,
        b: Array,
        act: int,
        loss: int,
        target: Array,
        feature_weight: Array | None,
        row_loss: Array,
        geometry: Geometry,
    ) -> None:
        """As `linear_loss`, with z = transposed conv(h, w) + b."""
        arrays = target, None, None, feature_weight, row_loss, None
        self._conv_loss(h, w, b, act, loss, *arrays, geometry, to_map=False)

    def conv2d_dgrad(
        self,
        delta: Array,
        w: Array,
        act: int,
        saved: Array | None,
        extra: Array | None,
        out: Array,
        geometry: Geometry,
    ) -> None:
        """out = (transposed conv(delta, w) + extra) * act'(saved)."""
        self._conv_dgrad(delta, w, act, saved, extra, out, geometry, to_map=False)

    def conv_transpose2d_dgrad(
        self,
        delta: Array,
        w: Array,
        act: int,
        saved: Array | None,
        extra: Array | None,
        out: Array,
        geometry: Geometry,
    ) -> None:
        """out = (conv(delta, w) + extra) * act'(saved)."""
        self._conv_dgrad(delta, w, act, saved, extra, out, geometry, to_map=True)

    def conv2d_wgrad(
        self,
        delta: Array,
        a: Array,
        dw: Array,
        accumulate: bool,
        partials: Array | None,
        geometry: Geometry,
    ) -> None:
        """dw[n, i, j, c] = sum of delta[y, x, n] a[y stride_y + i dilation_y - pad_top, ..., c]."""
        self._conv_wgrad(delta, a, dw, accumulate, partials, geometry)

    def conv_transpose2d_wgrad(
        self,
        delta: Array,
        a: Array,
        dw: Array,
        accumulate: bool,
        partials: Array | None,
        geometry: Geometry,
    ) -> None:
        """dw[n, i, j, c] = sum of a[y, x, n] delta[y stride_y + i dilation_y - pad_top, ..., c]."""
        self._conv_wgrad(a, delta, dw, accumulate, partials, geometry)

    def _conv_act(
        self,
        x: Array,
        w: Array,
        b: Array,
        act: int,
        out: Array,
        pre: Array | None,
        g: Geometry,
        to_map: bool,
    ) -> None:
        rows = steps(out)[0], steps(pre)[0]
        for grid, numbers, constants in _launches(x, w, g, to_map):
            arrays = x, w, b, out, pre
            constants |= {"ACT": act}
            launch_tiled(
                conv.conv_act, CONV_TILE, grid, arrays, (*numbers, *rows), self.precision, **constants
            )

    def _conv_loss(
        self,
        h: Array,
        w: Array,
        b: Array,
        act: int,
        loss: int,
        target: Array,
        batch_scale: Array | None,
        factor: Array | None,
        feature_weight: Array | None,
        row_loss: Array,
        delta: Array | None,
        g: Geometry,
        to_map: bool,
    ) -> None:
        product, batch = product_of(g, to_map), len(h)
        groups, columns = _columns(product)
        across, pixels = groups * programs((columns, CONV_TILE.block_n)), product.dest_pixels
        shares = self.memory.room("loss shares", across * batch * pixels, np.float32)
        arrays = h, w, b, target, batch_scale, feature_weight, shares, delta, factor
        rest = steps(target)[0], steps(delta)[0], pixels, batch
        for grid, numbers, constants in _launches(h, w, g, to_map):
            constants |= {"ACT": act, "LOSS": loss}
            launch_tiled(
                conv.conv_loss, CONV_TILE, grid, arrays, (*numbers, *rest), self.precision, **constants
            )
        launch(conv.image_losses, (batch,), (shares, row_loss), (batch, pixels, across), BLOCK=FLAT)

    def _conv_dgrad(
        self,
        delta: Array,
        w: Array,
        act: int,
        saved: Array | None,
        extra: Array | None,
        out: Array,
        g: Geometry,
        to_map: bool,
    ) -> None:
        rows = steps(saved)[0], steps(extra)[0], steps(out)[0]
        arrays = delta, w, saved, extra, out
        for grid, numbers, constants in _launches(delta, w, g, to_map):
            constants |= {"ACT": act}
            launch_tiled(
                conv.conv_dgrad, CONV_TILE, grid, arrays, (*numbers, *rows), self.precision, **constants
            )

    def _conv_wgrad(
        self, map_: Array, image: Array, dw: Array, accumulate: bool, partials: Array | None, g: Geometry
    ) -> None:
        product = product_of(g, to_map=True)
        ((y, x),) = product.phases
        m, n = product.width, dw.shape[1]
        cells = len(map_) * y.cells * x.cells
        tile, groups = CONV_WGRAD_TILE, product.groups
        splits, chunk = conv_splits_for(tile, m, n, groups, cells)
        size = groups * m * n
        writers = tile.cover(m, n) * groups if splits == 1 else programs((size, FLAT))
        norms = None if partials is None else self.memory.room("norms", 2 * writers, np.float64)
        parts = None if splits == 1 else self.memory.room("gradient parts", splits * size, np.float32)
        launch_tiled(
            conv.conv_wgrad,
            tile,
            (tile.cover(m, n), splits, groups),
            (map_, image, dw, parts, norms),
            (m, n, cells, chunk, y.cells, x.cells, product.dest_channels, x.taps, product.depth, product.source_channels,
             y.source, x.source, y.step, y.first, y.spacing, x.step, x.first, x.spacing,
             steps(map_)[0], steps(image)[0], *steps(dw)),
            self.precision,
            ACCUMULATE=bool(accumulate),
        )  # fmt: skip
        if parts is not None:
            numbers = (groups * m, n, splits, *steps(dw), 0)
            constants = {"ACCUMULATE": bool(accumulate), "BLOCK": FLAT}
            launch(wgrad.add_parts, (writers,), (parts, dw, norms), numbers, **constants)
        if norms is not None:
            self._finish(norms, partials, writers)

    def pool2d(self, x: Array, kind: int, out: Array, geometry: Geometry) -> None:
        """out = each window's largest pixel, or the average of those inside the image; a NaN in it makes it NaN."""
        grid = (len(x) * programs((geometry.map_size, FEATURES)),)
        numbers = (*_windows(geometry), steps(x)[0], steps(out)[0])
        launch(images.pool, grid, (x, out), numbers, KIND=kind, BLOCK=FEATURES)

    def pool2d_dgrad(
        self,
        delta: Array,
        x: Array,
        kind: int,
        act: int,
        saved: Array | None,
        extra: Array | None,
        out: Array,
        geometry: Geometry,
    ) -> None:
        """out = (unpooled + extra) * act'(saved); a window's delta goes to its first maximum (of x), or in equal parts."""
        grid = (len(x) * programs((geometry.image_size, FEATURES)),)
        arrays = delta, x, saved, extra, out
        rows = (steps(array)[0] for array in arrays)
        numbers = (*_windows(geometry), *rows)
        launch(images.pool_dgrad, grid, arrays, numbers, KIND=kind, ACT=act, BLOCK=FEATURES)

    def upsample2d(self, x: Array, out: Array, geometry: Geometry) -> None:
        """out[y, x] = x[y // stride_y, x // stride_x]."""
        g = geometry
        grid = (len(x) * programs((g.image_size, FEATURES)),)
        sizes = g.height, g.width, g.out_width, g.channels, g.stride_y, g.stride_x
        launch(images.upsample, grid, (x, out), (*sizes, steps(x)[0], steps(out)[0]), BLOCK=FEATURES)

    def upsample2d_dgrad(
        self,
        delta: Array,
        act: int,
        saved: Array | None,
        extra: Array | None,
        out: Array,
        geometry: Geometry,
    ) -> None:
        """out = (sums of delta over each pixel's block + extra) * act'(saved)."""
        g, arrays = geometry, (delta, saved, extra, out)
        grid = (len(delta) * programs((g.map_size, FEATURES)),)
        sizes = g.width, g.out_height, g.out_width, g.channels, g.stride_y, g.stride_x
        numbers = (*sizes, *(steps(array)[0] for array in arrays))
        launch(images.upsample_dgrad, grid, arrays, numbers, ACT=act, BLOCK=FEATURES)

    def transpose_rows(self, x: Array, n: int, out: Array) -> None:
        """out = each row, as a matrix (n, cols / n), transposed."""
        m = x.shape[1] // n
        grid = (len(x) * programs((n, TURNED), (m, TURNED)),)
        numbers = n, m, steps(x)[0], steps(out)[0]
        launch(images.transpose_rows, grid, (x, out), numbers, BLOCK_N=TURNED, BLOCK_M=TURNED)


def _columns(product: Product) -> tuple[int, int]:
    """(programs' groups, columns of each): narrow groups are taken together."""
    if product.groups > 1 and product.width <= FEW:
        return 1, product.dest_channels
    return product.groups, product.width


def _launches(
    source: Array, w: Array, g: Geometry, to_map: bool
) -> Iterator[tuple[tuple[int, int], tuple[int, ...], dict[str, Any]]]:
    """The grid, the numbers and the constants of each phase's launch, in the order in which the kernels take them."""
    product = product_of(g, to_map)
    groups, columns = _columns(product)
    w_row, w_col = steps(w)
    channels = g.channels // g.groups  # of a group, in the weight
    w_group = g.out_channels // g.groups * w_row
    w_dest, w_source = (w_row, w_col) if to_map else (w_col, w_row)
    for y, x in product.phases:
        cells = len(source) * y.cells * x.cells
        numbers = (
            cells, product.width, y.cells, x.cells, y.taps, x.taps, product.depth, product.source_channels,
            y.source, x.source, y.step, y.first, y.spacing, y.k_first, y.k_step,
            x.step, x.first, x.spacing, x.k_first, x.k_step, g.kernel_width,
            product.dest_wide, product.dest_channels, y.origin, y.dest_step, x.origin, x.dest_step,
            steps(source)[0], w_group, w_dest, channels * w_col, w_source,
        )  # fmt: skip
        yield (CONV_TILE.cover(cells, columns), groups), numbers, {"GROUPED": groups < product.groups}


def _windows(g: Geometry) -> tuple[int, ...]:
    return (
        g.height, g.width, g.out_height, g.out_width, g.channels, g.kernel_height, g.kernel_width,
        g.stride_y, g.stride_x, g.dilation_y, g.dilation_x, g.pad_top, g.pad_left,
    )  # fmt: skip
