"""Images as an estimator gets them: arrays of three or four axes, or rows that hold one image each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import checks
from aefast.convolutional import LAYOUTS
from aefast.data.rows import file_backed, refuse_masked
from aefast.errors import unknown_name
from aefast.layers import AnyLayer, Layer

Shape = tuple[int, ...]
WORDS = ("auto", "signal")
# An axis of so few beside a longer one is taken for the channels (grey, RGB, RGB with transparency).
FEW_CHANNELS = 4


def flattened(X: Any, name: str = "X") -> Any:
    """Images (n, a, b) or (n, a, b, c) as rows (n, d), a view where each lies in one piece; anything else as it is.

    Others are copied in memory; ValueError for such in a memory-mapped file.
    """
    shape = getattr(X, "shape", None)
    if shape is None and isinstance(X, Sequence) and not isinstance(X, (str, bytes)):
        try:
            shape = np.shape(X)
        except (TypeError, ValueError):  # ragged: there is a word for it later
            return X
    if shape is None or len(shape) not in (3, 4):
        return X
    refuse_masked(name, X)
    array = np.asarray(X)
    if file_backed(array) and len(array) and not array[0].flags.c_contiguous:
        raise ValueError(
            f"{name} is a view of a memory-mapped file whose images {shape[1:]} don't lie in one piece (it was transposed or "
            "cropped), and would be copied whole; choose layout= instead of transposing, or save it as it should be"
        )
    return array.reshape(len(array), math.prod(array.shape[1:]))


def axes_of(X: Any) -> Shape | None:
    """The shape of one image of X; None where X is a table."""
    shape = np.shape(X) if isinstance(X, Sequence) else getattr(X, "shape", ())
    return tuple(map(int, shape[1:])) if len(shape) in (3, 4) else None


def image_shape(given: Any, layout: str, axes: Shape | None, n_features: int) -> tuple[int, int, int]:
    """(C, H, W) by the parameter `image_shape`, the axes of an image in the data (or None) and its number of values.

    Raises ValueError where they contradict each other, or where it can't be told.
    """
    if isinstance(given, str) and given == "signal":
        return _signal(axes, n_features)
    if not isinstance(given, str):
        shape = tuple(map(int, given))
        channels, height, width = (1, *shape) if len(shape) == 2 else shape
        _check_size((channels, height, width), n_features)
        check_axes((channels, height, width), layout, axes)
        return channels, height, width
    if axes is None:
        side = math.isqrt(n_features)
        if side * side != n_features:
            raise ValueError(
                f"rows of {n_features} values are no square grey images, so image_shape must be told: "
                "image_shape=(C, H, W), or 'signal' for one-dimensional data; images of four axes, "
                "(n, C, H, W), need nothing"
            )
        return 1, side, side
    if len(axes) == 2:
        return 1, *axes
    channels, height, width = axes if layout == "channels_first" else (axes[2], axes[0], axes[1])
    if channels > FEW_CHANNELS >= (width if layout == "channels_first" else height):
        other = LAYOUTS[1 - LAYOUTS.index(layout)]
        raise ValueError(
            f"images of shape {axes} have {channels} channels by layout={layout!r}, which looks like {other!r}; "
            f"choose that, or give image_shape={(channels, height, width)} if it is meant"
        )
    return channels, height, width


def check_axes(shape: tuple[int, int, int], layout: str, axes: Shape | None, name: str = "X") -> None:
    """ValueError where an image of the data has other axes than the shape (C, H, W) in this layout; axes of 1 don't count."""
    if axes is None:
        return
    wanted = shape if layout == "channels_first" else (*shape[1:], shape[0])
    if [n for n in axes if n != 1] != [n for n in wanted if n != 1]:
        raise ValueError(
            f"{name} must hold images of shape {wanted} ({layout}, {shape[0]} channels, {shape[1]} x {shape[2]} pixels), "
            f"but they have {axes}; transpose them, or see layout= and image_shape="
        )


def check_image_shape(name: str, value: Any) -> None:
    """The rule of the parameter: "auto", "signal", (C, H, W) or (H, W)."""
    if isinstance(value, str):
        if value not in WORDS:
            raise unknown_name(name, value, WORDS)
        return
    if not isinstance(value, (tuple, list, np.ndarray)) or len(value) not in (2, 3):
        raise checks.wrong_type(f"{name} must be 'auto', 'signal', (C, H, W) or (H, W)", value)
    for size in value:
        checks.integer(1)(f"each of {name}", size)


def scaling_name(X: NDArray[Any]) -> str | None:
    """What scaling "auto" is for pixels X (n, d): "pixel" for bytes, None for values in [0, 1], else "global"."""
    low, high = float(X.min()), float(X.max())
    if low >= 0.0 and high <= 1.0:
        return None
    return "pixel" if X.dtype == np.uint8 else "global"


def by_axis(value: Any, shape: tuple[int, int, int]) -> tuple[int, int]:
    """A size for each axis: one number stands for both, but an axis of one pixel has nothing to look around for."""
    if isinstance(value, (tuple, list, np.ndarray)):
        y, x = value
        return int(y), int(x)
    y, x = (1 if size == 1 else int(value) for size in shape[1:])
    return y, x


def multiplications(layer: AnyLayer) -> float:
    """Of a row in a layer, forwards."""
    if isinstance(layer, Layer):
        return float(layer.n_in * layer.n_out)
    pixels = layer.geometry.out_height * layer.geometry.out_width
    return float(pixels * math.prod(layer.weight_shape or (0,)))


def _signal(axes: Shape | None, n_features: int) -> tuple[int, int, int]:
    if axes is not None:
        raise ValueError(
            f"image_shape='signal' is for rows (n, d), but X holds arrays of shape {axes}; several channels of a signal are "
            "image_shape=(C, 1, L)"
        )
    return 1, 1, n_features


def _check_size(shape: tuple[int, int, int], n_features: int) -> None:
    if math.prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} holds {math.prod(shape)} values, but X has {n_features} a row; give the shape (C, H, W) of "
            "its images"
        )
