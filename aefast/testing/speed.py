"""Cases at sizes worth timing: one call of every op and some whole training steps, checked first and then timed.

`bench/test_bench_ops.py` and `aefast bench` both take their work, their check and their arguments from here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from aefast.testing.cases import Array, Case
from aefast.testing.compare import Verdict, check
from aefast.testing.speed_cases import OPS, SIZES, case
from aefast.testing.tolerances import BAND, STEP

__all__ = [
    "NETS",
    "OPS",
    "SIZES",
    "Timing",
    "Work",
    "arguments",
    "case",
    "measure",
    "net_rows",
    "net_work",
    "step_failure",
    "step_truth",
    "trainer",
    "verdict",
    "work",
]
# Widths and batch of whole nets: one that lives on overhead, the usual one, one that is all arithmetic.
NETS: dict[str, tuple[tuple[int, ...], int]] = {
    "64-32-64/32": ((64, 32, 64), 32),
    "784-256-32-256-784/256": ((784, 256, 32, 256, 784), 256),
    "1024-1024-1024/512": ((1024, 1024, 1024), 512),
}
CHECKED_STEPS = 5


@dataclass(frozen=True)
class Work:
    """What one call does: floating-point operations of its matmul, or bytes that it must read and write."""

    flops: int = 0
    bytes: int = 0

    def rate(self, seconds: float) -> tuple[float, str]:
        """GFLOP/s or GB/s."""
        return (self.flops / seconds / 1e9, "GFLOP/s") if self.flops else (self.bytes / seconds / 1e9, "GB/s")


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: the median over samples, and half the distance of the quartiles in parts of it."""

    median: float
    spread: float
    samples: int


def work(made: Case) -> Work:
    """Of the matmul ops flops, of the others the bytes of float32 arrays (and of wide ones) in and out."""
    matrices = {"linear_act": "w", "linear_loss_grad": "w", "linear_loss": "w", "linear_dgrad": "w"}
    if made.op in matrices:
        rows = next(
            len(x) for name, x in made.inputs.items() if name in ("x", "h", "delta") and x is not None
        )
        w = made.inputs["w"]
        return Work(flops=2 * rows * (0 if w is None else w.size))
    if made.op == "linear_wgrad":
        delta = made.inputs["delta"]
        return Work(flops=2 * (0 if delta is None else len(delta)) * int(np.prod(made.outputs["dw"].shape)))
    moved = sum(4 * x.size for x in made.inputs.values() if x is not None)
    for name, x in made.given.items():
        # Of the data set the gather reads the rows of its batch.
        moved += (
            0
            if x is None
            else made.outputs["out"].shape[0] * x.shape[1] * x.itemsize
            if name == "data"
            else x.nbytes
        )
    for out in made.outputs.values():
        moved += (
            int(np.prod(out.shape))
            * (8 if out.wide or out.integer else 4)
            * (2 if out.start is not None else 1)
        )
    return Work(bytes=moved)


def verdict(ops: Any, made: Case, dtype: DTypeLike = "float32") -> Verdict:
    """The suite's own comparison with the float64 reference."""
    return check(ops, made, dtype)


def arguments(made: Case, dtype: DTypeLike = "float32") -> dict[str, Any]:
    """Of a call that may be repeated any number of times; outputs filled with NaN."""
    result: dict[str, Any] = {
        name: None if x is None else np.ascontiguousarray(x, dtype) for name, x in made.inputs.items()
    }
    for name, out in made.outputs.items():
        kind: DTypeLike = np.int64 if out.integer else np.float64 if out.wide else dtype
        start = np.full(out.shape, 0 if out.integer else np.nan) if out.start is None else out.start
        result[name] = np.array(start, kind)
    return {**result, **made.given, **made.attrs}


def measure(call: Callable[[], object], budget: float = 0.2, least: int = 5) -> Timing:
    """Times `call` for about `budget` seconds, in samples of at least a millisecond, at least `least` of them."""
    call()
    began = time.perf_counter()
    call()
    once = time.perf_counter() - began
    inner = max(1, round(1e-3 / max(once, 1e-7)))
    samples: list[float] = []
    end = time.perf_counter() + budget
    while len(samples) < least or time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(inner):
            call()
        samples.append((time.perf_counter() - began) / inner)
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75))
    return Timing(float(median), float((high - low) / 2 / median), len(samples))


# Whole steps ----------------------------------------------------------------------------------------------------------


def trainer(net: str, backend: str, dtype: str = "float32") -> Any:
    """ReLU layers, a sigmoid at the end, squared error, Adam."""
    from aefast.topology import Topology
    from aefast.trainer import Trainer

    widths, batch = NETS[net]
    topology = Topology.mlp(widths, activation="relu", latent_activation="relu", output_activation="sigmoid")
    return Trainer(topology, batch_size=batch, backend=backend, dtype=dtype, seed=1)


def net_rows(net: str, n_batches: int = 4) -> NDArray[np.float32]:
    """(n_batches * batch, d) in [0, 1], with something to learn in it."""
    widths, batch = NETS[net]
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n_batches * batch, 4)) @ rng.standard_normal((4, widths[0]))
    return np.asarray(1 / (1 + np.exp(-z)), np.float32)


def net_work(net: str) -> Work:
    """Forward, weight gradients, and input gradients of all layers but the first: 2 B M N each."""
    widths, batch = NETS[net]
    weights = [m * n for m, n in pairwise(widths)]
    return Work(flops=2 * batch * (3 * sum(weights) - weights[0]))


def step_truth(net: str) -> tuple[dict[str, Array], Array]:
    """The reference's gradients of the first step and losses of the first `CHECKED_STEPS`, float64."""
    return trainer(net, "numpy", "float64").gradients(_batch(net, 0))[1], _losses(net, "numpy", "float64")


def step_failure(
    net: str, backend: str, truth: tuple[dict[str, Array], Array], dtype: str = "float32"
) -> str:
    """What is wrong with a backend's training steps, against `step_truth`; "" if nothing is."""
    true, curve = truth
    gradients = trainer(net, backend, dtype).gradients(_batch(net, 0))[1]
    norm = np.sqrt(sum(np.sum(g**2) for g in true.values()))
    for name, gradient in gradients.items():
        error = float(np.max(np.abs(gradient - true[name]))) / norm
        if not error <= STEP[dtype]:
            return f"the gradient of {name} is off by {error:.2g} of the gradient's norm, allowed {STEP[dtype]:g}"
    error = float(np.max(np.abs(_losses(net, backend, dtype) - curve) / curve))
    if not error <= BAND[dtype]:
        return f"the losses of {len(curve)} steps are off by {error:.2g}, allowed {BAND[dtype]:g}"
    return ""


def _losses(net: str, backend: str, dtype: str) -> Array:
    made = trainer(net, backend, dtype)
    return np.array([made.step(_batch(net, i)) for i in range(CHECKED_STEPS)], np.float64)


def _batch(net: str, i: int) -> NDArray[np.float32]:
    rows, batch = net_rows(net), NETS[net][1]
    start = i * batch % len(rows)
    return rows[start : start + batch]
