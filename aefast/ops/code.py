"""Corruption, the Gaussian latent and the penalties on the code, on NumPy arrays; see `aefast.ops` for the rules."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import random, regularizers
from aefast.checks import real
from aefast.data.rows import as_weights
from aefast.ops.checks import Array, apart, check, implementation, integers, noise_address, output
from aefast.ops.exchange import exchanged, is_foreign

_at_least_0 = real(0.0)


def corrupt(
    x: Array,
    kind: str = "gaussian",
    level: float = 0.3,
    *,
    seed: int = 0,
    epoch: int = 0,
    rows: Array | None = None,
    low: float = 0.0,
    high: float = 1.0,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """x (B, d) corrupted; noise is addressed by (seed, epoch, rows (B,) int64, column), see `aefast.random`.

    x + level * n, where(u < level, 0, x), or low / high each with probability level / 2
    """
    if type(x) is not np.ndarray and is_foreign(x):
        return exchanged(corrupt, locals())
    setting = regularizers.Corruption(kind, level, low, high)
    noise_address(seed, epoch)
    ops = implementation(backend, "corrupt", x)
    batch, d = check("x", x, (None, None), x.dtype)
    rows = _addresses(rows, batch)
    result = output("out", out, (batch, d), x.dtype)
    apart({"out": out}, {"x": x, "rows": rows}, in_place="x" if setting.kind != "gaussian" else "")
    code = regularizers.CORRUPTION_CODES[setting.kind]
    ops.corrupt(
        x,
        code,
        setting.level,
        setting.low,
        setting.high,
        seed,
        epoch,
        random.stream_word(random.STREAM_CORRUPTION),
        rows,
        result,
    )
    return result


def gaussian_latent(
    moments: Array,
    *,
    seed: int = 0,
    epoch: int = 0,
    rows: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> tuple[Array, Array]:
    """(z (B, L), kl (B,) in nats) from moments (B, 2 L) = [mu | logvar]; noise addressed as in `corrupt`.

    A logvar above `aefast.regularizers.LOGVAR_MAX` counts as that.

    mu + exp(logvar / 2) * eps, (mu**2 + exp(logvar) - 1 - logvar).sum(1) / 2
    """
    if type(moments) is not np.ndarray and is_foreign(moments):
        return exchanged(gaussian_latent, locals())
    noise_address(seed, epoch)
    ops, batch, n_latents = _moments("gaussian_latent", moments, backend)
    z = output("out", out, (batch, n_latents), moments.dtype)
    apart({"out": out}, {"moments": moments, "rows": rows})
    kl = np.empty(batch, moments.dtype)
    stream = random.stream_word(random.STREAM_LATENT)
    ops.gaussian_latent(moments, seed, epoch, stream, _addresses(rows, batch), z, kl)
    return z, kl


def gaussian_latent_backward(
    moments: Array,
    dz: Array,
    *,
    beta: float = 1.0,
    free_bits: float = 0.0,
    sample_weight: Array | None = None,
    seed: int = 0,
    epoch: int = 0,
    rows: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> Array:
    """delta of the moments (B, 2 L) from dz (B, L), the loss gradient by z, plus that of beta * mean(max(kl, free_bits)).

    [dz + c mu, dz eps exp(logvar / 2) / 2 + c (exp(logvar) - 1) / 2], c = beta w / sum(w) where kl > free_bits
    """
    if type(moments) is not np.ndarray and is_foreign(moments):
        return exchanged(gaussian_latent_backward, locals())
    noise_address(seed, epoch)
    _at_least_0("beta", beta)
    _at_least_0("free_bits", free_bits)
    ops, batch, n_latents = _moments("gaussian_latent_backward", moments, backend)
    check("dz", dz, (batch, n_latents), moments.dtype)
    delta = output("out", out, moments.shape, moments.dtype)
    apart({"out": out}, {"moments": moments, "dz": dz, "rows": rows})
    stream = random.stream_word(random.STREAM_LATENT)
    weights = _batch_scale(ops, sample_weight, batch, moments.dtype)
    addresses = _addresses(rows, batch)
    ops.gaussian_latent_backward(moments, dz, weights, beta, free_bits, seed, epoch, stream, addresses, delta)
    return delta


def sparsity_penalty(
    h: Array,
    kind: str = "kl",
    weight: float = 1.0,
    target: float = 0.05,
    *,
    sample_weight: Array | None = None,
    out: Array | None = None,
    backend: str = "auto",
) -> tuple[float, Array]:
    """(penalty, its derivative by h (B, L)) of a code h (B, L); see `aefast.Sparsity` for the three kinds' formulas.

    weight * sum_j KL(target || mean_b h_bj), or weight * mean_b sum_j of abs(h) or h^2
    """
    if type(h) is not np.ndarray and is_foreign(h):
        return exchanged(sparsity_penalty, locals())
    setting = regularizers.Sparsity(kind, weight, target)
    ops = implementation(backend, "sparsity_penalty", h)
    batch, n_latents = check("h", h, (None, None), h.dtype)
    derivative = output("out", out, (batch, n_latents), h.dtype)
    apart({"out": out}, {"h": h}, in_place="h")
    weights = _batch_scale(ops, sample_weight, batch, h.dtype)
    code, mean, value = regularizers.PENALTY_CODES[setting.kind], np.empty(n_latents, h.dtype), np.empty(1)
    ops.sparsity_penalty(h, weights, code, setting.weight, setting.target, mean, value)
    ops.sparsity_penalty_backward(h, weights, code, setting.weight, setting.target, mean, derivative)
    return float(value[0]), derivative


def _moments(op: str, moments: Array, backend: str) -> tuple[Any, int, int]:
    ops = implementation(backend, op, moments)
    batch, width = check("moments", moments, (None, None), moments.dtype)
    if width % 2:
        raise ValueError(f"moments hold a mean and a log variance per latent, but have an odd width {width}")
    return ops, batch, width // 2


def _addresses(rows: Array | None, batch: int) -> NDArray[np.int64]:
    if rows is None:
        return np.arange(batch)
    addresses = integers("rows", rows)
    check("rows", addresses, (batch,), addresses.dtype)
    return addresses


def _batch_scale(ops: Any, sample_weight: Array | None, batch: int, dtype: np.dtype[Any]) -> Array:
    scale = np.empty(batch, dtype)
    ops.batch_scale(as_weights(sample_weight, batch), np.arange(batch), scale)
    return scale
