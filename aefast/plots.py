"""Pictures of what an autoencoder does: one function each, returning a matplotlib Figure.

matplotlib is imported when a picture is made; Figures are made without pyplot, so no window or global state is touched.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
INK = "#22262b"
FAINT = "#8a929c"
# Okabe & Ito's palette, told apart by the colour-blind too, filled up to ten classes.
COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7",
    "#56b4e9", "#7a5195", "#8c6d31", "#6b7280", "#b5cf6b",
)  # fmt: skip
CELL = 0.62  # inches of one small image
GAP = 0.07  # white between the images of a grid, in heights of an image
DPI = 150


def reconstructions(rows: Mapping[str, ArrayLike], image_shape: tuple[int, int], *, title: str = "") -> Any:
    """Rows of images under each other, one labelled row a kind (original, PCA, autoencoder, ...): a Figure.

    Each value is (n, height * width); all have the same n and share one grey scale.
    """
    images = {label: _images(values, image_shape) for label, values in rows.items()}
    counts = {len(stack) for stack in images.values()}
    if len(counts) != 1:
        raise ValueError(f"every row needs the same number of images, but they have {sorted(counts)}")
    (n,) = counts
    low, high = _grey_range(*images.values())
    label_width = 0.068 * max(map(len, images)) + 0.25
    figure, (width, height) = _figure(label_width + n * CELL, len(images) * CELL, title)
    for i, (label, stack) in enumerate(images.items()):
        top = (len(images) - i) * CELL
        figure.text(
            (label_width - 0.1) / width,
            (top - CELL / 2) / height,
            label,
            ha="right",
            va="center",
            color=INK,
            fontsize=9,
        )
        box = (label_width / width, (top - CELL) / height, n * CELL / width, CELL / height)
        _show(figure.add_axes(box), _grid(stack, n, low), low, high)
    return figure


def denoising(clean: ArrayLike, noisy: ArrayLike, denoised: ArrayLike, image_shape: tuple[int, int]) -> Any:
    """Clean, noisy and denoised images (n, d) under each other: a Figure."""
    low, high = _grey_range(_images(clean, image_shape))
    seen = np.clip(np.asarray(noisy), low, high)  # a screen has no whiter white either
    rows = {"clean": clean, "noisy": seen, "denoised": np.clip(np.asarray(denoised), low, high)}
    return reconstructions(rows, image_shape, title="Denoising of held-out images")


def samples(
    generated: ArrayLike, image_shape: tuple[int, int], *, title: str = "Samples of the model"
) -> Any:
    """A square grid of generated images (n, d): a Figure."""
    return _mosaic(_images(generated, image_shape), title, "gray_r")


def filters(components: ArrayLike, image_shape: tuple[int, int], *, title: str = "Encoder filters") -> Any:
    """A grid of weights (n, d), each scaled by its own large values, white being zero: a Figure."""
    weights = _images(components, image_shape).astype(np.float64)
    # Not by the largest: pixels that hardly ever vary keep odd weights.
    peak = np.quantile(np.abs(weights), 0.98, axis=(1, 2), keepdims=True)
    return _mosaic(weights / np.where(peak > 0, peak, 1.0), title, "RdBu_r", (-1.0, 1.0), gap_value=0.0)


def latent_map(points: ArrayLike, labels: ArrayLike, *, title: str = "Latent map", axes: str = "code") -> Any:
    """Codes in the plane (n, 2), coloured by class (n,), each class named at its median: a Figure."""
    xy, y = np.asarray(points), np.asarray(labels)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(
            f"points must be (n, 2), but have shape {xy.shape}; project them first, with PCA say"
        )
    figure, _ = _figure(5.2, 4.8, "")
    ax = figure.add_axes((0.1, 0.1, 0.86, 0.82))
    for i, label in enumerate(np.unique(y)):
        colour, chosen = COLOURS[i % len(COLOURS)], y == label
        ax.scatter(*xy[chosen].T, s=9, color=colour, alpha=0.6, linewidths=0, rasterized=True)
    for i, label in enumerate(np.unique(y)):
        at = np.median(xy[y == label], axis=0)
        badge = {
            "boxstyle": "circle,pad=0.22",
            "fc": "white",
            "ec": COLOURS[i % len(COLOURS)],
            "lw": 1.3,
            "alpha": 0.92,
        }
        ax.text(*at, str(label), ha="center", va="center", fontsize=9, weight="bold", color=INK, bbox=badge)
    _plain(ax, title, f"{axes} 1", f"{axes} 2")
    return figure


def loss_curves(
    curves: Mapping[str, Sequence[float]], *, title: str = "Training loss, relative to the first epoch"
) -> Any:
    """Loss by epoch of several models, each divided by its first value so that they share an axis: a Figure."""
    from matplotlib.ticker import MaxNLocator

    figure, _ = _figure(6.4, 3.6, "")
    ax = figure.add_axes((0.1, 0.15, 0.68, 0.73))
    ends = []
    for i, (name, curve) in enumerate(curves.items()):
        values = np.asarray(curve, np.float64)
        if len(values) == 0:
            continue
        relative = values / values[0]
        colour = COLOURS[i % len(COLOURS)]
        ax.plot(np.arange(1, len(values) + 1), relative, color=colour, lw=1.8, solid_capstyle="round")
        ends.append((float(relative[-1]), len(values), name, colour))
    low, high = ax.get_ylim()
    # Names at the lines' ends, pushed apart where they would overlap.
    floor, step = -math.inf, 0.065 * (high - low)
    for value, epoch, name, colour in sorted(ends):
        floor = max(value, floor + step)
        ax.annotate(
            name,
            (epoch, value),
            (1.02, floor),
            textcoords=("axes fraction", "data"),
            color=colour,
            va="center",
            fontsize=9,
        )
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(axis="y", color="#e5e7eb", lw=0.8)
    ax.set_axisbelow(True)
    _plain(ax, title, "epoch", "")
    return figure


def _figure(width: float, height: float, title: str) -> tuple[Any, tuple[float, float]]:
    """A white figure of that many inches, with room for a title above them."""
    from matplotlib.figure import Figure

    size = (width + 0.1, height + (0.42 if title else 0.08))
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    if title:
        figure.text(
            0.1 / size[0], 1 - 0.24 / size[1], title, va="center", color=INK, fontsize=11, weight="bold"
        )
    return figure, size


def _mosaic(
    images: Array, title: str, colours: str, span: tuple[float, float] | None = None, gap_value: Any = None
) -> Any:
    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    low, high = span or _grey_range(images)
    figure, (width, height) = _figure(columns * CELL + 0.1, rows * CELL, title)
    ax = figure.add_axes((0.1 / width, 0.05 / height, columns * CELL / width, rows * CELL / height))
    _show(ax, _grid(images, columns, low if gap_value is None else gap_value), low, high, colours)
    return figure


def _grid(images: Array, columns: int, gap: float) -> Array:
    """Images (n, h, w) side by side in so many columns, a strip of the value `gap` around each."""
    n, h, w = images.shape
    rows, strip = math.ceil(n / columns), max(1, round(GAP * h))
    canvas = np.full((rows * (h + strip) + strip, columns * (w + strip) + strip), gap, np.float64)
    for i, image in enumerate(images):
        top, left = strip + i // columns * (h + strip), strip + i % columns * (w + strip)
        canvas[top : top + h, left : left + w] = image
    return canvas


def _show(ax: Any, image: Array, low: float, high: float, colours: str = "gray_r") -> None:
    ax.imshow(image, cmap=colours, vmin=low, vmax=high, interpolation="nearest", aspect="equal")
    ax.axis("off")


def _images(values: ArrayLike, image_shape: tuple[int, int]) -> Array:
    array = np.asarray(values)
    if array.ndim != 2 or array.shape[1] != math.prod(image_shape):
        raise ValueError(
            f"images must be (n, {math.prod(image_shape)}) for {image_shape}, but have shape {array.shape}"
        )
    return array.reshape(-1, *image_shape)


def _grey_range(*stacks: Array) -> tuple[float, float]:
    """0..1 or 0..255, whichever the first stack's values are; others are clipped to it by the colour map."""
    return 0.0, 255.0 if float(np.max(stacks[0])) > 2.0 else 1.0


def _plain(ax: Any, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=11, weight="bold", color=INK)
    ax.set_xlabel(x, color=FAINT, fontsize=9)
    ax.set_ylabel(y, color=FAINT, fontsize=9)
    ax.tick_params(colors=FAINT, labelsize=8, length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#c4c9d0")
