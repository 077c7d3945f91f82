"""A plan handed to the native step loop: plain data in, views of its memory out."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import _cpu, interrupts, threads
from aefast.backends import Array, Feed, Outcome, State
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
            bfloat16=plan.dtype == "bfloat16",
        )
        self._trains = any(phase.kind == "update" for phase in plan.phases)
        self._packed_for: weakref.ref[Feed] | None = None

    def run_steps(
        self,
        feed: Feed,
        scalars: NDArray[np.float64],
        losses: NDArray[np.float64],
        nonfinite: int,
        clip_norm: float,
    ) -> Outcome:
        """See `aefast.backends.Program`."""
        scalars = np.ascontiguousarray(scalars, np.float64)
        steps, status = self._native.run_steps(
            **_fields(feed),
            scalars=scalars,
            losses=losses,
            nonfinite=nonfinite,
            clip_norm=clip_norm,
            n_threads=self._threads,
        )
        error = self._native.take_interrupt() if status == INTERRUPTED else None
        return Outcome(steps, status == NONFINITE, status == INTERRUPTED, error)

    def run_phases(self, feed: Feed, start: int, stop: int, beta: float = 1.0) -> None:
        """See `aefast.backends.Program`. Further chunks of one inference feed reuse the packed weights."""
        packed = self._packed_for is not None and self._packed_for() is feed
        repack = self._trains or start == 0 or not packed
        status = self._native.run_phases(
            **_fields(feed), start=start, stop=stop, beta=beta, repack=repack, n_threads=self._threads
        )
        self._packed_for = weakref.ref(feed)
        if status == INTERRUPTED:
            raise self._native.take_interrupt() or KeyboardInterrupt

    def buffer(self, name: str) -> Array:
        """See `aefast.backends.Program`."""
        ref = self.plan.buffers[name]
        base: Array = (self._native.stats if ref.space == "stats" else self._native.arena)[ref.offset :]
        if ref.vector:
            return base[: ref.cols]
        strides = (ref.row_stride * base.itemsize, ref.col_stride * base.itemsize)
        return np.lib.stride_tricks.as_strided(base, (ref.rows, ref.cols), strides)

    @property
    def _threads(self) -> int:
        # 0: the native default, which also knows the cgroup's quota.
        return self.n_threads or threads.requested() or 0


def _call(call: Call) -> dict[str, Any]:
    args = {name: _ref(ref) for name, ref in call.args.items() if ref is not None}
    return {"op": call.op, "args": args, "attrs": {name: float(value) for name, value in call.attrs.items()}}


def _ref(ref: Ref) -> tuple[str, int, int, int, int, int]:
    return ref.space, ref.offset, ref.rows, ref.cols, ref.row_stride, ref.col_stride


def _fields(feed: Feed) -> dict[str, Any]:
    return {
        "data": feed.data,
        "index": feed.index,
        "rows": feed.rows,
        "sample_weight": feed.sample_weight,
        "shift": feed.shift,
        "scale": feed.scale,
        "factor": feed.factor,
        "seed": feed.seed,
        "epoch": feed.epoch,
    }
