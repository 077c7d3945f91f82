"""Cases of the ops that draw noise: corruption, the Gaussian latent and its backward pass, permutations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aefast import random, regularizers
from aefast.testing.cases import (
    Array,
    Case,
    Generator,
    Output,
    Shape,
    few_shapes,
    normal,
    rng_of,
    shapes,
    shares,
)
from aefast.testing.guards import LAYOUTS
from aefast.testing.tolerances import NORMAL_FLOOR, NORMAL_ULP

# Seeds and epochs that reach all 64 and 32 bits; rows above 2^32 are addressed by their low word.
SEEDS = (0, 1, 0xFFFFFFFFFFFFFFFF, 0x299F31D0A4093822)
EPOCHS = (0, 3, 0xFFFFFFFF)
LEVELS = (0.3, 0.0, 1.0, 0.5, 1e-7)


def _address(i: int, shape: Shape, rng: np.random.Generator, stream: int) -> tuple[dict[str, int], Array]:
    rows = rng.integers(0, 2**31, shape.b) if i % 2 else np.arange(shape.b)
    if i % 5 == 4:
        rows = rows + 2**32 + 7
    return {"seed": SEEDS[i % len(SEEDS)], "epoch": EPOCHS[i % len(EPOCHS)], "stream": stream}, rows.astype(
        np.int64
    )


def normal_error(precision: np.dtype[Any], noise: Array) -> Array:
    """By how much normals may differ from the reference's."""
    return NORMAL_ULP * float(np.finfo(precision).eps) * np.abs(noise) + NORMAL_FLOOR


def _noise(address: dict[str, int], rows: Array, columns: int) -> Array:
    if address["stream"] < 0:
        return np.zeros((len(rows), columns))
    return random.normals(address["seed"], rows, columns, address["epoch"], address["stream"])


def corrupt(variant: str) -> Iterator[Case]:
    """One kind of corruption; masks must be the same bits."""
    for i, shape in enumerate(shapes()):
        rng = rng_of("corrupt", variant, shape)
        address, rows = _address(i, shape, rng, random.stream_word(random.STREAM_CORRUPTION, i % 3))
        level = LEVELS[i % len(LEVELS)]

        def extra(
            precision: np.dtype[Any],
            address: dict[str, int] = address,
            rows: Array = rows,
            level: float = level,
            m: int = shape.m,
        ) -> dict[str, Array]:
            return {"out": level * normal_error(precision, _noise(address, rows, m))}

        yield Case(
            "corrupt",
            f"{variant} {level}, {shape}",
            {"out": Output((shape.b, shape.m))},
            {"x": normal(rng, (shape.b, shape.m))},
            {"rows": rows},
            {
                "kind": regularizers.CORRUPTION_CODES[variant],
                "level": level,
                "low": -1.5,
                "high": 0.1,
                **address,
            },
            layout=shape.layout,
            exact=variant != "gaussian",
            extra_error=extra if variant == "gaussian" else None,
        )


def _moments(rng: np.random.Generator, shape: Shape, wide: bool) -> Array:
    mu, logvar = (
        normal(rng, (shape.b, shape.n), 30.0 if wide else 1.0),
        normal(rng, (shape.b, shape.n), 12.0 if wide else 1.0),
    )
    return np.hstack((mu, logvar))


def _latent_settings() -> Iterator[tuple[int, Shape, bool, int]]:
    wide = [(shape, False) for shape in shapes()] + [(shape, True) for shape in few_shapes()]
    for i, (shape, far) in enumerate(wide):
        yield i, shape, far, (-1 if i % 4 == 3 else random.stream_word(random.STREAM_LATENT, i % 2))


def gaussian_latent(variant: str) -> Iterator[Case]:
    """Drawn, or the mean where the stream is negative; with and without KL."""
    for i, shape, wide, stream in _latent_settings():
        rng = rng_of("gaussian_latent", shape, wide)
        address, rows = _address(i, shape, rng, stream)
        moments = _moments(rng, shape, wide)

        def extra(
            precision: np.dtype[Any],
            address: dict[str, int] = address,
            rows: Array = rows,
            logvar: Array = moments[:, shape.n :],
        ) -> dict[str, Array]:
            return {
                "z": np.exp(0.5 * logvar) * normal_error(precision, _noise(address, rows, logvar.shape[1]))
            }

        kl = i % 3 != 1
        yield Case(
            "gaussian_latent",
            f"{shape}{', wide' if wide else ''}, stream {stream}",
            {"z": Output((shape.b, shape.n)), **({"kl": Output((shape.b,))} if kl else {})},
            {"moments": moments, **({} if kl else {"kl": None})},
            {"rows": rows},
            dict(address),
            layout=shape.layout,
            extra_error=extra,
        )


def gaussian_latent_backward(variant: str) -> Iterator[Case]:
    """With the free bits of the variant, in units of the latents' number."""
    for i, shape, wide, stream in _latent_settings():
        rng = rng_of("gaussian_latent_backward", shape, wide)
        address, rows = _address(i, shape, rng, stream)
        moments, dz = _moments(rng, shape, wide), normal(rng, (shape.b, shape.n))

        def extra(
            precision: np.dtype[Any],
            address: dict[str, int] = address,
            rows: Array = rows,
            logvar: Array = moments[:, shape.n :],
            dz: Array = dz,
        ) -> dict[str, Array]:
            error = normal_error(precision, _noise(address, rows, logvar.shape[1]))
            return {"out": np.hstack((np.zeros_like(dz), 0.5 * np.abs(dz) * np.exp(0.5 * logvar) * error))}

        yield Case(
            "gaussian_latent_backward",
            f"{variant}, {shape}{', wide' if wide else ''}, stream {stream}",
            {"out": Output((shape.b, 2 * shape.n))},
            {"moments": moments, "dz": dz, "batch_scale": shares(rng, shape.b)},
            {"rows": rows},
            {
                "beta": (1.0, 0.25, 4.0)[i % 3],
                "free_bits": 0.7 * shape.n if variant == "free bits" else 0.0,
                **address,
            },
            layout=shape.layout,
            extra_error=extra,
        )


def permutation(variant: str) -> Iterator[Case]:
    """The same order, bit by bit."""
    for i, n in enumerate((1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 64, 65, 1000, 4096, 4097, 100003)):
        for j, epoch in enumerate(EPOCHS):
            yield Case(
                "permutation",
                f"n={n}, epoch {epoch}",
                {"out": Output((n,), integer=True)},
                attrs={"n": n, "seed": SEEDS[(i + j) % len(SEEDS)], "epoch": epoch},
                layout=LAYOUTS[0],
                exact=True,
            )


GENERATORS: dict[str, tuple[tuple[str, ...], Generator]] = {
    "corrupt": (regularizers.CORRUPTIONS, corrupt),
    "gaussian_latent": (("draw",), gaussian_latent),
    "gaussian_latent_backward": (("plain", "free bits"), gaussian_latent_backward),
    "permutation": (("order",), permutation),
}
