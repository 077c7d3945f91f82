"""What a fit reads, and who watches it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import loop
from aefast.callbacks import EarlyStopping, History, ProgressBar
from aefast.data.sparse import take

Array = NDArray[Any]


@dataclass
class Data:
    """What a fit reads: rows, their weights, and the held-out rows, if any."""

    X: Array
    weight: NDArray[np.float64] | None = None
    X_val: Array | None = None
    weight_val: NDArray[np.float64] | None = None


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


def run(estimator: Any, data: Data, callbacks: Iterable[Any]) -> None:
    """Trains `estimator.trainer_` up to `estimator.epochs` passes; keeps curves and n_iter_ up to date after each.

    Stops when the training loss (with early_stopping: the validation loss, whose best parameters are then put back)
    hasn't got better for n_iter_no_change epochs, or when a callback's result is true.
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
    loop.run(
        trainer,
        estimator,
        data.X,
        data.weight,
        int(estimator.epochs),
        watchers,
        history,
        data.X_val,
        data.weight_val,
    )


def _count_epoch(estimator: Any, history: History) -> None:
    estimator.n_iter_ += 1
