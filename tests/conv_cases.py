"""Geometries for the tests of convolutions, small and odd; and the dense layer that a convolution is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aefast.geometry import Geometry
from aefast.testing.tolerances import GRADIENT

H = 1e-5

# Sizes that no vector length divides, strides that skip, pads of one side, and each option by itself and with others.
GEOMETRIES: dict[str, Geometry] = {
    "plain": Geometry.of((2, 5, 4), 3, 3),
    "one pixel": Geometry.of((3, 4, 5), 2, 1),
    "the whole image": Geometry.of((2, 3, 4), 5, (3, 4)),
    "same": Geometry.of((2, 5, 6), 3, 3, padding="same"),
    "stride 2": Geometry.of((2, 7, 6), 3, 3, stride=2, padding="same"),
    "odd strides": Geometry.of((2, 8, 7), 3, (3, 2), stride=(3, 1), padding=1),
    "stride beyond the kernel": Geometry.of((2, 9, 8), 3, 2, stride=3),
    "pads of one side": Geometry.of((1, 5, 5), 2, 3, padding=((2, 0), (0, 1))),
    "pads beyond the kernel": Geometry.of((1, 3, 3), 2, 2, padding=((3, 2), (0, 2))),
    "dilation": Geometry.of((2, 8, 9), 3, (3, 2), dilation=(2, 3), padding=(2, 1)),
    "dilation and stride": Geometry.of((2, 9, 7), 3, 3, stride=2, dilation=2, padding=2),
    "groups": Geometry.of((4, 5, 5), 6, 3, stride=2, padding=1, groups=2),
    "depthwise": Geometry.of((4, 5, 4), 4, 3, padding="same", groups=4),
    "depthwise, two a channel": Geometry.of((3, 6, 4), 6, 3, stride=(2, 1), padding=1, groups=3),
    "one row": Geometry.of((2, 1, 9), 3, (1, 3), stride=(1, 2), padding="same"),
    "output padding": Geometry.of_transposed(
        (3, 3, 4), 2, 3, stride=(2, 3), padding=1, output_padding=(1, 2)
    ),
    "all at once": Geometry.of_transposed(
        (6, 3, 4), 4, (3, 2), stride=(2, 3), padding=(2, 1), output_padding=(1, 2), dilation=(2, 1), groups=2
    ),
}


def places(g: Geometry) -> np.ndarray:
    """(map_size, image_size) which element of the weight, in row-major order, joins two elements; -1 where none does."""
    found = np.full((*g.map_shape, *g.image_shape), -1)
    n_each, c_each = g.out_channels // g.groups, g.channels // g.groups
    weights = np.arange(np.prod(g.weight_shape)).reshape(g.weight_shape)
    for y, x, n in np.ndindex(*g.map_shape):
        for i, j, k in np.ndindex(g.kernel_height, g.kernel_width, c_each):
            row = y * g.stride_y + i * g.dilation_y - g.pad_top
            col = x * g.stride_x + j * g.dilation_x - g.pad_left
            if 0 <= row < g.height and 0 <= col < g.width:
                found[y, x, n, row, col, n // n_each * c_each + k] = weights[n, i, j, k]
    return found.reshape(g.map_size, g.image_size)


def matrix(w: np.ndarray, g: Geometry) -> np.ndarray:
    """(map_size, image_size): the dense layer's weight that does what the convolution does."""
    place = places(g)
    return np.where(place >= 0, w.ravel()[place], 0)


def check_slope(value: Callable[[], float], array: np.ndarray, gradient: np.ndarray) -> None:
    """The gradient of `value()` by each element of `array`, which it reads, against central differences."""
    norm = np.abs(gradient).max() + 1.0
    for place in np.ndindex(*array.shape):
        before = array[place]
        array[place] = before + H
        above = value()
        array[place] = before - H
        below = value()
        array[place] = before
        assert abs((above - below) / (2 * H) - gradient[place]) <= 10 * GRADIENT * norm, place
