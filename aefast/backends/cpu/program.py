"""A plan handed to the native step loop: plain data in, views of its memory out."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import interrupts
from aefast.backends import Array, Feed, Outcome, State
from aefast.backends.cpu.native import module as _cpu
from aefast.data.rows import file_backed
from aefast.plan import Call, Plan, Ref

NONFINITE, INTERRUPTED = 1, 2


class CpuProgram:
    """See `aefast.backends.Program`. One run at a time; the state's arrays must stay where they are."""

    def __init__(self, plan: Plan, state: State, n_threads: int | None) -> None:
        self.plan = plan
        self.n_threads = n_threads
        slots = dict(zip(("slot0", "slot1"), state.slots, strict=False))
        phases: list[tuple[str, list[dict[str, Any]]]] = [
            (phase.kind, [_call(call) for call in phase.calls]) for phase in plan.phases
        ]
        self._native = _cpu.Program(
            phases,
            plan.batch,
            plan.arena_size,
            plan.stats_size,
            state.params,
            grads=state.grads,
            **slots,
            ema=state.ema,
            pending=interrupts.pending,
            steps=state.steps,
            bfloat16=plan.dtype == "bfloat16",
        )
        self._buffers = {name: self._view(ref) for name, ref in plan.buffers.items()}
        self._trains = any(phase.kind == "update" for phase in plan.phases)
        self._packed_for: weakref.ref[Feed] | None = None

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
        steps, status = self._native.run_steps(
            *_fields(feed),
            batch or self.plan.batch,
            scalars,
            losses,
            nonfinite,
            clip_norm,
            self.n_threads or 0,
            file_backed(feed.data),
        )
        if not status:
            return Outcome(steps)
        error = self._native.take_interrupt() if status == INTERRUPTED else None
        return Outcome(steps, status == NONFINITE, status == INTERRUPTED, error)

    def run_phases(self, feed: Feed, start: int, stop: int, beta: float = 1.0) -> None:
        """See `aefast.backends.Program`. Further chunks of one inference feed reuse the packed weights."""
        packed = self._packed_for is not None and self._packed_for() is feed
        repack = self._trains or start == 0 or not packed
        status = self._native.run_phases(*_fields(feed), start, stop, beta, repack, self.n_threads or 0)
        self._packed_for = weakref.ref(feed)
        if status == INTERRUPTED:
            raise self._native.take_interrupt() or KeyboardInterrupt

    def buffer(self, name: str) -> Array:
        """See `aefast.backends.Program`."""
        return self._buffers[name]

    def _view(self, ref: Ref) -> Array:
        base: Array = (self._native.stats if ref.space == "stats" else self._native.arena)[ref.offset :]
        if ref.vector:
            return base[: ref.cols]
        strides = (ref.row_stride * base.itemsize, ref.col_stride * base.itemsize)
        return np.lib.stride_tricks.as_strided(base, (ref.rows, ref.cols), strides)


def _call(call: Call) -> dict[str, Any]:
    args = {name: _ref(ref) for name, ref in call.args.items() if ref is not None}
    geometry = {} if call.geometry is None else vars(call.geometry)
    attrs = {name: float(value) for name, value in {**call.attrs, **geometry}.items()}
    return {"op": call.op, "args": args, "attrs": attrs}


def _ref(ref: Ref) -> tuple[str, int, int, int, int, int]:
    return ref.space, ref.offset, ref.rows, ref.cols, ref.row_stride, ref.col_stride


def _fields(feed: Feed) -> tuple[Any, Any, Any, Any, Any, Any, Any, Any, Any]:
    """In the order in which the native runs take them: by name they cost a small step's tenth more."""
    return (
        feed.data,
        feed.index,
        feed.rows,
        feed.sample_weight,
        feed.shift,
        feed.scale,
        feed.factor,
        feed.seed,
        feed.epoch,
    )
