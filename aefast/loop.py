"""The loop over epochs, with whoever watches it: one for a Trainer by itself and for the estimators."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.callbacks import Callback, History, Steps, as_callback


class StepListeners:
    """Calls `on_step` of those that want it, and says how many steps may run before the next call."""

    def __init__(self, model: Any, listeners: list[Callback]) -> None:
        self.model = model
        self.listeners = listeners
        self.asked_to_stop = False
        self._waiting: list[list[NDArray[np.float64]]] = [[] for _ in listeners]
        self._rows = [0] * len(listeners)

    def piece(self, n: int) -> int:
        """Of n steps that are left of a run, how many to do in one go."""
        due = (
            listener.every - sum(map(len, losses))
            for listener, losses in zip(self.listeners, self._waiting, strict=True)
        )
        return max(1, min((n, *due)))

    def heard(self, epoch: int, losses: NDArray[np.float64], rows: int, last: bool) -> None:
        """Takes the losses of some steps, and calls everybody whose time has come."""
        for i, listener in enumerate(self.listeners):
            self._waiting[i].append(losses.copy())
            self._rows[i] += rows
            if last or sum(map(len, self._waiting[i])) >= listener.every:
                steps = Steps(epoch, np.concatenate(self._waiting[i]), self._rows[i])
                self._waiting[i], self._rows[i] = [], 0
                self.asked_to_stop = bool(listener.on_step(self.model, steps)) or self.asked_to_stop


def run(
    trainer: Any,
    model: Any,
    X: Any,
    weight: NDArray[np.float64] | None,
    epochs: int,
    callbacks: Iterable[Any],
    history: History,
    X_val: Any = None,
    weight_val: NDArray[np.float64] | None = None,
) -> History:
    """Up to `epochs` passes of `trainer` over the rows X; callbacks hear `model`. The history that came, grown.

    Ends before, when a callback's result is true: in the middle of an epoch if that was `on_step`'s.
    """
    watchers = [as_callback(callback) for callback in callbacks]
    listeners = [watcher for watcher in watchers if watcher.every > 0]
    total = trainer.epoch + epochs
    try:
        for watcher in watchers:
            watcher.on_start(model, epochs, len(X))
        for _ in range(epochs):
            steps = StepListeners(model, listeners) if listeners else None
            loss = trainer.fit_epoch(X, weight, total_epochs=total, listeners=steps)
            if trainer.position > 0:  # stopped within the epoch
                break
            history.loss.append(loss)
            if X_val is not None:
                history.validation_loss.append(trainer.evaluate(X_val, weight_val))
            # Every one hears of the epoch, also after one has asked to stop.
            wishes = [watcher.on_epoch(model, history) for watcher in watchers]
            if any(wishes) or (steps is not None and steps.asked_to_stop):
                break
    finally:
        for watcher in watchers:
            watcher.on_end(model, history)
    return history
