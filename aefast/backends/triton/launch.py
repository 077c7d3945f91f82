"""How kernels are cut and launched. Every choice follows from shapes and precision alone, so that it changes no bit.

Within one precision all tiles share BLOCK_K: it sets the order of a sum.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from aefast.backends.triton.memory import Array, pointer

LIMIT = 2**31 - 1  # programs of a grid's first dimension


class Tile(NamedTuple):
    """A program's part of a product, and what it is compiled with."""

    block_m: int
    block_n: int
    block_k: int
    warps: int
    stages: int

    def cover(self, m: int, n: int) -> int:
        """How many cover an (m, n) result."""
        return -(-m // self.block_m) * -(-n // self.block_n)


# (large, small) by precision; none has been timed yet. All fit 99 KiB of shared memory, what an sm_89 gives a program, and
# leave a thread room for the longest epilogue (tests/triton_compile.py shows registers and spills).
SMALL = Tile(32, 32, 32, 4, 3)
TILES: dict[str, tuple[Tile, Tile]] = {
    "ieee": (Tile(64, 64, 32, 8, 3), SMALL),
    "tf32x3": (Tile(64, 64, 32, 8, 3), SMALL),
    "tf32": (Tile(128, 64, 32, 8, 3), SMALL),
    "bf16": (Tile(128, 64, 32, 8, 3), SMALL),
    "bf16_emulated": (Tile(128, 64, 32, 8, 3), SMALL),
}
# Of convolutions: offsets beside the sums, so that a thread has fewer of these.
CONV_TILE, CONV_WGRAD_TILE = Tile(64, 32, 32, 8, 3), Tile(64, 64, 32, 8, 3)
# The epilogue with a loss holds targets and derivatives beside the sums: fewer elements a thread.
LOSS_TILE = Tile(64, 64, 32, 8, 3)
BUSY = 128  # programs that keep a large device busy: smaller tiles, or a split over the batch, where there are fewer
SPLIT_ROWS = 128  # rows of a batch that are worth a split of their own
MOST_SPLITS = 32
COLUMN_ROWS, MOST_COLUMN_SPLITS = 256, 64  # the same of column sums, whose programs are short
FLAT = 1024  # elements of a flat pass that one program takes
ROWS, COLS = 16, 64  # of a pass over rows
NOISE_ROWS, NOISE_COLS, NOISE_WARPS = 32, 32, 8  # noise is made in float64, so that a thread takes few
SUM_ROWS, SUM_COLS = 32, 32
FEATURES = 256  # of one image that a program takes
TURNED = 32  # rows and columns of a block that is transposed
SINGLE = 1024  # elements that a single program adds at a time


def tile_for(precision: str, m: int, n: int, loss: bool = False) -> Tile:
    """The larger tile where enough of them cover an (m, n) result."""
    large, small = TILES[precision]
    large = LOSS_TILE if loss else large
    return large if large.cover(m, n) >= BUSY else small


def splits_for(tile: Tile, m: int, n: int, batch: int) -> tuple[int, int]:
    """(splits, rows of each): how a weight gradient (m, n) divides the batch."""
    return _split(batch, tile.cover(m, n), SPLIT_ROWS, MOST_SPLITS, tile.block_k)


def conv_splits_for(tile: Tile, m: int, n: int, groups: int, pixels: int) -> tuple[int, int]:
    """(splits, pixels of each): the same of a convolution's weight gradient, (m, n) for each group."""
    return _split(pixels, tile.cover(m, n) * groups, SPLIT_ROWS, MOST_SPLITS, tile.block_k)


def column_splits_for(rows: int, n: int) -> tuple[int, int]:
    """(splits, rows of each): how the sums of n columns divide their rows."""
    return _split(rows, programs((n, SUM_COLS)), COLUMN_ROWS, MOST_COLUMN_SPLITS, SUM_ROWS)


def _split(rows: int, covering: int, least: int, most: int, unit: int) -> tuple[int, int]:
    """(splits, rows of each, a multiple of `unit`): as many as keep the device busy, of `least` rows at least."""
    wanted = min(-(-BUSY // covering), rows // least, most)
    chunk = -(-rows // max(wanted, 1))
    chunk = -(-chunk // unit) * unit
    return -(-rows // chunk), chunk


def programs(*sizes: tuple[int, int]) -> int:
    """The number of blocks: the product over (size, block)."""
    count = 1
    for size, block in sizes:
        count *= -(-size // block)
    return count


class Launch(NamedTuple):
    """A kernel with all its arguments. It holds the arrays, whose addresses a recorded graph has."""

    kernel: Any
    grid: tuple[int, ...]
    arrays: tuple[Array | None, ...]
    numbers: tuple[int, ...]
    constants: dict[str, Any]

    def start(self) -> None:
        """On the current stream."""
        self.kernel[self.grid](*map(pointer, self.arrays), *self.numbers, **self.constants)


_recording = threading.local()


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Within it this thread's launches don't start, but are listed."""
    launches: list[Launch] = []
    before, _recording.launches = getattr(_recording, "launches", None), launches
    try:
        yield launches
    finally:
        _recording.launches = before


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    arrays: tuple[Array | None, ...],
    numbers: tuple[int, ...],
    warps: int = 4,
    stages: int = 3,
    **constants: Any,
) -> None:
    """Starts the kernel on the current stream, or records that: arrays first, then numbers, then constants by name."""
    if grid[0] > LIMIT:
        raise ValueError(f"{grid[0]} programs are more than a device takes ({LIMIT}); use smaller batches")
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
    made = Launch(kernel, grid, arrays, numbers, options | constants)
    launches = getattr(_recording, "launches", None)
    if launches is None:
        made.start()
    else:
        launches.append(made)


def launch_tiled(
    kernel: Any,
    tile: Tile,
    grid: tuple[int, ...],
    arrays: tuple[Array | None, ...],
    numbers: tuple[int, ...],
    precision: str,
    **constants: Any,
) -> None:
    """`launch` with a tile's constants."""
    blocks = {"BLOCK_M": tile.block_m, "BLOCK_N": tile.block_n, "BLOCK_K": tile.block_k}
    launch(kernel, grid, arrays, numbers, tile.warps, tile.stages, **constants, **blocks, PRECISION=precision)
