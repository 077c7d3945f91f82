"""The loop: parameters, plans and epochs. Nothing numeric lives here."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import backends, interrupts, loop, optimizers, schedules
from aefast.callbacks import Callback, History, ProgressBar
from aefast.data.rows import as_rows, as_weights
from aefast.diagnosis import first_nonfinite
from aefast.engine import Engine
from aefast.errors import NonFiniteError, unknown_name
from aefast.plan import Settings
from aefast.regularizers import Corruption, Sparsity
from aefast.topology import Topology

Array = NDArray[Any]


class Trainer(Engine):
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
        A name or "auto"; "float32" or "float64"; None leaves the count to the environment.
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
        if schedule not in schedules.TABLE:
            raise unknown_name("schedule", schedule, schedules.NAMES)
        if nonfinite not in backends.NONFINITE_CODES:
            raise unknown_name("nonfinite policy", nonfinite, backends.NONFINITE_CODES)
        decay = weight_decay if rule.weight_decay is None else rule.weight_decay
        for name, count in (("batch_size", batch_size), ("n_threads", 1 if n_threads is None else n_threads)):
            if isinstance(count, bool) or not hasattr(count, "__index__") or count < 1:
                raise ValueError(f"{name} must be an integer of at least 1, but is {count!r}")
        for name, value in (
            ("weight_decay", decay),
            ("warmup_steps", warmup_steps),
            ("beta", beta),
            ("kl_warmup_epochs", kl_warmup_epochs),
            ("free_bits", free_bits),
        ):
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} must be finite and at least 0, but is {value!r}")
        if clip_norm is not None and not clip_norm > 0:
            raise ValueError(f"clip_norm must be above 0, or None, but is {clip_norm!r}")
        if ema is not None and not 0.0 <= ema < 1.0:
            raise ValueError(f"ema must be in [0, 1), or None, but is {ema!r}")
        rate = learning_rate if rule.learning_rate is None else rule.learning_rate
        if not (math.isfinite(rate) and rate >= 0):
            raise ValueError(f"learning_rate must be finite and at least 0, but is {rate!r}")
        settings = Settings(
            loss=loss,
            reduction=reduction,
            corruption=corruption,
            sparsity=sparsity,
            free_bits=free_bits,
            feature_weight=feature_weight is not None,
            optimizer=rule,
            weight_decay=decay,
            ema=ema,
        )
        super().__init__(
            topology,
            settings,
            batch_size=batch_size,
            beta=beta,
            feature_weight=feature_weight,
            scaling=scaling,
            backend=backend,
            dtype=dtype,
            n_threads=n_threads,
            seed=seed,
        )
        self.learning_rate, self.schedule, self.warmup_steps = rate, schedule, warmup_steps
        self.clip_norm, self.kl_warmup_epochs = clip_norm, kl_warmup_epochs
        self.nonfinite, self.shuffle = nonfinite, shuffle
        self.n_steps = 0
        self.epoch = 0
        self.position = 0  # steps of the running epoch that are done
        self.epoch_loss = 0.0  # what those steps add to the epoch's loss

    # Training ----------------------------------------------------------------------------------------------------

    def gradients(self, batch: Any, sample_weight: Any = None) -> tuple[float, dict[str, Array]]:
        """(loss, {name: gradient}) of one batch (B, d), as `step` would see it; changes nothing."""
        rows = as_rows(batch, self.topology.n_features, what="batch")
        feed = self._feed(rows, np.arange(len(rows)), as_weights(sample_weight, len(rows)), self.n_steps)
        _, program = self._program("train", len(rows))
        program.run_phases(feed, 0, len(rows), self._beta(np.array([0]), 1)[0])
        named = {name: view.copy() for name, view in self.views(self._state.grads).items()}
        return float(program.buffer("loss")[0]), named

    def step(self, batch: Any, sample_weight: Any = None) -> float:
        """One step on one batch (B, d); the loss before the update.

        Noise is addressed by the row in the batch and `n_steps`.
        """
        rows = as_rows(batch, self.topology.n_features, what="batch")
        feed = self._feed(rows, np.arange(len(rows)), as_weights(sample_weight, len(rows)), self.n_steps)
        loss, position = np.zeros(1), self.position
        try:
            while self.position == position:
                self._run(feed, len(rows), self._scalars(1, 1, None), loss)
        finally:
            self.position = position  # a step by itself is no part of an epoch
        return float(loss[0])

    def fit(
        self,
        X: Any,
        *,
        epochs: int,
        sample_weight: Any = None,
        X_val: Any = None,
        callbacks: Iterable[Callback | Callable[[Trainer, History], object]] = (),
        progress: bool = False,
    ) -> History:
        """`epochs` passes over X (n, d), watched by callbacks (`aefast.callbacks`) and, if wanted, a progress bar.

        Raises NonFiniteError by the policy; Ctrl-C stops between two steps and keeps what was learned.
        """
        if epochs < 0:
            raise ValueError(f"epochs must be at least 0, but is {epochs!r}")
        rows = as_rows(X, self.topology.n_features)
        weights = as_weights(sample_weight, len(rows))
        held_out = None if X_val is None else as_rows(X_val, self.topology.n_features, what="X_val")
        watchers = (*callbacks, *([ProgressBar()] if progress else []))
        return loop.run(self, self, rows, weights, epochs, watchers, History(), held_out)

    def fit_epoch(
        self,
        X: Any,
        sample_weight: Any = None,
        *,
        total_epochs: int | None = None,
        listeners: loop.StepListeners | None = None,
    ) -> float:
        """One pass over X (n, d), or the rest of an interrupted one; the row-weighted mean of its batch losses.

        `total_epochs` is the length of the whole run, counted from epoch 0, along which the schedule moves. `listeners` hear of
        steps; where one of them stops the epoch, `position` isn't 0 afterwards, and the next call does the rest.
        """
        rows = as_rows(X, self.topology.n_features)
        weights = as_weights(sample_weight, len(rows))
        n, batch = len(rows), min(self.batch_size, len(rows))
        n_steps = -(-n // batch)
        order, first = self._order(n), self.position
        if first > n_steps:  # all done: interrupted in the last one
            raise ValueError(
                f"{first} steps of this epoch are done, but {n} rows make {n_steps} steps: other data?"
            )
        scalars = self._scalars(n_steps - first, n_steps, total_epochs)
        loss = np.zeros(n_steps)
        try:
            while self.position < n_steps and not (listeners and listeners.asked_to_stop):
                # The full batches in one run, or in the pieces that listeners want; the short last one has its own plan.
                start = self.position
                full = start < n // batch
                size, stop = (batch, n // batch) if full else (n % batch, n_steps)
                if listeners is not None:
                    stop = start + listeners.piece(stop - start)
                feed = self._feed(rows, order[start * batch :], weights, self.epoch)
                self._run(feed, size, scalars[start - first : stop - first], loss[start:stop])
                if listeners is not None:
                    stop = self.position
                    seen = min(stop * batch, n) - start * batch
                    listeners.heard(self.epoch, loss[start:stop], seen, stop == n_steps)
        finally:
            self.epoch_loss += self._loss_of(loss, first, self.position, order, weights)
        if self.position < n_steps:
            return self.epoch_loss
        with interrupts.Held():
            result, self.epoch_loss = self.epoch_loss, 0.0
            self.position = 0
            self.epoch += 1
        return result

    def abandon_epoch(self) -> None:
        """Lets the rest of an interrupted epoch go: the next one starts with its first row."""
        if self.position > 0:
            self.position, self.epoch_loss = 0, 0.0
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

    def _loss_of(
        self,
        loss: NDArray[np.float64],
        start: int,
        stop: int,
        order: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
    ) -> float:
        """The steps' part of the epoch's loss: each batch counts by its rows' weight; skipped steps count nothing."""
        batch = min(self.batch_size, len(order))
        firsts = np.arange(len(loss)) * batch
        row_weights = np.ones(len(order)) if weights is None else weights[order]
        shares = np.add.reduceat(row_weights, firsts) / row_weights.sum()
        counted = np.isfinite(loss) | (self.nonfinite == "propagate")
        counted[:start], counted[stop:] = False, False
        return float(loss[counted] @ shares[counted])

    def _scalars(self, n: int, steps_per_epoch: int, total_epochs: int | None) -> NDArray[np.float64]:
        """(n, 4) of the next n steps: learning rate, the two bias corrections, beta."""
        steps = self.n_steps + np.arange(n)
        if total_epochs is None:
            factor = schedules.factors("constant", steps, 1, self.warmup_steps)
        else:
            factor = schedules.factors(
                self.schedule, steps, total_epochs * steps_per_epoch, self.warmup_steps
            )
        corrections = self.settings.optimizer.bias_corrections(steps + 1)
        within = self.position + np.arange(n)
        return np.column_stack(
            (self.learning_rate * factor, corrections, self._beta(within, steps_per_epoch))
        )

    def _beta(self, within: NDArray[np.int64], steps_per_epoch: int) -> NDArray[np.float64]:
        if self.kl_warmup_epochs <= 0:
            return np.full(len(within), self.beta)
        epochs = self.epoch + (within + 1) / steps_per_epoch
        return self.beta * np.minimum(epochs / self.kl_warmup_epochs, 1.0)

    def _run(
        self, feed: backends.Feed, batch: int, scalars: NDArray[np.float64], loss: NDArray[np.float64]
    ) -> None:
        plan, program = self._program("train", batch)
        policy = backends.NONFINITE_CODES[self.nonfinite]
        # No signal comes between the steps and their counts. What its handler raises, leaves here; else the rest is done.
        with interrupts.Held():
            outcome = program.run_steps(feed, scalars, loss, policy, self.clip_norm or 0.0)
            self.n_steps += outcome.steps_done
            self.position += outcome.steps_done
        if outcome.nonfinite:
            start = outcome.steps_done * batch
            index = feed.index[start : start + batch]
            where = first_nonfinite(plan, program, index, self.views(self._state.grads))
            raise NonFiniteError(where, self.n_steps)
