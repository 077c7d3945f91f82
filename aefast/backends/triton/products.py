"""The ops that are matrix products, in one precision."""

from __future__ import annotations

import numpy as np

from aefast.backends.triton.kernels import matmul, wgrad
from aefast.backends.triton.launch import (
    FLAT,
    SINGLE,
    SUM_COLS,
    SUM_ROWS,
    Tile,
    column_splits_for,
    launch,
    launch_tiled,
    programs,
    splits_for,
    tile_for,
)
from aefast.backends.triton.memory import Array, Memory, steps


class Products:
    """The contract's products; see `aefast/ops` for the arguments and `backends/numpy/ops.py` for the definitions."""

    def __init__(self, memory: Memory, precision: str) -> None:
        self.memory, self.precision = memory, precision

    def linear_act(self, x: Array, w: Array, b: Array, act: int, out: Array, pre: Array | None) -> None:
        """out = act(x @ w.T + b); pre = x @ w.T + b."""
        (m, depth), n = x.shape, len(w)
        tile = tile_for(self.precision, m, n)
        numbers = (m, n, depth, *steps(x), *steps(w), *steps(out), *steps(pre))
        grid = (tile.cover(m, n),)
        launch_tiled(matmul.linear_act, tile, grid, (x, w, b, out, pre), numbers, self.precision, ACT=act)

    def linear_loss_grad(
        self,
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
        factor = self.memory.numbers(scale)
        self._loss(h, w, b, act, loss, target, batch_scale, factor, feature_weight, row_loss, delta)

    def linear_loss(
        self,
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
        self._loss(h, w, b, act, loss, target, None, None, feature_weight, row_loss, None)

    def _loss(
        self,
        h: Array,
        w: Array,
        b: Array,
        act: int,
        loss: int,
        target: Array,
        batch_scale: Array | None,
        factor: Array | None,
        feature_weight: Array | None,
        row_loss: Array,
        delta: Array | None,
    ) -> None:
        (m, depth), n = h.shape, len(w)
        tile = tile_for(self.precision, m, n, loss=True)
        across = programs((n, tile.block_n))
        shares = self.memory.room("loss shares", across * m, np.float32)
        launch_tiled(
            matmul.linear_loss,
            tile,
            (tile.cover(m, n),),
            (h, w, b, target, batch_scale, feature_weight, shares, delta, factor),
            (m, n, depth, *steps(h), *steps(w), *steps(target), *steps(delta)),
            self.precision,
            ACT=act,
            LOSS=loss,
        )
        launch(matmul.row_sums, (programs((m, FLAT)),), (shares, row_loss), (m, across), BLOCK=FLAT)

    def linear_dgrad(
        self, delta: Array, w: Array, act: int, saved: Array | None, extra: Array | None, out: Array
    ) -> None:
        """out = (delta @ w + extra) * act'(saved)."""
        (m, depth), n = delta.shape, w.shape[1]
        tile = tile_for(self.precision, m, n)
        numbers = (m, n, depth, *steps(delta), *steps(w), *steps(saved), *steps(extra), *steps(out))
        arrays = (delta, w, saved, extra, out)
        grid = (tile.cover(m, n),)
        launch_tiled(matmul.linear_dgrad, tile, grid, arrays, numbers, self.precision, ACT=act)

    def linear_wgrad(
        self,
        delta: Array,
        a: Array,
        dw: Array,
        db: Array | None,
        accumulate: bool,
        partials: Array | None,
    ) -> None:
        """dw = delta.T @ a; db = delta.sum(0); both added to with `accumulate`; partials = [square norm, not finite]."""
        m, n = dw.shape
        tile = tile_for(self.precision, m, n)
        splits, rows = splits_for(tile, m, n, len(delta))
        writers = tile.cover(m, n) if splits == 1 else programs((m * n, FLAT))
        pairs = writers + (0 if db is None else self._column_programs(delta, db))
        norms = None if partials is None else self.memory.room("norms", 2 * pairs, np.float64)
        self._weights(delta, a, dw, accumulate, tile, splits, rows, norms)
        if db is not None:
            self._columns(delta, db, accumulate, norms, writers)
        if norms is not None:
            self._finish(norms, partials, pairs)

    def bias_grad(self, delta: Array, db: Array, partials: Array | None) -> None:
        """db = delta.reshape(-1, len(db)).sum(0): a bias for each column, or for each channel of every pixel."""
        pairs = self._column_programs(delta, db)
        norms = None if partials is None else self.memory.room("norms", 2 * pairs, np.float64)
        self._columns(delta, db, False, norms, 0)
        if norms is not None:
            self._finish(norms, partials, pairs)

    def _weights(
        self,
        delta: Array,
        a: Array,
        dw: Array,
        accumulate: bool,
        tile: Tile,
        splits: int,
        rows: int,
        norms: Array | None,
    ) -> None:
        m, n = dw.shape
        parts = None if splits == 1 else self.memory.room("gradient parts", splits * m * n, np.float32)
        launch_tiled(
            wgrad.linear_wgrad,
            tile,
            (tile.cover(m, n), splits),
            (delta, a, dw, parts, norms),
            (m, n, len(delta), rows, *steps(delta), *steps(a), *steps(dw)),
            self.precision,
            ACCUMULATE=bool(accumulate),
        )
        if parts is not None:
            numbers = (m, n, splits, *steps(dw), 0)
            grid = (programs((m * n, FLAT)),)
            constants = {"ACCUMULATE": bool(accumulate), "BLOCK": FLAT}
            launch(wgrad.add_parts, grid, (parts, dw, norms), numbers, **constants)

    def _columns(self, delta: Array, db: Array, accumulate: bool, norms: Array | None, first: int) -> None:
        n, count = len(db), delta.size // len(db)
        splits, chunk = column_splits_for(count, n)
        parts = None if splits == 1 else self.memory.room("column parts", splits * n, np.float32)
        constants = {"ACCUMULATE": bool(accumulate)}
        launch(
            wgrad.column_sums,
            (programs((n, SUM_COLS)), splits),
            (delta, db, parts, norms),
            (count, delta.shape[1] // n, n, chunk, *steps(delta), first),
            **constants,
            BLOCK_B=SUM_ROWS,
            BLOCK_N=SUM_COLS,
        )
        if parts is not None:
            numbers = (1, n, splits, n, 1, first)
            grid = (programs((n, FLAT)),)
            launch(wgrad.add_parts, grid, (parts, db, norms), numbers, **constants, BLOCK=FLAT)

    def _column_programs(self, delta: Array, db: Array) -> int:
        """Those that write column sums and their norms."""
        n = len(db)
        splits, _ = column_splits_for(delta.size // n, n)
        return programs((n, SUM_COLS if splits == 1 else FLAT))

    def _finish(self, norms: Array, partials: Array, pairs: int) -> None:
        launch(wgrad.finish_norm, (1,), (norms, partials), (pairs,), BLOCK=SINGLE)
