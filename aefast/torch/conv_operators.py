"""What a convolution and its transpose are to PyTorch: three operators each, which differ by a row of `Kind`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from aefast import checks, ops
from aefast.geometry import Geometry
from aefast.ops.exchange import tensor_view
from aefast.ops.images import CHANNELS_FIRST, Side, image_side, map_side, sides
from aefast.torch.operators import delta as by_preactivation
from aefast.torch.operators import memory_order, operator, save, vector

Pair = tuple[Tensor, Tensor]
Options = dict[str, Any]
OPTIONS = (
    "int[] stride, int[] padding, int[] output_padding, int[] dilation, int groups, str layout, str backend"
)
"""padding: [top, bottom, left, right], or [] for "same"; of the transpose, [y, x]. output_padding: of the transpose, [y, x]."""


class Kind(NamedTuple):
    """One direction: its functions in `aefast.ops`, and what they want to be told."""

    name: str
    act: Callable[..., Any]
    dgrad: Callable[..., Any]
    """(delta, w, size of the image or map that the forward pass read, **options)."""
    wgrad: Callable[..., Any]
    paddings: Callable[[list[int], list[int]], Options]
    geometry: Callable[[Side, Tensor, Options], Geometry]
    """Of what the forward pass reads, and w."""
    written: Callable[[Geometry], Side]
    read_channels: Callable[[Tensor, int], int]
    weight_channels: Callable[[int, int, int], tuple[int, int]]
    """(first, last) size of w, from the channels written, those read, and the groups."""


def _conv2d_geometry(read: Side, w: Tensor, options: Options) -> Geometry:
    height, width, channels = read
    n, *kernel, _ = _sizes(w)
    return Geometry.of((channels, height, width), n, kernel, **options)


def _conv_transpose2d_geometry(read: Side, w: Tensor, options: Options) -> Geometry:
    height, width, channels = read
    _, *kernel, depth = _sizes(w)
    return Geometry.of_transposed((channels, height, width), depth * options["groups"], kernel, **options)


def _sizes(w: Tensor) -> tuple[int, ...]:
    if w.dim() != 4:
        raise ValueError(f"w must have shape (N, kh, kw, C / groups), but has {tuple(w.shape)}")
    return tuple(int(size) for size in w.shape)


CONV2D = Kind(
    "conv2d",
    ops.conv2d_act,
    ops.conv2d_dgrad,
    ops.conv2d_wgrad,
    lambda pads, _: {"padding": (tuple(pads[:2]), tuple(pads[2:])) if pads else "same"},
    _conv2d_geometry,
    map_side,
    lambda w, groups: w.shape[3] * groups,
    lambda written, read, groups: (written, read // groups),
)
CONV_TRANSPOSE2D = Kind(
    "conv_transpose2d",
    ops.conv_transpose2d_act,
    lambda delta, w, size, **options: ops.conv_transpose2d_dgrad(delta, w, **options),
    ops.conv_transpose2d_wgrad,
    lambda pads, output_pads: {"padding": tuple(pads), "output_padding": tuple(output_pads)},
    _conv_transpose2d_geometry,
    image_side,
    lambda w, groups: w.shape[0],
    lambda written, read, groups: (read, written // groups),
)


def _empty(like: Tensor, batch: int, side: Side, layout: str) -> Tensor:
    """New images; "channels_first" ones in the memory order of `like`."""
    height, width, channels = side
    if layout != CHANNELS_FIRST:
        return like.new_empty((batch, height, width, channels))
    order = memory_order(like)
    shape = batch, channels, height, width
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=order)


def registered(kind: Kind) -> Any:
    """The operator of the forward pass; those of the backward pass are registered too."""

    def told(options: tuple[Any, ...]) -> Options:
        stride, padding, output_padding, dilation, groups = options[:5]
        checks.integer(1)("groups", groups)
        plain = {"stride": tuple(stride), "dilation": tuple(dilation), "groups": groups}
        return plain | kind.paddings(padding, output_padding)

    def where(options: tuple[Any, ...]) -> Options:
        return {"layout": options[-2], "backend": options[-1], **told(options)}

    def act(x: Tensor, w: Tensor, b: Tensor, activation: str, keep: bool, *options: Any) -> Pair:
        op = f"{kind.name}_act"
        arrays = tensor_view(op, "x", x), tensor_view(op, "w", w), vector(op, "b", b)
        h, pre = act_fake(x, w, b, activation, keep, *options)
        kept = pre.numpy() if keep else None
        kind.act(*arrays, activation, out=h.numpy(), pre=kept, **where(options))
        return h, pre

    def act_fake(x: Tensor, w: Tensor, b: Tensor, activation: str, keep: bool, *options: Any) -> Pair:
        batch, (height, width, channels) = sides("x", tuple(x.shape), options[-2])
        geometry = kind.geometry((int(height), int(width), int(channels)), w, told(options))
        h = _empty(x, batch, kind.written(geometry), options[-2])
        return h, torch.empty_like(h) if keep else x.new_empty((0,))

    def dgrad(delta: Tensor, w: Tensor, size: list[int], *options: Any) -> Tensor:
        op = f"{kind.name}_dgrad"
        arrays = tensor_view(op, "delta", delta), tensor_view(op, "w", w)
        out = dgrad_fake(delta, w, size, *options)
        kind.dgrad(*arrays, size=tuple(size), out=out.numpy(), **where(options))
        return out

    def dgrad_fake(delta: Tensor, w: Tensor, size: list[int], *options: Any) -> Tensor:
        groups, layout = options[4:6]
        height, width = size
        return _empty(delta, delta.shape[0], (height, width, kind.read_channels(w, groups)), layout)

    def wgrad(delta: Tensor, a: Tensor, kernel: list[int], *options: Any) -> Pair:
        op = f"{kind.name}_wgrad"
        arrays = tensor_view(op, "delta", delta), tensor_view(op, "a", a)
        dw, db = wgrad_fake(delta, a, kernel, *options)
        kind.wgrad(*arrays, tuple(kernel), out=(dw.numpy(), db.numpy()), **where(options))
        return dw, db

    def wgrad_fake(delta: Tensor, a: Tensor, kernel: list[int], *options: Any) -> Pair:
        groups, layout = options[4:6]
        axis = 1 if layout == CHANNELS_FIRST else 3
        written = delta.shape[axis]
        first, last = kind.weight_channels(written, a.shape[axis], groups)
        return delta.new_empty((first, *kernel, last)), delta.new_empty((written,))

    forward = operator(
        f"{kind.name}_act",
        f"(Tensor x, Tensor w, Tensor b, str activation, bool keep, {OPTIONS}) -> (Tensor h, Tensor pre)",
        act,
        act_fake,
    )
    by_input = operator(
        f"{kind.name}_dgrad",
        f"(Tensor delta, Tensor w, SymInt[] size, {OPTIONS}) -> Tensor dx",
        dgrad,
        dgrad_fake,
    )
    by_weight = operator(
        f"{kind.name}_wgrad",
        f"(Tensor delta, Tensor a, SymInt[] kernel, {OPTIONS}) -> (Tensor dw, Tensor db)",
        wgrad,
        wgrad_fake,
    )

    def setup(ctx: Any, inputs: tuple[Any, ...], output: Pair) -> None:
        x, w, _, activation, keep, *ctx.options = inputs
        save(ctx, x, w, activation, output, keep)

    def backward(ctx: Any, grad: Tensor | None, _pre: None) -> tuple[Tensor | None, ...]:
        rest = (None,) * (2 + len(ctx.options))
        if grad is None:
            return (None, None, None, *rest)
        layout, backend = ctx.options[-2:]
        x, w = ctx.saved_tensors[:2]
        by_z = by_preactivation(ctx, grad, backend)
        wants_x, wants_w, wants_b = ctx.needs_input_grad[:3]
        size = x.shape[2:] if layout == CHANNELS_FIRST else x.shape[1:3]
        dx = by_input(by_z, w, size, *ctx.options) if wants_x else None
        dw, db = by_weight(by_z, x, w.shape[1:3], *ctx.options) if wants_w or wants_b else (None, None)
        return dx, dw if wants_w else None, db if wants_b else None, *rest

    forward.register_autograd(backward, setup_context=setup)
    return forward
