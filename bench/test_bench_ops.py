"""Micro-benchmarks, one an op, size and backend: `pytest -o addopts= bench/test_bench_ops.py`.

A result is compared with the float64 reference before it is timed: no speed is reported of what computes something else. Work,
check and arguments are those of `aefast bench` (`aefast.testing.speed`), which needs neither pytest nor this folder.
`test_product` sets `linear_act` on plain arrays beside the matrix products of NumPy and torch, which its GFLOP/s are in
extra_info for.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Behind everything else, so that an installed aefast goes before the sources.
sys.path.append(str(Path(__file__).parent.parent))

from aefast import backends, ops
from aefast.testing import speed

pytest.importorskip("pytest_benchmark")
PRODUCT = 1024
THREADS = os.environ.get("OMP_NUM_THREADS", "all")


@pytest.mark.parametrize("size", speed.SIZES)
@pytest.mark.parametrize("op", speed.OPS)
@pytest.mark.parametrize("name", backends.NAMES)
def test_op(benchmark: Any, name: str, op: str, size: str) -> None:
    runs = backends.available(name)
    if not runs:
        pytest.skip(f"{name}: {runs.reason}")
    backend_ops, made = backends.get(name).ops, speed.case(op, size)
    verdict = speed.verdict(backend_ops, made)
    assert verdict, verdict.failures
    benchmark.extra_info["threads"] = THREADS
    benchmark(getattr(backend_ops, op), **speed.arguments(made))


def _aefast(x: Any, w: Any, b: Any) -> Callable[[], Any]:
    out = np.empty((len(x), len(w)), np.float32)
    return lambda: ops.linear_act(x, w, b, "relu", out=out)


def _numpy(x: Any, w: Any, b: Any) -> Callable[[], Any]:
    out, transposed = np.empty((len(x), len(w)), np.float32), w.T
    return lambda: np.maximum(np.add(np.matmul(x, transposed, out=out), b, out=out), 0.0, out=out)


def _torch(x: Any, w: Any, b: Any) -> Callable[[], Any]:
    torch = pytest.importorskip("torch")
    if THREADS.isdigit():
        torch.set_num_threads(int(THREADS))
    x, w, b = (torch.from_numpy(a) for a in (x, w, b))
    out = torch.empty((len(x), len(w)))

    def call() -> Any:
        with torch.inference_mode():
            return torch.addmm(b, x, w.T, out=out).relu_()

    return call


PRODUCTS: dict[str, Callable[[Any, Any, Any], Callable[[], Any]]] = {
    "aefast linear_act": _aefast,
    "numpy matmul": _numpy,
    "torch addmm": _torch,
}


@pytest.mark.parametrize("who", PRODUCTS)
def test_product(benchmark: Any, who: str) -> None:
    """relu(x wT + b) of 1024 x 1024 x 1024 on plain float32 arrays, into an array that is there."""
    rng = np.random.default_rng(0)
    x, w = (rng.uniform(-1, 1, (PRODUCT, PRODUCT)).astype(np.float32) for _ in range(2))
    b = rng.uniform(-1, 1, PRODUCT).astype(np.float32)
    call = PRODUCTS[who](x, w, b)
    wide = x.astype(np.float64), w.astype(np.float64)
    error = np.abs(np.asarray(call()) - np.maximum(wide[0] @ wide[1].T + b, 0.0))
    # sqrt(M) u (|x| |w|), the rounding of a float32 sum of M products (Higham & Mary 2019), with its constant at 1.
    allowed = np.sqrt(PRODUCT) * 2.0**-24 * (np.abs(wide[0]) @ np.abs(wide[1]).T + np.abs(b))
    assert np.all(error <= allowed)
    benchmark.extra_info["threads"] = THREADS
    benchmark(call)
    if benchmark.stats:  # none with --benchmark-disable
        benchmark.extra_info["gflops"] = 2e-9 * PRODUCT**3 / benchmark.stats.stats.median
