"""The convolutions' operators, both ways; see `aefast.ops.conv` for the letters, weights, layouts and paddings."""

from __future__ import annotations

from torch import Tensor

from aefast import checks
from aefast.geometry import PADDINGS, Padding, Pair
from aefast.ops.images import check_layout
from aefast.torch.conv_operators import CONV2D, CONV_TRANSPOSE2D, registered
from aefast.torch.operators import keeps

_conv2d, _conv_transpose2d = registered(CONV2D), registered(CONV_TRANSPOSE2D)


def conv2d_act(
    x: Tensor,
    w: Tensor,
    b: Tensor,
    activation: str = "identity",
    *,
    stride: Pair = 1,
    padding: Padding = "valid",
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    backend: str = "auto",
) -> Tensor:
    """h (B, Ho, Wo, N) from x (B, H, W, C), w (N, kh, kw, C / groups), b (N,); differentiable by all three.

    The arguments are those of `aefast.ops.conv2d_act`; w is `torch_weight.permute(0, 2, 3, 1)`. With layout="channels_first",
    x is (B, C, H, W) and h (B, N, Ho, Wo), without a copy where x has memory_format=torch.channels_last, which h then has too.
    gelu and silu keep their pre-activation beside h, unless grad is off. Errors as of `linear_act`.

    act(conv(x, w) + b)
    """
    check_layout("layout", layout)
    options = _pair(stride), _sides(padding), [0, 0], _pair(dilation), groups, layout, backend
    h: Tensor = _conv2d(x, w, b, activation, keeps(activation), *options)[0]
    return h


def conv_transpose2d_act(
    x: Tensor,
    w: Tensor,
    b: Tensor,
    activation: str = "identity",
    *,
    stride: Pair = 1,
    padding: Pair = 0,
    output_padding: Pair = 0,
    dilation: Pair = 1,
    groups: int = 1,
    layout: str = "channels_last",
    backend: str = "auto",
) -> Tensor:
    """h (B, H, W, C) from x (B, Ho, Wo, N), w (N, kh, kw, C / groups), b (C,); differentiable by all three.

    The arguments are those of `aefast.ops.conv_transpose2d_act`, which are torch.nn.ConvTranspose2d's; layouts, memory and
    errors as of `conv2d_act`.

    act(conv_transpose(x, w) + b)
    """
    check_layout("layout", layout)
    options = _pair(stride), _pair(padding), _pair(output_padding), _pair(dilation), groups, layout, backend
    h: Tensor = _conv_transpose2d(x, w, b, activation, keeps(activation), *options)[0]
    return h


def _pair(value: Pair) -> list[int]:
    return [value, value] if checks.is_integer(value) else list(value)  # type: ignore[arg-type,list-item]


def _sides(padding: Padding) -> list[int]:
    """[top, bottom, left, right]; none for "same"."""
    if isinstance(padding, str):
        checks.choice(("valid", "same"))("padding", padding)
        return [] if padding == "same" else [0] * 4
    found: list[int] = []
    for side in _pair(padding):  # type: ignore[arg-type]
        found += _pair(side)
    if len(found) != 4:
        raise ValueError(f"padding must be {PADDINGS}, but is {checks.shown(padding)}")
    return found
