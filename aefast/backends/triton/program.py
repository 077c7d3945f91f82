"""A plan on the device: the interpreted program with its memory there. Parameters come from the state before a run, and go
back into it afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends import Feed, Outcome, State
from aefast.backends.interpreter import InterpretedProgram
from aefast.backends.triton.memory import Array, Memory
from aefast.plan import Plan


class DeviceProgram(InterpretedProgram):
    """See `aefast.backends.Program`."""

    def __init__(self, plan: Plan, state: State, ops: Any, memory: Memory) -> None:
        self._memory = memory
        held = [state.params, state.grads, *state.slots]
        if state.ema is not None:
            held.append(state.ema)
        copies = [memory.copied(array) for array in held]
        slots = tuple(copies[2 : 2 + len(state.slots)])
        ema = None if state.ema is None else copies[-1]
        self._pairs = list(zip(held, copies, strict=True))
        device = State(copies[0], copies[1], slots, ema, state.steps)
        super().__init__(plan, device, ops, xp=memory.xp)

    def run_steps(
        self,
        feed: Feed,
        scalars: NDArray[np.float64],
        losses: NDArray[np.float64],
        nonfinite: int,
        clip_norm: float,
    ) -> Outcome:
        """See `aefast.backends.Program`."""
        with self._moved():
            return super().run_steps(feed, scalars, losses, nonfinite, clip_norm)

    def run_phases(self, feed: Feed, start: int, stop: int, beta: float = 1.0) -> None:
        """See `aefast.backends.Program`."""
        with self._moved():
            super().run_phases(feed, start, stop, beta)

    def buffer(self, name: str) -> Array:
        """See `aefast.backends.Program`; on the host."""
        return self._memory.host(super().buffer(name))

    @contextmanager
    def _moved(self) -> Iterator[None]:
        for host, device in self._pairs:
            device[...] = self._memory.here(host)
        try:
            yield
        finally:
            for host, device in self._pairs:
                host[...] = self._memory.host(device)
