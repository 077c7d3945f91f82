"""The kinds of layers by themselves: what fits no layer is named before anything is made of it."""

from __future__ import annotations

from typing import Any

import pytest

from aefast.geometry import Geometry
from aefast.layers import KINDS, AnyLayer, Conv2d, ConvTranspose2d, Layer, Pool2d, Upsample2d
from aefast.ops import NAMES

CONV = Geometry.of((2, 6, 4), 3, 3, stride=2, padding="same")


def pool(padding: Any = "valid", **changes: Any) -> Pool2d:
    settings = {"kernel_size": 2, "stride": 2, "groups": 2, "padding": padding, **changes}
    return Pool2d("p", Geometry.of((2, 6, 4), 2, **settings))


def upsample(**changes: int) -> Upsample2d:
    """Of 3 x 2 pixels by 2, with fields changed."""
    fields = {"height": 6, "width": 4, "channels": 2, "out_height": 3, "out_width": 2, "out_channels": 2}
    more = {"kernel_height": 2, "kernel_width": 2, "stride_y": 2, "stride_x": 2, "groups": 2}
    return Upsample2d("u", Geometry(**{**fields, **more, **changes}))


@pytest.mark.parametrize("padding", ["valid", "same", 1, ((1, 1), (0, 1))])
def test_windows_with_a_pixel_each_are_a_pool(padding: Any) -> None:
    pool(padding).check()


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (
            pool(((2, 0), (0, 0))),
            "in the height: .* 6 pixels, the first window ends at pixel -1, the last begins at 4",
        ),
        (
            pool(((0, 2), (0, 0))),
            "in the height: .* the first window ends at pixel 1, the last begins at 6, dilation is 1",
        ),
        (pool(((0, 0), (2, 0))), "in the width: it has 4 pixels, the first window ends at pixel -1"),
        (pool(((0, 0), (0, 2))), "in the width: .* the last begins at 4"),
        (pool(4, dilation=7), "in the height: .* dilation is 7; take less padding"),
    ],
)
def test_windows_without_a_pixel_are_refused(layer: Pool2d, words: str) -> None:
    with pytest.raises(ValueError, match=f"p has windows without a pixel of the image {words}"):
        layer.check()


@pytest.mark.parametrize(
    "change",
    [
        {"kernel_height": 3},
        {"kernel_width": 1},
        {"stride_y": 3, "kernel_height": 3},
        {"pad_top": 1},
        {"pad_left": 1},
        {"dilation_y": 2},
        {"dilation_x": 2},
        {"height": 7},
        {"height": 5},
        {"width": 3},
    ],
    ids=str,
)
def test_what_repeats_no_pixels_is_refused(change: dict[str, int]) -> None:
    upsample().check()
    with pytest.raises(ValueError, match="u repeats pixels: its kernel must be its stride, without padding"):
        upsample(**change).check()


@pytest.mark.parametrize(
    ("layer", "error", "words"),
    [
        (Conv2d("a", (6, 4, 2)), TypeError, "a's geometry must be an aefast.geometry.Geometry"),  # type: ignore[arg-type]
        (Conv2d(1, CONV), TypeError, "a layer's name must be a string, but is 1"),  # type: ignore[arg-type]
        (Conv2d("a", CONV, "rleu"), ValueError, "Did you mean 'relu'"),
        (Pool2d("a", pool().geometry, "mean"), ValueError, "unknown pooling 'mean'; known: max, average"),
        (
            Pool2d("a", CONV),
            ValueError,
            r"each channel by itself: groups and out_channels must be channels \(2\), but are 1 and 3",
        ),
        (upsample(groups=1), ValueError, "u works on each channel by itself"),
        (Layer("a", 5, 0, "relu"), ValueError, "a width must be an integer of at least 1"),
    ],
)
def test_what_is_no_layer_is_named(layer: AnyLayer, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        layer.check()


def test_sides_of_each_kind() -> None:
    small, large = (3, 2, 3), (6, 4, 2)
    conv, back = Conv2d("a", CONV), ConvTranspose2d("b", CONV)
    assert (conv.in_shape, conv.out_shape, conv.n_in, conv.n_out, conv.bias_size) == (large, small, 48, 18, 3)
    assert (back.in_shape, back.out_shape, back.n_in, back.n_out, back.bias_size) == (small, large, 18, 48, 2)
    assert conv.weight_shape == back.weight_shape == (3, 3, 3, 2)
    assert conv.fans == (18.0, 27 / 4) and back.fans == conv.fans[::-1]
    assert pool().out_shape == upsample().in_shape == (3, 2, 2) and pool().weight_shape is None
    assert Layer("c", 5, 4, "relu").in_shape is None


def test_every_kind_has_its_ops() -> None:
    for op, kind in {**KINDS, "linear": Layer}.items():
        parts = (
            ("_dgrad", "")
            if kind.weight_shape is None
            else ("_act", "_loss", "_loss_grad", "_dgrad", "_wgrad")
        )
        assert all(f"{op}{part}" in NAMES for part in parts)
