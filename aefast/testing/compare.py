"""Runs one case on one backend's ops, in guarded memory, and compares it with the float64 reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

import aefast.testing.bounded_images  # noqa: F401 (the bounds of sums over windows)
from aefast.testing.bounded import Bounded
from aefast.testing.cases import Case, Output
from aefast.testing.guards import Buffer
from aefast.testing.tolerances import SLACK

Array = NDArray[Any]


@dataclass(frozen=True)
class Verdict:
    """What went wrong, in words; and the largest error, in parts of what the case allows."""

    case: Case
    failures: tuple[str, ...]
    worst: float

    def __bool__(self) -> bool:
        return not self.failures


def reference_ops(dtype: DTypeLike = "float32") -> SimpleNamespace:
    """The NumPy backend's ops for that dtype."""
    from aefast.backends.numpy import backend

    return backend().ops_for(dtype_name(dtype))


def dtype_name(dtype: DTypeLike) -> str:
    """The name; NumPy itself has no dtype for "bfloat16"."""
    return dtype if isinstance(dtype, str) else np.dtype(dtype).name


def memory_dtype(dtype: DTypeLike) -> np.dtype[Any]:
    """What arrays are made of: "bfloat16" computes on float32."""
    name = dtype_name(dtype)
    return np.dtype("float32" if name == "bfloat16" else name)


def check(ops: Any, case: Case, dtype: DTypeLike, reference: Any = None) -> Verdict:
    """Runs `case` with `ops` (functions by op name) in `dtype`, float32, float64 or bfloat16, and compares.

    Checked: outputs against the reference, no word outside of the buffers written, no input changed.
    """
    memory = memory_dtype(dtype)
    inputs = {
        name: None if x is None else Buffer(x, memory, case.layout_of(name), name in case.transposed)
        for name, x in case.inputs.items()
    }
    outputs = {name: _output(case, name, out, memory) for name, out in case.outputs.items()}
    before = replace(case, given={name: None if x is None else x.copy() for name, x in case.given.items()})
    views = {name: None if buffer is None else buffer.view for name, buffer in {**inputs, **outputs}.items()}
    with np.errstate(all="ignore"):
        getattr(ops, case.op)(**views, **case.given, **case.attrs)
    failures = [f"{name} was changed" for name, b in inputs.items() if b is not None and b.changed()]
    failures += [
        f"{name} was changed"
        for name, x in case.given.items()
        if x is not None and not _same(x, before.given[name])
    ]
    failures += [f"a word around {name} was overwritten" for name, b in outputs.items() if b.overrun()]
    worst = 0.0
    for name, (expected, allowed) in expectation(before, dtype, reference or reference_ops(dtype)).items():
        if not case.outputs[name].free:
            message, share = _compare(name, outputs[name].view, expected, allowed)
            failures += [message] if message else []
            worst = max(worst, share)
    return Verdict(case, tuple(f"{case} {dtype}: {failure}" for failure in failures), worst)


def expectation(case: Case, dtype: DTypeLike, reference: Any) -> dict[str, tuple[Array, Array]]:
    """(value, allowed error) of every output; an error of zero means the same bits."""
    slack, dtype = SLACK[dtype_name(dtype)], memory_dtype(dtype)
    if case.exact:
        arrays = {
            name: None if x is None else np.asarray(x, np.float64).astype(dtype)
            for name, x in case.inputs.items()
        }
        outputs = {
            name: np.zeros(out.shape, np.int64 if out.integer else dtype)
            for name, out in case.outputs.items()
        }
        with np.errstate(all="ignore"):
            getattr(reference, case.op)(**arrays, **outputs, **case.given, **case.attrs)
        return {name: (value, np.zeros(value.shape)) for name, value in outputs.items()}
    bounded = {name: None if x is None else _start(x, dtype) for name, x in case.inputs.items()}
    results = {
        name: _start(
            np.zeros(out.shape) if out.start is None else out.start,
            np.dtype(np.float64) if out.wide else dtype,
        )
        for name, out in case.outputs.items()
    }
    with np.errstate(all="ignore"):
        getattr(reference, case.op)(**bounded, **results, **case.given, **case.attrs)
        extra = case.extra_error(dtype) if case.extra_error is not None else {}
    return {name: (r.value, slack * r.error + extra.get(name, 0.0)) for name, r in results.items()}


def _start(x: Array, dtype: np.dtype[Any]) -> Bounded:
    rounded = np.asarray(x, np.float64).astype(dtype).astype(np.float64)
    return Bounded(rounded, np.zeros(rounded.shape), dtype)


def _output(case: Case, name: str, out: Output, dtype: np.dtype[Any]) -> Buffer:
    if out.integer:
        return Buffer(np.full(out.shape, -1), np.int64)
    start = np.full(out.shape, np.nan) if out.start is None else out.start
    return Buffer(start, np.float64 if out.wide else dtype, case.layout_of(name), name in case.transposed)


def _same(a: Array, b: Array | None) -> bool:
    return b is not None and a.tobytes() == b.tobytes()


def _compare(name: str, actual: Array, expected: Array, allowed: Array) -> tuple[str, float]:
    """A message about the worst element, or none; the largest error in parts of the allowed."""
    value = actual.astype(np.float64) if actual.dtype.kind == "f" else actual
    with np.errstate(all="ignore"):
        error = np.abs(value - expected)
        good = (error <= allowed) | (value == expected) | np.isposinf(allowed)
        good |= ~np.isfinite(value) & ~np.isfinite(expected)
        share = np.where(good & np.isfinite(allowed) & (allowed > 0), error / allowed, 0.0)
    if good.all():
        return "", float(np.nanmax(share, initial=0.0))
    with np.errstate(all="ignore"):
        excess = np.where(good, 0.0, np.nan_to_num(error / allowed, nan=np.inf, posinf=np.inf))
    at = np.unravel_index(int(np.argmax(excess)), np.shape(excess))
    where = ", ".join(map(str, map(int, at)))
    return (
        f"{name}[{where}] is {value[at]!r}, but the reference has {expected[at]!r}: off by {error[at]:.3g}, "
        f"allowed {allowed[at]:.3g} ({int((~good).sum())} of {good.size} are wrong)"
    ), float("inf")
