"""The op `update` in plain NumPy: one function per optimizer, found by its table row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import optimizers

Array = NDArray[Any]
# (w, g, s0, s1, h0, h1, h2, lr, c1, c2); w and the slots are updated in place. The constants are Python floats, so that
# 1 - h1 is taken in float64 and only then rounded to w's dtype.
Rule = Callable[..., None]


def _sgd(
    w: Array, g: Array, s0: Array, s1: Array, h0: Any, h1: Any, h2: Any, lr: Any, c1: Any, c2: Any
) -> None:
    w -= lr * g


def _momentum(
    w: Array, g: Array, s0: Array, s1: Array, h0: Any, h1: Any, h2: Any, lr: Any, c1: Any, c2: Any
) -> None:
    s0[...] = h0 * s0 + g
    w -= lr * s0


def _nesterov(
    w: Array, g: Array, s0: Array, s1: Array, h0: Any, h1: Any, h2: Any, lr: Any, c1: Any, c2: Any
) -> None:
    s0[...] = h0 * s0 + g
    w -= lr * (g + h0 * s0)


def _rmsprop(
    w: Array, g: Array, s0: Array, s1: Array, h0: Any, h1: Any, h2: Any, lr: Any, c1: Any, c2: Any
) -> None:
    s0[...] = h0 * s0 + (1 - h0) * g * g
    w -= lr * g / (np.sqrt(s0) + h2)


def _adam(
    w: Array, g: Array, s0: Array, s1: Array, h0: Any, h1: Any, h2: Any, lr: Any, c1: Any, c2: Any
) -> None:
    s0[...] = h0 * s0 + (1 - h0) * g
    s1[...] = h1 * s1 + (1 - h1) * g * g
    w -= lr * (s0 * c1) / (np.sqrt(s1 * c2) + h2)


def _lion(
    w: Array, g: Array, s0: Array, s1: Array, h0: Any, h1: Any, h2: Any, lr: Any, c1: Any, c2: Any
) -> None:
    w -= lr * np.sign(h0 * s0 + (1 - h0) * g)
    s0[...] = h1 * s0 + (1 - h1) * g


RULES: dict[str, Rule] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "nesterov": _nesterov,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "adamw": _adam,
    "lion": _lion,
}


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
    row = optimizers.TABLE[rule]
    g = g * clip_scale
    if weight_decay:
        if row.decoupled_decay:
            w[:n_decay] *= 1.0 - lr * weight_decay
        else:
            g[:n_decay] += weight_decay * w[:n_decay]
    RULES[row.name](w, g, s0, s1, h0, h1, h2, lr, c1, c2)
    if ema is not None:
        ema[...] = ema_decay * ema + (1.0 - ema_decay) * w
