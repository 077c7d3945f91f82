"""The numbers of an epoch's steps: the scheduled scalars that each is run with, and its share in the epoch's loss."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from aefast import schedules

if TYPE_CHECKING:
    from aefast.optimizers import Optimizer
    from aefast.stepping import Stepping

F64 = NDArray[np.float64]


def scalars(trainer: Stepping, n: int, steps_per_epoch: int, total_epochs: int | None) -> F64:
    """(n, 4) of the trainer's next n steps: learning rate, the two bias corrections, beta.

    The schedule moves from the epoch `trainer.first_epoch` to `total_epochs`; None: it stands.
    """
    steps = trainer.n_steps + np.arange(n)
    place = trainer.epoch + (trainer.position + np.arange(n)) / steps_per_epoch
    if total_epochs is None:
        factor = schedules.factors("constant", place, steps, trainer.warmup_steps)
    else:
        run = max(total_epochs - trainer.first_epoch, 1)
        factor = schedules.factors(
            trainer.schedule, (place - trainer.first_epoch) / run, steps, trainer.warmup_steps
        )
    corrections = trainer.settings.optimizer.bias_corrections(steps + 1)
    beta = np.full(n, trainer.beta)
    if trainer.kl_warmup_epochs > 0:
        beta *= np.minimum((place + 1 / steps_per_epoch) / trainer.kl_warmup_epochs, 1.0)
    return np.column_stack((trainer.learning_rate * factor, corrections, beta))


class LoneSteps:
    """`scalars(trainer, 1, 1, None)` for steps outside of any epoch, of which each is asked for by itself.

    The bias corrections follow from the step's number alone, so those of some steps are made at once.
    """

    AHEAD = 64

    def __init__(self, optimizer: Optimizer) -> None:
        self._optimizer = optimizer
        self._made: tuple[int, F64] = 0, np.empty((0, 4))  # from which step on, and the rows
        self.loss = np.empty(1)  # a place for the step's loss

    def scalars(self, trainer: Stepping, step: int) -> F64:
        """(1, 4) of the trainer's next step, whose number is `step`; valid until the next call."""
        if step < trainer.warmup_steps or trainer.kl_warmup_epochs > 0:
            return scalars(trainer, 1, 1, None)
        first, rows = self._made
        place = step - first
        if not 0 <= place < len(rows):
            rows, place = np.empty((self.AHEAD, 4)), 0
            rows[:, 1:3] = self._optimizer.bias_corrections(step + np.arange(1, self.AHEAD + 1))
            self._made = step, rows
        row = rows[place : place + 1]
        row[0, 0], row[0, 3] = trainer.learning_rate, trainer.beta
        return row


def shares(order: NDArray[np.int64], batch: int, weights: F64 | None) -> F64:
    """(steps,) what each batch of `order` counts in the epoch's loss: its rows' part of all weight."""
    n = len(order)
    if weights is None:
        parts = np.full(-(-n // batch), batch / n)
        parts[-1] = (n - (len(parts) - 1) * batch) / n
        return parts
    sums: F64 = np.add.reduceat(weights[order], np.arange(0, n, batch)) / weights.sum()
    return sums


def added(before: float, more: F64) -> float:
    """before + more[0] + more[1] + ..., in this order, so that no bit depends on the pieces in which they come."""
    sums = np.empty(len(more) + 1)
    sums[0], sums[1:] = before, more
    return float(np.add.accumulate(sums, out=sums)[-1])


def mean_of_counted(loss: float, skipped: float) -> float:
    """The epoch's loss out of the steps that weren't left out; NaN where all were."""
    if skipped == 0.0:
        return loss
    return loss / (1.0 - skipped) if skipped < 1.0 - 1e-9 else math.nan
