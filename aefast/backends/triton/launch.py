"""How kernels are cut and launched. Every choice follows from shapes and precision alone, so that it changes no bit.

Within one precision all tiles share BLOCK_K: it sets the order of a sum.
"""

from __future__ import annotations

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
# The epilogue with a loss holds targets and derivatives beside the sums: fewer elements a thread.
LOSS_TILE = Tile(64, 64, 32, 8, 3)
BUSY = 128  # programs that keep a large device busy: smaller tiles, or a split over the batch, where there are fewer
SPLIT_ROWS = 128  # rows of a batch that are worth a split of their own
MOST_SPLITS = 32
FLAT = 1024  # elements of a flat pass that one program takes
ROWS, COLS = 16, 64  # of a pass over rows
NOISE_ROWS, NOISE_COLS, NOISE_WARPS = 32, 32, 8  # noise is made in float64, so that a thread takes few
SUM_ROWS, SUM_COLS = 32, 32
SINGLE = 1024  # elements that a single program adds at a time


def tile_for(precision: str, m: int, n: int, loss: bool = False) -> Tile:
    """The larger tile where enough of them cover an (m, n) result."""
    large, small = TILES[precision]
    large = LOSS_TILE if loss else large
    return large if large.cover(m, n) >= BUSY else small


def splits_for(tile: Tile, m: int, n: int, batch: int) -> tuple[int, int]:
    """(splits, rows of each): how a weight gradient (m, n) divides the batch."""
    wanted = min(-(-BUSY // tile.cover(m, n)), batch // SPLIT_ROWS, MOST_SPLITS)
    rows = -(-batch // max(wanted, 1))
    rows = -(-rows // tile.block_k) * tile.block_k
    return -(-batch // rows), rows


def programs(*sizes: tuple[int, int]) -> int:
    """The number of blocks: the product over (size, block)."""
    count = 1
    for size, block in sizes:
        count *= -(-size // block)
    return count


def launch(
    kernel: Any,
    grid: tuple[int, ...],
    arrays: tuple[Array | None, ...],
    numbers: tuple[int, ...],
    warps: int = 4,
    stages: int = 3,
    **constants: Any,
) -> None:
    """Starts the kernel on the current stream: arrays first, then numbers, then its constants by name."""
    if grid[0] > LIMIT:
        raise ValueError(f"{grid[0]} programs are more than a device takes ({LIMIT}); use smaller batches")
    options = {"num_warps": warps, "num_stages": stages, "enable_fp_fusion": True}
    kernel[grid](*map(pointer, arrays), *numbers, **options, **constants)


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
