"""One pass over parameters, gradient, slots and average. All that a schedule may change lies in device memory, in float64."""

from __future__ import annotations

import triton
import triton.language as tl

from aefast.backends.triton.tables import RULE

SGD, MOMENTUM, NESTEROV, RMSPROP, ADAM, ADAMW, LION = map(tl.constexpr, RULE.values())


@triton.jit
def update(
    w, g, s0, s1, ema, settings, control, n, n_decay, RULE: tl.constexpr, DECAY: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    """One optimizer step on (n,) float32; `aefast/optimizers.py` cites each rule's source.

    `settings` (9,) float64: weight_decay, h0, h1, h2, lr, c1, c2, clip_scale, ema_decay. Constants such as 1 - h1 are taken
    in float64 and only then rounded. DECAY: "none", "gradient" or "weight", of the first n_decay parameters. Where `control`
    is given and control[3] is 0, nothing changes.
    """
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < n
    if control is not None:
        inside = at < n * tl.load(control + 3)
    decay, h0, h1 = tl.load(settings), tl.load(settings + 1), tl.load(settings + 2)
    eps, rate = tl.load(settings + 3).to(tl.float32), tl.load(settings + 4).to(tl.float32)
    k0, k1 = h0.to(tl.float32), h1.to(tl.float32)
    rest0, rest1 = (1.0 - h0).to(tl.float32), (1.0 - h1).to(tl.float32)
    x = tl.load(w + at, mask=inside, other=0.0)
    d = tl.load(g + at, mask=inside, other=0.0) * tl.load(settings + 7).to(tl.float32)
    if DECAY == "gradient":
        d = tl.where(at < n_decay, d + decay.to(tl.float32) * x, d)
    if DECAY == "weight":
        x = tl.where(at < n_decay, x * (1.0 - tl.load(settings + 4) * decay).to(tl.float32), x)
    if RULE == SGD:
        x -= rate * d
    elif RULE == MOMENTUM or RULE == NESTEROV:
        m = k0 * tl.load(s0 + at, mask=inside, other=0.0) + d
        tl.store(s0 + at, m, mask=inside)
        if RULE == NESTEROV:
            x -= rate * (d + k0 * m)
        else:
            x -= rate * m
    elif RULE == RMSPROP:
        v = k0 * tl.load(s0 + at, mask=inside, other=0.0) + rest0 * d * d
        tl.store(s0 + at, v, mask=inside)
        x -= tl.math.div_rn(rate * d, tl.math.sqrt_rn(v) + eps)
    elif RULE == LION:
        m = tl.load(s0 + at, mask=inside, other=0.0)
        u = k0 * m + rest0 * d
        x -= rate * tl.where(u > 0.0, 1.0, tl.where(u < 0.0, -1.0, u))
        tl.store(s0 + at, k1 * m + rest1 * d, mask=inside)
    else:
        m = k0 * tl.load(s0 + at, mask=inside, other=0.0) + rest0 * d
        v = k1 * tl.load(s1 + at, mask=inside, other=0.0) + rest1 * d * d
        tl.store(s0 + at, m, mask=inside)
        tl.store(s1 + at, v, mask=inside)
        c1, c2 = tl.load(settings + 5).to(tl.float32), tl.load(settings + 6).to(tl.float32)
        x -= tl.math.div_rn(rate * (m * c1), tl.math.sqrt_rn(v * c2) + eps)
    tl.store(w + at, x, mask=inside)
    if ema is not None:
        keep = tl.load(settings + 8)
        average = keep.to(tl.float32) * tl.load(ema + at, mask=inside, other=0.0)
        tl.store(ema + at, average + (1.0 - keep).to(tl.float32) * x, mask=inside)
