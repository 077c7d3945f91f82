"""Micro-benchmarks, one an op, size and backend: `pytest -o addopts= bench/test_bench_ops.py`.

A result is compared with the float64 reference before it is timed: no speed is reported of what computes something else. Work,
check and arguments are those of `aefast bench` (`aefast.testing.speed`), which needs neither pytest nor this folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

# Behind everything else, so that an installed aefast goes before the sources.
sys.path.append(str(Path(__file__).parent.parent))

from aefast import backends
from aefast.testing import speed

pytest.importorskip("pytest_benchmark")


@pytest.mark.parametrize("size", speed.SIZES)
@pytest.mark.parametrize("op", speed.OPS)
@pytest.mark.parametrize("name", backends.NAMES)
def test_op(benchmark: Any, name: str, op: str, size: str) -> None:
    runs = backends.available(name)
    if not runs:
        pytest.skip(f"{name}: {runs.reason}")
    ops, made = backends.get(name).ops, speed.case(op, size)
    verdict = speed.verdict(ops, made)
    assert verdict, verdict.failures
    benchmark.extra_info["threads"] = "the environment's"
    benchmark(getattr(ops, op), **speed.arguments(made))
