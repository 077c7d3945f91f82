"""Layers in JAX: dense weights (M, N), the order in which XLA's CPU dot is fastest; images NHWC, kernels HWIO."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bench import nets
from bench.products import Dense, Product


def shape_of(net: nets.AnyNet) -> tuple[int, ...]:
    """Of a row of the data."""
    first = net.products[0]
    if isinstance(first, Dense):
        return (net.n_features,)
    g = first.geometry
    return g.height, g.width, g.channels


def forward(product: Product, x: Any, w: Any, b: Any) -> Any:
    if isinstance(product, Dense):
        z = x.reshape(len(x), -1) @ w + b
        return z.reshape(len(x), *product.writes) if product.writes else z
    g = product.geometry
    strides = (g.stride_y, g.stride_x)
    padding = [
        _pads(product.transposed, *sides)
        for sides in (
            (g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top),
            (g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left),
        )
    ]
    z = jax.lax.conv_general_dilated(
        x,
        w,
        (1, 1) if product.transposed else strides,
        padding,
        lhs_dilation=strides if product.transposed else None,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return z + b


def _pads(transposed: bool, size: int, out: int, kernel: int, stride: int, before: int) -> tuple[int, int]:
    """Before and after, such that the map has `out` and the image `size` pixels; what is too much is cut off."""
    if not transposed:
        return before, (out - 1) * stride + kernel - before - size
    first = kernel - 1 - before
    return first, size + kernel - 2 - (out - 1) * stride - first


def to_jax(product: Product, w: Any) -> Any:
    if isinstance(product, Dense):
        return jnp.asarray(w.T.copy())
    if (
        product.transposed
    ):  # a correlation of the widened map with the mirrored kernel, from out_channels to channels
        return jnp.asarray(w[:, ::-1, ::-1].transpose(1, 2, 0, 3).copy())
    return jnp.asarray(w.transpose(1, 2, 3, 0).copy())


def from_jax(product: Product, w: Any) -> Any:
    """A weight or its gradient."""
    w = np.asarray(w)
    if isinstance(product, Dense):
        return w.T.copy()
    if product.transposed:
        return w.transpose(2, 0, 1, 3)[:, ::-1, ::-1].copy()
    return w.transpose(3, 0, 1, 2).copy()
