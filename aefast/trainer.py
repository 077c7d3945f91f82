"""The loop: parameters, plans and epochs. Nothing numeric lives here."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import arguments, checks, epochs, loop, optimizers
from aefast.callbacks import Callback, History, ProgressBar, as_callbacks
from aefast.data.rows import as_rows, as_weights
from aefast.data.shared import SharedRows
from aefast.interrupts import DeferredSignals
from aefast.plan import Settings
from aefast.regularizers import Corruption, Sparsity
from aefast.stepping import Stepping
from aefast.topology import Topology

Array = NDArray[Any]
Watcher = Callback | Callable[[Any, History], object]


class Trainer(Stepping):
    """Trains one topology with one backend; no autograd, no state outside three flat buffers.

    Parameters
    ----------
    topology : Topology
    loss, reduction : str
        Rows of `aefast.losses`; "mean" over batch and features, or "sum" over features and mean over the batch.
    optimizer : str or aefast.optim dataclass
    learning_rate, schedule, warmup_steps : float, str, int
        Base rate, its factor over the whole run (`aefast.schedules`), and steps of linear warm-up.
    weight_decay, clip_norm, ema : float, float or None, float or None
        Decay of weights (not biases); largest global gradient norm; decay of the averaged weights used for inference.
    batch_size : int
        Rows a step; the short last batch is kept.
    corruption, sparsity : Corruption, Sparsity or None
    beta, kl_warmup_epochs, free_bits : float
        Variational topologies only: weight of the KL term, epochs (of `fit`) of its linear warm-up, nats per sample that
        are free.
    feature_weight : (d,) array or None
        Weights of the features in the loss.
    scaling : object or None
        With `shift` and `scale` (d,) float64 or None, `factor` float and `inverse(R)`; see `aefast.data.scaling`.
    backend, dtype, n_threads
        A name or "auto"; "float32", "float64", or "bfloat16", which rounds the operands of products alone; None leaves the
        count to the environment.
    nonfinite : {"raise", "skip", "propagate"}
        What a step with a loss or gradient that isn't finite does: give up before the update, leave the update out, go on.
    shuffle, seed : bool, int
    """

    def __init__(
        self,
        topology: Topology,
        *,
        loss: str = "mse",
        reduction: str = "mean",
        optimizer: str | optimizers.Optimizer = "adam",
        learning_rate: float = 1e-3,
        schedule: str = "constant",
        warmup_steps: int = 0,
        weight_decay: float = 0.0,
        clip_norm: float | None = None,
        ema: float | None = None,
        batch_size: int = 256,
        corruption: Corruption | None = None,
        sparsity: Sparsity | None = None,
        beta: float = 1.0,
        kl_warmup_epochs: float = 0.0,
        free_bits: float = 0.0,
        feature_weight: Any = None,
        scaling: Any = None,
        backend: str = "auto",
        dtype: str = "float32",
        n_threads: int | None = None,
        nonfinite: str = "raise",
        shuffle: bool = True,
        seed: int = 0,
    ) -> None:
        rule = optimizers.get(optimizer)
        decay = weight_decay if rule.weight_decay is None else rule.weight_decay
        rate = learning_rate if rule.learning_rate is None else rule.learning_rate
        arguments.check_parts(topology, corruption, sparsity, scaling)
        checked = arguments.checked(
            learning_rate=rate,
            schedule=schedule,
            warmup_steps=warmup_steps,
            weight_decay=decay,
            clip_norm=clip_norm,
            ema=ema,
            batch_size=batch_size,
            beta=beta,
            kl_warmup_epochs=kl_warmup_epochs,
            free_bits=free_bits,
            n_threads=n_threads,
            nonfinite=nonfinite,
            shuffle=shuffle,
            seed=seed,
        )
        settings = Settings(
            loss=loss,
            reduction=reduction,
            corruption=corruption,
            sparsity=sparsity,
            free_bits=checked["free_bits"],
            feature_weight=feature_weight is not None,
            optimizer=rule,
            weight_decay=checked["weight_decay"],
            ema=checked["ema"],
        )
        super().__init__(
            topology,
            settings,
            batch_size=checked["batch_size"],
            beta=checked["beta"],
            feature_weight=feature_weight,
            scaling=scaling,
            backend=backend,
            dtype=dtype,
            n_threads=checked["n_threads"],
            seed=checked["seed"],
        )
        self.learning_rate, self.schedule = checked["learning_rate"], schedule
        self.warmup_steps, self.clip_norm = checked["warmup_steps"], checked["clip_norm"]
        self.kl_warmup_epochs = checked["kl_warmup_epochs"]
        self.nonfinite, self.shuffle = nonfinite, shuffle
        self.epoch = 0
        self.first_epoch = 0  # where the schedule of the running fit began
        self.position = 0  # steps of the running epoch that are done
        self.epoch_loss = 0.0  # what those steps add to the epoch's loss
        self.epoch_skipped = 0.0  # the share of the steps whose update was left out

    # Training ----------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: Any,
        *,
        epochs: int,
        sample_weight: Any = None,
        X_val: Any = None,
        callbacks: Watcher | Iterable[Watcher] | None = (),
        progress: bool = False,
    ) -> History:
        """`epochs` passes over X (n, d), watched by `callbacks` (one or several) and, if wanted, a progress bar.

        Raises NonFiniteError by the policy; Ctrl-C stops between two steps and keeps what was learned.
        """
        checks.integer(0)("epochs", epochs)
        watchers = [*as_callbacks(callbacks), *([ProgressBar()] if progress else [])]
        rows = as_rows(X, self.topology.n_features)
        weights = as_weights(sample_weight, len(rows))
        held_out = None if X_val is None else as_rows(X_val, self.topology.n_features, what="X_val")
        return loop.finish(loop.passes(self, self, rows, weights, epochs, watchers, History(), held_out))

    def fit_epoch(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        total_epochs: int | None = None,
        listeners: loop.StepListeners | None = None,
    ) -> float:
        """One pass over X (n, d), or the rest of an interrupted one; the row-weighted mean of its batch losses.

        `total_epochs` is the epoch, counted over the trainer's life, to which the schedule moves from `first_epoch` on.
        `listeners` hear of steps; where one of them stops the epoch, `position` isn't 0 afterwards; the next call goes on.
        """
        rows = as_rows(X, self.topology.n_features)
        weights = as_weights(sample_weight, len(rows))
        self.claim()
        try:
            return self.run_epoch(rows, weights, total_epochs=total_epochs, listeners=listeners)
        finally:
            self.claimed = 0

    def run_epoch(
        self,
        rows: Any,
        weights: NDArray[np.float64] | None,
        *,
        total_epochs: int | None = None,
        listeners: loop.StepListeners | None = None,
    ) -> float:
        """`fit_epoch` on checked rows and weights, for who has the trainer's `claim`."""
        work = self.epoch_in_pieces(rows, weights, total_epochs=total_epochs, listeners=listeners)
        return loop.finish(work)

    def epoch_in_pieces(
        self,
        rows: Any,
        weights: NDArray[np.float64] | None,
        *,
        total_epochs: int | None = None,
        listeners: loop.StepListeners | None = None,
    ) -> Generator[None, None, float]:
        """`run_epoch`, pausing with each piece of `SharedRows`.

        On other rows it doesn't pause: a signal that comes while nothing of it runs couldn't wind it up.
        """
        n, batch = len(rows), min(self.batch_size, len(rows))
        n_steps = -(-n // batch)
        shared = rows if isinstance(rows, SharedRows) else None
        order, first = self._order(n) if shared is None else shared.order(self), self.position
        if first > n_steps:  # all done: interrupted in the last one
            raise ValueError(
                f"{first} steps of this epoch are done, but {n} rows make {n_steps} steps; to go on with other data, "
                "call abandon_epoch() first"
            )
        scalars = epochs.scalars(self, n_steps - first, n_steps, total_epochs)
        parts, loss = epochs.shares(order, batch, weights), np.zeros(n_steps)
        while self.position < n_steps and not (listeners and listeners.asked_to_stop):
            # The full batches in one run, or in the pieces that listeners want; the short last one has its own plan.
            start = self.position
            full = start < n // batch
            size, stop = (batch, n // batch) if full else (n % batch, n_steps)
            if shared is not None:
                piece = shared.steps(batch)
                stop = min(stop, (start // piece + 1) * piece)
            if listeners is not None:
                stop = start + listeners.piece(stop - start)
            feed = (
                self._feed(rows, order[start * batch :], weights, self.epoch)
                if shared is None
                else shared.feed(self, start * batch, batch)
            )
            with DeferredSignals():  # no signal is heard between the steps and their place in the epoch
                outcome = self._run(feed, size, scalars[start - first : stop - first], loss[start:stop])
                self._count(outcome.steps_done, loss[start:stop], parts[start:stop])
            self._check(outcome, feed, size)
            if listeners is not None:
                stop = self.position
                seen = min(stop * batch, n) - start * batch
                listeners.heard(self.epoch, loss[start:stop], seen, stop == n_steps)
            if shared is not None:
                yield
        if self.position < n_steps:
            return self.epoch_loss
        with DeferredSignals():
            result = epochs.mean_of_counted(self.epoch_loss, self.epoch_skipped)
            self.epoch_loss = self.epoch_skipped = 0.0
            self.position = 0
            self.epoch += 1
        return result

    def abandon_epoch(self) -> None:
        """Lets the rest of an interrupted epoch go: the next one starts with its first row."""
        if self.position > 0:
            self.position, self.epoch_loss, self.epoch_skipped = 0, 0.0, 0.0
            self.epoch += 1

    # Checkpoints -------------------------------------------------------------------------------------------------

    def save_checkpoint(self, path: str | PathLike[str]) -> None:
        """Everything that the next step depends on: parameters, slots, averages, counters, settings, place in the epoch.

        The file is a safetensors file that is whole or not there. Raises OSError.
        """
        from aefast.io import checkpoint

        checkpoint.save(self, path)

    @classmethod
    def load_checkpoint(cls, path: str | PathLike[str], *, backend: str | None = None) -> Trainer:
        """The trainer as it was saved, on the backend it was saved from, or another: the next epochs continue its run.

        Raises FileNotFoundError, or ValueError for a file that is no checkpoint.
        """
        from aefast.io import checkpoint

        return checkpoint.load(cls, path, backend)

    # Inside ------------------------------------------------------------------------------------------------------

    def _order(self, n: int) -> NDArray[np.int64]:
        if not self.shuffle:
            return np.arange(n)
        order = np.empty(n, np.int64)
        self._backend.ops.permutation(n, self.seed, self.epoch, order)
        return order

    def _count(self, done: int, loss: NDArray[np.float64], parts: NDArray[np.float64]) -> None:
        """Takes the first `done` steps of a run into the epoch; `parts` are their shares in its loss."""
        loss, parts = loss[:done], parts[:done]
        self.position += done
        counted = np.isfinite(loss)
        if counted.all():
            self.epoch_loss = epochs.added(self.epoch_loss, loss * parts)
            return
        if self.nonfinite == "propagate":
            counted[:] = True
        with np.errstate(all="ignore"):
            self.epoch_loss = epochs.added(self.epoch_loss, loss[counted] * parts[counted])
        self.epoch_skipped = epochs.added(self.epoch_skipped, parts[~counted])
