"""What a callback is, and what it hears."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import checks


@dataclass
class History:
    """One entry an epoch: the row-weighted mean of the batch losses, penalties included; the loss of X_val."""

    loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Steps:
    """What has happened since the last call of `on_step`.

    Parameters
    ----------
    epoch : int
        The running epoch, counted from 0 over the trainer's life.
    losses : (k,) float64
        The losses of the last k batches, each before its update.
    rows : int
        Rows in them.
    """

    epoch: int
    losses: NDArray[np.float64]
    rows: int


class Callback:
    """Override what you want to hear of. A true result of `on_step` or `on_epoch` ends the fit.

    `model` is the estimator, or the Trainer where that was fitted itself.

    Attributes
    ----------
    every : int
        Steps between two calls of `on_step`; 0: none. The native loop leaves Python alone for so many steps, so 1 costs most.
    """

    every: int = 0

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Before the first step: at most `epochs` passes over `n_rows` rows will follow."""

    def on_step(self, model: Any, steps: Steps) -> object:
        """After each `every` steps, and after the last of an epoch or a fit."""
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """After each epoch; the curves so far."""
        return None

    def on_end(self, model: Any, history: History) -> None:
        """At the end, also one by Ctrl-C or an error; for whom the fit has started last, first."""


class _Function(Callback):
    def __init__(self, function: Callable[[Any, History], object]) -> None:
        self.function = function

    def on_epoch(self, model: Any, history: History) -> object:
        return self.function(model, history)


def as_callback(value: Any) -> Callback:
    """An instance of `Callback`, or a function of (model, history) as one; TypeError otherwise."""
    if isinstance(value, Callback):
        checks.integer(0)(f"every of {type(value).__name__}", value.every)
        return value
    if isinstance(value, type) or not callable(value):
        hint = isinstance(value, type) and issubclass(value, Callback)
        raise checks.wrong_type(
            "a callback must be a function of (model, history) or an instance of aefast.callbacks.Callback"
            + (f" (write {value.__name__}(...))" if hint else ""),
            value,
        )
    return _Function(value)


def as_callbacks(value: Any) -> list[Callback]:
    """Each of them through `as_callback`; one by itself counts as a list of it, and None as none."""
    if value is None:
        return []
    if isinstance(value, (Callback, str, Mapping)) or callable(value) or not isinstance(value, Iterable):
        return [as_callback(value)]
    return [as_callback(each) for each in value]


def trainer_of(model: Any) -> Any:
    """The Trainer of an estimator, or the Trainer itself."""
    return getattr(model, "trainer_", model)
