"""Where a convolution's product reads and writes, axis by axis: the numbers behind `kernels/conv.py`."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from aefast.geometry import Geometry


class Walk(NamedTuple):
    """Cells of one axis. Cell c with tap t reads source pixel c * step + first + t * spacing, writes destination pixel
    origin + c * dest_step, and takes the kernel's place k_first + t * k_step.
    """

    cells: int
    taps: int
    source: int  # pixels
    step: int
    first: int
    spacing: int
    k_first: int
    k_step: int
    origin: int
    dest_step: int


class Product(NamedTuple):
    """A product from one side to the other, without its cells."""

    phases: tuple[tuple[Walk, Walk], ...]  # (y, x)
    groups: int
    depth: int  # source channels of a group
    width: int  # destination channels of a group
    source_channels: int
    dest_channels: int
    dest_pixels: int
    dest_wide: int


def forward(source: int, dest: int, kernel: int, stride: int, pad: int, dilation: int) -> list[Walk]:
    """From the image to the map: every cell has all taps."""
    return [Walk(dest, kernel, source, stride, -pad, dilation, 0, 1, 0, 1)]


def transposed(source: int, dest: int, kernel: int, stride: int, pad: int, dilation: int) -> list[Walk]:
    """From the map to the image, phase by phase: pixels a stride apart have the same taps, those k for which
    pixel + pad - k * dilation is a multiple of the stride.
    """
    walks = []
    common = math.gcd(stride, dilation)
    for origin in range(min(stride, dest)):
        met = [k for k in range(kernel) if (origin + pad - k * dilation) % stride == 0]
        first = (origin + pad - met[0] * dilation) // stride if met else 0
        cells = -(-(dest - origin) // stride)
        k_first = met[0] if met else 0
        walks.append(
            Walk(
                cells,
                len(met),
                source,
                1,
                first,
                -dilation // common,
                k_first,
                stride // common,
                origin,
                stride,
            )
        )
    return walks


def product_of(g: Geometry, to_map: bool) -> Product:
    """The product from image to map, or from map to image."""
    axes = (
        (g.height, g.out_height, g.kernel_height, g.stride_y, g.pad_top, g.dilation_y),
        (g.width, g.out_width, g.kernel_width, g.stride_x, g.pad_left, g.dilation_x),
    )
    if to_map:
        (y,), (x,) = (forward(*axis) for axis in axes)
        sides = g.channels, g.out_channels, g.out_height * g.out_width, g.out_width
        phases: Iterator[tuple[Walk, Walk]] = iter(((y, x),))
    else:
        ys, xs = (transposed(map_, image, *rest) for image, map_, *rest in axes)
        sides = g.out_channels, g.channels, g.height * g.width, g.width
        phases = ((y, x) for y in ys for x in xs)
    source, dest, pixels, wide = sides
    return Product(tuple(phases), g.groups, source // g.groups, dest // g.groups, source, dest, pixels, wide)
