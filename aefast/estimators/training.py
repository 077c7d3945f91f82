"""The loop over epochs: history, stopping, the progress bar. One number an epoch comes out of the trainer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.trainer import History

Array = NDArray[Any]
# callback(estimator, history) -> true to stop.
Callback = Callable[[Any, History], object]


@dataclass
class Patience:
    """Counts epochs in which a curve didn't get better by `tol` times its best value; a relative measure fits every loss.

    `patience` such epochs in a row: enough.
    """

    tol: float
    patience: int
    best: float = math.inf
    waited: int = 0

    def improved(self, value: float) -> bool:
        """Takes the epoch's value; True if it is the best so far."""
        margin = self.tol * abs(self.best) if math.isfinite(self.best) else 0.0
        self.waited = 0 if value < self.best - margin else self.waited + 1
        better = value < self.best
        self.best = min(self.best, value)
        return better

    @property
    def exhausted(self) -> bool:
        """Whether the wait has been long enough."""
        return self.waited >= self.patience


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
        return Data(X[train], None, X[val], None)
    if not (weight[train].sum() > 0 and weight[val].sum() > 0):
        raise ValueError("sample_weight is zero on all training or all held-out rows; give X_val=")
    return Data(X[train], weight[train], X[val], weight[val])


def run(estimator: Any, data: Data, callbacks: Iterable[Callback]) -> None:
    """Trains `estimator.trainer_` up to `estimator.epochs` passes; keeps curves and n_iter_ up to date after each.

    Stops when the training loss (with early_stopping: the validation loss, whose best parameters are then put back)
    hasn't got better for n_iter_no_change epochs, or when a callback's result is true.
    """
    trainer, callbacks = estimator.trainer_, tuple(callbacks)
    history = History(estimator.loss_curve_, estimator.validation_loss_curve_)
    patience = Patience(estimator.tol, estimator.n_iter_no_change)
    total = trainer.epoch + estimator.epochs
    best: dict[str, Array] | None = None
    with _bar(estimator) as bar:
        for _ in range(estimator.epochs):
            watched = trainer.fit_epoch(data.X, data.weight, total_epochs=total)
            history.loss.append(watched)
            estimator.n_iter_ += 1
            shown = {"loss": watched}
            if data.X_val is not None:
                shown["validation_loss"] = trainer.evaluate(data.X_val, data.weight_val)
                history.validation_loss.append(shown["validation_loss"])
                watched = shown["validation_loss"] if estimator.early_stopping else watched
            if patience.improved(watched) and estimator.early_stopping:
                best = trainer.ema_parameters  # those that inference uses
            bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
            bar.update()
            # Every callback hears of the epoch, also after one has asked to stop.
            wishes = [callback(estimator, history) for callback in callbacks]
            if any(wishes) or patience.exhausted:
                break
    if best is not None:
        trainer.load_parameters(best)


def _bar(estimator: Any) -> Any:
    from tqdm.auto import tqdm

    return tqdm(
        total=estimator.epochs,
        desc=type(estimator).__name__,
        unit="epoch",
        disable=not estimator.verbose,
        leave=True,
    )
