"""What may watch a fit: the base class, early stopping, logs as CSV and JSON lines, checkpoints, the progress bar.

`fit(X, callbacks=[...])` takes instances of `Callback`, and plain functions f(model, history), which hear of every epoch.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray


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
        """After each `every` steps, and after the last of an epoch."""
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """After each epoch; the curves so far."""
        return None

    def on_end(self, model: Any, history: History) -> None:
        """At the end, also one by Ctrl-C or an error."""


class _Function(Callback):
    def __init__(self, function: Callable[[Any, History], object]) -> None:
        self.function = function

    def on_epoch(self, model: Any, history: History) -> object:
        return self.function(model, history)


def as_callback(value: Any) -> Callback:
    """An instance of `Callback`, or a function of (model, history) as one; TypeError otherwise."""
    if isinstance(value, Callback):
        return value
    if isinstance(value, type) or not callable(value):
        raise TypeError(
            f"a callback must be a function of (model, history) or an instance of aefast.callbacks.Callback, "
            f"but is {value!r}"
        )
    return _Function(value)


def trainer_of(model: Any) -> Any:
    """The Trainer of an estimator, or the Trainer itself."""
    return getattr(model, "trainer_", model)


class EarlyStopping(Callback):
    """Ends a fit when a curve hasn't got better by `tol` times its best value for `patience` epochs in a row.

    A relative measure fits every loss. (Prechelt 1998, "Early stopping - but when?")

    Parameters
    ----------
    monitor : {"loss", "validation_loss"}
    tol : float
    patience : int
    restore_best : bool
        At the end, put back the parameters of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        *,
        tol: float = 1e-4,
        patience: int = 10,
        restore_best: bool = True,
    ) -> None:
        if monitor not in ("loss", "validation_loss"):
            raise ValueError(f"monitor must be 'loss' or 'validation_loss', but is {monitor!r}")
        self.monitor, self.tol, self.patience, self.restore_best = monitor, tol, patience, restore_best
        self.best, self.waited = math.inf, 0
        self._parameters: dict[str, NDArray[Any]] | None = None

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Forgets an earlier fit."""
        self.best, self.waited, self._parameters = math.inf, 0, None

    def on_epoch(self, model: Any, history: History) -> object:
        """Whether the wait has been long enough."""
        curve = getattr(history, self.monitor)
        if not curve:
            raise ValueError("EarlyStopping('validation_loss') needs fit(..., X_val=...); or watch 'loss'")
        if self.improved(curve[-1]) and self.restore_best:
            self._parameters = trainer_of(model).ema_parameters  # those that inference uses
        return self.waited >= self.patience

    def improved(self, value: float) -> bool:
        """Takes an epoch's value; True if it is the best so far."""
        margin = self.tol * abs(self.best) if math.isfinite(self.best) else 0.0
        self.waited = 0 if value < self.best - margin else self.waited + 1
        better = value < self.best
        self.best = min(self.best, value)
        return better

    def on_end(self, model: Any, history: History) -> None:
        """Puts the best parameters back."""
        if self._parameters is not None:
            trainer_of(model).load_parameters(self._parameters)
            self._parameters = None


class _Log(Callback):
    """A row an epoch, and with `every` a row each so many steps, on the disk as soon as it is known."""

    COLUMNS = ("event", "epoch", "step", "loss", "validation_loss", "seconds", "rows_per_second")

    def __init__(self, path: str | os.PathLike[str], *, every: int = 0, append: bool = False) -> None:
        self.path, self.every, self.append = Path(path), every, append
        self._file: TextIO | None = None
        self._started = self._last = 0.0
        self._n_rows = 0

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Opens the file; OSError where that can't be."""
        self.close()
        self._file = self.path.open("a" if self.append else "w", encoding="utf-8", newline="")
        self._started = self._last = time.perf_counter()
        self._n_rows = n_rows
        self._begin(empty=self._file.tell() == 0)

    def on_step(self, model: Any, steps: Steps) -> object:
        """Writes a row."""
        self._row("step", model, steps.epoch + 1, float(steps.losses.mean()), None, None)
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """Writes a row."""
        now = time.perf_counter()
        rate = self._n_rows / max(now - self._last, 1e-9)
        self._last = now
        validation = history.validation_loss[-1] if history.validation_loss else None
        self._row("epoch", model, trainer_of(model).epoch, history.loss[-1], validation, rate)
        return None

    def on_end(self, model: Any, history: History) -> None:
        """Closes the file."""
        self.close()

    def close(self) -> None:
        """Closes the file, if it is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _row(
        self, event: str, model: Any, epoch: int, loss: float, validation: float | None, rate: float | None
    ) -> None:
        assert self._file is not None
        seconds = round(time.perf_counter() - self._started, 6)
        values = (event, epoch, trainer_of(model).n_steps, loss, validation, seconds, rate and round(rate, 1))
        self._write(dict(zip(self.COLUMNS, values, strict=True)))
        self._file.flush()

    def _begin(self, *, empty: bool) -> None:
        """What stands before the first row."""

    def _write(self, row: dict[str, Any]) -> None:
        raise NotImplementedError


class CSVLogger(_Log):
    """Logs a fit as CSV: a row an epoch, and with `every` one each so many steps; readable while the fit runs.

    Columns: event ("epoch" or "step"), epoch (counted from 1), step, loss (of an epoch, or the mean of the steps since the last
    row), validation_loss, seconds since the start, rows_per_second. A file that is there is written anew; `append` goes on
    with it.
    """

    def _begin(self, *, empty: bool) -> None:
        if empty:
            csv.writer(self._file).writerow(self.COLUMNS)  # type: ignore[arg-type]

    def _write(self, row: dict[str, Any]) -> None:
        csv.writer(self._file).writerow(["" if v is None else v for v in row.values()])  # type: ignore[arg-type]


class JSONLLogger(_Log):
    """Logs a fit as JSON lines: the columns of `CSVLogger` as keys, null for what is empty or not finite."""

    def _write(self, row: dict[str, Any]) -> None:
        finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        print(json.dumps(finite), file=self._file)


class Checkpoint(Callback):
    """Saves the trainer (`Trainer.save_checkpoint`) each `epochs` epochs and, with `every`, each so many steps.

    The file at `path` is always a whole one; `Trainer.load_checkpoint` goes on from it.
    """

    def __init__(self, path: str | os.PathLike[str], *, epochs: int = 1, every: int = 0) -> None:
        if epochs < 1:
            raise ValueError(f"epochs must be at least 1, but is {epochs!r}")
        self.path, self.epochs, self.every = Path(path), epochs, every
        self._heard = 0

    def on_step(self, model: Any, steps: Steps) -> object:
        """Saves."""
        trainer_of(model).save_checkpoint(self.path)
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """Saves, when it is time."""
        self._heard += 1
        if self._heard % self.epochs == 0:
            trainer_of(model).save_checkpoint(self.path)
        return None


class ProgressBar(Callback):
    """A bar on standard error: epoch, loss, rows a second, time left."""

    # Steps between two looks double until one takes this long: short enough to see it move, long enough to cost nothing.
    SECONDS = 0.1

    def __init__(self) -> None:
        self.every = 1
        self._bar: Any = None
        self._last = 0.0
        self._epochs = 0
        self._first_epoch = 0

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Draws the empty bar."""
        from tqdm.auto import tqdm

        self.every, self._epochs, self._first_epoch = 1, epochs, trainer_of(model).epoch
        self._bar = tqdm(
            total=epochs * n_rows,
            unit=" rows",
            unit_scale=True,
            desc=f"{type(model).__name__} epoch 1/{epochs}",
            bar_format="{desc} {percentage:3.0f}% |{bar:24}| {elapsed}<{remaining}, {rate_fmt}{postfix}",
        )
        self._last = time.perf_counter()

    def on_step(self, model: Any, steps: Steps) -> object:
        """Moves the bar."""
        now = time.perf_counter()
        if now - self._last < self.SECONDS:
            self.every *= 2
        self._last = now
        self._bar.set_description_str(
            f"{type(model).__name__} epoch {steps.epoch - self._first_epoch + 1}/{self._epochs}",
            refresh=False,
        )
        self._bar.update(steps.rows)
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """Shows the losses."""
        shown = {"loss": history.loss[-1]}
        if history.validation_loss:
            shown["validation_loss"] = history.validation_loss[-1]
        self._bar.set_postfix({name: f"{value:.4g}" for name, value in shown.items()}, refresh=False)
        return None

    def on_end(self, model: Any, history: History) -> None:
        """Leaves the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None
