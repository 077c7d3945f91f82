"""Every op of the contract: NumPy's BLAS for the product, straight into the caller's memory, then one compiled pass.

What an argument is stands in `aefast/ops`; each op's definition is the one of its name in `backends/numpy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends.numba import kernels, latent, noise
from aefast.backends.numba.formulas import IDENTITY
from aefast.backends.numba.gathering import gather_rows, readable, spread_rows
from aefast.backends.numba.scratch import ones, room
from aefast.data.sparse import SparseRows

Array = NDArray[Any]
NO_DOUBLES = np.zeros(0)
FLOAT64, INT32 = np.dtype(np.float64), np.dtype(np.int32)
SUMS = 256
"""Sums that `bias_grad` has side by side where there are fewer columns than that: as many lanes, and 2 KB."""
LOSS_BLOCK = 1 << 18
"""Elements of reconstruction that `linear_loss` holds at a time: 1 MB in float32."""


def gather(
    data: Array | SparseRows,
    index: Array,
    shift: Array | None,
    scale: Array | None,
    factor: float,
    out: Array,
) -> None:
    """out = (data[index] - shift) * scale in float64, or data[index] * factor in out's dtype."""
    if shift is None or scale is None:
        shift = scale = NO_DOUBLES
    if isinstance(data, SparseRows):
        spread = spread_rows[data.indices.dtype][out.dtype, data.dtype]
        spread(data.values, data.indices, data.indptr, index, shift, scale, factor, out)
        return
    data, index = readable(data, index, out.dtype)
    gather_rows[out.dtype, data.dtype](data, index, shift, scale, factor, out)


def batch_scale(sample_weight: Array | None, index: Array, out: Array) -> None:
    """out = w / sum(w); no weights are equal weights; a batch of zero weights counts nothing."""
    if sample_weight is None:
        out.fill(1.0 / len(out))
    else:
        kernels.batch_weights[out.dtype](sample_weight, index, out)


def corrupt(
    x: Array,
    kind: int,
    level: float,
    low: float,
    high: float,
    seed: int,
    epoch: int,
    stream: int,
    rows: Array,
    out: Array,
) -> None:
    """gaussian: x + level * n; masking: where(u < level, 0, x); salt_and_pepper: low, high or x."""
    words = room("words", x.shape[1] + 3, INT32)
    noise.corrupt[out.dtype](x, kind, level, low, high, seed, epoch, stream, rows, words, out)


def linear_act(x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None) -> None:
    """out = act(x @ w.T + b); pre = x @ w.T + b."""
    np.matmul(x, w.T, out=out)
    kernels.bias_activation[out.dtype](b, act, out, out[:0] if pre is None else pre)


def linear_loss_grad(
    h: Array,
    w: Array,
    b: Array,
    act: int,
    loss: int,
    target: Array,
    batch_scale: Array,
    scale: float,
    feature_weight: Array | None,
    row_loss: Array,
    delta: Array,
) -> None:
    """row_loss = sum(f * l(act(z), t)); delta = batch_scale * scale * f * dl/dr * act'(z); z = h @ w.T + b."""
    n, dtype = len(w), delta.dtype
    np.matmul(h, w.T, out=delta)
    weights = ones(n, dtype) if feature_weight is None else feature_weight
    work = room("row", n, dtype)
    kernels.loss_gradient[dtype](b, act, loss, target, batch_scale, scale, weights, work, row_loss, delta)


def linear_loss(
    h: Array,
    w: Array,
    b: Array,
    act: int,
    loss: int,
    target: Array,
    feature_weight: Array | None,
    row_loss: Array,
) -> None:
    """row_loss = sum(f * l(act(h @ w.T + b), t)), some rows at a time."""
    n, dtype = len(w), row_loss.dtype
    weights = ones(n, dtype) if feature_weight is None else feature_weight
    step = min(len(h), max(1, LOSS_BLOCK // n))
    block = room("reconstruction", step * n, dtype)
    for start in range(0, len(h), step):
        stop = min(start + step, len(h))
        z = block[: (stop - start) * n].reshape(stop - start, n)
        np.matmul(h[start:stop], w.T, out=z)
        kernels.loss_value[dtype](b, act, loss, target[start:stop], weights, z, row_loss[start:stop])


def linear_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array
) -> None:
    """out = (delta @ w + extra) * act'(saved)."""
    np.matmul(delta, w, out=out)
    if extra is not None or (saved is not None and act != IDENTITY):
        none = out[:0]
        kernels.slope[out.dtype](
            IDENTITY if saved is None else act,
            none if saved is None else saved,
            none if extra is None else extra,
            out,
        )


def linear_wgrad(
    delta: Array, a: Array, dw: Array, db: Array | None, accumulate: bool, partials: Array | None
) -> None:
    """dw = delta.T @ a; db = delta.sum(0); both added to with `accumulate`."""
    left, right = delta, a
    if dw.strides[1] != dw.itemsize:  # a transposed view: BLAS and the passes want its rows contiguous
        dw, left, right = dw.T, a, delta
    if accumulate:
        share = room("gradient", dw.size, dw.dtype)[: dw.size].reshape(dw.shape)
        np.matmul(left.T, right, out=share)
        kernels.add[dw.dtype](share, dw)
    else:
        np.matmul(left.T, right, out=dw)
    if db is not None or partials is not None:
        _reduce(delta, dw, db, accumulate, partials)


def bias_grad(delta: Array, db: Array, partials: Array | None) -> None:
    """db (n,) = delta.reshape(-1, n).sum(0)."""
    _reduce(delta, delta[:0], db, False, partials)


def _reduce(delta: Array, dw: Array, db: Array | None, accumulate: bool, partials: Array | None) -> None:
    n = delta.shape[1] if db is None else len(db)
    side_by_side = min(delta.shape[1], n * max(1, SUMS // n))
    sums = room("sums", side_by_side, FLOAT64)[:side_by_side]
    no_db = delta[0, :0]
    kernels.reduce_gradient[delta.dtype](
        delta, dw, accumulate, no_db if db is None else db, sums, NO_DOUBLES if partials is None else partials
    )


def gaussian_latent(
    moments: Array, seed: int, epoch: int, stream: int, rows: Array, z: Array, kl: Array | None
) -> None:
    """z = mu + exp(logvar / 2) * eps; kl = 0.5 * sum(mu^2 + exp(logvar) - 1 - logvar) (Kingma & Welling 2014, app. B)."""
    words = room("words", z.shape[1] + 3, INT32)
    no_kl = z[0, :0]
    latent.sample[z.dtype](moments, seed, epoch, stream, rows, words, z, no_kl if kl is None else kl)


def gaussian_latent_backward(
    moments: Array,
    dz: Array,
    batch_scale: Array,
    beta: float,
    free_bits: float,
    seed: int,
    epoch: int,
    stream: int,
    rows: Array,
    out: Array,
) -> None:
    """dmu = dz + c mu; dlogvar = (dz eps exp(logvar / 2) + c expm1(logvar)) / 2; c = beta batch_scale (kl > free_bits)."""
    words = room("words", dz.shape[1] + 3, INT32)
    latent.sample_backward[out.dtype](
        moments, dz, batch_scale, beta, free_bits, seed, epoch, stream, rows, words, out
    )


def sparsity_penalty(
    h: Array, batch_scale: Array, kind: int, weight: float, target: float, mean: Array, value: Array
) -> None:
    """kl: weight * sum_j KL(target || mean_j), mean = batch_scale @ h clamped; l1, l2: weight * batch_scale @ norms."""
    sums = room("sums", h.shape[1], FLOAT64)
    latent.penalty[h.dtype](h, batch_scale, kind, weight, target, mean, sums, value)


def sparsity_penalty_backward(
    h: Array, batch_scale: Array, kind: int, weight: float, target: float, mean: Array, out: Array
) -> None:
    """Derivative of the penalty by h: batch_scale * weight * (-t/mean + (1-t)/(1-mean)), sign(h), or 2 h."""
    latent.penalty_backward[h.dtype](h, batch_scale, kind, weight, target, mean, out)


def batch_loss(
    row_loss: Array,
    batch_scale: Array,
    scale: float,
    kl: Array | None,
    beta: float,
    free_bits: float,
    penalty: Array | None,
    out: Array,
) -> None:
    """out = scale * batch_scale @ row_loss + beta * batch_scale @ maximum(kl, free_bits) + penalty."""
    kernels.total_loss[row_loss.dtype](
        row_loss,
        batch_scale,
        scale,
        row_loss[:0] if kl is None else kl,
        beta,
        free_bits,
        NO_DOUBLES if penalty is None else penalty,
        out,
    )


def permutation(n: int, seed: int, epoch: int, out: Array) -> None:
    """out = the epoch's order of n rows."""
    noise.permute[out.dtype](seed, epoch, out)
