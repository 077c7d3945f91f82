"""`python tests/make_plot_baselines.py` draws every picture anew and stores its thumbnail in tests/baselines/plots.npz.

Look at the pictures before you do: `python tests/make_plot_baselines.py FOLDER` leaves them there as PNG files and stores
nothing. tests/test_plots.py compares with what is stored.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from aefast import plots

BASELINES = Path(__file__).parent / "baselines" / "plots.npz"
WIDTH = 48  # blocks that a picture's width is divided into
BLOCK = 24  # pixels of a block's side: many, as releases of matplotlib place letters and images up to a pixel aside
# Levels of 255 by which pictures may differ. Everywhere on average:
MEAN_TOLERANCE = 2.0
# and in any one block, beyond what stands in it and around it, so that a letter may move over an edge. matplotlib 3.9 and
# 3.11 differ by up to 21 where images are and by 10 in charts; of the bugs that tests plant the least visible are swapped
# rows of similar images (42) and one point of a map lost (25).
TOLERANCES = {
    "reconstructions": 30.0,
    "denoising": 30.0,
    "samples": 30.0,
    "filters": 30.0,
    "latent_map": 18.0,
    "loss_curves": 18.0,
}


def images(n: int, height: int, width: int) -> np.ndarray:
    """(n, height * width) in 0..1: each is another bright bar on a ramp, and none is its own mirror or transpose."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    stack = [0.25 * x + 0.25 * y**2 + 0.5 * ((2 * x + y) * n // 3 % n == i) for i in range(n)]
    return np.reshape(stack, (n, height * width))


def figures() -> dict[str, Callable[[], Any]]:
    """One call a picture of the module, on inputs that are the same everywhere."""
    wide, square = images(5, 6, 9), images(7, 8, 8)
    noise = np.sin(37.0 * np.arange(wide.size) ** 1.5).reshape(wide.shape)
    turn = np.arange(120) * 0.7
    spiral = np.stack([np.cos(turn) * (1 + turn / 40), 0.6 * np.sin(turn) * (1 + turn / 30)], axis=1)
    halving = 0.5 ** np.arange(12)
    return {
        "reconstructions": lambda: plots.reconstructions(
            {"original": wide, "PCA, 8": wide[::-1], "autoencoder, 8": 0.6 * wide}, (6, 9), title="Three rows"
        ),
        "denoising": lambda: plots.denoising(wide, wide + noise, 0.8 * wide, (6, 9)),
        "samples": lambda: plots.samples((255 * square).astype(np.uint8), (8, 8)),
        "filters": lambda: plots.filters(square - 0.4, (8, 8)),
        "latent_map": lambda: plots.latent_map(spiral, (turn // 1.6 % 4).astype(int), title="Four classes"),
        "loss_curves": lambda: plots.loss_curves(
            {"halving": 3 * halving, "slow": [2.0, 1.9, 1.5, 1.4], "up": [1.0, 1.2, 1.1, 1.3, 1.25]}
        ),
    }


def thumbnail(figure: Any) -> np.ndarray:
    """(h, WIDTH, 3) uint8: the mean colours of the blocks of a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure.set_dpi(WIDTH * BLOCK / figure.get_figwidth())
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3].astype(np.float64)
    for axis, blocks in enumerate((round(WIDTH * pixels.shape[0] / pixels.shape[1]), WIDTH)):
        edges = np.linspace(0, pixels.shape[axis], blocks + 1).astype(int)
        counts = np.expand_dims(np.diff(edges), tuple({0, 1, 2} - {axis}))
        pixels = np.add.reduceat(pixels, edges[:-1], axis=axis) / counts
    return np.rint(pixels).astype(np.uint8)


def difference(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> str:
    """What is wrong with a thumbnail; empty if nothing."""
    if found.shape != wanted.shape:
        return f"{found.shape[:2]} blocks instead of {wanted.shape[:2]}: the picture has another shape"
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    mean = np.abs(found - wanted).mean()
    error = np.maximum(_beyond(found, wanted), _beyond(wanted, found)).max(axis=2)
    if mean <= MEAN_TOLERANCE and error.max() <= tolerance:
        return ""
    row, column = np.unravel_index(error.argmax(), error.shape)
    return (
        f"off by {mean:.2f} of 255 on average (allowed {MEAN_TOLERANCE}), by {error.max():.0f} (allowed {tolerance}) "
        f"in block {row}, {column} of {error.shape}; python tests/make_plot_baselines.py FOLDER shows the picture"
    )


def _beyond(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How far each block is outside of what the wanted one and its eight neighbours hold."""
    (height, width, _), padded = wanted.shape, np.pad(wanted, ((1, 1), (1, 1), (0, 0)), mode="edge")
    around = [padded[i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return np.maximum(np.maximum(np.min(around, axis=0) - found, found - np.max(around, axis=0)), 0)


def main() -> None:
    if len(sys.argv) > 1:
        folder = Path(sys.argv[1])
        folder.mkdir(parents=True, exist_ok=True)
        for name, draw in figures().items():
            draw().savefig(folder / f"{name}.png")
        return
    BASELINES.parent.mkdir(exist_ok=True)
    np.savez_compressed(BASELINES, **{name: thumbnail(draw()) for name, draw in figures().items()})


if __name__ == "__main__":
    main()
