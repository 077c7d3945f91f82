"""A program for backends whose ops are Python functions: it calls the plan's ops one after the other."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aefast import interrupts
from aefast.backends import Array, Feed, Outcome, State
from aefast.backends.blas import AtMost
from aefast.plan import Call, Plan, Ref

# Arguments that change from run to run, and where they come from.
FEED_ARGS: dict[str, Callable[[Feed], Any]] = {
    "data": lambda feed: feed.data,
    "shift": lambda feed: feed.shift,
    "scale": lambda feed: feed.scale,
    "factor": lambda feed: feed.factor,
    "sample_weight": lambda feed: feed.sample_weight,
    "seed": lambda feed: feed.seed,
    "epoch": lambda feed: feed.epoch,
}
# Arguments of one step: which rows, and the scheduled numbers.
BOUND = 8  # numbers of rows whose bound calls are kept
STEP_ARGS = ("index", "rows", "lr", "c1", "c2", "beta", "clip_scale")


class InterpretedProgram:
    """Binds every call to views of the memory; a step only fills in the feed and the step's scalars.

    Parameters
    ----------
    ops : object
        Functions by op name, with the contract's argument names.
    n_threads : int or None
        The most threads of the BLAS behind NumPy's products; see `aefast.threads`.
    xp : module
        Whose arrays the state holds and the ops take: numpy, or one with its interface.
    spaces : dict, optional
        Of another program of the plan and state, to work in the same memory.
    """

    def __init__(
        self,
        plan: Plan,
        state: State,
        ops: Any,
        n_threads: int | None = None,
        xp: Any = np,
        spaces: dict[str, Array] | None = None,
    ) -> None:
        self.plan = plan
        self._blas = AtMost(n_threads)
        self._spaces = spaces or _spaces(plan, state, xp)
        self._ops, self._as_strided = ops, xp.lib.stride_tricks.as_strided
        self._steps = state.steps
        self._bound: dict[int, tuple[list[BoundCall], list[BoundCall]]] = {}
        self._partials = [
            self._view(ref, plan.batch)
            for call in plan.calls
            if (ref := call.args.get("partials")) is not None
        ]

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
        with (
            self._blas,
            interrupts.DeferredSignals(),
            np.errstate(all="ignore"),
        ):  # what overflows is the policy's
            outcome = self._run(feed, batch or self.plan.batch, scalars, losses, nonfinite, clip_norm)
            self._steps[0] += outcome.steps_done
        return outcome

    @np.errstate(all="ignore")
    def run_phases(self, feed: Feed, start: int, stop: int, beta: float = 1.0) -> None:
        """See `aefast.backends.Program`."""
        before, _ = self.calls_of(stop - start)
        values = {"beta": beta, **_batch_rows(feed, start, stop)}
        with self._blas:
            for call in before:
                call.begin(feed)
                call.run(values)

    def buffer(self, name: str) -> Array:
        """See `aefast.backends.Program`."""
        return self._view(self.plan.buffers[name], self.plan.batch)

    def _run(
        self,
        feed: Feed,
        batch: int,
        scalars: NDArray[np.float64],
        losses: NDArray[np.float64],
        nonfinite: int,
        clip_norm: float,
    ) -> Outcome:
        before, update = self.calls_of(batch)
        loss = self._view(self.plan.buffers["loss"], batch)
        for call in (*before, *update):
            call.begin(feed)
        for step, (lr, c1, c2, beta) in enumerate(scalars.tolist()):
            rows = _batch_rows(feed, step * batch, (step + 1) * batch)
            values = {"lr": lr, "c1": c1, "c2": c2, "beta": beta, **rows}
            for call in before:
                if interrupts.pending():
                    return Outcome(step, interrupted=True)
                call.run(values)
            losses[step] = float(loss[0])
            finite = math.isfinite(losses[step]) and not any(partial[1] for partial in self._partials)
            if not finite and nonfinite == 0:
                return Outcome(step, nonfinite=True)
            if finite or nonfinite == 2:
                values["clip_scale"] = self._clip_scale(clip_norm)
                for call in update:
                    call.run(values)
        return Outcome(len(scalars))

    def _clip_scale(self, clip_norm: float) -> float:
        if not clip_norm:
            return 1.0
        norm = math.sqrt(sum(partial[0] for partial in self._partials))
        return min(1.0, clip_norm / (norm + 1e-6)) if norm == norm else norm

    def calls_of(self, batch: int) -> tuple[list[BoundCall], list[BoundCall]]:
        """(before the update, update), bound to views for that many rows."""
        if batch not in self._bound:
            if batch > self.plan.batch:
                raise ValueError(f"the plan holds {self.plan.batch} rows a batch, but got {batch}")
            bound: tuple[list[BoundCall], list[BoundCall]] = ([], [])
            for phase in self.plan.phases:
                bound[phase.kind == "update"].extend(self._bind(call, batch) for call in phase.calls)
            while len(self._bound) >= BOUND:
                del self._bound[next(iter(self._bound))]
            self._bound[batch] = bound
        return self._bound[batch]

    def _bind(self, call: Call, batch: int) -> BoundCall:
        views = {name: None if ref is None else self._view(ref, batch) for name, ref in call.args.items()}
        fixed: dict[str, Any] = {**views, **call.attrs}
        if call.geometry is not None:
            fixed["geometry"] = call.geometry
        return BoundCall(getattr(self._ops, call.op), fixed)

    def _view(self, ref: Ref, batch: int) -> Array:
        """A matrix, or a vector (n,) where the ref has one row and isn't a matrix of batch rows or weights."""
        base = self._spaces[ref.space][ref.offset :]
        size = base.itemsize
        if ref.vector:
            return base[: batch if ref.batch == 1 else ref.cols]
        rows = batch if ref.batch == 0 else ref.rows
        strides = (ref.row_stride * size, ref.col_stride * size)
        view: Array = self._as_strided(base, (rows, ref.cols), strides)
        return view


def _spaces(plan: Plan, state: State, xp: Any) -> dict[str, Array]:
    """By name, the memory that refs lie in."""
    spaces = {
        "params": state.params,
        "grads": state.grads,
        "arena": xp.zeros(plan.arena_size, state.params.dtype),
        "stats": xp.zeros(plan.stats_size, np.float64),
    }
    spaces |= {f"slot{i}": slot for i, slot in enumerate(state.slots)}
    return spaces if state.ema is None else {**spaces, "ema": state.ema}


class BoundCall:
    """One op with its buffers, by position; what changes from run to run or from step to step is filled in there."""

    def __init__(self, function: Callable[..., None], fixed: dict[str, Any]) -> None:
        names = list(inspect.signature(function).parameters)
        missing = [name for name in names if name not in fixed]
        if unfilled := set(missing) - {*FEED_ARGS, *STEP_ARGS}:
            raise TypeError(f"{function.__name__}: nothing fills {sorted(unfilled)}")
        if unknown := set(fixed) - set(names):
            raise TypeError(f"{function.__name__} has no {sorted(unknown)}")
        self.function = function
        self.arguments = [fixed.get(name) for name in names]
        self.feed_args = [(names.index(name), FEED_ARGS[name]) for name in missing if name in FEED_ARGS]
        self.step_args = [(names.index(name), name) for name in missing if name in STEP_ARGS]

    def begin(self, feed: Feed) -> None:
        """Takes what a run reads."""
        for place, read in self.feed_args:
            self.arguments[place] = read(feed)

    def run(self, step: dict[str, Any]) -> None:
        """Calls the op with a step's values."""
        arguments = self.arguments
        for place, name in self.step_args:
            arguments[place] = step[name]
        self.function(*arguments)


def _batch_rows(feed: Feed, start: int, stop: int) -> dict[str, Array]:
    index = feed.index[start:stop]
    return {"index": index, "rows": index if feed.rows is None else feed.rows[start:stop]}
