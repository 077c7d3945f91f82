"""The ops that aren't products. Arrays lie on the device; what the caller feeds (rows, weights) may come from the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from aefast import optimizers, random
from aefast.backends.triton.convolutions import Convolutions
from aefast.backends.triton.kernels import batch, latent, noise, rows
from aefast.backends.triton.kernels.update import update as update_kernel
from aefast.backends.triton.launch import (
    COLS,
    FLAT,
    NOISE_COLS,
    NOISE_ROWS,
    NOISE_WARPS,
    ROWS,
    SINGLE,
    SUM_COLS,
    SUM_ROWS,
    launch,
    programs,
)
from aefast.backends.triton.memory import Array, steps
from aefast.backends.triton.resident import is_loadable, loadable
from aefast.data.sparse import SparseRows

NOISE_BLOCKS = {"BLOCK_B": NOISE_ROWS, "BLOCK_D": NOISE_COLS, "warps": NOISE_WARPS}
LATENT_BLOCKS = {"BLOCK_B": NOISE_ROWS, "BLOCK_N": NOISE_COLS, "warps": NOISE_WARPS}
SUM_BLOCKS = {"BLOCK_B": SUM_ROWS, "BLOCK_N": SUM_COLS}


class Ops(Convolutions):
    """Every op of the contract; see `aefast/ops` for the arguments and `backends/numpy/ops.py` for the definitions."""

    def gather(
        self,
        data: Any,
        index: Any,
        shift: Any,
        scale: Any,
        factor: float,
        out: Array,
    ) -> None:
        """out = (data[index] - shift) * scale in float64, or data[index] * factor in float32."""
        here, (n, d) = self.memory.here, out.shape
        if shift is None or scale is None:
            shift = scale = None
        else:
            shift, scale = here(shift), here(scale)
        by = self.memory.numbers(factor)
        if isinstance(data, SparseRows):
            stored = data.values, data.indices, data.indptr, index
            values, indices, indptr, index = map(here, stored)
            grid = (programs((n, ROWS), (d, COLS)),)
            blocks = {"BLOCK_B": ROWS, "BLOCK_D": COLS}
            launch(rows.spread_zeros, grid, (shift, scale, out), (n, d, *steps(out)), **blocks)
            arrays = values, indices, indptr, index, shift, scale, by, out
            launch(rows.spread_values, (n,), arrays, (d, *steps(out)), BLOCK=COLS)
            return
        data, index = self._readable(data, index)
        launch(
            rows.gather,
            (programs((n, ROWS), (d, COLS)),),
            (data, index, shift, scale, by, out),
            (n, d, *steps(data), *steps(out)),
            BLOCK_B=ROWS,
            BLOCK_D=COLS,
        )

    def _readable(self, data: Any, index: Any) -> tuple[Array, Array]:
        """The rows on the device, as kernels load them: only those asked for where they come from the host."""
        if type(data) is not np.ndarray and not isinstance(data, self.memory.xp.ndarray):
            data = np.asarray(data)
        if isinstance(data, self.memory.xp.ndarray) and is_loadable(data):
            return data, self.memory.here(index)
        if isinstance(data, np.ndarray):
            index = self.memory.host(index)
        return self.memory.here(loadable(data[index])), self.memory.here(np.arange(len(index)))

    def batch_scale(self, sample_weight: Any, index: Any, out: Array) -> None:
        """out = w / sum(w); no weights are equal weights; a batch of zero weights counts nothing."""
        if sample_weight is None:
            index = None
        elif not isinstance(sample_weight, self.memory.xp.ndarray):
            sample_weight = self.memory.here(sample_weight[self.memory.host(index)])
            index = self.memory.here(np.arange(len(out)))
        launch(batch.batch_weights, (1,), (sample_weight, index, out), (len(out),), BLOCK=SINGLE)

    def corrupt(
        self,
        x: Array,
        kind: int,
        level: float,
        low: float,
        high: float,
        seed: int,
        epoch: int,
        stream: int,
        rows: Any,
        out: Array,
    ) -> None:
        """gaussian: x + level * n; masking: where(u < level, 0, x); salt_and_pepper: low, high or x."""
        n, d = x.shape
        drawn = min(level, 1.0)  # of gaussian, whose level is no probability, nothing is compared
        settings = self.memory.numbers(level, low, high, int(drawn * 2**24), int(drawn * 2**23))
        arrays = x, settings, self.memory.here(rows), self.memory.address(seed, epoch, stream), out
        grid = (programs((n, NOISE_ROWS), (d, NOISE_COLS)),)
        launch(noise.corrupt, grid, arrays, (n, d, *steps(x), *steps(out)), KIND=kind, **NOISE_BLOCKS)

    def gaussian_latent(
        self, moments: Array, seed: int, epoch: int, stream: int, rows: Any, z: Array, kl: Array | None
    ) -> None:
        """z = mu + exp(logvar / 2) * eps; kl = 0.5 * sum(mu^2 + exp(logvar) - 1 - logvar) (Kingma & Welling 2014, app. B)."""
        n, d = z.shape
        arrays = moments, self.memory.here(rows), self.memory.address(seed, epoch, stream), z, kl
        numbers = (n, d, *steps(moments), *steps(z))
        grid = (programs((n, NOISE_ROWS)),)
        launch(latent.sample, grid, arrays, numbers, DRAW=stream >= 0, **LATENT_BLOCKS)

    def gaussian_latent_backward(
        self,
        moments: Array,
        dz: Array,
        batch_scale: Array,
        beta: float,
        free_bits: float,
        seed: int,
        epoch: int,
        stream: int,
        rows: Any,
        out: Array,
    ) -> None:
        """dmu = dz + c mu; dlogvar = (dz eps exp(logvar / 2) + c expm1(logvar)) / 2; c = beta batch_scale (kl > free_bits)."""
        n, d = dz.shape
        settings, address = self.memory.numbers(beta, free_bits), self.memory.address(seed, epoch, stream)
        launch(
            latent.sample_backward,
            (programs((n, NOISE_ROWS)),),
            (moments, dz, batch_scale, settings, self.memory.here(rows), address, out),
            (n, d, *steps(moments), *steps(dz), *steps(out)),
            DRAW=stream >= 0,
            FREE_BITS=free_bits > 0,
            **LATENT_BLOCKS,
        )

    def sparsity_penalty(
        self, h: Array, batch_scale: Array, kind: int, weight: float, target: float, mean: Array, value: Array
    ) -> None:
        """kl: weight * sum_j KL(target || mean_j), mean = batch_scale @ h clamped; l1, l2: weight * batch_scale @ norms."""
        n, d = h.shape
        count = programs((d, SUM_COLS))
        shares = self.memory.room("penalty shares", count, np.float64)
        arrays = h, batch_scale, self.memory.numbers(weight, target), mean, shares
        launch(latent.penalty, (count,), arrays, (n, d, *steps(h)), KIND=kind, **SUM_BLOCKS)
        launch(latent.add_shares, (1,), (shares, value), (count,), BLOCK=SINGLE)

    def sparsity_penalty_backward(
        self, h: Array, batch_scale: Array, kind: int, weight: float, target: float, mean: Array, out: Array
    ) -> None:
        """Derivative of the penalty by h: batch_scale * weight * (-t/mean + (1-t)/(1-mean)), sign(h), or 2 h."""
        n, d = h.shape
        arrays = h, batch_scale, self.memory.numbers(weight, target), mean, out
        grid = (programs((n, SUM_ROWS), (d, SUM_COLS)),)
        numbers = (n, d, *steps(h), *steps(out))
        launch(latent.penalty_backward, grid, arrays, numbers, KIND=kind, **SUM_BLOCKS)

    def batch_loss(
        self,
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
        settings = self.memory.numbers(scale, beta, free_bits)
        penalty = None if penalty is None else self.memory.here(penalty)
        arrays = row_loss, batch_scale, settings, kl, penalty, out
        launch(batch.total_loss, (1,), arrays, (len(row_loss),), BLOCK=SINGLE)

    def update(
        self,
        rule: int,
        w: Array,
        g: Array,
        s0: Array | None,
        s1: Array | None,
        ema: Array | None,
        n_decay: int,
        weight_decay: float,
        h0: float,
        h1: float,
        h2: float,
        lr: float,
        c1: float,
        c2: float,
        clip_scale: float,
        ema_decay: float,
    ) -> None:
        """One optimizer step on the flat parameters; `aefast/optimizers.py` cites each rule's source."""
        settings = self.memory.numbers(weight_decay, h0, h1, h2, lr, c1, c2, clip_scale, ema_decay)
        decoupled = optimizers.TABLE[rule].decoupled_decay
        decay = "none" if not weight_decay else "weight" if decoupled else "gradient"
        arrays, n = (w, g, s0, s1, ema, settings, self.memory.control), len(w)
        grid = (programs((n, FLAT)),)
        launch(update_kernel, grid, arrays, (n, n_decay), RULE=rule, DECAY=decay, BLOCK=FLAT)

    def permutation(self, n: int, seed: int, epoch: int, out: Array) -> None:
        """out = the epoch's order of n rows."""
        width = max(2, int(n - 1).bit_length())
        low = width // 2
        address = self.memory.address(seed, epoch, random.stream_word(random.STREAM_SHUFFLE))
        grid = (programs((n, FLAT)),)
        launch(noise.permute, grid, (out, address), (n, low, width - low), BLOCK=FLAT)
