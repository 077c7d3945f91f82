"""Ops at the two ends of a step, on NumPy arrays: rows in, parameters updated; see `aefast.ops` for the rules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from aefast import optimizers
from aefast.checks import finite, integer, real, shown
from aefast.data.rows import as_rows
from aefast.ops.checks import (
    Array,
    apart,
    check,
    group,
    implementation,
    integers,
    noise_address,
    output,
    reals,
)
from aefast.ops.exchange import exchanged, is_foreign

_at_least_0, _step = real(0.0), integer(1)
_rows_number = integer(1, high=2**32)  # the permutation is one of 32-bit words


def gather(
    data: Array,
    index: Array,
    *,
    shift: Array | None = None,
    scale: Array | None = None,
    factor: float = 1.0,
    dtype: str = "float32",
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """Rows data[index] (B, d) of any numeric dtype and strides as `dtype`, scaled on the way.

    (data[index] - shift) * scale in float64, or data[index] * factor
    """
    if type(data) is not np.ndarray and is_foreign(data):
        return exchanged(gather, locals())
    data = as_rows(data, what="data")
    index = integers("index", index)
    finite("factor", factor)
    if index.ndim != 1 or len(index) == 0:
        raise ValueError(f"index must have shape (B,) with B >= 1, but has {index.shape}")
    if index.min() < 0 or index.max() >= len(data):
        raise IndexError(
            f"index must be in [0, {len(data)}), but reaches from {index.min()} to {index.max()}"
        )
    if (shift is None) != (scale is None):
        raise ValueError("shift and scale come together: give both or none")
    if shift is not None and scale is not None:
        shift, scale = reals("shift", shift, data.shape[1]), reals("scale", scale, data.shape[1])
    made = _dtype(dtype)
    ops = implementation(backend, "gather", made)
    result = output("out", out, (len(index), data.shape[1]), made)
    apart({"out": out}, {"data": data, "index": index, "shift": shift, "scale": scale})
    ops.gather(data, index, shift, scale, factor, result)
    return result


def update(
    w: Array,
    g: Array,
    slots: tuple[Array, ...] = (),
    optimizer: str | optimizers.Optimizer = "adam",
    *,
    learning_rate: float = 1e-3,
    step: int = 1,
    weight_decay: float = 0.0,
    clip_scale: float = 1.0,
    backend: str = "auto",
) -> None:
    """One optimizer step, number `step` = 1, 2, ..., in place on flat w (n,) and its slots, each (n,), from g (n,).

    As many slots as the optimizer has (`aefast.optim`), zero before step 1. g is multiplied by `clip_scale`.
    """
    if type(w) is not np.ndarray and is_foreign(w):
        exchanged(update, locals())
        return
    rule = optimizers.get(optimizer)
    ops = implementation(backend, "update", w)
    (n,) = check("w", w, (None,), w.dtype)
    check("g", g, (n,), w.dtype)
    slots = group("slots", slots, rule.n_slots, f"arrays, of which {rule.name} has {rule.n_slots} slots")
    changed = {"w": w, **{f"slots[{i}]": slot for i, slot in enumerate(slots)}}
    for name, array in changed.items():
        if array is None:
            raise TypeError(f"{name} must be a NumPy array, but is None")
        output(name, array, (n,), w.dtype)
    apart({**changed}, {"g": g})
    _step("step", step)
    finite("learning_rate", learning_rate)
    finite("clip_scale", clip_scale)
    _at_least_0("weight_decay", weight_decay)
    s0, s1 = (*slots, None, None)[:2]
    decay = weight_decay if rule.weight_decay is None else rule.weight_decay
    rate = learning_rate if rule.learning_rate is None else rule.learning_rate
    c1, c2 = rule.bias_corrections(np.array([step]))[0].tolist()
    code = optimizers.CODES[rule.name]
    ops.update(code, w, g, s0, s1, None, n, decay, *rule.constants, rate, c1, c2, clip_scale, 0.0)


def permutation(n: int, *, seed: int = 0, epoch: int = 0, backend: str = "auto") -> NDArray[np.int64]:
    """(n,) int64: a keyed permutation of range(n); the same bits on every backend."""
    _rows_number("n", n)
    noise_address(seed, epoch)
    out = np.empty(n, np.int64)
    implementation(backend, "permutation", np.dtype(np.float32)).permutation(n, seed, epoch, out)
    return out


def _dtype(value: object) -> np.dtype[np.generic]:
    try:
        if isinstance(value, (str, type, np.dtype)):
            return np.dtype(value)
    except TypeError:
        pass
    raise TypeError(f"dtype must be 'float32' or 'float64', but is {shown(value)}")
