"""What cases of convolutions join: hand-picked geometries, random ones, and as many more of these as a campaign asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from aefast.geometry import Geometry
from aefast.testing.cases import PLAIN, Numbers
from aefast.testing.guards import LAYOUTS, Layout

CHANNELS = (1, 2, 3, 5, 7, 8, 13, 16, 17, 31, 32, 33, 37, 61, 67)
PRODUCTS = 1_500_000
"""Multiplications of a case, at most: the reference runs several times for each."""
N_RANDOM = 36


def _of(image: tuple[int, int, int], n: int, kernel: Any, **options: Any) -> Geometry:
    return Geometry.of(image, n, kernel, **options)


# Each with what it is there for; the batch stands before it.
PICKED: tuple[tuple[int, Geometry], ...] = (
    (3, _of((3, 9, 8), 5, 3, stride=2, padding="same")),  # an odd and an even size
    (5, _of((6, 7, 7), 8, 3, padding=1, groups=2)),
    (2, _of((1, 28, 28), 16, 3, stride=2, padding="same")),  # the first layer of a small model, and the last
    (7, _of((32, 7, 7), 16, 3, padding=1)),  # maps smaller than a tile's pixels
    (2, _of((33, 8, 8), 33, 3, padding="same")),  # one more channel than full lanes
    (2, _of((61, 6, 5), 37, (3, 2), stride=(2, 1))),  # sums of more than one block of k
    (9, _of((1, 4, 4), 1, 1)),
    (3, _of((67, 3, 3), 3, 1, stride=2)),  # pixels that no window sees
    (4, _of((8, 9, 9), 1, 5, padding=2)),  # one map channel at stride 1
    (2, _of((3, 12, 12), 3, 4, stride=2, padding=1)),
    (3, _of((16, 9, 7), 16, 3, padding=1, groups=16)),  # depthwise
    (3, _of((5, 8, 9), 15, (3, 2), stride=2, padding=1, groups=5)),  # depthwise, three maps a channel
    (2, _of((4, 1, 37), 6, (1, 5), stride=(1, 2), padding=((0, 0), (2, 1)))),  # 1-D
    (3, _of((7, 1, 20), 3, (1, 3), padding=((0, 0), (4, 0)), dilation=(1, 2))),  # 1-D, causal
    (2, _of((2, 5, 6), 3, 3, padding=((4, 1), (0, 5)))),  # windows in the padding alone
    (2, _of((3, 10, 11), 4, 3, stride=3, padding=((0, 2), (1, 0)), dilation=2)),
    (1, _of((2, 40, 40), 4, 7, padding="same")),  # a large image
    (2, _of((4, 6, 6), 6, 3, stride=3, padding=1, groups=2, dilation=2)),
    (2, _of((2, 3, 3), 5, 7, padding=3)),  # a kernel larger than its image
    (40, _of((2, 4, 3), 3, 2)),  # many small images
    (2, _of((3, 5, 7), 2, 2, stride=3)),  # gaps between windows
)


@dataclass(frozen=True)
class Setting:
    """A geometry with the batch and memory layout of that case."""

    batch: int
    geometry: Geometry
    layout: Layout
    kind: Numbers = PLAIN

    def __str__(self) -> str:
        g = self.geometry
        return (
            f"B={self.batch} image={g.height}x{g.width}x{g.channels} map={g.out_height}x{g.out_width}x{g.out_channels} "
            f"kernel={g.kernel_height}x{g.kernel_width} stride={g.stride_y},{g.stride_x} pad={g.pad_top},{g.pad_left} "
            f"dilation={g.dilation_y},{g.dilation_x} groups={g.groups} {self.kind.name}"
        )


def random_geometry(rng: np.random.Generator) -> tuple[int, Geometry]:
    """A batch and a geometry: kernels of 1 to 7, strides 1 to 3, dilation 1 or 2, any padding, groups, 1-D now and then."""
    while True:
        flat = rng.random() < 0.15
        kernel, stride = rng.integers(1, 8, 2), rng.integers(1, 4, 2)
        dilation = np.where(rng.random(2) < 0.3, 2, 1)
        if flat:
            kernel[0] = stride[0] = dilation[0] = 1
        window = (kernel - 1) * dilation + 1
        before, after = rng.integers(0, window + 1), rng.integers(0, window + 1)
        before, after = (np.where(rng.random() < 0.4, 0, x) for x in (before, after))
        sizes = np.maximum(window - before - after, 1) + rng.integers(0, 10, 2)
        if flat:
            sizes[0], before[0], after[0] = 1, 0, 0
        channels, n = map(int, rng.choice(CHANNELS, 2))
        groups = 1
        if rng.random() < 0.3:
            groups = int(rng.choice(CHANNELS[:10]))
            channels = groups if rng.random() < 0.5 else groups * max(1, channels // groups)
            n = groups * max(1, n // groups)
        padding: Any = (
            "same" if rng.random() < 0.25 else tuple(zip(before.tolist(), after.tolist(), strict=True))
        )
        geometry = Geometry.of(
            (channels, *sizes.tolist()),
            n,
            kernel.tolist(),
            stride=stride.tolist(),
            padding=padding,
            dilation=dilation.tolist(),
            groups=groups,
        )
        batch = int(rng.integers(1, 6))
        if batch * products(geometry) <= PRODUCTS:
            return batch, geometry


def products(g: Geometry) -> int:
    """Multiplications for one image."""
    return g.map_size * g.kernel_height * g.kernel_width * (g.channels // g.groups)


@cache
def settings() -> tuple[Setting, ...]:
    """The picked geometries, then random ones."""
    rng = np.random.default_rng(0)
    chosen = [*PICKED, *(random_geometry(rng) for _ in range(N_RANDOM))]
    return tuple(Setting(*pair, LAYOUTS[i % len(LAYOUTS)]) for i, pair in enumerate(chosen))
