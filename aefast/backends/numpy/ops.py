"""The ops of the contract in plain NumPy: the definition that all other backends are compared with.

Those of images are in `conv.py` and `images.py`, the optimizers' in `update.py`, and what follows any product in
`finish.py`. Read `aefast/ops.py` for what the arguments are. Outputs are written into the caller's arrays. Computations run
in the outputs' dtype, so float64 buffers make this the oracle; batch sums of scalars are float64 always.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import random, regularizers
from aefast.backends.numpy import finish
from aefast.data.sparse import SparseRows

Array = NDArray[Any]


def gather(
    data: Array | SparseRows,
    index: Array,
    shift: Array | None,
    scale: Array | None,
    factor: float,
    out: Array,
) -> None:
    """out = (data[index] - shift) * scale in float64, or data[index] * factor in out's dtype."""
    rows = data[index]
    if shift is not None and scale is not None:
        out[...] = (rows.astype(np.float64) - shift) * scale
    else:
        out[...] = rows
        if factor != 1.0:
            out *= out.dtype.type(factor)


def batch_scale(sample_weight: Array | None, index: Array, out: Array) -> None:
    """out = w / sum(w); no weights are equal weights; a batch of zero weights counts nothing."""
    if sample_weight is None:
        out[...] = 1.0 / len(out)
        return
    w = sample_weight[index].astype(np.float64)
    total = w.sum()
    out[...] = w / total if total > 0 else 0.0


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
    name = regularizers.CORRUPTIONS[kind]
    if name == "gaussian":
        noise = random.normals(seed, rows, x.shape[1], epoch, stream).astype(out.dtype)
        out[...] = x + out.dtype.type(level) * noise
        return
    u = random.uniforms24(seed, rows, x.shape[1], epoch, stream)
    hit = u < np.uint32(level * 2**24)
    if name == "masking":
        out[...] = np.where(hit, 0, x)
    else:
        extreme = np.where(u < np.uint32(level * 2**23), low, high)
        out[...] = np.where(hit, extreme, x)


def linear_act(x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None) -> None:
    """out = act(x @ w.T + b); pre = x @ w.T + b."""
    finish.activated(x @ w.T + b, act, out, pre)


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
    z = h @ w.T + b
    finish.loss_grad(z, act, loss, target, batch_scale, scale, feature_weight, row_loss, delta)


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
    """row_loss = sum(f * l(act(h @ w.T + b), t))."""
    finish.row_losses(h @ w.T + b, act, loss, target, feature_weight, row_loss)


def linear_dgrad(
    delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array
) -> None:
    """out = (delta @ w + extra) * act'(saved)."""
    finish.dgrad(delta @ w, act, saved, extra, out)


def linear_wgrad(
    delta: Array, a: Array, dw: Array, db: Array | None, accumulate: bool, partials: Array | None
) -> None:
    """dw = delta.T @ a; db = delta.sum(0); both added to with `accumulate`."""
    if db is not None:
        db[...] = db + delta.sum(axis=0) if accumulate else delta.sum(axis=0)
    finish.wgrad(delta.T @ a, dw, accumulate, None)
    if partials is not None:
        finish.square_norm((dw,) if db is None else (dw, db), partials)


def bias_grad(delta: Array, db: Array, partials: Array | None) -> None:
    """db = delta.reshape(-1, len(db)).sum(0): a bias for each column, or for each channel of every pixel."""
    db[...] = delta.reshape(-1, len(db)).sum(axis=0)
    if partials is not None:
        finish.square_norm((db,), partials)


def _latent_noise(shape: tuple[int, int], seed: int, epoch: int, stream: int, rows: Array) -> Array:
    return random.normals(seed, rows, shape[1], epoch, stream) if stream >= 0 else np.zeros(shape)


def _latent_kl(mu: Array, logvar: Array) -> Array:
    value: Array = 0.5 * (mu * mu + np.expm1(logvar) - logvar).sum(axis=1)
    return value


def gaussian_latent(
    moments: Array, seed: int, epoch: int, stream: int, rows: Array, z: Array, kl: Array | None
) -> None:
    """z = mu + exp(logvar / 2) * eps; kl = 0.5 * sum(mu^2 + exp(logvar) - 1 - logvar) (Kingma & Welling 2014, app. B)."""
    n = z.shape[1]
    mu, logvar = moments[:, :n], np.minimum(moments[:, n:], regularizers.LOGVAR_MAX)
    eps = _latent_noise((len(z), n), seed, epoch, stream, rows).astype(z.dtype)
    z[...] = mu + np.exp(0.5 * logvar) * eps
    if kl is not None:
        kl[...] = _latent_kl(mu, logvar)


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
    """dmu = dz + c mu; dlogvar = (dz eps exp(logvar / 2) + c (exp(logvar) - 1)) / 2; c = beta batch_scale (kl > free_bits)."""
    n = dz.shape[1]
    mu, logvar = moments[:, :n], np.minimum(moments[:, n:], regularizers.LOGVAR_MAX)
    eps = _latent_noise((len(dz), n), seed, epoch, stream, rows).astype(out.dtype)
    c = batch_scale * batch_scale.dtype.type(beta)
    if free_bits > 0:
        c = np.where(_latent_kl(mu, logvar) > free_bits, c, 0)
    out[:, :n] = dz + c[:, None] * mu
    out[:, n:] = 0.5 * dz * eps * np.exp(0.5 * logvar) + 0.5 * c[:, None] * np.expm1(logvar)


def sparsity_penalty(
    h: Array, batch_scale: Array, kind: int, weight: float, target: float, mean: Array, value: Array
) -> None:
    """kl: weight * sum_j KL(target || mean_j), mean = batch_scale @ h clamped; l1, l2: weight * batch_scale @ norms."""
    name = regularizers.PENALTIES[kind]
    if name == "kl":
        clamp = regularizers.KL_CLAMP
        mean[...] = np.clip(batch_scale.astype(np.float64) @ h.astype(np.float64), clamp, 1 - clamp)
        rho = mean.astype(np.float64)
        kl = target * np.log(target / rho) + (1 - target) * np.log((1 - target) / (1 - rho))
        value[0] = weight * kl.sum()
        return
    norms = np.abs(h) if name == "l1" else h * h
    value[0] = weight * (batch_scale.astype(np.float64) @ norms.sum(axis=1).astype(np.float64))


def sparsity_penalty_backward(
    h: Array, batch_scale: Array, kind: int, weight: float, target: float, mean: Array, out: Array
) -> None:
    """Derivative of the penalty by h: batch_scale * weight * (-t/mean + (1-t)/(1-mean)), sign(h), or 2 h."""
    name = regularizers.PENALTIES[kind]
    if name == "kl":
        by_mean = (-target / mean + (1 - target) / (1 - mean)).astype(out.dtype)
        out[...] = (batch_scale * batch_scale.dtype.type(weight))[:, None] * by_mean
    else:
        by_h = np.sign(h) if name == "l1" else 2 * h
        out[...] = (batch_scale * batch_scale.dtype.type(weight))[:, None] * by_h


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
    s = batch_scale.astype(np.float64)
    total = scale * (s @ row_loss.astype(np.float64))
    if kl is not None:
        total += beta * (s @ np.maximum(kl, free_bits).astype(np.float64))
    if penalty is not None:
        total += penalty[0]
    out[0] = total


def permutation(n: int, seed: int, epoch: int, out: Array) -> None:
    """out = the epoch's order of n rows."""
    out[...] = random.permutation(n, seed, epoch)
