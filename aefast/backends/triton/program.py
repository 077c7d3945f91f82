"""A plan on the device. Its steps are recorded (`step.py`) and started from a graph; all other phases run call by call.

Parameters come from the state before a run, and go back into it afterwards. The data set stays on the device for as long as
its owner says that it doesn't change, where half of the free memory holds it; else the rows of a few steps at a time are
copied.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import interrupts
from aefast.backends import Feed, Outcome, State
from aefast.backends.interpreter import InterpretedProgram
from aefast.backends.triton.memory import Array, Memory
from aefast.backends.triton.ops import Ops
from aefast.backends.triton.resident import Kept, n_bytes, place_of, taken, uploaded
from aefast.backends.triton.step import RecordedStep, StepMemory, most_steps
from aefast.data.sparse import SparseRows
from aefast.plan import Plan

RECORDED = 8  # steps that are kept
STAGED_BYTES = 2**26  # of rows that are copied to the device together


class DeviceProgram(InterpretedProgram):
    """See `aefast.backends.Program`."""

    def __init__(self, plan: Plan, state: State, ops: Ops, memory: Memory) -> None:
        self._memory = memory
        held = [state.params, state.grads, *state.slots]
        if state.ema is not None:
            held.append(state.ema)
        copies = [memory.copied(array) for array in held]
        slots = tuple(copies[2 : 2 + len(state.slots)])
        ema = None if state.ema is None else copies[-1]
        self._pairs = list(zip(held, copies, strict=True))
        device = State(copies[0], copies[1], slots, ema, state.steps)
        self._device = device
        super().__init__(plan, device, ops, xp=memory.xp)
        self._kept = Kept(memory)
        self._recorded: dict[Any, RecordedStep] = {}
        self._resident: weakref.WeakKeyDictionary[Any, tuple[Any, Any]] = weakref.WeakKeyDictionary()

    def run_steps(
        self,
        feed: Feed,
        scalars: NDArray[np.float64],
        losses: NDArray[np.float64],
        nonfinite: int,
        clip_norm: float,
        batch: int | None = None,
    ) -> Outcome:
        """See `aefast.backends.Program`."""
        with self._moved(), interrupts.DeferredSignals(), np.errstate(all="ignore"):
            outcome = self._run_recorded(
                feed, batch or self.plan.batch, scalars, losses, nonfinite, clip_norm
            )
            self._steps[0] += outcome.steps_done
        return outcome

    def run_phases(self, feed: Feed, start: int, stop: int, beta: float = 1.0) -> None:
        """See `aefast.backends.Program`."""
        with self._moved():
            super().run_phases(feed, start, stop, beta)

    def buffer(self, name: str) -> Array:
        """See `aefast.backends.Program`; on the host."""
        return self._memory.host(super().buffer(name))

    def _run_recorded(
        self,
        feed: Feed,
        batch: int,
        scalars: NDArray[np.float64],
        losses: NDArray[np.float64],
        nonfinite: int,
        clip_norm: float,
    ) -> Outcome:
        total, most, resident = 0, most_steps(batch), self._data(feed)
        rows = feed.index if feed.rows is None else feed.rows
        if resident is None:
            row = n_bytes(feed.data) // len(feed.data)
            most = max(1, min(most, STAGED_BYTES // max(1, batch * row)))
        while total < len(scalars):
            if interrupts.pending():
                return Outcome(total, interrupted=True)
            n = min(most, len(scalars) - total)
            part = slice(total * batch, (total + n) * batch)
            data, index, weights = resident, feed.index[part], feed.sample_weight
            if data is None:
                data = self._kept.rows(taken(feed.data, index))
                weights = None if weights is None else weights[index]
                index = np.arange(len(index))
            step = self._step(feed, data, weights, batch)
            step.begin(feed.seed, feed.epoch, nonfinite, clip_norm)
            done, going, found = step.run(index, rows[part], scalars[total : total + n])
            seen = min(n, done + 1)
            losses[total : total + seen] = found[:seen]
            total += done
            if not going:
                return Outcome(total, nonfinite=True)
        return Outcome(total)

    def _data(self, feed: Feed) -> Any:
        """The data set on the device; None where it doesn't fit, or where nobody says that it stays as it is."""
        if feed.lasting is None:
            return None
        kept = self._resident.get(feed.lasting)
        if kept is None or kept[0] is not feed.data:
            if not self._memory.fits(n_bytes(feed.data)):
                return None
            kept = feed.data, uploaded(feed.data, self._memory)
            self._resident[feed.lasting] = kept
            # A recorded step holds what it reads: it goes when the data set's time is over.
            weakref.finalize(feed.lasting, self._recorded.clear)
        return kept[1]

    def _step(
        self, feed: Feed, data: Any, sample_weight: NDArray[np.float64] | None, batch: int
    ) -> RecordedStep:
        """Recorded anew only where an array lies elsewhere, or is of another kind."""
        weights, shift, scale = (
            None if array is None else self._kept.array(name, array)
            for name, array in (("weights", sample_weight), ("shift", feed.shift), ("scale", feed.scale))
        )
        parts = (data.values, data.indices, data.indptr) if isinstance(data, SparseRows) else (data,)
        key = batch, feed.factor, *map(place_of, (*parts, weights, shift, scale))
        found = self._recorded.get(key)
        if found is None:
            while len(self._recorded) >= RECORDED:
                del self._recorded[next(iter(self._recorded))]
            device = Feed(data, feed.index, None, weights, shift, scale, feed.factor)
            found = self._recorded[key] = self._record(device, batch)
        return found

    def _record(self, feed: Feed, batch: int) -> RecordedStep:
        memory = StepMemory(self._memory)
        calls = InterpretedProgram(
            self.plan, self._device, Ops(memory, self._ops.precision), xp=memory.xp, spaces=self._spaces
        ).calls_of(batch)
        loss = self._view(self.plan.buffers["loss"], batch)
        partials = [ref.offset for call in self.plan.calls if (ref := call.args.get("partials")) is not None]
        return RecordedStep(memory, *calls, feed, batch, self._spaces["stats"], partials, loss)

    @contextmanager
    def _moved(self) -> Iterator[None]:
        for host, device in self._pairs:
            device[...] = self._memory.here(host)
        try:
            yield
        finally:
            for host, device in self._pairs:
                host[...] = self._memory.host(device)
