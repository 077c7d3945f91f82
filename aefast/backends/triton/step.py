"""A training step recorded once and started many times: everything that differs between steps is read from the device."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast.backends import Feed
from aefast.backends.interpreter import BoundCall
from aefast.backends.triton.kernels import control
from aefast.backends.triton.launch import FLAT, SINGLE, Launch, launch, programs, recorded
from aefast.backends.triton.memory import Array, Memory, address_words

SCALARS = ("lr", "c1", "c2", "beta")  # a step's row of the scalars
SETTINGS = 4096  # numbers that all calls of a step have, at most
RUN_ROWS, RUN_STEPS = 2**18, 512  # of one go, at most; then the host looks for signals


def most_steps(batch: int) -> int:
    """How many are started in one go."""
    return max(1, min(RUN_STEPS, RUN_ROWS // batch))


class Varying(float):
    """A number that is another in every step, by name; as a float it is no number."""

    def __new__(cls, name: str) -> Varying:
        """Of one of the scalars."""
        made = super().__new__(cls, "nan")
        made.name = name
        return made

    name: str


class StepMemory(Memory):
    """Memory in which a call's numbers stay where they are; it remembers which of them vary."""

    control: Array

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory.xp)
        self.settings = self.xp.zeros(SETTINGS, np.float64)
        self.control = self.xp.zeros(4, np.int64)
        self.varying: list[tuple[int, str]] = []
        self.addresses: list[tuple[Array, int]] = []
        self._used = 0
        self._values = np.zeros(SETTINGS)

    def numbers(self, *values: float) -> Array:
        """(n,) float64, a part of the settings."""
        begin, self._used = self._used, self._used + len(values)
        if self._used > SETTINGS:
            raise ValueError(f"the calls of a step have more than {SETTINGS} numbers")
        for i, value in enumerate(values):
            if isinstance(value, Varying):
                self.varying.append((begin + i, value.name))
            else:
                self._values[begin + i] = value
        return self.settings[begin : self._used]

    def address(self, seed: int, epoch: int, stream: int) -> Array:
        """(4,) int64, filled in by `begin`."""
        words = self.xp.zeros(4, np.int64)
        self.addresses.append((words, stream))
        return words

    def write_settings(self) -> None:
        """The numbers that don't vary."""
        self.settings[...] = self.here(self._values)

    def whole(self, numbers: Sequence[int]) -> Array:
        """(n,) int64; one 0 for none."""
        return self.here(np.array(numbers or (0,), np.int64))


class RecordedStep:
    """The step of one batch size on data of one place and kind.

    Parameters
    ----------
    memory : StepMemory
        That the ops of `before` and `update` work with.
    before, update : calls bound to `Ops` of that memory
    feed : Feed
        Whose arrays are the device's.
    stats : (n,) float64; partials : where in it the pairs of the weight gradients stand
    loss : (1,) float64
    """

    def __init__(
        self,
        memory: StepMemory,
        before: list[BoundCall],
        update: list[BoundCall],
        feed: Feed,
        batch: int,
        stats: Array,
        partials: list[int],
        loss: Array,
    ) -> None:
        self.memory, xp, most = memory, memory.xp, most_steps(batch)
        self._index, self._rows = (xp.zeros(most * batch, np.int64) for _ in range(2))
        self._scalars, self._losses = xp.zeros((most, 4), np.float64), xp.zeros(most, np.float64)
        self._policy, self._clip = xp.zeros(1, np.int64), xp.zeros(1, np.float64)
        now = {"index": xp.zeros(batch, np.int64), "rows": xp.zeros(batch, np.int64)}
        values = {**now, **{name: Varying(name) for name in (*SCALARS, "clip_scale")}}
        for call in (*before, *update):
            call.begin(feed)
        with recorded() as calls:
            for call in before:
                call.run(values)
        with recorded() as updates:
            for call in update:
                call.run(values)
        memory.write_settings()
        sources = [(place, SCALARS.index(name)) for place, name in memory.varying if name in SCALARS]
        places, which = (memory.whole(numbers) for numbers in zip(*sources or [(0, 0)], strict=True))
        clips = [place for place, name in memory.varying if name == "clip_scale"]
        with recorded() as around:
            launch(
                control.begin_step,
                (programs((batch, FLAT)),),
                (memory.control, self._scalars, places, which, memory.settings, self._index, now["index"], self._rows,
                 now["rows"]),
                (len(sources), batch),
                BLOCK=FLAT,
            )  # fmt: skip
            launch(
                control.judge_step,
                (1,),
                (memory.control, self._policy, self._clip, loss, self._losses, stats,
                 memory.whole(partials), memory.settings, memory.whole(clips)),
                (len(partials), len(clips)),
                BLOCK=SINGLE,
            )  # fmt: skip
        begin, judge = around
        self.launches: list[Launch] = [begin, *calls, judge, *updates]
        self._judged = 1 + len(calls)
        self._graph: Any = None

    def begin(self, seed: int, epoch: int, nonfinite: int, clip_norm: float) -> None:
        """Before the steps of a run."""
        here = self.memory.here
        for words, stream in self.memory.addresses:
            words[...] = here(address_words(seed, epoch, stream))
        self._policy[...], self._clip[...] = nonfinite, clip_norm
        self.memory.control[...] = here(np.array([0, 0, 1, 1], np.int64))

    def run(
        self, index: NDArray[np.int64], rows: NDArray[np.int64], scalars: NDArray[np.float64]
    ) -> tuple[int, bool, NDArray[np.float64]]:
        """(steps done, whether the run goes on, losses); index, rows (steps * batch,)."""
        n, here = len(scalars), self.memory.here
        self._index[: len(index)], self._rows[: len(rows)] = here(index), here(rows)
        self._scalars[:n] = here(scalars)
        self.memory.control[:2] = 0
        self._start(n)
        _, done, going, _ = (int(x) for x in self.memory.host(self.memory.control))
        losses = self.memory.host(self._losses[:n])
        # Later steps have worked in the same memory: what the one that ended the run left there is made again.
        if not going:
            self.memory.control[0] = done
            for each in self.launches[: self._judged]:
                each.start()
        return done, bool(going), losses

    def _start(self, n: int) -> None:
        xp = self.memory.xp
        if xp is np:
            for each in self.launches * n:
                each.start()
            return
        stream = xp.cuda.get_current_stream()
        if self._graph is None:
            # The first step compiles what isn't yet, which mustn't happen while a graph is made.
            for each in self.launches:
                each.start()
            n -= 1
            recorder = xp.cuda.Stream(non_blocking=True)
            stream.synchronize()
            with recorder:
                recorder.begin_capture()
                for each in self.launches:
                    each.start()
                self._graph = recorder.end_capture()
        for _ in range(n):
            self._graph.launch(stream)
