"""Callbacks that keep the best or the last state: early stopping and checkpoints."""

from __future__ import annotations

import math
import os
from typing import Any

from numpy.typing import NDArray

from aefast import checks
from aefast.callbacks.contract import Callback, History, Steps, trainer_of

# Of a trainer's flat buffers, those that a model answers with.
WEIGHTS = ("params", "ema")


class EarlyStopping(Callback):
    """Ends a fit when a curve hasn't got better by `tol` times its best value for `patience` epochs in a row.

    A relative measure fits every loss. (Prechelt 1998, "Early stopping - but when?")

    Parameters
    ----------
    monitor : {"loss", "validation_loss"}
    tol : float
    patience : int
    restore_best : bool
        At the end, also one by Ctrl-C, put back the parameters (and averages) of the best epoch.
    """

    def __init__(
        self,
        monitor: str = "validation_loss",
        *,
        tol: float = 1e-4,
        patience: int = 10,
        restore_best: bool = True,
    ) -> None:
        checks.choice(("loss", "validation_loss"))("monitor", monitor)
        checks.real(0.0)("tol", tol)
        checks.integer(1)("patience", patience)
        checks.boolean("restore_best", restore_best)
        self.monitor, self.tol, self.patience, self.restore_best = monitor, tol, patience, restore_best
        self.best, self.waited = math.inf, 0
        self._weights: dict[str, NDArray[Any]] = {}

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Forgets an earlier fit."""
        self.best, self.waited, self._weights = math.inf, 0, {}

    def on_epoch(self, model: Any, history: History) -> object:
        """Whether the wait has been long enough."""
        curve = getattr(history, self.monitor)
        if not curve:
            raise ValueError("EarlyStopping('validation_loss') needs fit(..., X_val=...); or watch 'loss'")
        if self.improved(curve[-1]) and self.restore_best:
            buffers = trainer_of(model).flat_buffers
            self._weights = {name: buffers[name].copy() for name in WEIGHTS if name in buffers}
        return self.waited >= self.patience

    def improved(self, value: float) -> bool:
        """Takes an epoch's value; True if it is the best so far."""
        margin = self.tol * abs(self.best) if math.isfinite(self.best) else 0.0
        self.waited = 0 if value < self.best - margin else self.waited + 1
        better = value < self.best
        self.best = min(self.best, value)
        return better

    def on_end(self, model: Any, history: History) -> None:
        """Puts the best parameters back; counters and the optimizer's slots stay those of the last step."""
        for name, best in self._weights.items():
            trainer_of(model).flat_buffers[name][...] = best
        self._weights = {}


class Checkpoint(Callback):
    """Saves the trainer (`Trainer.save_checkpoint`) each `epochs` epochs, with `every` each so many steps, and at the end.

    The file at `path` is always a whole one; `Trainer.load_checkpoint` goes on from it.
    """

    def __init__(self, path: str | os.PathLike[str], *, epochs: int = 1, every: int = 0) -> None:
        checks.integer(1)("epochs", epochs)
        checks.integer(0)("every", every)
        self.path, self.epochs, self.every = checks.file_path("path", path), epochs, every
        self._saved: tuple[int, ...] = ()
        self._heard = 0

    def on_start(self, model: Any, epochs: int, n_rows: int) -> None:
        """Counts epochs from here."""
        self._saved, self._heard = self._place(model), 0

    def on_step(self, model: Any, steps: Steps) -> object:
        """Saves."""
        self._save(model)
        return None

    def on_epoch(self, model: Any, history: History) -> object:
        """Saves, when it is time."""
        self._heard += 1
        if self._heard % self.epochs == 0:
            self._save(model)
        return None

    def on_end(self, model: Any, history: History) -> None:
        """Saves what came after the last time."""
        self._save(model)

    def _save(self, model: Any) -> None:
        if self._saved != self._place(model):
            trainer_of(model).save_checkpoint(self.path)
            self._saved = self._place(model)

    def _place(self, model: Any) -> tuple[int, ...]:
        trainer = trainer_of(model)
        return trainer.epoch, trainer.position, trainer.n_steps
