"""What a fit reads, and who watches it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import loop
from aefast.callbacks import EarlyStopping, History, ProgressBar
from aefast.data.rows import as_weights
from aefast.data.scaling import Scaling
from aefast.data.shared import SharedRows
from aefast.data.sparse import take
from aefast.estimators import validation

Array = NDArray[Any]


@dataclass
class Data:
    """What a fit reads: rows, their weights, and the held-out rows, if any; several fits may read the same.

    `shared` stands for X where models take turns on it.
    """

    X: Array
    weight: NDArray[np.float64] | None = None
    X_val: Array | None = None
    weight_val: NDArray[np.float64] | None = None
    shared: SharedRows | None = None
    _scalings: dict[str | None, Scaling] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def scaling(self, kind: str | None) -> Scaling:
        """The scaling of that name by X's statistics, which are taken once."""
        with self._lock:
            if kind not in self._scalings:
                self._scalings[kind] = Scaling.from_data(kind, self.X, self.weight)
            return self._scalings[kind]


def read(estimator: Any, X: Any, sample_weight: Any, X_val: Any) -> Data:
    """The arguments of `fit`, checked."""
    rows = estimator._read(X)
    data = Data(rows, as_weights(sample_weight, len(rows)))
    if X_val is not None:
        data.X_val = estimator._read(X_val, name="X_val")
        if data.X_val.shape[1] != rows.shape[1]:
            raise ValueError(f"X_val has {data.X_val.shape[1]} features, but X has {rows.shape[1]}")
        validation.same_names(X, X_val)
        validation.same_images(X, X_val)
    return data


def with_held_out(estimator: Any, data: Data, seed: int) -> Data:
    """With rows of X held out where the estimator watches some and none were given."""
    if data.X_val is not None or not estimator.early_stopping:
        return data
    return split(data.X, data.weight, float(estimator.validation_fraction), seed)


def split(X: Array, weight: NDArray[np.float64] | None, fraction: float, seed: int) -> Data:
    """Holds out a random `fraction` of the rows (at least one; at least one stays)."""
    n_val = min(max(1, round(fraction * len(X))), len(X) - 1)
    if n_val < 1:
        raise ValueError("early_stopping needs at least 2 rows, or X_val=")
    order = np.random.default_rng(seed).permutation(len(X))
    val, train = np.sort(order[:n_val]), np.sort(order[n_val:])
    if weight is None:
        return Data(take(X, train), None, take(X, val), None)
    if not (weight[train].sum() > 0 and weight[val].sum() > 0):
        raise ValueError("sample_weight is zero on all training or all held-out rows; give X_val=")
    return Data(take(X, train), weight[train], take(X, val), weight[val])


def passes(estimator: Any, data: Data, callbacks: Iterable[Any]) -> Generator[None, None, History]:
    """Trains `estimator.trainer_` up to `estimator.epochs` passes; keeps curves and n_iter_ up to date after each.

    Stops when the training loss (with early_stopping: the validation loss, whose best parameters are then put back)
    hasn't got better for n_iter_no_change epochs, or when a callback's result is true. Pauses as `loop.passes` does.
    """
    stopping = EarlyStopping(
        "validation_loss" if estimator.early_stopping else "loss",
        tol=float(estimator.tol),
        patience=int(estimator.n_iter_no_change),
        restore_best=bool(estimator.early_stopping),
    )
    watchers = [_count_epoch, stopping, *([ProgressBar()] if estimator.verbose else []), *callbacks]
    history = History(estimator.loss_curve_, estimator.validation_loss_curve_)
    trainer = estimator.trainer_
    trainer.abandon_epoch()  # of an earlier fit that was interrupted
    trainer.first_epoch = trainer.epoch
    return loop.passes(
        trainer,
        estimator,
        data.X if data.shared is None else data.shared,
        data.weight,
        int(estimator.epochs),
        watchers,
        history,
        data.X_val,
        data.weight_val,
    )


def _count_epoch(estimator: Any, history: History) -> None:
    estimator.n_iter_ += 1
