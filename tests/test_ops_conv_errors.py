"""Arguments of the ops of images that can't be: errors that name them and show the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aefast import ops

RNG = np.random.default_rng(0)


def draw(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


X, W, B = draw(2, 6, 6, 4), draw(3, 3, 3, 4), draw(3)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: ops.conv2d_act(X[0], W, B), ValueError, r"x must have shape \(B, H, W, C\).*1-D data"),
        (lambda: ops.conv2d_act([[1.0]], W, B), TypeError, "x must be a NumPy array"),
        (lambda: ops.conv2d_act(X[:0], W, B), ValueError, "without empty dimensions"),
        (lambda: ops.conv2d_act(X, W, B, layout="NHWC"), ValueError, "channels_first"),
        (
            lambda: ops.conv2d_act(X, W[..., :3], B),
            ValueError,
            r"x has 4 channels, but w takes 1 x 3 = 3",
        ),
        (lambda: ops.conv2d_act(X, W, B, groups=2), ValueError, "w takes 2 x 4 = 8"),
        (lambda: ops.conv2d_act(X, W[..., :2], B, groups=2), ValueError, "multiple of groups"),
        (lambda: ops.conv2d_act(X, W, B, groups=0), ValueError, "groups must be an integer of at least 1"),
        (lambda: ops.conv2d_act(X, W, draw(4)), ValueError, r"b must have shape \(3\)"),
        (lambda: ops.conv2d_act(X, W.astype(float), B), TypeError, "w must have dtype float32"),
        (lambda: ops.conv2d_act(X, W[0], B), ValueError, r"w must have shape \(any, any, any, any\)"),
        (
            lambda: ops.conv2d_act(X, W, B, dilation=3),
            ValueError,
            r"window of 7 pixels \(3 taps, dilation 3\) doesn't fit into 6 \+ 0 \+ 0",
        ),
        (lambda: ops.conv2d_act(X, W, B, padding="full"), ValueError, "padding"),
        (lambda: ops.conv2d_act(X, W, B, stride=0), ValueError, "stride must be an integer of at least 1"),
        (lambda: ops.conv2d_act(X, W, B, "rleu"), ValueError, "Did you mean 'relu'"),
        (
            lambda: ops.conv2d_act(X, W, B, out=draw(2, 4, 4, 2)),
            ValueError,
            r"out must have shape \(2, 4, 4, 3\)",
        ),
        (lambda: ops.conv2d_act(X, W, B, out=X[:, :4, :4, :3]), ValueError, "out overlaps x"),
        (
            lambda: ops.conv2d_dgrad(draw(2, 4, 4, 3), W, (7, 7)),
            ValueError,
            r"delta has 4 x 4 pixels, but an image of 7 x 7 makes a map of 5 x 5",
        ),
        (lambda: ops.conv2d_dgrad(draw(2, 4, 4, 3), W, 6.0), TypeError, "size must be a tuple"),
        (lambda: ops.conv2d_dgrad(draw(2, 4, 4, 3), W, (6, 6), None, "relu"), ValueError, "needs saved"),
        (
            lambda: ops.conv2d_dgrad(draw(2, 4, 4, 3), W, (6, 6), X[..., :3], "relu"),
            ValueError,
            r"saved must have shape \(2, 6, 6, 4\)",
        ),
        (
            lambda: ops.conv2d_wgrad(draw(2, 5, 4, 3), X, 3),
            ValueError,
            r"delta must have shape \(2, 4, 4, 3\)",
        ),
        (lambda: ops.conv2d_wgrad(draw(2, 4, 4, 3), X, 3, accumulate=True), ValueError, "give out="),
        (
            lambda: ops.conv2d_loss_grad(X, W, B, draw(2, 4, 4, 3), "tanh", "bce"),
            ValueError,
            "must be 'sigmoid'",
        ),
        (
            lambda: ops.conv2d_loss(X, W, B, draw(2, 4, 4, 3), feature_weight=[1.0]),
            ValueError,
            r"feature_weight must have shape \(48,\)",
        ),
        (lambda: ops.conv_transpose2d_act(X, W, B), ValueError, "x has 4 channels, but w takes 3"),
        (
            lambda: ops.conv_transpose2d_act(X[..., :3], W, draw(4), stride=2, output_padding=2),
            ValueError,
            "output_padding must be below the stride",
        ),
        (
            lambda: ops.conv_transpose2d_dgrad(draw(2, 9, 8, 4), W, stride=2),
            ValueError,
            "delta has 9 x 8 pixels, but a map of 4 x 3 makes an image of 9 x 7",
        ),
        (
            lambda: ops.conv_transpose2d_dgrad(draw(2, 9, 9, 3), W, stride=2),
            ValueError,
            "delta has 3 channels, but w makes 1 x 4 = 4",
        ),
        (
            lambda: ops.conv_transpose2d_wgrad(draw(2, 9, 9, 4), X[..., :3], 3),
            ValueError,
            "a map of 6 x 6 makes an image of 8 x 8",
        ),
        (lambda: ops.pool2d(X, 2, "mean"), ValueError, "mean"),
        (lambda: ops.pool2d(X, 2, padding=2), ValueError, "take less padding"),
        (lambda: ops.pool2d(X, 7), ValueError, "window of 7 pixels"),
        (lambda: ops.pool2d_dgrad(draw(2, 3, 3, 4), X, 2, "max", None, "tanh"), ValueError, "needs saved"),
        (lambda: ops.upsample2d(X, 0), ValueError, "of at least 1"),
        (lambda: ops.upsample2d_dgrad(X, 4), ValueError, r"isn't a multiple of the stride \(4, 4\)"),
    ],
)
def test_what_can_not_be_is_named(call: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        call()
    assert type(caught.value) is error
