"""Cases of what convolutional models need beside products: pools, upsampling, rows transposed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from aefast import activations
from aefast.geometry import Geometry
from aefast.layers import POOL_CODES, POOLS, Pool2d
from aefast.testing.cases import Array, Case, Generator, Output, normal, rng_of
from aefast.testing.conv import slopes
from aefast.testing.geometries import CHANNELS
from aefast.testing.guards import LAYOUTS

N_SETTINGS = 24
KINDS_OF_NUMBERS = ("plain", "equal", "nan", "huge")
"""equal: few different numbers, so that most windows have several maxima."""


def random_pool(rng: np.random.Generator) -> tuple[int, Geometry]:
    """A batch and a geometry without windows in the padding alone."""
    while True:
        kernel, stride = rng.integers(1, 5, 2), rng.integers(1, 4, 2)
        dilation = np.where(rng.random(2) < 0.2, 2, 1)
        window = (kernel - 1) * dilation + 1
        before, after = (np.where(rng.random() < 0.5, 0, rng.integers(0, kernel)) for _ in range(2))
        sizes = np.maximum(window - before - after, 1) + rng.integers(0, 9, 2)
        channels = int(rng.choice(CHANNELS))
        geometry = Geometry.of(
            (channels, *sizes.tolist()),
            channels,
            kernel.tolist(),
            stride=stride.tolist(),
            padding=tuple(zip(before.tolist(), after.tolist(), strict=True)),
            dilation=dilation.tolist(),
            groups=channels,
        )
        try:
            Pool2d("pool", geometry).check()
        except ValueError:
            continue
        return int(rng.integers(1, 6)), geometry


def random_upsampling(rng: np.random.Generator) -> tuple[int, Geometry]:
    """A batch and a geometry whose windows are its blocks."""
    stride, channels = rng.integers(1, 4, 2).tolist(), int(rng.choice(CHANNELS))
    shape = (channels, *rng.integers(1, 9, 2).tolist())
    geometry = Geometry.of_transposed(shape, channels, stride, stride=stride, groups=channels)
    return int(rng.integers(1, 6)), geometry


def _label(batch: int, g: Geometry, kind: str) -> str:
    return (
        f"B={batch} image={g.height}x{g.width}x{g.channels} kernel={g.kernel_height}x{g.kernel_width} "
        f"stride={g.stride_y},{g.stride_x} pad={g.pad_top},{g.pad_left} dilation={g.dilation_y},{g.dilation_x} {kind}"
    )


def _numbers(rng: np.random.Generator, shape: tuple[int, int], kind: str) -> Array:
    x = rng.integers(-1, 2, shape).astype(np.float64) if kind == "equal" else normal(rng, shape)
    if kind == "huge":
        x *= 1e37
    if kind == "nan":
        x[rng.random(shape) < 0.05] = np.nan
    return x


def _pool2d(variant: str, i: int, batch: int, g: Geometry, rng: np.random.Generator) -> Case:
    kind = KINDS_OF_NUMBERS[i % len(KINDS_OF_NUMBERS)]
    return Case(
        "pool2d",
        f"{variant}, {_label(batch, g, kind)}",
        {"out": Output((batch, g.map_size))},
        {"x": _numbers(rng, (batch, g.image_size), kind)},
        attrs={"kind": POOL_CODES[variant], "geometry": g},
        layout=LAYOUTS[i % len(LAYOUTS)],
        exact=variant == "max",
    )


def _pool2d_dgrad(variant: str, i: int, batch: int, g: Geometry, rng: np.random.Generator) -> Case:
    pool, _, activation = variant.partition("/")
    kind = KINDS_OF_NUMBERS[i % len(KINDS_OF_NUMBERS)]
    shape = batch, g.image_size
    saved, extra = slopes(rng, activation, i, shape)
    return Case(
        "pool2d_dgrad",
        f"{variant}, {_label(batch, g, kind)}",
        {"out": Output(shape)},
        {
            "delta": normal(rng, (batch, g.map_size)),
            "x": _numbers(rng, shape, kind),
            "saved": saved,
            "extra": extra,
        },
        attrs={"kind": POOL_CODES[pool], "act": activations.CODES[activation], "geometry": g},
        layout=LAYOUTS[i % len(LAYOUTS)],
    )


def _upsample2d(variant: str, i: int, batch: int, g: Geometry, rng: np.random.Generator) -> Case:
    return Case(
        "upsample2d",
        _label(batch, g, "plain"),
        {"out": Output((batch, g.image_size))},
        {"x": normal(rng, (batch, g.map_size))},
        attrs={"geometry": g},
        layout=LAYOUTS[i % len(LAYOUTS)],
        exact=True,
    )


def _upsample2d_dgrad(variant: str, i: int, batch: int, g: Geometry, rng: np.random.Generator) -> Case:
    shape = batch, g.map_size
    saved, extra = slopes(rng, variant, i, shape)
    return Case(
        "upsample2d_dgrad",
        f"{variant}, {_label(batch, g, 'plain')}",
        {"out": Output(shape)},
        {"delta": normal(rng, (batch, g.image_size)), "saved": saved, "extra": extra},
        attrs={"act": activations.CODES[variant], "geometry": g},
        layout=LAYOUTS[i % len(LAYOUTS)],
    )


def _transpose_rows(variant: str, i: int, batch: int, g: Geometry, rng: np.random.Generator) -> Case:
    n = g.channels if i % 2 else g.height * g.width
    return Case(
        "transpose_rows",
        f"B={batch} {n} x {g.image_size // n}",
        {"out": Output((batch, g.image_size))},
        {"x": normal(rng, (batch, g.image_size))},
        attrs={"n": n},
        layout=LAYOUTS[i % len(LAYOUTS)],
        exact=True,
    )


Maker = Callable[[str, int, int, Geometry, np.random.Generator], Case]
Draw = Callable[[np.random.Generator], tuple[int, Geometry]]
MAKERS: dict[str, tuple[tuple[str, ...], Draw, Maker]] = {
    "pool2d": (POOLS, random_pool, _pool2d),
    "pool2d_dgrad": (
        tuple(f"{pool}/{activation}" for pool in POOLS for activation in activations.NAMES),
        random_pool,
        _pool2d_dgrad,
    ),
    "upsample2d": (("nearest",), random_upsampling, _upsample2d),
    "upsample2d_dgrad": (activations.NAMES, random_upsampling, _upsample2d_dgrad),
    "transpose_rows": (("rows",), random_pool, _transpose_rows),
}


def random_cases(op: str, seed: int) -> Iterator[Case]:
    """Without end: a geometry, a variant and numbers that no other case has."""
    variants, draw, make = MAKERS[op]
    rng = np.random.default_rng([seed, *map(ord, op)])
    i = 0
    while True:
        yield make(variants[i % len(variants)], i // len(variants), *draw(rng), rng)
        i += 1


def _generator(op: str) -> Generator:
    variants, draw, make = MAKERS[op]

    def generate(variant: str) -> Iterator[Case]:
        rng = rng_of(op, variant)
        for i in range(max(6, N_SETTINGS // len(variants))):
            yield make(variant, i, *draw(rng), rng)

    return generate


GENERATORS: dict[str, tuple[tuple[str, ...], Generator]] = {
    op: (variants, _generator(op)) for op, (variants, _, _) in MAKERS.items()
}
