"""Transposed convolutions of maps on NumPy arrays: the letters, weights and layouts of `conv`, the other way round.

A map (B, Ho, Wo, N) becomes an image (B, H, W, C) of H = (Ho - 1) stride - 2 padding + dilation (kh - 1) + 1 + output_padding
pixels, all as torch.nn.ConvTranspose2d has it; w (N, kh, kw, C / groups) is `torch_weight.permute(0, 2, 3, 1)` here too. Every
function takes the arguments of the forward pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import checks
from aefast.geometry import Geometry, Pair
from aefast.ops import spatial
from aefast.ops.checks import Array, check
from aefast.ops.exchange import exchanged, is_foreign
from aefast.ops.images import read_shape
from aefast.ops.spatial import CONV_TRANSPOSE2D, Setting

Options = tuple[Pair, Pair, Pair, Pair, int]
"""stride, padding, output_padding, dilation, groups."""


def conv_transpose2d_act(
    x: Array,
    w: Array,
    b: Array,
    activation: str = "identity",
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    out: Array | None = None,
    pre: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """h (B, H, W, C) from x (B, Ho, Wo, N), w (N, kh, kw, C / groups), b (C,); `pre`, if given, gets the pre-activation.

    act(conv_transpose(x, w) + b)
    """
    if type(x) is not np.ndarray and is_foreign(x):
        return exchanged(conv_transpose2d_act, locals())
    options = stride, padding, output_padding, dilation, groups
    setting = _forward("x", x, w, options, layout, backend, compute_dtype)
    return spatial.act(setting, x, w, b, activation, out, pre)


def conv_transpose2d_loss_grad(
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str = "identity",
    loss: str = "mse",
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    reduction: str = "mean",
    sample_weight: Any = None,
    feature_weight: Any = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> tuple[float, Array]:
    """(loss, delta (B, H, W, C)) of the last layer on h (B, Ho, Wo, N); target as delta; feature_weight (H, W, C) or flat.

    r = act(conv_transpose(h, w) + b); loss = sum_i w_i sum_j f_j l(r_ij, t_ij) / sum(w), divided by the features for "mean"
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(conv_transpose2d_loss_grad, locals())
    options = stride, padding, output_padding, dilation, groups
    setting = _forward("h", h, w, options, layout, backend, compute_dtype)
    weights = sample_weight, feature_weight
    return spatial.loss_grad(setting, h, w, b, target, activation, loss, reduction, *weights, out)


def conv_transpose2d_loss(
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str = "identity",
    loss: str = "mse",
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    feature_weight: Any = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """Loss per row (B,), summed over its features; arguments as in `conv_transpose2d_loss_grad`.

    (f * l(act(conv_transpose(h, w) + b), target)).sum((1, 2, 3))
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(conv_transpose2d_loss, locals())
    options = stride, padding, output_padding, dilation, groups
    setting = _forward("h", h, w, options, layout, backend, compute_dtype)
    return spatial.row_losses(setting, h, w, b, target, activation, loss, feature_weight, out)


def conv_transpose2d_dgrad(
    delta: Array,
    w: Array,
    saved: Array | None = None,
    activation: str = "identity",
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    extra: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """delta of the layer below (B, Ho, Wo, N) from delta (B, H, W, C), w and what its forward pass saved.

    `saved` is the output, or the pre-activation for gelu and silu; `extra` is added before act'. Both (B, Ho, Wo, N).

    (conv(delta, w) + extra) * act'(saved)
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(conv_transpose2d_dgrad, locals())
    options = stride, padding, output_padding, dilation, groups
    batch, (height, width, channels) = read_shape("delta", delta, layout)
    n, *kernel, depth = check("w", w, (None, None, None, None), delta.dtype)
    # of the maps that an image this large may come from, the one whose output_padding is this
    probe = Geometry.of(
        (channels, height, width),
        n,
        kernel,
        stride=stride,
        padding=spatial.pair("padding", padding, 0),
        dilation=dilation,
        groups=groups,
    )
    extra_y, extra_x = spatial.pair("output_padding", output_padding, 0)
    size = probe.out_height - extra_y // probe.stride_y, probe.out_width - extra_x // probe.stride_x
    height_of_w, width_of_w = kernel
    geometry = _geometry((n, *size), channels, (height_of_w, width_of_w), options)
    _check_image(geometry, height, width)
    if depth * groups != channels:
        raise ValueError(
            f"delta has {channels} channels, but w makes {groups} x {depth} = {groups * depth}: its shape is "
            f"(N, kh, kw, C / groups), with groups={groups}"
        )
    setting = Setting(CONV_TRANSPOSE2D, geometry, batch, layout, backend, compute_dtype)
    return spatial.dgrad(setting, delta, w, saved, activation, extra, out)


def conv_transpose2d_wgrad(
    delta: Array,
    a: Array,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    out: tuple[Array, Array] | None = None,
    accumulate: bool = False,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> tuple[Array, Array]:
    """(dw (N, kh, kw, C / groups), db (C,)) from delta (B, H, W, C) and the layer's input a (B, Ho, Wo, N).

    `accumulate` adds to `out`.

    dw[n, i, j, c] = sum_byx a[b, y, x, n] delta[b, y stride + i dilation - pad, x stride + j dilation - pad, c]
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(conv_transpose2d_wgrad, locals())
    options = stride, padding, output_padding, dilation, groups
    batch, (rows, columns, n) = read_shape("a", a, layout)
    _, (height, width, channels) = read_shape("delta", delta, layout)
    kernel = spatial.pair("kernel_size", kernel_size)
    geometry = _geometry((n, rows, columns), channels, kernel, options)
    _check_image(geometry, height, width)
    setting = Setting(CONV_TRANSPOSE2D, geometry, batch, layout, backend, compute_dtype)
    return spatial.wgrad(setting, delta, a, out, accumulate)


def _geometry(
    map_shape: tuple[int, int, int], channels: int, kernel: tuple[int, int], options: Options
) -> Geometry:
    stride, padding, output_padding, dilation, groups = options
    return Geometry.of_transposed(
        map_shape,
        channels,
        kernel,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
    )


def _check_image(geometry: Geometry, height: int, width: int) -> None:
    if (geometry.height, geometry.width) != (height, width):
        raise ValueError(
            f"delta has {height} x {width} pixels, but a map of {geometry.out_height} x {geometry.out_width} makes an image "
            f"of {geometry.height} x {geometry.width} with this kernel, stride, padding, output_padding and dilation"
        )


def _forward(
    name: str,
    x: Array,
    w: Array,
    options: Options,
    layout: str,
    backend: str,
    compute_dtype: str | None,
) -> Setting:
    batch, (rows, columns, channels) = read_shape(name, x, layout)
    n, *kernel, depth = check("w", w, (None, None, None, None), x.dtype)
    if n != channels:
        raise ValueError(
            f"{name} has {channels} channels, but w takes {n}: its shape is (N, kh, kw, C / groups) with the map's N"
        )
    checks.integer(1)("groups", options[-1])
    height, width = kernel
    geometry = _geometry((n, rows, columns), depth * options[-1], (height, width), options)
    return Setting(CONV_TRANSPOSE2D, geometry, batch, layout, backend, compute_dtype)
