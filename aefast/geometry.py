"""How a convolution's two sides fit together: one description for the convolution, its transpose and their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aefast import checks

Pair = int | Sequence[int]
Padding = str | int | Sequence[int | Sequence[int]]


@dataclass(frozen=True)
class Geometry:
    """An image (height, width, channels) and a map (out_height, out_width, out_channels) joined by a kernel.

    map[y, x, n] = sum_{i, j, c} w[n, i, j, c] image[y stride_y + i dilation_y - pad_top,
                                                     x stride_x + j dilation_x - pad_left, c]

    with zeros outside of the image. A convolution reads the image and writes the map; a transposed convolution reads the
    map and writes the image, with the same weight. Rows of a batch hold a side flat, channels last. The weight is
    (out_channels, kernel_height, kernel_width, channels / groups); with groups, map channel n sees the image channels of group
    n // (out_channels / groups). What lies below and right of the last window is not read, or gets the bias alone.
    1-D data has height 1.
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

        padding: "valid" (none), "same" (the map has ceil(size / stride) pixels, an odd pixel of padding below and right), a
        number for all sides, (y, x), or ((top, bottom), (left, right)). Raises ValueError where the window is larger than
        the padded image, or the channels can't be split into groups.
        """
        channels, *sizes = (int(n) for n in image_shape)
        kernel, strides, dilations = _pair(kernel_size), _pair(stride), _pair(dilation)
        before, out = [], []
        for axis, size in enumerate(sizes):
            window = (kernel[axis] - 1) * dilations[axis] + 1
            pads = _pads(padding, axis, size, window, strides[axis])
            if size + sum(pads) < window:
                raise ValueError(
                    f"a window of {window} pixels ({kernel[axis]} taps, dilation {dilations[axis]}) doesn't fit into "
                    f"{size} + {pads[0]} + {pads[1]} padded pixels of the {('height', 'width')[axis]}"
                )
            before.append(pads[0])
            out.append((size + sum(pads) - window) // strides[axis] + 1)
        return Geometry(*sizes, channels, *out, out_channels, *kernel, *strides, *before, *dilations, groups)

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            checks.integer(0 if name.startswith("pad") else 1)(name, getattr(self, name))
        for name in ("channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise ValueError(
                    f"{name} must be a multiple of groups ({self.groups}), but is {getattr(self, name)}"
                )

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


def _pair(value: Any) -> tuple[int, int]:
    if isinstance(value, Sequence):
        first, second = value
        return int(first), int(second)
    return int(value), int(value)


def _pads(padding: Any, axis: int, size: int, window: int, stride: int) -> tuple[int, int]:
    if padding == "valid":
        return 0, 0
    if padding == "same":
        total = max((-(-size // stride) - 1) * stride + window - size, 0)
        return total // 2, total - total // 2
    sides = padding[axis] if isinstance(padding, Sequence) else padding
    return _pair(sides)
