"""The Gaussian latent and the penalties on the code, compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from aefast import regularizers
from aefast.backends.numba.intrinsics import add_any_order, row
from aefast.backends.numba.jit import (
    FLOAT,
    INT,
    MATRIX,
    OUT_DOUBLES,
    OUT_MATRIX,
    OUT_VECTOR,
    OUT_WORDS,
    ROWS,
    VECTOR,
    WORD,
    device,
    kernel,
)
from aefast.backends.numba.noise import fill_normals
from aefast.backends.numba.vector_math import exp, expm1

KINDS = ("kl", "l1", "l2")
KL, L1, L2 = (regularizers.PENALTY_CODES[n] for n in KINDS)
CLAMP, LOGVAR_MAX = regularizers.KL_CLAMP, regularizers.LOGVAR_MAX


@device
def bounded(logvar: Any, j: int) -> Any:
    """min(LOGVAR_MAX, logvar[j]); NaN stays."""
    limit = logvar.dtype.type(LOGVAR_MAX)
    return limit if logvar[j] > limit else logvar[j]


@device
def divergence(mu: Any, logvar: Any) -> Any:
    """KL(N(mu, exp(logvar)) || N(0, 1)) = 0.5 * sum(mu^2 + expm1(logvar) - logvar)."""
    total = mu.dtype.type(0)
    for j in range(mu.size):
        v = bounded(logvar, j)
        total = add_any_order(total, mu[j] * mu[j] + (expm1(v) - v))
    return mu.dtype.type(0.5) * total


@kernel(MATRIX, WORD, WORD, INT, ROWS, OUT_WORDS, OUT_MATRIX, OUT_VECTOR)
def sample(moments: Any, seed: Any, epoch: Any, stream: int, rows: Any, words: Any, z: Any, kl: Any) -> None:
    """z = mu + exp(logvar / 2) * normal, or mu where stream < 0; kl (empty: not wanted) per row."""
    n = z.shape[1]
    half = z.dtype.type(0.5)
    for i in range(z.shape[0]):
        m, o = row(moments, i), row(z, i)
        mu, logvar = m[:n], m[n:]
        if stream >= 0:
            fill_normals(o, words, seed, rows[i], epoch, np.uint64(stream))
            for j in range(n):
                o[j] = mu[j] + exp(half * bounded(logvar, j)) * o[j]
        else:
            for j in range(n):
                o[j] = mu[j]
        if kl.size > 0:
            kl[i] = divergence(mu, logvar)


@kernel(MATRIX, MATRIX, VECTOR, FLOAT, FLOAT, WORD, WORD, INT, ROWS, OUT_WORDS, OUT_MATRIX)
def sample_backward(
    moments: Any,
    dz: Any,
    batch_scale: Any,
    beta: float,
    free_bits: float,
    seed: Any,
    epoch: Any,
    stream: int,
    rows: Any,
    words: Any,
    out: Any,
) -> None:
    """dmu = dz + c mu; dlogvar = (dz normal exp(logvar / 2) + c expm1(logvar)) / 2; the noise is drawn again."""
    n = dz.shape[1]
    real = out.dtype.type
    half, zero = real(0.5), real(0)
    for i in range(dz.shape[0]):
        m, d, o = row(moments, i), row(dz, i), row(out, i)
        mu, logvar, dmu, dlogvar = m[:n], m[n:], o[:n], o[n:]
        c = batch_scale[i] * real(beta)
        if free_bits > 0.0 and not divergence(mu, logvar) > free_bits:
            c = zero
        if stream >= 0:
            fill_normals(dlogvar, words, seed, rows[i], epoch, np.uint64(stream))
        else:
            for j in range(n):
                dlogvar[j] = zero
        for j in range(n):
            dmu[j] = d[j] + c * mu[j]
            v = bounded(logvar, j)
            noise = dlogvar[j] * exp(half * v)
            dlogvar[j] = half * (d[j] * noise + c * expm1(v))


@kernel(MATRIX, VECTOR, INT, FLOAT, FLOAT, OUT_VECTOR, OUT_DOUBLES, OUT_DOUBLES)
def penalty(
    h: Any, batch_scale: Any, kind: int, weight: float, target: float, mean: Any, sums: Any, value: Any
) -> None:
    """value = weight * sum_j KL(target || mean_j), or weight * sum_b batch_scale * norm; sums (L,) float64 is room."""
    real = h.dtype.type
    n = h.shape[1]
    if kind == KL:
        sums = sums[:n]
        for j in range(n):
            sums[j] = 0.0
        for i in range(h.shape[0]):
            r, share = row(h, i), np.float64(batch_scale[i])
            for j in range(n):
                sums[j] += share * np.float64(r[j])
        total = 0.0
        for j in range(n):
            clamped = CLAMP if sums[j] < CLAMP else sums[j]
            mean[j] = real(1.0 - CLAMP if clamped > 1.0 - CLAMP else clamped)
            rho = np.float64(mean[j])
            total += target * math.log(target / rho) + (1.0 - target) * math.log((1.0 - target) / (1.0 - rho))
        value[0] = weight * total
        return
    total = 0.0
    for i in range(h.shape[0]):
        r = row(h, i)
        norm = real(0)
        if kind == L1:
            for j in range(n):
                norm = add_any_order(norm, math.fabs(r[j]))
        else:
            for j in range(n):
                norm = add_any_order(norm, r[j] * r[j])
        total += np.float64(batch_scale[i]) * np.float64(norm)
    value[0] = weight * total


@kernel(MATRIX, VECTOR, INT, FLOAT, FLOAT, VECTOR, OUT_MATRIX)
def penalty_backward(
    h: Any, batch_scale: Any, kind: int, weight: float, target: float, mean: Any, out: Any
) -> None:
    """batch_scale * weight * (-target / mean + (1 - target) / (1 - mean)), * sign(h), or * 2 h."""
    real = out.dtype.type
    zero, one, t = real(0), real(1), real(target)
    for i in range(out.shape[0]):
        r, o = row(h, i), row(out, i)
        share = batch_scale[i] * real(weight)
        if kind == KL:
            for j in range(o.size):
                o[j] = share * (-t / mean[j] + (one - t) / (one - mean[j]))
        elif kind == L1:
            for j in range(o.size):
                o[j] = share * (one if r[j] > zero else (-one if r[j] < zero else r[j]))
        else:
            for j in range(o.size):
                o[j] = share * (r[j] + r[j])
