"""The loop over epochs, with whoever watches it: one for a Trainer by itself and for the estimators."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from aefast.backends import Lasting
from aefast.callbacks import Callback, History, Steps, as_callback

T = TypeVar("T")


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
        """Takes the losses of some steps, and calls everybody whose time has come; all, where it is the last time."""
        for i in range(len(self.listeners)):
            self._waiting[i].append(losses.copy())
            self._rows[i] += rows
        for i, listener in enumerate(self.listeners):
            if last or sum(map(len, self._waiting[i])) >= listener.every:
                self._tell(i, epoch)
        if self.asked_to_stop:
            for i in range(len(self.listeners)):
                if self._waiting[i]:
                    self._tell(i, epoch)

    def _tell(self, i: int, epoch: int) -> None:
        steps = Steps(epoch, np.concatenate(self._waiting[i]), self._rows[i])
        self._waiting[i], self._rows[i] = [], 0
        asked = wish(self.listeners[i], self.listeners[i].on_step(self.model, steps))
        self.asked_to_stop = asked or self.asked_to_stop


def wish(callback: Callback, result: object) -> bool:
    """Whether a callback's result asks to stop; TypeError for one that is neither true nor false."""
    try:
        return bool(result)
    except ValueError:
        raise TypeError(
            f"a callback's result must be true (stop) or false, but {callback!r} gave a {type(result).__name__}"
        ) from None


def _record(history: History, loss: float, validation: float | None) -> None:
    """Adds an epoch. The validation curve is empty, or has NaN for the epochs without."""
    history.loss.append(loss)
    if validation is not None or history.validation_loss:
        missing = len(history.loss) - 1 - len(history.validation_loss)
        history.validation_loss += [math.nan] * missing
        history.validation_loss.append(math.nan if validation is None else validation)


def finish(work: Generator[None, None, T]) -> T:
    """Lets a generator run to its end; what it returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            result: T = end.value
            return result


def passes(
    trainer: Any,
    model: Any,
    X: Any,
    weight: NDArray[np.float64] | None,
    epochs: int,
    callbacks: Iterable[Any],
    history: History,
    X_val: Any = None,
    weight_val: NDArray[np.float64] | None = None,
) -> Generator[None, None, History]:
    """Up to `epochs` passes of `trainer` over the rows X; callbacks hear `model`. The history that came, grown.

    Ends before, when a callback's result is true: in the middle of an epoch if that was `on_step`'s. Pauses after each piece
    of an epoch on `SharedRows`, where `aefast.many` lets other models have their turn.
    """
    watchers = [as_callback(callback) for callback in callbacks]
    total = trainer.epoch + epochs
    trainer.claim()
    try:
        trainer.lasting = Lasting()
        with ExitStack() as ends:
            for watcher in watchers:
                watcher.on_start(model, epochs, len(X))
                ends.callback(watcher.on_end, model, history)
            listeners = [watcher for watcher in watchers if watcher.every > 0]
            for _ in range(epochs):
                steps = StepListeners(model, listeners) if listeners else None
                loss = yield from trainer.epoch_in_pieces(X, weight, total_epochs=total, listeners=steps)
                if trainer.position > 0:  # stopped within the epoch
                    break
                validation = None if X_val is None else trainer.evaluate(X_val, weight_val)
                _record(history, loss, validation)
                # Every one hears of the epoch, also after one has asked to stop.
                wishes = [wish(watcher, watcher.on_epoch(model, history)) for watcher in watchers]
                if any(wishes) or (steps is not None and steps.asked_to_stop):
                    break
    finally:
        trainer.claimed, trainer.lasting = 0, None
    return history
