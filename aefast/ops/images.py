"""Batches of images on their way to an op and back: 4-D arrays in either layout, as rows that hold an image flat.

The contract's rows are channels last. An array whose images lie in memory that way is taken as it is, whatever its layout is
called and whatever lies between two images; others are copied, an image's channels first by the op `transpose_rows`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import activations
from aefast.checks import choice
from aefast.convolutional import LAYOUTS
from aefast.data.rows import as_feature_weight
from aefast.geometry import Geometry
from aefast.ops.checks import Array, apart, check, output

CHANNELS_FIRST, _ = LAYOUTS
Side = tuple[int, int, int]
"""(height, width, channels)."""

check_layout = choice(LAYOUTS)


def read_shape(name: str, array: Array, layout: str) -> tuple[int, Side]:
    """The batch and (height, width, channels) of a 4-D array; TypeError or ValueError for another."""
    check_layout("layout", layout)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{name} must be a NumPy array, but is {type(array).__name__}")
    return sides(name, array.shape, layout)


def sides(name: str, shape: tuple[int, ...], layout: str) -> tuple[int, Side]:
    """The batch and (height, width, channels) of a shape in a known layout; ValueError for one that isn't 4-D."""
    if len(shape) != 4 or 0 in shape:
        order = "(B, C, H, W)" if layout == CHANNELS_FIRST else "(B, H, W, C)"
        raise ValueError(
            f"{name} must have shape {order} with layout={layout!r}, without empty dimensions, but has {shape}; "
            "1-D data have H = 1"
        )
    b, *sizes = shape
    channels, height, width = sizes if layout == CHANNELS_FIRST else (sizes[2], sizes[0], sizes[1])
    return b, (height, width, channels)


def image_side(geometry: Geometry) -> Side:
    """(height, width, channels) of the image."""
    return geometry.height, geometry.width, geometry.channels


def map_side(geometry: Geometry) -> Side:
    """(height, width, channels) of the map."""
    return geometry.out_height, geometry.out_width, geometry.out_channels


def need_saved(op: str, activation: str, saved: Array | None) -> None:
    """ValueError where the activation's derivative needs what isn't there."""
    act = activations.get(activation)
    if saved is None and act.name != "identity":
        raise ValueError(f"{op} through {act.name!r} needs saved: the layer's {act.saved}")


class Images:
    """The arrays of one call: each checked, as rows; `deliver` puts what the op wrote where the caller wants it.

    Parameters
    ----------
    ops : a backend's ops
    layout : {"channels_first", "channels_last"}
    batch : int
    dtype : of all arrays
    """

    def __init__(self, ops: Any, layout: str, batch: int, dtype: np.dtype[Any]) -> None:
        self._ops, self._layout, self._batch, self._dtype = ops, layout, batch, dtype
        self._read: dict[str, Any] = {}
        self._given: dict[str, Array | None] = {}
        self._late: list[tuple[Array, Array, Side]] = []

    def shape(self, side: Side) -> tuple[int, int, int, int]:
        """Of an array of such images in the caller's layout."""
        height, width, channels = side
        if self._layout == CHANNELS_FIRST:
            return self._batch, channels, height, width
        return self._batch, height, width, channels

    def beside(self, **arrays: Any) -> None:
        """Arrays that are no images, which outputs must not overlap either."""
        self._read |= arrays

    def rows(self, name: str, array: Array, side: Side) -> Array:
        """(B, features) of an input."""
        check(name, array, self.shape(side), self._dtype)
        self._read[name] = array
        last = self._channels_last(array)
        if _is_flat(last):
            return last.reshape(self._batch, -1)
        if self._layout == CHANNELS_FIRST and _is_flat(array):
            rows = np.empty((self._batch, side[0] * side[1] * side[2]), self._dtype)
            self._ops.transpose_rows(array.reshape(self._batch, -1), side[2], rows)
            return rows
        return np.ascontiguousarray(last).reshape(self._batch, -1)

    def rows_or_none(self, name: str, array: Array | None, side: Side) -> Array | None:
        """`rows`; None stays None."""
        return None if array is None else self.rows(name, array, side)

    def written(self, name: str, out: Array | None, side: Side) -> tuple[Array, Array]:
        """The array for the caller, given or new, and the rows (B, features) for the op to write."""
        array = output(name, out, self.shape(side), self._dtype)
        self._given[name] = out
        last = self._channels_last(array)
        if _is_flat(last):
            return array, last.reshape(self._batch, -1)
        rows = np.empty((self._batch, side[0] * side[1] * side[2]), self._dtype)
        self._late.append((rows, array, side))
        return array, rows

    def apart(self, **vectors: Array | None) -> None:
        """ValueError where an output that the caller gave, or one of `vectors`, overlaps anything else."""
        apart({**self._given, **vectors}, self._read)

    def deliver(self) -> None:
        """Copies to the caller's arrays what had to be written elsewhere."""
        for rows, array, side in self._late:
            if self._layout == CHANNELS_FIRST and _is_flat(array):
                self._ops.transpose_rows(rows, side[0] * side[1], array.reshape(self._batch, -1))
            else:
                self._channels_last(array)[...] = rows.reshape(self._batch, *side)

    def features(self, value: Any, side: Side) -> Array | None:
        """Feature weights, of one image's shape in the caller's layout or flat in that order, as the op wants them."""
        shape = self.shape(side)[1:]
        if value is not None and np.shape(value) == shape:
            value = np.reshape(value, -1)
        weights = as_feature_weight(value, side[0] * side[1] * side[2])
        if weights is None:
            return None
        if self._layout == CHANNELS_FIRST:
            weights = weights.reshape(shape).transpose(1, 2, 0).reshape(-1)
        return weights.astype(self._dtype)

    def _channels_last(self, array: Array) -> Array:
        return array.transpose(0, 2, 3, 1) if self._layout == CHANNELS_FIRST else array


def _is_flat(array: Array) -> bool:
    """Whether each image is one piece of memory, behind the one before."""
    return array[0].flags.c_contiguous and (
        len(array) == 1 or array.strides[0] >= array[0].size * array.itemsize
    )
