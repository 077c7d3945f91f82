"""Cases of the convolutions, over the tables of activations and losses; see `geometries` for what they join."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from aefast import activations, losses
from aefast.backends.numpy import conv as reference
from aefast.geometry import Geometry
from aefast.testing.cases import (
    KINDS,
    PLAIN,
    Array,
    Case,
    Generator,
    Numbers,
    Output,
    normal,
    rng_of,
    shares,
)
from aefast.testing.geometries import Setting, random_geometry, settings
from aefast.testing.guards import LAYOUTS
from aefast.testing.linear import loss_variants

CONV2D, CONV_TRANSPOSE2D = "conv2d", "conv_transpose2d"


def _of_variant(index: int, n: int) -> Iterator[tuple[int, Setting]]:
    """One in n of the settings, the first two for every variant, and of the kinds of numbers some; counted."""
    chosen = [s for i, s in enumerate(settings()) if i < 2 or i % n == index % n]
    unusual = [kind for kind in KINDS if kind is not PLAIN]
    for i, kind in enumerate(unusual):
        if n <= len(activations.TABLE) or (i + index) % 3 == 0:
            few = settings()[(i + index) % 4]
            chosen.append(Setting(few.batch, few.geometry, few.layout, kind))
    yield from enumerate(chosen)


def sides(op: str, g: Geometry) -> tuple[int, int, int]:
    """Elements read and written by the forward pass, and channels written."""
    if op.startswith(CONV_TRANSPOSE2D):
        return g.map_size, g.image_size, g.channels
    return g.image_size, g.map_size, g.out_channels


def _forward(op: str, g: Geometry) -> Callable[[Array, Array, Geometry], Array]:
    return reference.transposed if op.startswith(CONV_TRANSPOSE2D) else reference.convolved


def _backward(op: str, g: Geometry) -> Callable[[Array, Array, Geometry], Array]:
    return reference.convolved if op.startswith(CONV_TRANSPOSE2D) else reference.transposed


def _with_nan(x: Array, kind: Numbers) -> Array:
    if kind.nan:
        x[len(x) // 2, x.shape[1] // 2] = np.nan
    return x


def _spread(
    product: Callable[[Array, Array, Geometry], Array], x: Array, g: Geometry, name: str
) -> Callable[[np.dtype[Any]], dict[str, Array]]:
    """Where a NaN must come out and where it mustn't; in the rest of its own image it may, as zero times NaN."""
    seen = product(np.isnan(x).astype(np.float64), np.ones((g.out_channels, _depth(g))), g) > 0
    own: Any = np.isnan(x).any(axis=1)
    free = own[:, None] & ~seen
    return lambda precision: {name: np.where(free, np.inf, 0.0)}


def _depth(g: Geometry) -> int:
    return g.kernel_height * g.kernel_width * (g.channels // g.groups)


def _weight(rng: np.random.Generator, g: Geometry, kind: Numbers) -> Array:
    return normal(rng, (g.out_channels, _depth(g)), kind.w / np.sqrt(_depth(g)))


def _act(op: str, variant: str, i: int, s: Setting) -> Case:
    rng, g = rng_of(op, variant, s), s.geometry
    read, wrote, channels = sides(op, g)
    x = _with_nan(normal(rng, (s.batch, read), s.kind.x), s.kind)
    out = Output((s.batch, wrote))
    return Case(
        op,
        f"{variant}, {s}",
        {"out": out, **({"pre": out} if i % 2 else {})},
        {
            "x": x,
            "w": _weight(rng, g, s.kind),
            "b": normal(rng, (channels,), s.kind.x * s.kind.w),
            **({} if i % 2 else {"pre": None}),
        },
        attrs={"act": activations.CODES[variant], "geometry": g},
        layout=s.layout,
        packed=frozenset({"w"}),
        extra_error=_both(_spread(_forward(op, g), x, g, "out"), i) if s.kind.nan else None,
    )


def _both(
    extra: Callable[[np.dtype[Any]], dict[str, Array]], i: int
) -> Callable[[np.dtype[Any]], dict[str, Array]]:
    if i % 2 == 0:
        return extra
    return lambda precision: {name: extra(precision)["out"] for name in ("out", "pre")}


def _loss(op: str, variant: str, i: int, s: Setting) -> Case:
    rng, g = rng_of(op, variant, s), s.geometry
    read, wrote, channels = sides(op, g)
    act, _, loss = variant.partition("/")
    row = losses.get(loss)
    h = _with_nan(normal(rng, (s.batch, read), s.kind.x), s.kind)
    low, high = (0.0, 1.0) if row.on_logits else (-1.5, 1.5)
    reach = 1.0 if row.on_logits else max(s.kind.x * s.kind.w, 1e-3)
    inputs: dict[str, Array | None] = {
        "h": h,
        "w": _weight(rng, g, s.kind),
        "b": normal(rng, (channels,), s.kind.x * s.kind.w),
        "target": np.round(rng.uniform(low, high, (s.batch, wrote)), 2) * reach,
        "feature_weight": rng.uniform(0.0, 2.0, wrote) if i // 2 % 2 else None,
    }
    outputs = {"row_loss": Output((s.batch,))}
    attrs: dict[str, Any] = {"act": activations.CODES[act], "loss": losses.CODES[loss], "geometry": g}
    extra = None
    if op.endswith("_grad"):
        inputs["batch_scale"] = shares(rng, s.batch)
        outputs["delta"] = Output((s.batch, wrote))
        attrs["scale"] = losses.element_scale("mean" if i % 3 else "sum", wrote)
        extra = _spread(_forward(op, g), h, g, "delta") if s.kind.nan else None
    return Case(
        op,
        f"{variant}, {s}",
        outputs,
        inputs,
        attrs=attrs,
        layout=s.layout,
        packed=frozenset({"w"}),
        extra_error=extra,
    )


def _dgrad(op: str, variant: str, i: int, s: Setting) -> Case:
    rng, g = rng_of(op, variant, s), s.geometry
    read, wrote, _ = sides(op, g)
    delta = _with_nan(normal(rng, (s.batch, wrote), s.kind.x), s.kind)
    saved, extra = slopes(rng, variant, i, (s.batch, read), s.kind)
    return Case(
        op,
        f"{variant}, {s}",
        {"out": Output((s.batch, read))},
        {"delta": delta, "w": _weight(rng, g, s.kind), "saved": saved, "extra": extra},
        attrs={"act": activations.CODES[variant], "geometry": g},
        layout=s.layout,
        packed=frozenset({"w"}),
        extra_error=_spread(_backward(op, g), delta, g, "out") if s.kind.nan else None,
    )


def slopes(
    rng: np.random.Generator, variant: str, i: int, shape: tuple[int, int], kind: Numbers = PLAIN
) -> tuple[Array | None, Array | None]:
    """What an activation saved, and what is added before its derivative; each left out now and then."""
    row = activations.get(variant)
    z = normal(rng, shape, 6.0 if kind.name == "saturated" else 1.5)
    saved: Array | None = z if row.saved == "preactivation" else row.function(z)
    if variant == "identity" and i % 3:
        saved = None
    return saved, normal(rng, shape, kind.x * kind.w) if i % 2 else None


def _wgrad(op: str, variant: str, i: int, s: Setting) -> Case:
    rng, g = rng_of(op, variant, s), s.geometry
    read, wrote, _ = sides(op, g)
    accumulate = variant == "accumulate"
    delta = _with_nan(normal(rng, (s.batch, wrote), s.kind.x), s.kind)
    a = normal(rng, (s.batch, read), s.kind.w)
    shape = g.out_channels, _depth(g)
    start = normal(rng, shape, s.kind.x * s.kind.w) if accumulate else None
    partials = i % 4 != 1 and not s.kind.nan
    outputs = {
        "dw": Output(shape, start),
        **({"partials": Output((2,), wide=True)} if partials else {}),
    }

    def extra(precision: np.dtype[Any]) -> dict[str, Array]:
        """A kernel may begin its sum with what is there; and of a NaN's channel all may become NaN, as zero times NaN."""
        free = np.broadcast_to(_same_channel(op, delta, g), shape)
        terms = s.batch * g.out_height * g.out_width
        more = 0.0 if start is None else (terms + 1) * float(np.finfo(precision).eps) / 2 * np.abs(start)
        return {"dw": np.where(free, np.inf, more)}

    return Case(
        op,
        f"{variant}, {s}",
        outputs,
        {"delta": delta, "a": a, **({} if partials else {"partials": None})},
        attrs={"accumulate": int(accumulate), "geometry": g},
        layout=s.layout,
        packed=frozenset({"dw"}),
        extra_error=extra if accumulate or s.kind.nan else None,
    )


def _same_channel(op: str, delta: Array, g: Geometry) -> Array:
    """Broadcastable to dw (N, K): the elements that sum over a channel of delta with a NaN."""
    if op.startswith(CONV_TRANSPOSE2D):
        channels = np.isnan(delta).reshape(-1, g.channels).any(axis=0).reshape(g.groups, 1, -1)
        rows = np.repeat(channels, g.out_channels // g.groups, axis=0)
        return np.tile(rows, (1, g.kernel_height * g.kernel_width, 1)).reshape(g.out_channels, -1)
    maps: Any = np.isnan(delta).reshape(-1, g.out_channels).any(axis=0)
    return np.asarray(maps)[:, None]


Maker = Callable[[str, str, int, Setting], Case]


def _generator(op: str, variants: tuple[str, ...], make: Maker) -> Generator:
    def generate(variant: str) -> Iterator[Case]:
        for i, setting in _of_variant(variants.index(variant), len(variants)):
            yield make(op, variant, i, setting)

    return generate


MAKERS: dict[str, tuple[tuple[str, ...], Maker]] = {
    f"{kind}_{name}": (variants, make)
    for kind in (CONV2D, CONV_TRANSPOSE2D)
    for name, variants, make in (
        ("act", activations.NAMES, _act),
        ("loss_grad", loss_variants(), _loss),
        ("loss", loss_variants(), _loss),
        ("dgrad", activations.NAMES, _dgrad),
        ("wgrad", ("write", "accumulate"), _wgrad),
    )
}
GENERATORS: dict[str, tuple[tuple[str, ...], Generator]] = {
    op: (variants, _generator(op, variants, make)) for op, (variants, make) in MAKERS.items()
}


def random_cases(op: str, seed: int) -> Iterator[Case]:
    """Without end: a geometry, a variant and numbers that no other case has."""
    variants, make = MAKERS[op]
    rng = np.random.default_rng([seed, *map(ord, op)])
    i = 0
    while True:
        batch, geometry = random_geometry(rng)
        setting = Setting(batch, geometry, LAYOUTS[i % len(LAYOUTS)])
        yield make(op, variants[i % len(variants)], i, setting)
        i += 1
