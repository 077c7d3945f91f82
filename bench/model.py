"""The cost model: the least time that a training step of this shape could take on this machine.

    bound = min over t = 1 .. T threads of  rows(t) + gradients(t) + update(t) + barriers(t)

    rows(t)       max(padded FMAs of forward and input gradients + epilogues, bytes of the batch and its activations)
    gradients(t)  max(padded FMAs of the weight gradients, bytes of operands and gradients)
    update(t)     bytes of the optimizer's pass
    barriers(t)   3 of them for t > 1, one after each part

Constants measured in the same run (`Roofs`): FMA peak, bandwidth by working set, barrier. Stated ones: `SLOTS`,
`BYTES_UPDATED`, `TILES`. Left out, so that the bound is optimistic there: calls, cache misses of the products, the start and
end of each register tile (dominant where M is small), the batch's shuffle.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from bench import nets

# Register tile height and panel width by instruction set (csrc/cpu/tile.h): rows and columns of a product are whole tiles.
TILES = {"avx512": (8, 32), "avx2": (6, 16), "neon": (8, 8), "baseline": (4, 8)}
# FMA slots an element of what isn't a product: a polynomial exp is about 12, its division another 12 (8 lanes in 6 cycles of
# two FMA units), a logarithm 20, a normal number 60 (Philox, log, square root, sine or cosine).
EXP, DIVISION, LOG, NORMAL = 12, 12, 20, 60
SIGMOID = TANH = EXP + DIVISION
SLOTS: dict[
    str, dict[str, int]
] = {  # by kind: per element of hidden layers, of the output, of the input, of the code
    "": {"hidden": 1, "output": SIGMOID + 4},
    "tied": {"hidden": 1, "output": SIGMOID + 4},
    "tanh-mae": {"hidden": TANH, "output": 2},
    "variational": {"hidden": 1, "output": SIGMOID + EXP + LOG, "code": NORMAL + 2 * EXP},
    "denoising": {"hidden": 1, "output": SIGMOID + 4, "input": NORMAL},
}
# Bytes a parameter: gradient, parameter and two moments read, the last three written; two panel copies written.
BYTES_UPDATED = 4 * (4 + 3 + 2)
BARRIERS = 3


@dataclass(frozen=True)
class Roofs:
    """Of all threads together: GFLOP/s; [(bytes of the working set, GB/s), ...]; microseconds."""

    gflops: float
    bandwidth: list[tuple[float, float]]
    barrier_us: float

    def seconds(self, moved: float, working_set: float, share: float) -> float:
        """Of moving bytes with that share of the threads; the bandwidth is interpolated over the set's logarithm."""
        points = self.bandwidth
        x = min(max(math.log(max(working_set, 1.0)), math.log(points[0][0])), math.log(points[-1][0]))
        rate = points[-1][1]
        for (a, low), (b, high) in itertools.pairwise(points):
            if x <= math.log(b):
                part = (x - math.log(a)) / math.log(b / a)
                rate = low + part * (high - low)
                break
        return moved / (rate * 1e9 * share)


@dataclass(frozen=True)
class Bound:
    """Seconds of a step, and of which parts; the threads that are best for it."""

    seconds: float
    threads: int
    parts: dict[str, float]


def bound(net: nets.Net, roofs: Roofs, threads: int, tile: tuple[int, int]) -> Bound:
    """The best of 1 .. threads threads."""
    return min((_with(net, roofs, t, threads, tile) for t in range(1, threads + 1)), key=lambda b: b.seconds)


def _with(net: nets.Net, roofs: Roofs, t: int, threads: int, tile: tuple[int, int]) -> Bound:
    height, width = tile
    share = t / threads
    flops = roofs.gflops * 1e9 / threads  # of one thread
    layers, d = net.layers, net.widths[0]
    # Rows: whole tiles of them are given to threads.
    rows = _up(math.ceil(_up(net.batch, height) / height / t) * height, height)
    fma = 0.0
    for i, (m, n) in enumerate(layers):
        fma += 2.0 * rows * m * _up(n, width)
        if i:
            fma += 2.0 * rows * n * _up(m, width)
    slots = SLOTS[net.kind]
    hidden = sum(n for _, n in layers[:-1])
    elements = rows * (
        slots["hidden"] * hidden
        + slots["output"] * layers[-1][1]
        + slots.get("input", 0) * d
        + slots.get("code", 0) * net.widths[net.latent]
    )
    outputs = sum(n for _, n in layers)
    # Gathered rows are read and written; every output and every delta is written.
    written = 4.0 * net.batch * (2 * d + 2 * outputs)
    weights = 4.0 * net.n_weights
    rows_part = max((fma + 2.0 * elements) / flops, roofs.seconds(written, written + weights, share))
    # Weight gradients: whole tiles of them, the better way round.
    fma = 0.0
    for m, n in layers:
        tiles = min(_tiles(n, height) * _tiles(m, width), _tiles(m, height) * _tiles(n, width))
        fma += 2.0 * net.batch * math.ceil(tiles / t) * height * width
    read = 4.0 * net.batch * (d + 2 * outputs) + weights
    gradients = max(fma / flops, roofs.seconds(read, read, share))
    stored = sum(m * n for m, n in layers[: net.latent if net.kind == "tied" else None]) + outputs
    update = roofs.seconds(BYTES_UPDATED * stored, 16.0 * stored, share)
    parts = {
        "rows": rows_part,
        "gradients": gradients,
        "update": update,
        "barriers": BARRIERS * roofs.barrier_us * 1e-6 if t > 1 else 0.0,
    }
    return Bound(sum(parts.values()), t, parts)


def tile_of(instruction_set: str) -> tuple[int, int]:
    """Of a name such as avx512bf16."""
    return next((tile for name, tile in TILES.items() if instruction_set.startswith(name)), TILES["baseline"])


def _tiles(n: int, size: int) -> int:
    return math.ceil(n / size)


def _up(n: int, multiple: int) -> int:
    return _tiles(n, multiple) * multiple
