"""The dense layers' ops on NumPy arrays; see `aefast.ops` for the letters and the rules.

`compute_dtype="bfloat16"` rounds the operands of the product, and nothing else, to bfloat16; all arrays are float32.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import activations, losses
from aefast.data.rows import as_feature_weight, as_rows, as_weights
from aefast.ops.checks import Array, apart, check, check_loss, group, implementation, output
from aefast.ops.exchange import exchanged, is_foreign


def linear_act(
    x: Any,
    w: Array,
    b: Array,
    activation: str = "identity",
    *,
    out: Array | None = None,
    pre: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """h (B, N) from x (B, M), w (N, M), b (N,); `pre` (B, N), if given, gets the pre-activation.

    x may be sparse (SciPy's, of the dtype of w): the same bits as dense, on "cpu" from the stored values alone.

    h = act(x @ w.T + b)
    """
    if type(x) is not np.ndarray and is_foreign(x):
        return exchanged(linear_act, locals())
    act = activations.get(activation)
    sparse = hasattr(x, "tocsr")
    ops = implementation(
        backend, "linear_act", x.dtype if sparse else x, act=act.name, compute_dtype=compute_dtype
    )
    n, m = check("w", w, (None, None), x.dtype)
    if sparse:
        x = as_rows(x, m, what="x")
        if "linear_act" not in getattr(ops, "SPARSE", ()) or compute_dtype is not None:
            x = x[:]
        batch = len(x)
    else:
        batch, _ = check("x", x, (None, m), x.dtype)
    check("b", b, (n,), x.dtype)
    result = output("out", out, (batch, n), x.dtype)
    if pre is not None:
        output("pre", pre, (batch, n), x.dtype)
    apart({"out": out, "pre": pre}, {"x": getattr(x, "values", x), "w": w, "b": b})
    ops.linear_act(x, w, b, activations.CODES[activation], result, pre)
    return result


def linear_loss_grad(
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str = "identity",
    loss: str = "mse",
    *,
    reduction: str = "mean",
    sample_weight: Array | None = None,
    feature_weight: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> tuple[float, Array]:
    """(loss, delta (B, d)) of the last layer: h (B, M), w (d, M), b (d,), target (B, d); the reconstruction is never stored.

    r = act(h @ w.T + b); loss = sum_i w_i sum_j f_j l(r_ij, t_ij) / sum(w), divided by d for "mean"; delta = dloss/dz
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(linear_loss_grad, locals())
    ops, batch, feature_weight = last_layer(
        backend, "linear_loss_grad", h, w, b, target, activation, loss, feature_weight, compute_dtype
    )
    scale = losses.element_scale(reduction, len(w))
    weights = np.empty(batch, h.dtype)
    ops.batch_scale(as_weights(sample_weight, batch), np.arange(batch), weights)
    delta = output("out", out, target.shape, h.dtype)
    apart({"out": out}, {"h": h, "w": w, "b": b, "target": target})
    row_loss = np.empty(batch, h.dtype)
    codes = activations.CODES[activation], losses.CODES[loss]
    ops.linear_loss_grad(h, w, b, *codes, target, weights, scale, feature_weight, row_loss, delta)
    return scale * float(weights.astype(np.float64) @ row_loss.astype(np.float64)), delta


def linear_loss(
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str = "identity",
    loss: str = "mse",
    *,
    feature_weight: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """Loss per row (B,), summed over the features; arguments as in `linear_loss_grad`.

    (f * l(act(h @ w.T + b), target)).sum(1)
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(linear_loss, locals())
    ops, batch, feature_weight = last_layer(
        backend, "linear_loss", h, w, b, target, activation, loss, feature_weight, compute_dtype
    )
    row_loss = output("out", out, (batch,), h.dtype)
    apart({"out": out}, {"h": h, "w": w, "b": b, "target": target})
    ops.linear_loss(
        h, w, b, activations.CODES[activation], losses.CODES[loss], target, feature_weight, row_loss
    )
    return row_loss


def linear_dgrad(
    delta: Array,
    w: Array,
    saved: Array | None = None,
    activation: str = "identity",
    *,
    extra: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> Array:
    """delta of the layer below (B, M) from delta (B, N), w (N, M) and what its forward pass saved (B, M).

    `saved` is the output, or the pre-activation for gelu and silu; `extra` (B, M) is added before act'.

    (delta @ w + extra) * act'(saved)
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(linear_dgrad, locals())
    act = activations.get(activation)
    ops = implementation(backend, "linear_dgrad", delta, act=act.name, compute_dtype=compute_dtype)
    n, m = check("w", w, (None, None), delta.dtype)
    batch, _ = check("delta", delta, (None, n), delta.dtype)
    shape = (batch, m)
    if saved is None and act.name != "identity":
        raise ValueError(f"linear_dgrad through {act.name!r} needs saved: the layer's {act.saved}")
    for name, array in (("saved", saved), ("extra", extra)):
        if array is not None:
            check(name, array, shape, delta.dtype)
    result = output("out", out, shape, delta.dtype)
    apart({"out": out}, {"delta": delta, "w": w, "saved": saved, "extra": extra})
    ops.linear_dgrad(delta, w, activations.CODES[activation], saved, extra, result)
    return result


def linear_wgrad(
    delta: Array,
    a: Array,
    *,
    out: tuple[Array, Array] | None = None,
    accumulate: bool = False,
    backend: str = "auto",
    compute_dtype: str | None = None,
) -> tuple[Array, Array]:
    """(dw (N, M), db (N,)) from delta (B, N) and the layer's input a (B, M); `accumulate` adds to `out`.

    delta.T @ a, delta.sum(0)
    """
    if type(delta) is not np.ndarray and is_foreign(delta):
        return exchanged(linear_wgrad, locals())
    ops = implementation(backend, "linear_wgrad", delta, compute_dtype=compute_dtype)
    batch, n = check("delta", delta, (None, None), delta.dtype)
    _, m = check("a", a, (batch, None), delta.dtype)
    if accumulate and out is None:
        raise ValueError("accumulate adds to gradients that exist: give out=(dw, db)")
    given: tuple[Array | None, ...] = (
        (None, None) if out is None else group("out", out, 2, "two arrays (dw, db)")
    )
    dw, db = output("dw", given[0], (n, m), delta.dtype), output("db", given[1], (n,), delta.dtype)
    apart({"dw": given[0], "db": given[1]}, {"delta": delta, "a": a})
    ops.linear_wgrad(delta, a, dw, db, accumulate, None)
    return dw, db


def last_layer(
    backend: str,
    op: str,
    h: Array,
    w: Array,
    b: Array,
    target: Array,
    activation: str,
    loss: str,
    feature_weight: Array | None,
    compute_dtype: str | None,
) -> tuple[Any, int, Array | None]:
    """The backend's ops, the batch, and the feature weights in h's dtype, once all arguments are checked."""
    check_loss(activation, loss)
    ops = implementation(backend, op, h, act=activation, loss=loss, compute_dtype=compute_dtype)
    n, m = check("w", w, (None, None), h.dtype)
    batch, _ = check("h", h, (None, m), h.dtype)
    check("b", b, (n,), h.dtype)
    check("target", target, (batch, n), h.dtype)
    features = as_feature_weight(feature_weight, n)
    return ops, batch, None if features is None else features.astype(h.dtype)
