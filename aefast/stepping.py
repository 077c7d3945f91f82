"""Training steps by themselves, and who may take them: what a step by hand and an epoch have in common."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import backends, epochs, interrupts
from aefast.data.rows import as_rows, as_weights
from aefast.diagnosis import first_nonfinite
from aefast.engine import Array, in_order
from aefast.errors import NonFiniteError
from aefast.inference import Inference


class Stepping(Inference):
    """The part of `Trainer` that takes steps."""

    # What a step depends on besides the parameters; set by `Trainer`.
    learning_rate: float
    schedule: str
    warmup_steps: int
    kl_warmup_epochs: float
    clip_norm: float | None
    nonfinite: str
    epoch: int
    first_epoch: int
    position: int
    _lone: epochs.LoneSteps

    claimed: int
    """The thread that trains, if any, else 0."""

    def gradients(self, batch: Any, sample_weight: Any = None) -> tuple[float, dict[str, Array]]:
        """(loss, {name: gradient}) of one batch (B, d), as `step` would see it; changes nothing.

        RuntimeError while another thread trains this model, or takes its gradients.
        """
        rows = as_rows(batch, self.topology.n_features, what="batch")
        n = len(rows)
        weights = as_weights(sample_weight, n)
        # A callback may ask between two steps, whose gradients nobody needs any more.
        asked_by_callback = self.claimed == threading.get_ident()
        if not asked_by_callback:
            self.claim()
        try:
            number = self.n_steps
            feed = self._feed(rows, in_order(n), weights, number)
            _, program = self._program("train", n)
            program.run_phases(feed, 0, n, float(self._lone.scalars(self, number)[0, 3]))
            named = {name: view.copy() for name, view in self.views(self._state.grads).items()}
            return float(program.buffer("loss")[0]), named
        finally:
            if not asked_by_callback:
                self.claimed = 0

    def step(self, batch: Any, sample_weight: Any = None) -> float:
        """One step on one batch (B, d); the loss before the update.

        Noise is addressed by the row in the batch and `n_steps`.
        """
        rows = as_rows(batch, self.topology.n_features, what="batch")
        n = len(rows)
        weights = as_weights(sample_weight, n)
        self.claim()
        try:
            number, loss = self.n_steps, self._lone.loss
            feed = self._feed(rows, in_order(n), weights, number)
            scalars = self._lone.scalars(self, number)
            # A signal whose handler raises nothing may end a run before the step.
            while not (outcome := self._run(feed, n, scalars, loss)).steps_done:
                self._check(outcome, feed, n)
            return float(loss[0])
        finally:
            self.claimed = 0

    def claim(self) -> None:
        """For who trains: RuntimeError where somebody does already, a fit whose callback this is for example.

        At once after it a `try` whose `finally` sets `claimed` to 0, without a call: so no signal comes between.
        """
        this = threading.get_ident()
        if self.claimed:
            raise RuntimeError(
                "this model is being trained: a callback, or another thread, must not train it meanwhile"
            )
        self.claimed = this

    # Inside ------------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        super()._bind()
        self.claimed = 0
        self._lone = epochs.LoneSteps(self.settings.optimizer)

    def _run(
        self, feed: backends.Feed, batch: int, scalars: NDArray[np.float64], loss: NDArray[np.float64]
    ) -> backends.Outcome:
        """A step for each of `loss`, by the trainer's policies."""
        _, program = self._program("train", batch)
        policy = backends.NONFINITE_CODES[self.nonfinite]
        return program.run_steps(feed, scalars, loss, policy, self.clip_norm or 0.0, batch)

    def _check(self, outcome: backends.Outcome, feed: backends.Feed, batch: int) -> None:
        """Raises what a signal's handler has raised within a run, or a NonFiniteError."""
        if outcome.error is not None:
            raise outcome.error
        interrupts.raise_if_stopped()
        if outcome.nonfinite:
            plan, program = self._program("train", batch)
            done = outcome.steps_done
            index = (feed.index if feed.rows is None else feed.rows)[done * batch : (done + 1) * batch]
            where = first_nonfinite(plan, program, index, self.views(self._state.grads))
            raise NonFiniteError(where, self.n_steps)
