"""Cases of the matmul ops, over the tables of activations and losses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aefast import activations, losses
from aefast.testing.cases import (
    KINDS,
    PLAIN,
    Array,
    Case,
    Generator,
    Numbers,
    Output,
    Shape,
    few_shapes,
    normal,
    rng_of,
    shapes,
    shares,
)


def _settings() -> Iterator[tuple[int, Shape, Numbers]]:
    """Plain numbers in every shape, the other kinds in a few; counted."""
    pairs = [(shape, PLAIN) for shape in shapes()]
    pairs += [(shape, kind) for kind in KINDS if kind is not PLAIN for shape in few_shapes()]
    for i, (shape, kind) in enumerate(pairs):
        yield i, shape, kind


def _with_nan(x: Array, kind: Numbers) -> Array:
    if kind.nan:
        x[len(x) // 2, x.shape[1] // 2] = np.nan
    return x


def _affine(
    op: str, variant: str, shape: Shape, kind: Numbers
) -> tuple[np.random.Generator, Array, Array, Array]:
    rng = rng_of(op, variant, shape, kind.name)
    x = _with_nan(normal(rng, (shape.b, shape.m), kind.x), kind)
    w = normal(rng, (shape.n, shape.m), kind.w / np.sqrt(shape.m))
    return rng, x, w, normal(rng, (shape.n,), kind.x * kind.w)


def _w(shape: Shape, name: str = "w") -> frozenset[str]:
    return frozenset({name} if shape.transposed else ())


def linear_act(variant: str) -> Iterator[Case]:
    """One activation; with and without the pre-activation."""
    for i, shape, kind in _settings():
        _, x, w, b = _affine("linear_act", variant, shape, kind)
        out = Output((shape.b, shape.n))
        yield Case(
            "linear_act",
            f"{variant}, {shape}, {kind.name}",
            {"out": out, **({"pre": out} if i % 2 else {})},
            {"x": x, "w": w, "b": b, **({} if i % 2 else {"pre": None})},
            attrs={"act": activations.CODES[variant]},
            transposed=_w(shape),
            layout=shape.layout,
        )


def _loss_case(op: str, variant: str, i: int, shape: Shape, kind: Numbers) -> Case:
    act, _, loss = variant.partition("/")
    rng, x, w, b = _affine(op, variant, shape, kind)
    row = losses.get(loss)
    # Targets within reach of the activation, some of them met exactly at zero.
    low, high = (0.0, 1.0) if row.on_logits else (-1.5, 1.5)
    target = np.round(rng.uniform(low, high, (shape.b, shape.n)), 2) * (
        1.0 if row.on_logits else max(kind.x * kind.w, 1e-3)
    )
    inputs: dict[str, Array | None] = {"h": x, "w": w, "b": b, "target": target}
    inputs["feature_weight"] = rng.uniform(0.0, 2.0, shape.n) if i // 2 % 2 else None
    outputs = {"row_loss": Output((shape.b,))}
    attrs: dict[str, int | float] = {"act": activations.CODES[act], "loss": losses.CODES[loss]}
    if op == "linear_loss_grad":
        inputs["batch_scale"] = shares(rng, shape.b)
        outputs["delta"] = Output((shape.b, shape.n))
        attrs["scale"] = losses.element_scale("mean" if i % 3 else "sum", shape.n)
    label = f"{variant}, {shape}, {kind.name}"
    return Case(op, label, outputs, inputs, attrs=attrs, transposed=_w(shape), layout=shape.layout)


def linear_loss_grad(variant: str) -> Iterator[Case]:
    """An activation and a loss: loss per row and delta."""
    for i, shape, kind in _halved(variant):
        yield _loss_case("linear_loss_grad", variant, i, shape, kind)


def linear_loss(variant: str) -> Iterator[Case]:
    """An activation and a loss: loss per row."""
    for i, shape, kind in _halved(variant):
        yield _loss_case("linear_loss", variant, i, shape, kind)


def _halved(variant: str) -> Iterator[tuple[int, Shape, Numbers]]:
    """There are many variants: each takes one half of the plain shapes, so that every shape is met by many."""
    half = loss_variants().index(variant) % 2
    return (setting for setting in _settings() if setting[0] % 2 == half or setting[2] is not PLAIN)


def linear_dgrad(variant: str) -> Iterator[Case]:
    """Through a weight (N, M) and the activation below it; with and without `extra`."""
    row = activations.get(variant)
    for i, shape, kind in _settings():
        rng = rng_of("linear_dgrad", variant, shape, kind.name)
        delta = _with_nan(normal(rng, (shape.b, shape.n), kind.x), kind)
        w = normal(rng, (shape.n, shape.m), kind.w / np.sqrt(shape.n))
        z = normal(rng, (shape.b, shape.m), 6.0 if kind.name == "saturated" else 1.5)
        saved: Array | None = z if row.saved == "preactivation" else row.function(z)
        if variant == "identity" and i % 3:
            saved = None
        extra = normal(rng, (shape.b, shape.m), kind.x * kind.w) if i % 2 else None
        yield Case(
            "linear_dgrad",
            f"{variant}, {shape}, {kind.name}",
            {"out": Output((shape.b, shape.m))},
            {"delta": delta, "w": w, "saved": saved, "extra": extra},
            attrs={"act": activations.CODES[variant]},
            transposed=_w(shape),
            layout=shape.layout,
        )


def linear_wgrad(variant: str) -> Iterator[Case]:
    """Written anew or accumulated; with and without bias and partials."""
    accumulate = variant == "accumulate"
    for i, shape, kind in _settings():
        rng = rng_of("linear_wgrad", variant, shape, kind.name)
        delta = _with_nan(normal(rng, (shape.b, shape.n), kind.x), kind)
        a = normal(rng, (shape.b, shape.m), kind.w)
        start = normal(rng, (shape.n, shape.m), kind.x * kind.w) if accumulate else None
        outputs = {"dw": Output((shape.n, shape.m), start)}
        inputs: dict[str, Array | None] = {"delta": delta, "a": a}
        for name, present, output in (
            ("db", i % 3 != 1, Output((shape.n,), normal(rng, (shape.n,)) if accumulate else None)),
            ("partials", i % 4 != 1, Output((2,), wide=True)),
        ):
            if present:
                outputs[name] = output
            else:
                inputs[name] = None
        starts = {name: out.start for name, out in outputs.items() if out.start is not None}

        def extra(
            precision: np.dtype[Any], b: int = shape.b, starts: dict[str, Array] = starts
        ) -> dict[str, Array]:
            """A kernel may begin its sum with what is there: one more term, rounded with each that follows."""
            return {
                name: (b + 1) * float(np.finfo(precision).eps) / 2 * np.abs(x) for name, x in starts.items()
            }

        yield Case(
            "linear_wgrad",
            f"{variant}, {shape}, {kind.name}",
            outputs,
            inputs,
            attrs={"accumulate": int(accumulate)},
            transposed=_w(shape, "dw"),
            layout=shape.layout,
            extra_error=extra if accumulate else None,
        )


def bias_grad(variant: str) -> Iterator[Case]:
    """Column sums, of a map with several pixels for each bias too; with and without partials."""
    for i, shape, kind in _settings():
        rng = rng_of("bias_grad", shape, kind.name)
        partials = i % 4 != 1
        width = shape.n * (1 if variant == "columns" else min(shape.m, 9))
        yield Case(
            "bias_grad",
            f"{variant}, {shape}, {kind.name}",
            {"db": Output((shape.n,)), **({"partials": Output((2,), wide=True)} if partials else {})},
            {
                "delta": _with_nan(normal(rng, (shape.b, width), kind.x), kind),
                **({} if partials else {"partials": None}),
            },
            layout=shape.layout,
        )


def loss_variants() -> tuple[str, ...]:
    """Every activation with every loss that takes it, such as "sigmoid/bce"."""
    return tuple(
        f"{act}/{row.name}"
        for row in losses.TABLE
        for act in (("sigmoid",) if row.on_logits else activations.NAMES)
    )


GENERATORS: dict[str, tuple[tuple[str, ...], Generator]] = {
    "linear_act": (activations.NAMES, linear_act),
    "linear_loss_grad": (loss_variants(), linear_loss_grad),
    "linear_loss": (loss_variants(), linear_loss),
    "linear_dgrad": (activations.NAMES, linear_dgrad),
    "linear_wgrad": (("write", "accumulate"), linear_wgrad),
    "bias_grad": (("columns", "pixels"), bias_grad),
}
