"""Rows that several models read in the same order, one piece after the other: each piece is gathered and scaled once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends import Feed

if TYPE_CHECKING:
    from aefast.trainer import Trainer

# A piece as the models read it: small enough to stay in a core's caches while they take turns.
PIECE_BYTES = 1 << 20


class SharedRows:
    """Rows (n, d) for trainers that take turns in one thread, a piece of an epoch each.

    Holds the last order of rows and the last piece, as the compute dtype and scaled. A trainer that wants others (another
    seed, epoch, scaling or place) gets those made anew, so that what it computes never depends on who came before.
    """

    def __init__(self, rows: NDArray[Any], weights: NDArray[np.float64] | None) -> None:
        self.rows, self.weights = rows, weights
        self._order_of: object = None
        self._order = np.empty(0, np.int64)
        self._piece_of: object = None
        self._scaling: tuple[object, object] = (None, None)
        self._piece = np.empty((0, 0))
        self._piece_weights: NDArray[np.float64] | None = None
        self._places = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def order(self, trainer: Trainer) -> NDArray[np.int64]:
        """(n,) the rows in the order of the trainer's running epoch."""
        wanted = trainer.shuffle, trainer.seed, trainer.epoch, trainer.backend_name
        if self._order_of != wanted:
            self._order, self._order_of = trainer._order(len(self.rows)), wanted
        return self._order

    def steps(self, batch: int) -> int:
        """How many batches a piece holds."""
        row = int(self.rows.shape[1]) * np.dtype(np.float32).itemsize
        return max(1, PIECE_BYTES // (row * batch))

    def feed(self, trainer: Trainer, start: int, batch: int) -> Feed:
        """What a run from the epoch's row `start` on reads, to the end of the piece that holds it."""
        order, size = self.order(trainer), self.steps(batch) * batch
        first = start // size * size
        own = trainer._feed(self.rows, order[first : first + size], self.weights, trainer.epoch)
        self._gather(trainer, own, (self._order_of, first, size))
        return Feed(
            self._piece,
            self._places[start - first : len(own.index)],
            rows=own.index[start - first :],
            sample_weight=self._piece_weights,
            seed=own.seed,
            epoch=own.epoch,
        )

    def _gather(self, trainer: Trainer, own: Feed, place: object) -> None:
        dtype = trainer.flat_buffers["params"].dtype
        wanted, scaling = (place, dtype, own.factor), (own.shift, own.scale)
        if self._piece_of == wanted and all(a is b for a, b in zip(self._scaling, scaling, strict=True)):
            return
        shape = len(own.index), self.rows.shape[1]
        if self._piece.dtype != dtype or self._piece.shape != shape:
            self._piece, self._places = np.empty(shape, dtype), np.arange(shape[0])
        self._piece_of = None
        trainer._backend.ops.gather(own.data, own.index, own.shift, own.scale, own.factor, self._piece)
        self._piece_weights = None if self.weights is None else self.weights[own.index]
        self._piece_of, self._scaling = wanted, scaling
