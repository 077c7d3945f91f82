"""The contract's products of images in PyTorch, for `python -m aefast.testing --backend torch`: is the reference right?

PyTorch has what a layer computes and, by its own automatic differentiation, the gradients. What comes after a product is the
reference's. Asymmetric padding is written out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aefast.backends.numpy import finish
from aefast.geometry import Geometry
from aefast.layers import POOLS

Array = NDArray[Any]
F = torch.nn.functional
DIFFERENT = {"pool2d_dgrad": " nan"}
"""Cases by op and word where PyTorch does something else: of several NaN in a window its last gets the share."""


def _tensor(x: Array, height: int, width: int) -> Any:
    """(B, C, H, W) of rows."""
    rows = torch.from_numpy(np.array(x))
    return rows.reshape(len(x), height, width, -1).permute(0, 3, 1, 2).contiguous()


def _rows(x: Any) -> Array:
    rows: Array = x.detach().permute(0, 2, 3, 1).reshape(len(x), -1).numpy()
    return rows


def _padding(g: Geometry) -> tuple[int, int, int, int]:
    """(left, right, top, bottom); negative where pixels lie beyond the last window."""
    ends = []
    for size, out, kernel, stride, pad, dilation in (
        (g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left, g.dilation_x),
        (g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top, g.dilation_y),
    ):
        ends += [pad, (out - 1) * stride + (kernel - 1) * dilation + 1 - pad - size]
    left, right, top, bottom = ends
    return left, right, top, bottom


def _steps(g: Geometry) -> dict[str, Any]:
    return {"stride": (g.stride_y, g.stride_x), "dilation": (g.dilation_y, g.dilation_x)}


def _weight(w: Array, g: Geometry) -> Any:
    return torch.from_numpy(np.array(w)).reshape(g.weight_shape).permute(0, 3, 1, 2).contiguous()


def _convolve(image: Any, weight: Any, g: Geometry) -> Any:
    return F.conv2d(F.pad(image, _padding(g)), weight, groups=g.groups, **_steps(g))


def _convolved(x: Array, w: Array, g: Geometry) -> Array:
    return _rows(_convolve(_tensor(x, g.height, g.width), _weight(w, g), g))


def _transposed(x: Array, w: Array, g: Geometry) -> Array:
    whole = F.conv_transpose2d(
        _tensor(x, g.out_height, g.out_width), _weight(w, g), groups=g.groups, **_steps(g)
    )
    return _rows(F.pad(whole, tuple(-n for n in _padding(g))))


def _weight_gradient(maps: Array, images: Array, g: Geometry) -> Array:
    weight = torch.zeros(
        (g.out_channels, g.channels // g.groups, g.kernel_height, g.kernel_width),
        dtype=torch.from_numpy(maps[:1]).dtype,
        requires_grad=True,
    )
    result = _convolve(_tensor(images, g.height, g.width), weight, g)
    (gradient,) = torch.autograd.grad(result, weight, _tensor(maps, g.out_height, g.out_width))
    return np.asarray(gradient.permute(0, 2, 3, 1).reshape(g.out_channels, -1).numpy())


def _biased(z: Array, b: Array) -> Array:
    biased: Array = (z.reshape(len(z), -1, len(b)) + b).reshape(z.shape)
    return biased


def conv2d_act(
    x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.conv`."""
    finish.activated(_biased(_convolved(x, w, geometry), b), act, out, pre)


def conv2d_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.conv`."""
    finish.dgrad(_transposed(delta, w, geometry), act, saved, extra, out)


def conv2d_wgrad(
    delta: Array, a: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.conv`."""
    finish.wgrad(_weight_gradient(delta, a, geometry), dw, accumulate, partials)


def conv_transpose2d_act(
    x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.conv`."""
    finish.activated(_biased(_transposed(x, w, geometry), b), act, out, pre)


def conv_transpose2d_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.conv`."""
    finish.dgrad(_convolved(delta, w, geometry), act, saved, extra, out)


def conv_transpose2d_wgrad(
    delta: Array, a: Array, dw: Array, accumulate: bool, partials: Array | None, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.conv`."""
    finish.wgrad(_weight_gradient(a, delta, geometry), dw, accumulate, partials)


def _pooled(image: Any, kind: int, g: Geometry) -> Any:
    window = g.kernel_height, g.kernel_width
    if POOLS[kind] == "max":
        padded = F.pad(image, _padding(g), value=-np.inf)
        return F.max_pool2d(padded, window, **_steps(g))
    # PyTorch's average pool has no dilation: the sum is a convolution.
    ones = torch.ones((g.channels, 1, *window), dtype=image.dtype)
    total, count = (
        F.conv2d(F.pad(x, _padding(g)), ones, groups=g.channels, **_steps(g))
        for x in (image, torch.ones_like(image))
    )
    return total / count


def pool2d(x: Array, kind: int, out: Array, geometry: Geometry) -> None:
    """See `aefast.backends.numpy.images`."""
    out[...] = _rows(_pooled(_tensor(x, geometry.height, geometry.width), kind, geometry))


def pool2d_dgrad(
    delta: Array,
    x: Array,
    kind: int,
    act: int,
    saved: Array | None,
    extra: Array | None,
    out: Array,
    geometry: Geometry,
) -> None:
    """See `aefast.backends.numpy.images`."""
    g = geometry
    image = _tensor(x, g.height, g.width).requires_grad_()
    share = _tensor(delta, g.out_height, g.out_width)
    (gradient,) = torch.autograd.grad(_pooled(image, kind, g), image, share)
    finish.dgrad(_rows(gradient), act, saved, extra, out)


def upsample2d(x: Array, out: Array, geometry: Geometry) -> None:
    """See `aefast.backends.numpy.images`."""
    small = _tensor(x, geometry.out_height, geometry.out_width)
    out[...] = _rows(F.interpolate(small, (geometry.height, geometry.width), mode="nearest"))


def upsample2d_dgrad(
    delta: Array, act: int, saved: Array | None, extra: Array | None, out: Array, geometry: Geometry
) -> None:
    """See `aefast.backends.numpy.images`."""
    g = geometry
    share = _tensor(delta, g.height, g.width)
    small = torch.zeros((len(delta), g.channels, g.out_height, g.out_width), dtype=share.dtype)
    large = F.interpolate(small.requires_grad_(), (g.height, g.width), mode="nearest")
    (gradient,) = torch.autograd.grad(large, small, share)
    finish.dgrad(_rows(gradient), act, saved, extra, out)
