"""The layers of the measured nets in NumPy, in any float dtype: what `bench.reference` computes with.

Rows hold an image or a map flat, channels last. A convolution is written as its definition (`aefast.geometry`): one matrix
product a tap.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.geometry import Geometry

Array = NDArray[Any]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Dense:
    """x wᵀ + b, w (n, m), b (n,). `reads` and `writes`: (H, W, C), where a side is a map that a convolution joins."""

    m: int
    n: int
    reads: Shape | None = None
    writes: Shape | None = None

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.n, self.m

    @property
    def n_bias(self) -> int:
        return self.n

    @property
    def fan_in(self) -> float:
        return self.m

    @property
    def flops(self) -> float:
        """Of one of the layer's three products, for one row."""
        return 2.0 * self.m * self.n

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        return x @ w.T + b

    def weight_gradient(self, delta: Array, x: Array) -> Array:
        return delta.T @ x

    def bias_gradient(self, delta: Array) -> Array:
        return delta.sum(axis=0)

    def input_gradient(self, delta: Array, w: Array) -> Array:
        return delta @ w


@dataclass(frozen=True)
class Convolution:
    """Image to map, or map to image where `transposed`; w (out_channels, kernel_height, kernel_width, channels)."""

    geometry: Geometry
    transposed: bool = False

    @property
    def weight_shape(self) -> tuple[int, ...]:
        return self.geometry.weight_shape

    @property
    def n_bias(self) -> int:
        return self.geometry.channels if self.transposed else self.geometry.out_channels

    @property
    def fan_in(self) -> float:
        """Inputs that an output is a sum of, away from the border."""
        g = self.geometry
        taps = g.kernel_height * g.kernel_width
        return taps * g.out_channels / (g.stride_y * g.stride_x) if self.transposed else taps * g.channels

    @property
    def flops(self) -> float:
        """Of one of the layer's three products, for one row; taps on the padding are not counted."""
        g = self.geometry
        rows = _inside(g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top)
        columns = _inside(g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left)
        return 2.0 * rows * columns * g.channels * g.out_channels

    def forward(self, x: Array, w: Array, b: Array) -> Array:
        z = self._to_image(x, w) if self.transposed else self._to_map(x, w)
        return (z.reshape(-1, len(b)) + b).reshape(len(x), -1)

    def weight_gradient(self, delta: Array, x: Array) -> Array:
        image, mapped = (delta, x) if self.transposed else (x, delta)
        bordered, inside = self._bordered(len(x), x.dtype)
        inside[...] = image.reshape(inside.shape)
        rows = mapped.reshape(-1, self.geometry.out_channels)
        dw = np.empty(self.weight_shape, x.dtype)
        for i, j, pixels in self._taps(bordered):
            dw[:, i, j] = rows.T @ pixels.reshape(len(rows), -1)
        return dw

    def bias_gradient(self, delta: Array) -> Array:
        return delta.reshape(-1, self.n_bias).sum(axis=0)

    def input_gradient(self, delta: Array, w: Array) -> Array:
        return self._to_map(delta, w) if self.transposed else self._to_image(delta, w)

    def _to_map(self, image: Array, w: Array) -> Array:
        g = self.geometry
        bordered, inside = self._bordered(len(image), image.dtype)
        inside[...] = image.reshape(inside.shape)
        total = np.zeros((len(image) * g.out_height * g.out_width, g.out_channels), image.dtype)
        for i, j, pixels in self._taps(bordered):
            total += pixels.reshape(len(total), -1) @ w[:, i, j].T
        return total.reshape(len(image), -1)

    def _to_image(self, mapped: Array, w: Array) -> Array:
        bordered, inside = self._bordered(len(mapped), mapped.dtype)
        rows = mapped.reshape(-1, self.geometry.out_channels)
        for i, j, pixels in self._taps(bordered):
            np.add(pixels, (rows @ w[:, i, j]).reshape(pixels.shape), out=pixels)
        return inside.reshape(len(mapped), -1)

    def _bordered(self, n: int, dtype: Any) -> tuple[Array, Array]:
        """Zeros (n, H', W', C) in which every window lies, and the view of the image in it."""
        g = self.geometry
        ends = (
            (g.out_height - 1) * g.stride_y + g.kernel_height,
            (g.out_width - 1) * g.stride_x + g.kernel_width,
        )
        sizes = max(ends[0], g.pad_top + g.height), max(ends[1], g.pad_left + g.width)
        bordered = np.zeros((n, *sizes, g.channels), dtype)
        return bordered, bordered[:, g.pad_top : g.pad_top + g.height, g.pad_left : g.pad_left + g.width]

    def _taps(self, bordered: Array) -> Iterator[tuple[int, int, Array]]:
        """(i, j, the pixels (n, out_height, out_width, C) that the windows have there): a view."""
        g = self.geometry
        for i in range(g.kernel_height):
            for j in range(g.kernel_width):
                rows = slice(i, i + (g.out_height - 1) * g.stride_y + 1, g.stride_y)
                columns = slice(j, j + (g.out_width - 1) * g.stride_x + 1, g.stride_x)
                yield i, j, bordered[:, rows, columns]


Product = Dense | Convolution


def _inside(size: int, out: int, kernel: int, stride: int, pad: int) -> int:
    """Pairs of a window and a tap, along one axis, that lie on the image."""
    return sum(0 <= y * stride + i - pad < size for y in range(out) for i in range(kernel))


def bound(product: Product, gain: float) -> float:
    """Of the uniform initial weights and biases."""
    return gain / math.sqrt(product.fan_in)
