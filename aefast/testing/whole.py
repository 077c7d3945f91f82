"""Cases of the ops on whole batches and buffers: gather, weights, penalties, the loss, the update."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from aefast import optimizers, regularizers
from aefast.data.sparse import SparseRows
from aefast.testing.cases import (
    EDGES,
    Array,
    Case,
    Generator,
    Output,
    few_shapes,
    normal,
    rng_of,
    shapes,
    shares,
)
from aefast.testing.guards import LAYOUTS

SOURCES = (
    "float32",
    "float64",
    "float16",
    "uint8",
    "int8",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "bool",
)
ARRANGEMENTS = (
    "C",
    "Fortran",
    "reversed",
    "every second column",
    "broadcast rows",
    "broadcast columns",
    "misaligned",
    "sparse",
    "sparse, 64-bit",
)


def arranged(values: Array, how: str) -> Array | SparseRows:
    """The same values (n, d) in other memory; where a stride is 0, the first row's or column's, repeated."""
    n, d = values.shape
    if how == "Fortran":
        return np.asfortranarray(values)
    if how == "reversed":
        return values[::-1, ::-1].copy()[::-1, ::-1]
    if how == "every second column":
        return np.repeat(values, 2, axis=1)[:, ::2]
    if how == "broadcast rows":
        return np.broadcast_to(values[:1], (n, d))
    if how == "broadcast columns":
        return np.broadcast_to(values[:, :1], (n, d))
    if how.startswith("sparse") and values.dtype != np.float16:  # SciPy has none of those
        stored = values != 0
        stored[:, ::2] &= values[:, ::2] % 3 != 0  # some zeros more
        integers = np.int64 if how.endswith("64-bit") else np.int32
        indptr = np.concatenate(([0], np.cumsum(stored.sum(axis=1)))).astype(integers)
        numbers = values.view(np.uint8) if values.dtype == np.bool_ else values
        return SparseRows(numbers[stored], np.nonzero(stored)[1].astype(integers), indptr, (n, d))
    if how == "misaligned":
        memory = np.zeros(values.nbytes + 1, np.uint8)
        view: Array = memory[1:].view(values.dtype).reshape(n, d)
        view[...] = values
        return view
    return values


def source(rng: np.random.Generator, n: int, d: int, dtype: DTypeLike) -> Array:
    """(n, d) over the range of the dtype; integers stay below 2^53, where float64 holds them."""
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return normal(rng, (n, d), 100.0).astype(dtype)
    if dtype.kind == "b":
        return rng.random((n, d)) > 0.5
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -(2**53)), min(info.max, 2**53), (n, d), dtype=dtype, endpoint=True)


def gather(variant: str) -> Iterator[Case]:
    """One source dtype in every arrangement and scaling: the same bits as NumPy."""
    for i, shape in enumerate([*shapes(), *few_shapes()]):
        rng = rng_of("gather", variant, shape)
        n = shape.b + i % 5
        how = ARRANGEMENTS[i % len(ARRANGEMENTS)]
        data = arranged(source(rng, n, shape.m, variant), how)
        index = rng.integers(0, n, shape.b)
        index[-1] = n - 1
        scaling = (i + i // len(ARRANGEMENTS)) % 3  # every one with every arrangement
        affine = scaling == 0
        given: dict[str, Any] = {"data": data, "index": index}
        given["shift"] = normal(rng, (shape.m,), 50.0) if affine else None
        given["scale"] = rng.uniform(0.01, 3.0, shape.m) if affine else None
        yield Case(
            "gather",
            f"{variant}, {how}, {shape}, {'affine' if affine else 'factor'}",
            {"out": Output((shape.b, shape.m))},
            given=given,
            attrs={"factor": (1.0, 1.0, 1.0 / 255.0)[scaling]},
            layout=shape.layout,
            exact=True,
        )


def batch_scale(variant: str) -> Iterator[Case]:
    """Without weights, with some, with none that count."""
    for b in EDGES:
        rng = rng_of("batch_scale", variant, b)
        weights = {
            "none": None,
            "zero": np.zeros(b + 3),
            "some": rng.uniform(0, 9, b + 3) * (rng.random(b + 3) > 0.2),
        }

        def extra(precision: np.dtype[np.generic], b: int = b) -> dict[str, Array]:
            return {"out": np.full(b, b * 2.0**-53)}  # the float64 sum in any order; shares are at most 1

        given = {"sample_weight": weights[variant], "index": rng.integers(0, b + 3, b)}
        yield Case("batch_scale", f"{variant}, B={b}", {"out": Output((b,))}, given=given, extra_error=extra)


def sparsity_penalty(variant: str) -> Iterator[Case]:
    """One penalty, on codes inside and at the ends of its range."""
    for i, shape in enumerate(shapes()):
        rng = rng_of("sparsity_penalty", variant, shape)
        yield Case(
            "sparsity_penalty",
            f"{variant}, {shape}",
            {"mean": Output((shape.n,), free=variant != "kl"), "value": Output((1,), wide=True)},
            {"h": _codes(rng, variant, shape.b, shape.n, i), "batch_scale": shares(rng, shape.b)},
            attrs={"kind": regularizers.PENALTY_CODES[variant], "weight": 0.3, "target": (0.05, 0.5)[i % 2]},
            layout=shape.layout,
        )


def sparsity_penalty_backward(variant: str) -> Iterator[Case]:
    """The same; the mean is an input of KL's."""
    for i, shape in enumerate(shapes()):
        rng = rng_of("sparsity_penalty_backward", variant, shape)
        scale, h = shares(rng, shape.b), _codes(rng, variant, shape.b, shape.n, i)
        clamp = regularizers.KL_CLAMP
        yield Case(
            "sparsity_penalty_backward",
            f"{variant}, {shape}",
            {"out": Output((shape.b, shape.n))},
            {"h": h, "batch_scale": scale, "mean": np.clip(scale @ h, clamp, 1 - clamp)},
            attrs={"kind": regularizers.PENALTY_CODES[variant], "weight": 0.3, "target": (0.05, 0.5)[i % 2]},
            layout=shape.layout,
        )


def _codes(rng: np.random.Generator, variant: str, b: int, n: int, i: int) -> Array:
    if variant != "kl":
        return normal(rng, (b, n))
    h = rng.uniform(0, 1, (b, n))
    h[:, ::5] = float(i % 3 == 1)  # dead and always active units: their mean is clamped
    return h


def batch_loss(variant: str) -> Iterator[Case]:
    """Reconstruction alone, with KL, with a penalty, with both."""
    for i, b in enumerate(EDGES):
        rng = rng_of("batch_loss", variant, b)
        inputs: dict[str, Array | None] = {"row_loss": rng.uniform(0, 50, b), "batch_scale": shares(rng, b)}
        inputs["kl"] = rng.uniform(0, 3, b) if "kl" in variant else None
        yield Case(
            "batch_loss",
            f"{variant}, B={b}",
            {"out": Output((1,), wide=True)},
            inputs,
            {"penalty": rng.uniform(0, 1, 1) if "penalty" in variant else None},
            {"scale": (1.0, 1 / 784)[i % 2], "beta": 0.7, "free_bits": (0.0, 1.3)[i % 2]},
        )


# What differs from the plain update: no decay, no clipping, three steps done.
UPDATES: dict[str, dict[str, float]] = {
    "plain": {},
    "decay": {"weight_decay": 0.1},
    "clip": {"clip_scale": 0.37},
    "ema": {},
    "first": {},
}


def update(variant: str) -> Iterator[Case]:
    """One optimizer; slots as two steps before would have left them, and fresh ones."""
    from aefast.backends.numpy.update import update as reference

    step_before: Any = reference
    rule = optimizers.get(variant)
    fixed: dict[str, Any] = {"rule": optimizers.CODES[variant], "lr": 0.01, "ema_decay": 0.99}
    fixed |= {
        "weight_decay": 0.0,
        "clip_scale": 1.0,
        **dict(zip(("h0", "h1", "h2"), rule.constants, strict=True)),
    }
    for i, n in enumerate((*EDGES, 127, 1000, 4099)):
        for kind, special in UPDATES.items():
            rng = rng_of("update", variant, n, kind)
            attrs = {**fixed, "n_decay": (n, n // 2, 0)[i % 3], **special}
            state = {"w": normal(rng, (n,)), **{f"s{k}": np.zeros(n) for k in range(rule.n_slots)}}
            absent = {name: None for name in ("s0", "s1") if name not in state}
            last = 1 if kind == "first" else 3
            for step in range(1, last + 1):
                c1, c2 = rule.bias_corrections(np.array([step]))[0].tolist()
                g = normal(rng, (n,), 10.0 ** rng.integers(-4, 2))
                attrs |= {"c1": c1, "c2": c2}
                if step < last:
                    step_before(**attrs, **state, **absent, g=g, ema=None)
            outputs = {name: Output((n,), x) for name, x in state.items()}
            inputs: dict[str, Array | None] = {"g": g, **absent}
            if kind == "ema":
                outputs["ema"] = Output((n,), normal(rng, (n,)))
            else:
                inputs["ema"] = None
            layout = LAYOUTS[i % len(LAYOUTS)]
            yield Case("update", f"{variant}, n={n}, {kind}", outputs, inputs, attrs=attrs, layout=layout)


GENERATORS: dict[str, tuple[tuple[str, ...], Generator]] = {
    "gather": (SOURCES, gather),
    "batch_scale": (("none", "some", "zero"), batch_scale),
    "sparsity_penalty": (regularizers.PENALTIES, sparsity_penalty),
    "sparsity_penalty_backward": (regularizers.PENALTIES, sparsity_penalty_backward),
    "batch_loss": (("reconstruction", "kl", "penalty", "kl and penalty"), batch_loss),
    "update": (optimizers.NAMES, update),
}
