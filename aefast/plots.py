"""Pictures of what an autoencoder does: one function each, returning a matplotlib Figure.

Figures are made without pyplot, so no window or global state is touched, and matplotlib is imported when one is made
(ModuleNotFoundError without it: `pip install 'aefast[demo]'`). Save one with `figure.savefig("name.png")`.

Arrays are of any real dtype and finite, n above 0: others are a TypeError or a ValueError that names the argument. Images
are rows (n, height * width), in 0..1 or, where the first stack's largest value is above 2, in 0..255; darker is more, and
what is beyond the scale is shown at its end.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
INK = "#22262b"
FAINT = "#6b7480"
# Okabe & Ito's palette, told apart by the colour-blind too, filled up to ten classes.
COLOURS = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7",
    "#56b4e9", "#7a5195", "#8c6d31", "#6b7280", "#b5cf6b",
)  # fmt: skip
CELL = 0.62  # inches of one small image
GAP = 0.07  # white between the images of a grid, in heights of an image
LETTER = 0.097  # inches that a letter of a title takes at most
DPI = 150


def reconstructions(rows: Mapping[str, ArrayLike], image_shape: tuple[int, int], *, title: str = "") -> Any:
    """Rows of images under each other, one labelled row a kind (original, PCA, autoencoder, ...): a Figure.

    Parameters
    ----------
    rows : mapping of str to (n, height * width)
        Label and images, from the top; all have the same n, and the first sets the grey scale of all.
    image_shape : (height, width)
        In pixels.
    title : str
        Above the rows; none if empty.

    Raises
    ------
    TypeError, ValueError
        For no rows, rows of different n, and what can't be images of that shape.
    """
    images = {label: _images(values, image_shape, f"row {label!r}") for label, values in rows.items()}
    counts = {label: len(stack) for label, stack in images.items()}
    if len(set(counts.values())) != 1:
        raise ValueError(f"rows need at least one row, all of as many images, but they have {counts}")
    n = next(iter(counts.values()))
    low, high = _grey_range(next(iter(images.values())))
    grids = [_grid(stack, n, low) for stack in images.values()]
    row_height, row_width = (CELL / max(image_shape) * side for side in grids[0].shape)
    label_width = 0.085 * max(map(len, images)) + 0.2
    figure, (width, height) = _figure(label_width + row_width, len(images) * row_height, title)
    for i, (label, grid) in enumerate(zip(images, grids, strict=True)):
        bottom = (len(images) - 1 - i) * row_height
        at = ((label_width - 0.08) / width, (bottom + row_height / 2) / height)
        figure.text(*at, label, ha="right", va="center", color=INK, fontsize=9)
        box = (label_width / width, bottom / height, row_width / width, row_height / height)
        _show(figure.add_axes(box), grid, low, high)
    return figure


def denoising(
    clean: ArrayLike,
    noisy: ArrayLike,
    denoised: ArrayLike,
    image_shape: tuple[int, int],
    *,
    title: str = "Denoising of held-out images",
) -> Any:
    """Clean images (n, height * width), the same with noise, and what a model made of them, under each other: a Figure.

    The clean ones set the grey scale. Raises what `reconstructions` raises.
    """
    rows = {"clean": clean, "noisy": noisy, "denoised": denoised}
    return reconstructions(rows, image_shape, title=title)


def samples(
    generated: ArrayLike, image_shape: tuple[int, int], *, title: str = "Samples of the model"
) -> Any:
    """A square grid, row by row, of generated images (n, height * width): a Figure.

    Raises TypeError or ValueError for what can't be images of that shape.
    """
    images = _images(generated, image_shape, "generated")
    return _mosaic(images, title, "gray_r", _grey_range(images))


def filters(components: ArrayLike, image_shape: tuple[int, int], *, title: str = "Encoder filters") -> Any:
    """A grid, row by row, of weights (n, height * width), red above zero and blue below, each with its own scale: a Figure.

    Full colour is a filter's 98% quantile of absolute values. Raises TypeError or ValueError for what can't be images of
    that shape.
    """
    weights = _images(components, image_shape, "components").astype(np.float64)
    # Not by the largest: pixels that hardly ever vary keep odd weights.
    peak = np.quantile(np.abs(weights), 0.98, axis=(1, 2), keepdims=True)
    scaled = weights / np.where(peak > 0, peak, 1.0)
    return _mosaic(
        scaled, title, "RdBu_r", (-1.0, 1.0), note="red: positive, blue: negative, each on its own scale"
    )


def latent_map(points: ArrayLike, labels: ArrayLike, *, title: str = "Latent map", axes: str = "code") -> Any:
    """Codes in the plane, coloured by class, each class named at its median: a Figure.

    Parameters
    ----------
    points : (n, 2)
        Both axes get the same scale.
    labels : (n,)
        Classes of any dtype that sorts; from the eleventh on, colours repeat.
    title : str
        Above the map.
    axes : str
        What the axes are: "code" names them "code 1" and "code 2".

    Raises
    ------
    TypeError, ValueError
        For points that aren't (n, 2), and labels of another length or not a number.
    """
    xy, y = np.asarray(points), np.asarray(labels)
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise ValueError(
            f"points must be (n, 2), but have shape {xy.shape}; project them first, with PCA say"
        )
    _check_numbers(xy, "points")
    if y.shape != (len(xy),):
        raise ValueError(
            f"labels must be ({len(xy)},) as there are {len(xy)} points, but have shape {y.shape}"
        )
    if y.dtype.kind == "f":
        _check_numbers(y, "labels")
    figure, _ = _figure(5.2, 4.8, "")
    ax = figure.add_axes((0.11, 0.1, 0.86, 0.82))
    classes = [
        (xy[y == label], str(label), COLOURS[i % len(COLOURS)]) for i, label in enumerate(np.unique(y))
    ]
    for chosen, _, colour in classes:
        ax.scatter(*chosen.T, s=12, color=colour, alpha=0.65, linewidths=0, rasterized=True)
    for chosen, name, colour in classes:
        badge = {"boxstyle": "circle,pad=0.22", "fc": "white", "ec": colour, "lw": 1.3, "alpha": 0.92}
        at = np.median(chosen, axis=0)
        ax.text(*at, name, ha="center", va="center", fontsize=9, weight="bold", color=INK, bbox=badge)
    ax.set_aspect("equal", adjustable="datalim")
    _plain(ax, title, f"{axes} 1", f"{axes} 2")
    return figure


def loss_curves(
    curves: Mapping[str, Sequence[float]], *, title: str = "Training loss, relative to the first epoch"
) -> Any:
    """Loss by epoch of several models, each divided by its first value so that they share an axis: a Figure.

    Parameters
    ----------
    curves : mapping of str to (epochs,)
        Name and loss (above zero in the first epoch) by epoch; empty ones are left out.
    title : str
        Above the curves.

    Raises
    ------
    TypeError, ValueError
        For no curve with a value, and values that aren't finite numbers.
    """
    from matplotlib.ticker import MaxNLocator

    drawn = {name: np.asarray(curve) for name, curve in curves.items() if len(curve) > 0}
    if not drawn:
        raise ValueError("curves hold no value; fit the models first")
    for name, values in drawn.items():
        _check_numbers(values, f"curve {name!r}")
        if values.ndim != 1 or not values[0] > 0:
            raise ValueError(f"curve {name!r} must be (epochs,) and begin above 0, but is {values!r:.60}")
    figure, _ = _figure(6.4, 3.6, "")
    ax = figure.add_axes((0.08, 0.15, 0.71, 0.73))
    ends = []
    for i, (name, values) in enumerate(drawn.items()):
        relative, colour = values / values[0], COLOURS[i % len(COLOURS)]
        ax.plot(np.arange(1, len(values) + 1), relative, color=colour, lw=1.8, solid_capstyle="round")
        ends.append((float(relative[-1]), len(values), name, colour))
    low, high = ax.get_ylim()
    # Names at the lines' ends, pushed apart where they would overlap.
    floor, step = -math.inf, 0.065 * (high - low)
    for value, epoch, name, colour in sorted(ends):
        floor = max(value, floor + step)
        style = {"color": colour, "va": "center", "fontsize": 9}
        ax.annotate(name, (epoch, value), (1.02, floor), textcoords=("axes fraction", "data"), **style)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.grid(axis="y", color="#e5e7eb", lw=0.8)
    ax.set_axisbelow(True)
    _plain(ax, title, "epoch", "")
    return figure


def _figure(width: float, height: float, title: str, note: str = "") -> tuple[Any, tuple[float, float]]:
    """A white figure of that many inches, wider where title or note need it, with room for them above and below."""
    from matplotlib.figure import Figure

    needed = max(width, LETTER * len(title), 0.7 * LETTER * len(note))
    size = (needed + 0.1, height + (0.42 if title else 0.08))
    figure = Figure(figsize=size, dpi=DPI, facecolor="white")
    if title:
        style: dict[str, Any] = {"va": "center", "color": INK, "fontsize": 11, "weight": "bold"}
        figure.text(0.1 / size[0], 1 - 0.24 / size[1], title, **style)
    if note:
        figure.text(0.1 / size[0], 0.13 / size[1], note, va="center", color=FAINT, fontsize=8)
    return figure, size


def _mosaic(images: Array, title: str, colours: str, span: tuple[float, float], *, note: str = "") -> Any:
    columns = math.ceil(math.sqrt(len(images)))
    # The strips between filters are transparent, not zero: the white of a page isn't that of the colour map.
    grid = _grid(images, columns, math.nan if span[0] < 0 else span[0])
    height, width = (CELL / max(images.shape[1:]) * side for side in grid.shape)
    foot = 0.26 if note else 0.0
    figure, size = _figure(width + 0.1, height + foot, title, note)
    ax = figure.add_axes((0.05 / size[0], foot / size[1], width / size[0], height / size[1]))
    _show(ax, grid, *span, colours)
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


def _images(values: ArrayLike, image_shape: tuple[int, int], what: str) -> Array:
    """Rows of pixels as images (n, h, w)."""
    array, pixels = np.asarray(values), math.prod(image_shape)
    if len(image_shape) != 2 or min(image_shape) < 1:
        raise ValueError(f"image_shape must be (height, width), both at least 1, but is {image_shape}")
    if array.ndim != 2 or array.shape[1] != pixels:
        raise ValueError(
            f"{what} must be (n, {pixels}) for images of {image_shape}, but has shape {array.shape}"
        )
    _check_numbers(array, what)
    return array.reshape(-1, *image_shape)


def _check_numbers(array: Array, what: str) -> None:
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{what} must hold real numbers, but its dtype is {array.dtype}")
    if len(array) == 0:
        raise ValueError(f"{what} holds nothing to show: its shape is {array.shape}")
    if not (finite := np.isfinite(array)).all():
        raise ValueError(
            f"{what} must be finite, but {finite.size - finite.sum()} of its {finite.size} values aren't"
        )


def _grey_range(images: Array) -> tuple[float, float]:
    """0..1 or 0..255, whichever the images' values are."""
    return 0.0, 255.0 if float(np.max(images)) > 2.0 else 1.0


def _plain(ax: Any, title: str, x: str, y: str) -> None:
    ax.set_title(title, loc="left", fontsize=11, weight="bold", color=INK)
    ax.set_xlabel(x, color=FAINT, fontsize=9)
    ax.set_ylabel(y, color=FAINT, fontsize=9)
    ax.tick_params(colors=FAINT, labelsize=8, length=3)
    for side, spine in ax.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#c4c9d0")
