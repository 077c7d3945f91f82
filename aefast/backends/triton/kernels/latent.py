"""The variational code, its backward pass, and the penalties on a code."""

from __future__ import annotations

import triton
import triton.language as tl

from aefast import regularizers
from aefast.backends.triton.kernels.formulas import sign
from aefast.backends.triton.kernels.functions import at_most, exp, expm1
from aefast.backends.triton.kernels.noise import normals
from aefast.backends.triton.tables import PENALTY

KL, L1, L2 = map(tl.constexpr, PENALTY.values())
LOGVAR_MAX, CLAMP = tl.constexpr(regularizers.LOGVAR_MAX), tl.constexpr(regularizers.KL_CLAMP)


@triton.jit
def moments_of(moments, rows, cols, inside, n, row, col):
    """(mu, logvar, capped) of those latents."""
    where = moments + rows[:, None] * row + cols[None, :] * col
    mu = tl.load(where, mask=inside, other=0.0)
    logvar = tl.load(where + tl.cast(n, tl.int64) * col, mask=inside, other=0.0)
    return mu, at_most(LOGVAR_MAX, logvar)


@triton.jit
def kl_of(mu, logvar):
    """Of each latent, in nats (Kingma & Welling 2014, app. B)."""
    return 0.5 * (mu * mu + expm1(logvar) - logvar)


@triton.jit
def sample(
    moments, rows, address, z, kl, batch, n, moments_row, moments_col, z_row, z_col,
    DRAW: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """z = mu + exp(logvar / 2) * eps, or mu without DRAW; kl (B,) where it is given."""
    at = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    data_rows = tl.load(rows + at, mask=at < batch, other=0)
    total = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
    for start in range(0, n, BLOCK_N):
        cols = tl.arange(0, BLOCK_N).to(tl.int64) + start
        inside = (at[:, None] < batch) & (cols[None, :] < n)
        mu, logvar = moments_of(moments, at, cols, inside, n, moments_row, moments_col)
        value = mu
        if DRAW:
            value = mu + exp(0.5 * logvar) * normals(data_rows, cols, address)
        tl.store(z + at[:, None] * z_row + cols[None, :] * z_col, value, mask=inside)
        if kl is not None:
            total += tl.where(inside, kl_of(mu, logvar), 0.0)
    if kl is not None:
        tl.store(kl + at, tl.sum(total, 1), mask=at < batch)


@triton.jit
def sample_backward(
    moments, dz, batch_scale, settings, rows, address, out, batch, n,
    moments_row, moments_col, dz_row, dz_col, out_row, out_col,
    DRAW: tl.constexpr, FREE_BITS: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """dmu = dz + c mu; dlogvar = (dz eps exp(logvar / 2) + c expm1(logvar)) / 2; c = beta batch_scale, where kl > free_bits.

    `settings` (2,) float64: beta, free_bits.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    data_rows = tl.load(rows + at, mask=at < batch, other=0)
    c = tl.load(batch_scale + at, mask=at < batch, other=0.0) * tl.load(settings).to(tl.float32)
    if FREE_BITS:
        total = tl.zeros((BLOCK_B, BLOCK_N), tl.float32)
        for start in range(0, n, BLOCK_N):
            cols = tl.arange(0, BLOCK_N).to(tl.int64) + start
            inside = (at[:, None] < batch) & (cols[None, :] < n)
            mu, logvar = moments_of(moments, at, cols, inside, n, moments_row, moments_col)
            total += tl.where(inside, kl_of(mu, logvar), 0.0)
        c = tl.where(tl.sum(total, 1) > tl.load(settings + 1).to(tl.float32), c, 0.0)
    for start in range(0, n, BLOCK_N):
        cols = tl.arange(0, BLOCK_N).to(tl.int64) + start
        inside = (at[:, None] < batch) & (cols[None, :] < n)
        mu, logvar = moments_of(moments, at, cols, inside, n, moments_row, moments_col)
        d = tl.load(dz + at[:, None] * dz_row + cols[None, :] * dz_col, mask=inside, other=0.0)
        by_logvar = 0.5 * c[:, None] * expm1(logvar)
        if DRAW:
            by_logvar += 0.5 * d * normals(data_rows, cols, address) * exp(0.5 * logvar)
        where = out + at[:, None] * out_row + cols[None, :] * out_col
        tl.store(where, d + c[:, None] * mu, mask=inside)
        tl.store(where + tl.cast(n, tl.int64) * out_col, by_logvar, mask=inside)


@triton.jit
def penalty(
    h, batch_scale, settings, mean, shares, batch, n, h_row, h_col,
    KIND: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """shares (programs,) float64: what a program's columns add to the penalty; kl also writes their clamped means.

    `settings` (2,) float64: weight, target. kl: weight * KL(target || mean); l1, l2: weight * batch_scale @ norms.
    """
    cols = tl.program_id(0).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_B, BLOCK_N), tl.float64)
    for start in range(0, batch, BLOCK_B):
        rows = tl.arange(0, BLOCK_B).to(tl.int64) + start
        inside = (rows[:, None] < batch) & (cols[None, :] < n)
        x = tl.load(h + rows[:, None] * h_row + cols[None, :] * h_col, mask=inside, other=0.0).to(tl.float64)
        s = tl.load(batch_scale + rows, mask=rows < batch, other=0.0).to(tl.float64)
        if KIND == L1:
            x = tl.abs(x)
        elif KIND == L2:
            x = x * x
        total += s[:, None] * x
    sums = tl.sum(total, 0)
    if KIND == KL:
        clamped = at_most(1 - CLAMP, tl.where(sums < CLAMP, CLAMP, sums)).to(tl.float32)
        tl.store(mean + cols, clamped, mask=cols < n)
        rho, t = clamped.to(tl.float64), tl.load(settings + 1)
        sums = t * tl.log(t / rho) + (1.0 - t) * tl.log((1.0 - t) / (1.0 - rho))
    value = tl.sum(tl.where(cols < n, sums, 0.0), 0)
    tl.store(shares + tl.program_id(0), tl.load(settings) * value)


@triton.jit
def add_shares(shares, value, n, BLOCK: tl.constexpr):
    """value = the sum of n float64; one program."""
    total = tl.zeros((BLOCK,), tl.float64)
    for start in range(0, n, BLOCK):
        at = tl.arange(0, BLOCK).to(tl.int64) + start
        total += tl.load(shares + at, mask=at < n, other=0.0)
    tl.store(value, tl.sum(total, 0))


@triton.jit
def penalty_backward(
    h, batch_scale, settings, mean, out, batch, n, h_row, h_col, out_row, out_col,
    KIND: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """batch_scale * weight * (-t/mean + (1-t)/(1-mean)), sign(h) or 2 h."""
    across = tl.cdiv(n, BLOCK_N)
    rows = (tl.program_id(0) // across).to(tl.int64) * BLOCK_B + tl.arange(0, BLOCK_B)
    cols = (tl.program_id(0) % across).to(tl.int64) * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (rows[:, None] < batch) & (cols[None, :] < n)
    c = tl.load(batch_scale + rows, mask=rows < batch, other=0.0) * tl.load(settings).to(tl.float32)
    if KIND == KL:
        t = tl.load(settings + 1).to(tl.float32)
        rho = tl.load(mean + cols, mask=cols < n, other=0.5)
        by_mean = tl.math.div_rn(1.0 - t, 1.0 - rho) - tl.math.div_rn(t, rho)
        value = c[:, None] * by_mean[None, :]
    else:
        x = tl.load(h + rows[:, None] * h_row + cols[None, :] * h_col, mask=inside, other=0.0)
        value = c[:, None] * (sign(x) if KIND == L1 else 2.0 * x)
    tl.store(out + rows[:, None] * out_row + cols[None, :] * out_col, value, mask=inside)
