"""The op `update`: one pass over parameters, gradient, slots and average, in blocks that stay in the first cache."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import optimizers
from aefast.backends.numba.jit import FLOAT, INT, OUT_VECTOR, VECTOR, device, kernel

Array = NDArray[Any]
RULES = ("sgd", "momentum", "nesterov", "rmsprop", "adam", "adamw", "lion")
SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW, LION = (optimizers.CODES[n] for n in RULES)
DECOUPLED = np.array([row.decoupled_decay for row in optimizers.TABLE])
BLOCK = 2048  # elements: five arrays of them are 40 KB in float32


@device
def _gradient(g: Any, w: Any, clip: Any, decay: Any) -> Any:
    return g * clip + decay * w


@device
def _apply(
    rule: int,
    w: Any,
    g: Any,
    s0: Any,
    s1: Any,
    decay: Any,
    shrink: Any,
    h0: Any,
    h1: Any,
    h2: Any,
    lr: Any,
    c1: Any,
    c2: Any,
    clip: Any,
) -> None:
    """One block: g' = clip g + decay w, or w first times shrink; then the rule."""
    real = w.dtype.type
    h0_rest, h1_rest = real(1.0 - h0), real(1.0 - h1)
    k0, k1, eps, rate, m1, m2 = real(h0), real(h1), real(h2), real(lr), real(c1), real(c2)
    zero, one = real(0), real(1)
    if rule == SGD:
        for i in range(w.size):
            w[i] -= rate * _gradient(g[i], w[i], clip, decay)
    elif rule == MOMENTUM:
        for i in range(w.size):
            s0[i] = k0 * s0[i] + _gradient(g[i], w[i], clip, decay)
            w[i] -= rate * s0[i]
    elif rule == NESTEROV:
        for i in range(w.size):
            d = _gradient(g[i], w[i], clip, decay)
            s0[i] = k0 * s0[i] + d
            w[i] -= rate * (d + k0 * s0[i])
    elif rule == RMSPROP:
        for i in range(w.size):
            d = _gradient(g[i], w[i], clip, decay)
            s0[i] = k0 * s0[i] + h0_rest * d * d
            w[i] -= rate * d / (math.sqrt(s0[i]) + eps)
    elif rule == ADAM or rule == ADAMW:
        for i in range(w.size):
            d = _gradient(g[i], w[i], clip, decay)
            s0[i] = k0 * s0[i] + h0_rest * d
            s1[i] = k1 * s1[i] + h1_rest * d * d
            w[i] = shrink * w[i] - rate * (s0[i] * m1) / (math.sqrt(s1[i] * m2) + eps)
    elif rule == LION:
        for i in range(w.size):
            d = g[i] * clip
            u = k0 * s0[i] + h0_rest * d
            w[i] = shrink * w[i] - rate * (one if u > zero else (-one if u < zero else u))
            s0[i] = k1 * s0[i] + h1_rest * d


@kernel(
    INT, OUT_VECTOR, VECTOR, OUT_VECTOR, OUT_VECTOR, OUT_VECTOR,
    INT, INT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT,
)  # fmt: skip
def _update(
    rule: int,
    w: Any,
    g: Any,
    s0: Any,
    s1: Any,
    ema: Any,
    n_decay: int,
    decoupled: int,
    weight_decay: float,
    h0: float,
    h1: float,
    h2: float,
    lr: float,
    c1: float,
    c2: float,
    clip_scale: float,
    ema_decay: float,
) -> None:
    real = w.dtype.type
    clip, keep, take = real(clip_scale), real(ema_decay), real(1.0 - ema_decay)
    start = 0
    while start < w.size:
        decays = start < n_decay
        stop = min(start + BLOCK, n_decay if decays else w.size)
        decay = real(weight_decay if decays and not decoupled else 0.0)
        shrink = real(1.0 - lr * weight_decay if decays and decoupled else 1.0)
        part = w[start:stop]
        _apply(
            rule,
            part,
            g[start:stop],
            s0[start:stop],
            s1[start:stop],
            decay,
            shrink,
            h0,
            h1,
            h2,
            lr,
            c1,
            c2,
            clip,
        )
        if ema.size > 0:
            average = ema[start:stop]
            for i in range(part.size):
                average[i] = keep * average[i] + take * part[i]
        start = stop


def update(
    rule: int,
    w: Array,
    g: Array,
    s0: Array | None,
    s1: Array | None,
    ema: Array | None,
    n_decay: int,
    weight_decay: float,
    h0: float,
    h1: float,
    h2: float,
    lr: float,
    c1: float,
    c2: float,
    clip_scale: float,
    ema_decay: float,
) -> None:
    """One optimizer step on the flat parameters; `aefast/optimizers.py` cites each rule's source."""
    none = w[:0]
    _update[w.dtype](
        rule,
        w,
        g,
        none if s0 is None else s0,
        none if s1 is None else s1,
        none if ema is None else ema,
        n_decay if weight_decay else 0,
        DECOUPLED[rule],
        weight_decay,
        h0,
        h1,
        h2,
        lr,
        c1,
        c2,
        clip_scale,
        ema_decay,
    )
