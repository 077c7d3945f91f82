"""How a convolution's two sides fit together: one description for the convolution, its transpose and their gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from aefast import checks

Pair = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]
MAX_ELEMENTS = 2**31 - 1  # of a side or a weight: more is a mistake, and offsets can't overflow
AXES = ("height", "width")
PADDINGS = '"valid", "same", an integer for all sides, a pair (y, x), or a pair of pairs ((top, bottom), (left, right))'


@dataclass(frozen=True)
class Geometry:
    """An image (height, width, channels) and a map (out_height, out_width, out_channels) joined by a kernel.

    map[y, x, n] = sum_{i, j, c} w[n, i, j, c] image[y stride_y + i dilation_y - pad_top,
                                                     x stride_x + j dilation_x - pad_left, c]

    with zeros outside of the image. A convolution reads the image and writes the map; a transposed convolution reads the
    map and writes the image, with the same weight (Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep
    learning"). Rows of a batch hold a side flat, channels last. The weight is (out_channels, kernel_height, kernel_width,
    channels / groups); with groups, map channel n sees the image channels of group n // (out_channels / groups). What lies
    below and right of the last window is not read, or gets the bias alone. 1-D data has height 1.

    All fields are integers; sizes, strides, dilations and groups of at least 1, pads of at least 0. Raises TypeError or
    ValueError otherwise, for more than 2^31 - 1 elements, and where channels or out_channels aren't a multiple of groups.
    """

    height: int
    width: int
    channels: int
    out_height: int
    out_width: int
    out_channels: int
    kernel_height: int
    kernel_width: int
    stride_y: int = 1
    stride_x: int = 1
    pad_top: int = 0
    pad_left: int = 0
    dilation_y: int = 1
    dilation_x: int = 1
    groups: int = 1

    @staticmethod
    def of(
        image_shape: Sequence[int],
        out_channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Padding = "valid",
        dilation: Pair = 1,
        groups: int = 1,
    ) -> Geometry:
        """The geometry of a convolution over image_shape = (channels, height, width).

        kernel_size, stride, dilation: an integer or a pair (y, x). padding: "valid" (none), "same" (the map has
        ceil(size / stride) pixels, an odd pixel of padding lies below and right), an integer for all sides, (y, x), or
        ((top, bottom), (left, right)). Raises TypeError or ValueError for what isn't that, where the window is larger than
        the padded image, and where the channels can't be split into groups.
        """
        channels, *sizes = _shape("image_shape", image_shape)
        kernel, strides = _pair("kernel_size", kernel_size), _pair("stride", stride)
        dilations = _pair("dilation", dilation)
        before, out = [], []
        for axis, size in enumerate(sizes):
            window = (kernel[axis] - 1) * dilations[axis] + 1
            pads = _pads(padding, axis, size, window, strides[axis])
            if size + sum(pads) < window:
                raise ValueError(
                    f"a window of {window} pixels ({kernel[axis]} taps, dilation {dilations[axis]}) doesn't fit into "
                    f"{size} + {pads[0]} + {pads[1]} padded pixels of the {AXES[axis]}; take a smaller kernel_size or "
                    "dilation, or more padding"
                )
            before.append(pads[0])
            out.append((size + sum(pads) - window) // strides[axis] + 1)
        sides = (*sizes, channels, *out, out_channels)
        return Geometry(*sides, *kernel, *strides, *before, *dilations, groups)  # type: ignore[call-arg]

    @staticmethod
    def of_transposed(
        map_shape: Sequence[int],
        channels: int,
        kernel_size: Pair,
        *,
        stride: Pair = 1,
        padding: Pair = 0,
        output_padding: Pair = 0,
        dilation: Pair = 1,
        groups: int = 1,
    ) -> Geometry:
        """The geometry of a transposed convolution from map_shape = (out_channels, out_height, out_width) to an image.

        The arguments are those of torch.nn.ConvTranspose2d: the image has
        (size - 1) stride - 2 padding + dilation (kernel_size - 1) + 1 + output_padding pixels an axis, of `channels`
        channels. Raises TypeError or ValueError for what isn't an integer or a pair (y, x), for an output_padding that
        is neither below the stride nor below the dilation, and where no pixel would be left.
        """
        out_channels, *sizes = _shape("map_shape", map_shape)
        kernel, strides = _pair("kernel_size", kernel_size), _pair("stride", stride)
        dilations = _pair("dilation", dilation)
        pads, extra = _pair("padding", padding, 0), _pair("output_padding", output_padding, 0)
        image = []
        for axis, size in enumerate(sizes):
            if extra[axis] >= max(strides[axis], dilations[axis]):
                raise ValueError(
                    f"output_padding must be below the stride ({strides[axis]}) or the dilation ({dilations[axis]}) of "
                    f"its axis, but is {extra[axis]} in the {AXES[axis]}"
                )
            window = (kernel[axis] - 1) * dilations[axis] + 1
            image.append((size - 1) * strides[axis] - 2 * pads[axis] + window + extra[axis])
            if image[axis] < 1:
                raise ValueError(
                    f"the image would have {image[axis]} pixels in the {AXES[axis]}: ({size} - 1) * {strides[axis]} - 2 * "
                    f"{pads[axis]} + {window} + {extra[axis]}; take less padding"
                )
        sides = (*image, channels, *sizes, out_channels)
        return Geometry(*sides, *kernel, *strides, *pads, *dilations, groups)  # type: ignore[call-arg]

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            checks.integer(0 if field.name.startswith("pad") else 1)(field.name, value)
            object.__setattr__(self, field.name, int(value))  # as every copy and every file has it
        for name in ("channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} must be a multiple of groups ({self.groups}), but is {getattr(self, name)}"
                )
        for name, size in (
            ("image", self.image_size),
            ("map", self.map_size),
            ("weight", math.prod(self.weight_shape)),
        ):
            if size > MAX_ELEMENTS:
                raise ValueError(
                    f"the {name} would have {size} elements, but at most {MAX_ELEMENTS} are possible"
                )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.height, self.width, self.channels

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """(out_height, out_width, out_channels)."""
        return self.out_height, self.out_width, self.out_channels

    @property
    def image_size(self) -> int:
        """Elements of an image."""
        return self.height * self.width * self.channels

    @property
    def map_size(self) -> int:
        """Elements of a map."""
        return self.out_height * self.out_width * self.out_channels

    @property
    def weight_shape(self) -> tuple[int, int, int, int]:
        """(out_channels, kernel_height, kernel_width, channels / groups)."""
        return self.out_channels, self.kernel_height, self.kernel_width, self.channels // self.groups


def _items(wanted: str, value: Any, n: int) -> tuple[Any, ...]:
    """A sequence's n items; TypeError for no sequence, ValueError for one of another length."""
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__") or not hasattr(value, "__getitem__"):
        raise checks.wrong_type(wanted, value)
    if len(value) != n:
        raise ValueError(f"{wanted}, but is {checks.shown(value)}")
    return tuple(value[i] for i in range(n))


def _shape(name: str, value: Any) -> tuple[int, ...]:
    sizes = _items(f"{name} must be (channels, height, width)", value, 3)
    for size in sizes:
        checks.integer(1)(f"each size of {name}", size)
    return tuple(int(size) for size in sizes)


def _pair(name: str, value: Any, low: int = 1) -> tuple[int, int]:
    if checks.is_integer(value):
        checks.integer(low)(name, value)
        return int(value), int(value)
    first, second = _items(f"{name} must be an integer or a pair (y, x)", value, 2)
    for item in (first, second):
        checks.integer(low)(f"each of {name}", item)
    return int(first), int(second)


def _pads(padding: Any, axis: int, size: int, window: int, stride: int) -> tuple[int, int]:
    """Before and after, of one axis."""
    if isinstance(padding, str):
        checks.choice(("valid", "same"))("padding", padding)
        total = max((-(-size // stride) - 1) * stride + window - size, 0) if padding == "same" else 0
        return total // 2, total - total // 2
    if checks.is_integer(padding):
        return _pair("padding", padding, 0)
    return _pair("each of padding", _items(f"padding must be {PADDINGS}", padding, 2)[axis], 0)
