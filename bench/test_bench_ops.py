"""Micro-benchmarks, one an op, size and backend: `pytest -o addopts= bench/test_bench_ops.py`.

A result is compared with the float64 reference before it is timed: no speed is reported of what computes
something else.
"""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# Behind everything else, so that an installed aefast goes before the sources.
sys.path.append(str(Path(__file__).parent.parent))

from aefast import backends
from bench import op_cases

pytest.importorskip("pytest_benchmark")
# Of the largest value: float32 sums of up to 1024 terms, errors growing with the square root.
TOLERANCE = 2e-5


def _wide(value: Any) -> Any:
    return (
        value.astype(np.float64)
        if isinstance(value, np.ndarray) and value.dtype == np.float32
        else copy.copy(value)
    )


@pytest.mark.parametrize("size", op_cases.SIZES)
@pytest.mark.parametrize("op", op_cases.OPS)
@pytest.mark.parametrize("name", backends.NAMES)
def test_op(benchmark: Any, name: str, op: str, size: str) -> None:
    runs = backends.available(name)
    if not runs:
        pytest.skip(f"{name}: {runs.reason}")
    backend = backends.get(name)
    arguments, outputs = op_cases.cases(op_cases.SIZES[size])[op]
    wanted = {key: _wide(value) for key, value in arguments.items()}
    getattr(backends.get("numpy").ops, op)(**wanted)
    function = getattr(backend.ops, op)
    function(**arguments)
    for output in outputs:
        scale = max(float(np.abs(wanted[output]).max()), 1e-30)
        error = float(np.abs(arguments[output] - wanted[output]).max()) / scale
        assert error <= TOLERANCE, f"{output} is off by {error:.2g}"
    benchmark.extra_info["threads"] = "the environment's"
    benchmark(function, **arguments)
