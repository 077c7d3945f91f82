"""Convolutions of images on NumPy arrays; see `aefast.ops` for the rules.

Letters: an image is H x W of C channels, a map Ho x Wo of N; a weight w is (N, kh, kw, C / groups), which is
`torch_weight.permute(0, 2, 3, 1)`. All arrays of images come in one `layout`: "channels_last", (B, H, W, C), which is read
and written in place, or "channels_first", (B, C, H, W), which is copied on its way. 1-D data are images of height 1, with
kernels (1, k). stride, dilation: an integer or (y, x). padding: "valid", "same" (Ho = ceil(H / stride), an odd pixel below
and right), an integer, (y, x), or ((top, bottom), (left, right)). Zeros lie outside of an image.

`compute_dtype="bfloat16"` rounds the operands of the product, and nothing else, to bfloat16; all arrays are float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import checks
from aefast.geometry import Geometry, Padding, Pair
from aefast.ops import spatial
from aefast.ops.checks import Array, check
from aefast.ops.exchange import exchanged, is_foreign
from aefast.ops.images import read_shape
from aefast.ops.spatial import CONV2D, Setting


def conv2d_act(
    x: Array,
    w: Array,
    b: Array,
    activation: str = "identity",
    *,
    stride: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    out: Array | None = None,
    pre: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """h (B, Ho, Wo, N) from x (B, H, W, C), w (N, kh, kw, C / groups), b (N,); `pre`, if given, gets the pre-activation.

    act(conv(x, w) + b)
    """
    if type(x) is not np.ndarray and is_foreign(x):
        return exchanged(conv2d_act, locals())
    options = stride, padding, dilation, groups
    setting = _forward("x", x, w, options, layout, backend, compute_dtype)
    return spatial.act(setting, x, w, b, activation, out, pre)


def conv2d_loss_grad(
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str = "identity",
    loss: str = "mse",
    *,
    stride: Pair = 1,
    padding: Padding = "valid",
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
    """(loss, delta (B, Ho, Wo, N)) of the last layer on h (B, H, W, C); target as delta; feature_weight (Ho, Wo, N) or flat.

    r = act(conv(h, w) + b); loss = sum_i w_i sum_j f_j l(r_ij, t_ij) / sum(w), divided by the features for "mean"
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(conv2d_loss_grad, locals())
    options = stride, padding, dilation, groups
    setting = _forward("h", h, w, options, layout, backend, compute_dtype)
    weights = sample_weight, feature_weight
    return spatial.loss_grad(setting, h, w, b, target, activation, loss, reduction, *weights, out)


def conv2d_loss(
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str = "identity",
    loss: str = "mse",
    *,
    stride: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    feature_weight: Any = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """Loss per row (B,), summed over its features; arguments as in `conv2d_loss_grad`.

    (f * l(act(conv(h, w) + b), target)).sum((1, 2, 3))
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(conv2d_loss, locals())
    options = stride, padding, dilation, groups
    setting = _forward("h", h, w, options, layout, backend, compute_dtype)
    return spatial.row_losses(setting, h, w, b, target, activation, loss, feature_weight, out)


def conv2d_dgrad(
    delta: Array,
    w: Array,
    size: tuple[int, int],
    saved: Array | None = None,
    activation: str = "identity",
    *,
    stride: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    extra: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """delta of the layer below (B, H, W, C), size = (H, W), from delta (B, Ho, Wo, N), w and what its forward pass saved.

    `saved` is the output, or the pre-activation for gelu and silu; `extra` is added before act'. Both (B, H, W, C).

    (conv_transpose(delta, w) + extra) * act'(saved)
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(conv2d_dgrad, locals())
    batch, (height, width, _) = read_shape("delta", delta, layout)
    n, *kernel, depth = check("w", w, (None, None, None, None), delta.dtype)
    checks.integer(1)("groups", groups)
    shape = (groups * depth, *spatial.pair("size", size))
    geometry = Geometry.of(shape, n, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if (geometry.out_height, geometry.out_width) != (height, width):
        raise ValueError(
            f"delta has {height} x {width} pixels, but an image of {geometry.height} x {geometry.width} makes a map of "
            f"{geometry.out_height} x {geometry.out_width} with this kernel, stride, padding and dilation"
        )
    setting = Setting(CONV2D, geometry, batch, layout, backend, compute_dtype)
    return spatial.dgrad(setting, delta, w, saved, activation, extra, out)


def conv2d_wgrad(
    delta: Array,
    a: Array,
    kernel_size: Pair,
    *,
    stride: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    out: tuple[Array, Array] | None = None,
    accumulate: bool = False,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> tuple[Array, Array]:
    """(dw (N, kh, kw, C / groups), db (N,)) from delta (B, Ho, Wo, N) and the layer's input a (B, H, W, C).

    `accumulate` adds to `out`.

    dw[n, i, j, c] = sum_byx delta[b, y, x, n] a[b, y stride + i dilation - top, x stride + j dilation - left, c]
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(conv2d_wgrad, locals())
    batch, (height, width, channels) = read_shape("a", a, layout)
    _, (_, _, n) = read_shape("delta", delta, layout)
    geometry = Geometry.of(
        (channels, height, width),
        n,
        kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    setting = Setting(CONV2D, geometry, batch, layout, backend, compute_dtype)
    return spatial.wgrad(setting, delta, a, out, accumulate)


def _forward(
    name: str,
    x: Array,
    w: Array,
    options: tuple[Pair, Padding, Pair, int],
    layout: str,
    backend: str,
    compute_dtype: str | None,
) -> Setting:
    batch, (height, width, channels) = read_shape(name, x, layout)
    n, *kernel, depth = check("w", w, (None, None, None, None), x.dtype)
    stride, padding, dilation, groups = options
    checks.integer(1)("groups", groups)
    if depth * groups != channels:
        raise ValueError(
            f"{name} has {channels} channels, but w takes {groups} x {depth} = {groups * depth}: its shape is "
            f"(N, kh, kw, C / groups), with groups={groups}"
        )
    shape = channels, height, width
    geometry = Geometry.of(shape, n, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return Setting(CONV2D, geometry, batch, layout, backend, compute_dtype)
