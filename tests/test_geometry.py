"""How images, kernels and maps fit together, and what is said where they don't."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from aefast.geometry import Geometry


def sizes(g: Geometry) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    return g.image_shape, g.map_shape


def test_shapes_sizes_and_weight() -> None:
    g = Geometry.of((6, 11, 9), 8, (3, 5), stride=(2, 1), padding=(1, 2), groups=2)
    assert sizes(g) == ((11, 9, 6), (6, 9, 8))
    assert (g.image_size, g.map_size) == (11 * 9 * 6, 6 * 9 * 8)
    assert g.weight_shape == (8, 3, 5, 3)
    assert (g.pad_top, g.pad_left) == (1, 2)


@pytest.mark.parametrize(
    ("padding", "before", "out"),
    [
        ("valid", (0, 0), (2, 3)),
        ("same", (1, 0), (4, 4)),  # 7 -> 4: 2 pixels of padding; 8 -> 4: 1, which lies to the right
        (1, (1, 1), (3, 4)),
        (np.int64(1), (1, 1), (3, 4)),
        ((0, 1), (0, 1), (2, 4)),
        ([2, 0], (2, 0), (4, 3)),
        (((2, 1), (0, 3)), (2, 0), (4, 5)),
        ((1, (0, 1)), (1, 0), (3, 4)),
    ],
)
def test_forms_of_padding(padding: Any, before: tuple[int, int], out: tuple[int, int]) -> None:
    g = Geometry.of((1, 7, 8), 1, (4, 3) if padding != "same" else 3, stride=2, padding=padding)
    assert (g.pad_top, g.pad_left) == before
    assert (g.out_height, g.out_width) == out


@pytest.mark.parametrize("size", range(1, 12))
@pytest.mark.parametrize(
    ("stride", "kernel", "dilation"), list(itertools.product((1, 2, 3), (1, 2, 3, 4), (1, 2)))
)
def test_same_has_the_ceiling_of_the_quotient_and_pads_evenly(
    size: int, stride: int, kernel: int, dilation: int
) -> None:
    g = Geometry.of((1, size, 1), 1, (kernel, 1), stride=(stride, 1), padding="same", dilation=(dilation, 1))
    assert g.out_height == -(-size // stride)
    window = (kernel - 1) * dilation + 1
    after = max((g.out_height - 1) * stride + window - size - g.pad_top, 0)
    assert after - g.pad_top in (0, 1)


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    list(itertools.product((1, 2, 3), (1, 2, 3), (0, 1), (1, 2))),
)
def test_transposed_sizes_are_torchs(
    torch: Any, size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    for extra in range(max(stride, dilation)):
        layer = torch.nn.ConvTranspose2d(2, 3, (kernel, 1), output_padding=(extra, 0), **settings)
        x = torch.zeros(1, 2, size, 5)
        try:
            wanted = tuple(layer(x).shape[2:])
        except RuntimeError:  # nothing would be left
            wanted = None
        if wanted is None or min(wanted) < 1:
            with pytest.raises(ValueError, match="the image would have"):
                Geometry.of_transposed((2, size, 5), 3, (kernel, 1), output_padding=(extra, 0), **settings)
            continue
        g = Geometry.of_transposed((2, size, 5), 3, (kernel, 1), output_padding=(extra, 0), **settings)
        assert g.image_shape == (*wanted, 3) and g.map_shape == (size, 5, 2)


def test_transposing_a_convolution_back_reaches_its_image() -> None:
    g = Geometry.of((4, 12, 9), 6, 3, stride=2, padding=1, groups=2)
    back = Geometry.of_transposed((6, 6, 5), 4, 3, stride=2, padding=1, output_padding=(1, 0), groups=2)
    assert back == g


WHOLE = {"image_shape": (3, 8, 8), "out_channels": 4, "kernel_size": 3}
BACK = {"map_shape": (4, 8, 8), "channels": 3, "kernel_size": 3}


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"image_shape": (8, 8)},
            ValueError,
            r"image_shape must be \(channels, height, width\), but is \(8, 8\)",
        ),
        ({"image_shape": 8}, TypeError, r"image_shape must be \(channels, height, width\), but is 8"),
        ({"image_shape": (3, 8, 8.0)}, TypeError, "each size of image_shape must be an integer"),
        ({"image_shape": (3, 8, 0)}, ValueError, "each size of image_shape .* at least 1, but is 0"),
        ({"out_channels": 0}, ValueError, "out_channels must be an integer of at least 1"),
        ({"out_channels": True}, TypeError, "out_channels must be an integer"),
        ({"kernel_size": "3"}, TypeError, r"kernel_size must be an integer or a pair \(y, x\)"),
        ({"kernel_size": (3, 3, 3)}, ValueError, r"kernel_size must be an integer or a pair \(y, x\)"),
        ({"kernel_size": 0}, ValueError, "kernel_size must be an integer of at least 1, but is 0"),
        ({"kernel_size": (3, 0)}, ValueError, "each of kernel_size must be an integer of at least 1"),
        ({"kernel_size": {3, 4}}, TypeError, "kernel_size must be an integer or a pair"),
        ({"stride": 1.5}, TypeError, "stride must be an integer or a pair"),
        ({"stride": -1}, ValueError, "stride must be an integer of at least 1, but is -1"),
        ({"dilation": 0}, ValueError, "dilation must be an integer of at least 1"),
        ({"padding": "full"}, ValueError, "unknown padding 'full'; known: valid, same"),
        ({"padding": -1}, ValueError, "padding must be an integer of at least 0, but is -1"),
        ({"padding": 0.5}, TypeError, 'padding must be "valid", "same", an integer for all sides'),
        ({"padding": (1, 2, 3)}, ValueError, "padding must be .*a pair of pairs"),
        ({"padding": (1, (0, -1))}, ValueError, "each of padding must be an integer of at least 0"),
        ({"padding": (1, "2")}, TypeError, "each of padding must be"),
        ({"groups": 2}, ValueError, r"channels must be a multiple of groups \(2\), but is 3"),
        ({"groups": 3}, ValueError, r"out_channels must be a multiple of groups \(3\), but is 4"),
        (
            {"kernel_size": (3, 5), "dilation": 2},
            ValueError,
            r"a window of 9 pixels \(5 taps, dilation 2\) doesn't fit into 8 \+ 0 \+ 0 padded pixels of the width; take",
        ),
        (
            {"image_shape": (3, 2**15, 2**15)},
            ValueError,
            "the image would have 3221225472 elements, but at most",
        ),
    ],
)
def test_what_is_no_convolution_is_named(change: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        Geometry.of(**{**WHOLE, **change})


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"map_shape": (4, 8)}, ValueError, r"map_shape must be \(channels, height, width\)"),
        ({"padding": "same"}, TypeError, "padding must be an integer or a pair"),
        ({"output_padding": -1}, ValueError, "output_padding must be an integer of at least 0"),
        (
            {"output_padding": (0, 2), "stride": 2},
            ValueError,
            r"output_padding must be below the stride \(2\) or the dilation \(1\) of its axis, but is 2 in the width",
        ),
        (
            {"map_shape": (4, 1, 8), "padding": 2},
            ValueError,
            r"would have -1 pixels in the height: \(1 - 1\) \* 1 - 2 \* 2 \+ 3 \+ 0; take less padding",
        ),
    ],
)
def test_what_is_no_transposed_convolution_is_named(
    change: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Geometry.of_transposed(**{**BACK, **change})


def test_fields_are_pythons_integers() -> None:
    g = Geometry.of(np.array([3, 8, 8]), np.int32(4), np.int64(3), stride=np.array([2, 1]))
    assert g == Geometry.of((3, 8, 8), 4, 3, stride=(2, 1)) and hash(g)
    assert all(type(value) is int for value in vars(g).values())
    with pytest.raises(TypeError, match="stride_y must be an integer"):
        Geometry(1, 1, 1, 1, 1, 1, 1, 1, stride_y="1")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pad_left must be an integer of at least 0"):
        Geometry(1, 1, 1, 1, 1, 1, 1, 1, pad_left=-1)
