"""Sums over one batch that end in a few numbers: a single program each, in float64, in a fixed order."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def batch_weights(sample_weight, index, out, n, BLOCK: tl.constexpr):
    """out = w / sum(w), w = sample_weight[index]; a batch of zero weights counts nothing. Without weights: equal ones."""
    total = tl.zeros((BLOCK,), tl.float64)
    if sample_weight is not None:
        for start in range(0, n, BLOCK):
            at = tl.arange(0, BLOCK).to(tl.int64) + start
            row = tl.load(index + at, mask=at < n, other=0)
            total += tl.load(sample_weight + row, mask=at < n, other=0.0)
        whole = tl.sum(total, 0)
    else:
        whole = tl.sum(total, 0) + n
    for start in range(0, n, BLOCK):
        at = tl.arange(0, BLOCK).to(tl.int64) + start
        w = tl.full((BLOCK,), 1.0, tl.float64)
        if sample_weight is not None:
            row = tl.load(index + at, mask=at < n, other=0)
            w = tl.load(sample_weight + row, mask=at < n, other=0.0)
        share = tl.where(whole > 0.0, w / tl.where(whole > 0.0, whole, 1.0), 0.0)
        tl.store(out + at, share.to(tl.float32), mask=at < n)


@triton.jit
def total_loss(row_loss, batch_scale, settings, kl, penalty, out, n, BLOCK: tl.constexpr):
    """out = scale * batch_scale @ row_loss + beta * batch_scale @ maximum(kl, free_bits) + penalty.

    `settings` (3,) float64: scale, beta, free_bits.
    """
    loss, latent = tl.zeros((BLOCK,), tl.float64), tl.zeros((BLOCK,), tl.float64)
    for start in range(0, n, BLOCK):
        at = tl.arange(0, BLOCK).to(tl.int64) + start
        s = tl.load(batch_scale + at, mask=at < n, other=0.0).to(tl.float64)
        loss += s * tl.load(row_loss + at, mask=at < n, other=0.0).to(tl.float64)
        if kl is not None:
            least = tl.load(settings + 2)
            nats = tl.load(kl + at, mask=at < n, other=0.0).to(tl.float64)
            latent += s * tl.where(nats < least, least, nats)
    value = tl.load(settings) * tl.sum(loss, 0)
    if kl is not None:
        value += tl.load(settings + 1) * tl.sum(latent, 0)
    if penalty is not None:
        value += tl.load(penalty)
    tl.store(out, value)
