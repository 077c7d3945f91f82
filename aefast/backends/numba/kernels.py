"""What surrounds the matrix products, compiled: one pass over each product's result while it is still in a cache.

Numba's float() leaves float32 as it is: np.float64() is what widens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast.backends.numba.formulas import IDENTITY, ON_LOGITS, SAVES_INPUT, activate, lose, times_slope
from aefast.backends.numba.intrinsics import add_any_order, row
from aefast.backends.numba.jit import (
    DOUBLES,
    FLOAT,
    INT,
    MATRIX,
    OUT_DOUBLES,
    OUT_MATRIX,
    OUT_VECTOR,
    ROWS,
    VECTOR,
    kernel,
)


@kernel(VECTOR, INT, OUT_MATRIX, OUT_MATRIX)
def bias_activation(bias: Any, act: int, out: Any, pre: Any) -> None:
    """out = act(out + bias); pre (no rows: not wanted) = out + bias."""
    for i in range(out.shape[0]):
        z = row(out, i)
        if pre.shape[0] > 0:
            kept = row(pre, i)
            for j in range(z.size):
                kept[j] = z[j] + bias[j]
        activate(z, bias, act)


@kernel(VECTOR, INT, INT, MATRIX, VECTOR, FLOAT, VECTOR, OUT_VECTOR, OUT_VECTOR, OUT_MATRIX)
def loss_gradient(
    bias: Any,
    act: int,
    loss: int,
    target: Any,
    batch_scale: Any,
    scale: float,
    feature_weight: Any,
    work: Any,
    row_loss: Any,
    delta: Any,
) -> None:
    """From delta = h wᵀ to the loss of each row and its derivative by the pre-activation, in delta's own memory.

    work (N,) holds one row.
    """
    real = delta.dtype.type
    on_logits, saves_input = ON_LOGITS[loss], SAVES_INPUT[act]
    for i in range(delta.shape[0]):
        z, t = row(delta, i), row(target, i)
        work = work[: z.size]
        if saves_input:
            for j in range(z.size):
                work[j] = z[j]
                z[j] += bias[j]
            activate(work, bias, act)
        else:
            activate(z, bias, IDENTITY if on_logits else act)
            for j in range(z.size):
                work[j] = z[j]
        row_loss[i] = lose(work, t, feature_weight, loss)
        if not on_logits:
            times_slope(work, z, act)
        factor = batch_scale[i] * real(scale)
        for j in range(z.size):
            z[j] = work[j] * factor


@kernel(VECTOR, INT, INT, MATRIX, VECTOR, OUT_MATRIX, OUT_VECTOR)
def loss_value(
    bias: Any, act: int, loss: int, target: Any, feature_weight: Any, z: Any, row_loss: Any
) -> None:
    """The loss of each row from z = h wᵀ, which is overwritten."""
    for i in range(z.shape[0]):
        r = row(z, i)
        activate(r, bias, IDENTITY if ON_LOGITS[loss] else act)
        row_loss[i] = lose(r, row(target, i), feature_weight, loss)


@kernel(INT, MATRIX, MATRIX, OUT_MATRIX)
def slope(act: int, saved: Any, extra: Any, out: Any) -> None:
    """out = (out + extra) * act'(saved); extra without rows is none, saved without rows belongs to the identity."""
    for i in range(out.shape[0]):
        d = row(out, i)
        if extra.shape[0] > 0:
            e = row(extra, i)
            for j in range(d.size):
                d[j] += e[j]
        if act != IDENTITY:
            times_slope(d, row(saved, i), act)


@kernel(MATRIX, OUT_MATRIX)
def add(x: Any, out: Any) -> None:
    """out += x."""
    for i in range(out.shape[0]):
        a, b = row(x, i), row(out, i)
        for j in range(b.size):
            b[j] += a[j]


@kernel(MATRIX, MATRIX, INT, OUT_VECTOR, OUT_DOUBLES, OUT_DOUBLES)
def reduce_gradient(delta: Any, dw: Any, accumulate: int, db: Any, sums: Any, partials: Any) -> None:
    """db (+)= sums over delta's rows and the pieces of N in each; partials = [sum of squares of dw and db, one not finite].

    sums (a multiple of N,) float64: that many neighbours are summed side by side first. What has no elements is not wanted.
    """
    real = delta.dtype.type
    n = db.size
    if n > 0:
        for j in range(sums.size):
            sums[j] = 0.0
        for i in range(delta.shape[0]):
            d = row(delta, i)
            for start in range(0, d.size, sums.size):
                piece = d[start : start + sums.size]
                for j in range(piece.size):
                    sums[j] += piece[j]
        for start in range(n, sums.size, n):
            for j in range(n):
                sums[j] += sums[start + j]
        for j in range(n):
            db[j] = real(sums[j] + db[j]) if accumulate else real(sums[j])
    if partials.size > 0:
        squares, nothing = 0.0, 0.0
        for i in range(dw.shape[0]):
            w = row(dw, i)
            part, zeros = 0.0, 0.0
            for j in range(w.size):
                x = np.float64(w[j])
                part = add_any_order(part, x * x)
                zeros = add_any_order(zeros, x - x)
            squares += part
            nothing += zeros
        for j in range(n):
            x = np.float64(db[j])
            squares += x * x
            nothing += x - x
        partials[0] = squares
        partials[1] = 0.0 if nothing == 0.0 else 1.0


@kernel(DOUBLES, ROWS, OUT_VECTOR)
def batch_weights(sample_weight: Any, index: Any, out: Any) -> None:
    """out = w / sum(w) of the rows in index."""
    total = 0.0
    for i in range(out.size):
        total += sample_weight[index[i]]
    for i in range(out.size):
        out[i] = out.dtype.type(sample_weight[index[i]] / total if total > 0.0 else 0.0)


@kernel(VECTOR, VECTOR, FLOAT, VECTOR, FLOAT, FLOAT, DOUBLES, OUT_DOUBLES)
def total_loss(
    row_loss: Any,
    batch_scale: Any,
    scale: float,
    kl: Any,
    beta: float,
    free_bits: float,
    penalty: Any,
    out: Any,
) -> None:
    """out = sum_b batch_scale (scale row_loss + beta max(kl, free_bits)) + penalty, one row after the other."""
    reconstruction, divergence = 0.0, 0.0
    for i in range(row_loss.size):
        reconstruction += np.float64(batch_scale[i]) * np.float64(row_loss[i])
    for i in range(kl.size):
        k = np.float64(kl[i])
        divergence += np.float64(batch_scale[i]) * (free_bits if k < free_bits else k)
    total = scale * reconstruction
    if kl.size > 0:
        total += beta * divergence
    out[0] = total + penalty[0] if penalty.size > 0 else total
